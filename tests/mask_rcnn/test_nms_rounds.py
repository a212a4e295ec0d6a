"""Round by round, and torchvision's nms in the end."""

import pytest
import torch
from torchvision.ops import box_iou, nms

from maskseg_nb.mask_rcnn.nms_rounds import category_contest, nms_rounds


@pytest.fixture(scope="module")
def boxes():
    corners = torch.rand(60, 2, 2, generator=torch.Generator().manual_seed(1)) * 100
    return torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 1.0])
def test_the_winners_are_those_that_torchvision_keeps(boxes, threshold):
    scores = torch.rand(60, generator=torch.Generator().manual_seed(2))
    rounds = nms_rounds(boxes, scores, threshold)
    assert [one.winner for one in rounds] == nms(boxes, scores, threshold).tolist()


def test_a_round_divides_those_that_were_left(boxes):
    scores = torch.linspace(1, 0, 60)
    waiting, ious = list(range(60)), box_iou(boxes, boxes)
    rounds = nms_rounds(boxes, scores, 0.2)
    for one in rounds:
        assert one.winner == waiting[0]
        assert sorted([one.winner, *one.taken, *one.left]) == waiting
        assert one.ious == tuple(ious[one.winner, list(one.taken)].tolist())
        assert all(iou > 0.2 for iou in one.ious)
        waiting = list(one.left)
    assert not waiting and any(one.taken for one in rounds)


def test_of_no_boxes_there_is_no_round():
    assert nms_rounds(torch.zeros(0, 4), torch.zeros(0), 0.5) == []


def test_a_threshold_out_of_range_is_refused(boxes):
    with pytest.raises(ValueError, match="nms_threshold must be in"):
        nms_rounds(boxes, torch.ones(60), 1.5)


def test_a_category_s_rounds_end_in_its_detections(street_trace):
    found, knobs = street_trace.detections, street_trace.knobs
    label = int(found.labels.bincount().argmax())
    boxes, scores = category_contest(street_trace, label)
    winners = [one.winner for one in nms_rounds(boxes, scores, knobs.box_nms_threshold)]
    assert torch.equal(scores[winners], found.scores[found.labels == label])
    assert torch.equal(boxes[winners], found.boxes[found.labels == label])
    assert (scores > knobs.box_score_threshold).all() and torch.equal(scores, scores.sort(descending=True)[0])
    with pytest.raises(ValueError, match="label must be 1 to"):
        category_contest(street_trace, 0)
