"""What comes of the experiments in the notebooks on ground truth, training, export and folders."""

from functools import cache
from typing import Any

import numpy as np

from ..data.samples import voc_photograph
from ..data.truth import Truth
from ..evaluation.matching import Match, Outcome, match
from ..mask_rcnn.instances import Instances
from ..mask_rcnn.predict import predict_at_own_size
from ..mask_rcnn.prediction import Prediction
from ..models.loading import load_model
from ..results.label_maps import OVERLAPS, instance_map
from ..results.measures import measure
from ..results.polygons import polygons
from .answers import answers
from .pipeline_answers import predicted


@cache
def _with_truth() -> tuple[Prediction, Truth]:
    """What `street` finds in the photograph of notebook 03, and what is there."""
    model, (image, truth) = load_model("street"), voc_photograph()[0]
    known = [name for name in truth.categories[1:] if name in model.categories]
    return predict_at_own_size(model, image), truth.only(known)


def _matched(score_threshold: float, iou: float = 0.5) -> tuple[Instances, Match]:
    prediction, truth = _with_truth()
    instances = prediction.select(score_threshold=score_threshold)
    return instances, match(instances, truth, iou=iou)


def _on_photograph(score_threshold: float) -> Instances:
    """As notebook 07 has them: found in the squashed image, brought back onto the photograph."""
    size = _with_truth()[0].image_size
    return predicted("restaurant").to_size(size).select(score_threshold=score_threshold)


@answers("03.4")
def _lose_nobody() -> dict[str, Any]:
    """{threshold:.2f}. Recall stays {recall:.2f}; precision rises from {before:.2f} to {after:.2f}. Whoever
    wants everybody has to live with that precision: many false positives score higher than the person found
    last.
    """
    thresholds = [percent / 100 for percent in range(5, 100)]
    lowest = _matched(thresholds[0])[1]
    threshold = max(t for t in thresholds if _matched(t)[1].recall == lowest.recall)
    return {
        "threshold": threshold,
        "recall": lowest.recall,
        "before": lowest.precision,
        "after": _matched(threshold)[1].precision,
    }


@answers("03.5")
def _strict_iou() -> dict[str, Any]:
    """
    {table}

    Large people who are seen whole. A mask has 28 x 28 cells, so its edge is off by part of a cell here and
    there; the smaller or the more hidden the person, the larger the share of such pixels. The score does not
    tell: it is about the category, not about the mask.
    """
    instances, matched = _matched(0.5, 0.9)
    rows = zip(instances.tags, matched.ious, instances.areas, matched.outcomes, strict=True)
    lines = [f"  {tag:<14} IoU {iou:.2f}  {area:>7,} pixels  {outcome}" for tag, iou, area, outcome in rows]
    return {"table": "\n".join(lines)}


@answers("03.6")
def _duplicates() -> dict[str, Any]:
    """At an IoU threshold of 0.50, from these score thresholds down:

    {table}

    Two instances lie on one person; NMS kept both, as it compares boxes, and theirs differ enough. The
    higher score takes the person, even where its mask is the worse one. Raise the IoU threshold above a
    duplicate's own IoU, and it becomes *background*.
    """
    instances, matched = _matched(0.05)
    lines = []
    for row in np.flatnonzero(matched.having(Outcome.DUPLICATE)):
        same = matched.having(Outcome.TRUE_POSITIVE) & (matched.truth_index == matched.truth_index[row])
        first = np.flatnonzero(same)[0]
        lines.append(
            f"  {instances.scores[row]:.2f}  {instances.tags[row]}, IoU {matched.ious[row]:.2f}: taken by "
            f"{instances.tags[first]}, IoU {matched.ious[first]:.2f}"
        )
    return {"table": "\n".join(lines)}


@answers("06.2")
def _more_steps() -> dict[str, Any]:
    """AP50 rises from 0.73 to about 0.89, most for squares and triangles: after 150 steps they still score
    low and are taken for each other. As long as the losses still fall at the end, more steps will help, each
    less than the one before.
    """
    return {}


@answers("06.3")
def _heads_only() -> dict[str, Any]:
    """A step takes about 40 % less time: no gradient passes through the backbone, but the backbone still has
    to run. AP50 falls from 0.73 to about 0.58, most for stars: pyramid, RPN and heads alone have to make do
    with features that were learned for the street. With very few pictures this may be an advantage, since
    there is less that can be learned by heart.
    """
    return {}


@answers("06.4")
def _too_fast() -> dict[str, Any]:
    """The total leaps to tens in the first steps, then stays near 3 without falling, and AP50 is 0.00: the
    steps are so long that they jump over every valley. (`train` only stops where a loss is not finite.) The
    losses show it without a validation set, but only to someone who knows that in section 6 they fall below
    2.
    """
    return {}


@answers("06.5")
def _ten_pictures() -> dict[str, Any]:
    """About 1.0 on the ten and 0.7 on the validation set, hardly less than with 400 pictures. So here nearly
    all of the cure was augmentation: it makes hundreds of pictures of ten. The gap between the two numbers is
    what is learned by heart all the same; more steps would widen it, more pictures close it.
    """
    return {}


@answers("07.3")
def _smallest_on_top() -> dict[str, Any]:
    """Those that gain most:

    {table}

    They take these pixels mostly from {losers}. No: at 0.05 many instances are copies of one person with low
    scores, and whichever copy is a little smaller covers the right one. The rule suits things that lie on
    other things, once the score threshold has removed the copies.
    """
    instances = _on_photograph(0.05)
    left = {}
    for rule in OVERLAPS:
        left[rule] = np.bincount(instance_map(instances, rule).ravel(), minlength=len(instances) + 1)[1:]
    highest_score, smallest, _ = left.values()
    gain = smallest - highest_score
    order = np.argsort(-gain)
    lines = [
        f"  {instances.tags[row]}: {gain[row]:+,} of {instances.areas[row]:,} pixels" for row in order[:4]
    ]
    return {"table": "\n".join(lines), "losers": " and ".join(instances.tags[row] for row in order[-2:])}


@answers("07.4")
def _circularity() -> dict[str, Any]:
    """{tag}, {circularity:.2f}; pieces of its mask: {pieces}, holes: {holes}. Circularity is 4 pi area /
    perimeter^2: whatever lengthens the outline without adding area lowers it, and the edges of holes count.
    Thin, ragged and half-hidden masks are low; a disc has 1.
    """
    instances = _on_photograph(0.3)
    values = [row["circularity"] for row in measure(instances)]
    lowest = int(np.argmin(values))
    outlines = polygons(instances.crops[lowest])
    return {
        "tag": instances.tags[lowest],
        "circularity": values[lowest],
        "pieces": len(outlines),
        "holes": sum(len(outline.holes) for outline in outlines),
    }


@answers("07.5")
def _upside_down() -> dict[str, Any]:
    """
        for shape in shapes:
            plt.plot(*np.transpose(shape["geometry"]["coordinates"][0][0]))

    The rows of an image are counted from the top, and the files keep that: y grows downwards. In a plot, as
    on a map, y grows upwards. `plt.gca().invert_yaxis()` turns it over.
    """
    return {}


@answers("08.1")
def _touched() -> dict[str, Any]:
    """One, `rocket.jpg`. A record holds its picture's size in bytes and time of change; where either
    differs, the picture is segmented again. `touch` changed only the time, but to find out that the bytes
    are the same, every file would have to be read.
    """
    return {}


@answers("08.2")
def _other_threshold() -> dict[str, Any]:
    """All: a record holds the settings, too, and the threshold is one of them. In the summary figure every
    score below 0.9 is gone, with most mistakes and with everybody of whom the model is less sure.
    """
    return {}


@answers("08.3")
def _largest_format() -> dict[str, Any]:
    """Those that hold photographs: `side_by_side`, `overlay` and `cut_outs`, hundreds of kB per picture.
    Masks, label maps, polygons and COCO's run lengths take 5 to 15 kB. With these, nearly all traffic on the
    share is the photographs that are read, and about three times as many machines saturate it.
    """
    return {}


@answers("08.4")
def _processes() -> dict[str, Any]:
    """For a dozen pictures, no: each process first imports PyTorch and loads the model, which takes seconds,
    since *spawn* shares nothing. For thousands of pictures the start does not count. The files are the same
    bytes.
    """
    return {}
