"""The pyramid over the backbone's maps: FeaturePyramidNetwork's arithmetic, operation by operation.

What is no longer needed is freed at once, which lowers peak memory by two maps of the finest level.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import FeaturePyramidNetwork


def pyramid(
    fpn: FeaturePyramidNetwork, body: Mapping[str, Tensor], *, top_down: bool = True
) -> dict[str, Tensor]:
    """From the coarsest map down: a 1 x 1 convolution, plus the coarser map enlarged; then a 3 x 3 one.

    So a fine level, too, knows what only coarse ones see (Feature Pyramid Networks, arXiv:1612.03144).

    Args:
        fpn: torchvision's FeaturePyramidNetwork.
        body: Name -> float32 (1, c, h, w), finest first; c differs from map to map.
        top_down: Add the coarser map. False shows what a network is worth without it.

    Returns:
        Level name -> float32 (1, C, h, w), finest first; one more, coarser level from `extra_blocks`.
    """
    names, maps = list(body), list(body.values())
    levels: list[Tensor] = []
    inner = None
    for x, inner_block, layer_block in zip(
        reversed(maps), reversed(fpn.inner_blocks), reversed(fpn.layer_blocks), strict=True
    ):
        lateral = inner_block(x)
        if inner is not None and top_down:
            lateral = lateral.add_(F.interpolate(inner, size=lateral.shape[-2:], mode="nearest"))
        inner = lateral
        levels.insert(0, layer_block(inner))
    if fpn.extra_blocks is not None:
        levels, names = fpn.extra_blocks(levels, maps, names)
    return dict(zip(names, levels, strict=True))


class Merge(NamedTuple):
    """How a level of the pyramid comes about; all are float32 (1, C, h, w)."""

    lateral: Tensor  # the backbone's map after a 1 x 1 convolution
    above: Tensor  # the next coarser merged map, enlarged; zeros at the coarsest
    merged: Tensor  # their sum
    level: Tensor  # the sum after a 3 x 3 convolution: P2 to P5


def merges(fpn: FeaturePyramidNetwork, body: Mapping[str, Tensor]) -> list[Merge]:
    """The steps of `pyramid`, with nothing freed: finest first, without the level of `extra_blocks`."""
    found: list[Merge] = []
    for x, inner, layer in zip(
        reversed(list(body.values())), reversed(fpn.inner_blocks), reversed(fpn.layer_blocks), strict=True
    ):
        lateral = inner(x)
        above = torch.zeros_like(lateral)
        if found:
            above = F.interpolate(found[0].merged, size=lateral.shape[-2:], mode="nearest")
        merged = lateral + above
        found.insert(0, Merge(lateral, above, merged, layer(merged)))
    return found
