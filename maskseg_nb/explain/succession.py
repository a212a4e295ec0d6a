"""Without the winner: who rises where a detection is struck out, and who falls."""

from dataclasses import dataclass, replace

import torch

from ..mask_rcnn import stages
from ..mask_rcnn.contests import Contest, Ending
from ..mask_rcnn.follow import follow
from ..mask_rcnn.stages import pair_numbers
from ..mask_rcnn.trace import BOX_KNOBS, Trace


@dataclass(frozen=True, eq=False)
class Succession:
    """What `without` found out.

    Attributes:
        struck: The detection that was struck out, as it had ended.
        risen: Those that are detections now and were none before, highest score first, as they end now: it
            had suppressed them, or taken their place under the limit.
        fallen: Those that were detections and are none now: one of the risen suppresses them, or took their
            place.
        run: The run without it: its score as its category is 0.
    """

    struck: Ending
    risen: tuple[Ending, ...]
    fallen: tuple[Ending, ...]
    run: Trace

    def __repr__(self) -> str:
        reason = self.struck.verdict.reason.removeprefix("kept: ")
        return f"Succession({reason} struck out: {len(self.risen)} risen, {len(self.fallen)} fallen)"

    def __str__(self) -> str:
        names = self.run.prediction.categories
        lines = [
            f"{word:<6} {names[one.label]} {one.score:.3f}, {one.verdict.reason}"
            for word, side in (("risen", self.risen), ("fallen", self.fallen))
            for one in side
        ]
        return "\n".join([repr(self), *lines])


def without(trace: Trace, detection: int) -> Succession:
    """Strike a detection out, and choose the detections again.

    Args:
        trace: A run through the network.
        detection: A row of `trace.prediction`.

    Raises:
        ValueError: There is no such detection.
        TypeError: It is not a whole number.
    """
    follow(trace, detection=detection)  # raises
    found, pairs, knobs = trace.detections, trace.box_scores, vars(trace.knobs)
    proposal, label = int(found.proposals[detection]), int(found.labels[detection])
    scores = pairs.scores.clone()
    scores[proposal, label] = 0
    changed = replace(pairs, scores=scores)
    again = stages.detections(changed, **{knob: knobs[knob] for knob in BOX_KNOBS})
    with torch.no_grad():
        masks = stages.masks(trace.model, trace.features, again)
    run = replace(
        trace, box_scores=changed, detections=again, masks=masks, rerun_stages=("detections", "masks")
    )
    before, after = (
        pair_numbers(one.proposals, one.labels, scores.shape[1]) for one in (trace.detections, again)
    )
    struck = torch.tensor([pair_numbers(proposal, label, scores.shape[1])], device=before.device)
    lost = before[~torch.isin(before, torch.cat([after, struck]))]
    (own,), now = Contest.of_detections(trace).endings(struck), Contest.of_detections(run)
    risen, fallen = now.endings(after[~torch.isin(after, before)]), now.endings(lost)
    return Succession(own, tuple(risen), tuple(fallen), run)
