"""Values as colours: over an image, in sheets of maps, in a box."""

import cv2
import numpy as np

from .._shared.checks import check_image
from .boxes import line_width
from .crop import Crop


def heat_map(image: np.ndarray, heat: np.ndarray, alpha: float = 0.6) -> np.ndarray:
    """Lay values over an image as `false_colors`; the image turns grey under them.

    Args:
        image: uint8 (H, W, 3), RGB; so is the result.
        heat: float (h, w), [0, 1]: each value covers a block of the image, the whole map all of it.
        alpha: Weight of the colours, [0, 1].

    Raises:
        TypeError, ValueError: `image` is of another dtype or shape.
    """
    check_image(image)
    size = (image.shape[1], image.shape[0])
    blocks = cv2.resize(false_colors(heat), size, interpolation=cv2.INTER_NEAREST)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(grey, 1 - alpha, blocks, alpha, 0)


def false_colors(values: np.ndarray) -> np.ndarray:
    """Values as colours, dark violet for 0 to yellow for 1 (matplotlib's inferno, by OpenCV).

    From float (h, w), [0, 1], beyond which it is clipped, to uint8 (h, w, 3), RGB.
    """
    grey = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def mosaic(maps: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Maps, float (N, h, w), side by side, each stretched from its own least to its own greatest value.

    With `gap` black cells between two, uint8 (rows * (h + gap) - gap, columns * (w + gap) - gap, 3), RGB.
    """
    count, height, width = maps.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    for index, values in enumerate(maps):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        span = float(values.max() - values.min()) or 1.0
        sheet[top : top + height, left : left + width] = false_colors((values - values.min()) / span)
    return sheet


def mask_over_crop(crop: Crop, box: np.ndarray, probs: np.ndarray, threshold: float) -> np.ndarray:
    """A box's mask probabilities, cell by cell, over its crop, with a white line where they pass a threshold.

    Args:
        crop: Around the box; the result has the same size.
        box: (4,), x1 y1 x2 y2 in pixels of the whole image.
        probs: float32 (M, M), [0, 1].
        threshold: In [0, 1].
    """
    height, width = crop.image.shape[:2]
    left, top, right, bottom = crop.boxes(box)[0]
    side = len(probs)
    # Cell i of the mask reaches from left + i / M to left + (i + 1) / M of the box.
    matrix = np.array([[(right - left) / side, 0, left], [0, (bottom - top) / side, top]])
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # from the corners of pixels to their centres
    cells = cv2.warpAffine(probs, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=-1)
    smooth = cv2.warpAffine(probs, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=0)
    heat = heat_map(crop.image, cells, 0.65)
    shown = np.where(cells[..., None] >= 0, heat, crop.image)
    contours, _ = cv2.findContours(
        (smooth > threshold).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    return cv2.drawContours(shown, contours, -1, (255, 255, 255), line_width(shown), cv2.LINE_AA)
