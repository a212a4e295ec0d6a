"""The exercises of the notebooks on the pipeline.

The expected results come from OpenCV and torchvision, not from a second copy of the pipeline.
"""

from collections.abc import Iterable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torchvision import ops
from torchvision.models.detection._utils import BoxCoder

from ..drawing.overlay import overlay_segmentation_mask
from .checking import exercise


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values, np.float64))


def _boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 4)


def _random_boxes(count: int, seed: int) -> np.ndarray:
    corners = np.random.default_rng(seed).uniform(0, 100, (count, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _random_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@exercise(
    "to_rgb",
    lambda bgr: cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB),
    hint="height and width stay; only the last axis is reversed.",
)
def _rgb_cases() -> Iterable[tuple]:
    yield (np.array([[[255, 0, 0]]], np.uint8),)
    yield (np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8),)
    yield (_random_image(20, 30),)


@exercise(
    "keep",
    lambda scores, threshold: np.flatnonzero(np.greater_equal(scores, threshold)),
    hint="return row numbers; a score equal to the threshold stays.",
)
def _keep_cases() -> Iterable[tuple]:
    yield np.array([0.9]), 0.5
    yield np.array([0.9, 0.4]), 0.5
    yield np.array([0.5]), 0.5  # the rule is "or more"
    yield np.array([]), 0.5
    yield np.random.default_rng(0).random(20).round(2), 0.25


@exercise(
    "overlay",
    overlay_segmentation_mask,
    hint="255 where any mask is greater than 0.5, else 0, in three channels; then cv2.addWeighted.",
)
def _overlay_cases() -> Iterable[tuple]:
    grey = np.full((1, 2, 3), 100, np.uint8)
    yield grey, np.array([[[1.0, 0.0]]]), 0.5
    yield grey, np.array([[[0.5, 0.51]]]), 0.5  # inside means more than 0.5
    yield grey, np.array([[[1.0, 0.0]], [[1.0, 1.0]]]), 0.5  # overlap
    yield grey, np.zeros((0, 1, 2)), 0.3  # no mask at all
    yield grey, np.array([[[1.0, 0.0]]]), 0.0
    yield _random_image(12, 9), np.random.default_rng(1).random((3, 12, 9)), 0.3


@exercise(
    "iou",
    lambda a, b: ops.box_iou(_tensor(a)[None], _tensor(b)[None])[0, 0].numpy(),
    hint="the overlap is min(rights) - max(lefts) wide, or 0; the union is both areas minus the overlap.",
)
def _iou_cases() -> Iterable[tuple]:
    box = np.array([0.0, 0.0, 2.0, 2.0])
    yield box, box
    yield box, box + 4  # apart
    yield box, box + [2, 0, 2, 0]  # a shared edge
    yield box, box + [1, 0, 1, 0]  # half of it
    yield box, np.array([0.5, 0.5, 1.0, 1.0])  # inside
    yield from zip(_random_boxes(20, 2), _random_boxes(20, 3), strict=True)


@exercise(
    "nms",
    lambda boxes, scores, nms_threshold: ops.nms(_tensor(boxes), _tensor(scores), nms_threshold).numpy(),
    hint="highest score first, keep a box if no kept one overlaps it by more than the threshold.",
)
def _nms_cases() -> Iterable[tuple]:
    a, b, c = (0, 0, 2, 2), (0, 0, 2, 1.8), (0, 0.4, 2, 2.2)
    yield _boxes(a), np.array([0.9]), 0.5
    yield _boxes(a, (5, 5, 7, 7)), np.array([0.4, 0.9]), 0.5  # the highest score comes first
    yield _boxes(a, b), np.array([0.4, 0.9]), 0.5
    yield _boxes(a, (1, 0, 3, 2)), np.array([0.9, 0.8]), 1 / 3  # an overlap equal to the threshold is allowed
    yield _boxes(b, a, c), np.array([0.9, 0.8, 0.7]), 0.7  # a suppressed box suppresses nothing
    yield _boxes(), np.array([]), 0.5
    yield _random_boxes(40, 4), np.random.default_rng(5).permutation(40) / 40, 0.3


def _decode(anchor: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
    return coder.decode_single(_tensor(deltas)[None], _tensor(anchor)[None])[0].numpy()


@exercise(
    "decode",
    _decode,
    hint="dx and dy move the centre in widths and heights; exp(dw) and exp(dh) multiply the sides.",
)
def _decode_cases() -> Iterable[tuple]:
    anchor = np.array([0.0, 0.0, 4.0, 2.0])
    yield anchor, np.zeros(4)
    yield anchor, np.array([0.5, 0.0, 0.0, 0.0])  # half a width to the right
    yield anchor, np.array([0.0, -0.5, 0.0, 0.0])
    yield anchor, np.array([0.0, 0.0, np.log(2), 0.0])  # twice as wide
    random = np.random.default_rng(6)
    for box in _random_boxes(10, 7):
        yield box, random.normal(0, 0.5, 4)


def _paste(probs: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    left, top, right, bottom = (int(side) for side in box)
    pixels = F.interpolate(_tensor(probs)[None, None], (bottom - top, right - left), mode="bilinear")
    pasted = np.zeros((height, width))
    pasted[top:bottom, left:right] = pixels[0, 0].numpy()
    return pasted


@exercise(
    "paste",
    _paste,
    hint="start from zeros, (height, width); cv2.resize takes (width, height) and is bilinear.",
)
def _paste_cases() -> Iterable[tuple]:
    yield np.array([[1.0]]), np.array([0, 0, 1, 1]), 1, 2
    yield np.array([[0.2, 0.8]]), np.array([1, 0, 3, 1]), 2, 4
    yield np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1, 4, 5]), 6, 5
    yield np.random.default_rng(8).random((28, 28)), np.array([3, 5, 60, 90]), 100, 80
