"""Follow one box through the network: from its anchor to its mask, or to the reason that dropped it.

An anchor is where every box begins, and an image's anchors stay the same whatever the knobs: so an anchor and
a category name a box, kept or lost, before and after a knob has moved.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, box_iou, clip_boxes_to_image

from .._shared.checks import is_whole
from ..models.zoo import categories_of
from .journey import AnchorStep, DetectionStep, Journey, MaskStep, ProposalStep, Rival, Verdict
from .outcomes import KEPT, OUTCOMES, OVER_LIMIT, SUPPRESSED, TOO_SMALL
from .roi_align import pooled, roi_levels
from .stages import pair_numbers, split_pairs
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


@dataclass(frozen=True, eq=False)
class _Filter:
    """A stage that keeps the best of many, seen from outside: who came in, and how each one ended."""

    noun: str
    names: Tensor  # (K,) what identifies each one that came in
    kept: Tensor  # the names of those that were kept, in their order
    boxes: Tensor  # (K, 4), in pixels of the network's input
    scores: Tensor  # (K,)
    groups: Tensor  # (K,) overlap counts within a group only
    outcomes: Tensor  # (K,)
    floor: str  # what a score was compared with
    nms_threshold: float
    limit: int

    def row(self, index: int) -> int | None:
        found = torch.where(self.kept == self.names[index])[0]
        return int(found[0]) if len(found) else None

    def rival(self, trace: Trace, index: int) -> Rival:
        """The first survivor of the group, highest score first, that overlaps too much."""
        survived = (self.outcomes == KEPT) | (self.outcomes == OVER_LIMIT)
        better = survived & (self.groups == self.groups[index]) & (self.scores >= self.scores[index])
        rivals = torch.where(better)[0]
        rivals = rivals[self.scores[rivals].argsort(descending=True, stable=True)]
        ious = box_iou(self.boxes[index][None], self.boxes[rivals])[0]
        over = torch.where(ious > self.nms_threshold)[0]
        # batched_nms moves the groups apart before it compares: an IoU at the threshold may round either way.
        first = int(over[0]) if len(over) else int(ious.argmax())
        best = int(rivals[first])
        return Rival(self.row(best), trace.on_image(self.boxes[best][None])[0], float(ious[first]))

    def verdict(self, trace: Trace, index: int) -> Verdict:
        row, outcome = self.row(index), int(self.outcomes[index])
        rival = self.rival(trace, index) if outcome == SUPPRESSED else None
        if outcome == KEPT:
            reason = f"kept: {self.noun} #{row} of {len(self.kept)}"
        elif rival:
            number = rival.number
            by = f"a {self.noun} over the limit" if number is None else f"{self.noun} #{number}"
            reason = f"suppressed by {by}, IoU {rival.iou:.2f} > {self.nms_threshold:.2f}"
        elif outcome == OVER_LIMIT:
            reason = f"over the limit of {self.limit} {self.noun}s"
        elif outcome == TOO_SMALL:
            left, top, right, bottom = self.boxes[index].tolist()
            reason = f"too small: {right - left:.2f} x {bottom - top:.2f} px"
        else:
            reason = f"score too low: {float(self.scores[index]):.3f} {self.floor}"
        return Verdict(row, OUTCOMES[outcome], reason, rival)


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
    filtered = _Filter(
        noun="proposal",
        names=proposals.candidates,
        kept=proposals.anchors,
        boxes=proposals.candidate_boxes,
        scores=proposals.candidate_scores,
        groups=anchors.levels[proposals.candidates],
        outcomes=proposals.outcomes,
        floor=f"< {knobs.rpn_score_threshold:g}",
        nms_threshold=knobs.rpn_nms_threshold,
        limit=knobs.rpn_post_nms_top_n,
    )
    return ProposalStep(box, filtered.verdict(trace, int(found[0])))


def _detection_step(trace: Trace, proposal: int, label: int | None) -> DetectionStep:
    box_scores, found, knobs = trace.box_scores, trace.detections, trace.knobs
    scores = box_scores.scores[proposal]
    label = int(scores[1:].argmax()) + 1 if label is None else label
    classes = len(scores)
    pairs = torch.arange(len(found.outcomes), device=scores.device)
    filtered = _Filter(
        noun="detection",
        names=pairs,
        kept=pair_numbers(found.proposals, found.labels, classes),
        boxes=box_scores.boxes[:, 1:].reshape(-1, 4),
        scores=box_scores.scores[:, 1:].reshape(-1),
        groups=split_pairs(pairs, classes)[1],
        outcomes=found.outcomes,
        floor=f"<= {knobs.box_score_threshold:g}",
        nms_threshold=knobs.box_nms_threshold,
        limit=knobs.box_detections_per_img,
    )
    pool, fpn = trace.model.roi_heads.box_roi_pool, trace.features
    one, level = trace.proposals.boxes[proposal][None], box_scores.roi_levels[proposal][None]
    return DetectionStep(
        label=label,
        category=categories_of(trace.model)[label],
        level_name=_level_name(trace, pool, int(level)),
        features=pooled(pool, one, level, fpn.maps, fpn.strides)[0].cpu().numpy(),
        scores=scores.cpu().numpy(),
        box=trace.on_image(box_scores.boxes[proposal, label][None])[0],
        verdict=filtered.verdict(trace, int(pair_numbers(proposal, label, classes))),
    )


def _mask_step(trace: Trace, detection: int) -> MaskStep:
    pool, fpn = trace.model.roi_heads.mask_roi_pool, trace.features
    level = roi_levels(pool, trace.detections.boxes[detection][None], fpn.maps, fpn.strides)
    return MaskStep(_level_name(trace, pool, int(level)), trace.masks.probs[detection].cpu().numpy())


def _level_name(trace: Trace, pool: MultiScaleRoIAlign, level: int) -> str:
    """The name of a map that a pool reads: it may leave some of the pyramid out."""
    names = dict(zip(trace.features.maps, trace.features.names, strict=True))
    return [name for key, name in names.items() if key in pool.featmap_names][level]
