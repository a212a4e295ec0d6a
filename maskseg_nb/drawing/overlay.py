"""Masks onto pixels.

Every function returns a new image and leaves its arguments as they were, but `tint`, `draw_outline` and
`draw_tags`, of which the others are made, draw into the image that they are given.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from .._shared.checks import check_fraction, check_image, kind_of
from ..mask_rcnn.instances import Instances, check_instances
from .boxes import line_width
from .colors import MAP_COLORS, instance_colors
from .tags import Tag, paste_tags

_SHADES = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)  # (256, 3): every value three times


def overlay_segmentation_mask(image: np.ndarray, masks: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """The documented overlay: join all masks, white, and blend them over the image.

    Args:
        image: uint8 (H, W, 3), RGB.
        masks: (N, 1, H, W) or (N, H, W), float probabilities in [0, 1] or bool. N may be 0.
        alpha: Weight of the masks, [0, 1]; the image's is 1 - alpha, so that it darkens outside them.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        TypeError, ValueError: An argument of another dtype, shape or range.
    """
    check_image(image)
    check_fraction("alpha", alpha)
    masks = _as_stack(masks, image.shape[:2])
    combined_mask = np.zeros_like(image)  # (H, W, 3)
    for mask in masks:
        binary = np.where(mask > 0.5, 255, 0).astype(np.uint8)  # (H, W)
        combined_mask = np.maximum(combined_mask, np.stack([binary] * 3, axis=-1))
    return cv2.addWeighted(image, 1 - alpha, combined_mask, alpha, 0)


def draw_instances(
    image: np.ndarray,
    instances: Instances,
    alpha: float = 0.5,
    *,
    color_by: str = "instance",
    outline: bool = False,
    labels: bool = True,
) -> np.ndarray:
    """Colour each instance inside its mask only, the highest score on top.

    Args:
        image: uint8 (H, W, 3), RGB, of the instances' size.
        instances: What to draw.
        alpha: Weight of the colour inside a mask, [0, 1].
        color_by: "instance" (a colour each, the same whatever the thresholds) or "category".
        outline: Trace the mask's edge in the full colour, too.
        labels: Write number, category and score beside each instance, as `Instances.tags`.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        TypeError, ValueError: An argument of another dtype, shape, range or choice.
    """
    check_image(image)
    check_instances(instances)
    _check_same_size(image, instances.image_size)
    check_fraction("alpha", alpha)
    colors = instance_colors(instances, color_by)
    drawn = np.ascontiguousarray(image).copy()
    for row in reversed(range(len(instances))):  # the lowest score first
        tint(drawn, instances, row, colors[row].tolist(), alpha)
    if outline:
        for row in reversed(range(len(instances))):
            draw_outline(drawn, instances, row, colors[row].tolist())
    if labels:
        draw_tags(drawn, instances, instances.tags, colors)
    return drawn


def tint(drawn: np.ndarray, instances: Instances, row: int, color: Sequence[int], alpha: float) -> None:
    """Blend a colour over one instance's mask, in `drawn` itself.

    Args:
        drawn: uint8 (H, W, 3), RGB, of the instances' size.
        instances, row: Which mask.
        color: RGB, [0, 255].
        alpha: Weight of the colour, [0, 1].
    """
    crop, part = instances.crops[row], drawn[instances.windows[row]]
    if crop.size:
        # Blending with one colour maps each of 256 values to another: a table does it for all pixels.
        table = cv2.addWeighted(_SHADES, 1 - alpha, np.full_like(_SHADES, color), alpha, 0)
        cv2.copyTo(cv2.LUT(part, table[None]), crop.view(np.uint8), part)


def draw_outline(drawn: np.ndarray, instances: Instances, row: int, color: Sequence[int]) -> None:
    """Draw the line around one instance's mask, in `drawn` itself; arguments as of `tint`."""
    top, left = instances.corners[row].tolist()
    edges = contours(instances.crops[row])
    cv2.drawContours(drawn, edges, -1, color, line_width(drawn), cv2.LINE_AA, offset=(left, top))


def contours(mask: np.ndarray) -> list[np.ndarray]:
    """The outer edges of a mask, bool (h, w): int32 (K, 1, 2) each, x and y of neighbouring pixels."""
    if not mask.size:
        return []
    return list(cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0])


def draw_semantic_map(image: np.ndarray, class_map: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Colour each pixel by its category; the background stays as it is.

    Args:
        image: uint8 (H, W, 3), RGB.
        class_map: uint8 (H, W), as `semantic_map` returns.
        alpha: Weight of the colour, [0, 1].

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        TypeError, ValueError: An argument of another dtype, shape or range.
    """
    check_image(image)
    check_fraction("alpha", alpha)
    if not isinstance(class_map, np.ndarray) or class_map.dtype != np.uint8:
        raise TypeError(f"class_map must be uint8 category ids, got {kind_of(class_map)}")
    _check_same_size(image, class_map.shape)
    colored = np.stack([cv2.LUT(class_map, channel) for channel in MAP_COLORS.T.copy()], axis=-1)
    blended = cv2.addWeighted(image, 1 - alpha, colored, alpha, 0)
    return np.where(class_map[..., None] > 0, blended, image)


def draw_tags(drawn: np.ndarray, instances: Instances, texts: Sequence[str], colors: np.ndarray) -> None:
    """Write a tag over each mask's top into `drawn` itself, moved down where a better one's already is.

    Args:
        drawn, instances: As for `tint`.
        texts: M texts; where one is empty there is no tag.
        colors: uint8 (M, 3), RGB.
    """
    size = max(13, round(max(drawn.shape) / 42))
    lowest = instances.boxes[:, 3].astype(int).tolist()
    tags = [
        Tag(text, *highest_point(instances, row), lowest[row], tuple(colors[row].tolist()))
        for row, text in enumerate(texts)
    ]
    paste_tags(drawn, tags, size, centred=True)


def highest_point(instances: Instances, index: int) -> tuple[int, int]:
    """The middle of the mask's first row, (x, y); of the box's where the mask is empty."""
    crop, (top, left) = instances.crops[index], instances.corners[index].tolist()
    rows = crop.any(axis=1)
    if not rows.any():
        x1, y1, x2, _ = instances.boxes[index].tolist()
        return int((x1 + x2) / 2), int(y1)
    row = int(rows.argmax())
    return left + int(np.flatnonzero(crop[row]).mean()), top + row


def _as_stack(masks: np.ndarray, image_size: tuple[int, ...]) -> np.ndarray:
    """(N, 1, H, W) or (N, H, W), checked, as (N, H, W)."""
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "fb":
        raise TypeError(f"masks must be a float or bool array, got {kind_of(masks)}")
    shape = masks.shape
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    if masks.ndim != 3 or masks.shape[1:] != image_size:
        height, width = image_size
        raise ValueError(
            f"masks must be (N, 1, {height}, {width}) or (N, {height}, {width}), as the image, got {shape}"
        )
    if masks.dtype.kind == "f" and masks.size and not (masks.min() >= 0 and masks.max() <= 1):
        raise ValueError("masks must be finite probabilities in [0, 1]")
    return masks


def _check_same_size(image: np.ndarray, size: tuple[int, ...]) -> None:
    if image.shape[:2] != tuple(size):
        raise ValueError(
            f"image is {image.shape[:2]} and the masks are {tuple(size)}; draw on the image that "
            "preprocess() returned"
        )
