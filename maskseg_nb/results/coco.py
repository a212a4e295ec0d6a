"""What was found in COCO's format: annotations with masks as RLE or polygons."""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TextIO

from ..data.coco_writer import coco_categories, coco_head
from ..data.rle import as_json, decode_masks, x_y_sides
from ..mask_rcnn.instances import Instances, instance_rles
from .polygons import rings_without_holes


class CocoImage(NamedTuple):
    """One image of a results file.

    Attributes:
        file_name: What the file calls it.
        size: (height, width) in pixels.
        entries: As `coco_entries` returns, or each through `as_polygons`.
    """

    file_name: str
    size: tuple[int, int]
    entries: list[dict[str, Any]]


def write_coco_results(
    file: TextIO, images: Callable[[], Iterable[CocoImage]], categories: tuple[str, ...]
) -> None:
    """Write what was found in some images in COCO's format, image by image.

    Args:
        file: An open text file.
        images: Called twice for the images in their order, which are never all in memory.
        categories: Names indexed by label, [0] the background.
    """
    file.write(json.dumps(coco_head("Instances that a Mask R-CNN found"))[:-1] + ', "images": [')
    for number, (name, (height, width), _) in enumerate(images(), 1):
        image = {"id": number, "file_name": name, "height": height, "width": width}
        file.write((", " if number > 1 else "") + json.dumps(image))
    file.write('], "annotations": [')
    count, used = 0, set()
    for number, (_, _, entries) in enumerate(images(), 1):
        for entry in entries:
            count += 1
            used.add(entry["category_id"])
            annotation = {"id": count, "image_id": number, **entry}
            file.write((", " if count > 1 else "") + json.dumps(annotation))
    # COCO's own models have ten categories of this name, in the gaps of COCO's numbers.
    named = [row for row in coco_categories(categories) if row["name"] != "N/A" or row["id"] in used]
    file.write(f'], "categories": {json.dumps(named)}}}')


def coco_entries(instances: Instances) -> list[dict[str, Any]]:
    """Instances as entries of COCO's list of annotations, highest score first.

    Returns:
        M dictionaries with COCO's keys except `id` and `image_id`: `bbox` is x, y, width, height in pixels,
        `area` the mask's pixels, `segmentation` its run lengths. Two keys are not COCO's: `score`, [0, 1],
        and `instance`, its number, which an `id` cannot be: no two in a file may have the same.
    """
    boxes, areas = x_y_sides(instances.boxes).tolist(), instances.areas.tolist()
    return [
        {
            "instance": int(instances.numbers[row]),
            "category_id": int(instances.labels[row]),
            "score": float(instances.scores[row]),
            "bbox": boxes[row],
            "area": areas[row],
            "iscrowd": 0,
            "segmentation": as_json(rle),
        }
        for row, rle in enumerate(instance_rles(instances))
    ]


def as_polygons(entry: dict[str, Any]) -> dict[str, Any]:
    """One of `coco_entries` with polygons in place of RLE: x y x y ... in pixels, around the same pixels.

    COCO's polygons have no holes: a region with a hole becomes two that meet in a cut across it.
    """
    rle = entry["segmentation"]
    height, width = rle["size"]
    (mask,) = decode_masks([rle], (height, width))
    return {**entry, "segmentation": [ring.ravel().tolist() for ring in rings_without_holes(mask)]}
