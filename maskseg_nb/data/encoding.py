"""Pictures to the bytes of a file."""

import cv2
import numpy as np


def encoded(suffix: str, image: np.ndarray, options: tuple[int, ...] = ()) -> bytes:
    """A picture as the bytes of a ".png" or ".jpg" file.

    Args:
        suffix: The format.
        image: uint8 (H, W, 3) RGB or (H, W, 4) RGBA; uint8 or uint16 (H, W).
        options: cv2's.
    """
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    _, data = cv2.imencode(
        suffix, cv2.cvtColor(image, order[image.shape[2]]) if image.ndim == 3 else image, options
    )
    return data.tobytes()
