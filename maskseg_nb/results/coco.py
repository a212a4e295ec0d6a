"""What was found in COCO's two formats: lists of results, and annotations with RLE or polygons."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from ..data.coco_writer import Found, coco_categories, coco_head
from ..data.rle import decode_masks
from ..mask_rcnn.instances import Instances, instance_rles
from .polygons import rings_without_holes


def write_coco_results(
    file: TextIO, pictures: Callable[[], Iterable[Found]], categories: tuple[str, ...]
) -> None:
    """Write what was found in some pictures in COCO's format, picture by picture.

    Args:
        file: Where to.
        pictures: Called twice, for the pictures in their order: file name, (height, width), and what
            `coco_entries` gives.
        categories: Names indexed by label, [0] the background.
    """
    file.write(json.dumps(coco_head("Instances that a Mask R-CNN found"))[:-1] + ', "images": [')
    for number, (name, (height, width), _) in enumerate(pictures(), 1):
        image = {"id": number, "file_name": name, "height": height, "width": width}
        file.write((", " if number > 1 else "") + json.dumps(image))
    file.write('], "annotations": [')
    count, used = 0, set()
    for number, (_, _, entries) in enumerate(pictures(), 1):
        for entry in entries:
            count += 1
            used.add(entry["category_id"])
            annotation = {"id": count, "image_id": number, **entry}
            file.write((", " if count > 1 else "") + json.dumps(annotation))
    # COCO's own models have ten categories of this name, in the gaps of COCO's numbers.
    named = [row for row in coco_categories(categories) if row["name"] != "N/A" or row["id"] in used]
    file.write(f'], "categories": {json.dumps(named)}}}')


def coco_entries(instances: Instances) -> list[dict[str, Any]]:
    """Instances as entries of COCO's list of annotations, all but `id` and `image_id`."""
    entries = []
    for index, rle in enumerate(instance_rles(instances)):
        x1, y1, x2, y2 = instances.boxes[index].tolist()
        entries.append(
            {
                "category_id": int(instances.labels[index]),
                "score": float(instances.scores[index]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": int(instances.areas[index]),
                "iscrowd": 0,
                "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
            }
        )
    return entries


def as_polygons(entry: dict[str, Any]) -> dict[str, Any]:
    """One of `coco_entries` with polygons in place of RLE: the same pixels.

    COCO's polygons have no holes: a region with a hole becomes two that meet in a cut across it.
    """
    rle = entry["segmentation"]
    height, width = rle["size"]
    (mask,) = decode_masks([rle], (height, width))
    return {**entry, "segmentation": [ring.ravel().tolist() for ring in rings_without_holes(mask)]}
