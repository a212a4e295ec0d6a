"""Any dataset as a folder in COCO's format."""

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .._shared.files import new_folder
from ..errors import DatasetError, cannot_write, quoted
from .checked_dataset import category_names
from .coco import CocoDataset
from .codec import encoded
from .datasets import Dataset
from .rle import as_json, encode_masks, x_y_sides
from .truth import Truth


def write_coco(dataset: Dataset, folder: str | os.PathLike[str], *, progress: bool = True) -> CocoDataset:
    """Store a dataset as `images/000000.png` and so on, and `instances.json` with masks as RLE.

    The folder appears whole or not at all: it is written under another name and then renamed.

    Args:
        dataset: Pictures with their ground truth. Annotations are numbered from 1; those whose mask has no
            pixel are left out, with a warning. A picture whose number is taken gets another.
        folder: A new folder; its parent exists.
        progress: Show a progress bar.

    Returns:
        The stored dataset, opened.

    Raises:
        DatasetError: `folder` exists already or cannot be written, or the categories' names cannot be read
            again.
        TypeError: The categories are not names, or `dataset` is no dataset.
    """
    target, categories = Path(folder), category_names(dataset)
    if target.exists():
        raise DatasetError(f"{quoted(target)} exists already; give a new folder")
    try:
        partial = new_folder(target.parent, f".{target.name}-", ".partial")
        try:
            empty = _write(dataset, categories, partial, progress)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise DatasetError(cannot_write(target, error)) from None
    if empty:
        warnings.warn(
            f"left out {empty} annotations without a pixel in their mask; outline them again", stacklevel=2
        )
    return CocoDataset(target / "images", target / "instances.json")


def coco_annotations(truth: Truth) -> Iterator[dict[str, Any]]:
    """An image's ground truth as entries of COCO's list of annotations, all but `id` and `image_id`."""
    boxes = x_y_sides(truth.boxes).tolist()
    for row, rle in enumerate(encode_masks(truth.masks)):
        yield {
            "category_id": int(truth.labels[row]),
            "bbox": boxes[row],
            "area": float(truth.areas[row]),
            "iscrowd": int(truth.crowd[row]),
            "segmentation": as_json(rle),
        }


def coco_categories(categories: tuple[str, ...]) -> list[dict[str, Any]]:
    """COCO's list of categories, without the background."""
    return [{"id": label, "name": name} for label, name in enumerate(categories) if label]


def coco_head(what: str) -> dict[str, Any]:
    """The entries of COCO's format that are about the file itself; pycocotools insists on `info`."""
    return {"info": {"description": f"{what}, written by maskseg_nb"}, "licenses": []}


def _write(dataset: Dataset, categories: tuple[str, ...], folder: Path, progress: bool) -> int:
    """Write the pictures and the JSON; return how many annotations, of empty masks, were left out."""
    (folder / "images").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    taken: set[int] = set()
    empty = 0
    for index in tqdm(range(len(dataset)), desc="Writing", unit="picture", disable=not progress):
        image, truth = dataset[index]
        name = f"{index:06d}.png"
        (folder / "images" / name).write_bytes(encoded(".png", image))
        height, width = truth.image_size
        image_id = int(truth.image_id)
        if image_id in taken:  # such as 0 for all: what Truth.from_masks takes where nothing is said
            image_id = max(taken) + 1
        taken.add(image_id)
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for mask, entry in zip(truth.masks, coco_annotations(truth), strict=True):
            if mask.any():
                annotations.append({"id": len(annotations) + 1, "image_id": image_id, **entry})
            else:
                empty += 1
    content = {
        **coco_head("A dataset with instance masks"),
        "images": images,
        "annotations": annotations,
        "categories": coco_categories(categories),
    }
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return empty
