"""Datasets: images with ground truth, as a list, a part of another, or anything with the same methods."""

import random
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from .truth import Truth


class Dataset(Protocol):
    """Pictures with their ground truth, as `evaluate` and `train` take them."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names indexed by label, [0] the background."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[np.ndarray, Truth]:
        """An image, uint8 (H, W, 3) RGB, and its ground truth; IndexError where there is none.

        Grey and RGBA will do, too: `train` and `evaluate` make them RGB as `load_image` does.
        """


class PictureList:
    """A dataset in memory.

    Args:
        pairs: (image, Truth) each: uint8 (H, W, 3) RGB, and its ground truth.

    Raises:
        ValueError: There is no pair, or two have different categories.
    """

    def __init__(self, pairs: Sequence[tuple[np.ndarray, Truth]]) -> None:
        if len({truth.categories for _, truth in pairs}) != 1:
            raise ValueError("pairs must be one or more, all with the same categories")
        self.pairs = list(pairs)
        self.categories = self.pairs[0][1].categories

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Truth]:
        return self.pairs[index]

    def __iter__(self) -> Iterator[tuple[np.ndarray, Truth]]:
        return iter(self.pairs)


class Part:
    """Some of a dataset's pictures, in the order of `indices`; IndexError where it has no such picture."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, tuple(indices)
        self.categories = dataset.categories
        if wrong := [index for index in self.indices if not 0 <= index < len(dataset)]:
            raise IndexError(f"there is no picture {wrong[0]}: they are 0 to {len(dataset) - 1}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Truth]:
        return self.dataset[self.indices[index]]


def split(dataset: Dataset, held_out: int, seed: int = 0) -> tuple[Part, Part]:
    """Split a dataset at random into a training set and a validation set.

    Args:
        dataset: Any, of more than `held_out` pictures.
        held_out: How many pictures the validation set gets.
        seed: The same seed, the same split.

    Returns:
        The training set and the validation set, both in the dataset's order.

    Raises:
        ValueError: Nothing would be left to learn from.
    """
    if not 0 <= held_out < len(dataset):
        raise ValueError(f"held_out must be 0 to {len(dataset) - 1}, got {held_out}")
    order = list(range(len(dataset)))
    random.Random(seed).shuffle(order)
    return Part(dataset, sorted(order[held_out:])), Part(dataset, sorted(order[:held_out]))
