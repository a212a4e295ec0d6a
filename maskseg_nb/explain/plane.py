"""Two knobs at once: what becomes of a box under every score threshold and every threshold of NMS."""

from dataclasses import dataclass

import numpy as np

from ..mask_rcnn import stages
from ..mask_rcnn.follow import follow
from ..mask_rcnn.outcomes import LOW_SCORE
from ..mask_rcnn.stages import pair_numbers
from ..mask_rcnn.trace import Trace


@dataclass(frozen=True, eq=False)
class Plane:
    """What becomes of one box, in each of many reruns.

    Attributes:
        run: The run with the knobs as they are.
        anchor, label: The box, as `follow` takes it.
        nms_thresholds: float64 (R,), rising: values of `box_nms_threshold`.
        score_thresholds: float64 (K,), rising: values of `box_score_threshold`.
        outcomes: int64 (R, K): an index into `OUTCOMES` each.
    """

    run: Trace
    anchor: int
    label: int
    nms_thresholds: np.ndarray
    score_thresholds: np.ndarray
    outcomes: np.ndarray

    def __repr__(self) -> str:
        kept = f"{np.mean(self.outcomes == 0):.0%} of {self.outcomes.size:,} settings keep it"
        return f"Plane(anchor {self.anchor}, label {self.label}: {kept})"


def knob_plane(trace: Trace, anchor: int, label: int | None = None, steps: int = 101) -> Plane:
    """What `trace.rerun(box_score_threshold=..., box_nms_threshold=...)` makes of a box, for a grid of both.

    A rerun for each row is enough: only boxes with a higher score can suppress a box or take its place under
    the limit, and those are above every floor that the box itself is above.

    Args:
        trace: A run through the network.
        anchor, label: The box, as `follow` takes it.
        steps: How many values of each threshold, evenly from 0 to 1.

    Raises:
        ValueError: There is no such anchor or category, the box never reached the box head, or `steps` is
            less than 2.
        TypeError: A number is not a whole one.
    """
    journey = follow(trace, anchor=anchor, label=label)
    row, found = journey.proposal.verdict.row, journey.detection
    if row is None or found is None:
        raise ValueError(f"anchor {anchor} never reached the box head: {journey.verdict.reason}")
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    thresholds, scores = np.linspace(0, 1, steps), trace.box_scores.scores
    own, pair = scores[row, found.label], pair_numbers(row, found.label, scores.shape[1])
    below = float(np.nextafter(np.float32(own.item()), np.float32(0)))  # what is above scores as much or more
    by_nms = [
        int(
            stages.detections(
                trace.box_scores,
                box_score_threshold=below,
                box_nms_threshold=float(nms),
                box_detections_per_img=trace.knobs.box_detections_per_img,
            ).outcomes[pair]
        )
        for nms in thresholds
    ]
    passes = np.array([bool(own > floor) for floor in thresholds.tolist()])
    outcomes = np.where(passes[None], np.array(by_nms)[:, None], LOW_SCORE)
    return Plane(trace, journey.anchor.row, found.label, thresholds, thresholds, outcomes)
