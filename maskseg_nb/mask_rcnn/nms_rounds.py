"""Non-maximum suppression as it goes: round by round, the winner, and whom it takes with it."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from .._shared.checks import check_fraction
from .contests import Contest
from .outcomes import KEPT, OVER_LIMIT, SUPPRESSED
from .trace import Trace


class Round(NamedTuple):
    """What happened in one round; all numbers are rows of the boxes.

    Attributes:
        winner: The highest score of those that were left; it stays.
        taken: Those that it suppressed, highest score first.
        ious: Of the winner with each of them, [0, 1].
        left: Those that wait for the next round, highest score first.
    """

    winner: int
    taken: tuple[int, ...]
    ious: tuple[float, ...]
    left: tuple[int, ...]


def nms_rounds(boxes: Tensor, scores: Tensor, nms_threshold: float) -> list[Round]:
    """NMS with every step kept; the winners are what `torchvision.ops.nms` returns.

    Args:
        boxes: float (N, 4), x1 y1 x2 y2.
        scores: float (N,).
        nms_threshold: A box is taken where its IoU with the winner is more, in [0, 1].

    Returns:
        A round for each box that stays, in order.

    Raises:
        TypeError, ValueError: `nms_threshold` is not a number in [0, 1].
    """
    check_fraction("nms_threshold", nms_threshold)
    left, rounds = scores.argsort(descending=True, stable=True), []
    while len(left):
        winner, others = left[0], left[1:]
        ious = box_iou(boxes[winner][None], boxes[others])[0]
        taken = ious > nms_threshold
        left = others[~taken]
        rows = (others[taken].tolist(), ious[taken].tolist(), left.tolist())
        rounds.append(Round(int(winner), *map(tuple, rows)))
    return rounds


def category_contest(trace: Trace, label: int) -> tuple[Tensor, Tensor]:
    """Who comes into the second NMS of one category: boxes above the score floor, and their scores.

    Args:
        trace: A run through the network.
        label: The category, 1 to C - 1.

    Returns:
        float32 (N, 4), x1 y1 x2 y2 in pixels of the network's input, and float32 (N,), highest score first.

    Raises:
        ValueError: There is no such category.
    """
    classes = trace.box_scores.scores.shape[1]
    if label not in range(1, classes):
        raise ValueError(f"label must be 1 to {classes - 1}, got {label!r}")
    contest, outcomes = Contest.of_detections(trace), trace.detections.outcomes
    compared = (outcomes == KEPT) | (outcomes == SUPPRESSED) | (outcomes == OVER_LIMIT)
    rows = torch.where(compared & (contest.groups == label))[0]
    rows = rows[contest.scores[rows].argsort(descending=True, stable=True)]
    return contest.boxes[rows], contest.scores[rows]
