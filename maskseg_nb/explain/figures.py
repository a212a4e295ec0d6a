"""Why, as matplotlib Figures."""

import math
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from .._shared.checks import check_image
from .._shared.text import visible
from ..data.checked_dataset import checked_pair
from ..data.datasets import Dataset
from ..drawing.boxes import draw_boxes
from ..drawing.crop import Crop
from ..drawing.figures import add_legend, show_pictures
from ..drawing.heatmaps import heat_map
from ..drawing.panels import FOLLOWED, OUTCOME_COLORS
from ..drawing.tags import tag_boxes
from ..evaluation.match_pictures import RIGHT, WRONG
from ..mask_rcnn.outcomes import OUTCOMES
from ..models.zoo import categories_of
from .compare import Comparison
from .comparison_pictures import draw_comparison, stage_title
from .pixels import GREY, Occlusion, PixelGradient
from .plane import Plane
from .post_mortem import PostMortem
from .receipt import Receipt
from .survival import STEPS

_FOR, _AGAINST = (0.0, 0.447, 0.698), (0.835, 0.369, 0.0)  # Okabe and Ito's blue and vermilion
CROWD = 12  # objects: more are numbered only
_LIVES, _LOST = (tuple(channel / 255 for channel in color) for color in (RIGHT, WRONG))


def show_post_mortem(result: PostMortem) -> Figure:
    """After each step, how many objects are left and how many it lost: one bar per step.

    Args:
        result: What `post_mortem` returned.
    """
    lost = np.array(list(result.counts().values()))
    left = len(result.objects) - lost.cumsum()
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    axis = figure.subplots()
    rows = range(len(STEPS))
    axis.barh(rows, left, color=_LIVES, label="left after the step")
    bars = axis.barh(rows, lost, left=left, color=_LOST, hatch="///", edgecolor="white", label="lost at it")
    axis.bar_label(bars, [f"{here} lost" if here else "" for here in lost], padding=4, fontsize=11)
    axis.set_yticks(rows, list(STEPS), fontsize=11)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.12 * len(result.objects))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("objects of the ground truth")
    axis.set_title(
        f"{len(result.found)} of {len(result.objects)} objects found: IoU {result.iou:.2f} or more, "
        f"score {result.score_threshold:.2f} or more"
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def show_survival(result: PostMortem, dataset: Dataset, picture: int = 0) -> Figure:
    """One picture's objects, numbered; and for each the best IoU that is alive after every step.

    Args:
        result: What `post_mortem` returned.
        dataset: What it was given.
        picture: The picture's place in the dataset.

    Raises:
        ValueError: The picture has no object that counts.
    """
    objects = result.of_picture(picture).objects
    if not objects:
        raise ValueError(f"picture {picture} has no object that counts")
    image, truth = checked_pair(dataset, picture)
    names = [f"{number} {one.category}" for number, one in enumerate(objects, 1)]
    boxes = truth.boxes[[one.row for one in objects]]
    colors = [WRONG if one.lost_at else RIGHT for one in objects]
    for color in (WRONG, RIGHT):
        own = [row for row, other in enumerate(colors) if other == color]
        image = draw_boxes(image, boxes[own], [color] * len(own), dashed=color == WRONG)
    crowded = len(objects) > CROWD
    tags = [name.split()[0] if crowded else name for name in names]
    image = tag_boxes(image, list(zip(boxes, tags, colors, strict=True)))
    height = 1.5 + 0.3 * len(objects)  # of the table, in inches
    if crowded:
        above = min(7.0, 10 * image.shape[0] / image.shape[1])
        figure = Figure(figsize=(11, above + height), layout="constrained")
        photograph, table = figure.subplots(2, 1, height_ratios=(above, height))
    else:
        figure = Figure(figsize=(13, max(4.4, height)), layout="constrained")
        photograph, table = figure.subplots(1, 2, width_ratios=(1, 1.3))
    photograph.imshow(image)
    photograph.set_axis_off()
    ious = np.array([one.ious for one in objects])
    lives = ious >= result.iou
    shades = np.where(lives[..., None], _LIVES, (0.88, 0.88, 0.88))
    for row, one in enumerate(objects):
        if one.lost_at:
            shades[row, list(STEPS).index(one.lost_at)] = _LOST
    table.imshow(shades, aspect="auto")
    for (row, column), iou in np.ndenumerate(ious):
        ink = "0.35" if (shades[row, column] > 0.8).all() else "white"
        table.text(column, row, f"{iou:.2f}", ha="center", va="center", color=ink, fontsize=10)
    table.set_xticks(range(len(STEPS)), list(STEPS), rotation=35, ha="right", fontsize=10)
    table.set_yticks(range(len(objects)), [visible(name) for name in names], fontsize=10, parse_math=False)
    table.set_title(f"The best IoU alive after each step; below {result.iou:.2f} grey, lost for good red")
    return figure


def show_receipt(receipt: Receipt, image: np.ndarray, count: int = 4) -> Figure:
    """The cells that the box head read, each with what it adds to the margin; and the bill.

    Args:
        receipt: What `receipt` returned.
        image: uint8 (H, W, 3), RGB: the image that ran through the network.
        count: How many cells in favour, and how many against, have a line of their own.
    """
    check_image(image)
    ours, theirs = map(visible, receipt.names)
    figure = Figure(figsize=(12.5, 5.6), layout="constrained")
    picture, bill = figure.subplots(1, 2, width_ratios=(1, 1.15))
    crop, cells = Crop.around(image, receipt.box, (560, 560), margin=0.1), receipt.cells
    left, top, right, bottom = crop.boxes(receipt.box)[0].tolist()
    picture.imshow(crop.image)
    colors = np.where(cells[..., None] > 0, _FOR, _AGAINST)
    weights = 0.8 * np.abs(cells) / (np.abs(cells).max() or 1.0)
    picture.imshow(np.dstack([colors, weights]), extent=(left, right, bottom, top), interpolation="nearest")
    wide, high = (right - left) / cells.shape[1], (bottom - top) / cells.shape[0]
    for (row, column), amount in np.ndenumerate(cells):
        x, y = left + (column + 0.5) * wide, top + (row + 0.5) * high
        if min(wide, high) >= 14:  # pixels: narrower than a line of text
            _outlined(picture, x, y, f"{amount:+.2f}", upright=wide < 46)
    picture.set(xlim=(0, 560), ylim=(560, 0))
    picture.set_axis_off()
    picture.set_title(f"What each cell adds to {ours} against {theirs}", parse_math=False)
    _draw_bill(bill, receipt, count)
    return figure


def show_pixels(gradient: PixelGradient, image: np.ndarray) -> Figure:
    """The image, and over it how much each pixel matters, with the box that the box head read.

    Args:
        gradient: What `pixel_gradient` returned.
        image: uint8 (H, W, 3), RGB: the image that ran through the network.
    """
    receipt, strength = gradient.receipt, gradient.strength
    most = float(np.quantile(strength, 0.995)) or 1.0  # a few pixels are far beyond all others
    heat = heat_map(image, np.sqrt(np.minimum(strength / most, 1)), 0.75)
    box, color = receipt.box[None], [FOLLOWED]
    height, width = strength.shape
    x1, y1, x2, y2 = receipt.box.tolist()
    area = (x2 - x1) * (y2 - y1) / (height * width)
    ours, theirs = receipt.names
    return show_pictures(
        [draw_boxes(image, box, color), draw_boxes(heat, box, color)],
        [
            f"{ours} against {theirs}: margin {receipt.margin:+.2f}",
            f"Gradient: {gradient.share_inside:.0%} of it inside the box, {area:.0%} of the image",
        ],
    )


def show_occlusion(occlusion: Occlusion, image: np.ndarray) -> Figure:
    """The score with a grey patch at each place, dark where it stays, yellow where it is gone; and the worst.

    Args:
        occlusion: What `occlude` returned.
        image: uint8 (H, W, 3), RGB: the image that ran through the network.
    """
    receipt, scores, stride = occlusion.receipt, occlusion.scores, occlusion.stride
    rows, columns = scores.shape
    height, width = image.shape[:2]
    lost = np.nan_to_num(1 - scores / max(occlusion.before, 1e-9)).clip(0, 1)
    cells = np.repeat(np.repeat(lost, stride, axis=0), stride, axis=1)[:height, :width]
    heat = draw_boxes(heat_map(image, cells, 0.65), receipt.box[None], [FOLLOWED])
    row, column = occlusion.lowest
    top, left = row * stride, column * stride
    covered = image.copy()
    covered[top : top + occlusion.patch, left : left + occlusion.patch] = round(255 * GREY)
    covered = draw_boxes(covered, receipt.box[None], [FOLLOWED])
    name, least = receipt.names[0], float(np.nanmin(scores))
    titles = [
        f"Score of {name} with a patch at each place",
        f"The worst place: {name} {occlusion.before:.2f} becomes {least:.2f}",
    ]
    figure = show_pictures([heat, covered], titles)
    if scores.size <= 200:
        for (i, j), score in np.ndenumerate(scores):
            x, y = (min(edge * stride + stride, end) - stride / 2 for edge, end in ((j, width), (i, height)))
            text = "" if np.isnan(score) else f"{score:.2f}"
            _outlined(figure.axes[0], x, y, text)
    return figure


def show_plane(plane: Plane) -> Figure:
    """What becomes of a box under every pair of two thresholds, with the run's own as a dot.

    Args:
        plane: What `knob_plane` returned.
    """
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    axis = figure.subplots()
    colors = np.array([OUTCOME_COLORS[outcome] for outcome in range(len(OUTCOMES))], np.uint8)
    half = 0.5 / (len(plane.nms_thresholds) - 1)  # a setting is the middle of its cell
    edges = (-half, 1 + half, -half, 1 + half)
    axis.imshow(colors[plane.outcomes], extent=edges, origin="lower", interpolation="nearest")
    knobs = plane.run.knobs
    here = [knobs.box_score_threshold], [knobs.box_nms_threshold]
    axis.plot(*here, "o", color="white", markersize=13, markeredgecolor="black", mew=2, clip_on=False)
    axis.set_xlabel("box_score_threshold", fontsize=12)
    axis.set_ylabel("box_nms_threshold", fontsize=12)
    name = visible(categories_of(plane.run.model)[plane.label])
    axis.set_title(f"What becomes of this {name}; the dot: as it is now", parse_math=False)
    present = [outcome for outcome in range(len(OUTCOMES)) if (plane.outcomes == outcome).any()]
    add_legend(figure, [(OUTCOME_COLORS[outcome], OUTCOMES[outcome]) for outcome in present])
    return figure


def show_comparison(comparison: Comparison, image: np.ndarray, other_image: np.ndarray) -> Figure:
    """The stages, and where two runs part; below, the detections of both, pairs in one colour and number.

    Dashed is what the other run does not have; below its score threshold nothing is drawn.

    Args:
        comparison: What `compare` returned.
        image, other_image: uint8 (H, W, 3), RGB: the two images that ran through the network.
    """
    pictures = draw_comparison(comparison, image, other_image)
    figure = Figure(figsize=(13, 8.2), layout="constrained")
    axes = figure.subplot_mosaic([["strip", "strip"], ["left", "right"]], height_ratios=(1, 3.4))
    _draw_strip(axes["strip"], comparison)
    both = len(comparison.shared)
    for side, picture, alone in zip(
        ("left", "right"), pictures, (comparison.lost, comparison.gained), strict=True
    ):
        axes[side].imshow(picture)
        axes[side].set_axis_off()
        axes[side].set_title(f"{both} in both, {len(alone)} only here", fontsize=12)
    return figure


def _draw_strip(axis: Axes, comparison: Comparison) -> None:
    """The stages as a row of fields, the same or not, each with how much differs."""
    for column, one in enumerate(comparison.stages):
        color = _LIVES if one.is_same else _LOST
        axis.add_patch(
            Rectangle((column + 0.03, 0), 0.94, 1, facecolor=(*color, 0.12), edgecolor=color, lw=2)
        )
        title = fill(stage_title(comparison, one), 17)
        axis.text(column + 0.08, 0.93, title, va="top", fontsize=11, weight="bold")
        axis.text(column + 0.08, 0.6, fill(one.text, 21), va="top", fontsize=10)
    axis.set(xlim=(0, len(comparison.stages)), ylim=(0, 1))
    axis.set_axis_off()


def _outlined(axis: Axes, x: float, y: float, text: str, upright: bool = False) -> None:
    """White text with a black edge, which reads on any colour; from below to above where it is `upright`."""
    written = axis.text(
        x, y, text, ha="center", va="center", color="white", fontsize=9, rotation=90 * upright
    )
    written.set_path_effects([withStroke(linewidth=2, foreground="black")])


def _draw_bill(axis: Axes, receipt: Receipt, count: int) -> None:
    """One bar per item, each from where the last one ended; and the margin, from zero."""
    names, amounts = zip(*receipt.bill(count), strict=True)
    ends = np.cumsum(amounts)
    widths, starts = [*amounts, receipt.margin], [*(ends - amounts), 0.0]
    colors = [*(_FOR if amount > 0 else _AGAINST for amount in amounts), "0.25"]
    bars = axis.barh(range(len(widths)), widths, left=starts, color=colors)
    axis.bar_label(bars, [f"{width:+.3f}" for width in widths], padding=4, fontsize=10)
    axis.axvline(0, color="0.25", lw=0.8)
    axis.set_yticks(range(len(widths)), [*names, "margin"], fontsize=11)
    axis.invert_yaxis()
    axis.use_sticky_edges = False
    axis.margins(x=0.18)
    ours, theirs = map(visible, receipt.names)
    axis.set_xlabel(f"logit of {ours} minus logit of {theirs}", parse_math=False)
    odds = math.exp(min(receipt.margin, 500.0))
    axis.set_title(f"The bill: {ours} is {odds:,.3g} times as probable as {theirs}", parse_math=False)
