"""Follow one box through the network: from its anchor to its mask, or to the reason that dropped it.

An anchor is where every box begins, and an image's anchors stay the same whatever the knobs: so an anchor and
a category name a box, kept or lost, before and after a knob has moved.
"""

import torch
from torchvision.ops import MultiScaleRoIAlign, box_iou, clip_boxes_to_image

from .._shared.checks import is_whole
from ..models.zoo import categories_of
from .contests import Contest
from .journey import AnchorStep, DetectionStep, Journey, MaskStep, ProposalStep, Verdict
from .roi_align import pooled, roi_levels
from .stages import pair_numbers
from .trace import Trace


def follow(
    trace: Trace, *, detection: int | None = None, anchor: int | None = None, label: int | None = None
) -> Journey:
    """The whole way of one box, as far as it came.

    Args:
        trace: A run through the network.
        detection: A row of `trace.prediction`; or
        anchor: a row of `trace.anchors`, whatever became of it, and
        label: the category to follow it as from the box head on; None takes the most probable.

    Raises:
        ValueError: There is no such detection, anchor or category, or both or neither was given.
        TypeError: A number is not a whole one.
    """
    if (detection is None) == (anchor is None):
        raise ValueError("give either detection= or anchor=")
    if detection is not None:
        _check_row("detection", detection, len(trace.detections.scores))
        anchor = int(trace.proposals.anchors[trace.detections.proposals[detection]])
        label = int(trace.detections.labels[detection])
    start = _anchor_step(trace, _check_row("anchor", anchor, len(trace.anchors.boxes)))
    categories = trace.box_scores.scores.shape[1]
    if label is not None and label not in range(1, categories):
        raise ValueError(f"label must be 1 to {categories - 1}, got {label!r}")
    proposal = _proposal_step(trace, start)
    row = proposal.verdict.row
    found = None if row is None else _detection_step(trace, row, label)
    row = None if found is None else found.verdict.row
    mask = None if row is None else _mask_step(trace, row)
    return Journey(start, proposal, found, mask)


def lost(trace: Trace, count: int = 20) -> list[tuple[int, int]]:
    """The best proposals that became no detection, as (anchor, label) pairs for `follow`.

    At most `count`, highest score first; each label, 1 to C - 1, is the most probable category's.
    """
    scores, labels = trace.box_scores.scores[:, 1:].max(dim=1)
    dropped = torch.ones_like(scores, dtype=torch.bool)
    dropped[trace.detections.proposals] = False
    best = scores.masked_fill(~dropped, -1).topk(min(count, int(dropped.sum()))).indices
    return [(int(trace.proposals.anchors[row]), int(labels[row]) + 1) for row in best]


def most_moved(trace: Trace, score_threshold: float = 0.5) -> int:
    """The anchor that became a detection and had to move the most: the least IoU with its own proposal.

    Args:
        trace: A run through the network.
        score_threshold: Of the detections to choose from, in [0, 1].

    Returns:
        A row of `trace.anchors`, for `follow`.

    Raises:
        ValueError: No detection has such a score.
    """
    rows = trace.detections.proposals[trace.detections.scores >= score_threshold]
    if not len(rows):
        raise ValueError(f"no detection is scored {score_threshold} or more; lower score_threshold")
    anchors = trace.proposals.anchors[rows]
    ious = box_iou(trace.anchors.boxes[anchors], trace.proposals.boxes[rows]).diagonal()
    return int(anchors[ious.argmin()])


def cell_of(trace: Trace, anchor: int) -> tuple[int, int, int, int]:
    """Where an anchor, a row of `trace.anchors`, stands: pyramid level, row and column of its cell, and which
    of the cell's anchors it is; all from 0.

    Raises:
        TypeError, ValueError: It is not a whole number, or there is no such anchor.
    """
    _check_row("anchor", anchor, len(trace.anchors.boxes))
    level = int(trace.anchors.levels[anchor])
    _, width, per_cell = trace.anchors.grids[level]
    cell, which = divmod(anchor - _first_anchor(trace, level), per_cell)
    return (level, *divmod(cell, width), which)


def anchor_at(trace: Trace, level: int, row: int, column: int, which: int = 0) -> int:
    """The inverse of `cell_of`: the row of `trace.anchors` that stands there, or at the edge of the level's
    map where the cell lies beyond it.

    Raises:
        ValueError: There is no such level, or the cell has fewer anchors.
        TypeError: `level` or `which` is not a whole number.
    """
    _check_row("level", level, len(trace.anchors.grids))
    height, width, per_cell = trace.anchors.grids[level]
    _check_row("which", which, per_cell)
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    return _first_anchor(trace, level) + (row * width + column) * per_cell + which


def _first_anchor(trace: Trace, level: int) -> int:
    return sum(height * width * per_cell for height, width, per_cell in trace.anchors.grids[:level])


def _check_row(name: str, row: int | None, count: int) -> int:
    if not is_whole(row):
        raise TypeError(f"{name} must be a whole number, got {type(row).__name__}")
    if not 0 <= row < count:
        raise ValueError(f"there is no {name} {row}: " + (f"they are 0 to {count - 1}" if count else "none"))
    return int(row)


def _anchor_step(trace: Trace, anchor: int) -> AnchorStep:
    anchors = trace.anchors
    level, row, column, _ = cell_of(trace, anchor)
    left, top, right, bottom = anchors.boxes[anchor].tolist()
    objectness = anchors.objectness[anchor]
    return AnchorStep(
        row=anchor,
        level=level,
        level_name=trace.features.names[level],
        cell=(row, column),
        side=((right - left) * (bottom - top)) ** 0.5,
        ratio=(bottom - top) / (right - left),
        box=trace.on_image(anchors.boxes[anchor][None])[0],
        objectness=float(objectness.sigmoid()),
        rank=int(((anchors.levels == level) & (anchors.objectness > objectness)).sum()),
    )


def _proposal_step(trace: Trace, start: AnchorStep) -> ProposalStep:
    anchors, proposals, knobs = trace.anchors, trace.proposals, trace.knobs
    clipped = clip_boxes_to_image(anchors.moved[start.row][None], trace.normalised.size)
    box = trace.on_image(clipped)[0]
    found = torch.where(proposals.candidates == start.row)[0]
    if not len(found):
        reason = f"not among the {knobs.rpn_pre_nms_top_n} best of {start.level_name}: rank {start.rank}"
        return ProposalStep(box, Verdict(None, "not among its level's best", reason))
    (verdict,) = Contest.of_proposals(trace).verdicts(found)
    return ProposalStep(box, verdict)


def _detection_step(trace: Trace, proposal: int, label: int | None) -> DetectionStep:
    box_scores = trace.box_scores
    scores = box_scores.scores[proposal]
    label = int(scores[1:].argmax()) + 1 if label is None else label
    pair = torch.tensor([pair_numbers(proposal, label, len(scores))], device=scores.device)
    (verdict,) = Contest.of_detections(trace).verdicts(pair)
    pool, fpn = trace.model.roi_heads.box_roi_pool, trace.features
    one, level = trace.proposals.boxes[proposal][None], box_scores.roi_levels[proposal][None]
    return DetectionStep(
        label=label,
        category=categories_of(trace.model)[label],
        level_name=_level_name(trace, pool, int(level)),
        features=pooled(pool, one, level, fpn.maps, fpn.strides)[0].cpu().numpy(),
        scores=scores.cpu().numpy(),
        box=trace.on_image(box_scores.boxes[proposal, label][None])[0],
        verdict=verdict,
    )


def _mask_step(trace: Trace, detection: int) -> MaskStep:
    pool, fpn = trace.model.roi_heads.mask_roi_pool, trace.features
    level = roi_levels(pool, trace.detections.boxes[detection][None], fpn.maps, fpn.strides)
    return MaskStep(_level_name(trace, pool, int(level)), trace.masks.probs[detection].cpu().numpy())


def _level_name(trace: Trace, pool: MultiScaleRoIAlign, level: int) -> str:
    """The name of a map that a pool reads: it may leave some of the pyramid out."""
    names = dict(zip(trace.features.maps, trace.features.names, strict=True))
    return [name for key, name in names.items() if key in pool.featmap_names][level]
