"""A receipt against the margin that the run's own scores give, and against the head's matrices by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead

from hand_made import CATEGORIES, hand_made, shifted
from maskseg_nb import follow, preprocess, receipt, trace
from maskseg_nb.errors import ModelError
from maskseg_nb.explain.receipt import BACKGROUND, head_logits
from published_models import numbers_that_matter
from small_models import tiny_model


def margin_of(run, proposal, label, against):
    """The difference of two logits is that of the logarithms of two probabilities."""
    scores = run.box_scores.scores[proposal].double()
    return float(scores[label].log() - scores[against].log())


def check_adds_up(run, detections):
    names = (BACKGROUND, *run.prediction.categories[1:])
    others = [*range(min(4, len(names))), len(names) - 1]
    for row in detections:
        for against in others:
            label, proposal = int(run.prediction.labels[row]), int(run.detections.proposals[row])
            if against == label:
                continue
            found = receipt(run, row, names[against])
            assert found.cells.sum() + found.bias == pytest.approx(found.margin, abs=1e-4)
            assert found.channels.sum() == pytest.approx(found.cells.sum(), abs=1e-6)
            assert found.margin == pytest.approx(margin_of(run, proposal, label, against), abs=1e-3)
            assert (found.proposal, found.label, found.against) == (proposal, label, against)


def test_every_receipt_of_a_photograph_adds_up_to_its_margin(street_trace):
    check_adds_up(street_trace, range(len(street_trace.prediction)))


@pytest.mark.slow
@pytest.mark.parametrize("build", [maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2])
def test_receipts_of_torchvision_s_models_add_up(build, restaurant):
    torch.manual_seed(0)
    model = build(weights=None, weights_backbone=None, box_score_thresh=0.0, min_size=256)
    run = trace(numbers_that_matter(model).eval(), restaurant[0])
    check_adds_up(run, range(0, len(run.prediction), 20))


def with_head(head):
    """A tiny model with another box head, and its run on a noisy picture."""
    torch.manual_seed(0)
    model = tiny_model(CATEGORIES)
    model.roi_heads.box_head = head
    model.roi_heads.score_thresh = 0.0
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return trace(numbers_that_matter(model).eval(), preprocess(noise, (64, 64))[0])


def test_a_head_of_convolutions_and_batch_norms_adds_up():
    """The layers of `coco_v2`, whose ReLU overwrites what the norm returned."""
    head = FastRCNNConvFCHead((8, 4, 4), [8, 8], [16], norm_layer=nn.BatchNorm2d)
    assert any(layer.inplace for layer in head.modules() if isinstance(layer, nn.ReLU))
    run = with_head(head)
    check_adds_up(run, range(len(run.prediction)))


def test_a_head_with_another_curve_than_relu_is_refused():
    head = nn.Sequential(nn.Flatten(), nn.Linear(128, 16), nn.GELU())
    with pytest.raises(ModelError, match="box head is not piecewise linear"):
        receipt(with_head(head), 0)


def test_a_receipt_is_the_head_s_matrices_multiplied_by_hand(street_trace):
    heads, found = street_trace.model.roi_heads, receipt(street_trace, 0, "car")
    first, second, last = (
        (layer.weight.detach().double(), layer.bias.detach().double())
        for layer in (heads.box_head.fc6, heads.box_head.fc7, heads.box_predictor.cls_score)
    )
    read = follow_features(street_trace, 0).flatten().double()
    hidden = first[0] @ read + first[1]
    deeper = second[0] @ hidden.relu() + second[1]
    towards = last[0][found.label] - last[0][found.against]  # (384,)
    to_deeper = towards * (deeper > 0)
    to_hidden = to_deeper @ second[0] * (hidden > 0)
    items = (to_hidden @ first[0] * read).reshape(found.items.shape)
    bias = last[1][found.label] - last[1][found.against] + to_deeper @ second[1] + to_hidden @ first[1]
    np.testing.assert_allclose(found.items, items, atol=1e-5)
    assert found.bias == pytest.approx(float(bias), abs=1e-5)


def follow_features(run, row):
    return torch.from_numpy(follow(run, detection=row).detection.features)


def test_the_items_are_finite_differences_of_the_margin(street_trace):
    """A hundredth more of one cell's features adds a hundredth of what the receipt says of the cell."""
    found, heads = receipt(street_trace, 0), street_trace.model.roi_heads
    read, step = follow_features(street_trace, 0)[None], 1e-2

    def margin(features):
        with torch.no_grad():
            logits = head_logits(heads, features)
        return float(logits[found.label] - logits[found.against])

    for cell in ((0, 0), (3, 3), (6, 2)):
        more = read.clone()
        more[0, :, *cell] *= 1 + step
        change = margin(more) - margin(read)
        assert change / step == pytest.approx(found.cells[cell], abs=0.02)


@pytest.mark.parametrize("count", [0, 3, 100])
def test_the_bill_adds_up_and_names_the_largest_cells(street_trace, count):
    found = receipt(street_trace, 0)
    bill = found.bill(count)
    assert sum(amount for _, amount in bill) == pytest.approx(found.margin, abs=1e-4)
    cells = {name: amount for name, amount in bill if name.startswith("cell")}
    for name, amount in cells.items():
        assert found.cells[tuple(map(int, name.removeprefix("cell ").split(", ")))] == amount
    ranked = np.sort(found.cells.ravel())
    wanted = [*ranked[::-1][:count], *ranked[:count]] if count < 10 else found.cells[found.cells != 0]
    assert sorted(cells.values()) == pytest.approx(sorted(wanted))
    assert str(found).splitlines()[-1].split() == ["margin", f"{found.margin:+.3f}"]


def test_a_lost_box_has_a_receipt_too(street_trace):
    dropped = set(range(len(street_trace.proposals.boxes))) - set(street_trace.detections.proposals.tolist())
    row = min(dropped)
    found = receipt(street_trace, anchor=int(street_trace.proposals.anchors[row]), category="person")
    assert (found.proposal, found.names) == (row, ("person", BACKGROUND))
    assert found.margin == pytest.approx(margin_of(street_trace, row, 1, 0), abs=1e-3)


def test_the_model_is_left_as_it_was(street_trace):
    heads = street_trace.model.roi_heads
    receipt(street_trace, 0)
    assert not any(layer._forward_hooks for layer in heads.modules())
    assert all(parameter.grad is None for parameter in heads.parameters())


# Bad input


def test_a_detection_that_does_not_exist_is_refused(street_trace):
    count = len(street_trace.prediction)
    with pytest.raises(ValueError, match=f"there is no detection {count}: they are 0 to {count - 1}"):
        receipt(street_trace, count)


def test_an_anchor_that_never_reached_the_box_head_is_refused():
    run = hand_made([[70.0, 70.0, 90.0, 90.0], shifted(0)], rpn_post_nms_top_n=1)
    with pytest.raises(
        ValueError, match="anchor 1 never reached the box head: over the limit of 1 proposals"
    ):
        receipt(run, anchor=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"against": "zebra"}, "no category 'zebra'; this model knows person, bicycle"),
        ({"category": "person", "against": "person"}, "'person'; give another one"),
        ({"category": "background"}, "'background'; give another one"),
    ],
)
def test_categories_that_cannot_be_compared_are_refused(street_trace, arguments, message):
    with pytest.raises(ValueError, match=message):
        receipt(street_trace, 0, **arguments)
