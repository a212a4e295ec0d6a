"""What the network said. A detection is a box and a small square of mask probabilities, pasted on demand."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F

from .._shared.checks import check_array, check_fraction, check_size
from .._shared.memory import check_fits
from ..errors import quoted
from .checks import check_detections, check_known, value_range
from .instances import FEWER, Instances, blank_masks


@dataclass(frozen=True, eq=False)
class Prediction:
    """All that the network said about one image, on the CPU, highest score first.

    Attributes:
        boxes: float32 (N, 4), x1 y1 x2 y2 in pixels of the tensor's image.
        labels: int64 (N,), indices into `categories`.
        scores: float32 (N,), [0, 1], highest first.
        mask_probs: float32 (N, M, M), [0, 1], of the detection's own category, spread over its box; M is 28
            for torchvision's heads.
        image_size: (height, width) in pixels.
        categories: Names indexed by label, [0] the background.
        frames: float64 (N, 4), x1 y1 x2 y2 in pixels: what each mask, with a zero around it, is spread over
            after `to_size`. None for torchvision's own rule: whole pixels, a little more than the box.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    mask_probs: np.ndarray
    image_size: tuple[int, int]
    categories: tuple[str, ...]
    frames: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_size(self.image_size)
        count = check_detections(self.boxes, self.labels, self.scores, self.categories)
        check_array("mask_probs", self.mask_probs, "f")
        side = self.mask_probs.shape[-1] if self.mask_probs.ndim else 0
        if self.mask_probs.shape != (count, side, side) or not side:
            raise ValueError(f"mask_probs must have shape ({count}, M, M), got {self.mask_probs.shape}")
        longest = max(self.image_size)
        if count and not (self.boxes.min() >= -longest and self.boxes.max() <= 2 * longest):
            raise ValueError(f"boxes must be pixels in or beside the image, got {value_range(self.boxes)}")
        if (self.boxes[:, 2:] < self.boxes[:, :2]).any():
            raise ValueError("boxes must be x1 y1 x2 y2, with x1 <= x2 and y1 <= y2")
        if self.frames is not None:
            check_array("frames", self.frames, "f")
            if self.frames.shape != (count, 4):
                raise ValueError(f"frames must have shape ({count}, 4), got {self.frames.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, keep: np.ndarray | slice) -> "Prediction":
        """The detections that a boolean array, an index array or a slice picks."""
        picked = {name: getattr(self, name)[keep] for name in ("boxes", "labels", "scores", "mask_probs")}
        return replace(self, **picked, frames=None if self.frames is None else self.frames[keep])

    def __repr__(self) -> str:
        height, width = self.image_size
        return f"Prediction({len(self)} detections in {height} x {width})"

    def __str__(self) -> str:
        rows = [(f.name, getattr(self, f.name)) for f in fields(self)[:4]]
        lines = [f"{name:<11}{array.dtype!s:<8} {array.shape}" for name, array in rows]
        return "\n".join([repr(self), *lines])

    def to_size(self, image_size: tuple[int, int]) -> "Prediction":
        """The same detections in another size's pixels: back onto the photograph that `preprocess` resized.

        Args:
            image_size: (height, width) in pixels, such as `load_image("photo.jpg").shape[:2]`.

        Returns:
            The same rows. Boxes are scaled, and each mask lies where it lay: read off its own M x M
            probabilities at the middle of every new pixel, not enlarged from the old ones.

        Raises:
            ValueError: `image_size` is not two whole numbers above 0.
        """
        check_size(image_size)
        if image_size == self.image_size:
            return self
        (height, width), (old_height, old_width) = image_size, self.image_size
        scale = np.array([width / old_width, height / old_height] * 2)
        boxes = (self.boxes * scale).astype(self.boxes.dtype)
        return replace(self, boxes=boxes, image_size=(height, width), frames=self._frames() * scale)

    def masks(self) -> np.ndarray:
        """Paste every mask into an image of its own, as torchvision's `paste_masks_in_image` does.

        Returns:
            float32 (N, 1, H, W), [0, 1]: torchvision's own layout and values.

        Raises:
            MasksegError: That would be more than 4 GiB, or more than the free memory.
        """
        pasted = blank_masks(len(self), self.image_size, torch.float32)[:, None]
        for canvas, (crop, top, left) in zip(pasted[:, 0], self._crops(), strict=True):
            height, width = crop.shape
            canvas[top : top + height, left : left + width] = crop
        return pasted

    def select(
        self,
        *,
        score_threshold: float = 0.5,
        mask_threshold: float = 0.5,
        categories: Iterable[str] | None = None,
    ) -> Instances:
        """Keep the confident detections and binarise their masks.

        Args:
            score_threshold: Keep scores >= this, in [0, 1].
            mask_threshold: A pixel is inside where its probability > this, in [0, 1].
            categories: Keep these names only; None keeps all.

        Returns:
            M <= N instances, highest score first, bool masks. M may be 0.

        Raises:
            ValueError: A threshold is outside [0, 1], or the model knows no such category.
            TypeError: A threshold is not a number, or `categories` is a single string.
            MasksegError: The masks would not fit into memory.
        """
        check_fraction("score_threshold", score_threshold)
        check_fraction("mask_threshold", mask_threshold)
        keep = self.scores >= score_threshold
        if categories is not None:
            keep &= np.isin(self.labels, self._label_ids(categories))
        kept = self[keep]
        sides = kept.boxes[:, 2:].astype(np.float64) - kept.boxes[:, :2]
        check_fits(int(sides.prod(axis=1).sum()), f"masks of {len(kept)} large boxes", FEWER)
        crops, corners = [], []
        for crop, top, left in kept._crops():
            crops.append(crop > mask_threshold)
            corners.append((top, left))
        return Instances(
            kept.boxes,
            kept.labels,
            kept.scores,
            tuple(crops),
            np.array(corners, np.int64).reshape(-1, 2),
            np.flatnonzero(keep),
            self.image_size,
            self.categories,
        )

    def _label_ids(self, categories: Iterable[str]) -> list[int]:
        if isinstance(categories, str):
            raise TypeError(f"categories must be a collection of names, got the string {quoted(categories)}")
        names = list(categories)
        check_known(names, self.categories)
        return [label for label, name in enumerate(self.categories) if label and name in names]

    def _frames(self) -> np.ndarray:
        """What each mask, with a zero around it, is spread over: (N, 4), x1 y1 x2 y2 in pixels.

        torchvision's rule to the letter: one pixel of zeros is added around the M x M square, the box grows
        by the same share, and its corners are rounded down to whole pixels (roi_heads.py: expand_boxes,
        expand_masks, paste_mask_in_image).
        """
        if self.frames is not None:
            return self.frames
        side = self.mask_probs.shape[-1]
        centre = (self.boxes[:, 2:] + self.boxes[:, :2]) * np.float32(0.5)  # (N, 2) as x, y
        half = (self.boxes[:, 2:] - self.boxes[:, :2]) * np.float32(0.5) * np.float32((side + 2) / side)
        starts, ends = (centre - half).astype(np.int64), (centre + half).astype(np.int64)
        return np.concatenate([starts, ends + 1], axis=1)

    def _crops(self) -> Iterable[tuple[np.ndarray, int, int]]:
        """Each mask at the image's scale: (float32 (h, w), top, left), cut at the image's edge."""
        height, width = self.image_size
        probs = np.array(self.mask_probs, np.float32, order="C")  # torch takes no reversed or read-only array
        padded = F.pad(torch.from_numpy(probs), (1, 1, 1, 1))  # (N, M + 2, M + 2)
        for square, (x1, y1, x2, y2) in zip(padded, self._frames().tolist(), strict=True):
            top, left = max(math.floor(y1), 0), max(math.floor(x1), 0)
            bottom, right = min(math.ceil(y2), height), min(math.ceil(x2), width)
            if self.frames is None:
                size = (y2 - y1, x2 - x1)
                whole = F.interpolate(square[None, None], size=size, mode="bilinear", align_corners=False)
                yield whole[0, 0, top - y1 : bottom - y1, left - x1 : right - x1].numpy(), top, left
            else:
                rows, columns = _weights(top, bottom, y1, y2, square), _weights(left, right, x1, x2, square)
                yield np.minimum(rows @ square.numpy() @ columns.T, 1), top, left


def _weights(first: int, end: int, low: float, high: float, square: torch.Tensor) -> np.ndarray:
    """How much each row of a square counts in each pixel, spread bilinearly from `low` to `high`.

    `F.interpolate` does the same between whole pixels only. Returns float32 (end - first, M + 2).
    """
    side = len(square)
    places = (np.arange(first, end) + 0.5 - low) / (high - low) * side - 0.5
    return np.maximum(1 - np.abs(places[:, None] - np.arange(side)), 0).astype(np.float32)
