"""`Prediction` and `Instances`: what is kept, and that masks land where torchvision puts them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import expand_boxes, paste_masks_in_image

from maskseg_nb import SAMPLES, Instances, Prediction, load_image, predict, preprocess, sample_photo
from predictions import CATEGORIES, made_up


@pytest.mark.parametrize("count", [0, 1, 40])
def test_masks_equal_torchvisions_pasting_to_the_bit(count):
    prediction = made_up(count)
    expected = paste_masks_in_image(
        torch.from_numpy(prediction.mask_probs)[:, None],
        torch.from_numpy(prediction.boxes),
        prediction.image_size,
    )
    masks = prediction.masks()
    assert masks.dtype == np.float32 and masks.shape == (count, 1, 120, 90)
    np.testing.assert_array_equal(masks, expected.numpy())


@pytest.mark.parametrize("mask_threshold", [0.0, 0.3, 0.5, 0.99, 1.0])
def test_selected_masks_are_the_float_masks_above_the_mask_threshold(mask_threshold):
    prediction = made_up(20)
    instances = prediction.select(score_threshold=0.3, mask_threshold=mask_threshold)
    expected = prediction.masks()[prediction.scores >= 0.3, 0] > mask_threshold
    assert instances.masks.dtype == bool
    np.testing.assert_array_equal(instances.masks, expected)
    np.testing.assert_array_equal(instances.areas, expected.sum(axis=(1, 2)))


def test_select_keeps_scores_equal_to_the_threshold_and_says_which_rows():
    prediction = made_up(10)
    instances = prediction.select(score_threshold=float(prediction.scores[3]))
    assert instances.indices.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(instances.boxes, prediction.boxes[:4])


def test_select_keeps_only_the_named_categories():
    prediction = made_up(30)
    instances = prediction.select(score_threshold=0, categories=["car", "person"])
    assert set(instances.names) == {"car", "person"}
    assert len(instances) == np.isin(prediction.labels, [1, 3]).sum()
    assert len(prediction.select(score_threshold=0, categories=[])) == 0


def test_select_can_keep_nothing():
    instances = made_up(5).select(score_threshold=1.0, categories=["bicycle"])
    if len(instances):  # the one detection scored 1.0 may be a bicycle
        instances = made_up(5).select(score_threshold=1.0, categories=["car"])
    assert len(instances) == 0
    assert instances.masks.shape == (0, 120, 90) and instances.areas.shape == (0,)
    assert instances.table() == []


# Back onto the photograph


@pytest.mark.parametrize("size", [(500, 741), (48, 36), (3000, 4000), (800, 100)])
def test_boxes_scale_with_the_picture_and_come_back_to_half_a_pixel(size):
    prediction = made_up(12, (800, 800))
    there = prediction.to_size(size)
    height, width = size
    expected = prediction.boxes * np.array([width, height, width, height]) / 800
    assert there.image_size == size and there.boxes.dtype == np.float32
    np.testing.assert_allclose(there.boxes, expected, rtol=1e-6)
    assert there.boxes[:, 2].max() <= width and there.boxes[:, 3].max() <= height  # at the edge, not beyond
    back = there.to_size((800, 800))
    assert np.abs(back.boxes - prediction.boxes).max() < 1e-3
    np.testing.assert_allclose(back.masks(), prediction.masks(), atol=1e-4)


def test_everything_else_stays_as_it_was():
    prediction, same = made_up(9), made_up(9)
    there = prediction.to_size((50, 70))
    for name in ("labels", "scores", "mask_probs", "categories"):
        np.testing.assert_array_equal(getattr(there, name), getattr(prediction, name))
    np.testing.assert_array_equal(prediction.boxes, same.boxes)
    assert prediction.image_size == (120, 90) and prediction.to_size((120, 90)) is prediction
    options = {"score_threshold": 0.3, "mask_threshold": 0.6, "categories": ["car", "person"]}
    ours, theirs = there.select(**options), prediction.select(**options)
    assert ours.indices.tolist() == theirs.indices.tolist() and ours.tags == theirs.tags
    picked = there[[4, 1]].masks()
    np.testing.assert_array_equal(picked, there.masks()[[4, 1]])


@pytest.mark.parametrize("times", [2, 3, 7])
def test_enlarged_by_a_whole_number_masks_are_what_torch_interpolates(times):
    """torchvision's rule, by hand: a zero around the square, whole pixels, F.interpolate; just larger."""
    prediction = made_up(8, (60, 50))
    masks = prediction.to_size((60 * times, 50 * times)).masks()[:, 0]
    boxes = torch.from_numpy(prediction.boxes)
    whole = expand_boxes(boxes, 30 / 28).to(torch.int64).tolist()
    for mask, square, (x1, y1, x2, y2) in zip(masks, prediction.mask_probs, whole, strict=True):
        size = [times * (y2 - y1 + 1), times * (x2 - x1 + 1)]
        padded = torch.nn.functional.pad(torch.from_numpy(square), (1, 1, 1, 1))[None, None]
        large = torch.nn.functional.interpolate(padded, size=size, mode="bilinear", align_corners=False)
        canvas = np.zeros((times * 200, times * 200), np.float32)  # with room on all sides
        top, left = times * (y1 + 70), times * (x1 + 70)
        canvas[top : top + size[0], left : left + size[1]] = large[0, 0]
        cut = canvas[times * 70 : times * 130, times * 70 : times * 120]
        np.testing.assert_allclose(mask, cut, atol=1e-5)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("size", [(800, 800), pytest.param(None, marks=pytest.mark.slow)])
def test_masks_on_the_photograph_squashed_again_are_those_on_screen(street, name, size):
    photo = load_image(sample_photo(name))
    tensor, image = preprocess(photo, size)
    prediction = predict(street, tensor)
    seen = prediction.select(score_threshold=0.05)
    instances = prediction.to_size(photo.shape[:2]).select(score_threshold=0.05)
    assert instances.image_size == photo.shape[:2] and len(instances) == len(seen)
    for mask, shown in zip(instances.masks, seen.masks, strict=True):
        if shown.sum() >= 2000:
            squashed = cv2.resize(mask.astype(np.float32), image.shape[1::-1]) > 0.5
            assert (squashed & shown).sum() / (squashed | shown).sum() >= 0.95


@pytest.mark.parametrize("size", [(0, 5), (5,), [5, 5], (2.5, 3), None])
def test_what_is_not_a_size_is_refused(size):
    with pytest.raises(ValueError, match="image_size must be"):
        made_up(3).to_size(size)


def test_instances_without_a_pixel_can_be_left_out():
    instances = made_up(12).select(score_threshold=0, mask_threshold=0.99)
    instances = replace(
        instances, crops=tuple(crop & (row % 3 > 0) for row, crop in enumerate(instances.crops))
    )
    kept = np.flatnonzero(instances.masks.any(axis=(1, 2)))
    assert 0 < len(kept) < 12
    left = instances.with_pixels()
    assert left.indices.tolist() == kept.tolist() and left.tags == tuple(instances.tags[row] for row in kept)
    np.testing.assert_array_equal(left.masks, instances.masks[kept])


def test_select_leaves_the_prediction_unchanged():
    prediction, same = made_up(12), made_up(12)
    prediction.select(score_threshold=0.2, mask_threshold=0.7)
    for name in ("boxes", "labels", "scores", "mask_probs"):
        np.testing.assert_array_equal(getattr(prediction, name), getattr(same, name))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"score_threshold": 1.5}, ValueError, r"score_threshold must be in \[0, 1\], got 1.5"),
        ({"mask_threshold": float("nan")}, ValueError, r"mask_threshold must be in \[0, 1\], got nan"),
        ({"score_threshold": "0.5"}, TypeError, "score_threshold must be a number"),
        ({"score_threshold": True}, TypeError, "score_threshold must be a number"),
        ({"categories": "person"}, TypeError, "must be a collection of names, got the string 'person'"),
        ({"categories": ["zebra"]}, ValueError, "no category 'zebra'; this model knows person, bicycle"),
        ({"categories": ["Persn"]}, ValueError, r"; did you mean 'person'\?"),
        ({"categories": ["__background__"]}, ValueError, "no category"),
    ],
)
def test_select_refuses_a_wrong_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        made_up(3).select(**arguments)


def test_a_prediction_refuses_arrays_that_do_not_belong_together():
    good = made_up(3)
    with pytest.raises(ValueError, match=r"boxes must have shape \(3, 4\), got \(2, 4\)"):
        Prediction(good.boxes[:2], good.labels, good.scores, good.mask_probs, (120, 90), CATEGORIES)
    with pytest.raises(ValueError, match=r"mask_probs must have shape \(3, M, M\)"):
        Prediction(good.boxes, good.labels, good.scores, good.mask_probs[0], (120, 90), CATEGORIES)


def test_the_table_gives_area_in_pixels_and_percent():
    crop = np.zeros((10, 10), bool)
    crop[2:6, 3:8] = True  # 20 pixels
    instances = Instances(
        boxes=np.array([[4.6, 5.4, 15, 15]], np.float32),
        labels=np.array([3]),
        scores=np.array([0.875], np.float32),
        crops=(crop,),
        corners=np.array([[5, 5]]),
        indices=np.array([0]),
        image_size=(20, 50),
        categories=CATEGORIES,
    )
    assert instances.table() == [
        {"instance": 1, "category": "car", "score": 0.875, "box": (5, 5, 15, 15), "area": 20, "percent": 2.0}
    ]
    assert str(instances).splitlines()[1].split() == "1 car 0.88 box (5, 5, 15, 15) 20 pixels (2.0 %)".split()
    assert np.argwhere(instances.masks[0]).min(axis=0).tolist() == [7, 8]


def test_a_score_is_rounded_once_and_so_reads_the_same_everywhere():
    instances = made_up(1).select(score_threshold=0)
    instances = replace(instances, scores=np.array([0.93496], np.float32))  # to four digits 0.935, then 0.94
    name = instances.names[0]
    assert instances.tags == (f"1 {name} 0.93",)
    assert str(instances).splitlines()[1].split()[:3] == ["1", name, "0.93"]


def test_an_instance_keeps_its_number_whatever_else_is_kept():
    """The row of the prediction, counted from 1: in tables, tags and prints."""
    prediction = made_up(6)
    everything = prediction.select(score_threshold=0)
    assert everything.numbers.tolist() == [1, 2, 3, 4, 5, 6]
    odd = everything.without((2, 4, 6))
    assert odd.numbers.tolist() == [row["instance"] for row in odd.table()] == [1, 3, 5]
    assert [tag.split()[0] for tag in odd.tags] == ["1", "3", "5"]
    assert [line.split()[0] for line in str(odd).splitlines()[1:]] == ["1", "3", "5"]
    category = everything.names[4]
    alone = prediction.select(score_threshold=0, categories=[category])
    assert alone.numbers.tolist() == [n for n, name in enumerate(everything.names, 1) if name == category]


def test_a_prediction_of_100_detections_weighs_less_than_a_megabyte():
    full = made_up(100, (800, 800))
    assert sum(a.nbytes for a in (full.boxes, full.labels, full.scores, full.mask_probs)) < 1e6


def test_indexing_picks_rows():
    prediction = made_up(6)
    picked = prediction[prediction.scores > 0.5]
    assert len(picked) == (prediction.scores > 0.5).sum()
    np.testing.assert_array_equal(prediction[[4, 1]].boxes, prediction.boxes[[4, 1]])
