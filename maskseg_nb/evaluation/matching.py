"""Instances against the ground truth: true and false positives, and why; false negatives."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .._shared.checks import check_fraction
from ..data.rle import encode_masks, x_y_sides
from ..data.truth import Truth
from ..errors import quoted
from ..mask_rcnn.instances import Instances, instance_rles
from .precision_recall import Curve, curve


class Outcome(StrEnum):
    """What becomes of an instance when it is compared with the ground truth."""

    TRUE_POSITIVE = "true positive"
    DUPLICATE = "duplicate"  # of its category, but a higher score has taken that object
    WRONG_CATEGORY = "wrong category"  # on an object of another category
    BACKGROUND = "background"  # on no object, or not well enough on one
    NOT_JUDGED = "not judged"  # in a crowd, or of a category that the ground truth does not have


@dataclass(frozen=True, eq=False)
class Match:
    """M instances compared with the N rows of a Truth.

    Attributes:
        outcomes: One per instance.
        truth_index: int64 (M,), the row that an instance lies on: of a true positive its match, of a
            duplicate the object taken, of a wrong category the object of another one; else -1.
        ious: float64 (M,), [0, 1], intersection over union with that row; without one, with the best row of
            the instance's own category.
        counted: bool (N,), which rows count: no crowds, and only categories that both know.
        missed: bool (N,), which of these no instance matched: the false negatives.
        least_iou: What counted as found, (0, 1].
    """

    outcomes: tuple[Outcome, ...]
    truth_index: np.ndarray
    ious: np.ndarray
    counted: np.ndarray
    missed: np.ndarray
    least_iou: float

    def having(self, *outcomes: Outcome) -> np.ndarray:
        """bool (M,), which instances have one of these outcomes."""
        return np.array([outcome in outcomes for outcome in self.outcomes], bool)

    def count(self, *outcomes: Outcome) -> int:
        """How many instances have one of these outcomes."""
        return int(self.having(*outcomes).sum())

    def first(self, count: int) -> "Match":
        """The same match for the `count` highest scores alone, as a raised score threshold leaves them."""
        rows = self.truth_index[:count]
        missed = self.counted.copy()
        missed[rows[self.having(Outcome.TRUE_POSITIVE)[:count]]] = False
        return replace(
            self, outcomes=self.outcomes[:count], truth_index=rows, ious=self.ious[:count], missed=missed
        )

    @property
    def false_positives(self) -> int:
        """Duplicates, wrong categories and instances on background."""
        return self.count(Outcome.DUPLICATE, Outcome.WRONG_CATEGORY, Outcome.BACKGROUND)

    @property
    def precision(self) -> float:
        """The share of true positives among the judged instances, [0, 1]; NaN where there are none."""
        right = self.count(Outcome.TRUE_POSITIVE)
        return right / (right + self.false_positives) if right + self.false_positives else float("nan")

    @property
    def recall(self) -> float:
        """The share of the counted objects that was found, [0, 1]; NaN where there are none."""
        counted = int(self.counted.sum())
        return self.count(Outcome.TRUE_POSITIVE) / counted if counted else float("nan")


def match(instances: Instances, truth: Truth, iou: float = 0.5, *, kind: str = "mask") -> Match:
    """Compare instances with the ground truth by COCO's rule.

    Highest score first, each instance takes the free object of its own category that it overlaps most, if by
    `iou` or more. An object is taken once. What overlaps only a crowd is not judged. Raising the score
    threshold afterwards changes no outcome of those that stay, so one match serves every threshold.

    Args:
        instances: What `Prediction.select` kept. Categories are compared by name.
        truth: The ground truth of the same image, at the same size.
        iou: The least intersection over union that counts as found, in (0, 1].
        kind: "mask" compares masks, "box" boxes.

    Raises:
        ValueError: The sizes differ, or an argument is out of range.
        TypeError: `iou` is not a number.
    """
    check_fraction("iou", iou)
    if not iou:
        raise ValueError("iou must be above 0: at 0 everything matches everything")
    if kind not in ("mask", "box"):
        raise ValueError(f"kind must be one of mask, box, got {quoted(kind)}")
    if instances.image_size != truth.image_size:
        raise ValueError(
            f"instances are of an image of {instances.image_size} and the ground truth of one of "
            f"{truth.image_size}; predict on the image that the ground truth belongs to"
        )
    labels = labels_by_name(instances.labels, instances.categories, truth.categories)
    known = np.array([name in instances.categories for name in truth.names], bool)
    found = instance_rles(instances) if kind == "mask" else instances.boxes
    return match_rows(labels, overlaps(found, truth), truth, known, iou)


def labels_by_name(labels: np.ndarray, own: tuple[str, ...], others: tuple[str, ...]) -> np.ndarray:
    """Labels of some categories as labels of others, by name: int64 (M,), 0 where those lack the name."""
    table = np.array([others.index(name) if name in others[1:] else 0 for name in own], np.int64)
    return table[labels]


def common_categories(names: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The names that a dataset and a model share; both are indexed by label, [0] the background."""
    return tuple(name for name in names[1:] if name in known[1:])


def overlaps(found: list[dict[str, Any]] | np.ndarray, truth: Truth) -> np.ndarray:
    """Intersection over union of run lengths or boxes (M, 4) with each row of the Truth: float64 (M, N).

    With a crowd it is the intersection over the instance's own area, as in COCO.
    """
    if not len(found) or not len(truth):
        return np.zeros((len(found), len(truth)))
    crowd = truth.crowd.astype(np.uint8)
    if isinstance(found, np.ndarray):
        return np.asarray(coco_mask.iou(x_y_sides(found), x_y_sides(truth.boxes), crowd))
    return np.asarray(coco_mask.iou(found, encode_masks(truth.masks), crowd))


def match_rows(labels: np.ndarray, ious: np.ndarray, truth: Truth, known: np.ndarray, iou: float) -> Match:
    """`match` for labels and overlaps instead of instances; highest score first.

    Args:
        labels: int64 (M,), 0 where the ground truth does not have the category.
        ious: float64 (M, N), as `overlaps` returns.
        truth: N rows.
        known: bool (N,), whether the model knows the row's category.
        iou: The least that counts as found.
    """
    least = min(iou, 1 - 1e-10)  # as COCO: an IoU of 1 is not always computed as 1
    counted = ~truth.crowd & known
    free = counted.copy()
    outcomes, rows = [], np.full(len(labels), -1, np.int64)
    for index, label in enumerate(labels):
        same = (truth.labels == label) & known
        row = _best(ious[index], same & free, least)
        if not label:
            outcomes.append(Outcome.NOT_JUDGED)
        elif row >= 0:
            outcomes.append(Outcome.TRUE_POSITIVE)
            free[row] = False
        elif _best(ious[index], same & truth.crowd, least) >= 0:
            outcomes.append(Outcome.NOT_JUDGED)
        elif (row := _best(ious[index], same & ~truth.crowd, least)) >= 0:
            outcomes.append(Outcome.DUPLICATE)
        elif (row := _best(ious[index], ~same & ~truth.crowd, least)) >= 0:
            outcomes.append(Outcome.WRONG_CATEGORY)
        else:
            outcomes.append(Outcome.BACKGROUND)
        rows[index] = row
    best = np.where(labels[:, None] == truth.labels[None], ious, 0.0).max(axis=1, initial=0.0)
    own = ious[np.arange(len(rows)), rows] if len(truth) else best
    ious = np.where(rows >= 0, own, best)
    return Match(tuple(outcomes), rows, ious, counted, counted & free, iou)


def curve_of(scores: np.ndarray, match: Match) -> Curve:
    """Precision and recall of a match over the score threshold; `scores`, float (M,), are its instances'."""
    judged, right = ~match.having(Outcome.NOT_JUDGED), match.having(Outcome.TRUE_POSITIVE)
    return curve(scores[judged], right[judged], int(match.counted.sum()))


def _best(ious: np.ndarray, allowed: np.ndarray, least: float) -> int:
    """The allowed row with the greatest IoU, if it is `least` or more; of equal ones the last, as COCO."""
    candidates = np.flatnonzero(allowed & (ious >= least))
    if not len(candidates):
        return -1
    return int(candidates[np.flatnonzero(ious[candidates] == ious[candidates].max())[-1]])
