"""Boxes and grids onto pixels. Every function returns a new image."""

from collections.abc import Sequence

import cv2
import numpy as np

from .._shared.checks import check_image
from .colors import Color
from .tags import tag_boxes

DARK: Color = (32, 36, 43)  # around an image that does not fill its place
DASH, GAP = 7, 5  # pixels of a dashed line, for a line one pixel thick


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    colors: Sequence[Color],
    *,
    dashed: bool = False,
    thickness: int | None = None,
    tags: Sequence[str] = (),
) -> np.ndarray:
    """Draw boxes, the first ones on top.

    Args:
        image: uint8 (H, W, 3), RGB; the result is another one.
        boxes: (N, 4), x1 y1 x2 y2 in pixels.
        colors: One for each box.
        dashed: Dashed lines, the field's sign for "before"; solid is "after".
        thickness: In pixels; None fits the image's size.
        tags: A short text for each of the first boxes, as `tag_boxes` writes them.

    Raises:
        TypeError, ValueError: `image` is of another dtype or shape, or there is not one colour per box.
    """
    check_image(image)
    drawn = image.copy()
    width = line_width(image) if thickness is None else thickness
    # Drawn at 1/16 of a pixel, so that boxes that differ by less than one stay apart.
    corners = np.rint(16 * np.asarray(boxes, np.float64).reshape(-1, 2, 2)).astype(int)
    for (start, end), color in reversed(list(zip(corners.tolist(), colors, strict=True))):
        if not dashed:
            cv2.rectangle(drawn, start, end, color, width, cv2.LINE_AA, 4)
            continue
        for a, b in _dashes(start, end, width):
            cv2.line(drawn, a, b, color, width, cv2.LINE_AA, 4)
    return tag_boxes(drawn, list(zip(boxes, tags, colors, strict=False))) if tags else drawn


def draw_grid(image: np.ndarray, down: float, across: float) -> np.ndarray:
    """A copy of an image, uint8 (H, W, 3), RGB, with pale lines every `down` and every `across` pixels."""
    lined = image.copy()
    lined[np.arange(0, image.shape[0], down).astype(int)] = 255
    lined[:, np.arange(0, image.shape[1], across).astype(int)] = 255
    return cv2.addWeighted(image, 0.6, lined, 0.4, 0)


def line_width(image: np.ndarray) -> int:
    """A line's thickness in pixels that is seen but hides little: 2 for images of up to 800 pixels."""
    return max(2, round(max(image.shape) / 400))


def _dashes(start: list[int], end: list[int], width: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The dashes around a box, in 1/16 of a pixel."""
    (x1, y1), (x2, y2) = start, end
    dash, step, dashes = 16 * DASH * width // 2, 16 * (DASH + GAP) * width // 2, []
    for x in range(x1, x2, step):
        dashes += [((x, y), (min(x + dash, x2), y)) for y in (y1, y2)]
    for y in range(y1, y2, step):
        dashes += [((x, y), (x, min(y + dash, y2))) for x in (x1, x2)]
    return dashes
