"""How a box is read from a feature map, as matplotlib Figures: RoIAlign's points, and what RoIPool did."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torchvision.ops import roi_pool

from .._shared.checks import is_whole
from ..mask_rcnn.roi_align import bilinear_weights, pooled, sample_points
from ..mask_rcnn.trace import Trace

PINK, BLUE = "#ff3cc8", "#56b4e9"  # of the followed box, as everywhere; of what RoIPool rounds


def show_roi_align(trace: Trace, detection: int = 0, cell: tuple[int, int] = (3, 3)) -> Figure:
    """How the box head reads one proposal: where RoIAlign looks, what it adds, what RoIPool did.

    Above: the map with the box, whose edges lie between the cells, and four points in each part; one of these
    points, the four values around it and their weights, in the strongest channel; the same box as
    RoIPool takes it (Fast R-CNN, arXiv:1504.08083), rounded to whole cells, and again where it is divided.
    Below: what each of them reads, by its mean strength over all channels, and how far they are apart, as a
    share of what RoIAlign reads. The head has learned to read means: this is no measure of RoIPool.

    Args:
        trace: A run through the network.
        detection: A row of `trace.prediction`; the proposal that it came from is read.
        cell: (row, column) of the result's cell to look at closely.

    Raises:
        TypeError, ValueError: There is no such detection or cell.
    """
    count, pool = len(trace.detections.scores), trace.model.roi_heads.box_roi_pool
    if not is_whole(detection) or not 0 <= detection < count:
        raise ValueError(f"detection must be 0 to {count - 1}, got {detection!r}")
    height, width = pool.output_size
    if not (0 <= cell[0] < height and 0 <= cell[1] < width):
        raise ValueError(f"cell must be (row, column) within {height} x {width}, got {cell!r}")
    row = int(trace.detections.proposals[detection])
    box, level = trace.proposals.boxes[row].cpu(), int(trace.box_scores.roi_levels[row])
    read = [key for key in trace.features.maps if key in pool.featmap_names][level]
    place = list(trace.features.maps).index(read)
    name, stride = trace.features.names[place], trace.features.strides[place][0]
    values = trace.features.maps[read].cpu()  # (1, C, h, w)
    points = sample_points(pool, box, stride)
    levels = torch.tensor([level])
    maps = {key: found.cpu() for key, found in trace.features.maps.items()}
    aligned = pooled(pool, box[None], levels, maps, trace.features.strides)[0]
    rounded = roi_pool(values, [box[None]], pool.output_size, 1 / stride)[0]

    figure = Figure(figsize=(12.5, 8.6), layout="constrained")
    (where, close, old), below = figure.subplots(2, 3)
    strength = values[0].abs().mean(dim=0).numpy()
    x1, y1, x2, y2 = (box / stride).tolist()
    for axis in (where, old):
        axis.imshow(strength, cmap="inferno")
        axis.set(xlim=(x1 - 2, x2 + 2), ylim=(y2 + 2, y1 - 2))
    where.plot(*points.reshape(-1, 2).T.numpy(), ".", color="white", markersize=2.5)
    _frame(where, (x1, y1, x2, y2), PINK)
    _grid(where, np.linspace(x1, x2, width + 1), np.linspace(y1, y2, height + 1), PINK)
    one, (wide, high) = points[cell], ((x2 - x1) / width, (y2 - y1) / height)
    corner = (x1 + cell[1] * wide, y1 + cell[0] * high)
    where.add_patch(Rectangle(corner, wide, high, fill=False, edgecolor="white", lw=3))
    where.plot(*one.reshape(-1, 2).T.numpy(), "o", color="white", markersize=5, markeredgecolor="black")
    where.set_title(f"RoIAlign reads {name}: four points in each cell")
    _interpolate(close, values[0, int(aligned[:, cell[0], cell[1]].abs().argmax())], one[0, 0])
    edges = _pool_edges((x1, y1, x2, y2), pool.output_size)
    _grid(old, edges[0], edges[1], BLUE)
    _frame(old, (x1, y1, x2, y2), PINK, dashed=True)
    old.set_title("RoIPool: rounded to whole cells, twice")
    pictures = [aligned.abs().mean(dim=0), rounded.abs().mean(dim=0), (rounded - aligned).abs().mean(dim=0)]
    most = max(float(picture.max()) for picture in pictures)
    apart = float((rounded - aligned).abs().mean() / aligned.abs().mean())
    titles = (
        "RoIAlign: the mean of its four",
        "RoIPool: the greatest of its cells",
        f"Difference: {apart:.0%} of the left",
    )
    for axis, picture, title in zip(below, pictures, titles, strict=True):
        axis.imshow(picture.numpy(), cmap="inferno", vmin=0, vmax=most)
        axis.set_title(title)
    below[0].add_patch(Rectangle((cell[1] - 0.5, cell[0] - 0.5), 1, 1, fill=False, edgecolor="white", lw=3))
    return figure


def _interpolate(axis: Axes, values: torch.Tensor, point: torch.Tensor) -> None:
    """The four cells around a point, each with its value and its weight, and what they add up to."""
    corners = bilinear_weights(point, values.shape)
    top, left = min(row for row, _, _ in corners), min(column for _, column, _ in corners)
    patch = values[top : top + 2, left : left + 2].numpy()
    axis.imshow(
        patch,
        cmap="gray",
        extent=(left - 0.5, left + patch.shape[1] - 0.5, top + len(patch) - 0.5, top - 0.5),
    )
    middle = (patch.max() + patch.min()) / 2
    for row, column, weight in corners:
        value = float(values[row, column])
        color = "black" if value > middle else "white"
        axis.text(
            column, row, f"{value:.2f}\nx {weight:.2f}", color=color, ha="center", va="center", fontsize=14
        )
    axis.plot(*point.tolist(), "o", color=PINK, markersize=11, markeredgecolor="black")
    total = sum(float(values[row, column]) * weight for row, column, weight in corners)
    axis.set_title(f"One of the four points: {total:.2f}")
    axis.set(xticks=range(left, left + patch.shape[1]), yticks=range(top, top + len(patch)))


def _pool_edges(box: tuple[float, ...], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where RoIPool's cells begin, and where the last one ends, along x and y, between the map's cells."""
    edges = []
    for low, high, count in ((box[0], box[2], size[1]), (box[1], box[3], size[0])):
        first, last = np.floor(low + 0.5), np.floor(high + 0.5)
        side = max(last - first + 1, 1.0)
        starts = np.floor(np.arange(count) * side / count)
        edges.append(np.append(starts, side) + first - 0.5)
    return edges[0], edges[1]


def _frame(axis: Axes, box: tuple[float, ...], color: str, *, dashed: bool = False) -> None:
    x1, y1, x2, y2 = box
    style = "--" if dashed else "-"
    axis.add_patch(
        Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, lw=2.5, linestyle=style)
    )


def _grid(axis: Axes, xs: np.ndarray, ys: np.ndarray, color: str) -> None:
    axis.vlines(xs, ys[0], ys[-1], color=color, lw=1)
    axis.hlines(ys, xs[0], xs[-1], color=color, lw=1)
