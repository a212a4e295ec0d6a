"""Figures hold the arrays that they were given, and need no pyplot."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from maskseg_nb import figure_png, show_pictures, show_semantic_map, show_side_by_side
from predictions import made_up


@pytest.fixture
def image():
    return np.random.default_rng(2).integers(0, 256, (120, 90, 3), np.uint8)


def shown(figure):
    return [axis.images[0].get_array() for axis in figure.axes if axis.images]


def test_side_by_side_shows_the_original_left_and_the_segmented_right(image):
    blended = 255 - image
    figure = show_side_by_side(image, blended)
    left, right = figure.axes
    assert left.get_position().x0 < right.get_position().x0
    assert [left.get_title(), right.get_title()] == ["Original", "Segmented"]
    np.testing.assert_array_equal(shown(figure)[0], image)
    np.testing.assert_array_equal(shown(figure)[1], blended)
    assert not plt.get_fignums()  # nothing for pyplot to show or to leak


def test_side_by_side_draws_into_a_pyplot_figure_for_plt_show(image):
    mine = plt.figure()
    try:
        assert show_side_by_side(image, image, figure=mine) is mine
        assert len(mine.axes) == 2
    finally:
        plt.close(mine)


def test_titles_are_plain_text(image):
    figure = show_side_by_side(image, image, titles=("cost_$5_to_$6.png", "a_{b$"))
    assert len(figure_png(figure)) > 1000  # drawing is where a formula would fail


def test_a_grid_leaves_no_empty_frame(image):
    figure = show_pictures([image] * 5, list("abcde"), columns=3)
    assert len(shown(figure)) == 5
    assert not any(axis.axison for axis in figure.axes)


def test_probabilities_are_shown_from_black_to_white():
    figure = show_pictures([np.full((4, 4), 0.25)], ["flat"])
    assert figure.axes[0].images[0].get_clim() == (0, 1)


def test_show_pictures_wants_a_title_for_each(image):
    with pytest.raises(ValueError, match="one title per picture and at least one, got 1 and 2"):
        show_pictures([image], ["a", "b"])


def test_the_legend_names_the_categories_on_the_map_and_no_others(image):
    prediction = made_up(30)
    figure = show_semantic_map(image, prediction.select(score_threshold=0, categories=["car", "person"]))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["person", "car"]
    assert not show_semantic_map(image, made_up(0).select()).legends


def test_figure_png_is_a_png_of_the_figures_size(image):
    figure = show_side_by_side(image, image)
    width, height = Image.open(io.BytesIO(figure_png(figure))).size
    assert (width, height) == tuple((figure.get_size_inches() * figure.dpi).astype(int))
