"""What the thresholds kept of a prediction.

Float masks are the network's output; bool masks are a decision. Each is held as a small array that fits its
box, and pasted into the image on demand.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .._shared.checks import check_size
from .._shared.memory import check_fits
from ..data.rle import encode_masks
from .checks import check_detections

FEWER = "raise the score threshold"


@dataclass(frozen=True, eq=False)
class Instances:
    """What the thresholds kept of a prediction, highest score first.

    Attributes:
        boxes: float32 (M, 4), x1 y1 x2 y2 in pixels.
        labels: int64 (M,), indices into `categories`.
        scores: float32 (M,), [0, 1], highest first.
        crops: M bool arrays (h, w): each mask inside its own rectangle.
        corners: int64 (M, 2), top and left pixel of each crop.
        indices: int64 (M,), the row of the Prediction that each came from.
        image_size: (height, width) in pixels.
        categories: Names indexed by label, [0] the background.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    crops: tuple[np.ndarray, ...]
    corners: np.ndarray
    indices: np.ndarray
    image_size: tuple[int, int]
    categories: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("boxes", "labels", "crops", "corners", "indices"):
            count = len(getattr(self, name))
            if count != len(self.scores):
                raise ValueError(f"{name} must have one entry per score, got {count} for {len(self.scores)}")
        check_size(self.image_size)
        check_detections(self.boxes, self.labels, self.scores, self.categories)
        if not all(isinstance(c, np.ndarray) and c.dtype == bool and c.ndim == 2 for c in self.crops):
            raise TypeError("crops must be bool arrays (h, w)")

    def __len__(self) -> int:
        return len(self.scores)

    def first(self, count: int) -> "Instances":
        """At most `count` of them, those with the highest scores, as a raised score threshold leaves them."""
        return self._rows(np.arange(len(self))[:count])

    def without(self, numbers: Collection[int]) -> "Instances":
        """All but those of these `numbers`."""
        return self._rows(np.flatnonzero(~np.isin(self.numbers, list(numbers))))

    def with_pixels(self) -> "Instances":
        """Those that have a pixel at all: a high mask threshold can leave a mask empty."""
        return self._rows(np.flatnonzero(self.areas))

    def _rows(self, rows: np.ndarray) -> "Instances":
        arrays = ("boxes", "labels", "scores", "corners", "indices")
        picked = {name: getattr(self, name)[rows] for name in arrays}
        return replace(self, crops=tuple(self.crops[row] for row in rows), **picked)

    def __repr__(self) -> str:
        height, width = self.image_size
        return f"Instances({len(self)} in {height} x {width})"

    def __str__(self) -> str:
        lines = [
            f"{row['instance']:>3} {row['category']:<12} {row['score']:.2f}   box {row['box']}   "
            f"{row['area']:,} pixels ({row['percent']:.1f} %)"
            for row in self.table()
        ]
        return "\n".join([repr(self), *lines])

    @property
    def numbers(self) -> np.ndarray:
        """int64 (M,), each one's number: the row of the Prediction that it came from, counted from 1.

        It is the same in pictures, tables, files and label maps, and stays when others are hidden.
        """
        return self.indices + 1

    @property
    def names(self) -> tuple[str, ...]:
        """Each instance's category name."""
        return tuple(self.categories[label] for label in self.labels)

    @property
    def tags(self) -> tuple[str, ...]:
        """Each instance's number, category and score, as "1 person 0.98"."""
        rows = zip(self.numbers.tolist(), self.names, self.scores, strict=True)
        return tuple(f"{number} {name} {score:.2f}" for number, name, score in rows)

    @property
    def windows(self) -> list[tuple[slice, slice]]:
        """Where each crop lies: `image[instances.windows[i]]` is the part under `instances.crops[i]`."""
        return [
            (slice(top, top + crop.shape[0]), slice(left, left + crop.shape[1]))
            for crop, (top, left) in zip(self.crops, self.corners.tolist(), strict=True)
        ]

    @property
    def masks(self) -> np.ndarray:
        """Full-size masks, bool (M, H, W), built at each call.

        Raises:
            MasksegError: They would be more than 4 GiB, or more than the free memory.
        """
        masks = blank_masks(len(self), self.image_size, torch.bool)
        for mask, window, crop in zip(masks, self.windows, self.crops, strict=True):
            mask[window] = crop
        return masks

    @property
    def areas(self) -> np.ndarray:
        """int64 (M,), pixels inside each mask."""
        return np.array([np.count_nonzero(crop) for crop in self.crops], np.int64)

    def table(self) -> list[dict[str, Any]]:
        """One row per instance: "instance", its number; "category", a name; "score", in [0, 1]; "box",
        (x1, y1, x2, y2) in whole pixels; "area", the mask's pixels; "percent", their share of the image's.
        """
        height, width = self.image_size
        rows = zip(self.numbers.tolist(), self.names, self.scores, self.boxes, self.areas, strict=True)
        return [
            {
                "instance": number,
                "category": name,
                "score": float(score),
                "box": tuple(int(side) for side in np.rint(box)),
                "area": int(area),
                "percent": 100 * int(area) / (height * width),
            }
            for number, name, score, box, area in rows
        ]


def check_instances(instances: Any) -> None:
    """Raise TypeError unless they are what `Prediction.select` returns."""
    if not isinstance(instances, Instances):
        raise TypeError(f"instances must be what Prediction.select() returns, got {type(instances).__name__}")


def blank_masks(count: int, image_size: tuple[int, int], dtype: torch.dtype) -> np.ndarray:
    """Zeros of that dtype, (count, height, width), to paste masks into.

    By torch: NumPy asks for huge pages, for which a busy system may search half a second.

    Raises:
        MasksegError: That would be more than 4 GiB, or more than the free memory.
    """
    height, width = image_size
    check_fits(
        count * height * width * dtype.itemsize,
        f"{count} masks of {height} x {width} pixels",
        f"{FEWER}, or use the crops of select(), each as large as its box",
    )
    return torch.zeros((count, height, width), dtype=dtype).numpy()


def instance_rles(instances: Instances) -> list[dict[str, Any]]:
    """Each instance's mask as `encode_masks` returns it, with only one at full size at a time."""
    encoded = []
    for window, crop in zip(instances.windows, instances.crops, strict=True):
        mask = np.zeros((1, *instances.image_size), bool)
        mask[0][window] = crop
        encoded += encode_masks(mask)
    return encoded
