"""Two runs, and the first stage where they part: two models, sizes, sets of knobs, or two images."""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from .._shared.checks import check_fraction
from ..evaluation.matching import labels_by_name
from ..mask_rcnn.prediction import Prediction
from ..mask_rcnn.trace import STAGES, Trace
from ..models.zoo import categories_of
from .survival import Survivors


class StageDifference(NamedTuple):
    """How far two runs are apart after one stage."""

    stage: str  # one of `STAGES`
    is_same: bool  # to the bit
    text: str  # how much they differ, in the stage's own terms


class Pair(NamedTuple):
    """A detection of one run and the one of the other run on the same thing; rows of the predictions."""

    row: int
    other: int
    iou: float  # of their boxes
    category: str
    other_category: str
    score: float
    other_score: float


class Missing(NamedTuple):
    """A detection of one run that has no counterpart with a high enough score in the other."""

    row: int
    category: str
    score: float
    lost_at: (
        str | None
    )  # the step of the other run, one of the `BOX_STEPS`; None where it only has no partner
    reason: str  # what became there of the last box that overlapped it
    anchor: int  # with the label, that box in the other run, as `follow` takes it; -1 where there is none
    label: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found out.

    Attributes:
        run, other: The two runs.
        stages: One per stage.
        pairs: Highest score first.
        lost: Of the first run's detections, those that the other does not have.
        gained: Of the other's detections, those that the first does not have.
        score_threshold: What a detection had to score.
    """

    run: Trace
    other: Trace
    stages: tuple[StageDifference, ...]
    pairs: tuple[Pair, ...]
    lost: tuple[Missing, ...]
    gained: tuple[Missing, ...]
    score_threshold: float

    @property
    def parting(self) -> str | None:
        """The first stage after which the two differ in any bit; None where they are the same."""
        return next((one.stage for one in self.stages if not one.is_same), None)

    @property
    def shared(self) -> tuple[Pair, ...]:
        """The pairs of one category of which both score enough."""
        lost, gained = {one.row for one in self.lost}, {one.row for one in self.gained}
        return tuple(
            one
            for one in self.pairs
            if min(one.score, one.other_score) >= self.score_threshold
            and one.row not in lost
            and one.other not in gained
        )

    def __repr__(self) -> str:
        where = f"part at {self.parting}" if self.parting else "are the same to the bit"
        counts = f"{len(self.pairs)} pairs, {len(self.lost)} lost, {len(self.gained)} gained"
        return f"Comparison(the runs {where}: {counts})"

    def __str__(self) -> str:
        lines = [f"{one.stage:<12}{one.text}" for one in self.stages]
        for word, side in (("lost", self.lost), ("gained", self.gained)):
            for one in side:
                step = f" at {one.lost_at}" if one.lost_at else ""
                lines.append(f"{word}: {one.category} {one.score:.3f}{step}: {one.reason}")
        return "\n".join([repr(self), *lines])


def compare(trace: Trace, other: Trace, *, iou: float = 0.5, score_threshold: float = 0.5) -> Comparison:
    """Compare two runs stage by stage, pair their detections, and say where each unpaired one was lost.

    The images may have different sizes: the other's boxes are scaled to the first's. Categories are compared
    by name. Detections are paired one to one, highest score first, each with the free one that it overlaps
    most, of its own category if there is one.

    Args:
        trace, other: Runs through the same network or two, on the same image or two versions of it.
        iou: The least overlap of boxes that makes a pair, in (0, 1].
        score_threshold: A detection scored below counts as lost, in [0, 1].

    Raises:
        TypeError, ValueError: A number is out of range.
    """
    check_fraction("iou", iou)
    check_fraction("score_threshold", score_threshold)
    if not iou:
        raise ValueError("iou must be above 0: at 0 everything is a pair")
    left, right = trace.prediction, other.prediction.to_size(trace.normalised.image_size)
    pairs = _pairs(left, right, iou)
    same = {name: _same(getattr(trace, name), getattr(other, name)) for name in STAGES}
    stages = tuple(
        StageDifference(name, same[name], "the same" if same[name] else _TEXTS[name](trace, other, pairs))
        for name in STAGES
    )
    there = {one.row for one in pairs if _still_there(one, one.other_score, score_threshold)}
    back = {one.other for one in pairs if _still_there(one, one.score, score_threshold)}
    lost = _missing(left, other, there, iou, score_threshold)
    gained = _missing(right, trace, back, iou, score_threshold)
    return Comparison(trace, other, stages, pairs, lost, gained, score_threshold)


def _still_there(pair: Pair, score: float, score_threshold: float) -> bool:
    return pair.category == pair.other_category and score >= score_threshold


def _pairs(left: Prediction, right: Prediction, iou: float) -> tuple[Pair, ...]:
    """Detections of the same category first, then what is left."""
    if not len(left) or not len(right):
        return ()
    ious = box_iou(torch.from_numpy(left.boxes), torch.from_numpy(right.boxes)).numpy()
    names, others = ([p.categories[label] for label in p.labels] for p in (left, right))
    same = np.array(names)[:, None] == np.array(others)[None]
    partner, free = dict[int, int](), np.ones(len(right), bool)
    for allowed in (same, ~same):
        for row in range(len(left)):
            fits = np.where(allowed[row] & free, ious[row], 0.0)
            if row not in partner and fits.max() >= iou:
                partner[row] = int(fits.argmax())
                free[partner[row]] = False
    return tuple(
        Pair(
            row,
            to,
            float(ious[row, to]),
            names[row],
            others[to],
            float(left.scores[row]),
            float(right.scores[to]),
        )
        for row, to in sorted(partner.items())
    )


def _missing(
    found: Prediction, other: Trace, there: set[int], iou: float, score_threshold: float
) -> tuple[Missing, ...]:
    """The detections that are not `there` in the other run, and the step of it that lost them."""
    rows = [row for row in np.flatnonzero(found.scores >= score_threshold).tolist() if row not in there]
    found = found.to_size(other.normalised.image_size)
    labels = labels_by_name(found.labels, found.categories, categories_of(other.model))
    known = [row for row in rows if labels[row]]
    ways = Survivors(other, found.boxes[known], labels[known]).at(iou, score_threshold)
    said = dict(zip(known, ways, strict=True))
    missing = []
    for row in rows:
        name, score, way = found.categories[found.labels[row]], float(found.scores[row]), said.get(row)
        if way is None:
            missing.append(Missing(row, name, score, "box head", "the model has no such category", -1, 0))
        else:
            reason = way.reason or "its counterpart is paired with another detection"
            missing.append(Missing(row, name, score, way.lost_at, reason, way.anchor, way.label))
    return tuple(missing)


def _same(left: Any, right: Any) -> bool:
    """Whether two stages, or parts of them, are equal to the bit."""
    if isinstance(left, Tensor):
        return left.shape == right.shape and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, (tuple, int)):
        return bool(left == right)
    return left is right or all(
        _same(getattr(left, field.name), getattr(right, field.name)) for field in fields(left)
    )


def _relative(left: Tensor, right: Tensor) -> float:
    """The size of a difference as a share of what it is a difference to."""
    return float((left - right).norm() / left.norm().clamp(min=1e-12))


def _normalised(run: Trace, other: Trace, pairs: tuple[Pair, ...]) -> str:
    left, right = run.normalised, other.normalised
    if left.size != right.size:
        return "{} x {} against {} x {} pixels".format(*left.size, *right.size)
    return f"pixels differ by {_relative(left.tensor, right.tensor):.2%}"


def _features(run: Trace, other: Trace, pairs: tuple[Pair, ...]) -> str:
    left, right = run.features, other.features
    if [m.shape for m in left.maps.values()] != [m.shape for m in right.maps.values()]:
        return "maps of other sizes"
    levels = zip(left.names, left.maps.values(), right.maps.values(), strict=True)
    return "maps differ by " + ", ".join(f"{name} {_relative(a, b):.0%}" for name, a, b in levels)


def _anchors(run: Trace, other: Trace, pairs: tuple[Pair, ...]) -> str:
    left, right = run.anchors, other.anchors
    if not _same(left.boxes, right.boxes):
        return f"{len(left.boxes):,} against {len(right.boxes):,} anchors"
    change = (left.objectness.sigmoid() - right.objectness.sigmoid()).abs()
    return f"objectness differs by {float(change.mean()):.4f} on average, {float(change.max()):.2f} at most"


def _proposals(run: Trace, other: Trace, pairs: tuple[Pair, ...]) -> str:
    left, right = run.proposals, other.proposals
    if not _same(run.anchors.boxes, other.anchors.boxes):
        return f"{len(left.boxes)} against {len(right.boxes)} proposals"
    kept = int(torch.isin(left.anchors, right.anchors).sum())
    return f"{len(left.anchors) - kept} proposals lost, {len(right.anchors) - kept} new, {kept} in both"


def _box_scores(run: Trace, other: Trace, pairs: tuple[Pair, ...]) -> str:
    left, right = run.box_scores.scores, other.box_scores.scores
    if not _same(run.anchors.boxes, other.anchors.boxes) or categories_of(run.model) != categories_of(
        other.model
    ):
        return "proposals of other anchors or categories"
    rows, columns = torch.where(run.proposals.anchors[:, None] == other.proposals.anchors[None])
    renamed = int((left[rows].argmax(1) != right[columns].argmax(1)).sum())
    change = float((left[rows] - right[columns]).abs().max()) if len(rows) else 0.0
    return f"{renamed} of {len(rows)} proposals renamed; scores differ by {change:.2f} at most"


def _detections(run: Trace, other: Trace, pairs: tuple[Pair, ...]) -> str:
    lost, new = len(run.detections.scores) - len(pairs), len(other.detections.scores) - len(pairs)
    counts = f"{lost} detections lost, {new} new, {len(pairs)} pairs"
    if not pairs:
        return counts
    return f"{counts}; scores differ by {max(abs(one.score - one.other_score) for one in pairs):.2f} at most"


def _masks(run: Trace, other: Trace, pairs: tuple[Pair, ...]) -> str:
    left, right = run.masks.probs, other.masks.probs
    if not pairs or left.shape[1:] != right.shape[1:]:
        return "no pair of masks to compare"
    rows = [(one.row, one.other) for one in pairs]
    change = torch.stack([(left[row] - right[to]).abs().mean() for row, to in rows])
    return f"mask probabilities of pairs differ by {float(change.mean()):.3f} on average"


_TEXTS = {
    "normalised": _normalised,
    "features": _features,
    "anchors": _anchors,
    "proposals": _proposals,
    "box_scores": _box_scores,
    "detections": _detections,
    "masks": _masks,
}
