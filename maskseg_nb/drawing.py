"""Lines, text and heat onto pixels. All but `paste_tag` return a new picture and leave their arguments alone."""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]  # RGB, [0, 255]

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
        image: uint8 (H, W, 3), RGB.
        boxes: (N, 4), x1 y1 x2 y2 in pixels.
        colors: One for each box.
        dashed: Dashed lines, the field's sign for "before"; solid is "after".
        thickness: In pixels; None fits the picture's size.
        tags: A short text for each of the first boxes, at the upper left corner.

    Returns:
        uint8 (H, W, 3), RGB.
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
    size = max(12, round(max(image.shape) / 45))
    for text, box, color in reversed(list(zip(tags, np.asarray(boxes), colors, strict=False))):
        paste_tag(drawn, text, int(box[0]), int(box[1]), size, color)
    return drawn


def paste_tag(drawn: np.ndarray, text: str, x: int, y: int, size: int, color: Color) -> None:
    """Write a tag into `drawn` itself, standing on (x, y) or, at an edge, as near as it fits whole."""
    tag = text_tag(text, size, color)
    height, width = min(tag.shape[0], drawn.shape[0]), min(tag.shape[1], drawn.shape[1])
    left = min(max(x, 0), drawn.shape[1] - width)
    top = min(max(y - height, 0), drawn.shape[0] - height)
    drawn[top : top + height, left : left + width] = tag[:height, :width]


def heat_map(image: np.ndarray, heat: np.ndarray, alpha: float = 0.6) -> np.ndarray:
    """Lay values over a picture as colours, dark violet for 0 to yellow for 1 (matplotlib's inferno).

    Args:
        image: uint8 (H, W, 3), RGB.
        heat: float (h, w), [0, 1]: each value covers a block of the picture, the whole map all of it.
        alpha: Weight of the colours, [0, 1].

    Returns:
        uint8 (H, W, 3), RGB.
    """
    check_image(image)
    size = (image.shape[1], image.shape[0])
    blocks = cv2.resize(false_colors(heat), size, interpolation=cv2.INTER_NEAREST)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(grey, 1 - alpha, blocks, alpha, 0)


def false_colors(values: np.ndarray) -> np.ndarray:
    """float (h, w), [0, 1], as colours: uint8 (h, w, 3), RGB."""
    grey = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def mosaic(maps: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Maps beside each other, each stretched from its own least to its own greatest value.

    Args:
        maps: float (N, h, w).
        columns: How many in a row.
        gap: Cells of black between two.

    Returns:
        uint8 (rows * (h + gap) - gap, columns * (w + gap) - gap, 3), RGB.
    """
    count, height, width = maps.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    for index, values in enumerate(maps):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        span = float(values.max() - values.min()) or 1.0
        sheet[top : top + height, left : left + width] = false_colors((values - values.min()) / span)
    return sheet


def draw_note(image: np.ndarray, text: str) -> np.ndarray:
    """Write a line or more across the foot of a picture, white on a dark band.

    Args:
        image: uint8 (H, W, 3), RGB.
        text: Plain text, wrapped to the picture's width.

    Returns:
        uint8 (H, W, 3), RGB.
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


def line_width(image: np.ndarray) -> int:
    """A line's thickness in pixels that is seen and does not cover: 2 up to 800 pixels."""
    return max(2, round(max(image.shape) / 400))


@lru_cache(maxsize=512)
def text_tag(text: str, size: int, color: tuple[int, int, int]) -> np.ndarray:
    """A small picture of a text on a colour; black or white, whichever reads better on it."""
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


def _dashes(start: list[int], end: list[int], width: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The dashes around a box, in 1/16 of a pixel."""
    (x1, y1), (x2, y2) = start, end
    dash, step, dashes = 16 * DASH * width // 2, 16 * (DASH + GAP) * width // 2, []
    for x in range(x1, x2, step):
        dashes += [((x, y), (min(x + dash, x2), y)) for y in (y1, y2)]
    for y in range(y1, y2, step):
        dashes += [((x, y), (x, min(y + dash, y2))) for x in (x1, x2)]
    return dashes


def check_image(image: np.ndarray) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        got = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"image must be a uint8 array, got {got}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image must have shape (H, W, 3), got {image.shape}")
