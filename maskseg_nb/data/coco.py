"""A folder of pictures with a JSON file in COCO's format, as a dataset."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .._shared.memory import check_fits, collector_paused
from ..errors import DatasetError, quoted
from .coco_annotations import BoxesOnly, read_annotations
from .coco_categories import read_categories
from .coco_json import read_json, stated_keys
from .coco_pictures import Annotation, Picture, read_pictures
from .coco_turns import settle_turns, turned_boxes, turned_masks
from .findings import Fault, Findings
from .images import load_image
from .rle import decode_masks
from .truth import Truth, boxes_fit


class CocoDataset:
    """A folder of pictures and a JSON file in COCO's format, as annotation tools export it.

    What can be read without doubt is read: numbers written as text, polygons without their outer brackets,
    file names of another machine, outlines on photographs that EXIF turns. What cannot is left out, with one
    warning that counts each kind and names the first. In training, an annotation left out is background.

    Args:
        images: The folder with the pictures.
        annotations: The JSON file: `images`, `annotations` with polygons or RLE, `categories`.
        boxes_only: What becomes of a box without an outline: "skip" leaves it out, "fill" makes it the mask.
        strict: Raise an error instead of the warning. All masks are decoded for it, which takes longer.

    Attributes:
        categories: Names indexed by label, [0] the background; without the gaps of COCO's numbers.
        category_ids: COCO's number of each label; [0] is 0, the background's.
        image_ids: COCO's number of each picture, in the order of the file.
        faults: Kind -> how many were left out or read with a change when the file was opened.

    Raises:
        DatasetError: A file is missing or not in COCO's format, or nothing in it can be used; with `strict`,
            anything in it cannot. The message counts each kind; the exception's note names the first.
        ValueError: `boxes_only` is neither.
    """

    def __init__(
        self,
        images: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        *,
        boxes_only: BoxesOnly = "skip",
        strict: bool = False,
    ) -> None:
        if boxes_only not in ("skip", "fill"):
            raise ValueError(f'boxes_only must be "skip" or "fill", got {quoted(boxes_only)}')
        self.folder = Path(images)
        self.name = quoted(Path(annotations).name)
        findings = Findings(self.name)
        with collector_paused():
            used = self._read(Path(annotations), boxes_only, findings)
        self.image_ids = tuple(int(picture.id) for picture in self._pictures)
        if strict:
            for picture in self._pictures:
                _encoded_masks(picture, findings)
            if findings:
                raise findings.refuse("not read, because strict=True")
        self.faults = {str(fault): count for fault, count in findings.counts.items()}
        findings.warn(used, stacklevel=2)

    def _read(self, file: Path, boxes_only: BoxesOnly, findings: Findings) -> str:
        """Read the JSON file and find its pictures; return how much of it can be used, for a message."""
        lists = read_json(file, self.name)
        if not self.folder.is_dir():
            raise DatasetError(f"{self.name}: {quoted(self.folder)} is not a folder; give the pictures' own")
        rows = lists["annotations"]
        categories = read_categories(lists["categories"], stated_keys(rows, "category_id"), findings)
        self.categories, self.category_ids = categories.names, categories.ids
        self._pictures, by_id = read_pictures(lists["images"], self.folder, findings)
        if not self._pictures:
            raise findings.refuse("no picture is left")
        settle_turns(self._pictures, by_id, rows, findings)
        count = read_annotations(rows, by_id, categories.labels, boxes_only, findings)
        if rows and not count:
            raise findings.refuse("no annotation is left")
        images = f"{len(self._pictures)} of {len(lists['images'])}"
        return f"{count} of {len(rows)} annotations and {images} pictures are used"

    def __len__(self) -> int:
        return len(self._pictures)

    def __iter__(self) -> Iterator[tuple[np.ndarray, Truth]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        counts = sum(len(picture.annotations) for picture in self._pictures)
        return f"CocoDataset({len(self)} pictures, {counts} instances, {len(self.categories) - 1} categories)"

    def counts(self) -> dict[str, int]:
        """Category -> how many instances, without crowds."""
        rows = (row for picture in self._pictures for row in picture.annotations)
        found = Counter(row.label for row in rows if not row.crowd)
        return {name: found[label] for label, name in enumerate(self.categories) if label}

    def path(self, index: int) -> Path:
        """The path of a picture's file."""
        return Path(self._pictures[index].path)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Truth]:
        """An image, uint8 (H, W, 3) RGB, and its ground truth.

        Raises:
            IndexError: There is no such picture.
            ImageError: The file cannot be read.
            DatasetError: It has another size than when the dataset was opened.
            MasksegError: Its masks would not fit into memory.
        """
        picture = self._pictures[index]
        image, (height, width) = load_image(picture.path), picture.head.upright
        if image.shape[:2] != (height, width):
            raise DatasetError(
                f"{self.name}: image {picture.id} ({quoted(picture.name, 60)}) had {width} x {height} pixels "
                f"when the dataset was opened, now {image.shape[1]} x {image.shape[0]}; open it again"
            )
        return image, self.truth(index)

    def truth(self, index: int) -> Truth:
        """A picture's ground truth, and errors, as `dataset[index]`; the picture itself is not read."""
        picture = self._pictures[index]
        height, width = picture.outlined_size
        count = len(picture.annotations)
        check_fits(count * height * width, f"{count} masks of {height} x {width}", "shrink it")
        findings = Findings(self.name)
        encoded = _encoded_masks(picture, findings)
        findings.warn(f"image {picture.id} is read without them", stacklevel=2)
        rows = picture.annotations
        masks = decode_masks(encoded, picture.outlined_size)
        boxes = _boxes(rows, encoded, picture.outlined_size)
        areas = [mask.sum() if row.area is None else row.area for row, mask in zip(rows, masks, strict=True)]
        return Truth(
            boxes=turned_boxes(boxes, picture.head) if picture.turned else boxes,
            labels=np.array([row.label for row in rows], np.int64),
            masks=turned_masks(masks, picture.head.orientation) if picture.turned else masks,
            crowd=np.array([row.crowd for row in rows], bool),
            areas=np.array(areas, np.float64),
            ids=np.array([row.id for row in rows], np.int64),
            categories=self.categories,
            image_id=int(picture.id),
        )


def _encoded_masks(picture: Picture, findings: Findings) -> list[dict[str, Any]]:
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


def _boxes(rows: list[Annotation], encoded: list[dict[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """The stated boxes, x1 y1 x2 y2; where none is stated, or one beside its outline, the outline's own.

    A box stated as two corners, where COCO has a corner, width and height, gives way to the outline's, too.
    """
    boxes = np.zeros((len(rows), 4))
    for number, (row, rle) in enumerate(zip(rows, encoded, strict=True)):
        seen = _corners(coco_mask.toBbox(rle))
        boxes[number] = own = seen if (corners := row.outline.corners_box(size)) is None else corners
        if row.box is not None:
            stated = _corners(row.box)
            off, off_as_corners = np.abs(stated - own).max(), np.abs(row.box - own).max()
            if boxes_fit(stated[None], seen[None], size).all() and not (off > 1 >= off_as_corners):
                boxes[number] = stated
    return boxes


def _corners(box: Sequence[float] | np.ndarray) -> np.ndarray:
    """x, y, width, height as x1, y1, x2, y2."""
    x, y, width, height = box
    return np.array([x, y, x + width, y + height], np.float64)
