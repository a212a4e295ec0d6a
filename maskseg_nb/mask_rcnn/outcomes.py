"""What becomes of the candidate boxes where many are compared and few are kept."""

from torch import Tensor
from torchvision.ops import batched_nms

# As stored in a stage's `outcomes`: the index is the number stored.
OUTCOMES = ("kept", "too small", "score too low", "suppressed", "over the limit")
KEPT, TOO_SMALL, LOW_SCORE, SUPPRESSED, OVER_LIMIT = range(len(OUTCOMES))


def best_apart(
    left: Tensor,
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    outcomes: Tensor,
    nms_threshold: float,
    limit: int,
) -> Tensor:
    """Non-maximum suppression, then the limit; the outcomes are written into `outcomes` itself.

    Args:
        left: int64 (L,), the rows that came so far.
        boxes: float32 (K, 4), x1 y1 x2 y2.
        scores: float32 (K,).
        groups: int64 (K,): a box suppresses none of another group (torchvision's batched_nms).
        outcomes: int64 (K,), indices into `OUTCOMES`.
        nms_threshold: Where the intersection over union of two is more, the lower score is suppressed.
        limit: How many are kept at most.

    Returns:
        int64: the rows that are kept, highest score first.
    """
    outcomes[left] = SUPPRESSED
    left = left[batched_nms(boxes[left], scores[left], groups[left], nms_threshold)]
    outcomes[left] = OVER_LIMIT
    kept = left[:limit]
    outcomes[kept] = KEPT
    return kept


def count_outcomes(outcomes: Tensor) -> dict[str, int]:
    """Each of the `OUTCOMES` -> how many candidates of `Proposals` or `Detections` met it; int64 in."""
    return dict(zip(OUTCOMES, outcomes.bincount(minlength=len(OUTCOMES)).tolist(), strict=True))
