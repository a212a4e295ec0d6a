"""The network of `street`, layer by layer. References: torch's own convolution and FrozenBatchNorm2d."""

import pytest
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.ops import FrozenBatchNorm2d

from maskseg_nb.models.street import NormedConv2d, street


def randomised(layer):
    layer.weight.data.normal_(0, 0.2, generator=torch.Generator().manual_seed(0))
    layer.scale.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    layer.shift.normal_(0, 0.5, generator=torch.Generator().manual_seed(2))
    return layer


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_normed_convolution_is_a_convolution_and_its_norm(groups, stride):
    layer = randomised(NormedConv2d(8, 16, 3, stride, groups=groups))
    conv = nn.Conv2d(8, 16, 3, stride, padding=1, groups=groups, bias=False)
    conv.weight.data.copy_(layer.weight.data)
    norm = FrozenBatchNorm2d(16, eps=0.0)
    norm.weight.copy_(layer.scale)
    norm.bias.copy_(layer.shift)
    norm.running_var.fill_(1.0)
    x = torch.randn(2, 8, 11, 7, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(layer(x), norm(conv(x)), rtol=1e-5, atol=1e-5)
    layer(x).square().sum().backward()
    norm(conv(x)).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, conv.weight.grad, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_folded_layer_is_the_same_function():
    layer = randomised(NormedConv2d(8, 16, 3))
    x = torch.randn(2, 8, 11, 7, generator=torch.Generator().manual_seed(3))
    before = layer(x)
    layer.fold()
    assert (layer.scale == 1).all()
    torch.testing.assert_close(layer(x), before, rtol=0, atol=0)


def test_a_norm_has_nothing_to_learn():
    layer = NormedConv2d(3, 4, 3)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert [name for name, _ in layer.named_buffers()] == ["scale", "shift"]


@pytest.mark.parametrize(
    ("groups", "learns", "dtype"),
    [(1, True, torch.bfloat16), (8, True, torch.float32), (8, False, torch.bfloat16)],
)
def test_a_depthwise_convolution_that_learns_stays_float32(groups, learns, dtype):
    layer = randomised(NormedConv2d(8, 8, 5, groups=groups)).requires_grad_(learns)
    x = torch.randn(1, 8, 9, 9, generator=torch.Generator().manual_seed(3))
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x.bfloat16())
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), layer(x), rtol=0, atol=0.1)


def test_street_is_torchvisions_mask_rcnn_with_maps_at_five_strides():
    model = street().eval()
    assert type(model) is MaskRCNN
    with torch.no_grad():
        levels = model.backbone(torch.zeros(1, 3, 128, 192))
    assert list(levels) == ["0", "1", "2", "3", "pool"]
    for level, stride in zip(levels.values(), (4, 8, 16, 32, 64), strict=True):
        assert level.shape == (1, 96, 128 // stride, 192 // stride)


def test_the_stages_of_the_body_are_all_of_it_in_order():
    body = street().backbone.body
    found = [p for stage in body.stages() for module in stage for p in module.parameters()]
    assert len(body.stages()) == 5
    assert [id(p) for p in found] == [id(p) for p in body.parameters()]


def test_each_stage_ends_at_the_next_stride():
    body, x = street().backbone.body.eval(), torch.zeros(1, 3, 64, 64)
    for stage, stride in zip(body.stages(), (2, 4, 8, 16, 32), strict=True):
        for module in stage:
            x = module(x)
        assert x.shape[2:] == (64 // stride, 64 // stride)
