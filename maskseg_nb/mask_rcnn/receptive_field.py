"""How much of the image a cell of the pyramid sees: what it could, and what it does.

What it could: the receptive field, by kernels and strides alone. What it does: the gradient of the cell by
the pixels (Understanding the Effective Receptive Field, arXiv:1701.04128).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..models.backbones import has_pyramid
from .trace import Trace

SHARE = 0.9  # of the gradient


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """What the middle cell of one level sees; all in pixels of the network's input.

    Attributes:
        level: Its name, "P2" to "P6".
        cell: x1 y1 x2 y2 of the cell itself.
        reach: The side of the square that the convolutions can reach, were the image large enough.
        gradient: float32 (H, W): how much the cell changes with each pixel of this image, as the absolute
            gradient of its length, summed over the colours.
        side: That of the square around the cell's middle that holds 90 % of the gradient.
    """

    level: str
    cell: tuple[int, int, int, int]
    reach: int
    gradient: Tensor
    side: int


def receptive_fields(trace: Trace) -> list[ReceptiveField]:
    """What the middle cell of each level sees, finest level first; it runs the backbone once more.

    Raises:
        ValueError: The backbone has no feature pyramid.
    """
    backbone, names = trace.model.backbone, trace.features.names
    if not has_pyramid(backbone):
        raise ValueError("the model's backbone has no feature pyramid whose levels could be compared")
    body = _reach(backbone.body, trace.normalised.tensor)
    pixels = trace.normalised.tensor.detach().clone().requires_grad_()
    with torch.enable_grad():
        maps = backbone(pixels).values()
    found = []
    for name, values, wide in zip(names, maps, trace.features.pixels, strict=True):
        row, column = (cells // 2 for cells in values.shape[-2:])
        length = values[0, :, row, column].norm()
        gradient = torch.autograd.grad(length, pixels, retain_graph=True)[0][0].abs().sum(dim=0)
        cell = (column * wide, row * wide, (column + 1) * wide, (row + 1) * wide)
        # By the top-down path every level hears of C5. P6 is every second cell of P5, without a convolution.
        own = 2 * min(wide, trace.features.pixels[len(trace.features.body) - 1])
        found.append(ReceptiveField(name, cell, body + own, gradient, _side(gradient, cell)))
    return found


def _reach(body: nn.Module, tensor: Tensor) -> int:
    """The receptive field of a body's last map: 1, plus (kernel - 1) times the pixels per cell of each layer.

    A branch beside the main path has kernels of 1 (ResNet) or none, so adding up all layers is right.
    """
    steps: list[int] = []

    def add(layer: Any, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        kernel = layer.kernel_size if isinstance(layer.kernel_size, int) else layer.kernel_size[0]
        steps.append((kernel - 1) * round(tensor.shape[-1] / inputs[0].shape[-1]))

    hooks = [m.register_forward_hook(add) for m in body.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d)]
    try:
        with torch.no_grad():
            body(tensor)
    finally:
        for hook in hooks:
            hook.remove()
    return 1 + sum(steps)


def _side(gradient: Tensor, cell: tuple[int, int, int, int]) -> int:
    """The side of the square around a cell's middle that holds `SHARE` of the gradient."""
    (height, width), (x1, y1, x2, y2) = gradient.shape, cell
    ys = (torch.arange(height, device=gradient.device) + 0.5 - (y1 + y2) / 2).abs()
    xs = (torch.arange(width, device=gradient.device) + 0.5 - (x1 + x2) / 2).abs()
    away = torch.maximum(ys[:, None], xs[None]).ceil().long()
    reached = torch.bincount(away.ravel(), gradient.double().ravel()).cumsum(0)
    return 2 * int(torch.searchsorted(reached, SHARE * reached[-1]))
