"""Every stage against torchvision's own run with the same knobs, to the bit; and the outcome of each box."""

import numpy as np
import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2
from torchvision.ops import box_iou

from maskseg_nb import SAMPLES, predict, preprocess, sample_photo
from maskseg_nb.mask_rcnn.knobs import Knobs
from maskseg_nb.mask_rcnn.outcomes import (
    KEPT,
    LOW_SCORE,
    OUTCOMES,
    OVER_LIMIT,
    SUPPRESSED,
    TOO_SMALL,
    count_outcomes,
)
from maskseg_nb.mask_rcnn.stages import pair_numbers, split_pairs
from maskseg_nb.mask_rcnn.trace import trace

SHAPES = dict(
    zip(SAMPLES, [(256, 256), (200, 333), (333, 200), (96, 400), (500, 120), (300, 301)], strict=True)
)


def set_knobs(model, knobs: Knobs) -> None:
    """Set on torchvision's model the knobs that `trace` takes as arguments."""
    model.rpn._pre_nms_top_n["testing"] = knobs.rpn_pre_nms_top_n
    model.rpn._post_nms_top_n["testing"] = knobs.rpn_post_nms_top_n
    model.rpn.nms_thresh = knobs.rpn_nms_threshold
    model.rpn.score_thresh = knobs.rpn_score_threshold
    model.rpn.min_size = knobs.rpn_min_size
    model.roi_heads.score_thresh = knobs.box_score_threshold
    model.roi_heads.nms_thresh = knobs.box_nms_threshold
    model.roi_heads.detections_per_img = knobs.box_detections_per_img


def equals_torchvision(model, tensor, **knobs) -> int:
    """Compare boxes, labels, scores and masks to the bit; return how many detections there were."""
    own, run = Knobs.of(model), trace(model, tensor, **knobs)
    try:
        set_knobs(model, run.knobs)
        with torch.no_grad():
            expected = model(tensor)[0]
    finally:
        set_knobs(model, own)
    prediction = run.prediction
    for name in ("boxes", "labels", "scores"):
        np.testing.assert_array_equal(getattr(prediction, name), expected[name].numpy())
    np.testing.assert_array_equal(prediction.masks(), expected["masks"].numpy())
    return len(prediction)


def seeded(build, **options):
    torch.manual_seed(0)
    options = {"weights": None, "weights_backbone": None, "box_score_thresh": 0.0, **options}
    return build(**options).eval()


@pytest.fixture(scope="module")
def small_resnet():
    return seeded(maskrcnn_resnet50_fpn, min_size=256)


@pytest.mark.slow
@pytest.mark.parametrize("build", [maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2])
def test_a_full_size_resnet_equals_torchvision_to_the_bit(build, restaurant):
    assert equals_torchvision(seeded(build), restaurant[0]) == 100


@pytest.mark.parametrize(
    "count", [1, *(pytest.param(count, marks=pytest.mark.slow) for count in (26, 33, 47))]
)
def test_any_number_of_masks_equals_torchvision_with_one_thread_too(street, restaurant, count):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        knobs = {"box_detections_per_img": count, "box_score_threshold": 0.0}
        assert equals_torchvision(street, restaurant[0], **knobs) == count
    finally:
        torch.set_num_threads(threads)


RANGES = {
    "rpn_pre_nms_top_n": (1, 600),
    "rpn_post_nms_top_n": (1, 300),
    "rpn_nms_threshold": (0.0, 1.0),
    "rpn_score_threshold": (0.0, 0.6),
    "rpn_min_size": (0.0, 60.0),
    "box_score_threshold": (0.0, 1.0),
    "box_nms_threshold": (0.0, 1.0),
    "box_detections_per_img": (1, 60),
}


def any_knobs(seed):
    """Half of the knobs, anywhere in their ranges; every third time, at either end."""
    random = np.random.default_rng(seed)
    knobs = {}
    for name in random.choice(list(RANGES), 4, replace=False).tolist():
        low, high = RANGES[name]
        anywhere = random.integers(low, high + 1) if isinstance(low, int) else random.uniform(low, high)
        knobs[name] = random.choice([low, high]).item() if seed % 3 == 2 else type(low)(anywhere)
    return knobs


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_street_under_any_knobs_equals_torchvision_to_the_bit(street, seed):
    name = SAMPLES[seed % len(SAMPLES)]
    equals_torchvision(street, preprocess(sample_photo(name), SHAPES[name])[0], **any_knobs(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 18))
def test_a_small_resnet_under_any_knobs_equals_torchvision_to_the_bit(small_resnet, seed):
    name = SAMPLES[seed % len(SAMPLES)]
    knobs = {"rpn_pre_nms_top_n": 300, "rpn_post_nms_top_n": 100, **any_knobs(seed)}
    equals_torchvision(small_resnet, preprocess(sample_photo(name), SHAPES[name])[0], **knobs)


@pytest.mark.slow
def test_a_strip_seen_first_spoils_torchvision_and_not_predict(restaurant):
    fresh, spoilt = (seeded(maskrcnn_resnet50_fpn, min_size=256) for _ in range(2))
    with torch.no_grad():
        spoilt([torch.rand(3, 33, 1333)])
        right, wrong = fresh(restaurant[0])[0], spoilt(restaurant[0])[0]
    assert not torch.equal(right["scores"], wrong["scores"])  # pytorch/vision#3747 is still there
    np.testing.assert_array_equal(predict(spoilt, restaurant[0]).scores, right["scores"].numpy())


@pytest.fixture(scope="module")
def run(street):
    knobs = {"rpn_min_size": 12, "rpn_score_threshold": 0.02, "box_score_threshold": 0.02}
    tensor, _ = preprocess(sample_photo("restaurant"))
    return trace(street, tensor, rpn_post_nms_top_n=150, box_detections_per_img=20, **knobs)


def test_every_candidate_proposal_has_one_outcome_and_all_outcomes_occur(run):
    proposals = run.proposals
    counts = torch.bincount(proposals.outcomes, minlength=len(OUTCOMES))
    assert counts.sum() == len(proposals.candidates) and (counts > 0).all()
    assert counts[KEPT] == len(proposals.boxes) == 150
    assert set(proposals.candidates[proposals.outcomes == KEPT].tolist()) == set(proposals.anchors.tolist())
    height, width, count = (torch.tensor(run.anchors.grids)[:, i] for i in range(3))
    assert (height * width * count).sum() == len(run.anchors.boxes)


def each_suppressed_box_overlaps_a_better_survivor(boxes, scores, groups, outcomes, nms_threshold) -> None:
    """NMS runs within a group: a pyramid level, or a category."""
    survivors = (outcomes == KEPT) | (outcomes == OVER_LIMIT)
    for group in groups.unique():
        lost = torch.where((outcomes == SUPPRESSED) & (groups == group))[0]
        by = torch.where(survivors & (groups == group))[0]
        if len(lost):
            better = scores[by][None] >= scores[lost][:, None]
            overlap = box_iou(boxes[lost], boxes[by]) * better
            assert (overlap.max(dim=1).values > nms_threshold).all()


def test_each_outcome_of_a_proposal_is_true(run):
    proposals, knobs = run.proposals, run.knobs
    boxes, scores, outcomes = proposals.candidate_boxes, proposals.candidate_scores, proposals.outcomes
    sides = (boxes[:, 2:] - boxes[:, :2]).min(dim=1).values
    assert (sides[outcomes == TOO_SMALL] < knobs.rpn_min_size).all()
    assert (sides[outcomes != TOO_SMALL] >= knobs.rpn_min_size).all()
    assert (scores[outcomes == LOW_SCORE] < knobs.rpn_score_threshold).all()
    levels = run.anchors.levels[proposals.candidates]
    each_suppressed_box_overlaps_a_better_survivor(boxes, scores, levels, outcomes, knobs.rpn_nms_threshold)
    assert scores[outcomes == OVER_LIMIT].max() <= scores[outcomes == KEPT].min()


def test_each_outcome_of_a_detection_is_true(run):
    found, heads, knobs = run.detections, run.box_scores, run.knobs
    scores, boxes = heads.scores[:, 1:].reshape(-1), heads.boxes[:, 1:].reshape(-1, 4)
    labels = torch.arange(len(scores)) % 4 + 1
    outcomes = found.outcomes
    assert len(outcomes) == len(scores)
    assert (scores[outcomes == LOW_SCORE] <= knobs.box_score_threshold).all()
    assert (scores[outcomes != LOW_SCORE] > knobs.box_score_threshold).all()
    each_suppressed_box_overlaps_a_better_survivor(boxes, scores, labels, outcomes, knobs.box_nms_threshold)
    assert (outcomes == KEPT).sum() == len(found.boxes) == 20
    rows = found.proposals * 4 + found.labels - 1
    assert set(rows.tolist()) == set(torch.where(outcomes == KEPT)[0].tolist())


def test_pairs_are_numbered_proposal_by_proposal_and_split_again():
    by_hand = [(proposal, label) for proposal in range(3) for label in range(1, 5)]
    proposals, labels = torch.tensor(by_hand).T
    assert pair_numbers(proposals, labels, 5).tolist() == list(range(12))
    assert [split_pairs(number, 5) for number in range(12)] == by_hand
    assert torch.equal(torch.stack(split_pairs(torch.arange(12), 5)), torch.stack([proposals, labels]))
    assert [part.tolist() for part in split_pairs(torch.arange(0), 1)] == [[], []]  # the background alone


def test_the_masks_are_those_of_the_detections_own_categories(run):
    for logits, probs, label in zip(run.masks.logits, run.masks.probs, run.detections.labels, strict=True):
        torch.testing.assert_close(probs, torch.sigmoid(logits[label]), rtol=0, atol=1e-6)


def test_the_outcomes_are_counted_by_name(run):
    outcomes = run.proposals.outcomes.tolist()
    assert count_outcomes(run.proposals.outcomes) == {
        name: outcomes.count(n) for n, name in enumerate(OUTCOMES)
    }


def test_a_score_at_the_floor_is_too_low_for_a_detection_and_enough_for_a_proposal(run):
    """torchvision compares with > in one place and with >= in the other."""
    score = float(run.detections.scores[5])
    assert run.rerun(box_score_threshold=score).detections.scores.min() > score
    score = float(run.proposals.candidate_scores.median())
    turned = run.rerun(rpn_score_threshold=score).proposals
    at_the_floor = turned.candidate_scores == score
    assert at_the_floor.any() and (turned.outcomes[at_the_floor] != LOW_SCORE).all()
