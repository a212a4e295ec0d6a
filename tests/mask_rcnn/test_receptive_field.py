"""The reach against the gradient of a network of positive weights; the 90 % square against plain counting."""

import pytest
import torch
from torch import nn

from maskseg_nb.mask_rcnn.receptive_field import _reach, _side, receptive_fields
from maskseg_nb.mask_rcnn.trace import trace
from maskseg_nb.models.street import street as build_street
from small_models import tiny_model


def test_the_reach_is_how_far_a_gradient_goes():
    body = nn.Sequential(
        nn.Conv2d(1, 2, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(2, 2, 3, padding=1),
        nn.Conv2d(2, 1, 3, 2, 1),
    )
    for parameter in body.parameters():
        nn.init.constant_(parameter, 1.0)
    pixels = torch.ones(1, 1, 96, 96, requires_grad=True)
    body(pixels)[0, 0, 12, 12].backward()
    rows = torch.where(pixels.grad[0, 0].any(dim=1))[0]
    assert _reach(body, pixels.detach()) == int(rows[-1] - rows[0]) + 1


def test_pooling_reaches_too_and_a_branch_of_kernel_1_does_not():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.main, self.beside = (
                nn.MaxPool2d(3, 2, 1),
                nn.Conv2d(1, 1, 3, 2, 1),
                nn.Conv2d(1, 1, 1, 2),
            )

        def forward(self, x):
            x = self.pool(x)
            return self.main(x) + self.beside(x)

    assert _reach(Block(), torch.zeros(1, 1, 64, 64)) == 1 + 2 * 1 + 2 * 2


def test_the_square_holds_nine_tenths_and_the_next_smaller_one_does_not():
    gradient = torch.rand(40, 50, generator=torch.Generator().manual_seed(0)) ** 8
    cell = (20, 16, 24, 20)
    side = _side(gradient, cell)

    def share(side):
        top, left = 18 - side // 2, 22 - side // 2
        return gradient[max(top, 0) : top + side, max(left, 0) : left + side].sum() / gradient.sum()

    assert share(side) >= 0.9 > share(side - 2)


@pytest.fixture(scope="module")
def small_run():
    torch.manual_seed(0)
    model = build_street(3).eval()
    model.transform.min_size, model.transform.max_size = (128,), 128
    return trace(model, torch.rand(1, 3, 128, 128))


def test_each_level_has_the_gradient_of_its_own_middle_cell(small_run):
    fields = receptive_fields(small_run)
    assert [field.level for field in fields] == ["P2", "P3", "P4", "P5", "P6"]
    assert all(parameter.grad is None for parameter in small_run.model.parameters())
    pixels = small_run.normalised.tensor.clone().requires_grad_()
    middle = list(small_run.model.backbone(pixels).values())[1][0, :, 8, 8]
    (middle @ middle).sqrt().backward()
    torch.testing.assert_close(fields[1].gradient, pixels.grad[0].abs().sum(dim=0))
    assert fields[1].cell == (64, 64, 72, 72)
    assert [field.reach - fields[0].reach for field in fields] == [0, 8, 24, 56, 56]  # 3 x 3 at each stride


def test_a_backbone_without_a_pyramid_is_refused():
    run = trace(tiny_model(("__background__", "a")), torch.rand(1, 3, 64, 64))
    with pytest.raises(ValueError, match="no feature pyramid whose levels"):
        receptive_fields(run)


def test_a_cell_is_a_power_of_two_where_a_stride_falls_short_of_it(small_run):
    small_run.model.transform.max_size = 160
    run = trace(small_run.model, torch.rand(1, 3, 160, 128))
    small_run.model.transform.max_size = 128
    assert run.features.strides[-1] == (160 // 3, 64)  # three cells of 64 pixels cover 160
    assert run.features.pixels == (4, 8, 16, 32, 64)
    x1, y1, x2, y2 = receptive_fields(run)[-1].cell
    assert (x2 - x1, y2 - y1) == (64, 64)
