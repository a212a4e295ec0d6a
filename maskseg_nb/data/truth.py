"""Ground truth: what is in an image, as a person outlined it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._shared.checks import check_array, check_size

PER_INSTANCE = ("boxes", "labels", "masks", "crowd", "areas", "ids")  # the fields with one row per instance


@dataclass(frozen=True, eq=False)
class Truth:
    """The ground truth of an image: one row per instance, as a person outlined them.

    Attributes:
        boxes: float64 (N, 4), x1 y1 x2 y2 in pixels.
        labels: int64 (N,), indices into `categories`, from 1.
        masks: bool (N, H, W).
        crowd: bool (N,): whether it is a region of many, outlined as one; it counts neither for nor against.
        areas: float64 (N,), pixels, as the annotation states them; they decide what is small or large.
        ids: int64 (N,), the annotations' own numbers.
        categories: Names indexed by label, [0] the background.
        image_id: The image's own number.

    Raises:
        TypeError, ValueError: An array has another dtype or shape, or a label is no category's.
    """

    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    ids: np.ndarray
    categories: tuple[str, ...]
    image_id: int

    def __post_init__(self) -> None:
        count = len(self.labels)
        kinds = {"boxes": "f", "labels": "i", "masks": "b", "crowd": "b", "areas": "f", "ids": "i"}
        for name, kind in kinds.items():
            check_array(name, getattr(self, name), kind)
        shapes = {"boxes": (count, 4), **dict.fromkeys(("labels", "crowd", "areas", "ids"), (count,))}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")
        if self.masks.ndim != 3 or len(self.masks) != count:
            raise ValueError(f"masks must have shape ({count}, H, W), got {self.masks.shape}")
        check_size(self.image_size)
        if count and not 1 <= self.labels.min() <= self.labels.max() < len(self.categories):
            raise ValueError(f"labels must be 1 to {len(self.categories) - 1}, got {self.labels}")

    @classmethod
    def from_masks(
        cls,
        masks: np.ndarray,
        labels: Sequence[int] | np.ndarray,
        categories: Sequence[str],
        *,
        image_id: int = 0,
    ) -> "Truth":
        """Ground truth from masks alone: boxes around them, areas counted, no crowd, ids from 1.

        Args:
            masks: bool (N, H, W), each with at least one pixel.
            labels: N indices into `categories`, from 1.
            categories: Names indexed by label, [0] the background.
            image_id: The image's own number.

        Raises:
            TypeError, ValueError: As `Truth`; or a mask is empty.
        """
        return cls(
            boxes=boxes_of(masks),
            labels=np.array(labels, np.int64).reshape(-1),
            masks=masks,
            crowd=np.zeros(len(masks), bool),
            areas=np.count_nonzero(masks, axis=(1, 2)).astype(np.float64),
            ids=np.arange(1, len(masks) + 1),
            categories=tuple(categories),
            image_id=image_id,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        height, width = self.image_size
        return f"Truth({len(self)} instances in {height} x {width})"

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.masks.shape[1:]
        return height, width

    @property
    def names(self) -> tuple[str, ...]:
        """Each instance's category name."""
        return tuple(self.categories[label] for label in self.labels)

    def only(self, names: Collection[str]) -> "Truth":
        """The rows of these categories; labels stay what they are."""
        kept = np.array([name in names for name in self.names], bool)
        return replace(self, **{name: getattr(self, name)[kept] for name in PER_INSTANCE})


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """The box around each mask of bool (N, H, W): float64 (N, 4), x1 y1 x2 y2, the last two exclusive.

    Raises:
        ValueError: A mask has no pixel.
    """
    boxes = np.zeros((len(masks), 4))
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            raise ValueError("a mask without a pixel has no box; leave it out")
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def boxes_fit(boxes: np.ndarray, around: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Whether boxes can be those of their objects: bool (N,).

    They need not be tight (an object may be partly hidden), but must lie in the image, give or take a
    quarter of its longest side, and touch `around`, the boxes around what can be seen of the objects. Both
    are float (N, 4), x1 y1 x2 y2; image_size is (height, width) in pixels.
    """
    height, width = image_size
    margin = 1 + max(image_size) / 4
    ordered = (boxes[:, :2] <= boxes[:, 2:]).all(axis=1)
    inside = (boxes[:, :2] >= -margin).all(axis=1)
    inside &= (boxes[:, 2:] <= np.array([width + margin, height + margin])).all(axis=1)
    touching = (boxes[:, :2] <= around[:, 2:] + 1) & (around[:, :2] <= boxes[:, 2:] + 1)
    return np.asarray(ordered & inside & touching.all(axis=1))
