"""Figures are read back: bars, texts and colours against what was found out."""

from dataclasses import replace

import numpy as np
import pytest

from hand_made import CATEGORIES, hand_made, shifted, square
from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.truth import Truth
from maskseg_nb.drawing.figures import figure_png
from maskseg_nb.explain.compare import compare
from maskseg_nb.explain.figures import (
    show_comparison,
    show_occlusion,
    show_pixels,
    show_plane,
    show_post_mortem,
    show_receipt,
    show_survival,
)
from maskseg_nb.explain.pixels import Occlusion, PixelGradient
from maskseg_nb.explain.plane import knob_plane
from maskseg_nb.explain.post_mortem import examine
from maskseg_nb.explain.receipt import receipt
from maskseg_nb.explain.survival import STEPS
from maskseg_nb.mask_rcnn.trace import STAGES

AWAY = [70.0, 70.0, 90.0, 90.0]


@pytest.fixture(scope="module")
def two():
    """One object found, and one lost at the score threshold."""
    truth = Truth.from_masks(square(shifted(0), AWAY), [1, 1], CATEGORIES)
    return examine(hand_made([shifted(0), AWAY], person=[0.9, 0.3]), truth), truth


def test_the_bars_of_a_post_mortem_are_its_counts(two):
    axis = show_post_mortem(two[0]).axes[0]
    left, lost = ([bar.get_width() for bar in bars] for bars in axis.containers)
    assert lost == list(two[0].counts().values())
    assert left == [2] * 8 + [1] * 2
    assert [text.get_text() for text in axis.texts] == [""] * 8 + ["1 lost", ""]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(STEPS)
    assert axis.get_title().startswith("1 of 2 objects found")


def test_the_table_of_survivals_holds_every_iou(two, nothing):
    result, truth = two
    dataset = PictureList([(nothing[1][:100, :100], truth)])
    figure = show_survival(result, dataset)
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert texts == [f"{iou:.2f}" for one in result.objects for iou in one.ious]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["1 person", "2 person"]
    assert len(figure_png(figure)) > 10_000


def test_a_picture_without_objects_has_no_figure(two, nothing):
    with pytest.raises(ValueError, match="picture 1 has no object that counts"):
        show_survival(two[0], PictureList([(nothing[1][:100, :100], two[1])]), 1)


def test_a_receipt_s_bars_begin_where_the_last_one_ended(street_trace, restaurant):
    found = receipt(street_trace, 0)
    found = replace(found, box=np.array([100, 100, 400, 400], np.float32))
    cells, bill = show_receipt(found, restaurant[1]).axes
    assert [text.get_text() for text in cells.texts] == [f"{amount:+.2f}" for amount in found.cells.ravel()]
    (bars,) = bill.containers
    starts, widths = ([get(bar) for bar in bars] for get in (lambda b: b.get_x(), lambda b: b.get_width()))
    ends = [start + width for start, width in zip(starts, widths, strict=True)]
    assert starts[1:-1] == pytest.approx(ends[:-2])
    assert (starts[0], starts[-1], widths[-1]) == (0, 0, found.margin)
    assert ends[-2] == pytest.approx(found.margin, abs=1e-4)
    assert "person is" in bill.get_title() and "as background" in bill.get_title()


def test_a_gradient_s_title_says_how_much_lies_in_the_box(street_trace, restaurant):
    gradient = np.zeros((3, 800, 800), np.float32)
    gradient[:, :400] = 1
    found = PixelGradient(receipt(street_trace, 0), gradient)
    titles = [axis.get_title() for axis in show_pixels(found, restaurant[1]).axes]
    assert f"{found.share_inside:.0%} of it inside the box" in titles[1]
    assert f"margin {found.receipt.margin:+.2f}" in titles[0]


def test_an_occlusion_writes_the_score_of_every_place_that_was_tried(street_trace, restaurant):
    scores = np.array([[0.9, 0.8, np.nan], [0.1, 0.9, 0.9], [0.9, 0.9, 0.9]])
    found = Occlusion(receipt(street_trace, 0), scores, 300, 300, 0.9)
    heat, worst = show_occlusion(found, restaurant[1]).axes
    written = [text.get_text() for text in heat.texts]
    assert written == ["0.90", "0.80", "", "0.10", *["0.90"] * 5]
    assert worst.get_title() == "The worst place: person 0.90 becomes 0.10"
    assert (
        worst.images[0].get_array()[450, 150] == 128
    ).all()  # the patch, over the second row's first place


def test_a_plane_has_the_run_s_own_setting_as_a_dot():
    run = hand_made([shifted(0), shifted(4)], rpn_nms_threshold=0.9)
    figure = show_plane(knob_plane(run, 1, 1, steps=11))
    (axis,) = figure.axes
    (dot,) = axis.lines
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (0.05, 0.5)
    colors = axis.images[0].get_array()
    assert colors.shape == (11, 11, 3)
    assert len({tuple(color) for color in colors.reshape(-1, 3).tolist()}) == 3
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["kept", "score too low", "suppressed"]


def test_a_comparison_shows_the_stages_and_both_sides(street_trace, restaurant):
    result = compare(street_trace, street_trace.rerun(box_detections_per_img=2))
    strip, left, right = show_comparison(result, restaurant[1], restaurant[1]).axes
    titles = [text.get_text().replace("\n", " ") for text in strip.texts][::2]
    wanted = [stage.title for stage in STAGES.values()]
    wanted[wanted.index("Detections")] += ": the runs part"
    assert titles == wanted
    assert left.get_title() == f"2 in both, {len(result.lost)} only here"
    assert right.get_title() == "2 in both, 0 only here"
    assert (left.images[0].get_array() != right.images[0].get_array()).any()


def test_many_objects_are_numbered_and_their_table_stands_below(nothing):
    boxes = [[7.0 * n, 0.0, 7.0 * n + 6, 6.0] for n in range(13)]
    truth = Truth.from_masks(square(*boxes), [1] * 13, CATEGORIES)
    result = examine(hand_made(boxes), truth)
    figure = show_survival(result, PictureList([(nothing[1][:100, :100], truth)]))
    width, height = figure.get_size_inches()
    assert height > width
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()][-1] == "13 person"


@pytest.mark.parametrize(
    ("box", "rotations"),
    [([100, 100, 500, 500], {0}), ([100, 100, 260, 700], {90}), ([99, 9, 119, 700], set())],
)
def test_the_numbers_of_a_narrow_receipt_stand_upright_or_are_left_out(
    street_trace, restaurant, box, rotations
):
    found = replace(receipt(street_trace, 0), box=np.array(box, np.float32))
    cells, _ = show_receipt(found, restaurant[1]).axes
    assert {text.get_rotation() for text in cells.texts} == rotations
