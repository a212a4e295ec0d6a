"""The references are geometry and cv2's contours around the masks."""

import hashlib
import math

import cv2
import numpy as np
import pytest

from maskseg_nb.data.shapes import CATEGORIES, LEAST_AREA, ShapesDataset

PIN = "ab5a7094dbdbc0123ef6dab3b0e3c48f1f9a5f46115636a0b8338f5bac84d6cb"


@pytest.fixture(scope="module")
def pictures():
    return list(ShapesDataset(60, seed=3, size=(96, 128)))


@pytest.fixture(scope="module")
def alone():
    """Category -> masks of shapes that are alone in their picture, whole, and large enough to be measured."""
    found = {name: [] for name in CATEGORIES[1:]}
    for _, truth in ShapesDataset(160, size=(120, 150), most=1):
        for name, mask in zip(truth.names, truth.masks, strict=True):
            edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
            if not edge.any() and mask.sum() > 500:
                found[name].append(mask)
    assert min(map(len, found.values())) >= 5
    return found


def corners(mask):
    """The four corners of each pixel, (N, 2) x y: the area of their hull counts whole pixels."""
    y, x = np.nonzero(mask)
    points = [np.stack([x + right, y + down], -1) for right in (0, 1) for down in (0, 1)]
    return np.concatenate(points).astype(np.int32)


# Reproducible


def test_a_seed_gives_the_same_pixels_and_masks_on_every_platform():
    digest = hashlib.sha256()
    for image, truth in ShapesDataset(8, seed=2024, size=(64, 80)):
        digest.update(image.tobytes())
        digest.update(truth.masks.tobytes())
        digest.update(bytes(truth.labels.tolist()))
    assert digest.hexdigest() == PIN


def test_a_picture_depends_on_its_seed_and_index_alone(pictures):
    image, truth = ShapesDataset(12, seed=3, size=(96, 128))[11]
    assert np.array_equal(image, pictures[11][0])
    assert np.array_equal(truth.masks, pictures[11][1].masks)
    assert np.array_equal(truth.labels, pictures[11][1].labels)


def test_another_seed_or_index_gives_another_picture():
    first, second = ShapesDataset(3, seed=1), ShapesDataset(3, seed=2)
    images = [dataset[index][0].tobytes() for dataset in (first, second) for index in range(3)]
    assert len(set(images)) == 6


# What is in a picture


def test_a_picture_is_rgb_of_the_requested_size_and_its_ground_truth_fits(pictures):
    for index, (image, truth) in enumerate(pictures):
        assert image.dtype == np.uint8 and image.shape == (96, 128, 3)
        assert truth.image_size == (96, 128)
        assert truth.image_id == index
        assert truth.categories == CATEGORIES
        assert not truth.crowd.any()
        assert truth.areas.tolist() == truth.masks.sum(axis=(1, 2)).tolist()


def test_the_size_is_160_by_200_unless_another_is_asked_for():
    assert ShapesDataset(1)[0][0].shape == (160, 200, 3)
    assert ShapesDataset(1, size=(33, 40))[0][0].shape == (33, 40, 3)


def test_masks_of_a_picture_do_not_overlap_though_shapes_do(pictures):
    assert all(truth.masks.sum(axis=0).max(initial=0) <= 1 for _, truth in pictures)
    boxes = [truth.boxes for _, truth in pictures if len(truth) > 1]
    assert any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for a, b, *_ in boxes)


def test_every_category_occurs_in_sixty_pictures(pictures):
    assert {label for _, truth in pictures for label in truth.labels.tolist()} == {1, 2, 3, 4}


def test_there_are_at_most_as_many_shapes_as_asked_for(pictures):
    assert max(len(truth) for _, truth in pictures) == 6
    assert max(len(truth) for _, truth in ShapesDataset(30, size=(64, 64), most=2)) == 2
    assert max(len(truth) for _, truth in ShapesDataset(30, size=(64, 64), most=1)) == 1


@pytest.mark.parametrize("size, most", [((96, 128), 12), ((32, 32), 1)])
def test_no_mask_is_too_small_to_be_seen(size, most):
    areas = np.concatenate([truth.masks.sum(axis=(1, 2)) for _, truth in ShapesDataset(60, 5, size, most)])
    assert LEAST_AREA == 40
    assert LEAST_AREA <= areas.min() < LEAST_AREA + 25


def test_a_picture_whose_only_shape_is_too_small_has_no_instances():
    lengths = [len(truth) for _, truth in ShapesDataset(60, size=(32, 32), most=1)]
    assert set(lengths) == {0, 1}


def test_light_and_texture_leave_few_pixels_at_the_ends_of_the_scale(pictures):
    values = np.stack([image for image, _ in pictures])
    assert 60 < values.mean() < 190
    assert np.isin(values, [0, 255]).mean() < 0.05


# Geometry, of shapes that are alone and whole


def test_a_circle_fills_pi_quarters_of_its_box_which_is_square(alone):
    for mask in alone["circle"]:
        _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
        assert width == height
        assert mask.sum() / (width - 1) ** 2 == pytest.approx(math.pi / 4, rel=0.03)  # 2r + 1 pixels wide
        _, radius = cv2.minEnclosingCircle(corners(mask))
        assert mask.sum() == pytest.approx(math.pi * radius**2, rel=0.1)


def test_a_square_fills_the_smallest_rectangle_around_it_which_has_equal_sides(alone):
    for mask in alone["square"]:
        _, sides, _ = cv2.minAreaRect(corners(mask))
        assert min(sides) / max(sides) > 0.93
        assert mask.sum() / math.prod(sides) > 0.9


def test_a_triangle_fills_the_smallest_triangle_around_it_and_half_of_the_smallest_rectangle(alone):
    for mask in alone["triangle"]:
        _, sides, _ = cv2.minAreaRect(corners(mask))
        area, _ = cv2.minEnclosingTriangle(corners(mask)[:, None])
        assert mask.sum() / math.prod(sides) == pytest.approx(0.5, abs=0.06)
        assert mask.sum() / area > 0.88


def test_only_a_star_has_dents(alone):
    for name, masks in alone.items():
        for mask in masks:
            solidity = mask.sum() / cv2.contourArea(cv2.convexHull(corners(mask)))
            assert solidity < 0.8 if name == "star" else solidity > 0.9, name


def test_a_star_has_five_points(alone):
    for mask in alone["star"]:
        middle = corners(mask).mean(axis=0)
        hull = cv2.convexHull(corners(mask))[:, 0] - middle
        far = hull[np.hypot(*hull.T) > 0.85 * np.hypot(*hull.T).max()]
        angles = np.sort(np.degrees(np.arctan2(far[:, 1], far[:, 0])))
        gaps = np.diff(np.append(angles, angles[0] + 360))
        assert (gaps > 40).sum() == 5
        assert gaps.max() < 90


def test_shapes_are_of_many_sizes_angles_and_places(alone):
    circles = [cv2.boundingRect(mask.astype(np.uint8)) for mask in alone["circle"]]
    assert len(set(circles)) == len(circles)
    areas = [mask.sum() for masks in alone.values() for mask in masks]
    assert max(areas) > 5 * min(areas)
    angles = {round(cv2.minAreaRect(corners(mask))[2]) for mask in alone["square"]}
    assert len(angles) >= 3


# As a dataset


def test_iteration_gives_every_picture_once_and_ends():
    dataset = ShapesDataset(3, size=(32, 32))
    assert len(dataset) == 3
    assert [truth.image_id for _, truth in dataset] == [0, 1, 2]
    assert list(ShapesDataset(0)) == []


@pytest.mark.parametrize("index", [-1, 3, 10**20])
def test_there_is_no_picture_outside_the_count(index):
    with pytest.raises(IndexError, match=f"there is no picture {index}: they are 0 to 2"):
        ShapesDataset(3)[index]


@pytest.mark.parametrize(
    "bad",
    [
        {"count": -1},
        {"seed": -1},
        {"seed": 2**32},
        {"most": 0},
        {"most": -3},
        {"size": (31, 100)},
        {"size": (100, 31)},
        {"size": (0, 0)},
    ],
)
def test_a_number_out_of_range_is_a_value_error(bad):
    with pytest.raises(ValueError, match="count must be 0 or more, seed below .*, most 1 or more, sides 32"):
        ShapesDataset(**{"count": 1, **bad})


def test_the_numbers_at_the_ends_of_the_ranges_are_good():
    image, truth = ShapesDataset(1, seed=2**32 - 1, size=(32, 32), most=1)[0]
    assert image.shape == (32, 32, 3) and len(truth) <= 1
