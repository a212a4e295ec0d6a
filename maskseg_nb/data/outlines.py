"""One annotation's "segmentation", in whichever way a tool writes it, as an outline or as a named fault.

COCO knows polygons, [[x, y, x, y, ...], ...], and run lengths, {"size": [H, W], "counts": ...}. Tools write
more: one polygon without the outer brackets (VIA), corners as [x, y] pairs, numbers as text, nothing at all.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .coco_json import is_blank, number, whole
from .findings import Fault
from .rle import NOT_CODED, decoded_runs

_NUMBERS = {int, float}
_FARTHEST = 1e9  # pixels
_ONE_RUN = re.compile("[P-o]*[0-O]")  # a number's last character is below "P"


@dataclass(slots=True)
class Outline:
    """Where an object is: polygons or run lengths, never both."""

    # Each x, y, x, y, ... in pixels, three points or more; together they are one object.
    polygons: list[list[float]] | None = None
    # Lengths of runs outside, inside, outside, ... column by column, as numbers or in COCO's code.
    runs: list[int] | str | None = None
    stray: bool = False  # whether parts of fewer than three points were left out

    def rle(self, size: tuple[int, int]) -> dict[str, Any] | None:
        """As COCO's run lengths for a picture of that size, (height, width); None if they do not add up."""
        if self.polygons is not None:
            merged: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(self.polygons, *size))
            return merged
        if isinstance(self.runs, list):
            coded: dict[str, Any] = coco_mask.frPyObjects({"size": list(size), "counts": self.runs}, *size)
            return coded
        runs = decoded_runs(self.runs or "")  # pycocotools fills what is missing with whatever is in memory
        if runs is None or runs.min() < 0 or runs.sum() != size[0] * size[1]:
            return None
        return {"size": list(size), "counts": self.runs}

    def corners_box(self, size: tuple[int, int]) -> np.ndarray | None:
        """The box around the corners of its polygons, as far as it lies in the picture: x1 y1 x2 y2."""
        if self.polygons is None:
            return None
        corners = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in self.polygons])
        return np.concatenate([corners.min(axis=0), corners.max(axis=0)]).clip(0, [*size[::-1], *size[::-1]])


def box_polygon(x: float, y: float, width: float, height: float) -> list[float]:
    """A box's four corners."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def read_outline(segmentation: Any, size: tuple[int, int]) -> Outline | Fault:
    """An annotation's "segmentation" on a picture of that size, (height, width); or why it says nothing."""
    if is_blank(segmentation):
        return Fault.NO_OUTLINE
    if isinstance(segmentation, list):
        if len(segmentation) > 1 or not isinstance(segmentation[0], dict):
            return _polygons(segmentation, size)
        segmentation = segmentation[0]
    return _run_lengths(segmentation, size) if isinstance(segmentation, dict) else Fault.NOT_POINTS


def _polygons(parts: list[Any], size: tuple[int, int]) -> Outline | Fault:
    if not isinstance(parts[0], list):
        parts = [parts]  # one polygon without its outer brackets
    elif all(isinstance(part, list) and len(part) == 2 for part in parts):
        parts = [parts]  # one polygon, its corners as pairs
    polygons, short = [], False
    for part in parts:
        if is_blank(part):
            continue
        numbers = _numbers(part)
        if numbers is None:
            return Fault.NOT_POINTS
        if len(numbers) < 6:
            short = True
        else:
            polygons.append(numbers)
    if not polygons:
        return Fault.FEW_POINTS
    solid = [polygon for polygon in polygons if not _is_flat(polygon)]
    if not solid:
        return Fault.NO_AREA
    return _beside(solid, size) or Outline(polygons=solid, stray=short or len(solid) < len(polygons))


def _numbers(part: Any) -> list[float] | None:
    """A polygon's x, y, x, y, ...; None where it is something else."""
    if not isinstance(part, list):
        return None
    if isinstance(part[0], list):  # corners as pairs
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in part):
            return None
        part = [value for pair in part for value in pair]
    if not set(map(type, part)) <= _NUMBERS:
        part = list(map(number, part))
        if None in part:
            return None
    try:  # NaN is neither less nor more than a limit, and stays in a sum
        good = -_FARTHEST < min(part) <= max(part) < _FARTHEST and not math.isnan(sum(part))
    except OverflowError:
        return None
    return part if good and len(part) % 2 == 0 else None


def _is_flat(polygon: list[float]) -> bool:
    """Whether all corners lie on one line."""
    x, y, x2, y2, x3, y3 = polygon[:6]
    if abs((x2 - x) * (y3 - y) - (x3 - x) * (y2 - y)) > 1e-6:
        return False  # as nearly always
    corners = np.reshape(polygon, (-1, 2)) - polygon[:2]
    across, down = corners[np.abs(corners).sum(axis=1).argmax()]
    return bool(np.allclose(corners[:, 0] * down, corners[:, 1] * across, rtol=0, atol=1e-6))


def _beside(polygons: list[list[float]], size: tuple[int, int]) -> Fault | None:
    """The fault of an outline that lies beside its picture, or reaches so far out that it is of another."""
    across = [value for polygon in polygons for value in polygon[::2]] if polygons[1:] else polygons[0][::2]
    down = [value for polygon in polygons for value in polygon[1::2]] if polygons[1:] else polygons[0][1::2]
    left, right, top, bottom = min(across), max(across), min(down), max(down)
    (height, width), longest = size, max(size)
    if 0 <= min(left, top) and max(right, bottom) <= 1 < min(size):
        return Fault.NOT_IN_PIXELS
    far = min(left, top) < -longest or max(right, bottom) > 2 * longest
    return Fault.OUTSIDE if far or right <= 0 or bottom <= 0 or left >= width or top >= height else None


def _run_lengths(segmentation: dict[str, Any], size: tuple[int, int]) -> Outline | Fault:
    counts, stated = segmentation.get("counts"), segmentation.get("size")
    if is_blank(counts):
        return Fault.NO_OUTLINE
    if not is_blank(stated) and not (isinstance(stated, list) and [*map(whole, stated)] == [*size]):
        return Fault.RLE_SIZE
    if isinstance(counts, str):
        return _coded(counts)
    if not isinstance(counts, list):
        return Fault.RLE_DAMAGED
    runs = [run for run in map(whole, counts) if run is not None and run >= 0]
    if len(runs) < len(counts):
        return Fault.RLE_DAMAGED
    if sum(runs) != size[0] * size[1]:
        return Fault.RLE_SIZE
    return Outline(runs=runs) if any(runs[1::2]) else Fault.NO_AREA


def _coded(counts: str) -> Outline | Fault:
    """Run lengths in COCO's code. Whether they add up is seen when they are decoded, which takes longer."""
    if counts.startswith("b'") and counts.endswith("'"):  # what str() makes of bytes
        counts = counts[2:-1].replace("\\\\", "\\")
    if not counts or NOT_CODED.search(counts) or counts[-1] >= "P":
        return Fault.RLE_DAMAGED
    return Fault.NO_AREA if _ONE_RUN.fullmatch(counts) else Outline(runs=counts)
