"""The closing figure of a folder run."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._shared.text import visible
from ..data.images import load_image
from ..drawing.colors import category_color
from ..drawing.figures import add_legend, show_side_by_side
from ..drawing.overlay import draw_semantic_map
from ..errors import MasksegError
from ..mask_rcnn.instances import Instances
from .folder import FolderResult
from .label_maps import semantic_map

SHOWN = 3  # pictures of each kind
SIDE = 360  # pixels of a thumbnail's longer side
BINS = np.linspace(0, 1, 21)


def show_folder(result: FolderResult) -> Figure:
    """Counts, areas and scores of all instances; the pictures with the highest and lowest mean scores.

    Args:
        result: What `segment_folder` returned.

    Raises:
        MasksegError: Nothing was found in any picture.
    """
    counts: dict[str, int] = {}
    areas: dict[str, list[float]] = {}
    scores = np.zeros(len(BINS) - 1, np.int64)
    sure: list[tuple[float, str]] = []  # mean score and name: the highest and the lowest so far
    unsure: list[tuple[float, str]] = []
    for record in result.records():
        own = [row["score"] for row in record.rows]
        scores += np.histogram(own, BINS)[0]
        for row in record.rows:
            counts[row["category"]] = counts.get(row["category"], 0) + 1
            areas.setdefault(row["category"], []).append(row["percent"])
        if own:
            mean = float(np.mean(own))
            sure = sorted([*sure, (mean, record.file)], reverse=True)[:SHOWN]
            unsure = sorted([*unsure, (mean, record.file)])[:SHOWN]
    if not counts:
        raise MasksegError("nothing was found in any picture; lower the score threshold")
    figure = Figure(figsize=(11, 8.2), layout="constrained")
    top, middle, bottom = figure.subplots(3, SHOWN)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    _bars(top[0], names, [counts[name] for name in names], "Instances")
    _boxes(top[1], names, [areas[name] for name in names])
    top[2].bar(BINS[:-1], scores, width=np.diff(BINS), align="edge", color="C0")
    top[2].set(title="Scores", xlabel="score", xlim=(0, 1))
    _pictures(middle, result, sure, "surest")
    _pictures(bottom, result, unsure, "least sure")
    figure.suptitle(visible(f"{len(result.paths)} pictures, {len(result.failures)} failed"), parse_math=False)
    return figure


def _bars(axis: Axes, names: list[str], values: list[int], title: str) -> None:
    axis.barh(range(len(names)), values, color="C0")
    axis.bar_label(axis.containers[0])  # type: ignore[arg-type]
    axis.set_yticks(range(len(names)), list(map(visible, names)), parse_math=False)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_title(title)


def _boxes(axis: Axes, names: list[str], areas: list[list[float]]) -> None:
    axis.boxplot(areas, orientation="horizontal", flierprops={"markersize": 3})
    axis.set_yticks(range(1, len(names) + 1), list(map(visible, names)), parse_math=False)
    axis.invert_yaxis()
    axis.set(title="Area", xlabel="percent of the picture")


def _pictures(axes: Iterable[Axes], result: FolderResult, chosen: list[tuple[float, str]], kind: str) -> None:
    """Thumbnails, of the overlays where they were written."""
    places = {picture.file: picture for picture in result.pictures}
    for axis in axes:
        axis.set_axis_off()
    for axis, (mean, name) in zip(axes, chosen, strict=False):
        overlay = result.out / f"{places[name].stem}.overlay.png"
        image = load_image(overlay if overlay.exists() else places[name].path)
        step = max(1, max(image.shape[:2]) // SIDE)
        axis.imshow(image[::step, ::step])
        title = f"{kind}, mean score {mean:.2f}\n{visible(name)[:40]}"
        axis.set_title(title, fontsize=9, parse_math=False)


def show_semantic_map(image: np.ndarray, instances: Instances, alpha: float = 0.6) -> Figure:
    """Show the semantic map of instances over their image, with a legend of its categories.

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
    add_legend(figure, [(category_color(label), instances.categories[label]) for label in present])
    return figure
