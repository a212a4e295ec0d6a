"""A folder of pictures with a JSON file in COCO's format, and one VOC photograph that is always there."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .._shared.memory import check_fits
from ..errors import DatasetError, quoted
from .coco_annotations import BoxesOnly
from .coco_pictures import Annotation
from .coco_reading import encoded_masks, read_coco
from .findings import Findings
from .images import load_image
from .rle import decode_masks
from .truth import Truth, boxes_fit
from .turning import turned_boxes, turned_masks


class CocoDataset:
    """A folder of pictures and a JSON file in COCO's format, as annotation tools export it.

    What can be read without doubt is read: numbers written as text, polygons without their outer brackets,
    file names of another machine, outlines on photographs that EXIF turns. What cannot is left out, with one
    warning that counts each kind and names the first. To a training, an annotation left out is background.

    Args:
        images: The folder with the pictures.
        annotations: The JSON file: `images`, `annotations` with polygons or RLE, `categories`.
        boxes_only: What becomes of a box without an outline: "skip" leaves it out, "fill" makes it the mask.
        strict: Raise an error where the warning would be. All masks are decoded for it, which takes longer.

    Attributes:
        categories: Names indexed by label, [0] the background; without the gaps of COCO's numbers.
        category_ids: COCO's number of each label; [0] is 0, the background's.
        image_ids: COCO's number of each picture, in the order of the file.
        faults: Kind -> how many, of what was left out or read with a change when the file was opened.

    Raises:
        DatasetError: A file is missing or not in COCO's format, or nothing in it can be used; with `strict`,
            anything cannot. The message counts each kind; the exception's note names the first.
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
        content = read_coco(self.folder, Path(annotations), boxes_only, findings)
        self._pictures = content.pictures
        self.categories, self.category_ids = content.categories.names, content.categories.ids
        self.image_ids = tuple(int(picture.id) for picture in self._pictures)
        if strict:
            for picture in self._pictures:
                encoded_masks(picture, findings)
            if findings:
                raise findings.refuse("not read, because strict=True")
        self.faults = {str(fault): count for fault, count in findings.counts.items()}
        findings.warn(content.used, stacklevel=2)

    def __len__(self) -> int:
        return len(self._pictures)

    def __iter__(self) -> Iterator[tuple[np.ndarray, Truth]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        counts = sum(len(picture.annotations) for picture in self._pictures)
        return f"CocoDataset({len(self)} pictures, {counts} instances, {len(self.categories) - 1} categories)"

    def counts(self) -> dict[str, int]:
        """Category -> how many instances, crowds left out."""
        found = Counter(
            annotation.label
            for picture in self._pictures
            for annotation in picture.annotations
            if not annotation.crowd
        )
        return {name: found[label] for label, name in enumerate(self.categories) if label}

    def path(self, index: int) -> Path:
        """Where a picture's file is."""
        return Path(self._pictures[index].path)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Truth]:
        """A picture, uint8 (H, W, 3) RGB, and what is in it.

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
        """What is in a picture, without reading the picture."""
        picture = self._pictures[index]
        height, width = picture.outlined_size
        count = len(picture.annotations)
        check_fits(count * height * width, f"{count} masks of {height} x {width}", "shrink it")
        findings = Findings(self.name)
        encoded = encoded_masks(picture, findings)
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


def _boxes(rows: list[Annotation], encoded: list[dict[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """The stated boxes, x1 y1 x2 y2; where none is stated, or one beside its outline, the outline's own.

    Some tools state two corners where COCO has a corner, width and height: such a box is the outline's, too.
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
