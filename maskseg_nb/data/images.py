"""From a picture in any form to the network's input: read, turn, resize, to tensor."""

import os
import re
import stat

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from .._shared.checks import is_whole
from ..errors import ImageError, cannot_open, quoted, reason
from .codec import MAX_PICTURE_BYTES, MAX_PIXELS, NO_MEMORY, TOO_LARGE, decode_image, pillow_pixels
from .pixels import on_white

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | np.ndarray | Image.Image

LONGEST_SIDE = 1333  # pixels; torchvision's own max_size
SUFFIXES = tuple(
    ".jpg .jpeg .png .webp .heic .heif .hif .avif .tif .tiff .bmp .gif .ppm .pgm .pbm .pnm .jpe .jfif".split()
)


def load_image(source: Source) -> np.ndarray:
    """Read a picture as an RGB array, turned upright as its EXIF orientation says.

    Transparent pictures are laid on white; of an animation or a stack the first frame is taken, with a
    warning. For an ordinary 8-bit JPEG or PNG the pixels are those of `cv2.imread` after BGR to RGB.

    Of 16 bits per sample the upper 8 are taken. Where a PNG, TIFF or PPM has no level of 2^14 or more (10, 12
    or 14 bits in 16, as microscopes and X-ray cameras save them) that would be nearly black: its levels from
    0 to 2^b - 1, b the number of bits of the brightest, are stretched to 0 to 255, with a warning. Floats and
    32-bit integers are refused: nobody says which of their values is white.

    Args:
        source: A path, a file's bytes (JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, HEIC or AVIF), a PIL image, or
            an array: uint8 (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey.

    Returns:
        uint8 (H, W, 3), RGB, [0, 255], C-contiguous, the caller's own.

    Raises:
        ImageError: The file is missing, too large, damaged, or not a picture of a supported format.
        TypeError, ValueError: `source` is of another kind, or an array of another dtype or shape.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return pillow_pixels(source, "the PIL image")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decode_image(bytes(source), "the picture's bytes")
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if isinstance(path, str):
            name = quoted(os.path.basename(path) or path)
            return decode_image(_read(path, name), name)
    raise TypeError(
        f"source must be a path, bytes, a uint8 array or a PIL image, got {type(source).__name__}"
    )


def preprocess(source: Source, size: tuple[int, int] | None = (800, 800)) -> tuple[torch.Tensor, np.ndarray]:
    """Make the network's input: decode, BGR to RGB, resize, to tensor, add the batch dimension.

    Args:
        source: Whatever `load_image` takes.
        size: (height, width) in pixels. The documented 800 x 800 squashes the proportions; None keeps them
            and only shrinks, until the longest side is at most 1333.

    Returns:
        tensor: float32 (1, 3, H, W), RGB, [0, 1].
        image: uint8 (H, W, 3), RGB: the resized picture, for drawing on.

    Raises:
        ImageError, TypeError: As `load_image`.
        ValueError: `size` is not two positive whole numbers of at most 2^26 pixels.
    """
    if size is not None:
        _check_size(size)
    image = load_image(source)
    if size is None:
        height, width = image.shape[:2]
        scale = LONGEST_SIDE / max(height, width)
        if scale < 1:
            shrunk = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
    else:
        image = cv2.resize(image, (size[1], size[0]))  # cv2 takes (width, height)
    to_tensor = transforms.Compose([transforms.ToTensor()])  # HWC [0, 255] -> CHW [0, 1]
    return to_tensor(image).unsqueeze(0), image  # (1, 3, H, W)


def _check_size(size: tuple[int, int]) -> None:
    good = isinstance(size, (tuple, list)) and len(size) == 2 and all(map(is_whole, size))
    if not good or min(size) < 1 or int(size[0]) * int(size[1]) > MAX_PIXELS:
        raise ValueError(
            f"size must be (height, width) in pixels or None, at most {MAX_PIXELS:,} pixels in all, "
            f"got {quoted(size)}"
        )


def _read(path: str, name: str) -> bytes:
    try:  # O_NONBLOCK: a FIFO would hang the open until somebody writes
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise not_there(path) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ImageError(cannot_open(path, error)) from None
    return read_picture_file(handle, name)


def is_address(path: str) -> bool:
    """Whether it is an address in the web, where a path should be."""
    return bool(re.match("(?:https?|ftp|s3|gs):/", path))  # one slash: a Path has no second


def not_there(path: str) -> ImageError:
    """The error about a path where nothing is."""
    if is_address(path):
        return ImageError(f"{quoted(path, 200)} is an address in the web; download the picture first")
    return ImageError(f"{quoted(path, 200)} does not exist; check the path")


def read_picture_file(handle: int, name: str) -> bytes:
    """All bytes of a file that is open for reading, which is closed; `name` stands for it in messages.

    Raises:
        ImageError: It is not an ordinary file, too large, or cannot be read.
    """
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)  # open() below would raise its own error for a folder
        raise ImageError(f"{name} is not a file; choose a picture file")
    with open(handle, "rb") as file:
        if status.st_size > MAX_PICTURE_BYTES:
            raise ImageError(f"{name} {TOO_LARGE}")
        try:
            return file.read(MAX_PICTURE_BYTES + 1)  # one more than allowed: the file may have grown
        except OSError as error:
            raise ImageError(f"{name} cannot be read: {reason(error)}; copy it to a local disk") from None
        except MemoryError:
            raise ImageError(f"{name} {NO_MEMORY}") from None


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8:
        raise TypeError(f"image must be uint8 in [0, 255], got {array.dtype}; scale and convert it first")
    good = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not good or 0 in array.shape:
        raise ValueError(
            f"image must be (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, not empty, got {array.shape}"
        )
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ValueError(f"image must have at most {MAX_PIXELS:,} pixels, got {array.shape}")
    if array.ndim == 2:
        return np.stack([array] * 3, axis=-1)
    if array.shape[2] == 4:
        return on_white(array)
    return np.array(array, order="C")
