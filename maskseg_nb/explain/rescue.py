"""What would have saved a lost box: for each knob by itself, the smallest change that keeps it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from ..mask_rcnn import stages
from ..mask_rcnn.follow import follow
from ..mask_rcnn.journey import Journey
from ..mask_rcnn.outcomes import LOW_SCORE, TOO_SMALL, best_apart
from ..mask_rcnn.trace import BOX_KNOBS, Trace

STEP = 0.01  # of a threshold; of a size in pixels
NMS_KNOBS = ("rpn_nms_threshold", "box_nms_threshold")
LIMITS = ("rpn_post_nms_top_n", "box_detections_per_img")
# Where a box was dropped and what became of it -> the floor or limit that it did not pass.
_IN_ITS_WAY = {
    ("proposals", "not among its level's best"): "rpn_pre_nms_top_n",
    ("proposals", "too small"): "rpn_min_size",
    ("proposals", "score too low"): "rpn_score_threshold",
    ("proposals", "over the limit"): "rpn_post_nms_top_n",
    ("detections", "score too low"): "box_score_threshold",
    ("detections", "over the limit"): "box_detections_per_img",
}


@dataclass(frozen=True, eq=False)
class Remedy:
    """What one knob by itself does for a lost box.

    Attributes:
        knob: A field of `Knobs`.
        now: Its value in the run.
        needed: The nearest value that keeps the box; None where there is none.
        run: The run again with that value, in which the box is a detection; None where there is none.
        reason: Without such a value, why.
    """

    knob: str
    now: float
    needed: float | None
    run: Trace | None
    reason: str

    def __repr__(self) -> str:
        return f"Remedy({self})"

    def __str__(self) -> str:
        if self.needed is None:
            return f"{self.knob} {self.now:g}: {self.reason}"
        return f"{self.knob} {self.now:g} -> {self.needed:g}"


@dataclass(frozen=True, eq=False)
class Rescue:
    """What `rescue` found out about a lost box.

    Attributes:
        run: The run that lost it.
        journey: Its way to where it was lost, as `follow` finds it.
        label: The category that it was to be found as.
        remedies: One per field of `Knobs`, in their order.
    """

    run: Trace
    journey: Journey
    label: int
    remedies: tuple[Remedy, ...]

    @property
    def helpful(self) -> tuple[Remedy, ...]:
        """The remedies that keep the box."""
        return tuple(remedy for remedy in self.remedies if remedy.needed is not None)

    def __repr__(self) -> str:
        row, reason = self.journey.anchor.row, self.journey.verdict.reason
        return f"Rescue(anchor {row}, {reason}: {len(self.helpful)} of {len(self.remedies)} knobs help)"

    def __str__(self) -> str:
        return "\n".join([repr(self), *map(str, self.remedies)])


def rescue(trace: Trace, anchor: int, label: int | None = None) -> Rescue:
    """For a lost box, the smallest change of each single knob that makes it a detection.

    The floor or limit that dropped the box is loosened as far as it takes. The two thresholds of NMS are
    tried at every hundredth from where they are, nearest first, upwards and downwards: raised, fewer boxes
    are suppressed; lowered, it may be the suppressor's turn. Each answer is the result of a rerun.

    The other floors and limits, which the box passes, are not in its way. Moving them could help only by the
    way, where it drops a rival or brings in a rival's rival, and is not tried.

    Args:
        trace: A run through the network.
        anchor, label: The box, as `follow` takes it: a row of `trace.anchors`, and a category from the box
            head on; None takes the most probable.

    Raises:
        ValueError: There is no such anchor or category, or the box is not lost.
        TypeError: A number is not a whole one.
    """
    journey = follow(trace, anchor=anchor, label=label)
    if journey.verdict.row is not None:
        raise ValueError(f"anchor {anchor} is not lost: {journey.verdict.reason}")
    box = _LostBox(trace, journey, label)
    return Rescue(trace, journey, box.label, tuple(box.remedy(knob) for knob in asdict(trace.knobs)))


class _LostBox:
    """A lost box, and what becomes of it under other knobs."""

    def __init__(self, run: Trace, journey: Journey, label: int | None) -> None:
        self.run, self.head, self.anchor = run, _BoxHead(run), journey.anchor
        self.own = torch.tensor([self.anchor.row], device=run.anchors.boxes.device)
        scores = self.head.read(self.own).scores[0]  # whether or not it came so far
        self.label = label or int(scores[1:].argmax()) + 1
        self.score = scores[self.label]
        self.scores_too_low = not self.score > run.knobs.box_score_threshold
        stage = "detections" if journey.detection else "proposals"
        self.in_its_way = _IN_ITS_WAY.get((stage, journey.verdict.outcome))

    def remedy(self, knob: str) -> Remedy:
        """What one knob can do."""
        now = getattr(self.run.knobs, knob)
        if knob in NMS_KNOBS:
            dropped_before = self.in_its_way is not None and self.in_its_way not in LIMITS
            for value in () if dropped_before or self.scores_too_low else _around(now):
                if self._would_keep(knob, value) and (again := self._kept_by(knob, value)):
                    return Remedy(knob, now, value, again, "")
            return Remedy(knob, now, None, None, "no setting of this knob helps")
        if knob != self.in_its_way:
            return Remedy(knob, now, None, None, "not in its way")
        if self.scores_too_low and knob != "box_score_threshold":
            low = f"{float(self.score):.3f} <= {self.run.knobs.box_score_threshold:g}"
            return Remedy(knob, now, None, None, f"the box head would score it too low: {low}")
        needed = self._needed(knob)
        if again := self._kept_by(knob, needed):
            return Remedy(knob, now, needed, again, "")
        verdict = follow(self.run.rerun(**{knob: needed}), anchor=self.anchor.row, label=self.label).verdict
        return Remedy(knob, now, None, None, f"even at {needed:g} it is lost: {verdict.reason}")

    def _kept_by(self, knob: str, value: float) -> Trace | None:
        """The run again with one knob changed, if that keeps the box."""
        again = self.run.rerun(**{knob: value})
        return again if follow(again, anchor=self.anchor.row, label=self.label).mask else None

    def _needed(self, knob: str) -> float:
        """How far the floor or limit that dropped the box must be loosened to let it pass."""
        run, knobs = self.run, self.run.knobs
        if knob == "rpn_pre_nms_top_n":
            return self.anchor.rank + 1
        if knob == "rpn_post_nms_top_n":
            return 1 + _place(self._proposals(knobs.rpn_nms_threshold, len(run.proposals.outcomes)), self.own)
        if knob == "box_detections_per_img":
            found = self._detections(run.box_scores, **{knob: len(run.detections.outcomes)})
            pairs = torch.stack([run.proposals.anchors[found.proposals], found.labels], dim=1)
            return 1 + _place(pairs, self.own.new_tensor([int(self.own), self.label]))
        if knob == "box_score_threshold":
            return _highest(lambda floor: bool(self.score > floor), float(self.score))
        value = run.anchors.objectness[self.own].sigmoid()
        if knob == "rpn_min_size":
            x1, y1, x2, y2 = clip_boxes_to_image(run.anchors.moved[self.own], run.normalised.size)[0]
            value = torch.minimum(x2 - x1, y2 - y1)
        return _highest(lambda floor: bool(value >= floor), float(value))

    def _would_keep(self, knob: str, value: float) -> bool:
        """What a rerun would show, but for the last bits of scores: the box head reads a proposal once."""
        anchors = self.run.proposals.anchors
        if knob == "rpn_nms_threshold":
            anchors = self._proposals(value, self.run.knobs.rpn_post_nms_top_n)
        if not len(row := torch.where(anchors == self.own)[0]):
            return False
        found = self._detections(self.head.read(anchors), **({knob: value} if knob in BOX_KNOBS else {}))
        return bool(((found.proposals == row) & (found.labels == self.label)).any())

    def _proposals(self, nms_threshold: float, limit: int) -> Tensor:
        """The anchors of the proposals under another NMS and limit, int64 (P,)."""
        found = self.run.proposals
        left = torch.where((found.outcomes != TOO_SMALL) & (found.outcomes != LOW_SCORE))[0]
        boxes, scores, groups = found.candidate_boxes, found.candidate_scores, self.run.anchors.levels
        levels, outcomes = groups[found.candidates], found.outcomes.clone()
        return found.candidates[best_apart(left, boxes, scores, levels, outcomes, nms_threshold, limit)]

    def _detections(self, scored: stages.BoxScores, **changes: float) -> stages.Detections:
        knobs = asdict(self.run.knobs.changed(changes))
        return stages.detections(scored, **{knob: knobs[knob] for knob in BOX_KNOBS})


class _BoxHead:
    """What the box head says of any anchor's proposal; each is read once."""

    def __init__(self, run: Trace) -> None:
        self.run, self.known = run, run.box_scores
        self.rows = torch.full_like(run.anchors.levels, -1)
        self.rows[run.proposals.anchors] = torch.arange(len(run.proposals.anchors), device=self.rows.device)

    @torch.no_grad()
    def read(self, anchors: Tensor) -> stages.BoxScores:
        """For the proposals of some rows of `Anchors`, int64 (P,)."""
        run, known = self.run, self.known
        if len(missing := anchors[self.rows[anchors] < 0]):
            boxes = clip_boxes_to_image(run.anchors.moved[missing], run.normalised.size)
            rois = replace(run.proposals, boxes=boxes, anchors=missing)
            new = stages.box_scores(run.model, run.normalised, run.features, rois)
            self.rows[missing] = torch.arange(len(missing), device=missing.device) + len(known.scores)
            known = self.known = stages.BoxScores(
                *(torch.cat([getattr(part, f.name) for part in (known, new)]) for f in fields(known))
            )
        rows = self.rows[anchors]
        return stages.BoxScores(known.roi_levels[rows], known.scores[rows], known.boxes[rows])


def _around(now: float) -> Iterator[float]:
    """Every hundredth of [0, 1] counted from a threshold, nearest first; and the two ends."""
    for count in range(1, math.ceil(1 / STEP) + 1):
        for value in (now + count * STEP, now - count * STEP):
            if -STEP < value < 1 + STEP:
                yield min(max(round(value, 10), 0.0), 1.0)


def _highest(passes: Callable[[float], bool], value: float) -> float:
    """The highest whole hundredth near a value that passes; 0 where none does."""
    floor = math.ceil(value / STEP) * STEP
    while floor > 0 and not passes(round(floor, 10)):
        floor -= STEP
    return max(round(floor, 10), 0.0)


def _place(rows: Tensor, row: Tensor) -> int:
    """Which of some rows, int64 (N,) or (N, K), equals one, (1,) or (K,)."""
    return int(torch.where((rows.view(len(rows), -1) == row).all(dim=1))[0])
