"""How every box ended: against the stages' own outcomes, and against plain lines for who suppressed whom."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from maskseg_nb.mask_rcnn.contests import Contest, endings
from maskseg_nb.mask_rcnn.follow import follow
from maskseg_nb.mask_rcnn.outcomes import OUTCOMES, SUPPRESSED, count_outcomes


@pytest.fixture(scope="module", params=["proposals", "detections"])
def stage(request):
    return request.param


def test_every_box_that_came_in_is_there_once_and_ended_as_the_stage_says(street_trace, stage):
    found = endings(street_trace, stage)
    counts = count_outcomes(getattr(street_trace, stage).outcomes)
    assert {name: sum(e.verdict.outcome == name for e in found) for name in OUTCOMES} == counts
    assert len({(e.anchor, e.label) for e in found}) == len(found)
    scores = [e.score for e in found]
    assert scores == sorted(scores, reverse=True) and 0 <= scores[-1] <= scores[0] <= 1


def test_each_can_be_followed_under_its_name_to_the_same_end(street_trace, stage):
    found = endings(street_trace, stage)
    for ending in found[:: len(found) // 40]:
        journey = follow(street_trace, anchor=ending.anchor, label=ending.label or None)
        step = journey.proposal if stage == "proposals" else journey.detection
        assert (step.verdict.row, step.verdict.reason) == (ending.verdict.row, ending.verdict.reason)


def test_who_suppressed_whom_is_what_a_plain_loop_finds(street_trace, stage):
    """Torchvision's greedy rule, box by box: the first survivor, highest score first, over the threshold."""
    contest = (
        Contest.of_proposals(street_trace) if stage == "proposals" else Contest.of_detections(street_trace)
    )
    rows = torch.where(contest.outcomes == SUPPRESSED)[0]
    assert len(rows) > 100
    order = contest.scores.argsort(descending=True, stable=True).tolist()
    outcome = contest.outcomes.tolist()
    for row, verdict in zip(rows.tolist()[::7], contest.verdicts(rows[::7]), strict=True):
        for other in order:
            if OUTCOMES[outcome[other]] not in ("kept", "over the limit"):
                continue
            if contest.groups[other] != contest.groups[row]:
                continue
            iou = float(box_iou(contest.boxes[[row]], contest.boxes[[other]]))
            if iou > contest.nms_threshold:
                break
        assert verdict.rival.iou == pytest.approx(iou, abs=1e-6)
        expected = street_trace.on_image(contest.boxes[[other]])[0]
        np.testing.assert_array_equal(verdict.rival.box, expected)


def test_another_stage_compares_nothing(street_trace):
    with pytest.raises(ValueError, match="stage must be one of proposals, detections, got 'masks'"):
        endings(street_trace, "masks")
