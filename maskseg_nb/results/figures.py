"""Figures of results: a folder run summed up, a semantic map, four questions on one photograph."""

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._shared.text import visible
from ..data.images import load_image
from ..drawing.boxes import draw_boxes, line_width
from ..drawing.colors import category_color
from ..drawing.figures import add_legend, show_pictures, show_side_by_side
from ..drawing.overlay import draw_instances, draw_semantic_map
from ..drawing.tags import draw_note
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
    areas: defaultdict[str, list[float]] = defaultdict(list)
    scores = np.zeros(len(BINS) - 1, np.int64)
    means: list[tuple[float, str]] = []
    for record in result.records():
        own = [row["score"] for row in record.rows]
        scores += np.histogram(own, BINS)[0]
        for row in record.rows:
            areas[row["category"]].append(row["percent"])
        if own:
            means.append((float(np.mean(own)), record.file))
    if not means:
        raise MasksegError("nothing was found in any picture; lower the score threshold")
    means.sort()
    figure = Figure(figsize=(11, 8.2), layout="constrained")
    top, middle, bottom = figure.subplots(3, SHOWN)
    _per_category(top[0], top[1], areas)
    top[2].bar(BINS[:-1], scores, width=np.diff(BINS), align="edge", color="C0")
    top[2].set(title="Scores", xlabel="score", xlim=(0, 1))
    _pictures(middle, result, means[::-1], "highest")
    _pictures(bottom, result, means, "lowest")
    figure.suptitle(visible(f"{len(result.paths)} pictures, {len(result.failures)} failed"), parse_math=False)
    return figure


def _per_category(bars: Axes, boxes: Axes, areas: dict[str, list[float]]) -> None:
    """How many instances of each category there are, and how large: the most frequent category first."""
    names = sorted(areas, key=lambda name: (-len(areas[name]), name))
    rows = range(len(names))
    bars.barh(rows, [len(areas[name]) for name in names], color="C0")
    bars.bar_label(bars.containers[0])  # type: ignore[arg-type]
    bars.margins(x=0.15)
    bars.set_title("Instances")
    shares, dots = [areas[name] for name in names], {"markersize": 3}
    boxes.boxplot(shares, positions=rows, orientation="horizontal", flierprops=dots)
    boxes.set(title="Area", xlabel="percent of the image")
    for axis in (bars, boxes):
        axis.set_yticks(rows, list(map(visible, names)), parse_math=False)
        axis.invert_yaxis()


def _pictures(axes: Iterable[Axes], result: FolderResult, ranked: list[tuple[float, str]], rank: str) -> None:
    """Thumbnails of the first ones, or of their overlays where they were written."""
    places = {picture.file: picture for picture in result.pictures}
    for axis in axes:
        axis.set_axis_off()
    for axis, (mean, name) in zip(axes, ranked, strict=False):
        overlay = result.out / f"{places[name].stem}.overlay.png"
        image = load_image(overlay if overlay.exists() else places[name].path)
        step = max(1, max(image.shape[:2]) // SIDE)
        axis.imshow(image[::step, ::step])
        title = f"{rank} mean score: {mean:.2f}\n{visible(name)[:40]}"
        axis.set_title(title, fontsize=9, parse_math=False)


def show_four_questions(image: np.ndarray, instances: Instances) -> Figure:
    """What? Where? Which pixels? Whose pixels? One photograph, and the four tasks that answer them.

    Args:
        image: uint8 (H, W, 3), RGB, of the instances' size.
        instances: What `Prediction.select` kept.
    """
    names = Counter(instances.names)
    listed = ", ".join(f"{count} x {name}" for name, count in names.most_common()) or "nothing"
    colors = [category_color(label) for label in instances.labels.tolist()]
    pictures = [
        draw_note(image, ", ".join(names) or "nothing"),
        draw_boxes(image, instances.boxes, colors, thickness=2 * line_width(image), tags=instances.names),
        draw_semantic_map(image, semantic_map(instances), 0.65),
        draw_instances(image, instances, 0.65, labels=False),
    ]
    titles = [
        "What? Classification",
        "Where? Detection",
        "Which pixels? Semantic segmentation",
        f"Whose pixels? Instances: {listed}",
    ]
    figure = show_pictures(pictures, titles, columns=2)
    add_legend(figure, [(category_color(instances.categories.index(name)), name) for name in names])
    return figure


def show_semantic_map(image: np.ndarray, instances: Instances, alpha: float = 0.6) -> Figure:
    """The semantic map of instances over their image, with a legend of its categories.

    Args:
        image: uint8 (H, W, 3), RGB, of the instances' size.
        instances: What `Prediction.select` kept.
        alpha: Weight of the colours, [0, 1].
    """
    class_map = semantic_map(instances)
    figure = show_side_by_side(
        image, draw_semantic_map(image, class_map, alpha), titles=("Original", "Semantic map")
    )
    present = filter(None, np.unique(class_map).tolist())
    add_legend(figure, [(category_color(label), instances.categories[label]) for label in present])
    return figure
