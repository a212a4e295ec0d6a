"""The references are torchvision's boxes around masks and pycocotools' own run lengths."""

import dataclasses

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from torchvision.ops import masks_to_boxes

from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.rle import decode_masks, encode_masks
from maskseg_nb.data.truth import Truth, boxes_of

CATEGORIES = ("__background__", "cat", "lamp")
SIZE = (9, 13)


def blobs(count=40, size=SIZE):
    """Random masks, from one pixel to nearly all, none empty."""
    random = np.random.default_rng(0)
    masks = random.random((count, *size)) < random.random((count, 1, 1)) ** 4
    masks[np.arange(count), random.integers(0, size[0], count), random.integers(0, size[1], count)] = True
    return masks


def fields(**changed):
    """The arguments of a valid `Truth` of two instances, with some of them changed."""
    masks = blobs(2)
    return {
        "boxes": np.array([[0.5, 1, 4, 6], [2, 2, 9, 8.25]]),
        "labels": np.array([2, 1]),
        "masks": masks,
        "crowd": np.array([False, True]),
        "areas": np.array([12.0, 30.5]),
        "ids": np.array([7, 5]),
        "categories": CATEGORIES,
        "image_id": 3,
        **changed,
    }


def test_a_truth_tells_its_size_its_names_and_its_length():
    truth = Truth(**fields())
    assert truth.image_size == SIZE
    assert truth.names == ("lamp", "cat")
    assert len(truth) == 2
    assert repr(truth) == "Truth(2 instances in 9 x 13)"


def test_a_truth_without_instances_still_knows_its_size():
    truth = Truth.from_masks(np.zeros((0, *SIZE), bool), [], CATEGORIES, image_id=8)
    assert len(truth) == 0 and truth.names == ()
    assert truth.image_size == SIZE and truth.image_id == 8
    assert truth.boxes.shape == (0, 4)
    assert truth.labels.dtype == truth.ids.dtype == np.int64


def test_a_truth_stays_as_it_was_made():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Truth(**fields()).labels = np.array([1, 1])


@pytest.mark.parametrize(
    "name, value",
    [
        ("boxes", np.zeros((2, 4), int)),
        ("boxes", [[0.0, 0.0, 1.0, 1.0]] * 2),
        ("labels", np.array([1.0, 2.0])),
        ("labels", np.array([True, True])),
        ("labels", [1, 2]),
        ("masks", np.zeros((2, *SIZE), np.uint8)),
        ("masks", np.zeros((2, *SIZE))),
        ("masks", torch.zeros((2, *SIZE), dtype=torch.bool)),
        ("crowd", np.array([0, 1])),
        ("crowd", (False, True)),
        ("areas", np.array([12, 30])),
        ("areas", [12.0, 30.0]),
        ("ids", np.array([7.0, 5.0])),
        ("ids", np.array(["7", "5"])),
    ],
)
def test_another_kind_of_array_is_a_type_error_that_names_it(name, value):
    with pytest.raises(TypeError, match=f"^{name} must be an array of (floats|integers|bools), got "):
        Truth(**fields(**{name: value}))


@pytest.mark.parametrize(
    "name, value",
    [
        ("boxes", np.zeros((2, 5))),
        ("boxes", np.zeros((3, 4))),
        ("boxes", np.zeros(8)),
        ("boxes", np.array([[0, 0, 1, np.nan]] * 2)),
        ("boxes", np.array([[0, 0, np.inf, 1]] * 2)),
        ("labels", np.array([[1], [2]])),
        ("labels", np.array([1, 3])),
        ("labels", np.array([0, 1])),
        ("labels", np.array([-1, 1])),
        ("masks", np.zeros((3, *SIZE), bool)),
        ("masks", np.zeros((1, *SIZE), bool)),
        ("masks", np.zeros((2, 9), bool)),
        ("masks", np.zeros((2, *SIZE, 1), bool)),
        ("crowd", np.zeros(1, bool)),
        ("crowd", np.zeros((2, 1), bool)),
        ("areas", np.zeros(3)),
        ("areas", np.array([1, np.nan])),
        ("areas", np.array([1, -np.inf])),
        ("ids", np.zeros((1, 2), int)),
        ("ids", np.zeros(3, int)),
    ],
)
def test_another_shape_or_range_is_a_value_error_that_names_it(name, value):
    with pytest.raises(ValueError, match=f"^{name} must "):
        Truth(**fields(**{name: value}))


@pytest.mark.parametrize("size", [(0, 13), (9, 0)])
def test_a_picture_without_pixels_is_a_value_error(size):
    with pytest.raises(ValueError, match="image_size must be"):
        Truth(**fields(masks=np.zeros((2, *size), bool)))


# From masks alone


def test_boxes_are_torchvisions_with_the_far_side_one_further():
    masks = blobs()
    expected = masks_to_boxes(torch.from_numpy(masks)).numpy() + [0, 0, 1, 1]
    boxes = boxes_of(masks)
    assert boxes.dtype == np.float64
    assert np.array_equal(boxes, expected)
    assert np.array_equal(Truth.from_masks(masks, [1] * len(masks), CATEGORIES).boxes, expected)


def test_a_box_holds_every_pixel_and_none_of_its_sides_is_free():
    masks = blobs()
    for (x1, y1, x2, y2), mask in zip(boxes_of(masks).astype(int), masks, strict=True):
        inside = mask[y1:y2, x1:x2]
        assert inside.sum() == mask.sum()
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()


def test_masks_alone_tell_the_rest():
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 2:5, 1:8] = masks[1, 8, 12] = masks[2] = True
    truth = Truth.from_masks(masks, [2, 1, 2], list(CATEGORIES), image_id=4)
    assert truth.boxes.tolist() == [[1, 2, 8, 5], [12, 8, 13, 9], [0, 0, 13, 9]]
    assert truth.areas.tolist() == [21, 1, 117] and truth.areas.dtype == np.float64
    assert truth.ids.tolist() == [1, 2, 3]
    assert truth.labels.tolist() == [2, 1, 2] and truth.labels.dtype == np.int64
    assert truth.crowd.tolist() == [False] * 3
    assert truth.categories == CATEGORIES and truth.image_id == 4
    assert np.array_equal(truth.masks, masks)


def test_a_mask_without_a_pixel_has_no_box():
    masks = blobs(3)
    masks[1] = False
    for call in (boxes_of, lambda m: Truth.from_masks(m, [1, 1, 1], CATEGORIES)):
        with pytest.raises(ValueError, match="a mask without a pixel has no box"):
            call(masks)


@pytest.mark.parametrize("labels", [[], [1, 2, 1], [1, 3], [0, 1]])
def test_labels_that_do_not_fit_the_masks_are_a_value_error(labels):
    with pytest.raises(ValueError, match="must"):
        Truth.from_masks(blobs(2), labels, CATEGORIES)


def test_masks_of_another_kind_are_a_type_error():
    with pytest.raises(TypeError, match="masks must be an array of bools, got uint8"):
        Truth.from_masks(blobs(2).astype(np.uint8), [1, 2], CATEGORIES)


# Run lengths


@pytest.mark.parametrize("count", [0, 1, 40])
def test_masks_come_back_from_run_lengths_as_they_were(count):
    masks = blobs(count)
    before = masks.copy()
    encoded = encode_masks(masks)
    decoded = decode_masks(encoded, SIZE)
    assert decoded.dtype == bool and decoded.shape == (count, *SIZE) and decoded.flags.c_contiguous
    assert np.array_equal(decoded, before)
    assert np.array_equal(masks, before)


def test_an_empty_mask_survives_run_lengths():
    assert not decode_masks(encode_masks(np.zeros((1, *SIZE), bool)), SIZE).any()


def test_run_lengths_are_those_of_pycocotools_for_each_mask_alone():
    masks = blobs()
    encoded = encode_masks(masks)
    assert encoded == [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    assert {tuple(rle["size"]) for rle in encoded} == {SIZE}
    assert coco_mask.area(encoded).tolist() == masks.sum(axis=(1, 2)).tolist()
    x, y, width, height = coco_mask.toBbox(encoded).T
    assert np.array_equal(boxes_of(masks), np.stack([x, y, x + width, y + height], axis=1))


def test_run_lengths_of_a_view_are_those_of_its_copy():
    view = blobs().transpose(0, 2, 1)[::-2, ::-1]
    assert encode_masks(view) == encode_masks(view.copy())


# Pictures in memory


def pair(categories=CATEGORIES, level=0):
    truth = Truth.from_masks(blobs(2), [1, 2], categories)
    return np.full((*SIZE, 3), level, np.uint8), truth


def test_a_list_of_pictures_gives_each_as_it_was_put_in():
    pairs = [pair(level=1), pair(level=2)]
    pictures = PictureList(pairs)
    assert pictures.categories == CATEGORIES
    assert len(pictures) == 2
    assert pictures[0] is pairs[0] and pictures[1] is pairs[1]
    assert [image[0, 0, 0] for image, _ in pictures] == [1, 2]
    with pytest.raises(IndexError):
        pictures[2]


def test_a_list_of_pictures_does_not_follow_the_callers_list():
    pairs = [pair()]
    pictures = PictureList(pairs)
    pairs.clear()
    assert len(pictures) == len(list(pictures)) == 1


def test_pictures_with_different_categories_or_none_at_all_are_a_value_error():
    for pairs in ([], [pair(), pair(("__background__", "dog", "lamp"))], [pair(), pair((*CATEGORIES, "x"))]):
        with pytest.raises(ValueError, match="pairs must be one or more, all with the same categories"):
            PictureList(pairs)
