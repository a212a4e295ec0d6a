"""Masks as polygons along the edges of their pixels: exact, with their holes, and valid for shapely."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Polygon:
    """A region of a mask: one outer ring, and a ring around each hole. Each passes any point only once.

    Attributes:
        outer: int64 (K, 2), x y in pixels, corners of the mask's pixels: a mask of the one pixel at row 0,
            column 0 has the corners (0, 0), (1, 0), (1, 1) and (0, 1). The last corner joins the first.
            Counter-clockwise where y points up, as GeoJSON wants it; clockwise to the eye in an image, where
            y points down.
        holes: Rings of the same kind, the other way round.
    """

    outer: np.ndarray
    holes: tuple[np.ndarray, ...]


def polygons(mask: np.ndarray, corner: tuple[int, int] = (0, 0)) -> list[Polygon]:
    """Trace a mask's regions by cv2.findContours. Pixels that touch only at a corner belong to two regions.

    Args:
        mask: bool (h, w); without a pixel inside it has no region.
        corner: Top and left of the mask in the image, in pixels.
    """
    rings = (_rings(region, at) for region, at in _regions(mask, corner))
    return [Polygon(outer, tuple(holes)) for outer, *holes in rings]


def rings_without_holes(mask: np.ndarray, corner: tuple[int, int] = (0, 0)) -> list[np.ndarray]:
    """Trace a mask in outer rings alone, for formats without holes: a region with one is cut across it.

    Args:
        mask, corner: As in `polygons`.

    Returns:
        Rings as `Polygon.outer`; they overlap nowhere, and together they are the mask exactly.
    """
    rings = []
    for region, (top, left) in _regions(mask, corner):
        outer, *holes = _rings(region, (top, left))
        if not holes:
            rings.append(outer)
            continue
        edges = sorted(int(hole[:, 0].min()) - left for hole in holes)
        cut = edges[len(edges) // 2]  # the middle one: so the recursion stays flat
        rings += rings_without_holes(region[:, :cut], (top, left))
        rings += rings_without_holes(region[:, cut:], (top, left + cut))
    return rings


def _regions(mask: np.ndarray, corner: tuple[int, int]) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Each region of a mask alone, bool (h, w), and its top and left in the image."""
    if not mask.any():
        return
    pixels = mask.astype(np.uint8)
    x, y, width, height = cv2.boundingRect(pixels)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(
        pixels[y : y + height, x : x + width], connectivity=4
    )
    for label, (left, top, width, height, _) in enumerate(boxes.tolist()[1:], 1):
        region = labels[top : top + height, left : left + width] == label
        yield region, (corner[0] + y + top, corner[1] + x + left)


def _rings(region: np.ndarray, corner: tuple[int, int]) -> list[np.ndarray]:
    """The outer ring of one region, then those of its holes.

    The pixels of a region join at their sides, so findContours' rings pass no point twice: where two pixels
    touch only at a corner, the contour goes from one to the other, and the outer ring meets a hole there.
    """
    # Twice as large, each pixel is 2 x 2, and the contour runs through those at its edge: halved and rounded
    # up, their places are the pixel's own corners.
    twice = cv2.resize(region.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    found, hierarchy = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [_corners((ring[:, 0].astype(np.int64) + 1) // 2) + corner[::-1] for ring in found]
    is_hole = hierarchy[0, :, 3] >= 0
    # findContours turns outer rings and holes the other way than GeoJSON wants them.
    return [rings[row][::-1] for row in np.argsort(is_hole, kind="stable")]


def _corners(ring: np.ndarray) -> np.ndarray:
    """A closed ring without repeated points and without those on a straight line."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0
    return ring[(turns != 0) | back]
