"""The two stages that compare many boxes and keep few, seen from outside: how each box ended, and by whom."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from .journey import Rival, Verdict, numbered
from .outcomes import KEPT, OUTCOMES, OVER_LIMIT, SUPPRESSED, TOO_SMALL
from .stages import pair_numbers, split_pairs
from .trace import Trace

CONTESTS = ("proposals", "detections")  # the stages that compare


class Ending(NamedTuple):
    """How one box ended in such a stage."""

    anchor: int  # with the label, how `follow` names the box
    label: int  # 0 before there are categories
    score: float
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Contest:
    """Who came into such a stage, and what became of each: K boxes."""

    trace: Trace
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

    @classmethod
    def of_proposals(cls, trace: Trace) -> "Contest":
        """The candidates of all levels, of which the proposals are chosen."""
        knobs, proposals = trace.knobs, trace.proposals
        return cls(
            trace=trace,
            noun="proposal",
            names=proposals.candidates,
            kept=proposals.anchors,
            boxes=proposals.candidate_boxes,
            scores=proposals.candidate_scores,
            groups=trace.anchors.levels[proposals.candidates],
            outcomes=proposals.outcomes,
            floor=f"< {knobs.rpn_score_threshold:g}",
            nms_threshold=knobs.rpn_nms_threshold,
            limit=knobs.rpn_post_nms_top_n,
        )

    @classmethod
    def of_detections(cls, trace: Trace) -> "Contest":
        """The pairs of proposal and category, of which the detections are chosen."""
        knobs, found, classes = trace.knobs, trace.detections, trace.box_scores.scores.shape[1]
        pairs = torch.arange(len(found.outcomes), device=found.outcomes.device)
        return cls(
            trace=trace,
            noun="detection",
            names=pairs,
            kept=pair_numbers(found.proposals, found.labels, classes),
            boxes=trace.box_scores.boxes[:, 1:].reshape(-1, 4),
            scores=trace.box_scores.scores[:, 1:].reshape(-1),
            groups=split_pairs(pairs, classes)[1],
            outcomes=found.outcomes,
            floor=f"<= {knobs.box_score_threshold:g}",
            nms_threshold=knobs.box_nms_threshold,
            limit=knobs.box_detections_per_img,
        )

    def verdicts(self, rows: Tensor) -> list[Verdict]:
        """What became of some of those that came in, int64 (R,), and why."""
        place = {name: row for row, name in enumerate(self.kept.tolist())}
        names, outcomes = self.names[rows].tolist(), self.outcomes[rows].tolist()
        lost = [index for index, outcome in enumerate(outcomes) if outcome == SUPPRESSED]
        rivals = dict(zip(lost, self._rivals(rows[lost], place), strict=True))
        return [
            Verdict(
                place.get(name),
                OUTCOMES[outcome],
                self._reason(int(row), outcome, place.get(name), rivals.get(index)),
                rivals.get(index),
            )
            for index, (row, name, outcome) in enumerate(zip(rows, names, outcomes, strict=True))
        ]

    def endings(self, rows: Tensor) -> list[Ending]:
        """How some of those that came in ended, int64 (R,), in their order."""
        anchors, labels = self.names[rows], torch.zeros_like(rows)
        if self.noun == "detection":
            proposals, labels = split_pairs(rows, self.trace.box_scores.scores.shape[1])
            anchors = self.trace.proposals.anchors[proposals]
        columns = anchors.tolist(), labels.tolist(), self.scores[rows].tolist(), self.verdicts(rows)
        return [Ending(*ending) for ending in zip(*columns, strict=True)]

    def _rivals(self, rows: Tensor, place: dict[int, int]) -> list[Rival]:
        """For each suppressed row the survivor of its group with the highest score that overlaps too much."""
        survived = torch.where((self.outcomes == KEPT) | (self.outcomes == OVER_LIMIT))[0]
        survived = survived[self.scores[survived].argsort(descending=True, stable=True)]
        best, overlap = torch.empty_like(rows), torch.empty(len(rows), device=rows.device)
        for group in self.groups[rows].unique():
            own, others = self.groups[rows] == group, survived[self.groups[survived] == group]
            ious = box_iou(self.boxes[rows[own]], self.boxes[others])
            ious = ious.where(self.scores[others][None] >= self.scores[rows[own]][:, None], -1)
            over = ious > self.nms_threshold
            # batched_nms moves the groups apart first: an IoU at the threshold may round either way.
            first = torch.where(over.any(1), over.byte().argmax(1), ious.argmax(1))
            best[own], overlap[own] = others[first], ious.gather(1, first[:, None])[:, 0]
        boxes, names = self.trace.on_image(self.boxes[best]), self.names[best].tolist()
        return [
            Rival(place.get(name), box, iou)
            for name, box, iou in zip(names, boxes, overlap.tolist(), strict=True)
        ]

    def _reason(self, row: int, outcome: int, place: int | None, rival: Rival | None) -> str:
        if place is not None:
            return f"kept: {self.noun} {numbered(place)} of {len(self.kept)}"
        if rival:
            by = (
                f"a {self.noun} over the limit" if rival.row is None else f"{self.noun} {numbered(rival.row)}"
            )
            return f"suppressed by {by}, IoU {rival.iou:.2f} > {self.nms_threshold:.2f}"
        if outcome == OVER_LIMIT:
            return f"over the limit of {self.limit} {self.noun}s"
        if outcome == TOO_SMALL:
            left, top, right, bottom = self.boxes[row].tolist()
            return f"too small: {right - left:.2f} x {bottom - top:.2f} px"
        return f"score too low: {float(self.scores[row]):.3f} {self.floor}"


def endings(trace: Trace, stage: str) -> list[Ending]:
    """Every box that came into a stage which compares many and keeps few, highest score first.

    Args:
        trace: A run through the network.
        stage: "proposals" for the candidates of all levels, "detections" for the pairs of proposal and
            category.

    Raises:
        ValueError: The stage is neither.
    """
    if stage not in CONTESTS:
        raise ValueError(f"stage must be one of {', '.join(CONTESTS)}, got {stage!r}")
    contest = Contest.of_proposals(trace) if stage == "proposals" else Contest.of_detections(trace)
    return contest.endings(contest.scores.argsort(descending=True, stable=True))
