"""How far an object comes: the best box for it that is still alive after every step of the network.

What lives is a lineage: an anchor, the box that the region proposal network makes of it, and the box that the
box head makes of that. After each step an object has the survivor that overlaps it most. A box moves on its
way, so this overlap may rise again: an object is lost at the first step *from which on* no survivor overlaps
it enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import clip_boxes_to_image

from ..mask_rcnn.follow import follow
from ..mask_rcnn.outcomes import KEPT, OVER_LIMIT, SUPPRESSED
from ..mask_rcnn.trace import Trace
from ..models.zoo import categories_of

# What is alive after each step.
STEPS = {
    "anchors": "all anchors",
    "decoded boxes": "all anchors, moved and stretched",
    "candidates": "each level's best, without those too small or too improbable",
    "RPN NMS": "those that no better candidate of their level suppressed",
    "proposals": "the best of those, up to the limit",
    "box head": "proposals refined for the right category, and scored above its floor",
    "class NMS": "those that no better box of the category suppressed",
    "limit": "the best of those, up to the limit: the detections",
    "score threshold": "detections with a high enough score",
    "mask": "the detection whose mask is matched with the object",
}
BOX_STEPS = tuple(STEPS)[:-1]  # what is alive after the last one is a mask
# What a stage that compares boxes has not dropped yet: before its NMS, after it, and after its limit.
_ALIVE = ((KEPT, SUPPRESSED, OVER_LIMIT), (KEPT, OVER_LIMIT), (KEPT,))
_Boxes = tuple[Tensor, Tensor]  # float32 (K, 4) in pixels of the network's input; int64 (K,), their anchors


@dataclass(frozen=True, eq=False)
class Survival:
    """How far one object came, by boxes.

    Attributes:
        ious: float64 (9,), [0, 1]: how much the best survivor after each of the `BOX_STEPS` overlaps the
            object; 0 where none is left.
        lost_at: One of the `BOX_STEPS`; None where the object is alive after the last one.
        reason: What became of its last survivor, with the numbers; empty where it is alive.
        anchor, label: Name that last survivor, as `follow` takes it.
    """

    ious: np.ndarray
    lost_at: str | None
    reason: str
    anchor: int
    label: int


def survivals(
    run: Trace, boxes: np.ndarray, labels: np.ndarray, *, iou: float, score_threshold: float
) -> list[Survival]:
    """How far each of N objects came.

    Args:
        run: A run through the network.
        boxes: float (N, 4), x1 y1 x2 y2 in pixels of the image that ran.
        labels: int64 (N,), 1 to C - 1: what each must be called from the box head on.
        iou: The least overlap that counts, in (0, 1].
        score_threshold: A detection is alive after the last step with a score >= this, in [0, 1].
    """
    size = run.normalised.size
    objects = resize_boxes(torch.from_numpy(boxes).to(run.anchors.boxes), run.normalised.image_size, size)
    ious = np.zeros((len(boxes), len(BOX_STEPS)))
    anchors = np.full(ious.shape, -1)
    unnamed = list(_alive_unnamed(run))
    for step, alive in enumerate(unnamed):
        ious[:, step], anchors[:, step] = _best(objects, *alive)
    for label in np.unique(labels).tolist():
        own = labels == label
        for step, alive in enumerate(_alive_named(run, label, score_threshold), len(unnamed)):
            ious[own, step], anchors[own, step] = _best(objects[own], *alive)
    steps = [int(np.flatnonzero(row >= iou).max(initial=-1)) + 1 for row in ious]
    last = [int(row[max(step - 1, 0)]) for row, step in zip(anchors, steps, strict=True)]
    found = zip(ious, steps, last, labels.tolist(), strict=True)
    return [_survival(run, *one, iou) for one in found]


def _alive_unnamed(run: Trace) -> Iterator[_Boxes]:
    """What is alive after each step before the box head."""
    anchors, found = run.anchors, run.proposals
    every = torch.arange(len(anchors.boxes), device=anchors.boxes.device)
    yield anchors.boxes, every
    yield clip_boxes_to_image(anchors.moved, run.normalised.size), every
    for kinds in _ALIVE:
        alive = torch.isin(found.outcomes, found.outcomes.new_tensor(kinds))
        yield found.candidate_boxes[alive], found.candidates[alive]


def _alive_named(run: Trace, label: int, score_threshold: float) -> Iterator[_Boxes]:
    """What is alive after each step from the box head on, refined for a label."""
    scores, boxes = run.box_scores.scores[:, label], run.box_scores.boxes[:, label]
    outcomes = run.detections.outcomes.view(len(scores), -1)[:, label - 1]
    for kinds in _ALIVE:
        alive = torch.isin(outcomes, outcomes.new_tensor(kinds))
        yield boxes[alive], run.proposals.anchors[alive]
    alive &= scores >= score_threshold
    yield boxes[alive], run.proposals.anchors[alive]


def _best(objects: Tensor, boxes: Tensor, anchors: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """For each object, (N, 4), the IoU and the anchor of the box, (K, 4), that overlaps it most.

    The arithmetic is that of torchvision's `box_iou`, which takes six times as long for 100,000 anchors.
    """
    if not len(boxes):
        return np.zeros(len(objects)), np.full(len(objects), -1)
    x1, y1, x2, y2 = boxes.T.contiguous()
    areas, best = (x2 - x1) * (y2 - y1), []
    for left, top, right, bottom in objects.tolist():
        widths = (x2.clamp(max=right) - x1.clamp(min=left)).clamp_(min=0)
        shared = (y2.clamp(max=bottom) - y1.clamp(min=top)).clamp_(min=0).mul_(widths)
        best.append((shared / (areas + (right - left) * (bottom - top) - shared)).max(0))
    ious = np.array([float(found.values) for found in best])
    return ious, np.array([int(anchors[found.indices]) for found in best])


def _survival(run: Trace, ious: np.ndarray, step: int, anchor: int, label: int, iou: float) -> Survival:
    if step == len(BOX_STEPS):
        return Survival(ious, None, "", anchor, label)
    name, overlap = BOX_STEPS[step], f"overlaps it by {ious[step]:.2f}, less than {iou:.2f}"
    if step < 2:
        return Survival(ious, name, f"of {STEPS[name]}, the best {overlap}", anchor, label)
    journey = follow(run, anchor=anchor, label=label)
    reason, found = journey.verdict.reason, journey.detection
    if name == "box head" and found:
        named = int(found.scores.argmax())
        best = "background" if not named else categories_of(run.model)[named]
        is_low = found.scores[label] <= run.knobs.box_score_threshold
        reason = f"{reason}; {best} {found.scores[named]:.3f}" if is_low else f"refined, its box {overlap}"
    elif name == "score threshold" and found:
        reason = f"{found.category} {found.scores[label]:.3f} is below the score threshold"
    return Survival(ious, name, reason, anchor, label)
