"""A photograph's changed twins, for `compare`: blurred, noisy, dark, turned, or pushed against a score."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from .._shared.checks import check_image, is_number
from ..data.codec import encoded
from ..data.images import load_image
from ..errors import did_you_mean, quoted
from .pixels import GREY, pixel_gradient
from .receipt import Receipt

LARGEST_STEP = 8  # of 255 levels: a change that hardly anybody sees


@dataclass(frozen=True)
class Change:
    """A way to change an image, by an amount from `least` to `most`; at `neutral` nothing changes."""

    unit: str
    least: float
    most: float
    neutral: float
    apply: Callable[[np.ndarray, float], np.ndarray]


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def _noise(image: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, image.shape)  # the same at every call
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    return load_image(encoded(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, round(quality))))


def _darkness(image: np.ndarray, light: float) -> np.ndarray:
    return np.rint(image * light).astype(np.uint8)


def _rotation(image: np.ndarray, degrees: float) -> np.ndarray:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


def _channels(image: np.ndarray, _: float) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


CHANGES = {
    "blur": Change("pixels, standard deviation", 0, 20, 0, _blur),
    "noise": Change("levels of 255, standard deviation", 0, 100, 0, _noise),
    "JPEG": Change("quality; 101 is none", 1, 101, 101, _jpeg),
    "darkness": Change("of the light", 0, 1, 1, _darkness),
    "rotation": Change("degrees, anticlockwise; boxes are compared where they lie", -180, 180, 0, _rotation),
    "BGR": Change("red and blue swapped", 0, 1, 0, _channels),
}


def twin(image: np.ndarray, change: str, amount: float) -> np.ndarray:
    """A changed copy of an image.

    Args:
        image: uint8 (H, W, 3), RGB; so is the result.
        change: One of `CHANGES`.
        amount: How much, in the change's own unit and range; its neutral amount returns an equal image.

    Raises:
        TypeError, ValueError: An argument is of another kind or out of range.
    """
    check_image(image)
    if change not in CHANGES:
        meant = did_you_mean(change, CHANGES)
        raise ValueError(f"change must be one of {', '.join(CHANGES)}, got {quoted(change)}{meant}")
    how = CHANGES[change]
    if not is_number(amount) or not how.least <= amount <= how.most:
        raise ValueError(f"{change} must be {how.least:g} to {how.most:g} {how.unit}, got {quoted(amount)}")
    return image.copy() if amount == how.neutral else how.apply(image, amount)


def with_patch(image: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    """A copy of an image, uint8 (H, W, 3), RGB, with a grey square whose middle is (x, y), all in pixels."""
    check_image(image)
    covered, half = image.copy(), side // 2
    top, left = y - half, x - half
    covered[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = round(255 * GREY)
    return covered


def pushed(receipt: Receipt, tensor: Tensor, levels: int = LARGEST_STEP) -> Tensor:
    """One step of every pixel against a receipt's margin (the fast gradient sign method, arXiv:1412.6572).

    Args:
        receipt: What `receipt` returned.
        tensor: float32 (1, 3, H, W), RGB, [0, 1]: what its run was made of.
        levels: How far each channel of each pixel moves, 0 to 8 levels of 255.

    Returns:
        float32 (1, 3, H, W), [0, 1]: to `trace` and compare.

    Raises:
        TypeError, ValueError: `tensor` is of another kind, range or size, or `levels` is out of range.
    """
    if not is_number(levels) or not 0 <= levels <= LARGEST_STEP:
        raise ValueError(f"levels must be 0 to {LARGEST_STEP}, got {quoted(levels)}")
    direction = torch.from_numpy(np.sign(pixel_gradient(receipt, tensor).gradient))[None].to(tensor)
    return (tensor - levels / 255 * direction).clamp(0, 1)
