"""Photographs that EXIF turns: whether their outlines lie on the stored pixels or on the upright picture.

Three things can tell. The stated size, where height and width differ. The outlines themselves, where they
reach beyond one of the two: some tools write the stored size beside outlines of the upright picture, and
where most pictures that can show it do, sizes tell nothing. And the other pictures: one tool made them all.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from .coco_json import Key, key
from .coco_pictures import Head, Picture, Size
from .codec import upright
from .findings import Fault, Findings
from .outlines import read_outline

EITHER = {False, True}  # of Picture.turned


def settle_turns(
    pictures: list[Picture], by_id: dict[Key, Picture | None], rows: list[Any], findings: Findings
) -> None:
    """Set `turned` of every picture that EXIF turns, from all pictures, what an image_id leads to, and the
    file's list of annotations.

    Where nothing tells, outlines count as drawn on the upright picture, as browsers show it, and the doubt is
    added to `findings`.
    """
    turning = [picture for picture in pictures if picture.head.orientation > 1]
    if not turning:
        return
    drawn = _outlines(by_id, rows)
    by_outline = {picture.path: _allowed(picture, drawn[picture.path]) for picture in turning}
    by_size = {picture.path: {turned for turned in EITHER if picture.may_be(turned)} for picture in turning}
    agree = [by_outline[path] & by_size[path] for path in by_size if _tells(by_outline[path], by_size[path])]
    misleading = 2 * sum(map(bool, agree)) < len(agree)  # more sizes contradict the outlines than agree
    told = {}
    for path, by_own in by_outline.items():
        first, second = (by_own, EITHER) if misleading else (by_size[path], by_own)
        told[path] = first if _tells(first) else second
    others: set[bool] = set().union(*(values for values in told.values() if _tells(values)))
    for picture in turning:
        values = told[picture.path]
        if not _tells(values) and _tells(others):
            values = others
        picture.turned = values == {True}
        if not drawn[picture.path]:
            continue
        if not _tells(values):
            findings.add(Fault.TURNED, picture.where)
        elif not values & by_size[picture.path]:
            findings.add(Fault.SWAPPED, picture.where)


def _outlines(by_id: dict[Key, Picture | None], rows: list[Any]) -> dict[str, list[Any]]:
    """Path -> each "segmentation" of a picture that EXIF turns."""
    drawn = defaultdict(list)
    for row in rows:
        image_id = key(row.get("image_id")) if isinstance(row, dict) else None
        picture = by_id.get(image_id) if image_id is not None else None
        if picture is not None and picture.head.orientation > 1:
            drawn[picture.path].append(row.get("segmentation"))
    return drawn


def _tells(*values: set[bool]) -> bool:
    return all(len(value) == 1 for value in values)


def _allowed(picture: Picture, segmentations: list[Any]) -> set[bool]:
    """Where all outlines lie in the picture; either, where they lie in none."""
    return {
        turned for turned in EITHER if all(_lies_in(drawn, picture.size(turned)) for drawn in segmentations)
    } or EITHER


def _lies_in(segmentation: Any, size: Size) -> bool:
    """Whether run lengths are of that size, and polygons not beyond it by more than a slip of the hand."""
    longest, slip = max(size), 2 + max(size) / 50
    if isinstance(segmentation, dict):
        return read_outline(segmentation, size) is not Fault.RLE_SIZE
    outline = read_outline(segmentation, (longest, longest))
    if isinstance(outline, Fault) or outline.polygons is None:
        return True
    right = max(max(polygon[::2]) for polygon in outline.polygons)
    bottom = max(max(polygon[1::2]) for polygon in outline.polygons)
    return right <= size[1] + slip and bottom <= size[0] + slip


def turned_masks(masks: np.ndarray, orientation: int) -> np.ndarray:
    """Masks on stored pixels, bool (N, H, W), as they lie on the upright picture."""
    return upright(masks, orientation, rows=1)


def turned_boxes(boxes: np.ndarray, head: Head) -> np.ndarray:
    """Boxes on stored pixels, float (N, 4), x1 y1 x2 y2, as they lie on the upright picture."""
    orientation, (height, width) = head.orientation, head.upright
    if orientation in (5, 6, 7, 8):
        boxes = boxes[:, [1, 0, 3, 2]]
    x1, y1, x2, y2 = boxes.T
    if orientation in (3, 4, 7, 8):
        y1, y2 = height - y2, height - y1
    if orientation in (2, 3, 6, 7):
        x1, x2 = width - x2, width - x1
    return np.stack([x1, y1, x2, y2], axis=1)
