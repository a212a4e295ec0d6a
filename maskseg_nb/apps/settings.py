"""What an app shows, without a widget: validated settings that refuse what they cannot use."""

import threading
from typing import Any

import numpy as np
from torchvision.models.detection import MaskRCNN
from traitlets import Enum, HasTraits, TraitError, TraitType

from .._shared.checks import check_fraction
from ..errors import shortened


class Fraction(TraitType[float, float]):
    """A number in [0, 1]; NaN and everything else raise ValueError or TypeError."""

    info_text = "a number in [0, 1]"

    def validate(self, obj: HasTraits | None, value: Any) -> float:
        check_fraction(self.name or "value", value)
        return float(value)


class Settings(HasTraits):
    """Settings as validated traits. A wrong value is a ValueError or TypeError, and changes nothing.

    Attributes:
        lock: Around every computation and every drawing.
        model: The model behind what is shown.
        image: uint8 (H, W, 3), RGB: the picture at the size that the network saw.
    """

    KNOBS: tuple[str, ...] = ()  # what `reset` sets back
    SETTINGS: tuple[str, ...] = ()  # all that a person can change

    model: MaskRCNN
    image: np.ndarray

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
        except TraitError:
            trait = self.traits()[name]
            message = f"{name} must be {shortened(trait.info(), 150)}, got {shortened(ascii(value), 80)}"
            raise (ValueError if isinstance(trait, Enum) else TypeError)(message) from None

    @property
    def score_floor(self) -> float:
        """The lowest score that the model reports at all."""
        return float(self.model.roi_heads.score_thresh)

    @property
    def needs_network(self) -> bool:
        """Whether `update` runs the network for a new choice, and a person waits."""
        return False

    def reset(self) -> None:
        """Set every knob back to its default; all else stays."""
        for knob in self.KNOBS:
            setattr(self, knob, self.traits()[knob].default())

    def update(self) -> None:
        """Bring everything up to date with the settings."""
        raise NotImplementedError
