"""What an evaluation found, as matplotlib Figures."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from .._shared.checks import check_fraction, check_image
from ..data.checked_dataset import checked_pair
from ..data.datasets import Dataset
from ..data.truth import Truth
from ..drawing.crop import Crop
from ..drawing.figures import add_legend, show_pictures
from ..mask_rcnn.instances import Instances
from .calibration import reliability
from .evaluate import Evaluation
from .match_pictures import LEGEND, RIGHT, WRONG, draw_match
from .matching import Outcome, match
from .precision_recall import Curve

BOTH, ONLY_TRUTH = RIGHT, (86, 180, 233)  # of two masks: their intersection, and what the model has left out


def show_precision_recall(
    evaluation: Evaluation, categories: Sequence[str] | None = None, *, score_threshold: float | None = None
) -> Figure:
    """Precision over recall at IoU 0.5, one colour per category, with average precision in the legend.

    The thin line is what was measured; the thick one is the best precision at that recall or beyond, and the
    tinted area below it is the average precision.

    Args:
        evaluation: What `evaluate` returned.
        categories: The names to show; None shows all that have a line.
        score_threshold: Mark each line's point at this threshold, in [0, 1].
    """
    figure = Figure(figsize=(6.2, 4.6), layout="constrained")
    axis = figure.subplots()
    draw_axes(axis)
    for row, (name, curve) in enumerate(_curves(evaluation, categories)):
        label, color = f"{name}: AP50 {curve.average_precision:.3f}", f"C{row}"
        draw_curve(axis, curve, label, color)
        if score_threshold is not None:
            check_fraction("score_threshold", score_threshold)
            precision, recall = curve.at(score_threshold)
            axis.plot([recall], [precision], "o", color=color, markeredgecolor="black", markersize=8)
    marked = "" if score_threshold is None else f"; dots at score threshold {score_threshold:.2f}"
    axis.set_title(f"Masks, IoU 0.5 or more{marked}")
    _as_written(axis.legend(loc="lower left", fontsize=9))
    return figure


def draw_axes(axis: Axes) -> None:
    """What is around every curve: names, limits and a grid."""
    axis.set(
        xlabel="recall: share of the objects that were found",
        ylabel="precision: share of the detections that are right",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
    )
    axis.grid(alpha=0.3)


def draw_curve(axis: Axes, curve: Curve, label: str, color: str) -> None:
    """Draw what was measured as a thin line, its envelope as a thick one, and tint the area under that."""
    recalls, envelope = [0.0, *curve.recall], [1.0, *curve.envelope]
    axis.plot(curve.recall, curve.precision, color=color, lw=0.8)
    axis.step(recalls, envelope, where="pre", color=color, label=label, lw=1.8)
    axis.fill_between(recalls, envelope, step="pre", color=color, alpha=0.08)


def show_f1(evaluation: Evaluation, categories: Sequence[str] | None = None) -> Figure:
    """F1, the harmonic mean of precision and recall, over the score threshold, with its best point marked.

    Args:
        evaluation, categories: As in `show_precision_recall`.
    """
    figure = Figure(figsize=(6.2, 4.0), layout="constrained")
    axis = figure.subplots()
    for row, (name, curve) in enumerate(_curves(evaluation, categories)):
        best, color = int(curve.f1.argmax()), f"C{row}"
        threshold = math.floor(1000 * curve.scores[best]) / 1000  # rounded up it would lose the instance
        label = f"{name}: best {curve.f1[best]:.2f} at {threshold:.3f}"
        axis.step(curve.scores, curve.f1, where="post", color=color, label=label, lw=1.8)
        axis.plot([curve.scores[best]], [curve.f1[best]], "o", color=color, markeredgecolor="black")
    axis.set(xlabel="score threshold", ylabel="F1", xlim=(0, 1), ylim=(0, 1))
    axis.set_title("F1 over the score threshold")
    axis.grid(alpha=0.3)
    _as_written(axis.legend(loc="best", fontsize=9))
    return figure


def show_reliability(evaluation: Evaluation, category: str | None = None, *, bins: int = 10) -> Figure:
    """What scores are worth: the share that is right over the score, and below it how many there are.

    On the dashed line a score is what it says; below it the model is overconfident. The thin bars are 95 %
    confidence intervals.

    Args:
        evaluation, category, bins: As in `reliability`, which gives the numbers.
    """
    found = reliability(evaluation, category, bins=bins)
    figure = Figure(figsize=(6.2, 5.6), layout="constrained")
    shares, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    shares.plot([0, 1], [0, 1], "--", color="0.4", lw=1.2, label="score = share that is right")
    seen = found.counts > 0
    left, width = found.edges[:-1][seen], 1 / bins
    mean, share = found.mean_scores[seen], found.share_right[seen]
    shares.bar(
        left,
        share,
        width,
        align="edge",
        color="#86bfe6",
        edgecolor="0.25",
        lw=0.8,
        label="share that is right",
    )
    around = np.maximum([share - found.low[seen], found.high[seen] - share], 0)
    shares.errorbar(left + width / 2, share, around, fmt="none", ecolor="0.25", elinewidth=1.2, capsize=3)
    shares.plot(mean, mean, "o", color="#d55e00", label="mean score")
    shares.vlines(mean, share, mean, color="#d55e00", lw=1.6)
    shares.set(ylabel="true positives, share", xlim=(0, 1), ylim=(0, 1.02))
    error = f"expected calibration error {found.expected_calibration_error:.3f}"
    shares.set_title(f"{category or 'All categories'}: {error}", parse_math=False)
    shares.legend(loc="upper left", fontsize=10)
    bars = counts.bar(left, found.counts[seen], width, align="edge", color="0.75", edgecolor="0.25", lw=0.8)
    counts.bar_label(bars, fmt="{:,.0f}", fontsize=9)
    counts.margins(y=0.25)
    counts.set(xlabel="score", ylabel="instances")
    for axis in (shares, counts):
        axis.grid(alpha=0.3)
        axis.set_axisbelow(True)
    return figure


def show_confusion(evaluation: Evaluation, score_threshold: float = 0.5) -> Figure:
    """What was taken for what: ground truth in rows, model in columns; categories in neither are left out.

    Args:
        evaluation: What `evaluate` returned.
        score_threshold: Instances below do not count, in [0, 1].
    """
    matrix = evaluation.confusion(score_threshold)
    seen = [row for row in range(len(matrix) - 1) if matrix[row].any() or matrix[:, row].any()]
    names = [evaluation.judged[row] for row in seen]
    matrix = matrix[np.ix_([*seen, -1], [*seen, -1])]
    count = len(matrix)
    side = min(1.9 + 0.62 * count, 11.0)
    figure = Figure(figsize=(side + 0.9, side), layout="constrained")
    axis = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(matrix):
        if (row, column) != (count - 1, count - 1):  # nothing there and nothing said: nobody counts that
            color = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, str(number), ha="center", va="center", color=color, fontsize=9)
    axis.set_xticks(range(count), [*names, "missed"], rotation=30, ha="right", parse_math=False)
    axis.set_yticks(range(count), [*names, "nothing there"], parse_math=False)
    axis.set(xlabel="model", ylabel="ground truth")
    axis.set_title(f"Score {score_threshold:.2f} or more, IoU 0.5 or more")
    return figure


def show_overlaps(
    image: np.ndarray, instances: Instances, truth: Truth, rows: Sequence[int] | None = None
) -> Figure:
    """Instances over the objects that they overlap most: what is in both, only predicted, only outlined.

    Args:
        image: uint8 (H, W, 3), RGB.
        instances, truth: What `match` compares.
        rows: Of the instances, from 0. None takes the best and the worst true positive; and a false
            positive whose box is right (IoU 0.5 or more) and whose mask is not, if there is one.

    Raises:
        ValueError: There is no such instance, or none overlaps an object.
    """
    check_image(image)
    found, boxes = match(instances, truth), match(instances, truth, kind="box")
    if rows is None:
        right = found.having(Outcome.TRUE_POSITIVE)
        order = [row for row in np.argsort(-found.ious, kind="stable").tolist() if right[row]]
        half = boxes.having(Outcome.TRUE_POSITIVE) & found.having(Outcome.BACKGROUND)
        rows = list(dict.fromkeys([*order[:1], *order[-1:], *np.flatnonzero(half)[:1].tolist()]))
    if not len(rows) or not all(0 <= row < len(instances) for row in rows):
        raise ValueError(
            f"rows must be of the {len(instances)} instances that overlap an object, got {list(rows)}"
        )
    pictures, titles = [], []
    for row in rows:
        said, name = instances.masks[row], instances.names[row]
        ious = [_iou(said, mask) * (own == name) for mask, own in zip(truth.masks, truth.names, strict=True)]
        mask = truth.masks[int(np.argmax(ious))]
        drawn = image // 3 + 85
        for part, color in ((said & mask, BOTH), (said & ~mask, WRONG), (mask & ~said, ONLY_TRUTH)):
            drawn[part] = np.rint(0.35 * drawn[part] + 0.65 * np.array(color))
        ys, xs = np.nonzero(said | mask)
        around = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        pictures.append(Crop.around(drawn, around, (420, 420), margin=0.06).image)
        titles.append(f"{instances.tags[row]}: mask IoU {max(ious):.2f}, box IoU {boxes.ious[row]:.2f}")
    figure = show_pictures(pictures, titles, columns=len(pictures))
    add_legend(
        figure, ((BOTH, "in both"), (WRONG, "only predicted"), (ONLY_TRUTH, "only in the ground truth"))
    )
    return figure


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    either = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / either if either else 0.0


def show_worst(
    evaluation: Evaluation, dataset: Dataset, count: int = 4, *, score_threshold: float = 0.5
) -> Figure:
    """The pictures with the most errors, the worst first, each as `draw_match` draws it.

    Args:
        evaluation: What `evaluate` returned.
        dataset: What was evaluated.
        count: How many pictures, 1 or more.
        score_threshold: Instances below are not shown, in [0, 1].

    Raises:
        ValueError: No picture has an error, or the dataset is not the one that was evaluated.
    """
    worst = evaluation.worst(count, score_threshold)
    if not worst:
        raise ValueError(f"no picture has an error at the score threshold {score_threshold}")
    pictures, titles = [], []
    for result in worst:
        image, truth = checked_pair(dataset, result.index)
        if truth.image_id != result.image_id or truth.image_size != result.image_size:
            raise ValueError(f"picture {result.index} is not the one that was evaluated")
        truth = truth.only(evaluation.judged)
        instances = result.detections.instances(evaluation.categories, result.image_size, score_threshold)
        pictures.append(draw_match(image, instances, truth, match(instances, truth)))
        titles.append(f"picture {result.index}: {result.errors(score_threshold)} errors")
    figure = show_pictures(pictures, titles, columns=2)
    add_legend(figure, LEGEND)
    return figure


def _curves(evaluation: Evaluation, categories: Sequence[str] | None) -> Iterator[tuple[str, Curve]]:
    """The curves of categories with at least one object and one instance, by name."""
    for name in evaluation.judged if categories is None else categories:
        curve = evaluation.curve(name)
        if curve.objects and len(curve.scores):
            yield name, curve


def _as_written(legend: Legend) -> None:
    for text in legend.get_texts():
        text.set_parse_math(False)  # a category may have a $ in its name
