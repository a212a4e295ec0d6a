"""Partially labelled pictures: an object that nobody outlined is not background.

A file in COCO's format may say for each image how far its labels go, in two fields beside `file_name`:

- `annotated`: "all", or the categories, by name or id, of which every object is outlined. Without the field
  an image is complete, except for its `positives_only`.
- `positives_only`: categories of which some objects are outlined, and others are not.

Another model may have looked for what is missing. Its guesses with a high score are learned from, at a
fraction of an outline's weight.

From these follow a picture's *doubts*: boxes in which an object of certain categories may be without an
outline. Where nobody looked for a category, it is the whole picture. Where a model did, it is the box of each
of its guesses, right or wrong, and for objects too small for that model the whole picture. `partial_losses`
keeps the network from learning "background" where there is a doubt.

    train(model, PartialCoco("photos", "instances.json"), "trained")
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._shared.checks import check_array
from ..data.coco import CocoDataset
from ..data.coco_json import key
from ..data.truth import PER_INSTANCE, Truth
from ..errors import DatasetError, quoted
from .guesses import BLIND, Guesses

TRUST = 0.5  # the weight of a guess that is learned from, where an outline's is 1
FIELDS = ("annotated", "positives_only")


@dataclass(frozen=True, eq=False)
class PartialTruth(Truth):
    """What is outlined in an image, and where something may be without an outline.

    Attributes:
        trust: float64 (N,), (0, 1]: the weight of each instance's losses; 1 for an outline.
        doubts: float64 (D, 4), boxes x1 y1 x2 y2 in pixels.
        doubted: bool (D, C), the categories that may be in each box; [:, 0] is False.
        limits: float64 (D,), pixels: only objects smaller than this, the square root of their box's area, may
            be there; inf for any size.

    Raises:
        TypeError, ValueError: As `Truth`.
    """

    trust: np.ndarray
    doubts: np.ndarray
    doubted: np.ndarray
    limits: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.doubts)
        shapes = {"doubts": (count, 4), "doubted": (count, len(self.categories)), "limits": (count,)}
        for name, shape in {"trust": (len(self),), **shapes}.items():
            value = getattr(self, name)
            if name != "limits":  # which may be inf
                check_array(name, value, "b" if name == "doubted" else "f")
            if value.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {value.shape}")

    @classmethod
    def of(cls, truth: Truth) -> "PartialTruth":
        """Any ground truth as one of this kind; it has no doubts unless it is one already."""
        if isinstance(truth, cls):
            return truth
        doubted = np.zeros((0, len(truth.categories)), bool)
        trust = np.ones(len(truth))
        return cls(**vars(truth), trust=trust, doubts=np.zeros((0, 4)), doubted=doubted, limits=np.zeros(0))

    def only(self, names: Collection[str]) -> "PartialTruth":
        """The rows of these categories; labels and doubts stay what they are."""
        kept = np.array([name in names for name in self.names], bool)
        return replace(self, **{name: getattr(self, name)[kept] for name in (*PER_INSTANCE, "trust")})


class PartialCoco:
    """A folder of pictures and a JSON file in COCO's format that says how far each image's labels go.

    A dataset as `train` takes it; without this module's fields, guesses and groups, what `CocoDataset` reads.
    Judge a model on it by `validate`: to `evaluate`, what is not outlined would be a false positive.

    Args:
        images: The folder with the pictures.
        annotations: The JSON file.
        guesses: What another model found in all of the pictures, a file in COCO's format of results; see
            `Guesses`. None: no model looked.
        groups: Category -> the name of its group, for categories too rare to be told apart. A network that
            is to know a few categories needs something else for all other objects to be: a table that can
            only be a car or nothing will now and then be a car.

    Attributes:
        coco: The file as it stands, without guesses and groups.
        categories: Names indexed by label, [0] the background; a group stands where its first member would.
        image_ids: COCO's number of each picture.
        complete: bool (pictures, C), whether every object of a category is outlined; [:, 0] is True.

    Raises:
        DatasetError: As `CocoDataset` and `Guesses`; or a field names an unknown category or contradicts the
            other.
    """

    def __init__(
        self,
        images: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        *,
        guesses: str | os.PathLike[str] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        self.coco = CocoDataset(images, annotations)
        self.image_ids = self.coco.image_ids
        names = [(groups or {}).get(name, name) for name in self.coco.categories]
        self.categories = tuple(dict.fromkeys(names))
        self._group = np.array([self.categories.index(name) for name in names])  # of each label of the file
        self._complete = _complete(self.coco, Path(annotations))
        self.complete = np.ones((len(self), len(self.categories)), bool)
        for label, group in enumerate(self._group):
            self.complete[:, group] &= self._complete[:, label]
        self._guesses = None if guesses is None else Guesses(self.coco, Path(guesses))

    def __len__(self) -> int:
        return len(self.coco)

    def __iter__(self) -> Iterator[tuple[np.ndarray, PartialTruth]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[np.ndarray, PartialTruth]:
        """An image, uint8 (H, W, 3) RGB, and what is known of it. Errors as `CocoDataset`'s."""
        image, truth = self.coco[index]
        return image, self._partial(index, truth)

    def truth(self, index: int) -> PartialTruth:
        """What is known of a picture; the picture itself is not read."""
        return self._partial(index, self.coco.truth(index))

    def _partial(self, index: int, truth: Truth) -> PartialTruth:
        """The ground truth with its doubts, sure guesses among its rows, and categories in their groups."""
        rows, trust = {name: getattr(truth, name) for name in PER_INSTANCE}, np.ones(len(truth))
        (height, width), limits = truth.image_size, [np.inf]
        boxes, missing = np.array([[0.0, 0.0, width, height]]), ~self._complete[index]
        doubted = np.zeros((1, len(self.categories)), bool)
        doubted[0, self._group[missing]] = True
        if self._guesses:
            found = self._guesses.of(truth, missing)
            sure, count, areas = found.sure, len(found.masks), found.masks.sum(axis=(1, 2), dtype=np.float64)
            nobodys = np.zeros(count, np.int64)
            more = (found.boxes[sure], found.labels[sure], found.masks, nobodys > 0, areas, nobodys)
            for name, guessed in zip(PER_INSTANCE, more, strict=True):
                rows[name] = np.concatenate([rows[name], guessed])
            trust = np.append(trust, [TRUST] * count)
            boxes = np.concatenate([found.boxes, boxes])
            limits = [*[np.inf] * len(found.boxes), BLIND]
            around = np.eye(len(self.categories), dtype=bool)[self._group[found.labels]]
            doubted = np.concatenate([around, doubted])
        some = doubted.any(axis=1)
        return PartialTruth(
            **rows | {"labels": self._group[rows["labels"]]},
            categories=self.categories,
            image_id=truth.image_id,
            trust=trust,
            doubts=boxes[some],
            doubted=doubted[some],
            limits=np.array(limits)[some],
        )


def _complete(coco: CocoDataset, path: Path) -> np.ndarray:
    """What the two fields of each image say: bool (pictures, C), of the file's categories; [:, 0] is True."""
    images = [row for row in json.loads(path.read_bytes())["images"] if isinstance(row, dict)]
    rows = {key(row.get("id")): row for row in images}
    if any(name in row for row in images for name in FIELDS) and not all(isinstance(n, int) for n in rows):
        raise DatasetError(f"{coco.name}: {FIELDS[0]!r} needs images with whole numbers as ids; number them")
    complete = np.ones((len(coco), len(coco.categories)), bool)
    for index, number in enumerate(coco.image_ids):
        row = rows.get(number, {})
        whole, some = (_named(coco, number, row, name) for name in FIELDS)
        if "annotated" in row and (whole & some).any():
            name = quoted(coco.categories[int(np.argmax(whole & some))], 40)
            raise _wrong(coco, number, f"{name} is in 'annotated' and in 'positives_only'")
        complete[index, 1:] = (whole & ~some)[1:]
    return complete


def _named(coco: CocoDataset, number: int, row: dict[str, Any], field: str) -> np.ndarray:
    """The categories that a field of an image names: bool (C,)."""
    labels: dict[Any, int] = {name: label for label, name in enumerate(coco.categories) if label}
    labels |= {category: label for label, category in enumerate(coco.category_ids) if label}
    named, value = np.zeros(len(coco.categories), bool), row.get(field, "all" if field == FIELDS[0] else [])
    if value == "all":
        value = coco.categories[1:]
    if not isinstance(value, (list, tuple)):
        said = f'{field!r} must be "all" or a list of categories, got {quoted(value, 40)}'
        raise _wrong(coco, number, said)
    for one in value:
        if not isinstance(one, (str, int)) or isinstance(one, bool) or one not in labels:
            raise _wrong(coco, number, f"{field!r} names the unknown category {quoted(one, 40)}")
        named[labels[one]] = True
    return named


def _wrong(coco: CocoDataset, number: int, what: str) -> DatasetError:
    return DatasetError(f"{coco.name}: image {number}: {what}; correct the file and load it again")
