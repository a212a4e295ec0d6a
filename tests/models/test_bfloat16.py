"""bfloat16 against float32: folded norms are the same function, and the drift stays a drift."""

import copy
import pickle
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import maskrcnn_resnet50_fpn_v2
from torchvision.ops import FrozenBatchNorm2d, box_iou

from maskseg_nb import load_model, predict, trace
from maskseg_nb.models.bfloat16 import fold_batch_norms, has_native_bfloat16, to_bfloat16
from maskseg_nb.models.zoo import frozen_resnet50_fpn


def randomised(build):
    """With norms that do something: a fresh one's statistics are 0 and 1."""
    torch.manual_seed(0)
    model = build().eval()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, FrozenBatchNorm2d)):
            for values in (module.running_mean.data, module.bias.data):
                values.normal_(0, 0.1)
            for values in (module.running_var.data, module.weight.data):
                values.uniform_(0.5, 1.5)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda: frozen_resnet50_fpn(5),
        lambda: maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=5),
    ],
    ids=["v1", "v2"],
)
@torch.no_grad()
def test_a_folded_backbone_is_the_same_function(build):
    model = randomised(build)
    pixels = torch.rand(1, 3, 128, 96)
    expected = model.backbone(pixels)
    fold_batch_norms(model)
    assert not any(isinstance(m, (nn.BatchNorm2d, FrozenBatchNorm2d)) for m in model.modules())
    assert not any(m.training for m in model.modules())
    for name, values in model.backbone(pixels).items():
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(values, expected[name], rtol=0, atol=1e-4 * scale)


@pytest.fixture(scope="module")
def fast():
    with pytest.warns(UserWarning) if not has_native_bfloat16(torch.device("cpu")) else nullcontext():
        return load_model("street", device="cpu", precision="bfloat16")


def overlaps(expected, got):
    """IoU of each sure detection with each of `got` that is of its category, else 0."""
    overlap = box_iou(torch.tensor(expected.boxes), torch.tensor(got.boxes)).numpy()
    return np.where(expected.labels[:, None] == got.labels, overlap, 0)[expected.scores >= 0.5]


@pytest.mark.slow
def test_bfloat16_finds_the_same_objects_a_little_elsewhere(fast, street, restaurant):
    """Before NMS. After it, rounding decides which of two rivals with nearly equal scores is left."""
    expected, found = predict(street, restaurant[0]), predict(fast, restaurant[0])
    got = trace(fast, restaurant[0], box_nms_threshold=1.0, box_detections_per_img=1000).prediction
    overlap = overlaps(expected, got)
    scores = expected.scores[: len(overlap)]
    assert len(scores) >= 7 and overlap.max(axis=1).min() > 0.9
    assert np.abs(got.scores[overlap.argmax(axis=1)] - scores).max() < 0.1
    assert overlaps(expected, found).max(axis=1).min() > 0.4  # a rival overlaps it by the NMS threshold, 0.5
    assert not np.array_equal(found.scores[: len(scores)], scores)  # it did compute in less


def test_what_comes_out_is_float32_whatever_is_inside(fast, restaurant):
    got = predict(fast, restaurant[0])
    assert (got.boxes.dtype, got.scores.dtype, got.mask_probs.dtype) == (np.float32,) * 3
    assert {p.dtype for p in fast.parameters()} == {torch.bfloat16}


def test_torchvisions_own_forward_runs_in_bfloat16_too(fast, restaurant):
    with torch.no_grad():
        theirs = fast(restaurant[0])[0]
    np.testing.assert_array_equal(predict(fast, restaurant[0]).scores, theirs["scores"].numpy())


@pytest.mark.slow
def test_a_model_in_bfloat16_can_be_copied_and_sent_to_another_process(fast, restaurant):
    expected = predict(fast, restaurant[0])
    for twin in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        np.testing.assert_array_equal(predict(twin, restaurant[0]).boxes, expected.boxes)


def test_where_nothing_is_found_nothing_is_found_in_bfloat16(fast, nothing):
    assert len(predict(fast, nothing[0])) == 0


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16, got 'float16'"):
        load_model("street", precision="float16")


def test_a_processor_without_bfloat16_is_reported(monkeypatch):
    monkeypatch.setattr("maskseg_nb.models.loading.has_native_bfloat16", lambda device: False)
    with pytest.warns(UserWarning, match="no bfloat16 instructions: float32 is faster here"):
        load_model("street", precision="bfloat16")


def test_converting_changes_the_model_in_place_and_returns_it():
    model = load_model("street")
    assert to_bfloat16(model) is model
