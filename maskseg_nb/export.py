"""Results as files, under names that are still free."""

import os
from pathlib import Path

import cv2
import numpy as np

from .errors import ImageError, quoted


def encoded(suffix: str, image: np.ndarray, options: tuple[int, ...] = ()) -> bytes:
    """An RGB picture, uint8 (H, W, 3), as the bytes of a ".png" or ".jpg" file; cv2's options."""
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return data.tobytes()


def save_png(image: np.ndarray, folder: str | os.PathLike[str], stem: str) -> Path:
    """Write a picture as `stem.png`, or `stem-2.png` and so on where that is taken.

    Args:
        image: uint8 (H, W, 3), RGB.
        folder: An existing folder.
        stem: How the name begins; a plain name without folders.

    Returns:
        The file's path.

    Raises:
        ImageError: The folder cannot be written to; no partial file stays.
    """
    data, number = encoded(".png", image), 1
    while True:
        path = Path(folder) / f"{stem}{f'-{number}' if number > 1 else ''}.png"
        try:
            with open(path, "xb") as file:  # x: refuses a name that is taken
                try:
                    file.write(data)
                    file.flush()  # or a full disk is noticed only while the file is closed
                except BaseException:
                    path.unlink()
                    raise
            return path
        except FileExistsError:
            number += 1
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ImageError(f"{quoted(path)} cannot be written: {reason}; choose another folder") from None
