"""Arrays to matplotlib Figures. Nothing here touches pyplot, so every function works in any thread."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .overlay import category_color, draw_semantic_map, semantic_map
from .prediction import Instances


def show_side_by_side(
    image: np.ndarray,
    blended: np.ndarray,
    *,
    titles: tuple[str, str] = ("Original", "Segmented"),
    figure: Figure | None = None,
) -> Figure:
    """The original picture on the left, the segmented one on the right.

    Args:
        image, blended: uint8 (H, W, 3), RGB.
        titles: Plain text above each.
        figure: Draw into this one, `plt.figure()` for example; None makes a new Figure, which a notebook
            shows as a cell's last value.

    Returns:
        The figure.
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
        titles: One plain text a picture.
        columns: Pictures in a row; None puts up to four in one.
        figure: Draw into this one; None makes a new Figure.
    """
    if not pictures or len(pictures) != len(titles):
        raise ValueError(f"one title a picture and at least one, got {len(pictures)} and {len(titles)}")
    columns = columns or min(len(pictures), 4)
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    if figure is None:
        across = min(5.0, 11.0 / columns)  # inches a picture
        down = min(max(across * height / width, 0.5), 2 * across)
        figure = Figure(figsize=(across * columns, (down + 0.35) * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, picture, title in zip(axes, pictures, titles, strict=False):
        grey = {"cmap": "gray", "vmin": 0, "vmax": 1} if picture.ndim == 2 else {}
        axis.imshow(picture, **grey)
        axis.set_title(title, fontsize=11, parse_math=False)
    return figure


def show_semantic_map(image: np.ndarray, instances: Instances, alpha: float = 0.6) -> Figure:
    """The semantic map of some instances over their picture, with a legend of its categories.

    Args:
        image: uint8 (H, W, 3), RGB, of the instances' size.
        instances: What `Prediction.select` kept.
        alpha: Weight of the colours, [0, 1].
    """
    class_map = semantic_map(instances)
    figure = show_side_by_side(
        image, draw_semantic_map(image, class_map, alpha), titles=("Original", "Semantic map")
    )
    present = [int(label) for label in np.unique(class_map) if label]
    if present:
        swatches = []
        for label in present:
            red, green, blue = category_color(label)
            color = (red / 255, green / 255, blue / 255)
            swatches.append(Patch(color=color, label=instances.categories[label]))
        columns = min(len(present), 6)
        figure.legend(handles=swatches, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def figure_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file, for `ipywidgets.Image` or a file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
