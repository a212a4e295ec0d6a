"""A dataset, checked before `train` learns from it or `evaluate` judges by it.

Nobody wants to hear after an hour that picture 57 cannot be read, or never that all pictures were black.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from .._shared.checks import check_categories, is_strip
from ..errors import DatasetError, ImageError, MasksegError, quoted
from .datasets import Dataset
from .findings import Fault, Findings
from .images import load_image
from .truth import Truth, boxes_fit, boxes_of


@dataclass(frozen=True)
class Seen:
    """What is remembered of a picture that was checked."""

    index: int  # in the dataset
    image_id: int  # the dataset's own number
    labels: np.ndarray  # int64 (N,)
    crowd: np.ndarray  # bool (N,)
    pixels: np.ndarray  # int64 (N,), of each mask


class CheckedDataset:
    """A dataset's pictures that can be used, each as uint8 (H, W, 3) RGB with its ground truth.

    All are checked once; grey, RGBA and PIL images become RGB as `load_image` makes them. Those that cannot
    be read are left out with one warning; `seen` has one row per picture that is left.

    Raises:
        DatasetError: No picture is left, categories have names that no checkpoint can hold, or a picture and
            its ground truth have different sizes, boxes or categories; the message names its index.
        TypeError, ValueError: A picture is not uint8 or not of a known shape, or `dataset` is no dataset.
    """

    def __init__(self, dataset: Dataset, *, progress: bool = True) -> None:
        self.dataset = dataset
        self.categories = category_names(dataset)
        if not len(dataset):
            raise DatasetError("the dataset has no pictures; give one or more")
        findings = Findings("the dataset")
        title = "Looking through the pictures"
        rows = tqdm(range(len(dataset)), desc=title, unit="picture", leave=False, disable=not progress)
        self.seen = [seen for index in rows if (seen := self._look_at(index, findings))]
        if not self.seen:
            raise findings.refuse("no picture is left")
        findings.warn(f"{len(self.seen)} of {len(dataset)} pictures are used", stacklevel=4)

    @classmethod
    def of(cls, dataset: Dataset, *, progress: bool = True) -> "CheckedDataset":
        """The dataset itself, if it is checked already."""
        return dataset if isinstance(dataset, cls) else cls(dataset, progress=progress)

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Truth]:
        return checked_pair(self.dataset, self.seen[index].index)

    def __iter__(self) -> Iterator[tuple[np.ndarray, Truth]]:
        return (self[index] for index in range(len(self)))

    def _look_at(self, index: int, findings: Findings) -> Seen | None:
        """What to remember of a picture; None where it is left out."""
        try:
            image, truth = _read(self.dataset, index)
        except MasksegError as error:
            findings.add(_fault(error), f"picture {index}: {error}")
            return None
        _check_agreement(index, image, truth, self.categories)
        if is_strip(*image.shape[:2]):
            findings.add(Fault.TOO_THIN, f"picture {index}, {image.shape[1]} x {image.shape[0]}")
            return None
        pixels = np.count_nonzero(truth.masks, axis=(1, 2))
        _check_boxes(index, truth, pixels > 0)
        return Seen(index, truth.image_id, truth.labels, truth.crowd, pixels)


def checked_pair(dataset: Dataset, index: int) -> tuple[np.ndarray, Truth]:
    """One of a dataset's pictures, uint8 (H, W, 3) RGB, and its ground truth.

    Raises:
        DatasetError: The two have different sizes or categories.
        TypeError, ValueError: The picture is not uint8 or not of a known shape, or there is no `Truth`.
    """
    image, truth = _read(dataset, index)
    _check_agreement(index, image, truth, tuple(dataset.categories))
    return image, truth


def _read(dataset: Dataset, index: int) -> tuple[np.ndarray, Truth]:
    try:
        pair: Any = dataset[index]
    except Exception as error:
        error.add_note(f"while picture {index} of the dataset was read")
        raise
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[1], Truth):
        got = f"({', '.join(type(part).__name__ for part in pair)})" if isinstance(pair, tuple | list) else ""
        raise TypeError(
            f"picture {index}: dataset[i] must be (image, Truth), got {got or type(pair).__name__}; "
            "Truth.from_masks(masks, labels, categories) makes one"
        )
    return _rgb(pair[0], index), pair[1]


def _check_agreement(index: int, image: np.ndarray, truth: Truth, categories: tuple[str, ...]) -> None:
    if image.shape[:2] != truth.image_size:
        height, width = truth.image_size
        raise DatasetError(
            f"picture {index} has {image.shape[1]} x {image.shape[0]} pixels, its masks {width} x {height}; "
            "resize or crop both alike"
        )
    if tuple(truth.categories) != categories:
        raise DatasetError(
            f"picture {index} has the categories {quoted(', '.join(truth.categories[1:]))}, the dataset "
            f"{quoted(', '.join(categories[1:]))}; labels are indices, so they must be the same"
        )


def _check_boxes(index: int, truth: Truth, shown: np.ndarray) -> None:
    good = np.array((truth.boxes[:, :2] <= truth.boxes[:, 2:]).all(axis=1))
    good[shown] = boxes_fit(truth.boxes[shown], boxes_of(truth.masks[shown]), truth.image_size)
    if not good.all():
        row, (height, width) = int(np.flatnonzero(~good)[0]), truth.image_size
        raise DatasetError(
            f"picture {index}: box {row}, {truth.boxes[row].round(1).tolist()}, does not lie on its mask "
            f"in a picture of {width} x {height}; boxes are x1, y1, x2, y2 in its pixels"
        )


def _rgb(image: Any, index: int) -> np.ndarray:
    if not isinstance(image, np.ndarray | Image.Image):
        raise TypeError(
            f"picture {index}: image must be a NumPy array, uint8 (H, W, 3) RGB, got {type(image).__name__}"
        )
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            return image
        if image.ndim == 3 and image.shape[2] == 1:
            image = image[..., 0]
    try:
        return load_image(image)
    except (TypeError, ValueError) as error:
        raise type(error)(f"picture {index}: {error}") from None


def category_names(dataset: Dataset) -> tuple[str, ...]:
    """A dataset's categories.

    Raises:
        DatasetError: A checkpoint cannot hold one of the names, or two are the same.
        TypeError: They are not names, or `dataset` is no dataset.
    """
    for name in ("categories", "__len__", "__getitem__"):
        if not hasattr(dataset, name):
            raise TypeError(
                f"dataset must have categories, len() and [i], as PictureList; got {type(dataset).__name__}"
            )
    try:
        return check_categories(dataset.categories)
    except TypeError as error:
        raise TypeError(f"dataset.{error}") from None
    except ValueError as error:
        raise DatasetError(f"the dataset's {error}; rename them") from None


def _fault(error: MasksegError) -> Fault:
    if isinstance(error, ImageError):
        return Fault.UNREADABLE
    return Fault.CONTRADICTORY if isinstance(error, DatasetError) else Fault.TOO_LARGE
