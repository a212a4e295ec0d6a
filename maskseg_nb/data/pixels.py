"""From a decoded Pillow image to RGB of 8 bits: transparency, 16 bits per sample, rare modes."""

import re

import cv2
import numpy as np
from PIL import Image

from ..errors import ImageError

DARK = 2**14  # 16-bit levels that all lie below it would come out at 63 of 255 or less: nearly black
_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANES = 0x0102, 0x0103, 0x0106, 0x011C  # TIFF tags


def to_rgb(image: Image.Image, name: str, data: bytes = b"") -> tuple[np.ndarray, str]:
    """Any loaded 8- or 16-bit Pillow image as RGB, not yet upright, transparency laid on white.

    `data` are the file's bytes, where they are known: of 16 bits of colour Pillow keeps the upper 8 only.

    Returns:
        uint8 (H, W, 3), and a note for the user where levels were stretched, else "".

    Raises:
        ImageError: How its levels become colours is not known.
    """
    tags = getattr(image, "tag_v2", {})
    ordinary = tags.get(_PHOTOMETRIC, 1) == 1 and tags.get(_BITS, (16,)) == (16,)  # 0 is white, 12 is dark
    if ordinary and (image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")):
        levels = np.asarray(image)
        bits = _used_bits(levels) if _is_deep(image, data) else 16
        return np.stack([_to_8_bits(levels, bits)] * 3, axis=-1), _note(name, bits)
    if image.mode not in _MODES:
        raise ImageError(
            f"{name} has pixels of kind {image.mode!r} whose colours in 8 bits are not known; "
            "save it as an 8-bit JPEG or PNG"
        )
    if tags.get(_PLANES) == 2 and (
        image.mode in ("LA", "La") or (16 in tags.get(_BITS, ()) and tags.get(_COMPRESSION) == 1)
    ):  # Pillow 13 reads these wrong, without an error
        raise ImageError(f"{name} keeps its colours in separate planes; save it as an 8-bit PNG")
    if image.mode == "La":  # La, alpha multiplied in, converts to nothing else
        image = image.convert("LA")
    pixels, note = np.array(image.convert("RGBA" if image.has_transparency_data else "RGB")), ""
    if _is_deep(image, data) and pixels[..., :3].max() <= DARK >> 8:
        pixels, note = _stretched(pixels, data, name)
    if pixels.shape[2] == 3:
        return pixels, note
    if image.format == "BMP" and not pixels[..., 3].any():  # a byte left empty: many programs, all browsers
        return np.ascontiguousarray(pixels[..., :3]), note
    return on_white(pixels), note


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Lay a uint8 (H, W, 4) array on white: uint8 (H, W, 3)."""
    image = Image.fromarray(np.ascontiguousarray(rgba))
    white = Image.new("RGBA", image.size, "white")
    return np.array(Image.alpha_composite(white, image).convert("RGB"))


# Levels of 10, 12 or 14 bits in 16


def _used_bits(levels: np.ndarray) -> int:
    """16, or as many as the brightest level takes, where it is below DARK."""
    brightest = int(levels.max())
    return brightest.bit_length() if 0 < brightest < DARK else 16


def _to_8_bits(levels: np.ndarray, bits: int) -> np.ndarray:
    """0 .. 2^bits - 1 as 0 .. 255; of 16 bits the upper 8, as everywhere."""
    if bits == 16:
        return (levels >> 8).astype(np.uint8)
    return np.rint(np.arange(2**bits) * (255 / (2**bits - 1))).astype(np.uint8)[levels]


def _note(name: str, bits: int) -> str:
    if bits == 16:
        return ""
    return (
        f"{name} uses {bits} of its 16 bits and would be nearly black; "
        f"its levels 0 to {2**bits - 1:,} are stretched to 0 to 255"
    )


def _is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether it has 16 bits per sample, and does not say which of them are used."""
    if image.format == "PNG" and data:
        return is_deep_png(data)
    if image.format == "PPM":  # a header of whole numbers, comments between them; the fourth is white
        return re.sub(rb"#[^\r\n]*", b"", data[:1000]).split()[3:4] == [b"65535"]
    bits = getattr(image, "tag_v2", {}).get(_BITS, ())
    return set(bits) == {16} if image.format == "TIFF" else image.format in ("PNG", None)


def is_deep_png(data: bytes) -> bool:
    """Whether a PNG's header states 16 bits per sample."""
    return data[24:25] == b"\x10"


def _stretched(upper: np.ndarray, data: bytes, name: str) -> tuple[np.ndarray, str]:
    """All 16 bits of what Pillow read the upper 8 of, stretched: uint8 (H, W, 3 or 4), and the note."""
    levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    order = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[upper.shape[2]]
    if levels is not None and levels.dtype == np.uint16 and levels.shape == upper.shape:
        samples = cv2.cvtColor(levels, order).astype(np.uint16)
        if np.abs((samples >> 8).astype(np.int16) - upper).max() <= 1:  # two readers saw the same
            bits = _used_bits(samples[..., :3])
            if bits == 16:
                return upper, ""
            stretched = _to_8_bits(samples[..., :3], bits)
            if upper.shape[2] == 4:
                alpha = samples[..., 3:]
                stretched = np.concatenate([stretched, _to_8_bits(alpha, _used_bits(alpha))], axis=-1)
            return stretched, _note(name, bits)
    raise ImageError(
        f"{name} has 16 bits per sample, of which 8 would be nearly black; save it as an 8-bit PNG"
    )
