"""RoIAlign over a pyramid: which map each box is read from, and the reading.

torchvision's MultiScaleRoIAlign infers the maps' scales from the first image that it ever sees and keeps
them (pytorch/vision#3747). Here they come from the strides of the maps at hand: no image can spoil another.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align

Strides = Sequence[tuple[int, int]]  # (down, across) pixels per cell, one pair per map


def roi_levels(
    pool: MultiScaleRoIAlign, boxes: Tensor, maps: Mapping[str, Tensor], strides: Strides
) -> Tensor:
    """Which map RoIAlign reads each box from: the larger the box, the coarser the map.

    floor(4 + log2(sqrt(area) / 224)), within what there is (Feature Pyramid Networks, arXiv:1612.03144,
    equation 1; torchvision's LevelMapper).

    Args:
        pool: The model's own, `box_roi_pool` or `mask_roi_pool`.
        boxes: float32 (N, 4), x1 y1 x2 y2 in pixels of the network's input.
        maps, strides: As in `Features`.

    Returns:
        int64 (N,), 0 the finest map that the pool uses.
    """
    scales = _scales(pool, maps, strides)
    finest, coarsest = (-math.log2(scale) for scale in (scales[0], scales[-1]))
    sides = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    epsilon = torch.tensor(1e-6, dtype=sides.dtype)
    levels = torch.floor(pool.canonical_level + torch.log2(sides / pool.canonical_scale) + epsilon)
    return levels.clamp(finest, coarsest).to(torch.int64) - int(finest)


def pooled(
    pool: MultiScaleRoIAlign, boxes: Tensor, levels: Tensor, maps: Mapping[str, Tensor], strides: Strides
) -> Tensor:
    """Each box's features, read from its own level (RoIAlign: Mask R-CNN, arXiv:1703.06870, section 3).

    `levels` is what `roi_levels` returned for the other arguments. Returns float32 (N, C, h, w), (h, w) the
    pool's own size.
    """
    read = [maps[name] for name in pool.featmap_names if name in maps]
    rois = F.pad(boxes, (1, 0))  # (N, 5): image 0 of the batch, then the box
    height, width = pool.output_size
    result = read[0].new_zeros((len(boxes), read[0].shape[1], height, width))
    for level, (feature, scale) in enumerate(zip(read, _scales(pool, maps, strides), strict=True)):
        here = torch.where(levels == level)[0]
        result[here] = roi_align(feature, rois[here], pool.output_size, scale, pool.sampling_ratio)
    return result


def sample_points(pool: MultiScaleRoIAlign, box: Tensor, stride: int) -> Tensor:
    """Where RoIAlign reads a map for one box: a square of points in each cell of its result.

    In torchvision the value of cell 0 stands at 0, not at one half: `aligned` is False in Mask R-CNN.

    Args:
        pool: The model's own; it has the result's size (h, w), and s points a side: 2, which makes four.
        box: float32 (4,), x1 y1 x2 y2 in pixels of the network's input.
        stride: Pixels per cell of the map that it is read from.

    Returns:
        float32 (h, w, s, s, 2): x and y, in cells of the map.
    """
    (left, top), sides = box[:2] / stride, ((box[2:] - box[:2]) / stride).clamp(min=1)
    (height, width), ratio = pool.output_size, pool.sampling_ratio
    axes = []
    for start, side, count in ((top, sides[1], height), (left, sides[0], width)):
        each = ratio if ratio > 0 else math.ceil(float(side) / count)
        axes.append((start + (torch.arange(count * each) + 0.5) * side / (count * each)).reshape(count, each))
    ys, xs = axes[0][:, None, :, None], axes[1][None, :, None, :]
    return torch.stack(torch.broadcast_tensors(xs, ys), dim=-1)


def bilinear_weights(point: Tensor, size: Sequence[int]) -> list[tuple[int, int, float]]:
    """The four cells whose values make the value at a point: (row, column, weight), the weights' sum 1.

    Args:
        point: x and y, in cells, as `sample_points` returns them.
        size: (height, width) of the map. Beyond its edge the last cell counts twice; more than a cell beyond,
            torchvision reads 0, so there is no cell.
    """
    if not all(-1 <= value <= cells for value, cells in zip(reversed(point.tolist()), size, strict=True)):
        return []
    places = []
    for value, cells in zip(reversed(point.tolist()), size, strict=True):
        inside = min(max(value, 0.0), cells - 1.0)
        low = int(inside)
        places.append([(low, 1 - inside + low), (min(low + 1, cells - 1), inside - low)])
    return [(row, column, a * b) for row, a in places[0] for column, b in places[1]]


def _scales(pool: MultiScaleRoIAlign, maps: Mapping[str, Tensor], strides: Strides) -> list[float]:
    """Cells per pixel, a power of two, for each map that the pool reads."""
    return [
        2.0 ** -round(math.log2(down))
        for name, (down, _) in zip(maps, strides, strict=True)
        if name in pool.featmap_names
    ]
