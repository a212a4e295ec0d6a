"""The figures of single lessons, read back: numbers in their titles, arrays in their panels."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou, roi_pool

from maskseg_nb import figure_png, trace
from maskseg_nb.drawing.figures import show_nms
from maskseg_nb.drawing.mask_figures import show_category_masks, show_cut_mask
from maskseg_nb.drawing.nms_film import draw_nms_round
from maskseg_nb.drawing.panels import OUTCOME_COLORS
from maskseg_nb.drawing.pyramid_figures import (
    _missing,
    show_merge,
    show_objectness,
    show_receptive_fields,
    show_without_top_down,
)
from maskseg_nb.drawing.roi_figures import show_roi_align
from maskseg_nb.mask_rcnn.box_masks import masks_in_larger_boxes
from maskseg_nb.mask_rcnn.follow import follow
from maskseg_nb.mask_rcnn.nms_rounds import nms_rounds
from maskseg_nb.mask_rcnn.outcomes import KEPT, SUPPRESSED
from maskseg_nb.mask_rcnn.trace import without_top_down
from predictions import made_up
from small_models import tiny_model


@pytest.fixture(scope="module")
def image(restaurant):
    return restaurant[1]


@pytest.fixture(scope="module")
def no_pyramid():
    return trace(tiny_model(("__background__", "a")), torch.rand(1, 3, 64, 64))


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def panel(axis):
    return np.asarray(axis.images[-1].get_array())


def test_a_level_is_the_sum_of_what_stands_beside_it_before_its_convolution(street, street_trace):
    figure = show_merge(street_trace, 1)
    assert [title[:4] for title in titles(figure)] == ["C3, ", "+ th", "= th", "P3: "]
    fpn, body = street.backbone.fpn, list(street_trace.features.body.values())
    with torch.no_grad():
        lateral = fpn.inner_blocks[1](body[1])
    np.testing.assert_allclose(panel(figure.axes[0]), lateral[0].abs().mean(dim=0))
    level = list(street_trace.features.maps.values())[1]
    np.testing.assert_allclose(panel(figure.axes[3]), level[0].abs().mean(dim=0), rtol=1e-5)


def test_who_is_lost_without_the_top_down_path_is_counted(street_trace, image):
    counted = show_without_top_down(street_trace, image, 0.3).axes[1].get_title()
    before, after = street_trace.prediction, without_top_down(street_trace).prediction
    before, after = before[before.scores >= 0.3], after[after.scores >= 0.3]
    ious = box_iou(torch.tensor(before.boxes), torch.tensor(after.boxes)).numpy()
    lost = sum(
        not any(
            ious[row, other] >= 0.5 and before.labels[row] == after.labels[other]
            for other in range(len(after))
        )
        for row in range(len(before))
    )
    assert f"{len(after)} found, {lost} of the {len(before)} lost" in counted


def test_lost_is_what_has_no_counterpart_of_its_own_category():
    here, near, far = (0, 0, 10, 10), (0, 0, 10, 9), (50, 50, 60, 60)
    found = detections((here, 1), (far, 1), (here, 2))
    assert _missing(found, detections((near, 1), (near, 3))).tolist() == [False, True, True]
    assert _missing(found, found[:0]).tolist() == [True] * 3


def detections(*rows):
    boxes, labels = zip(*rows, strict=True)
    like = made_up(len(rows))
    return replace(like, boxes=np.array(boxes, np.float32), labels=np.array(labels))


def test_each_level_shows_its_objectness_in_log_odds_and_where_detections_began(street_trace, image):
    figure, run = show_objectness(street_trace, image, 0.5), street_trace
    began = [follow(run, detection=row).anchor for row in range(int((run.prediction.scores >= 0.5).sum()))]
    assert began
    for level, axis in enumerate(figure.axes[:5]):
        height, width, each = run.anchors.grids[level]
        logits = run.anchors.objectness[run.anchors.levels == level].reshape(height, width, each)
        np.testing.assert_array_equal(panel(axis), logits.amax(dim=-1))
        here = [step for step in began if step.level == level]
        assert axis.get_title().endswith(f"{len(here)} began here")
        dots = axis.lines[0].get_xydata().tolist() if axis.lines else []
        stride = run.features.strides[level]
        assert dots == [[step.cell[1] * stride[1], step.cell[0] * stride[0]] for step in here]


@pytest.mark.slow
def test_receptive_fields_are_drawn_around_the_middle_cell(street_trace, image):
    figure = show_receptive_fields(street_trace, image)
    sides = [[patch.get_width() for patch in axis.patches] for axis in figure.axes]
    assert [cell for cell, *_ in sides] == [4, 8, 16, 32, 64]
    for (_, side, reach), title in zip(sides, titles(figure), strict=True):
        assert f"90 % in {side}, reach {reach:,} px" in title and side < reach


def test_the_four_weighted_values_add_up_to_the_number_in_the_title(street_trace):
    close = show_roi_align(street_trace, 0).axes[1]
    parts = [map(float, re.findall(r"-?[\d.]+", text.get_text())) for text in close.texts]
    total = sum(value * weight for value, weight in parts)
    assert len(close.texts) == 4
    assert float(close.get_title().split()[-1]) == pytest.approx(total, abs=0.05)  # of rounded numbers


def test_roialign_and_roipool_are_compared_as_torchvision_computes_them(street_trace):
    row = len(street_trace.detections.scores) - 1
    figure, read = show_roi_align(street_trace, row), follow(street_trace, detection=row).detection
    np.testing.assert_allclose(panel(figure.axes[3]), np.abs(read.features).mean(axis=0), rtol=1e-4)
    level = street_trace.features.names.index(read.level_name)
    values = list(street_trace.features.maps.values())[level]
    box = street_trace.proposals.boxes[street_trace.detections.proposals[row]]
    pooled = roi_pool(values, [box[None]], 7, 1 / street_trace.features.strides[level][0])[0]
    np.testing.assert_allclose(panel(figure.axes[4]), pooled.abs().mean(dim=0), rtol=1e-4)
    apart = np.abs(pooled.numpy() - read.features).mean() / np.abs(read.features).mean()
    assert titles(figure)[-1] == f"Difference: {apart:.0%} of the left"
    points = figure.axes[0].lines[0].get_xydata()
    assert points.shape == (7 * 7 * 4, 2)


def test_the_mask_that_is_pasted_comes_first_and_the_others_by_their_scores(street_trace, image):
    row = len(street_trace.detections.scores) - 1  # the most doubtful one, whose scores differ
    found = follow(street_trace, detection=row).detection
    first, *others = titles(show_category_masks(street_trace, image, row))
    assert first == f"{found.category} {found.scores[found.label]:.3f}, pasted"
    names = [title.split()[0] for title in others]
    labels = [label for label in range(1, len(found.scores)) if label != found.label]
    assert names == [
        street_trace.prediction.categories[label] for label in sorted(labels, key=lambda n: -found.scores[n])
    ]


def test_what_the_box_cuts_off_most_is_chosen_and_its_share_said(street_trace, image):
    outside = masks_in_larger_boxes(street_trace).outside[street_trace.detections.scores >= 0.5]
    own, larger = titles(show_cut_mask(street_trace, image))
    assert own.startswith(f"#{int(outside.argmax()) + 1} ") and f" {float(outside.max()):.0%} " in larger


def test_a_round_of_nms_shows_who_stays_who_is_taken_and_who_waits():
    boxes = np.array([[20, 20, 90, 90], [22, 22, 92, 92], [130, 130, 190, 190]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    rounds = nms_rounds(torch.tensor(boxes), torch.tensor(scores), 0.5)
    black = np.zeros((200, 200, 3), np.uint8)
    first, last = (draw_nms_round(black, boxes, scores, rounds, number) for number in (0, 1))
    assert tuple(first[60, 20]) == tuple(last[160, 130]) == OUTCOME_COLORS[KEPT]
    assert tuple(first[160, 130]) == (150, 150, 150)
    assert (first == OUTCOME_COLORS[SUPPRESSED]).all(axis=-1).any()
    assert not (last == OUTCOME_COLORS[SUPPRESSED]).all(axis=-1).any() and not black.any()
    with pytest.raises(ValueError, match="there is no round 2: they are 0 to 1"):
        draw_nms_round(black, boxes, scores, rounds, 2)


def test_the_film_counts_all_boxes_of_the_category(street_trace, image):
    said = titles(show_nms(street_trace, image, rounds=100))
    found, outcomes = street_trace.prediction, street_trace.detections.outcomes
    own = outcomes.reshape(len(street_trace.proposals.boxes), -1)[:, found.labels[0] - 1]
    assert len(said) == (own == KEPT).sum()
    assert sum(int(re.search(r"takes (\d+)", title)[1]) for title in said) == (own == SUPPRESSED).sum()
    assert said[-1].endswith(" 0 wait")


def test_what_cannot_be_drawn_is_refused(street_trace, nothing_trace, no_pyramid, image):
    gray = np.zeros((64, 64, 3), np.uint8)
    for call, message in (
        (lambda: show_merge(no_pyramid), "no feature pyramid"),
        (lambda: show_merge(street_trace, 3), "level must be 0 to 2, got 3"),
        (lambda: show_without_top_down(no_pyramid, gray), "no feature pyramid"),
        (lambda: show_roi_align(street_trace, 999), "detection must be 0 to"),
        (lambda: show_roi_align(street_trace, 0, (7, 0)), "cell must be .* within 7 x 7"),
        (lambda: show_cut_mask(nothing_trace, image), "there is no detection 0: nothing was found"),
        (lambda: show_category_masks(nothing_trace, image), "there is no detection 0: nothing was found"),
        (lambda: show_nms(street_trace, image, "zebra"), "no category 'zebra'"),
        (lambda: show_nms(nothing_trace, image), "no box says 'person'"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_network_without_a_pyramid_has_objectness_too(no_pyramid):
    figure = show_objectness(no_pyramid, np.zeros((64, 64, 3), np.uint8))
    assert len(titles(figure)) == 2 and len(figure_png(figure)) > 1000
