"""A part of an image, enlarged, and where its points lie."""

from dataclasses import dataclass

import cv2
import numpy as np

from .boxes import DARK


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of an image, enlarged or shrunk."""

    image: np.ndarray  # uint8 (h, w, 3), RGB
    origin: np.ndarray  # (x, y) of its upper left corner in the whole image, in pixels; may lie outside
    scale: float  # its pixels for one of the whole image's

    @classmethod
    def around(
        cls, image: np.ndarray, box: np.ndarray, size: tuple[int, int], margin: float = 0.15
    ) -> "Crop":
        """What of an image, uint8 (H, W, 3), RGB, lies around a box, (4,), x1 y1 x2 y2 in pixels.

        `size` is the result's (height, width); the box is in the middle, its proportions as they were, with
        `margin`, a share of the result, free on each side. Beyond the image's edge it is dark.
        """
        center, sides = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 1.0)
        height, width = size
        scale = float((1 - 2 * margin) * min(width / sides[0], height / sides[1]))
        origin = center - np.array([width, height]) / (2 * scale)
        matrix = np.array([[scale, 0, -scale * origin[0]], [0, scale, -scale * origin[1]]])
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        part = cv2.warpAffine(image, matrix, (width, height), flags=method, borderValue=DARK)
        return cls(part, origin, scale)

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the whole image, x1 y1 x2 y2 in pixels, (N, 4) or (4,), in the crop's own: (N, 4)."""
        return (np.asarray(boxes).reshape(-1, 4) - np.tile(self.origin, 2)) * self.scale


def fitted(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """An image, uint8 (h, w, 3), RGB, as large as fits into a size, its pixels as blocks, between dark edges.

    `size` begins with (height, width) in pixels, so that another image's shape will do.
    """
    height, width = size[:2]
    scale = min(height / image.shape[0], width / image.shape[1])
    inner = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    method = cv2.INTER_NEAREST_EXACT if scale > 1 else cv2.INTER_AREA
    sheet = np.full((height, width, 3), DARK, np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    resized = cv2.resize(image, (inner[1], inner[0]), interpolation=method)
    sheet[top : top + inner[0], left : left + inner[1]] = resized
    return sheet
