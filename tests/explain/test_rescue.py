"""Each answer against a rerun and a search of all settings; succession against torchvision's NMS."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from hand_made import hand_made, shifted
from maskseg_nb import preprocess, rescue, trace, without
from maskseg_nb.explain.plane import knob_plane
from maskseg_nb.explain.rescue import NMS_KNOBS
from maskseg_nb.mask_rcnn.contests import endings
from maskseg_nb.mask_rcnn.follow import follow
from maskseg_nb.mask_rcnn.outcomes import OUTCOMES
from small_models import tiny_model

AWAY = [70.0, 70.0, 90.0, 90.0]
HUNDREDTHS = [number / 100 for number in range(101)]


@pytest.fixture(scope="module")
def tiny():
    """A run whose scores are spread: its last layer is a hundred times weaker."""
    model = tiny_model(("__background__", "person", "bicycle"))
    with torch.no_grad():
        for part in (*model.roi_heads.box_predictor.children(), *list(model.rpn.head.children())[1:]):
            part.weight *= 0.05
            part.bias *= 0.05
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    run = trace(model, preprocess(noise, (64, 96))[0], rpn_pre_nms_top_n=60, rpn_post_nms_top_n=50)
    return run.rerun(
        box_score_threshold=0.3,
        box_nms_threshold=0.3,
        box_detections_per_img=30,
        rpn_nms_threshold=0.5,
        rpn_score_threshold=0.64,
    )


def is_kept(run, anchor, label, **knobs):
    return follow(run.rerun(**knobs), anchor=anchor, label=label).mask is not None


def lost_boxes(run):
    """Boxes of every kind of ending: (what became of it, anchor, label)."""
    kinds = {}
    for stage in ("proposals", "detections"):
        for one in endings(run, stage):
            if one.verdict.row is None:
                kinds.setdefault((stage, one.verdict.outcome), []).append((one.anchor, one.label or 1))
    return [(kind, *box) for kind, boxes in kinds.items() for box in boxes[:: len(boxes) // 2 + 1]]


@pytest.mark.slow
def test_every_answer_is_the_nearest_setting_that_a_search_finds(tiny):
    boxes = lost_boxes(tiny)
    assert len({kind for kind, _, _ in boxes}) == 7
    helped = set()
    for _, anchor, label in boxes:
        result = rescue(tiny, anchor, label)
        assert [remedy.knob for remedy in result.remedies] == list(asdict(tiny.knobs))
        for remedy in result.remedies:
            if remedy.knob in NMS_KNOBS:
                far = 2 if remedy.needed is None else round(abs(remedy.needed - remedy.now), 6)
                nearer = [value for value in HUNDREDTHS if round(abs(value - remedy.now), 6) < far]
                some = nearer if far < 2 else nearer[::10]
                assert not any(is_kept(tiny, anchor, label, **{remedy.knob: value}) for value in some)
            if remedy.needed is not None:
                helped.add(remedy.knob)
                assert is_kept(tiny, anchor, label, **{remedy.knob: remedy.needed})
                assert follow(remedy.run, anchor=anchor, label=label).mask
                assert getattr(remedy.run.knobs, remedy.knob) == remedy.needed
    assert {*NMS_KNOBS, "box_detections_per_img", "rpn_post_nms_top_n"} <= helped


def test_one_step_less_is_shown_to_fail(tiny):
    for _, anchor, label in lost_boxes(tiny):
        for remedy in rescue(tiny, anchor, label).helpful:
            step = 1 if isinstance(remedy.now, int) else 0.01
            towards = step if remedy.needed < remedy.now else -step
            less = round(remedy.needed + towards, 10)
            assert not is_kept(tiny, anchor, label, **{remedy.knob: less}), remedy


# What a box lost to each floor and limit needs, worked out by hand.
WAYS = {
    "box_score_threshold": ({"anchors": [shifted(0)], "person": [0.043]}, 0, 0.04),
    "box_detections_per_img": ({"anchors": [AWAY, shifted(0)], "box_detections_per_img": 1}, 1, 2),
    "box_nms_threshold": (
        {"anchors": [shifted(0), shifted(4)], "rpn_nms_threshold": 0.9, "box_nms_threshold": 0.81},
        1,
        0.82,
    ),
}


@pytest.mark.parametrize("knob", WAYS)
def test_a_run_made_by_hand_needs_what_was_worked_out(knob):
    """IoU of the last two boxes: 36 / 44, and the threshold has to reach it."""
    made, anchor, needed = WAYS[knob]
    (remedy,) = rescue(hand_made(**made), anchor, 1).helpful
    assert (remedy.knob, remedy.needed) == (knob, needed)
    assert str(remedy) == f"{knob} {remedy.now:g} -> {needed:g}"


def test_a_floor_that_is_not_all_says_what_comes_after_it():
    run = hand_made([shifted(0), shifted(4)], rpn_nms_threshold=0.9, person=[0.9, 0.03])
    result = rescue(run, 1, 1)
    assert result.helpful == ()
    said = {remedy.knob: remedy.reason for remedy in result.remedies}
    assert said["box_score_threshold"] == (
        "even at 0.02 it is lost: suppressed by detection #1, IoU 0.82 > 0.50"
    )
    assert said["box_nms_threshold"] == "no setting of this knob helps"
    assert said["rpn_min_size"] == "not in its way"


def test_rpn_limits_and_floors_are_loosened_as_far_as_the_box_needs(tiny):
    """Against the numbers that torchvision compares with them."""
    open_floor = tiny.rerun(box_score_threshold=0.0, box_nms_threshold=1.0, box_detections_per_img=1000)
    kinds = {}
    for kind, anchor, label in lost_boxes(open_floor.rerun(rpn_min_size=20.0)):
        kinds.setdefault(kind, (anchor, label))
    run = open_floor.rerun(rpn_min_size=20.0)
    anchor, label = kinds["proposals", "too small"]
    row = int(torch.where(run.proposals.candidates == anchor)[0])
    x1, y1, x2, y2 = run.proposals.candidate_boxes[row].tolist()
    (remedy,) = (one for one in rescue(run, anchor, label).remedies if one.knob == "rpn_min_size")
    needed = remedy.needed if remedy.needed is not None else float(remedy.reason.split()[2])
    assert 0 <= min(x2 - x1, y2 - y1) - needed <= 0.01 + 1e-6
    worst = int(open_floor.anchors.objectness.argmin())
    remedy = rescue(open_floor, worst, 1).remedies[0]
    rank = follow(open_floor, anchor=worst).anchor.rank
    assert remedy.needed == rank + 1 or f"even at {rank + 1} it is lost" in remedy.reason


def test_without_a_label_the_box_is_rescued_as_its_most_probable_category(tiny):
    """Also one that the box head never read: under a higher limit it does."""
    (anchor, *_) = (one for kind, one, _ in lost_boxes(tiny) if kind == ("proposals", "over the limit"))
    again = tiny.rerun(rpn_post_nms_top_n=1000)
    scores = again.box_scores.scores[again.proposals.anchors == anchor]
    assert rescue(tiny, anchor).label == int(scores[0, 1:].argmax()) + 1
    assert rescue(hand_made([shifted(0)], person=[0.043]), 0).label == 1


def test_what_is_not_lost_needs_no_rescue(street_trace):
    found = street_trace.detections
    anchor = int(street_trace.proposals.anchors[found.proposals[0]])
    with pytest.raises(ValueError, match=f"anchor {anchor} is not lost: kept: detection #1"):
        rescue(street_trace, anchor, int(found.labels[0]))


def test_an_anchor_that_does_not_exist_is_refused(street_trace):
    count = len(street_trace.anchors.boxes)
    with pytest.raises(ValueError, match=f"there is no anchor {count}"):
        rescue(street_trace, count)


# Without a detection


@pytest.mark.parametrize("name", ["street_trace", "tiny"])
def test_without_a_detection_the_rest_is_torchvision_s_nms_on_the_reduced_set(name, request):
    run = request.getfixturevalue(name)
    knobs = run.knobs
    boxes, scores = run.box_scores.boxes, run.box_scores.scores
    proposals, labels = torch.where(scores[:, 1:] > knobs.box_score_threshold)
    labels = labels + 1
    for row in range(0, len(run.prediction), 3):
        struck = (int(run.detections.proposals[row]), int(run.detections.labels[row]))
        left = (proposals != struck[0]) | (labels != struck[1])
        p, c = proposals[left], labels[left]
        kept = batched_nms(boxes[p, c], scores[p, c], c, knobs.box_nms_threshold)[
            : knobs.box_detections_per_img
        ]
        expected = list(zip(p[kept].tolist(), c[kept].tolist(), strict=True))
        found = without(run, row)
        after = found.run.detections
        assert list(zip(after.proposals.tolist(), after.labels.tolist(), strict=True)) == expected
        before = set(zip(run.detections.proposals.tolist(), run.detections.labels.tolist(), strict=True))
        names = [
            {(int(torch.where(run.proposals.anchors == one.anchor)[0]), one.label) for one in side}
            for side in (found.risen, found.fallen)
        ]
        assert names == [set(expected) - before, before - set(expected) - {struck}]
        assert len(found.run.prediction) == len(expected)


def test_the_suppressed_rises_and_suppresses_in_its_turn():
    """Three in a row, each over the threshold with its neighbour only: 32 / 48 beside 24 / 56."""
    run = hand_made([shifted(0), shifted(8), shifted(16)], rpn_nms_threshold=1.0)
    assert [one.anchor for one in endings(run, "detections") if one.verdict.row is not None] == [0, 2]
    result = without(run, 0)
    assert (result.struck.anchor, result.struck.verdict.row) == (0, 0)
    assert [one.anchor for one in result.risen] == [1]
    assert [(one.anchor, one.verdict.reason) for one in result.fallen] == [
        (2, "suppressed by detection #1, IoU 0.67 > 0.50")
    ]
    assert repr(result) == "Succession(detection #1 of 2 struck out: 1 risen, 1 fallen)"


def test_a_place_under_the_limit_goes_to_the_next():
    result = without(hand_made([AWAY, shifted(0)], box_detections_per_img=1), 0)
    assert [one.anchor for one in result.risen] == [1] and not result.fallen


def test_a_detection_that_does_not_exist_cannot_be_struck_out(street_trace):
    count = len(street_trace.prediction)
    with pytest.raises(ValueError, match=f"there is no detection {count}"):
        without(street_trace, count)


# Two knobs


def outcome_of(run, anchor, label):
    return follow(run, anchor=anchor, label=label).verdict.outcome


def test_a_hundred_points_of_a_plane_are_what_reruns_say(tiny):
    random = np.random.default_rng(1)
    boxes = [(anchor, label) for (stage, _), anchor, label in lost_boxes(tiny) if stage == "detections"]
    boxes += [
        (int(tiny.proposals.anchors[tiny.detections.proposals[0]]), int(tiny.detections.labels[0])),
    ]
    seen = set()
    for anchor, label in boxes:
        plane = knob_plane(tiny, anchor, label)
        assert plane.outcomes.shape == (101, 101)
        for _ in range(100 // len(boxes) + 1):
            row, column = random.integers(0, 101, 2)
            nms, floor = plane.nms_thresholds[row], plane.score_thresholds[column]
            again = tiny.rerun(box_nms_threshold=float(nms), box_score_threshold=float(floor))
            said = OUTCOMES[plane.outcomes[row, column]]
            assert said == outcome_of(again, anchor, label)
            seen.add(said)
    assert {"kept", "suppressed", "score too low"} <= seen


def test_a_plane_needs_a_box_that_reached_the_box_head():
    run = hand_made([AWAY, shifted(0)], rpn_post_nms_top_n=1)
    with pytest.raises(
        ValueError, match="anchor 1 never reached the box head: over the limit of 1 proposals"
    ):
        knob_plane(run, 1)
    with pytest.raises(ValueError, match="steps must be at least 2, got 1"):
        knob_plane(run, 0, steps=1)
