"""Figures are read back: lines, texts and pixels against what was measured."""

import re

import cv2
import numpy as np
import pytest

from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.samples import voc_photograph
from maskseg_nb.data.shapes import ShapesDataset
from maskseg_nb.data.truth import Truth
from maskseg_nb.drawing.figures import figure_png
from maskseg_nb.evaluation.evaluate import Evaluation, evaluate
from maskseg_nb.evaluation.figures import (
    BOTH,
    ONLY_TRUTH,
    show_confusion,
    show_f1,
    show_overlaps,
    show_precision_recall,
    show_worst,
)
from maskseg_nb.evaluation.match_pictures import MISSED, RIGHT, WRONG, draw_match, verdicts
from maskseg_nb.evaluation.matching import Outcome, match


@pytest.fixture(scope="module")
def evaluation(street) -> Evaluation:
    return evaluate(street, voc_photograph(), progress=False)


def texts(figure):
    legends = [
        text.get_text()
        for legend in figure.axes[0].get_children()
        if hasattr(legend, "get_texts")
        for text in legend.get_texts()
    ]
    return legends


def test_the_curve_and_its_legend_are_the_evaluations(evaluation):
    figure = show_precision_recall(evaluation, score_threshold=0.5)
    person = evaluation.curve("person")
    thin, thick, dot = figure.axes[0].lines
    assert thin.get_xdata().tolist() == person.recall.tolist()
    assert thin.get_ydata().tolist() == person.precision.tolist()
    assert thick.get_ydata()[1:].tolist() == person.envelope.tolist()
    assert (dot.get_ydata()[0], dot.get_xdata()[0]) == person.at(0.5)
    assert texts(figure) == [f"person: AP50 {evaluation.per_category['person']['AP50']:.3f}"]


def test_the_area_under_the_thick_line_is_the_average_precision(evaluation):
    _, thick = show_precision_recall(evaluation).axes[0].lines
    recall, precision = thick.get_xdata(), thick.get_ydata()
    area = (np.diff(recall) * precision[1:]).sum()
    assert area == pytest.approx(evaluation.per_category["person"]["AP50"], abs=0.01)  # 101 steps


def test_f1_names_its_best(evaluation):
    person = evaluation.curve("person")
    best = int(person.f1.argmax())
    figure = show_f1(evaluation)
    (text,) = texts(figure)
    name, f1, threshold = re.fullmatch(r"(\w+): best (\S+) at (\S+)", text).groups()
    assert name == "person" and f1 == f"{person.f1[best]:.2f}"
    precision, recall = person.at(float(threshold))  # as printed, rounded, it still keeps them all
    assert 2 * precision * recall / (precision + recall) == pytest.approx(person.f1[best])
    assert figure.axes[0].lines[1].get_ydata()[0] == person.f1.max()


def test_confusion_writes_the_matrix_without_what_never_occurs(evaluation):
    figure = show_confusion(evaluation, 0.5)
    matrix = evaluation.confusion(0.5)
    written = [int(text.get_text()) for text in figure.axes[0].texts]
    assert sum(written) == matrix.sum() > 5
    columns = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert columns[-1] == "missed" and rows[-1] == "nothing there" and columns[:-1] == rows[:-1]
    assert "person" in columns and "motorcycle" not in columns


def test_the_worst_pictures_say_how_wrong_they_are(evaluation):
    figure = show_worst(evaluation, voc_photograph())
    assert figure.axes[0].get_title() == f"picture 0: {evaluation.pictures[0].errors()} errors"
    assert len(figure_png(figure)) > 100_000


def test_the_worst_of_another_dataset_is_a_value_error(evaluation):
    with pytest.raises(ValueError, match="picture 0 is not the one that was evaluated"):
        show_worst(evaluation, ShapesDataset(1))


def test_no_errors_is_a_value_error(evaluation):
    perfect = Evaluation(**{**vars(evaluation), "pictures": ()})
    with pytest.raises(ValueError, match="no picture has an error"):
        show_worst(perfect, voc_photograph())


def test_a_mark_out_of_range_is_a_value_error(evaluation):
    with pytest.raises(ValueError, match="score_threshold must be"):
        show_precision_recall(evaluation, score_threshold=1.5)


# A match, drawn


@pytest.fixture(scope="module")
def drawn(street, evaluation):
    image, truth = voc_photograph()[0]
    truth = truth.only(evaluation.judged)
    instances = evaluation.pictures[0].detections.instances(truth.categories, truth.image_size, 0.5)
    found = match(instances, truth)
    return image, truth, instances, found


def test_true_positives_are_green_and_false_positives_red(drawn):
    image, truth, instances, found = drawn
    picture = draw_match(
        np.zeros_like(image), instances, truth.only(()), match(instances, truth.only(())), alpha=1, tags=False
    )
    masks = instances.masks
    assert (picture[masks.any(axis=0)] == WRONG).all(axis=1).mean() > 0.9
    right = [row for row, outcome in enumerate(found.outcomes) if outcome is Outcome.TRUE_POSITIVE]
    wrong = [row for row in range(len(instances)) if row not in right]
    assert right and wrong
    picture = draw_match(np.zeros_like(image), instances, truth, found, alpha=1, tags=False)
    dashes = cv2.morphologyEx(truth.masks.astype(np.uint8).T, cv2.MORPH_GRADIENT, np.ones((9, 9))).T.any(
        axis=0
    )
    for rows, others, color in ((right, wrong, RIGHT), (wrong, right, WRONG)):
        alone = masks[rows].any(axis=0) & ~masks[others].any(axis=0) & ~dashes
        assert (picture[alone] == color).all(axis=1).mean() > 0.75


def test_a_false_positive_differs_by_its_stripes_too(drawn):
    """Whoever sees no hue sees stripes: two shades in a wrong mask, one inside a right one."""
    image, truth, instances, found = drawn
    flat = np.full_like(image, 128)
    picture = draw_match(flat, instances, truth, found, alpha=0.45, tags=False)
    masks, missed = instances.masks, truth.masks[found.missed].any(axis=0).astype(np.uint8)
    dashes = cv2.morphologyEx(missed, cv2.MORPH_GRADIENT, np.ones((9, 9))).astype(bool)
    for row, outcome in enumerate(found.outcomes):
        others = cv2.dilate(np.delete(masks, row, 0).any(axis=0).astype(np.uint8), np.ones((9, 9)))
        inner = cv2.erode(masks[row].astype(np.uint8), np.ones((9, 9))).astype(bool)
        inner &= ~dashes & ~others.astype(bool)
        if inner.sum() > 500:
            _, counts = np.unique(picture[inner], axis=0, return_counts=True)
            striped = 1 - counts.max() / counts.sum()  # a third of it
            assert striped < 0.05 if outcome is Outcome.TRUE_POSITIVE else 0.2 < striped < 0.5


def verdict_of(tag, outcome, iou, least, name):
    return {
        Outcome.TRUE_POSITIVE: f"{tag}, IoU {iou}",
        Outcome.BACKGROUND: f"{tag}, IoU {iou} < {least}",
        Outcome.WRONG_CATEGORY: f"{tag}, IoU {iou}: a {name}",
        Outcome.DUPLICATE: f"{tag}, IoU {iou}: found already",
    }[outcome]


@pytest.mark.parametrize("least", [0.5, 0.9])
def test_a_verdict_says_what_the_model_said_and_why_it_is_wrong(drawn, least):
    _, truth, instances, _ = drawn
    found = match(instances, truth, least)
    said = verdicts(instances, truth, found)
    for row, text in enumerate(said):
        iou = (
            max(
                (mask & own).sum() / (mask | own).sum()
                for mask, own, name in zip(
                    truth.masks, [instances.masks[row]] * len(truth), truth.names, strict=True
                )
                if name == instances.names[row]
            )
            if instances.names[row] in truth.names
            else 0.0
        )
        if found.outcomes[row] in (Outcome.TRUE_POSITIVE, Outcome.BACKGROUND):
            cut = f"{np.floor(100 * iou) / 100:.2f}"
            assert text == verdict_of(instances.tags[row], found.outcomes[row], cut, f"{least:.2f}", "")
    assert {Outcome.TRUE_POSITIVE, Outcome.BACKGROUND} <= set(found.outcomes)


def test_false_negatives_are_dashed_around_their_edge(drawn):
    image, truth, instances, found = drawn
    none = instances.__class__(
        **{
            **vars(instances),
            **{
                name: getattr(instances, name)[:0]
                for name in ("boxes", "labels", "scores", "crops", "corners", "indices")
            },
        }
    )
    picture = draw_match(image, none, truth, match(none, truth))
    white = (picture == MISSED).all(axis=2) & (image != MISSED).any(axis=2)
    for mask in truth.masks[truth.areas > 5000]:
        edge = mask & ~np.all([np.roll(mask, s, a) for a in (0, 1) for s in (1, -1)], axis=0)
        assert 0.3 < white[edge].mean() < 0.9  # dashes and gaps


def test_the_given_picture_is_not_drawn_on(drawn):
    image, truth, instances, found = drawn
    before = image.copy()
    draw_match(image, instances, truth, found)
    assert np.array_equal(image, before)


def test_tags_change_the_picture_and_what_does_not_count_is_left_out(drawn):
    image, truth, instances, found = drawn
    assert (
        draw_match(image, instances, truth, found) != draw_match(image, instances, truth, found, tags=False)
    ).any()
    truth = Truth(**{**vars(truth), "crowd": np.ones(len(truth), bool)})
    all_ignored = match(instances, truth, iou=1e-6)
    kept = [row for row, outcome in enumerate(all_ignored.outcomes) if outcome is not Outcome.NOT_JUDGED]
    picture = draw_match(np.zeros_like(image), instances, truth, all_ignored, alpha=1, tags=False)
    drawn_anywhere = picture.any(axis=2)
    left_out = [row for row in range(len(instances)) if row not in kept]
    assert left_out
    only = instances.masks[left_out].any(axis=0) & ~instances.masks[kept].any(axis=0)
    assert drawn_anywhere[only].mean() < 0.1


def test_another_match_is_a_value_error(drawn):
    image, truth, instances, found = drawn
    with pytest.raises(ValueError, match="match must be what"):
        draw_match(image, instances, truth.only(()), found)


def test_only_keeps_rows_and_labels():
    image, truth = ShapesDataset(4)[3]
    name = truth.names[0]
    only = truth.only([name])
    kept = [row for row, own in enumerate(truth.names) if own == name]
    assert 0 < len(only) == len(kept)
    assert only.ids.tolist() == truth.ids[kept].tolist() and set(only.names) == {name}
    assert np.array_equal(only.masks, truth.masks[kept]) and only.categories == truth.categories
    assert len(truth.only([])) == 0 and truth.only([]).image_size == truth.image_size
    assert len(PictureList([(image, truth.only([]))])[0][1]) == 0


# Two masks over each other


def test_overlaps_are_counted_in_their_colours(drawn):
    image, truth, instances, found = drawn
    best = int(found.ious.argmax())
    figure = show_overlaps(image, instances, truth, [best])
    (axis,) = figure.axes
    assert axis.get_title().startswith(f"{instances.tags[best]}: mask IoU {found.ious[best]:.2f}, box IoU ")
    picture = np.asarray(axis.images[0].get_array()).astype(int)
    # 65 % of a colour over grey: near it, whatever is below.
    both, only, left_out = (
        (np.abs(picture - (0.65 * np.array(color) + 0.35 * 127)).max(axis=-1) < 20).sum()
        for color in (BOTH, WRONG, ONLY_TRUTH)
    )
    assert both / (both + only + left_out) == pytest.approx(found.ious[best], abs=0.05)


def test_the_best_and_the_worst_true_positive_and_a_right_box_with_a_wrong_mask_are_chosen(drawn):
    image, truth, instances, found = drawn
    shown = [axis.get_title() for axis in show_overlaps(image, instances, truth).axes]
    right = [row for row, outcome in enumerate(found.outcomes) if outcome is Outcome.TRUE_POSITIVE]
    for title, pick in zip(shown, (max, min), strict=False):
        assert f"mask IoU {pick(found.ious[right]):.2f}" in title
    boxes = match(instances, truth, kind="box")
    half = [
        row
        for row, outcome in enumerate(boxes.outcomes)
        if outcome is Outcome.TRUE_POSITIVE and found.outcomes[row] is Outcome.BACKGROUND
    ]
    assert len(shown) == 2 + bool(half)
    assert not half or shown[2].startswith(instances.tags[half[0]])


def test_no_overlap_and_no_such_row_are_refused(drawn):
    image, truth, instances, _ = drawn
    with pytest.raises(
        ValueError, match=r"rows must be of the \d+ instances that overlap an object, got \[99\]"
    ):
        show_overlaps(image, instances, truth, [99])
    with pytest.raises(ValueError, match=r"instances that overlap an object, got \[\]"):
        show_overlaps(image, instances, truth.only(()))
