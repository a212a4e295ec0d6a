"""From a picture file's bytes, or a PIL image, to pixels; whatever they hold, pixels or an ImageError.

cv2 decodes, as in every OpenCV tutorial; before it sees a byte, Pillow has checked the same bytes, because
cv2 accepts truncated files and spends gigabytes on hostile ones. What cv2 cannot decode faithfully
(transparency, CMYK, 16 bits, TIFF, GIF, AVIF, a BMP with colour masks) Pillow decodes, and pi-heif HEIC.
"""

import io
import math
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import cv2
import numpy as np
import pi_heif
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from .._shared.memory import is_out_of_memory
from ..errors import ImageError, quoted
from . import heif_boxes
from .pixels import is_deep_png, to_rgb

MAX_PIXELS = 2**26  # width x height of a picture that is decoded: phones make 9248 x 6936
MAX_CODED_PIXELS = 3 * MAX_PIXELS  # of a HEIC's tiles, its alpha among them
MAX_PICTURE_BYTES = 200 * 2**20  # of a picture's file
TOO_LARGE = f"is larger than {MAX_PICTURE_BYTES // 2**20} MB; save it smaller"
NO_MEMORY = "needs more memory than is free; save it smaller"
MAX_SCANS = 100  # of a JPEG: a progressive one has about 10, and each costs a pass over all pixels
PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")  # HEIC beside them
_FOR_CV2 = ("JPEG", "MPO", "PNG", "WEBP")  # where they hold plain 8-bit grey or RGB
_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")  # marker, length, components
_ORIENTATION = 0x0112  # EXIF tag
_WIDTH, _LENGTH = 0x0100, 0x0101  # TIFF tags
_TILE_WIDTH, _TILE_LENGTH = 0x0142, 0x0143
_SETTINGS = (  # what other code in the process may have changed for itself
    (ImageFile, "LOAD_TRUNCATED_IMAGES", False),
    (Image, "MAX_IMAGE_PIXELS", MAX_PIXELS),
    (PngImagePlugin, "MAX_TEXT_CHUNK", 2**20),
    (PngImagePlugin, "MAX_TEXT_MEMORY", 2**23),
    (pi_heif.options, "DISABLE_SECURITY_LIMITS", False),
    *((pi_heif.options, extra, False) for extra in ("THUMBNAILS", "DEPTH_IMAGES", "AUX_IMAGES")),
)
_PILLOW = threading.RLock()  # whoever holds it has changed Pillow's settings and the warning filters


def decode_image(data: bytes, name: str) -> np.ndarray:
    """What `load_image` does with a file's bytes; `name` stands for them in messages."""
    if not data:
        raise ImageError(f"{name}: empty, 0 bytes; copy or download the picture again")
    if len(data) > MAX_PICTURE_BYTES:
        raise ImageError(f"{name} {TOO_LARGE}")
    with _guarded(name):
        image = _checked(data, name)
        pixels, note = _with_cv2(data, image), ""
        if pixels is None:
            pixels, note = to_rgb(image, name, data)
        pixels = upright(pixels, _orientation(image))
        several = getattr(image, "is_animated", False)  # to count a hostile GIF's frames takes minutes
    if several:
        used = "main one" if image.format == "HEIF" and image.tell() else "first"
        _warn(f"{name} has several frames or pages; the {used} is used")
    if note:
        _warn(note)
    return pixels


def pillow_pixels(image: Image.Image, name: str) -> np.ndarray:
    """What `load_image` does with a PIL image, which may decode only now."""
    with _guarded(name):
        _check_size(image, name)
        image.load()
        pixels, note = to_rgb(image, name)
        pixels = upright(pixels, _orientation(image))
    if note:
        _warn(note)
    return pixels


def _warn(text: str) -> None:
    """Tell the caller of `load_image`; while another thread decodes, warnings are off."""
    with _PILLOW:
        warnings.warn(text, stacklevel=4)


@contextmanager
def _guarded(name: str) -> Iterator[None]:
    """Strict Pillow without its warnings, whatever other code has set; what fails is an ImageError."""
    with _PILLOW:
        before = [getattr(module, setting) for module, setting, _ in _SETTINGS]
        try:
            for module, setting, value in _SETTINGS:
                setattr(module, setting, value)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except ImageError:
            raise
        except UnidentifiedImageError:
            raise ImageError(
                f"{name} is not a picture that can be read; use one of {', '.join(PILLOW_FORMATS)}, HEIC"
            ) from None
        except Image.DecompressionBombError:
            raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels; save it smaller") from None
        except Exception as error:  # Pillow's plugins raise a dozen kinds on damaged files
            reason = quoted(str(error).strip())[1:-1] or type(error).__name__
            allocation = "Memory allocation error" in reason and "Security limit" not in reason  # libheif's
            if is_out_of_memory(error) or allocation:
                raise ImageError(f"{name} {NO_MEMORY}") from None
            if "nsupported" in reason:  # by Pillow or libheif; the file may be sound
                raise ImageError(f"{name} cannot be read: {reason}; save it as a JPEG or PNG") from None
            raise ImageError(f"{name} is damaged: {reason}; copy or download it again") from None
        finally:
            for (module, setting, _), value in zip(_SETTINGS, before, strict=True):
                setattr(module, setting, value)


def _checked(data: bytes, name: str) -> Image.Image:
    """A fully decoded Pillow image of known format, bounded size, right checksums, and complete."""
    with _opened(io.BytesIO(data)) as first:
        _check_size(first, name)
        if first.format in ("JPEG", "MPO") and len(_SCAN.findall(data)) > MAX_SCANS:
            raise ImageError(
                f"{name} is a JPEG of more than {MAX_SCANS} scans; save it again as baseline JPEG"
            )
        if first.format in ("HEIF", "AVIF") and heif_boxes.coded_pixels(data) > MAX_CODED_PIXELS:
            raise ImageError(f"{name} is made of more than {MAX_CODED_PIXELS:,} pixels; save it as a JPEG")
        first.verify()  # PNG checksums; leaves the image unusable, hence the second open
    image = _opened(io.BytesIO(data))
    try:
        image.load()
    except Exception:
        if image.format in ("HEIF", "AVIF"):  # whose decoders do not say when memory ran out
            np.empty(8 * image.width * image.height, np.uint8)  # about what they need: it may fail now
        raise
    return image


def _opened(file: BinaryIO) -> Image.Image:
    """A Pillow image, not yet decoded; HEIC by pi-heif's class, as registering it would change every
    `Image.open` of the process.
    """
    kinds = heif_boxes.brands(file.read(heif_boxes.HEAD))
    file.seek(0)
    if kinds & heif_boxes.HEIC and not kinds & heif_boxes.AVIF:  # those Pillow decodes, by libavif
        return pi_heif.HeifImageFile(file)
    return Image.open(file, formats=PILLOW_FORMATS)


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height == 0:
        raise ImageError(f"{name} is empty: {width} x {height} pixels; choose another picture")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name} has {width} x {height} pixels, more than {MAX_PIXELS:,}; save it smaller")
    # A TIFF's tile is decoded whole, however little of it lies inside the picture.
    tags = getattr(image, "tag_v2", {})
    tile = [side for side in (tags.get(_TILE_WIDTH), tags.get(_TILE_LENGTH)) if isinstance(side, int)]
    if math.prod(tile) > MAX_PIXELS:
        raise ImageError(f"{name} has tiles of more than {MAX_PIXELS:,} pixels; save it without tiles")


def _with_cv2(data: bytes, image: Image.Image) -> np.ndarray | None:
    """The documented steps, not yet upright; None where cv2 cannot decode these bytes faithfully."""
    plain = image.mode in ("RGB", "L") and not image.has_transparency_data
    plain &= not (image.format == "PNG" and is_deep_png(data))
    if not (_plain_bmp(data) if image.format == "BMP" else plain and image.format in _FOR_CV2):
        return None
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if bgr is None or bgr.shape[:2] != (image.height, image.width):
        return None
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _plain_bmp(data: bytes) -> bool:
    """Whether a BMP has a palette or whole bytes of blue, green and red.

    Pillow gets palettes of black and white alone wrong in 4 and 8 bits; cv2, masks that say where in 16 or 32
    bits a colour stands. The rest both read alike.
    """

    def number(start: int, length: int = 4) -> int:
        return int.from_bytes(data[start : start + length], "little")

    header, masks = number(14), number(30) == 3
    if header == 12:  # of OS/2: shorter numbers, no masks
        return number(24, 2) != 16
    if header >= 56 and masks and number(28, 2) == 16 and number(66):
        raise OSError("Unsupported BMP bitfields layout: alpha in 16 bits")  # Pillow overlooks it
    return number(28, 2) != 16 and not masks


def _orientation(image: Image.Image, read: Callable[[Any], Image.Exif] | None = None) -> int:
    """What EXIF or XMP says, 1 to 8; 1 where it cannot be read, and in a HEIC, which pi-heif has turned."""
    try:
        said = (read(image) if read else image.getexif()).get(_ORIENTATION, 1)
    except Exception:  # a dozen kinds, as in _guarded, and the pixels are sound
        return 1
    return said if said in range(1, 9) else 1


def upright(pixels: np.ndarray, orientation: int, rows: int = 0) -> np.ndarray:
    """Stored pixels as EXIF's orientation, 1 to 8, turns them; `rows` is the axis of y, and x follows it."""
    columns = rows + 1
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(rows, columns)
    if orientation in (3, 4, 7, 8):
        pixels = np.flip(pixels, rows)
    if orientation in (2, 3, 6, 7):
        pixels = np.flip(pixels, columns)
    return np.ascontiguousarray(pixels)


def stored_size(file: BinaryIO, name: str) -> tuple[tuple[int, int], int]:
    """The (height, width) of a picture file's stored pixels, and its EXIF orientation, 1 to 8.

    Only the head is read; an orientation that stands behind the pixels, as in some PNGs, is not seen.
    """
    with _guarded(name), _opened(file) as image:
        _check_size(image, name)
        tags = getattr(image, "tag_v2", {})  # of a TIFF, whose height and width Pillow has turned already
        size = (int(tags.get(_LENGTH, image.height)), int(tags.get(_WIDTH, image.width)))
        return size, _orientation(image, Image.Image.getexif)  # a PNG's own would decode it


def encoded(suffix: str, image: np.ndarray, options: tuple[int, ...] = ()) -> bytes:
    """An image as the bytes of a ".png" or ".jpg" file; `options` are cv2's.

    It is uint8 (H, W, 3) RGB or (H, W, 4) RGBA; or uint8 or uint16 (H, W).
    """
    if image.ndim == 3:
        image = cv2.cvtColor(image, {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[image.shape[2]])
    return cv2.imencode(suffix, image, options)[1].tobytes()
