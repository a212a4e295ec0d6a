"""Ten ways to be lost, each in a run made by hand; and on real pictures what `match` says."""

import itertools
import re

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from hand_made import CATEGORIES, hand_made, shifted, square
from maskseg_nb import match, preprocess, trace
from maskseg_nb.data.samples import voc_photograph
from maskseg_nb.data.shapes import ShapesDataset
from maskseg_nb.data.truth import Truth
from maskseg_nb.errors import DatasetError
from maskseg_nb.explain.post_mortem import Examination, examine, post_mortem
from maskseg_nb.explain.survival import STEPS
from maskseg_nb.mask_rcnn.follow import follow

PERSON = Truth.from_masks(square(shifted(0)), [1], CATEGORIES)
AWAY = [70.0, 70.0, 90.0, 90.0]
# IoU with the person: 28 / 52 and 24 / 56; with each other 36 / 44.
GOOD, RIVAL = shifted(12), shifted(16)
WAYS = {
    "anchors": ({"anchors": [AWAY]}, r"of all anchors, the best overlaps it by 0\.00, less than 0\.50"),
    "decoded boxes": (
        {"anchors": [GOOD], "moved": [AWAY]},
        r".* stretched, the best overlaps it by 0\.00, less .*",
    ),
    "candidates": ({"anchors": [AWAY, GOOD], "rpn_pre_nms_top_n": 1}, r"not among the 1 best of P2: rank 1"),
    "RPN NMS": ({"anchors": [RIVAL, GOOD]}, r"suppressed by proposal #1, IoU 0\.82 > 0\.70"),
    "proposals": ({"anchors": [AWAY, GOOD], "rpn_post_nms_top_n": 1}, r"over the limit of 1 proposals"),
    "box head": (
        {"anchors": [GOOD], "person": [0.04]},
        r"score too low: 0\.040 <= 0\.05; background 0\.960",
    ),
    "class NMS": (
        {"anchors": [RIVAL, GOOD], "rpn_nms_threshold": 0.9},
        r"suppressed by detection #1, IoU 0\.82 > 0\.50",
    ),
    "limit": ({"anchors": [AWAY, GOOD], "box_detections_per_img": 1}, r"over the limit of 1 detections"),
    "score threshold": (
        {"anchors": [GOOD], "person": [0.4]},
        r"person 0\.400 is below the score threshold",
    ),
    "mask": ({"anchors": [GOOD], "mask": 0.4}, r"its mask overlaps it by 0\.00, less than 0\.50"),
}


def test_there_is_a_way_to_be_lost_at_every_step():
    assert tuple(WAYS) == tuple(STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_a_run_made_by_hand_loses_its_object_at_the_step_meant(step):
    made, reason = WAYS[step]
    result = examine(hand_made(**made), PERSON)
    (one,) = result.lost_at(step)
    assert result.lost == (one,) and result.counts() == {**dict.fromkeys(STEPS, 0), step: 1}
    assert re.fullmatch(reason, one.reason)
    place = tuple(STEPS).index(step)
    assert (one.ious[:place] >= 0.5).all() and (one.ious[place:] < 0.5).all()
    assert len(one.ious) == len(STEPS)


@pytest.mark.parametrize(
    ("step", "knob"), [("RPN NMS", "rpn_nms_threshold"), ("class NMS", "box_nms_threshold")]
)
def test_what_nms_loses_lives_where_nms_is_switched_off(step, knob):
    made = (
        {"anchors": [RIVAL, GOOD], "rpn_nms_threshold": 0.9}
        if step == "class NMS"
        else {"anchors": [RIVAL, GOOD]}
    )
    off = {"rpn_nms_threshold": 1.0, "box_nms_threshold": 1.0}
    assert examine(hand_made(**made), PERSON).lost_at(step)
    assert examine(hand_made(**{**made, **off}), PERSON).found


def test_a_box_may_leave_its_object_and_come_back():
    """The definition is by IoU, and the last time alive decides."""
    back = hand_made([GOOD], moved=[shifted(30)], refined=[GOOD])
    (one,) = examine(back, PERSON).found
    assert one.ious.round(2).tolist() == [0.54, *[0.14] * 4, *[0.54] * 4, 0.53]
    away = hand_made([GOOD], moved=[shifted(30)], refined=[GOOD], person=[0.3])
    assert examine(away, PERSON).lost_at("score threshold")


def test_a_box_refined_off_its_object_is_lost_in_the_box_head():
    (one,) = examine(hand_made([GOOD], refined=[RIVAL]), PERSON).lost_at("box head")
    assert one.reason == "refined, its box overlaps it by 0.43, less than 0.50"


def test_an_object_of_another_category_is_lost_in_the_box_head():
    (one,) = examine(hand_made([GOOD]), Truth.from_masks(square(shifted(0)), [2], CATEGORIES)).lost
    assert (one.lost_at, one.category, one.ious[-1]) == ("box head", "bicycle", 0)
    assert one.reason == "score too low: 0.000 <= 0.05; person 0.990"


def test_two_objects_under_one_mask_are_one_found_and_one_lost():
    two = Truth.from_masks(square(shifted(0), shifted(-2)), [1, 1], CATEGORIES)
    result = examine(hand_made([shifted(0)]), two)
    assert [one.row for one in result.found] == [0]
    (one,) = result.lost_at("mask")
    assert one.reason == "its mask, IoU 0.87, is matched with another object"


def test_crowds_and_unknown_categories_do_not_count():
    others = Truth.from_masks(square(shifted(0), AWAY), [1, 2], ("__background__", "person", "zebra"))
    assert [one.row for one in examine(hand_made([GOOD]), others).objects] == [0]
    crowd = Truth(**{**vars(PERSON), "crowd": np.array([True])})
    assert examine(hand_made([GOOD]), crowd).objects == ()


# Real pictures


@pytest.fixture(scope="module")
def pictures():
    return voc_photograph()


@pytest.fixture(scope="module")
def photograph(street, pictures):
    image, truth = pictures[0]
    return trace(street, preprocess(image, truth.image_size)[0]), truth


@pytest.mark.parametrize(
    ("iou", "score_threshold"), [(0.5, 0.5), (0.75, 0.5), (0.3, 0.9), (0.5, 0.06), (0.95, 0.0)]
)
def test_what_is_found_is_what_match_calls_true_positives(photograph, iou, score_threshold):
    run, truth = photograph
    result = examine(run, truth, iou, score_threshold)
    reference = match(run.prediction.select(score_threshold=score_threshold), truth, iou)
    assert [one.row for one in result.objects] == np.flatnonzero(reference.counted).tolist()
    assert [one.row for one in result.lost] == np.flatnonzero(reference.missed).tolist()
    assert len(result.found) + sum(result.counts().values()) == len(result.objects)


def test_the_best_ious_are_those_of_a_plain_search(photograph):
    """Stage by stage from the run's own tensors, by torchvision's box_iou, in pixels of the image."""
    run, truth = photograph
    result = examine(run, truth, 0.6)
    proposals, named, found = run.proposals, run.box_scores, run.detections
    assert result.objects
    for one in result.objects:
        own = named.scores[:, one.label] > run.knobs.box_score_threshold
        mine = found.labels == one.label
        alive = {
            "anchors": run.anchors.boxes,
            "candidates": proposals.candidate_boxes,
            "proposals": proposals.boxes,
            "box head": named.boxes[own, one.label],
            "limit": found.boxes[mine],
            "score threshold": found.boxes[mine & (found.scores >= 0.5)],
        }
        box = torch.from_numpy(truth.boxes[one.row]).float()[None]
        for step, boxes in alive.items():
            ious = box_iou(box, torch.from_numpy(run.on_image(boxes)))
            best = float(ious.max()) if ious.numel() else 0.0
            assert one.ious[list(STEPS).index(step)] == pytest.approx(best, abs=1e-4), step


def test_the_last_survivor_can_be_followed_to_where_it_was_lost(photograph):
    run, truth = photograph
    lost = examine(run, truth, 0.5, 0.9).lost + examine(run, truth, 0.8).lost
    assert lost
    for one in lost:
        journey = follow(run, anchor=one.anchor, label=one.label)
        if one.lost_at in ("class NMS", "limit"):
            assert one.reason == journey.verdict.reason
        if one.lost_at in ("score threshold", "mask"):
            assert journey.verdict.row is not None


@pytest.mark.slow
def test_an_examination_without_its_run_says_at_any_thresholds_what_examine_says(photograph):
    run, truth = photograph
    examination = Examination(run, truth)
    examination.let_go()
    for iou, score_threshold in itertools.product((0.05, 0.5, 0.7, 0.85, 0.95, 1.0), (0.0, 0.5, 0.97, 1.0)):
        matched = match(run.prediction.select(score_threshold=score_threshold), truth, iou)
        result = examination.at(matched, score_threshold)
        expected = examine(run, truth, iou, score_threshold)
        assert list(map(str, result.objects)) == list(map(str, expected.objects))
        assert result.counts() == expected.counts()
        assert all((a.ious == b.ious).all() for a, b in zip(result.objects, expected.objects, strict=True))


def test_a_dataset_is_the_sum_of_its_pictures(street, pictures, photograph):
    result = post_mortem(street, pictures, progress=False)
    alone = examine(*photograph)
    assert result.counts() == alone.counts() == result.of_picture(0).counts()
    assert result.of_picture(1).objects == ()
    assert str(result).splitlines()[0] == repr(result)
    assert str(result).splitlines()[-1].split()[-1] == str(len(result.found))


# Bad input


def test_a_dataset_without_an_object_of_the_model_is_one_clear_line(street):
    with pytest.raises(DatasetError, match="has no category of the model"):
        post_mortem(street, ShapesDataset(1), progress=False)


def test_ground_truth_of_another_size_is_refused(photograph):
    with pytest.raises(ValueError, match="trace the image that the ground truth belongs to"):
        examine(photograph[0], PERSON)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.5), "iou must be above 0"),
        ((1.5, 0.5), r"iou must be in \[0, 1\]"),
        ((0.5, -1), "score_threshold"),
    ],
)
def test_thresholds_out_of_range_are_refused(street, pictures, arguments, message):
    with pytest.raises(ValueError, match=message):
        post_mortem(street, pictures, *arguments, progress=False)


def test_an_unknown_step_is_refused(photograph):
    with pytest.raises(ValueError, match=f"step must be one of {', '.join(STEPS)}"):
        examine(*photograph).lost_at("nms")
