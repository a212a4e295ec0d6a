"""Masks that the pipeline does not keep, against those that it does."""

import pytest
import torch

from maskseg_nb.mask_rcnn.box_masks import masks_in_larger_boxes, masks_of_all_categories


def test_the_chosen_category_s_mask_is_the_detection_s(street_trace):
    found = street_trace.detections
    for row in (0, len(found.labels) - 1):
        masks = masks_of_all_categories(street_trace, row)
        assert masks.shape == street_trace.masks.logits.shape[1:]
        assert torch.equal(masks[found.labels[row]], street_trace.masks.probs[row])
    # Each by its own sigmoid: unlike a softmax they need not add up to 1.
    assert (masks_of_all_categories(street_trace, 0).sum(dim=0) - 1).abs().max() > 0.1


def test_in_a_box_of_the_same_size_the_mask_is_the_same_and_nothing_is_cut_off(street_trace):
    same = masks_in_larger_boxes(street_trace, 1.0)
    torch.testing.assert_close(same.boxes, street_trace.detections.boxes)
    torch.testing.assert_close(same.probs, street_trace.masks.probs, rtol=0, atol=1e-3)
    assert not same.outside.any()


def test_what_is_cut_off_is_counted_cell_by_cell(street_trace):
    larger = masks_in_larger_boxes(street_trace, 1.6, mask_threshold=0.3)
    height, width = street_trace.normalised.size
    rows = [0, int(larger.outside.argmax())]
    for row in rows:
        left, top, right, bottom = street_trace.detections.boxes[row].tolist()
        x1, y1, x2, y2 = larger.boxes[row].tolist()
        expected = ((left + right) / 2 - 0.8 * (right - left), (left + right) / 2 + 0.8 * (right - left))
        assert x1 == pytest.approx(max(expected[0], 0), abs=1e-3)
        assert x2 == pytest.approx(min(expected[1], width), abs=1e-3)
        side, inside, outside = larger.probs.shape[-1], 0, 0
        for cell_row in range(side):
            for column in range(side):
                x, y = x1 + (column + 0.5) / side * (x2 - x1), y1 + (cell_row + 0.5) / side * (y2 - y1)
                if larger.probs[row, cell_row, column] > 0.3:
                    inside += 1
                    outside += not (left <= x <= right and top <= y <= bottom)
        assert float(larger.outside[row]) == pytest.approx(outside / max(inside, 1))
    assert larger.outside.max() > 0


def test_of_nothing_found_there_are_no_masks(nothing_trace):
    larger = masks_in_larger_boxes(nothing_trace)
    assert larger.boxes.shape == (0, 4) and larger.outside.shape == (0,)
    with pytest.raises(ValueError, match="there is no detection 0: nothing was found"):
        masks_of_all_categories(nothing_trace, 0)


def test_a_factor_of_nothing_is_refused(street_trace):
    with pytest.raises(ValueError, match="factor must be above 0, got 0"):
        masks_in_larger_boxes(street_trace, 0)
