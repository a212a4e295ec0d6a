"""Masks as polygons along the edges of their pixels: exact, holes and all."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Polygon:
    """A region of a mask: one outer ring, and a ring around each hole.

    Attributes:
        outer: int64 (K, 2), x y in pixels, corners of the mask's pixels: a mask of the one pixel at row 0,
            column 0 has the corners (0, 0), (1, 0), (1, 1) and (0, 1). The last corner joins the first.
        holes: Rings of the same kind.
    """

    outer: np.ndarray
    holes: tuple[np.ndarray, ...]


def polygons(mask: np.ndarray, corner: tuple[int, int] = (0, 0)) -> list[Polygon]:
    """A mask's regions as polygons. Pixels that touch at a corner only are of one region.

    Args:
        mask: bool (h, w).
        corner: Top and left of the mask in the picture, in pixels.

    Returns:
        A Polygon a region, by cv2.findContours; none for an empty mask.
    """
    if not mask.any():
        return []
    # Twice as large, each pixel is 2 x 2, and the contour runs through those at its edge: halved and rounded
    # up, their places are the pixel's own corners.
    twice = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    rings, hierarchy = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lattice = [_corners((ring[:, 0].astype(np.int64) + 1) // 2) + corner[::-1] for ring in rings]
    parents = hierarchy[0, :, 3]
    return [
        Polygon(ring, tuple(lattice[hole] for hole in np.flatnonzero(parents == index)))
        for index, ring in enumerate(lattice)
        if parents[index] < 0
    ]


def _corners(ring: np.ndarray) -> np.ndarray:
    """A closed ring without repeated points, and without those that lie on a straight line."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0
    return ring[(turns != 0) | back]
