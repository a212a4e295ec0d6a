"""Lines, tags, heat maps, crops and masks drawn onto pixels, against plain slicing and arithmetic."""

import cv2
import matplotlib
import numpy as np
import pytest

from maskseg_nb.drawing.boxes import DARK, draw_boxes, draw_grid, line_width
from maskseg_nb.drawing.crop import Crop, fitted
from maskseg_nb.drawing.heatmaps import false_colors, heat_map, mask_over_crop, mosaic
from maskseg_nb.drawing.tags import Tag, paste_tags, text_tag
from maskseg_nb.mask_rcnn.prediction import Prediction
from predictions import CATEGORIES

RED, GREEN, WHITE = (255, 0, 0), (0, 200, 0), (255, 255, 255)


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 200, (120, 160, 3), np.uint8)


@pytest.fixture
def black():
    return np.zeros((120, 160, 3), np.uint8)


def changed(drawn, image):
    return (drawn != image).any(axis=-1)


def ring(shape, box, reach):
    """The pixels within `reach` of a box's outline."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    left, top, right, bottom = box
    inside = np.minimum.reduce([x - left, right - x, y - top, bottom - y])  # > 0 inside
    nearest = np.maximum.reduce([left - x, x - right, top - y, y - bottom])  # > 0 outside
    return (inside <= reach) & (nearest <= reach)


BOX = np.array([30.0, 20.0, 130.0, 100.0])


# Boxes.


@pytest.mark.parametrize("dashed", [False, True])
def test_boxes_are_drawn_on_a_copy_and_only_along_their_outlines(image, dashed):
    kept, boxes = image.copy(), np.array([BOX, [60.5, 40.25, 90, 118]])
    kept_boxes = boxes.copy()
    image.setflags(write=False)
    drawn = draw_boxes(image, boxes, [RED, GREEN], dashed=dashed)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(boxes, kept_boxes)
    allowed = ring(image.shape, boxes[0], 3) | ring(image.shape, boxes[1], 3)
    assert changed(drawn, image).any() and not (changed(drawn, image) & ~allowed).any()


def along(drawn, box):
    """The pixels in the middle of a box's four sides, corner to corner."""
    left, top, right, bottom = np.rint(box).astype(int)
    return [
        drawn[top, left : right + 1],
        drawn[bottom, left : right + 1],
        drawn[top : bottom + 1, left],
        drawn[top : bottom + 1, right],
    ]


@pytest.mark.parametrize("thickness", [1, 2, 4])
def test_a_solid_line_has_no_gaps_and_a_dashed_one_has_many(black, thickness):
    for side in along(draw_boxes(black, BOX[None], [RED], thickness=thickness), BOX):
        assert side[:, 0].min() > 200  # OpenCV's smoothed line of one pixel is not wholly red
    for side in along(draw_boxes(black, BOX[None], [RED], thickness=thickness, dashed=True), BOX):
        lit = side[:, 0] > 127
        assert np.count_nonzero(np.diff(lit.astype(int)) == -1) >= len(side) // (10 * thickness)
        assert 0.3 < lit.mean() < 0.9


def test_the_first_box_lies_on_top(black):
    crossing = np.array([[20.0, 40, 140, 110], [60, 10, 100, 80]])  # they cross at (60, 40) and (100, 40)
    for first, second in (((RED, GREEN), (0, 1)), ((GREEN, RED), (1, 0))):
        drawn = draw_boxes(black, crossing[list(second)], first)
        assert tuple(drawn[40, 60]) == tuple(drawn[40, 100]) == first[0]


def test_the_first_tag_stands_on_its_box_and_the_second_moves_below_it(black):
    drawn = draw_boxes(black, np.array([BOX, BOX]), [RED, GREEN], tags=["first", "second, longer"])
    bottom = 20
    for text, color in (("first", RED), ("second, longer", GREEN)):
        tag = text_tag(text, 12, color)
        np.testing.assert_array_equal(drawn[bottom - tag.shape[0] : bottom, 30 : 30 + tag.shape[1]], tag)
        bottom += tag.shape[0]


@pytest.mark.parametrize("dashed", [False, True])
def test_a_box_beyond_the_picture_draws_nothing_and_one_across_its_edge_what_lies_inside(image, dashed):
    outside = np.array([[-90, -90, -20, -20], [300, 10, 400, 60], [10, 200, 60, 1e6], [-1e5, -1e5, 1e5, 1e5]])
    np.testing.assert_array_equal(draw_boxes(image, outside, [RED] * 4, dashed=dashed), image)
    across = np.array([-50.0, 30, 60, 500])
    touched = changed(draw_boxes(image, across[None], [RED], dashed=dashed), image)
    assert touched[30, 5:60].mean() > 0.3 and touched[35:, 60].mean() > 0.3
    assert not (touched & ~ring(image.shape, across, 3)).any()


def test_no_boxes_give_an_equal_copy(image):
    drawn = draw_boxes(image, np.zeros((0, 4), np.float32), [])
    np.testing.assert_array_equal(drawn, image)
    assert not np.shares_memory(drawn, image)


@pytest.mark.parametrize("dashed", [False, True])
def test_boxes_that_differ_by_a_quarter_of_a_pixel_are_drawn_apart(black, dashed):
    drawings = [draw_boxes(black, BOX[None] + shift, [RED], dashed=dashed) for shift in (0, 0.25, 0.5)]
    levels = [drawn[40:80, 28:34, 0].sum(axis=0, dtype=float) for drawn in drawings]
    centers = [(level * np.arange(28, 34)).sum() / level.sum() for level in levels]
    np.testing.assert_allclose(centers, [30, 30.25, 30.5], atol=0.1)


def test_a_box_without_any_area_does_no_harm(black):
    for box in ([50, 50, 50, 50], [50, 20, 50, 90]):
        for dashed in (False, True):
            drawn = draw_boxes(black, np.array([box], np.float32), [RED], dashed=dashed)
            assert not (changed(drawn, black) & ~ring(black.shape, box, 3)).any()


def test_each_box_needs_a_colour(image):
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        draw_boxes(image, np.array([BOX, BOX]), [RED])


def test_a_picture_of_another_kind_is_refused(image):
    with pytest.raises(TypeError, match="image must be a uint8 array, got float64"):
        draw_boxes(image / 255, BOX[None], [RED])
    with pytest.raises(ValueError, match=r"image must have shape \(H, W, 3\), got \(120, 160\)"):
        draw_boxes(image[..., 0], BOX[None], [RED])


def test_lines_are_thicker_in_larger_pictures():
    widths = [line_width(np.zeros((height, 40, 3), np.uint8)) for height in (10, 800, 1200, 4000)]
    assert widths == [2, 2, 3, 10]


@pytest.mark.parametrize(
    ("place", "expected"),
    [((60, 50), (60, 50)), ((-9, 50), (0, 50)), ((60, 3), (60, None)), ((158, 50), (None, 50))],
)
def test_a_tag_stands_on_its_place_and_stays_whole_at_an_edge(black, place, expected):
    tag = text_tag("person", 13, GREEN)
    height, width = tag.shape[:2]
    left = expected[0] if expected[0] is not None else 160 - width
    bottom = expected[1] if expected[1] is not None else height
    paste_tags(black, [Tag("person", *place, 0, GREEN)], 13)
    np.testing.assert_array_equal(black[bottom - height : bottom, left : left + width], tag)
    black[bottom - height : bottom, left : left + width] = 0
    assert not black.any()


def test_a_tag_larger_than_the_picture_is_cut():
    small = np.zeros((8, 20, 3), np.uint8)
    paste_tags(small, [Tag("a very long name", 3, 3, 8, GREEN)], 13)
    np.testing.assert_array_equal(small, text_tag("a very long name", 13, GREEN)[:8, :20])


@pytest.mark.parametrize(("color", "text"), [((240, 228, 66), 0), ((0, 60, 40), 255)])
def test_a_tag_is_written_in_what_reads_better_on_its_colour(color, text):
    assert (text_tag("person", 20, color)[2:-2, 2:-2] == text).all(axis=-1).any()
    assert not (text_tag("person", 20, color)[2:-2, 2:-2] == 255 - text).all(axis=-1).any()


# Values as colours.


def test_false_colors_are_matplotlibs_inferno_and_beyond_the_range_its_ends():
    values = np.linspace(0, 1, 256)[None]
    expected = matplotlib.colormaps["inferno"](values, bytes=True)[..., :3].astype(int)
    assert np.abs(false_colors(values).astype(int) - expected).max() <= 2
    ends = false_colors(np.array([[-3.0, 0.0, 1.0, 7.0]]))[0]
    assert (ends[0] == ends[1]).all() and (ends[2] == ends[3]).all()


def test_a_heat_map_covers_the_whole_picture_with_one_block_per_value(image):
    heat = np.random.default_rng(2).random((6, 8))
    kept, kept_heat = image.copy(), heat.copy()
    blocks = false_colors(heat).repeat(20, axis=0).repeat(20, axis=1)
    grey = np.rint(image @ [0.299, 0.587, 0.114])[..., None]
    expected = 0.7 * grey + 0.3 * blocks
    assert np.abs(heat_map(image, heat, 0.3) - expected).max() <= 1.5
    np.testing.assert_array_equal(heat_map(image, heat, 1.0), blocks)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(heat, kept_heat)


def test_a_mosaic_is_laid_out_row_by_row_each_map_from_its_own_minimum_to_its_own_maximum():
    maps = np.random.default_rng(3).normal(0, 1, (5, 4, 6)) * np.array([1, 10, 100, 0, 3])[:, None, None]
    maps[3] = 42.0  # flat
    kept = maps.copy()
    sheet = mosaic(maps, 2, gap=3)
    assert sheet.shape == (3 * 7 - 3, 2 * 9 - 3, 3)
    left = np.ones(sheet.shape[:2], bool)
    for index in range(5):
        rows, columns = (index // 2) * 7, (index % 2) * 9
        part = sheet[rows : rows + 4, columns : columns + 6]
        low, high = maps[index].min(), maps[index].max()
        expected = false_colors((maps[index] - low) / (high - low) if high > low else np.zeros((4, 6)))
        np.testing.assert_array_equal(part, expected)
        left[rows : rows + 4, columns : columns + 6] = False
    assert (sheet[left] == 0).all()
    np.testing.assert_array_equal(maps, kept)
    assert mosaic(maps[:1], 1).shape == (4, 6, 3)


def test_a_grid_has_a_pale_line_at_each_cells_beginning_and_nothing_else(image):
    kept = image.copy()
    lined = draw_grid(image, 40.0, 100 / 3)
    on = np.zeros(image.shape[:2], bool)
    on[[0, 40, 80]] = True
    on[:, [0, 33, 66, 100, 133]] = True
    np.testing.assert_array_equal(lined[~on], image[~on])
    assert np.abs(lined[on] - (0.6 * image[on] + 0.4 * 255)).max() <= 1
    np.testing.assert_array_equal(image, kept)


# Crops.


@pytest.mark.parametrize("box", [(60, 40, 90, 70), (20, 30, 150, 90), (100, 20, 110, 110)])
@pytest.mark.parametrize("size", [(176, 176), (100, 300), (64, 40)])
def test_the_crop_has_its_box_in_the_middle_in_its_own_proportions(image, box, size):
    crop = Crop.around(image, np.array(box, np.float32), size, margin=0.1)
    assert crop.image.shape == (*size, 3)
    left, top, right, bottom = crop.boxes(np.array(box))[0]
    assert (left + right, top + bottom) == pytest.approx((size[1], size[0]))
    assert (right - left) / (bottom - top) == pytest.approx((box[2] - box[0]) / (box[3] - box[1]))
    fill = max((right - left) / size[1], (bottom - top) / size[0])
    assert fill == pytest.approx(0.8)


@pytest.mark.parametrize("place", [(62, 41), (75, 55), (88, 68)])
@pytest.mark.parametrize("size", [(176, 176), (300, 500), (20, 20)])
def test_a_spot_of_the_picture_is_found_where_the_crop_says(place, size):
    """A coordinate is a pixel's number, as where boxes are drawn."""
    image = np.zeros((120, 160, 3), np.uint8)
    x, y = place
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    crop = Crop.around(image, np.array([60.0, 40, 90, 70]), size)
    bright = crop.image[..., 0].astype(float)
    rows, columns = np.mgrid[: size[0], : size[1]]
    found = (bright * columns).sum() / bright.sum(), (bright * rows).sum() / bright.sum()
    expected = crop.boxes(np.array([x, y, x, y]))[0, :2]
    assert found == pytest.approx(tuple(expected), abs=0.6)


def test_beyond_the_pictures_edge_a_crop_is_dark(image):
    kept = image.copy()
    crop = Crop.around(image, np.array([-40.0, 30, 40, 110]), (100, 100), margin=0.0)
    edge = int(crop.boxes(np.array([0, 0, 1, 1]))[0, 0])
    assert edge == 50
    assert (crop.image[:, : edge - 2] == DARK).all()
    assert not (crop.image[:, edge + 2 :] == DARK).all(axis=-1).any()
    np.testing.assert_array_equal(image, kept)
    outside = Crop.around(image, np.array([500.0, 500, 520, 520]), (30, 30))
    assert (outside.image == DARK).all()


def test_a_box_without_any_area_is_cropped_as_a_pixel(image):
    crop = Crop.around(image, np.array([50.0, 60, 50, 60]), (50, 50), margin=0.25)
    assert crop.scale == 25
    assert tuple(crop.boxes(np.array([50, 60, 50, 60]))[0]) == (25, 25, 25, 25)


# A picture in a frame.


@pytest.mark.parametrize("size", [(24, 40), (30, 40), (24, 60)])
def test_a_small_picture_is_fitted_with_a_block_for_every_pixel(size):
    picture = np.random.default_rng(4).integers(60, 256, (6, 10, 3), np.uint8)
    kept, sheet = picture.copy(), fitted(picture, size)
    scale = min(size[0] / 6, size[1] / 10)
    inner = round(6 * scale), round(10 * scale)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    rows = (np.arange(inner[0]) * 6 // inner[0])[:, None]
    columns = np.arange(inner[1]) * 10 // inner[1]
    part = sheet[top : top + inner[0], left : left + inner[1]].copy()
    np.testing.assert_array_equal(part, picture[rows, columns])
    sheet[top : top + inner[0], left : left + inner[1]] = DARK
    assert sheet.shape == (*size, 3) and (sheet == DARK).all()
    np.testing.assert_array_equal(picture, kept)


def test_a_large_picture_is_fitted_by_its_blocks_means(image):
    sheet = fitted(image, (30, 60))
    means = image.reshape(30, 4, 40, 4, 3).mean(axis=(1, 3))
    assert np.abs(sheet[:, 10:50] - means).max() <= 1
    assert (sheet[:, :10] == DARK).all() and (sheet[:, 50:] == DARK).all()


def test_a_strip_thinner_than_a_pixel_is_still_seen():
    assert not (fitted(np.full((1000, 1, 3), 200, np.uint8), (100, 100)) == DARK).all()


# Masks.


def blob(seed):
    """A smooth patch of probabilities, (28, 28), that comes near no edge."""
    rough = np.random.default_rng(seed).random((4, 4), np.float32)
    smooth = cv2.resize(rough, (28, 28), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    return np.clip(0.8 + 0.5 * smooth - 1.2 * (x**2 + y**2), 0, 1).astype(np.float32)


def nearest(points, others):
    """For each point the distance to the nearest of the others."""
    return np.sqrt(((points[:, None] - others[None]) ** 2).sum(axis=-1)).min(axis=1)


@pytest.mark.parametrize("box", [(30, 20, 130, 100), (60, 40, 90, 110), (-20, 30, 60, 90)])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("size", [(176, 176), (400, 300)])
def test_the_line_around_a_mask_runs_where_the_pasted_mask_ends(black, box, threshold, size):
    probs, box = blob(5), np.array(box, np.float32)
    labels, scores = np.array([1]), np.array([0.9], np.float32)
    prediction = Prediction(box[None], labels, scores, probs[None], (120, 160), CATEGORIES)
    mask = prediction.select(mask_threshold=threshold).masks[0].astype(np.uint8)
    crop = Crop.around(black, box, size, margin=0.05)
    drawn = mask_over_crop(crop, box, probs, threshold)

    y, x = np.nonzero((drawn == WHITE).all(axis=-1))
    line = np.stack([x, y], axis=1) / crop.scale + crop.origin
    line = line[(line[:, 0] > 0) & (line[:, 0] < 159)]
    end = mask - cv2.erode(mask, np.ones((3, 3), np.uint8))
    y, x = np.nonzero(end)
    ends = np.stack([x, y], axis=1)
    assert len(line) > 50 and len(ends) > 20
    assert nearest(line, ends).max() < 2
    assert nearest(ends[x > 0], line).max() < 2


def test_a_mask_is_laid_over_its_box_cell_by_cell_and_nowhere_else(image):
    probs = np.random.default_rng(6).random((4, 4), np.float32)
    box = np.array([40.0, 20, 120, 100])
    crop = Crop(image, np.zeros(2), 1.0)  # the picture itself
    kept = image.copy(), probs.copy()
    drawn = mask_over_crop(crop, box, probs, 1.0)  # no line
    outside = np.ones(image.shape[:2], bool)
    outside[20:100, 40:120] = False
    np.testing.assert_array_equal(drawn[outside], image[outside])
    heat = np.zeros((6, 8), np.float32)
    heat[1:5, 2:6] = probs
    np.testing.assert_array_equal(drawn[~outside], heat_map(image, heat, 0.65)[~outside])
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(probs, kept[1])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_wholly_below_its_threshold_has_no_line_and_one_above_it_has_one(black, value):
    probs, box = np.full((28, 28), value, np.float32), np.array([40.0, 20, 120, 100])
    drawn = mask_over_crop(Crop.around(black, box, (176, 176)), box, probs, 0.5)
    assert (drawn == WHITE).all(axis=-1).any() == bool(value)
