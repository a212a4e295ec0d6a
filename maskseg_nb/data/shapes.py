"""Images of shapes, made on the fly, with exact masks.

All arithmetic is on whole numbers, and NumPy promises that `RandomState` never changes: the same seed gives
the same pixels on every platform.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .truth import Truth

CATEGORIES = ("__background__", "circle", "square", "triangle", "star")
ANGLES = 64  # to a full turn
UNIT = 1024  # of the table of sines below
LEAST_AREA = 40  # pixels of a shape that can still be seen
SINES = [round(UNIT * math.sin(2 * math.pi * step / ANGLES)) for step in range(ANGLES)]
# Category -> its corners: (angle in steps of the table, distance from the middle as a share of 1/16).
CORNERS = {
    "square": [(8, 16), (24, 16), (40, 16), (56, 16)],
    "triangle": [(16, 16), (37, 16), (59, 16)],
    "star": [(step * 32 // 5, 16 if step % 2 == 0 else 7) for step in range(10)],
}


class Random:
    """Random whole numbers; the same seed, of numbers from 0 to 2**32 - 1, gives the same ones."""

    def __init__(self, seed: tuple[int, ...]) -> None:
        self._state = np.random.RandomState(seed)

    def integers(self, low: int, high: int, size: int | tuple[int, ...] | None = None) -> Any:
        """int64 of shape `size` (one number where it is None), low <= n < high."""
        return self._state.randint(low, high, size, dtype=np.int64)


class ShapesDataset:
    """Overlapping circles, squares, triangles and stars on textured ground, under uneven light.

    Args:
        count: How many images.
        seed: 0 to 2**32 - 1; the same seed, the same images.
        size: (height, width) of each, in pixels, at least 32.
        most: The most shapes in an image, at least 1.

    Raises:
        ValueError: A number is out of range.
    """

    categories = CATEGORIES

    def __init__(self, count: int, seed: int = 0, size: tuple[int, int] = (160, 200), most: int = 6) -> None:
        if count < 0 or not 0 <= seed < 2**32 or most < 1 or min(size) < 32:
            raise ValueError(
                "count must be 0 or more, seed below 2**32, most 1 or more, sides 32 or more, "
                f"got {count}, {seed}, {most}, {size}"
            )
        self.count, self.seed, self.size, self.most = count, seed, size, most

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[np.ndarray, Truth]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[np.ndarray, Truth]:
        """An image, uint8 (H, W, 3) RGB, and its ground truth: what can be seen of each shape.

        Raises:
            IndexError: There is no such picture.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"there is no picture {index}: they are 0 to {self.count - 1}")
        random = Random((self.seed, index))
        image = _texture(random, self.size, contrast=24)
        owners = np.zeros(self.size, np.int64)  # the shape that is seen at each pixel; 0 is the ground
        names = []
        for number in range(1, 1 + int(random.integers(1, self.most + 1))):
            name = CATEGORIES[int(random.integers(1, len(CATEGORIES)))]
            inside = _shape(random, name, self.size)
            image[inside] = _texture(random, self.size, contrast=70)[inside]
            owners[inside] = number
            names.append(name)
        image = _lit(random, image)
        return image, _truth(index, owners, names)


def _shape(random: Random, name: str, size: tuple[int, int]) -> np.ndarray:
    """Where a shape of random place, size and angle is: bool (H, W)."""
    height, width = size
    radius = int(random.integers(min(size) // 12, min(size) // 3))
    middle_y, middle_x = int(random.integers(0, height)), int(random.integers(0, width))
    y, x = np.ogrid[:height, :width]
    if name == "circle":
        return (y - middle_y) ** 2 + (x - middle_x) ** 2 <= radius**2
    turn, scale = int(random.integers(0, ANGLES)), 16 * UNIT
    corners = []
    for step, share in CORNERS[name]:
        angle = (step + turn) % ANGLES
        sine, cosine = SINES[angle], SINES[(angle + ANGLES // 4) % ANGLES]
        corners.append((middle_y * scale + radius * share * sine, middle_x * scale + radius * share * cosine))
    return _inside(corners, y * scale, x * scale)


def _inside(corners: list[tuple[int, int]], y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Whether an odd number of a polygon's edges lies to the right of each place."""
    inside = np.zeros(np.broadcast_shapes(y.shape, x.shape), bool)
    for (y1, x1), (y2, x2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        side = (x - x1) * (y2 - y1) - (x2 - x1) * (y - y1)
        inside ^= crosses & ((side < 0) == (y2 > y1))
    return inside


def _texture(random: Random, size: tuple[int, int], contrast: int) -> np.ndarray:
    """Plain, striped, checked or speckled: uint8 (H, W, 3)."""
    height, width = size
    first = random.integers(40, 216, 3)
    second = np.clip(first + random.integers(-contrast, contrast + 1, 3), 0, 255)
    period = int(random.integers(3, 14))
    y, x = np.ogrid[:height, :width]
    across, down = (int(n) for n in random.integers(0, 4, 2))
    kind = int(random.integers(0, 4))
    if kind == 0:
        where = np.zeros(size, bool)
    elif kind == 1:
        where = (across * x + down * y) // period % 2 == 1
    elif kind == 2:
        where = (x // period + y // period) % 2 == 1
    else:
        where = random.integers(0, 3, size) == 0
    return np.where(where[..., None], second, first).astype(np.uint8)


def _lit(random: Random, image: np.ndarray) -> np.ndarray:
    """Brighter to one side, and noisy."""
    height, width = image.shape[:2]
    across, down = (int(n) for n in random.integers(-90, 91, 2))
    y, x = np.ogrid[:height, :width]
    light = 256 + across * (2 * x - width) // width + down * (2 * y - height) // height
    noise = random.integers(-12, 13, image.shape)
    return np.clip(image * light[..., None] // 256 + noise, 0, 255).astype(np.uint8)


def _truth(index: int, owners: np.ndarray, names: list[str]) -> Truth:
    """What can be seen of each shape, where that is enough."""
    masks = [owners == number for number in range(1, len(names) + 1)]
    seen = [number for number, mask in enumerate(masks) if np.count_nonzero(mask) >= LEAST_AREA]
    stack = np.array([masks[number] for number in seen], bool).reshape(-1, *owners.shape)
    labels = [CATEGORIES.index(names[number]) for number in seen]
    return Truth.from_masks(stack, labels, CATEGORIES, image_id=index)
