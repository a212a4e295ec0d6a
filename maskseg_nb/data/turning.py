"""Photographs that their EXIF orientation turns, and outlines that were drawn before or after the turn.

A phone stores a portrait as it lay in the camera, and a tag that says how to turn it. Some tools show the
stored pixels to whoever outlines them, others the upright ones, and COCO's JSON does not say which.
"""

import os
from dataclasses import dataclass

import numpy as np

from ..errors import ImageError, cannot_open, quoted
from .codec import stored_size
from .images import load_image

Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True, slots=True)
class Head:
    """What a picture file says of itself.

    Attributes:
        stored: (height, width) of the pixels in the file.
        orientation: EXIF's, 1 to 8; 1 where nothing is turned.
    """

    stored: Size
    orientation: int

    @property
    def upright(self) -> Size:
        """(height, width) of the picture as `load_image` gives it."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


def read_head(path: str | os.PathLike[str]) -> Head:
    """A picture file's size and orientation; only its head is read, where that tells.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return Head(*stored_size(file, quoted(os.path.basename(path))))
    except OSError as error:
        raise ImageError(cannot_open(path, error)) from None
    except ImageError:
        height, width = load_image(path).shape[:2]  # says better what is wrong, or can read it nevertheless
        return Head((height, width), 1)


def turned_masks(masks: np.ndarray, orientation: int) -> np.ndarray:
    """Masks on stored pixels, bool (N, H, W), as they lie on the upright picture."""
    if orientation in (5, 6, 7, 8):
        masks = masks.transpose(0, 2, 1)
    if orientation in (3, 4, 7, 8):
        masks = masks[:, ::-1]
    if orientation in (2, 3, 6, 7):
        masks = masks[:, :, ::-1]
    return np.ascontiguousarray(masks)


def turned_boxes(boxes: np.ndarray, head: Head) -> np.ndarray:
    """Boxes on stored pixels, float (N, 4), x1 y1 x2 y2, as they lie on the upright picture."""
    orientation, (height, width) = head.orientation, head.upright
    if orientation in (5, 6, 7, 8):
        boxes = boxes[:, [1, 0, 3, 2]]
    x1, y1, x2, y2 = boxes.T
    if orientation in (3, 4, 7, 8):
        y1, y2 = height - y2, height - y1
    if orientation in (2, 3, 6, 7):
        x1, x2 = width - x2, width - x1
    return np.stack([x1, y1, x2, y2], axis=1)
