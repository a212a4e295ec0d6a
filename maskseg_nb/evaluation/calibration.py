"""What a score is worth: among the instances with such a score, how many are right?"""

from dataclasses import dataclass

import numpy as np

from .._shared.checks import is_whole
from .evaluate import Evaluation


@dataclass(frozen=True, eq=False)
class Reliability:
    """Judged instances in B bins of equal width by their score, the lowest bin first.

    A model is calibrated where `share_right` equals `mean_scores`: of a hundred instances scored 0.8, eighty
    are right. Average precision cannot see this; it depends on the order of the scores alone.

    Attributes:
        edges: float64 (B + 1,), the bins' limits, 0 to 1; a score on a limit belongs to the bin above.
        counts: int64 (B,), instances.
        mean_scores: float64 (B,), [0, 1]; NaN where there is no instance.
        share_right: float64 (B,), [0, 1], the share of true positives; NaN where there is no instance.
        low, high: float64 (B,), [0, 1], within which the true share lies with 95 % confidence (Wilson's
            interval): wide where instances are few. NaN where there are none.
    """

    edges: np.ndarray
    counts: np.ndarray
    mean_scores: np.ndarray
    share_right: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """How far scores and shares are apart on average over the instances, [0, 1]; NaN without instances.

        The sum over the bins of count / total * |share right - mean score| (On Calibration of Modern Neural
        Networks, arXiv:1706.04599, equation 3, with precision in place of accuracy).
        """
        if not self.counts.sum():
            return float("nan")
        apart = np.abs(self.share_right - self.mean_scores)
        return float(np.nansum(self.counts * apart) / self.counts.sum())

    def __str__(self) -> str:
        rows = [f"{'score':<16}{'instances':>9}{'mean score':>12}{'right':>8}"]
        for row in np.flatnonzero(self.counts):
            span = f"{self.edges[row]:.2f} to {self.edges[row + 1]:.2f}"
            rows.append(
                f"{span:<16}{self.counts[row]:>9,}{self.mean_scores[row]:>12.2f}{self.share_right[row]:>8.2f}"
            )
        return "\n".join([*rows, f"expected calibration error {self.expected_calibration_error:.3f}"])


def reliability(evaluation: Evaluation, category: str | None = None, *, bins: int = 10) -> Reliability:
    """Compare scores with the share of them that is right: masks, IoU 0.5 or more.

    Args:
        evaluation: What `evaluate` returned; instances that are not judged are left out.
        category: One of `evaluation.judged`; None pools all of them.
        bins: How many, of equal width; 1 or more.

    Raises:
        ValueError: The category was not judged, or `bins` is not a whole number of at least 1.
    """
    if not is_whole(bins) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, got {bins!r}")
    scores, right, _ = evaluation.judgements(category)
    edges = np.linspace(0, 1, bins + 1)
    rows = np.searchsorted(edges, scores, side="right").clip(1, bins) - 1  # a score of 1 belongs to the last
    counts, hits = np.bincount(rows, minlength=bins), np.bincount(rows, right, bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: nothing can be said
        share, mean = hits / counts, np.bincount(rows, scores, bins) / counts
        low, high = _wilson(share, counts)
    return Reliability(edges, counts, mean, share, low, high)


def _wilson(share: np.ndarray, counts: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval for a share of `counts` (E. B. Wilson, JASA 22, 1927)."""
    shrunk = 1 + z**2 / np.where(counts, counts, np.nan)
    middle = (share + (shrunk - 1) / 2) / shrunk
    half = z / shrunk * np.sqrt(share * (1 - share) / counts + (shrunk - 1) ** 2 / (4 * z**2))
    return (middle - half).clip(0), (middle + half).clip(max=1)
