"""Lines and text onto pixels. All but `paste_tags` return a new picture."""

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
        tags: A short text for each of the first boxes, as `tag_boxes` writes them.

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
    return tag_boxes(drawn, list(zip(boxes, tags, colors, strict=False))) if tags else drawn


def tag_boxes(image: np.ndarray, tags: Sequence[tuple[np.ndarray, str, Color]]) -> np.ndarray:
    """Write tags at the upper left corners of boxes, the first ones first.

    Args:
        image: uint8 (H, W, 3), RGB.
        tags: For each a box, x1 y1 x2 y2 in pixels, a short text and a colour.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    check_image(image)
    drawn = image.copy()
    places = [(int(x1), int(y1), int(y2)) for (x1, y1, _, y2), _, _ in tags]
    size = max(12, round(max(image.shape) / 45))
    paste_tags(drawn, [text for _, text, _ in tags], places, [color for _, _, color in tags], size)
    return drawn


def paste_tags(
    drawn: np.ndarray,
    texts: Sequence[str],
    places: Sequence[tuple[int, int, int]],
    colors: Sequence[Color],
    size: int,
    centred: bool = False,
) -> None:
    """Write tags into `drawn` itself, the first ones first; each moves down where another already is.

    Args:
        drawn: uint8 (H, W, 3), RGB.
        texts: Where one is empty there is no tag.
        places: x, y and the lowest top for each. It stands on (x, y) or, at an edge, as near as it fits
            whole.
        colors: One for each text.
        size: Of the letters, in pixels.
        centred: x is a tag's middle, not its left edge.
    """
    taken: list[tuple[int, int, int, int]] = []
    for text, (x, y, lowest), color in zip(texts, places, colors, strict=True):
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
