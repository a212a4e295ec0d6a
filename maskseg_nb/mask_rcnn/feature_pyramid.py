"""The pyramid over the backbone's maps: FeaturePyramidNetwork's arithmetic, operation by operation.

What is no longer needed is freed at once, which lowers peak memory by two maps of the finest level.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import FeaturePyramidNetwork


def pyramid(fpn: FeaturePyramidNetwork, body: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """From the coarsest map down: a 1 x 1 convolution, plus the coarser map enlarged; then a 3 x 3 one.

    So a fine level, too, knows what only coarse ones see (Feature Pyramid Networks, arXiv:1612.03144).

    Args:
        fpn: torchvision's FeaturePyramidNetwork.
        body: Name -> float32 (1, c, h, w), finest first; c differs from map to map.

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
        if inner is not None:
            lateral = lateral.add_(F.interpolate(inner, size=lateral.shape[-2:], mode="nearest"))
        inner = lateral
        levels.insert(0, layer_block(inner))
    if fpn.extra_blocks is not None:
        levels, names = fpn.extra_blocks(levels, maps, names)
    return dict(zip(names, levels, strict=True))
