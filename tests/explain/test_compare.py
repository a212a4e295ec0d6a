"""Two runs: equal to the bit, parting at the stage whose knob was turned, and what was lost on the way."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from hand_made import hand_made, shifted
from maskseg_nb import compare, load_model, preprocess, trace
from maskseg_nb.mask_rcnn.follow import follow
from maskseg_nb.mask_rcnn.trace import STAGES

AWAY = [70.0, 70.0, 90.0, 90.0]


@pytest.fixture(scope="module")
def blurred(street, restaurant):
    tensor, _ = preprocess(cv2.GaussianBlur(restaurant[1], (0, 0), 4))
    return trace(street, tensor)


def test_a_twin_equal_to_its_original_shows_no_difference_at_all(street, restaurant, street_trace):
    result = compare(street_trace, trace(street, restaurant[0].clone()))
    assert [one.stage for one in result.stages] == list(STAGES)
    assert {(one.is_same, one.text) for one in result.stages} == {(True, "the same")}
    assert (result.parting, result.lost, result.gained) == (None, (), ())
    assert [(one.row, one.other) for one in result.pairs] == [(row, row) for row in range(len(result.pairs))]
    assert len(result.pairs) == len(street_trace.prediction)
    assert all(one.score == one.other_score and one.iou == pytest.approx(1) for one in result.pairs)


@pytest.mark.parametrize(
    ("knob", "stage"),
    [
        ({"box_nms_threshold": 0.3}, "detections"),
        ({"rpn_post_nms_top_n": 40}, "proposals"),
        ({"box_detections_per_img": 2}, "detections"),
    ],
)
def test_two_sets_of_knobs_part_at_the_stage_that_heeds_them(street_trace, knob, stage):
    result = compare(street_trace, street_trace.rerun(**knob))
    assert result.parting == stage
    before = list(STAGES).index(stage)
    assert [one.is_same for one in result.stages[:before]] == [True] * before


def test_one_bit_of_one_tensor_is_a_difference(street_trace):
    scores = street_trace.box_scores.scores.clone()
    scores[-1, -1] = torch.nextafter(scores[-1, -1], torch.tensor(1.0))
    other = replace(street_trace, box_scores=replace(street_trace.box_scores, scores=scores))
    assert compare(street_trace, other).parting == "box_scores"


def test_the_texts_count_what_plain_sets_count(street_trace, blurred):
    result = compare(street_trace, blurred)
    said = {one.stage: one.text for one in result.stages}
    ours, theirs = (set(run.proposals.anchors.tolist()) for run in (street_trace, blurred))
    assert said["proposals"] == (
        f"{len(ours - theirs)} proposals lost, {len(theirs - ours)} new, {len(ours & theirs)} in both"
    )
    best = [
        dict(zip(run.proposals.anchors.tolist(), run.box_scores.scores.argmax(1).tolist(), strict=True))
        for run in (street_trace, blurred)
    ]
    renamed = sum(best[0][anchor] != best[1][anchor] for anchor in ours & theirs)
    assert said["box_scores"].startswith(f"{renamed} of {len(ours & theirs)} proposals renamed")
    left, right = (run.normalised.tensor.double() for run in (street_trace, blurred))
    assert said["normalised"] == f"pixels differ by {float((left - right).norm() / left.norm()):.2%}"


def test_pairs_are_those_of_a_plain_greedy_search(street_trace, blurred):
    result = compare(street_trace, blurred, iou=0.4)
    left, right = street_trace.prediction, blurred.prediction
    ious = box_iou(torch.from_numpy(left.boxes), torch.from_numpy(right.boxes)).tolist()
    partner = {}
    for same in (True, False):
        for row in range(len(left)):
            fits = [
                (ious[row][to], -to)
                for to in range(len(right))
                if to not in partner.values() and (left.labels[row] == right.labels[to]) == same
            ]
            if row not in partner and fits and max(fits)[0] >= 0.4:
                partner[row] = -max(fits)[1]
    assert {one.row: one.other for one in result.pairs} == partner
    assert len(partner) > 3
    for one in result.pairs:
        assert one.iou == pytest.approx(ious[one.row][one.other])
        assert (one.score, one.other_score) == (left.scores[one.row], right.scores[one.other])


def test_a_partner_of_the_same_category_is_taken_before_a_closer_one_of_another():
    two = hand_made([shifted(0), shifted(8)], rpn_nms_threshold=1.0, box_nms_threshold=1.0)
    other = replace(two, detections=replace(two.detections, labels=torch.tensor([2, 1])))
    (one,) = compare(hand_made([shifted(0)]), other).pairs
    assert (one.other, one.other_category, round(one.iou, 3)) == (1, "person", 0.667)
    (one,) = compare(hand_made([shifted(0)]), other, iou=0.7).pairs
    assert (one.other, one.other_category, round(one.iou, 3)) == (0, "bicycle", 1)


def test_every_confident_detection_is_shared_or_lost(street_trace, blurred):
    result = compare(street_trace, blurred)
    for run, shared, missing in (
        (street_trace, [one.row for one in result.shared], result.lost),
        (blurred, [one.other for one in result.shared], result.gained),
    ):
        rows = np.flatnonzero(run.prediction.scores >= 0.5).tolist()
        assert sorted([*shared, *(one.row for one in missing)]) == rows
    assert result.lost or result.gained
    for one in result.lost:
        if one.lost_at == "class NMS":
            assert one.reason == follow(blurred, anchor=one.anchor, label=one.label).verdict.reason


@pytest.mark.parametrize(
    ("other", "step", "reason"),
    [
        ({"person": [0.04]}, "box head", "score too low: 0.040 <= 0.05; background 0.960"),
        ({"person": [0.4]}, "score threshold", "person 0.400 is below the score threshold"),
        (
            {"moved": [AWAY]},
            "decoded boxes",
            "of all anchors, moved and stretched, the best overlaps it by 0.00",
        ),
    ],
)
def test_a_lost_detection_names_the_step_that_lost_it(other, step, reason):
    (one,) = compare(hand_made([shifted(0)]), hand_made([shifted(0)], **other)).lost
    assert (one.row, one.category, one.lost_at, one.anchor, one.label) == (0, "person", step, 0, 1)
    assert one.reason.startswith(reason)


def test_two_sizes_are_compared_in_the_first_image_s_pixels(street, restaurant, street_trace):
    half = cv2.resize(restaurant[1], (400, 400), interpolation=cv2.INTER_AREA)
    result = compare(street_trace, trace(street, preprocess(half, None)[0]))
    assert len(result.shared) >= 3
    assert min(one.iou for one in result.shared) >= 0.5


def test_a_lost_detection_is_looked_for_in_the_other_image_s_pixels():
    """Two images of which one has twice the pixels; the network's input is the same."""
    run, other = hand_made([shifted(0)]), hand_made([shifted(0)], person=[0.04])
    large = replace(run, normalised=replace(run.normalised, image_size=(200, 200)))
    assert large.prediction.boxes.tolist() == [[40, 40, 120, 120]]
    (one,) = compare(large, other).lost
    assert one.lost_at == "box head"
    (one,) = compare(other, large).gained
    assert one.lost_at == "box head"


def test_another_model_s_categories_are_compared_by_name(street, restaurant, street_trace):
    renamed = load_model("street")
    renamed.categories = ("__background__", "human", *street.categories[2:])
    result = compare(street_trace, trace(renamed, restaurant[0]))
    people = [one for one in result.lost if one.category == "person"]
    assert people and {(one.lost_at, one.reason, one.anchor) for one in people} == {
        ("box head", "the model has no such category", -1)
    }
    assert {one.other_category for one in result.pairs if one.category == "person"} == {"human"}


def test_runs_without_detections_can_be_compared(nothing_trace, street_trace):
    result = compare(nothing_trace, street_trace)
    assert not result.pairs and not result.lost
    assert len(result.gained) == (street_trace.prediction.scores >= 0.5).sum()
    assert "no pair of masks" in str(result) and "0 pairs\n" in str(result)


@pytest.mark.parametrize("wrong", [{"iou": 0}, {"iou": 2}, {"score_threshold": "high"}])
def test_a_number_out_of_range_is_refused(street_trace, wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        compare(street_trace, street_trace, **wrong)
