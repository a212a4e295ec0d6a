"""Text on images: tags that keep clear of each other, and notes."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .._shared.checks import check_image
from .colors import Color


class Tag(NamedTuple):
    """A text that stands on (x, y), in pixels; or below, but with its top at `lowest` at most."""

    text: str
    x: int
    y: int
    lowest: int
    color: Color


def tag_boxes(image: np.ndarray, tags: Sequence[tuple[np.ndarray, str, Color]]) -> np.ndarray:
    """Write tags at the upper left corners of boxes, the first ones first, on a copy of an image.

    Each is a box, x1 y1 x2 y2 in pixels, a short text and a colour. TypeError or ValueError where the image
    is not uint8 (H, W, 3), RGB.
    """
    check_image(image)
    drawn = image.copy()
    placed = [Tag(text, int(x1), int(y1), int(y2), color) for (x1, y1, _, y2), text, color in tags]
    paste_tags(drawn, placed, max(12, round(max(image.shape) / 45)))
    return drawn


def paste_tags(drawn: np.ndarray, tags: Sequence[Tag], size: int, centred: bool = False) -> None:
    """Write tags into `drawn` itself, uint8 (H, W, 3), RGB, the first ones first.

    Each moves down where another already is, and stays within the image's edges; where a text is empty there
    is none. `size` is of the letters, in pixels; `centred` makes x a tag's middle, not its left edge.
    """
    taken: list[tuple[int, int, int, int]] = []
    for text, x, y, lowest, color in tags:
        if not text:
            continue
        tag = text_tag(text, size, color)
        height, width = min(tag.shape[0], drawn.shape[0]), min(tag.shape[1], drawn.shape[1])
        left = min(max(x - (width // 2 if centred else 0), 0), drawn.shape[1] - width)
        top = min(max(y - height, 0), drawn.shape[0] - height)
        lowest = min(max(lowest, top), drawn.shape[0] - height)
        while any(_overlap((top, left, height, width), other) for other in taken) and top < lowest:
            top = min(top + height, lowest)
        taken.append((top, left, height, width))
        drawn[top : top + height, left : left + width] = tag[:height, :width]


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def draw_note(image: np.ndarray, text: str) -> np.ndarray:
    """Write plain text across the foot of a copy of an image, white on a dark band, wrapped to its width.

    TypeError or ValueError where the image is not uint8 (H, W, 3), RGB.
    """
    check_image(image)
    font = _font(max(14, image.shape[1] // 32))
    lines, limit = [""], image.shape[1] - 24
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > limit:
            lines.append(word)
        else:
            lines[-1] = longer
    height = min(image.shape[0], round(1.4 * font.size) * len(lines) + 16)
    noted = image.copy()
    noted[-height:] = noted[-height:] // 4
    canvas = Image.fromarray(noted)
    draw = ImageDraw.Draw(canvas)
    draw.multiline_text((12, image.shape[0] - height + 8), "\n".join(lines), "white", font, spacing=4)
    return np.array(canvas)


@lru_cache(maxsize=512)
def text_tag(text: str, size: int, color: tuple[int, int, int]) -> np.ndarray:
    """Plain text on a colour, black or white, whichever reads better; `size` is of the letters, in pixels.

    Returns uint8 (h, w, 3), RGB, as large as the text needs; it is cached: copy before you draw into it.
    """
    font = _font(size)
    width, height = round(font.getlength(text)) + size // 2 + 4, round(1.4 * size) + 2
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    tag = Image.new("RGB", (width, height), color)
    draw = ImageDraw.Draw(tag)
    draw.text((width / 2, height / 2), text, "black" if luminance > 128 else "white", font, anchor="mm")
    draw.rectangle((0, 0, width - 1, height - 1), outline="black")
    return np.array(tag)


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # type: ignore[return-value]
