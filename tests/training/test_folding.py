"""References: sums of probabilities, scores of known odds, and what torchvision's own heads read."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskseg_nb.data.shapes import ShapesDataset
from maskseg_nb.training.folding import _features, calibrate, calibration, fold

IMAGES = [image for image, _ in ShapesDataset(4, size=(96, 128))]


def told(model, kept, read):
    """The exact fold: each kept category's probability, and the background's with all others'."""
    p = F.softmax(model.roi_heads.box_predictor.cls_score(read), dim=1)[:, kept]
    return torch.cat([1 - p.sum(dim=1, keepdim=True), p], dim=1)


@pytest.mark.slow
@torch.no_grad()
def test_what_is_not_told_becomes_background(street):
    names = ("__background__", "person", "motorcycle")
    folded, read = fold(street, names, IMAGES), _features(street, IMAGES[0])
    exact = told(street, [1, 4], read)
    fitted = F.softmax(folded.roi_heads.box_predictor.cls_score(read), dim=1)
    cut = F.softmax(street.roi_heads.box_predictor.cls_score(read)[:, [0, 1, 4]], dim=1)
    error, error_of_cut = ((p - exact).abs().sum(dim=1).mean() for p in (fitted, cut))
    assert error < 0.25 * error_of_cut
    assert folded.categories == names and not folded.training
    _, deltas = folded.roi_heads.box_predictor(read)
    _, before = street.roi_heads.box_predictor(read)
    torch.testing.assert_close(deltas.view(-1, 3, 4), before.view(-1, 5, 4)[:, [0, 1, 4]])


@pytest.mark.slow
def test_all_categories_told_in_another_order_are_the_same_model(street):
    names = ("__background__", "car", "motorcycle", "bicycle", "person")
    folded = fold(street, names, IMAGES[:1])
    with torch.no_grad():
        read = _features(street, IMAGES[1])
        one, other = (F.softmax(m.roi_heads.box_predictor.cls_score(read), dim=1) for m in (street, folded))
    torch.testing.assert_close(one[:, [0, 3, 4, 2, 1]], other, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_features_are_what_torchvision_classifies(street):
    seen = []
    hook = street.roi_heads.box_predictor.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    street([torch.from_numpy(IMAGES[0]).permute(2, 0, 1).float() / 255])
    hook.remove()
    assert torch.equal(_features(street, IMAGES[0]), seen[0])


def test_the_model_that_is_folded_stays_as_it_is(street):
    before = copy.deepcopy(street.state_dict())
    fold(street, ("__background__", "person"), IMAGES[:1])
    assert all(torch.equal(value, before[name]) for name, value in street.state_dict().items())


@pytest.mark.parametrize(
    ("names", "images", "said"),
    [
        (("__background__", "cow"), IMAGES, "categories must be the model's, got 'cow'"),
        (("__background__", "car"), [], "images must be one or more"),
    ],
)
def test_folds_that_cannot_be_are_a_value_error(street, names, images, said):
    with pytest.raises(ValueError, match=said):
        fold(street, names, images)


def detections(temperature, bias, count=40_000):
    """Scores of a model whose logits are too large by a factor, and too sure of objects by a bias."""
    generator = np.random.default_rng(0)
    true = generator.normal(0, 2, count)  # the logit of being right
    right = generator.random(count) < 1 / (1 + np.exp(-true))
    return 1 / (1 + np.exp(-(temperature * true + bias))), right


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.0, 1.5), (0.5, -1.0)])
def test_calibration_finds_what_made_the_scores_wrong(temperature, bias):
    found = calibration(*detections(temperature, bias), least=0.0)
    assert found == pytest.approx((temperature, bias), abs=0.06)


def test_the_bias_is_raised_until_enough_of_the_sure_ones_are_right():
    scores, right = detections(1.0, 0.0)
    assert right[scores >= 0.5].mean() < 0.85
    temperature, bias = calibration(scores, right, least=0.85)
    sure = (np.log(scores / (1 - scores)) - bias) / temperature >= 0
    assert right[sure].mean() == pytest.approx(0.85, abs=1e-3)  # as many as can be kept, and no fewer


@pytest.mark.parametrize(
    ("scores", "right", "said"),
    [
        ([], [], "there is nothing to calibrate"),
        ([0.1] * 50 + [0.9] * 50, [True] * 50 + [False] * 50, "higher scores must be right more often"),
    ],
)
def test_scores_that_say_nothing_are_a_value_error(scores, right, said):
    with pytest.raises(ValueError, match=said):
        calibration(np.array(scores), np.array(right, bool))


@pytest.mark.parametrize("right", [[True] * 4, [False] * 4, [True, True, False, False]])
def test_few_instances_move_the_scores_but_little(right):
    temperature, bias = calibration(np.array([0.9, 0.8, 0.3, 0.2]), np.array(right), least=0.0)
    assert 0.3 < temperature < 5 and abs(bias) < 4


def test_calibrated_odds_against_the_background_are_as_said(street):
    model = copy.deepcopy(street)
    calibrate(model, temperature=2.0, bias=0.7)
    with torch.no_grad():
        read = _features(street, IMAGES[0])
        before, after = (m.roi_heads.box_predictor.cls_score(read) for m in (street, model))
    odds = (before[:, 1:] - before[:, :1] - 0.7) / 2
    torch.testing.assert_close(after[:, 1:] - after[:, :1], odds, atol=1e-4, rtol=1e-4)
