"""Lines, text and heat onto pixels. All but `paste_tag` return a new picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]  # RGB, [0, 255]

DARK: Color = (32, 36, 43)  # around a picture that does not fill its place
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


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of a picture, enlarged or shrunk.

    Attributes:
        image: uint8 (h, w, 3), RGB.
        origin: (x, y) of its upper left corner in the whole picture, in pixels; may lie outside.
        scale: Its pixels for one of the whole picture's.
    """

    image: np.ndarray
    origin: np.ndarray
    scale: float

    @classmethod
    def around(
        cls, image: np.ndarray, box: np.ndarray, size: tuple[int, int], margin: float = 0.15
    ) -> "Crop":
        """What lies around a box, in its proportions, with the box in the middle.

        Args:
            image: uint8 (H, W, 3), RGB.
            box: (4,), x1 y1 x2 y2 in pixels.
            size: (height, width) of the result; beyond the picture's edge it is dark.
            margin: Free space on each side, as a part of the result's.
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
        """Boxes (N, 4) of the whole picture in the crop's own pixels."""
        return (np.asarray(boxes).reshape(-1, 4) - np.tile(self.origin, 2)) * self.scale


def fitted(picture: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """A picture as large as it fits into (height, width), pixels as blocks, between dark edges."""
    height, width = size[:2]
    scale = min(height / picture.shape[0], width / picture.shape[1])
    inner = max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))
    method = cv2.INTER_NEAREST_EXACT if scale > 1 else cv2.INTER_AREA
    sheet = np.full((height, width, 3), DARK, np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    resized = cv2.resize(picture, (inner[1], inner[0]), interpolation=method)
    sheet[top : top + inner[0], left : left + inner[1]] = resized
    return sheet


def draw_grid(image: np.ndarray, down: float, across: float) -> np.ndarray:
    """Pale lines every `down` and every `across` pixels, from the upper left corner on."""
    lined = image.copy()
    lined[np.arange(0, image.shape[0], down).astype(int)] = 255
    lined[:, np.arange(0, image.shape[1], across).astype(int)] = 255
    return cv2.addWeighted(image, 0.6, lined, 0.4, 0)


def mask_over_crop(crop: Crop, box: np.ndarray, probs: np.ndarray, threshold: float) -> np.ndarray:
    """A box's mask probabilities, cell by cell, over its crop, and the line of the threshold.

    Args:
        crop: Around the box.
        box: (4,), x1 y1 x2 y2 in pixels of the whole picture.
        probs: float32 (M, M), [0, 1].
        threshold: Where the line runs.

    Returns:
        uint8 (h, w, 3), RGB, as `crop.image`.
    """
    height, width = crop.image.shape[:2]
    left, top, right, bottom = crop.boxes(box)[0]
    side = len(probs)
    # Cell i of the mask reaches from left + i / M to left + (i + 1) / M of the box.
    matrix = np.array([[(right - left) / side, 0, left], [0, (bottom - top) / side, top]])
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # from the corners of pixels to their centres
    cells = cv2.warpAffine(probs, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=-1)
    smooth = cv2.warpAffine(probs, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=0)
    heat = heat_map(crop.image, cells, 0.65)
    shown = np.where(cells[..., None] >= 0, heat, crop.image)
    contours, _ = cv2.findContours(
        (smooth > threshold).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    return cv2.drawContours(shown, contours, -1, (255, 255, 255), line_width(shown), cv2.LINE_AA)


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
