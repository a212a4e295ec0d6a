"""The exercises of the notebooks on ground truth, training and export.

The expected results come from pycocotools, torch and OpenCV, or from code that is tested against these.
"""

from collections.abc import Iterable

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask

from ..data.rle import encode_masks
from ..data.truth import Truth
from ..evaluation.matching import Outcome, match_rows
from ..evaluation.precision_recall import curve
from .checking import exercise


def _mask_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    masks = [encode_masks(mask[None]) for mask in (a, b)]
    return np.asarray(coco_mask.iou(*masks, [0])[0, 0])


@exercise("mask_iou", _mask_iou, hint="count the pixels in both, a & b, and in either, a | b.")
def _mask_iou_cases() -> Iterable[tuple]:
    one = np.array([[True, False]])
    yield one, one
    yield one, ~one  # apart
    yield one, np.array([[True, True]])
    random = np.random.default_rng(9)
    for share in (0.1, 0.5, 0.9):
        yield random.random((20, 30)) < share, random.random((20, 30)) < 0.5


def _judge(ious: np.ndarray, iou: float) -> np.ndarray:
    rows, columns = ious.shape
    truth = Truth.from_masks(np.ones((columns, 1, 1), bool), [1] * columns, ("__background__", "thing"))
    found = match_rows(np.ones(rows, np.int64), ious, truth, np.ones(columns, bool), iou)
    return np.array([outcome is Outcome.TRUE_POSITIVE for outcome in found.outcomes], bool)


@exercise(
    "judge",
    _judge,
    hint="row by row, take the greatest of the free columns if it is `iou` or more; it is then taken.",
)
def _judge_cases() -> Iterable[tuple]:
    yield np.array([[0.8]]), 0.5
    yield np.array([[0.5]]), 0.5  # the rule is "or more"
    yield np.array([[0.3, 0.6]]), 0.5
    yield np.array([[0.6], [0.9]]), 0.5  # the higher score takes the object, though the other fits better
    yield np.array([[0.9, 0.6], [0.8, 0.0]]), 0.5  # each instance takes the object that it overlaps most
    yield np.array([[0.6, 0.9], [0.7, 0.8]]), 0.5  # the best is taken, so the next best
    yield np.zeros((2, 0)), 0.5  # nothing there
    yield np.random.default_rng(10).random((12, 6)), 0.4


@exercise(
    "average_precision",
    lambda right, objects: np.asarray(curve(-np.arange(len(right)), right, objects).average_precision),
    hint=(
        "after k instances precision is np.cumsum(right) / k, recall np.cumsum(right) / objects; for each of "
        "np.linspace(0, 1, 101) take the best precision at that recall or more, else 0; then the mean."
    ),
)
def _average_precision_cases() -> Iterable[tuple]:
    yield np.array([True]), 1
    yield np.array([False]), 1
    yield np.array([True]), 2  # recall ends at 0.5
    yield np.array([False, True]), 1
    yield np.array([True, False, True]), 2  # a later point may be higher
    yield np.zeros(0, bool), 3
    yield np.random.default_rng(11).random(40) < 0.6, 33


def _rate(step: int, steps: int, warm_up: int) -> np.ndarray:
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(step):
        optimizer.step()
        cosine.step()
    return np.asarray(min(1.0, (step + 1) / warm_up) * cosine.get_last_lr()[0])


@exercise("rate", _rate, hint="(step + 1) / warm_up, at most 1, times (1 + cos(pi * step / steps)) / 2.")
def _rate_cases() -> Iterable[tuple]:
    yield 50, 100, 1
    yield 25, 100, 1
    yield 0, 100, 10  # already a tenth
    yield 4, 100, 10
    yield 99, 100, 10


def _label_map(masks: np.ndarray) -> np.ndarray:
    first = torch.from_numpy(masks).to(torch.uint8).argmax(dim=0).numpy() + 1  # of equals the first
    return np.where(masks.any(axis=0), first, 0).astype(np.uint8)


@exercise("label_map", _label_map, hint="paint the lowest score first and the highest last.")
def _label_map_cases() -> Iterable[tuple]:
    yield (np.array([[[True, False]]]),)
    yield (np.array([[[True, False]], [[True, True]]]),)  # the highest score is on top
    yield (np.random.default_rng(12).random((5, 12, 9)) < 0.3,)


@exercise(
    "polygon_area",
    lambda corners: np.asarray(cv2.contourArea(corners.astype(np.float32))),
    hint="half the sum of x[k] y[k+1] - y[k] x[k+1] around the polygon, without its sign.",
)
def _polygon_area_cases() -> Iterable[tuple]:
    square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    yield (square[:3],)
    yield (square,)
    yield (square[::-1] + 5,)  # the other way round, elsewhere
    yield (np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [2.0, 1.0], [0.0, 3.0]]),)


@exercise(
    "machines_for",
    lambda pictures, rate, hours: np.ceil(np.asarray(pictures / (rate * hours * 3600))),
    hint="one machine does rate * 3600 * hours pictures; divide and round up.",
)
def _machines_for_cases() -> Iterable[tuple]:
    yield 3600, 1.0, 1
    yield 3601, 1.0, 1  # one more than a single machine does
    yield 10_000_000, 3.5, 24
