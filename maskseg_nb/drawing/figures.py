"""Arrays to matplotlib Figures. Nothing here touches pyplot, so every function works in any thread."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .._shared.text import visible
from ..errors import quoted
from ..mask_rcnn.checks import check_known
from ..mask_rcnn.follow import follow
from ..mask_rcnn.journey import Journey
from ..mask_rcnn.nms_rounds import category_contest, nms_rounds
from ..mask_rcnn.trace import Trace
from .colors import Color
from .film_strip import film
from .nms_film import NMS_LEGEND, draw_nms_round
from .panels import View
from .stage_pictures import stage_picture


def show_side_by_side(
    image: np.ndarray,
    blended: np.ndarray,
    *,
    titles: tuple[str, str] = ("Original", "Segmented"),
    figure: Figure | None = None,
) -> Figure:
    """The original image on the left, the segmented one on the right.

    Args:
        image, blended: uint8 (H, W, 3), RGB.
        titles: Plain text above each.
        figure: Draw into this one, `plt.figure()` for example; None makes a new Figure, which a notebook
            shows as a cell's last value.
    """
    return show_pictures([image, blended], titles, figure=figure)


def show_pictures(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    columns: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """A row or a grid of pictures, each with a title.

    Args:
        pictures: uint8 (H, W, 3) RGB; or (H, W), bool or float in [0, 1], shown from black to white.
        titles: One plain text per picture.
        columns: Pictures in a row; None puts up to four in one.
        figure: Draw into this one; None makes a new Figure.

    Raises:
        ValueError: There is no picture, or not one title per picture.
    """
    if not pictures or len(pictures) != len(titles):
        raise ValueError(f"one title per picture and at least one, got {len(pictures)} and {len(titles)}")
    columns = columns or min(len(pictures), 4)
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    if figure is None:
        across = min(5.0, 11.0 / columns)  # inches per picture
        down = min(max(across * height / width, 0.5), 2 * across)
        figure = Figure(figsize=(across * columns, (down + 0.35) * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, picture, title in zip(axes, pictures, titles, strict=False):
        grey = {"cmap": "gray", "vmin": 0, "vmax": 1} if picture.ndim == 2 else {}
        axis.imshow(picture, **grey)
        axis.set_title(visible(title), fontsize=11, parse_math=False)
    return figure


def show_stage(
    trace: Trace, image: np.ndarray, stage: str, *, journey: Journey | None = None, **view: Any
) -> Figure:
    """What comes into a stage of the network on the left, what comes out on the right.

    Args:
        trace: A run through the network.
        image: uint8 (H, W, 3), RGB: the image that ran through it.
        stage: "normalised", "features", "anchors", "proposals", "box_scores", "detections", "masks".
        journey: The box to point out, as `follow` returns it; None takes the anchor of highest objectness.
        view: Fields of `View`: level, channel, shown, score_threshold, mask_threshold.

    Raises:
        ValueError: There is no such stage, level or channel.
        TypeError: `view` has an unknown name.
    """
    journey = journey or follow(trace, anchor=int(trace.anchors.objectness.argmax()))
    pair = stage_picture(trace, image, stage, journey, View(**view))
    figure = show_side_by_side(pair.left, pair.right, titles=pair.titles)
    add_legend(figure, pair.legend)
    return figure


def show_journey(image: np.ndarray, journey: Journey, mask_threshold: float = 0.5) -> Figure:
    """One box's way through the network as a strip of six small pictures.

    Args:
        image: uint8 (H, W, 3), RGB: the image that ran through the network.
        journey: As `follow` returns it.
        mask_threshold: Where the line around the mask runs, in [0, 1].
    """
    frames = film(image, journey, mask_threshold)
    return show_pictures([frame.picture for frame in frames], [frame.title for frame in frames], columns=6)


def show_nms(
    trace: Trace, image: np.ndarray, category: str | None = None, *, rounds: int = 6, columns: int = 3
) -> Figure:
    """Non-maximum suppression of one category's boxes, round by round.

    Args:
        trace: A run through the network.
        image: uint8 (H, W, 3), RGB: the image that ran through it.
        category: A name; None takes the best detection's.
        rounds: How many to show at most; there is one for each box that stays.
        columns: Pictures in a row.

    Raises:
        ValueError: There is no such category, or no box of it above the score floor.
    """
    names = trace.prediction.categories
    if category is None:
        category = names[int(trace.detections.labels[0])] if len(trace.prediction) else names[1]
    check_known([category], names)
    boxes, scores = category_contest(trace, names.index(category))
    steps = nms_rounds(boxes, scores, trace.knobs.box_nms_threshold)
    if not steps:
        raise ValueError(
            f"no box says {quoted(category)} with a score above {trace.knobs.box_score_threshold}"
        )
    places, values = trace.on_image(boxes), scores.cpu().numpy()
    shown = range(min(rounds, len(steps)))
    pictures = [draw_nms_round(image, places, values, steps, number) for number in shown]
    titles = [
        f"{number + 1} of {len(steps)}: {category} {values[step.winner]:.2f} takes {len(step.taken)}, "
        f"{len(step.left)} wait"
        for number, step in zip(shown, steps, strict=False)
    ]
    figure = show_pictures(pictures, titles, columns=min(columns, len(pictures)))
    add_legend(figure, NMS_LEGEND)
    return figure


def add_legend(figure: Figure, entries: Sequence[tuple[Color, str]]) -> None:
    """Write what the colours mean, plain text each, below a figure's pictures; with no entries, nothing."""
    swatches = [
        Patch(facecolor="#" + bytes(color).hex(), edgecolor="0.4", linewidth=0.6, label=visible(text))
        for color, text in entries
    ]
    if not swatches:
        return
    columns = min(len(swatches), 6)
    legend = figure.legend(handles=swatches, loc="outside lower center", ncols=columns, frameon=False)
    for label in legend.get_texts():
        label.set_parse_math(False)  # a category may have a $ in its name


def figure_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file, for `ipywidgets.Image` or a file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
