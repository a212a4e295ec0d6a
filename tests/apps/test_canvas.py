"""The canvas: a replaced panel is what a newly drawn figure would show."""

import cv2
import numpy as np
import pytest

from maskseg_nb.apps.canvas import BLOCK, Canvas


def picture(height, width, seed=0):
    rough = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)


SHAPES = [(800, 800), (375, 500), (1333, 400), (60, 900), (3, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_replacing_a_panel_gives_the_figure_that_a_full_redraw_gives(shape):
    first, second = picture(*shape), picture(*shape, seed=1)
    canvas, fresh = Canvas(), Canvas()
    canvas.draw([first, first], ["Original", "Segmented"])
    canvas.replace(1, second)
    fresh.draw([first, second], ["Original", "Segmented"])
    np.testing.assert_array_equal(canvas.pixels, fresh.pixels)


def test_showing_images_one_after_the_other_gives_what_a_full_redraw_of_each_gives():
    titles = ["Original", "Segmented"]
    left, right, other = (picture(375, 500, seed) for seed in range(3))
    canvas = Canvas()
    for pictures, names in (
        ([left, right], titles),
        ([left, other], titles),
        ([left, other], ["Original", "another title"]),
        ([picture(60, 90), picture(60, 90, 4)], titles),
        ([left, right], titles),
    ):
        canvas.show(pictures, names)
        fresh = Canvas()
        fresh.draw(pictures, names)
        np.testing.assert_array_equal(canvas.pixels, fresh.pixels)
        canvas.annotate(1, "Nothing scores 0.90 or more.")  # gone at the next picture


@pytest.mark.parametrize("part", ["Figure", "cv2.resize"])
def test_what_is_shown_already_is_not_drawn_again(part, monkeypatch):
    canvas, left = Canvas(), picture(375, 500)
    canvas.show([left, left], ["Original", "Segmented"])
    before = canvas.pixels.copy()

    def fail(*arguments, **options):
        raise AssertionError("must not be drawn")

    monkeypatch.setattr(f"maskseg_nb.apps.canvas.{part}", fail)
    canvas.show([left, left], ["Original", "Segmented"])
    np.testing.assert_array_equal(canvas.pixels, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_panels_stay_equal_through_jpeg(shape):
    canvas = Canvas()
    canvas.draw([picture(*shape)] * 2, ["Original", "Segmented"])
    canvas.send()
    decoded = cv2.imdecode(np.frombuffer(canvas.view.value, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded.shape == canvas.pixels.shape
    canvas.pixels = decoded
    left, right = canvas.panel(0).astype(int), canvas.panel(1).astype(int)
    height, width = left.shape[0] // BLOCK * BLOCK, left.shape[1] // BLOCK * BLOCK
    whole_blocks = np.abs(left - right)[:height, :width]
    assert not whole_blocks.size or whole_blocks.max() == 0


def test_a_note_covers_the_foot_of_one_panel_only():
    canvas = Canvas()
    canvas.draw([np.full((50, 50, 3), 200, np.uint8)] * 2, ["a", "b"])
    left, right = canvas.panel(0), canvas.panel(1)
    canvas.annotate(1, "Nothing scores 0.90 or more.")
    np.testing.assert_array_equal(canvas.panel(0), left)
    assert (canvas.panel(1)[-10:] != right[-10:]).any()


def test_a_title_with_dollars_is_drawn():
    canvas = Canvas()
    canvas.draw([picture(30, 30)], ["cost_$5_to_$6.png"])
    assert canvas.pixels.shape[0] > 30


def test_the_png_is_half_the_size():
    canvas = Canvas()
    canvas.draw([picture(90, 90)] * 2, ["a", "b"])
    half = cv2.imdecode(np.frombuffer(canvas.png(), np.uint8), cv2.IMREAD_COLOR)
    assert half.shape[0] == canvas.pixels.shape[0] // 2
