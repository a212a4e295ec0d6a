"""The annotations of a COCO file: each a label and an outline, or left out for a reason that has a name."""

from collections.abc import Iterator
from typing import Any, Literal

from .coco_json import Key, key, number, whole
from .coco_pictures import Annotation, Box, Picture, Size
from .findings import Fault, Findings
from .outlines import Outline, box_polygon, read_outline

BoxesOnly = Literal["skip", "fill"]


def read_annotations(
    rows: list[Any],
    pictures: dict[Key, Picture | None],
    labels: dict[Key, int | None],
    boxes_only: BoxesOnly,
    findings: Findings,
) -> int:
    """Give every annotation in `rows` that can be used to its picture; return how many these are.

    `pictures` and `labels` say what an image_id and a category_id lead to: None where that was left out, and
    its annotations go with it, through no fault of their own. What is wrong is added to `findings`.
    """
    count = 0
    for own_id, where, row in _entries(rows, findings):
        image_id, category_id = key(row.get("image_id")), key(row.get("category_id"))
        if image_id is None or image_id not in pictures:
            findings.add(Fault.NO_IMAGE, where)
            continue
        if category_id is None or category_id not in labels:
            findings.add(Fault.NO_CATEGORY, where)
            continue
        picture, label = pictures[image_id], labels[category_id]
        if picture is None or label is None:
            continue
        box = _box(row.get("bbox"))
        outline = _outline(row.get("segmentation"), box, picture.outlined_size, boxes_only)
        if isinstance(outline, Fault):
            findings.add(outline, where)
            continue
        if outline.stray:
            findings.add(Fault.STRAY_POINTS, where)
        area, crowd = _area(row.get("area"), picture.outlined_size), _is_crowd(row.get("iscrowd"))
        picture.annotations.append(Annotation(own_id, label, outline, box, area, crowd))
        count += 1
    return count


def _entries(rows: list[Any], findings: Findings) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, name in messages and content of each entry; numbered from 1 if one has no id of its own."""
    ids = [whole(row.get("id")) if isinstance(row, dict) else None for row in rows]
    if None not in ids and len(set(ids)) == len(ids):
        for own_id, row in zip(ids, rows, strict=True):
            yield int(own_id or 0), f"annotation {own_id}", row
        return
    first: dict[int, dict[str, Any]] = {}
    single, good = [], True
    for position, (own_id, row) in enumerate(zip(ids, rows, strict=True)):
        where = f"annotations[{position}]"
        if not isinstance(row, dict):
            findings.add(Fault.NO_ENTRY, where)
            continue
        before = first.setdefault(own_id, row) if own_id is not None else None
        if before is not row:
            if before == row:
                continue  # the same annotation once more
            findings.add(Fault.RENUMBERED, where)
            good = False
        single.append((position + 1, own_id, where, row))
    for place, own_id, where, row in single:
        yield (own_id, f"annotation {own_id}", row) if good and own_id is not None else (place, where, row)


def _outline(segmentation: Any, box: Box | None, size: Size, boxes_only: BoxesOnly) -> Outline | Fault:
    outline = read_outline(segmentation, size)
    if outline is not Fault.NO_OUTLINE or box is None or min(box[2:]) <= 0:
        return outline
    return read_outline([box_polygon(*box)], size) if boxes_only == "fill" else Fault.BOX_ONLY


def _box(stated: Any) -> Box | None:
    """x, y, width, height; None where it says something else."""
    if not isinstance(stated, list) or len(stated) != 4:
        return None
    x, y, width, height = map(number, stated)
    if x is None or y is None or width is None or height is None or min(width, height) < 0:
        return None
    return x, y, width, height


def _area(stated: Any, size: Size) -> float | None:
    area = number(stated)
    return area if area is not None and 0 <= area <= size[0] * size[1] else None


def _is_crowd(stated: Any) -> bool:
    return stated is True or whole(stated) not in (None, 0)
