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


class Survivors:
    """The best survivor of each of N objects after every step: sought once, then judged by any thresholds.

    Args:
        run: A run through the network.
        boxes: float (N, 4), x1 y1 x2 y2 in pixels of the image that ran.
        labels: int64 (N,), 1 to C - 1: what each must be called from the box head on.
    """

    def __init__(self, run: Trace, boxes: np.ndarray, labels: np.ndarray) -> None:
        self._run: Trace | None = run
        self._labels, size, found = labels, run.normalised.size, run.detections
        objects = torch.from_numpy(boxes).to(run.anchors.boxes)
        self._objects = resize_boxes(objects, run.normalised.image_size, size)
        self._ious = np.zeros((len(boxes), len(BOX_STEPS)))
        self._anchors = np.full(self._ious.shape, -1)
        # Label -> its detections: boxes, anchors, scores.
        self._named: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self._said: dict[tuple[int, int], tuple[str, bool]] = {}
        unnamed = list(_alive_unnamed(run))
        for step, alive in enumerate(unnamed):
            self._ious[:, step], self._anchors[:, step] = _best(self._objects, *alive)
        for label in np.unique(labels).tolist():
            own, named = labels == label, found.labels == label
            for step, alive in enumerate(_alive_named(run, label), len(unnamed)):
                self._ious[own, step], self._anchors[own, step] = _best(self._objects[own], *alive)
            anchors = run.proposals.anchors[found.proposals[named]]
            self._named[label] = found.boxes[named], anchors, found.scores[named]

    def at(self, iou: float, score_threshold: float) -> list[Survival]:
        """How far each object came.

        Args:
            iou: The least overlap that counts, in (0, 1].
            score_threshold: A detection is alive after the last step with a score >= this, in [0, 1].
        """
        ious, anchors = self._ious.copy(), self._anchors.copy()
        for label, (boxes, names, scores) in self._named.items():
            own, alive = self._labels == label, scores >= score_threshold
            ious[own, -1], anchors[own, -1] = _best(self._objects[own], boxes[alive], names[alive])
        rows = zip(ious, anchors, self._labels.tolist(), strict=True)
        return [self._survival(*row, iou) for row in rows]

    def let_go(self) -> None:
        """Find every reason now and forget the run: what is left is small enough to be kept per picture."""
        for anchors, label in zip(self._anchors[:, 1:-1].tolist(), self._labels.tolist(), strict=True):
            for anchor in anchors:
                if anchor >= 0:
                    self._reason(anchor, label)
        self._run = None

    def _survival(self, ious: np.ndarray, anchors: np.ndarray, label: int, iou: float) -> Survival:
        step = int(np.flatnonzero(ious >= iou).max(initial=-1)) + 1
        anchor = int(anchors[max(step - 1, 0)])
        if step == len(BOX_STEPS):
            return Survival(ious, None, "", anchor, label)
        name, overlap = BOX_STEPS[step], f"overlaps it by {ious[step]:.2f}, less than {iou:.2f}"
        if step < 2:
            return Survival(ious, name, f"of {STEPS[name]}, the best {overlap}", anchor, label)
        reason, is_named = self._reason(anchor, label)
        if name == "box head" and is_named:
            reason = f"refined, its box {overlap}"
        return Survival(ious, name, reason, anchor, label)

    def _reason(self, anchor: int, label: int) -> tuple[str, bool]:
        """What became of a survivor; and whether the box head gave it the label, above the floor."""
        if (anchor, label) not in self._said:
            assert self._run, "every reason is found before the run is let go"
            self._said[anchor, label] = _reason(self._run, anchor, label)
        return self._said[anchor, label]


def _alive_unnamed(run: Trace) -> Iterator[_Boxes]:
    """What is alive after each step before the box head."""
    anchors, found = run.anchors, run.proposals
    every = torch.arange(len(anchors.boxes), device=anchors.boxes.device)
    yield anchors.boxes, every
    yield clip_boxes_to_image(anchors.moved, run.normalised.size), every
    for kinds in _ALIVE:
        alive = torch.isin(found.outcomes, found.outcomes.new_tensor(kinds))
        yield found.candidate_boxes[alive], found.candidates[alive]


def _alive_named(run: Trace, label: int) -> Iterator[_Boxes]:
    """What is alive after each step from the box head to the limit, refined for a label."""
    boxes, rows = run.box_scores.boxes[:, label], len(run.box_scores.scores)
    outcomes = run.detections.outcomes.view(rows, -1)[:, label - 1]
    for kinds in _ALIVE:
        alive = torch.isin(outcomes, outcomes.new_tensor(kinds))
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


def _reason(run: Trace, anchor: int, label: int) -> tuple[str, bool]:
    journey = follow(run, anchor=anchor, label=label)
    reason, found = journey.verdict.reason, journey.detection
    if found is None:
        return reason, False
    if found.scores[label] <= run.knobs.box_score_threshold:
        best = int(found.scores.argmax())
        name = categories_of(run.model)[best] if best else "background"
        return f"{reason}; {name} {found.scores[best]:.3f}", False
    if found.verdict.row is not None:
        reason = f"{found.category} {found.scores[label]:.3f} is below the score threshold"
    return reason, True
