"""Masks onto pixels, against plain restatements."""

import cv2
import numpy as np
import pytest

from maskseg_nb import (
    draw_instances,
    draw_semantic_map,
    overlay_segmentation_mask,
    semantic_map,
)
from maskseg_nb.drawing.colors import PALETTE, category_color, instance_colors
from maskseg_nb.drawing.tags import draw_note
from predictions import made_up

SIZE = (120, 90)


def documented_overlay(image, masks, alpha):
    """The documentation's own loop."""
    combined_mask = np.zeros((image.shape[0], image.shape[1], 3), dtype=np.uint8)
    for mask in masks:
        mask = mask[0]
        mask = np.where(mask > 0.5, 255, 0).astype(np.uint8)
        mask = np.stack([mask, mask, mask], axis=-1)
        combined_mask = np.maximum(combined_mask, mask)
    return cv2.addWeighted(image, 1 - alpha, combined_mask, alpha, 0)


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("alpha", [0, 0.3, 0.5, 1])
def test_the_overlay_is_the_documented_loop_to_the_bit(image, count, alpha):
    masks = made_up(count).masks()
    kept_image, kept_masks = image.copy(), masks.copy()
    expected = documented_overlay(image, masks, alpha)
    np.testing.assert_array_equal(overlay_segmentation_mask(image, masks, alpha), expected)
    np.testing.assert_array_equal(overlay_segmentation_mask(image, masks[:, 0], alpha), expected)
    np.testing.assert_array_equal(overlay_segmentation_mask(image, masks > 0.5, alpha), expected)
    np.testing.assert_array_equal(image, kept_image)
    np.testing.assert_array_equal(masks, kept_masks)


def test_the_overlay_draws_on_a_read_only_and_on_a_non_contiguous_image(image):
    masks = made_up(3).masks()
    expected = overlay_segmentation_mask(image, masks)
    flipped = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    flipped.setflags(write=False)
    np.testing.assert_array_equal(overlay_segmentation_mask(flipped, masks), expected)


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        (np.zeros((1, *SIZE), np.uint8), TypeError, "masks must be a float or bool array, got uint8"),
        ([[0.5]], TypeError, "got list"),
        (np.zeros(SIZE, np.float32), ValueError, r"as the image, got \(120, 90\)"),
        (np.zeros((1, 90, 120), np.float32), ValueError, r"got \(1, 90, 120\)"),
        (np.full((1, *SIZE), 255, np.float32), ValueError, r"probabilities in \[0, 1\]"),
        (np.full((1, *SIZE), np.nan, np.float32), ValueError, "must be finite"),
    ],
)
def test_the_overlay_refuses_what_is_not_masks(image, masks, error, message):
    with pytest.raises(error, match=message):
        overlay_segmentation_mask(image, masks)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (np.zeros((*SIZE, 3), np.float32), TypeError, "image must be a uint8 array, got float32"),
        (np.zeros(SIZE, np.uint8), ValueError, r"shape \(H, W, 3\), got \(120, 90\)"),
        (np.zeros((0, 90, 3), np.uint8), ValueError, r"got \(0, 90, 3\)"),
    ],
)
def test_every_drawing_refuses_what_is_not_an_image(wrong, error, message):
    instances = made_up(2).select()
    for draw in (
        lambda: overlay_segmentation_mask(wrong, np.zeros((0, *SIZE), bool)),
        lambda: draw_instances(wrong, instances),
        lambda: draw_semantic_map(wrong, semantic_map(instances)),
        lambda: draw_note(wrong, "text"),
    ):
        with pytest.raises(error, match=message):
            draw()


def plain_instances(image, instances, alpha, colors):
    """Blend mask by mask on the whole picture, the least confident first."""
    drawn = image.copy()
    for mask, color in list(zip(instances.masks, colors, strict=True))[::-1]:
        painted = cv2.addWeighted(drawn, 1 - alpha, np.full_like(drawn, color), alpha, 0)
        drawn[mask] = painted[mask]
    return drawn


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("color_by", ["instance", "category"])
def test_instances_are_coloured_inside_their_masks_only(image, count, color_by):
    prediction = made_up(count)
    instances = prediction.select(score_threshold=0.2)
    ids = instances.indices if color_by == "instance" else instances.labels - 1
    expected = plain_instances(image, instances, 0.4, PALETTE[ids % len(PALETTE)])
    kept = image.copy()
    drawn = draw_instances(image, instances, 0.4, color_by=color_by, labels=False)
    np.testing.assert_array_equal(drawn, expected)
    np.testing.assert_array_equal(image, kept)


def test_an_instance_keeps_its_colour_when_the_threshold_moves():
    prediction = made_up(10)
    few, many = (
        prediction.select(score_threshold=0.7),
        prediction.select(score_threshold=0.1, categories=["car"]),
    )
    colors = dict(zip(few.indices.tolist(), instance_colors(few).tolist(), strict=True))
    shared = [i for i, index in enumerate(many.indices.tolist()) if index in colors]
    assert shared
    for i in shared:
        assert instance_colors(many)[i].tolist() == colors[int(many.indices[i])]


def test_an_outline_lies_on_the_masks_edge(image):
    instances = made_up(1).select(mask_threshold=0)
    plain = draw_instances(image, instances, 0, labels=False)
    outlined = draw_instances(image, instances, 0, outline=True, labels=False)
    changed = (plain != outlined).any(axis=-1)
    mask = instances.masks[0].astype(np.uint8)
    edge = cv2.dilate(mask, np.ones((9, 9))) - cv2.erode(mask, np.ones((9, 9)), borderValue=0)
    assert changed.any() and not (changed & (edge == 0)).any()


@pytest.mark.parametrize("shade", [0, 255])
def test_labels_can_be_read_on_black_and_on_white(shade):
    image = np.full((400, 400, 3), shade, np.uint8)
    prediction = made_up(1, (400, 400))
    labelled = draw_instances(image, prediction.select(mask_threshold=1), 0)
    changed = labelled[(labelled != image).any(axis=-1)].astype(int)
    luminance = changed @ [0.299, 0.587, 0.114]
    assert len(changed) > 500
    assert luminance.max() - luminance.min() > 100  # letters and ground differ


def test_labels_stay_inside_the_picture_and_apart():
    image = np.zeros((400, 400, 3), np.uint8)
    one = made_up(1, (400, 400))
    many = one[[0, 0, 0, 0]]  # four detections at the same place
    inked = [
        int((draw_instances(image, p.select(mask_threshold=1), 0) > 0).any(axis=-1).sum())
        for p in (one, many)
    ]
    assert inked[1] > 3 * inked[0]


def test_a_picture_smaller_than_a_label_is_drawn_all_the_same():
    prediction = made_up(3, (6, 5))
    assert draw_instances(np.zeros((6, 5, 3), np.uint8), prediction.select(score_threshold=0)).shape == (
        6,
        5,
        3,
    )


def test_draw_instances_refuses_another_size_and_an_unknown_colouring(image):
    instances = made_up(2).select()
    with pytest.raises(ValueError, match=r"image is \(90, 120\) and the masks are \(120, 90\)"):
        draw_instances(image.transpose(1, 0, 2), instances)
    with pytest.raises(ValueError, match="color_by must be one of"):
        draw_instances(image, instances, color_by="mood")
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\]"):
        draw_instances(image, instances, 2)


def test_the_semantic_map_gives_overlaps_to_the_higher_score():
    instances = made_up(40).select(score_threshold=0)
    expected = np.zeros(SIZE, int)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            owners = np.flatnonzero(instances.masks[:, y, x]) if (x + y) % 7 == 0 else []
            if len(owners):
                expected[y, x] = instances.labels[owners[np.argmax(instances.scores[owners])]]
    class_map = semantic_map(instances)
    looked_at = np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])) % 7 == 0
    assert class_map.dtype == np.uint8
    np.testing.assert_array_equal(class_map[looked_at], expected[looked_at])


def test_the_semantic_map_of_nothing_is_all_background(image):
    empty = semantic_map(made_up(0).select())
    assert empty.shape == SIZE and not empty.any()
    np.testing.assert_array_equal(draw_semantic_map(image, empty), image)


def test_a_semantic_picture_has_each_categorys_colour_and_leaves_the_background(image):
    class_map = np.zeros(SIZE, np.uint8)
    class_map[:40], class_map[40:60] = 1, 3
    drawn = draw_semantic_map(image, class_map, 1)
    assert (drawn[:40] == category_color(1)).all() and (drawn[40:60] == category_color(3)).all()
    np.testing.assert_array_equal(drawn[60:], image[60:])
    with pytest.raises(TypeError, match="class_map must be uint8"):
        draw_semantic_map(image, class_map.astype(int))


def test_a_note_darkens_the_foot_of_a_copy():
    image = np.random.default_rng(3).integers(100, 256, (400, 400, 3), np.uint8)
    kept = image.copy()
    noted = draw_note(image, "Nothing scores 0.90 or more. The best rejected is person 0.72.")
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(noted[0], image[0])
    assert noted[-4:].mean() < image[-4:].mean() / 2
