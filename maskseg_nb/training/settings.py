"""How to train: every number that a training depends on, in one place."""

import math
from dataclasses import dataclass, field

from ..models.details import MAX_SIDE, MIN_SIDE
from .augmentation import Augmentation


@dataclass(frozen=True)
class TrainingSettings:
    """How to train. The defaults are those of `street`'s recipe, except for the number of steps.

    A checkpoint stores these values under these names; under another name they are another training's.

    Attributes:
        steps: Updates of the weights.
        batch_size: Pictures per step.
        learning_rate: AdamW's, at its peak; the body's is `body_share` of it.
        body_share: In [0, 1].
        weight_decay: AdamW's.
        warm_up: Steps until the learning rate reaches its peak; from there it falls as a cosine, to nearly 0.
        clip: The norm of all gradients together is at most this.
        ema: The weights that are kept are a moving average; each step keeps this share of it, [0, 1).
        freeze: Parts that do not learn, of those that `parts` names. BatchNorm statistics never change.
        input_size: The trained model resizes its input to this: the short side, and the longest at most, in
            pixels; None: as the model that it began from.
        sizes: (height, width) in pixels of the pictures that are learned from; None: around the input size.
        rois: Boxes per picture that the two heads learn from, at most.
        mask_rois: Of these, boxes that the mask head, the slower one, learns from, at most; None: no limit.
        rare: A category in a smaller share of the pictures than this is shown more often, (0, 1].
        seed: Of all random numbers.
        save_every: Steps between two checkpoints.
        augmentation: How pictures are changed.

    Raises:
        ValueError: A number is out of range.
    """

    steps: int = 600
    batch_size: int = 4
    learning_rate: float = 8e-4
    body_share: float = 0.25
    weight_decay: float = 0.02
    warm_up: int = 50
    clip: float = 5.0
    ema: float = 0.998
    freeze: tuple[str, ...] = ("stem", "C2")
    input_size: tuple[int, int] | None = None
    sizes: tuple[tuple[int, int], ...] | None = None
    rois: int = 64
    mask_rois: int | None = None
    rare: float = 0.5
    seed: int = 0
    save_every: int = 100
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "warm_up", "rois", "mask_rois", "save_every"):
            value, least = getattr(self, name), 0 if name == "warm_up" else 1
            unlimited = name == "mask_rois" and value is None
            if not unlimited and (not isinstance(value, int) or value < least):
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name in ("learning_rate", "clip", "rare"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)!r}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), got {self.ema!r}")
        for size in self.sizes or ():
            if min(size) < 64 or any(side % 32 for side in size):
                raise ValueError(f"sizes must have sides of at least 64 pixels, multiples of 32, got {size}")
        if self.input_size and not MIN_SIDE <= self.input_size[0] <= self.input_size[1] <= MAX_SIDE:
            raise ValueError(
                f"input_size must be (short side, longest side) within {MIN_SIDE} and {MAX_SIDE} pixels, "
                f"got {self.input_size}"
            )

    def rate(self, step: int) -> float:
        """The learning rate as a fraction of its peak, (0, 1], at a step counted from 0."""
        rising = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        return max(rising * (0.5 + 0.5 * math.cos(math.pi * step / self.steps)), 0.01)
