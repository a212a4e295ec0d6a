"""A whole file in COCO's format: categories, pictures with their annotations, and what is wrong with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._shared.memory import collector_paused
from ..errors import DatasetError, quoted
from .coco_annotations import BoxesOnly, read_annotations
from .coco_file import Categories, read_categories, read_json, stated_keys
from .coco_pictures import Picture, read_pictures
from .coco_turns import settle_turns
from .findings import Fault, Findings


@dataclass(frozen=True)
class CocoContent:
    """What of a file can be used.

    Attributes:
        categories: Names and numbers.
        pictures: At least one, in the order of the file.
        used: How much of it this is, for a message.
    """

    categories: Categories
    pictures: list[Picture]
    used: str


def read_coco(folder: Path, file: Path, boxes_only: BoxesOnly, findings: Findings) -> CocoContent:
    """Read a JSON file and find its pictures.

    Args:
        folder: Where the pictures are.
        file: The JSON file.
        boxes_only: "fill" takes a box without an outline as one.
        findings: What is wrong is added here.

    Raises:
        DatasetError: Nothing of it can be used.
    """
    with collector_paused():
        lists = read_json(file, findings.name)
        if not folder.is_dir():
            raise DatasetError(f"{findings.name}: {quoted(folder)} is no folder; give that of the pictures")
        rows = lists["annotations"]
        categories = read_categories(lists["categories"], stated_keys(rows, "category_id"), findings)
        pictures, by_id = read_pictures(lists["images"], folder, findings)
        if not pictures:
            raise findings.refuse("no picture is left")
        settle_turns(pictures, by_id, rows, findings)
        count = read_annotations(rows, by_id, categories.labels, boxes_only, findings)
        if rows and not count:
            raise findings.refuse("no annotation is left")
    annotations, images = f"{count} of {len(rows)} annotations", f"{len(pictures)} of {len(lists['images'])}"
    return CocoContent(categories, pictures, f"{annotations} and {images} pictures are used")


def encoded_masks(picture: Picture, findings: Findings) -> list[dict[str, Any]]:
    """Each annotation's mask as run lengths; annotations that do not decode are taken out of the picture."""
    encoded, good = [], []
    for row in picture.annotations:
        rle = row.outline.rle(picture.outlined_size)
        if rle is None:
            findings.add(Fault.RLE_DAMAGED, f"annotation {row.id}")
        else:
            encoded.append(rle)
            good.append(row)
    picture.annotations = good
    return encoded
