"""The feature pyramid, as matplotlib Figures: how a level comes about, what it sees and what it finds."""

import cv2
import numpy as np
import torch
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torchvision.ops import box_iou

from .._shared.checks import check_fraction, check_image
from ..mask_rcnn.feature_pyramid import merges
from ..mask_rcnn.follow import cell_of
from ..mask_rcnn.outcomes import KEPT
from ..mask_rcnn.prediction import Prediction
from ..mask_rcnn.receptive_field import receptive_fields
from ..mask_rcnn.trace import Trace, without_top_down
from .boxes import draw_boxes, line_width
from .colors import Color
from .figures import add_legend, show_pictures
from .panels import FOLLOWED, OUTCOME_COLORS, RIVAL
from .tags import tag_boxes


def show_merge(trace: Trace, level: int = 2) -> Figure:
    """How a level of the pyramid comes about: the backbone's map, plus the coarser one enlarged; convolved.

    A cell's colour is its mean strength over all channels; the two maps and their sum are on one scale, the
    level is on its own.

    Args:
        trace: A run through the network.
        level: 0 for P2 to 2 for P4: any but the coarsest map of the backbone, which nothing is added to.

    Raises:
        ValueError: The backbone has no feature pyramid, or there is no such level.
    """
    if not trace.features.body:
        raise ValueError("the model's backbone has no feature pyramid, so nothing is added up in it")
    last = len(trace.features.body) - 2
    if level not in range(last + 1):
        raise ValueError(f"level must be 0 to {last}, got {level!r}")
    with torch.no_grad():
        step = merges(trace.model.backbone.fpn, trace.features.body)[level]
    name, above = trace.features.names[level], trace.features.names[level + 1]
    titles = (
        f"C{name[1:]}, 1 x 1 convolution",
        f"+ the map of {above}, enlarged",
        "= their sum",
        f"{name}: 3 x 3 convolution of it",
    )
    parts = (step.lateral, step.above, step.merged, step.level)
    strengths = [values[0].abs().mean(dim=0).cpu().numpy() for values in parts]
    figure = _row(4, trace.normalised.size)
    most = max(values.max() for values in strengths[:3])
    for axis, values, title in zip(figure.subplots(1, 4), strengths, titles, strict=True):
        axis.imshow(values, cmap="inferno", vmin=0, vmax=values.max() if title == titles[3] else most)
        axis.set_title(title, fontsize=11)
        axis.set_axis_off()
    return figure


def show_without_top_down(trace: Trace, image: np.ndarray, score_threshold: float = 0.5) -> Figure:
    """What is found with the pyramid's top-down path, and what of it without: the lost ones are crossed.

    An instance is lost where no box of its category overlaps it by IoU 0.5 or more.

    Args:
        trace: A run through the network.
        image: uint8 (H, W, 3), RGB: the image that ran through it.
        score_threshold: Of the instances drawn and counted, in [0, 1].

    Raises:
        ValueError: The backbone has no feature pyramid, or an argument is out of range.
        TypeError: `image` is of another dtype.
    """
    check_image(image)
    check_fraction("score_threshold", score_threshold)
    cut = without_top_down(trace)
    before, after = (run.prediction[run.prediction.scores >= score_threshold] for run in (trace, cut))
    best = cut.prediction.scores.max(initial=0)
    lost, new = _missing(before, after), _missing(after, before)
    pictures = [_crossed(image, before, lost, RIVAL), _crossed(image, after, new, FOLLOWED)]
    titles = [
        f"As it is: {len(before)} found",
        f"Top-down path cut: {len(after)} found, {lost.sum()} of the {len(before)} lost, best {best:.2f}",
    ]
    figure = show_pictures(pictures, titles)
    colors = (
        (OUTCOME_COLORS[KEPT], "in both"),
        (RIVAL, "lost (crossed)"),
        (FOLLOWED, "only without (crossed)"),
    )
    add_legend(figure, colors)
    return figure


def show_objectness(trace: Trace, image: np.ndarray, score_threshold: float = 0.5) -> Figure:
    """Where each level says that something is, in log-odds: 0 is one half, 2.2 is 0.9, -6.9 is 0.001.

    A cell has the highest objectness of its anchors. In probabilities all but a few cells would be black. The
    dots are the cells at whose anchors the detections began.

    Args:
        trace: A run through the network.
        image: uint8 (H, W, 3), RGB: the image that ran through it.
        score_threshold: Of the detections that have a dot, in [0, 1].

    Raises:
        TypeError, ValueError: An argument of another dtype, shape or range.
    """
    check_image(image)
    check_fraction("score_threshold", score_threshold)
    levels, anchors = trace.features.names, trace.anchors
    kept = trace.detections.scores >= score_threshold
    began = trace.proposals.anchors[trace.detections.proposals[kept]].tolist()
    figure = _row(len(levels), trace.normalised.size)
    least, most = float(anchors.objectness.min()), float(anchors.objectness.max())
    scale = TwoSlopeNorm(0, min(least, -1), max(most, 1))
    height, width = trace.normalised.size
    for level, axis in enumerate(np.atleast_1d(figure.subplots(1, len(levels)))):
        rows, columns, each = anchors.grids[level]
        down, across = trace.features.strides[level]
        best = anchors.objectness[anchors.levels == level].reshape(rows, columns, each).amax(-1).cpu().numpy()
        axis.imshow(image.mean(axis=2), cmap="gray", extent=(0, width, height, 0))
        # Anchors stand on their cell's upper left corner.
        edges = (-across / 2, (columns - 0.5) * across, (rows - 0.5) * down, -down / 2)
        drawn = axis.imshow(best, cmap="PuOr_r", norm=scale, alpha=0.8, extent=edges, interpolation="nearest")
        places = [cell_of(trace, anchor) for anchor in began]
        here = [(column * across, row * down) for own, row, column, _ in places if own == level]
        if here:
            axis.plot(*np.transpose(here), "o", color="#00c88c", markersize=9, markeredgecolor="black")
        axis.set(xlim=(0, width), ylim=(height, 0))
        axis.set_title(
            f"{levels[level]}: {(best > 0).sum():,} of {best.size:,} cells\nabove 0, {len(here)} began here"
        )
        axis.set_axis_off()
    figure.colorbar(drawn, ax=figure.axes, shrink=0.75, label="objectness, log-odds")
    return figure


def show_receptive_fields(trace: Trace, image: np.ndarray) -> Figure:
    """What the middle cell of each level sees of the image: what it could, and what it does.

    Bright is a pixel that the cell's features change with, a shade per factor of ten. The small box is the
    cell; the solid square holds 90 % of the gradient; the dashed one, often larger than the image, is what
    the convolutions can reach.

    Args:
        trace: A run through the network, which runs once more.
        image: uint8 (H, W, 3), RGB: the image that ran through it.

    Raises:
        ValueError: The backbone has no feature pyramid.
        TypeError: `image` is of another dtype.
    """
    check_image(image)
    fields, (height, width) = receptive_fields(trace), trace.normalised.size
    figure = _row(len(fields), trace.normalised.size)
    for axis, field in zip(np.atleast_1d(figure.subplots(1, len(fields))), fields, strict=True):
        gradient = field.gradient[:height, :width].cpu().numpy()
        steps = np.log10(np.maximum(gradient / gradient.max(), 1e-4))
        axis.imshow(image.mean(axis=2), cmap="gray", extent=(0, width, height, 0))
        axis.imshow(steps, cmap="inferno", vmin=-4, vmax=0, alpha=0.75, extent=(0, width, height, 0))
        x1, y1, x2, y2 = field.cell
        middle = (x1 + x2) / 2, (y1 + y2) / 2
        for side, style, color in (
            (x2 - x1, "-", "#00e0a0"),
            (field.side, "-", "white"),
            (field.reach, "--", "white"),
        ):
            corner = middle[0] - side / 2, middle[1] - side / 2
            axis.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=color, linestyle=style, lw=2))
        axis.set(xlim=(0, width), ylim=(height, 0))
        axis.set_title(
            f"{field.level}: a cell is {x2 - x1} px,\n90 % in {field.side}, reach {field.reach:,} px"
        )
        axis.set_axis_off()
    return figure


def _row(count: int, size: tuple[int, int]) -> Figure:
    """An empty figure for so many pictures in a row, of (height, width) pixels, with two lines above each."""
    height, width = size
    return Figure(figsize=(2.7 * count, 2.7 * min(height / width, 2) + 0.7), layout="constrained")


def _missing(found: Prediction, others: Prediction) -> np.ndarray:
    """Which rows have no counterpart: of the same category, IoU 0.5 or more; bool (N,)."""
    ious = box_iou(torch.from_numpy(found.boxes), torch.from_numpy(others.boxes)).numpy()
    same = found.labels[:, None] == others.labels[None]
    return ~((ious >= 0.5) & same).any(axis=1)


def _crossed(image: np.ndarray, found: Prediction, apart: np.ndarray, color: Color) -> np.ndarray:
    """Boxes with category and score, those apart crossed and in a colour of their own."""
    colors = [color if other else OUTCOME_COLORS[KEPT] for other in apart]
    tags = [
        f"{found.categories[label]} {score:.2f}"
        for label, score in zip(found.labels, found.scores, strict=True)
    ]
    drawn = draw_boxes(image, found.boxes, colors, thickness=2 * line_width(image))
    for x1, y1, x2, y2 in found.boxes[apart].round().astype(int).tolist():
        cv2.line(drawn, (x1, y1), (x2, y2), color, line_width(image), cv2.LINE_AA)
        cv2.line(drawn, (x1, y2), (x2, y1), color, line_width(image), cv2.LINE_AA)
    return tag_boxes(drawn, list(zip(found.boxes, tags, colors, strict=True)))
