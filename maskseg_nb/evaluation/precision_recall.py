"""Precision and recall over the score threshold, and the area under their curve."""

from dataclasses import dataclass

import numpy as np

RECALLS = np.linspace(0, 1, 101)  # where COCO reads the curve


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall as the score threshold falls, at IoU 0.5.

    Attributes:
        scores: float64 (K,), of the judged instances, highest first: each is a threshold.
        precision, recall: float64 (K,), [0, 1], of the instances with at least that score.
        objects: How many there are to find.
    """

    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    objects: int

    @property
    def f1(self) -> np.ndarray:
        """float64 (K,), the harmonic mean of precision and recall; 0 where both are 0."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    @property
    def envelope(self) -> np.ndarray:
        """float64 (K,), the best precision at this recall or beyond."""
        return np.maximum.accumulate(self.precision[::-1])[::-1]

    @property
    def average_precision(self) -> float:
        """The area under the envelope, its mean at COCO's 101 recalls; NaN where there is nothing to find."""
        if not self.objects:
            return float("nan")
        first = np.searchsorted(self.recall, RECALLS, side="left")
        return float(np.append(self.envelope, 0.0)[first].mean())  # 0 where no recall is so high

    def at(self, score_threshold: float) -> tuple[float, float]:
        """(precision, recall) of the instances with at least that score; without any, precision is NaN."""
        kept = int(np.count_nonzero(self.scores >= score_threshold))
        if not kept:
            return float("nan"), 0.0 if self.objects else float("nan")
        return float(self.precision[kept - 1]), float(self.recall[kept - 1])


def curve(scores: np.ndarray, right: np.ndarray, objects: int) -> Curve:
    """The curve of the judged instances, in any order.

    Args:
        scores: float (K,), [0, 1].
        right: bool (K,), which are true positives.
        objects: How many there are to find.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    found = np.cumsum(np.asarray(right)[order])
    return Curve(
        np.asarray(scores, np.float64)[order],
        found / np.arange(1, len(found) + 1),
        found / objects if objects else np.full(len(found), np.nan),
        objects,
    )
