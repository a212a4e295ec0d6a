"""What an app shows, without a widget: validated settings that refuse what they cannot use."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torchvision.models.detection import MaskRCNN
from traitlets import Bunch, Enum, HasTraits, TraitError, TraitType

from .._shared.checks import check_fraction
from ..errors import shortened

if TYPE_CHECKING:
    from .runner import Runner  # which sets the settings right where a choice cannot be had


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
        runner: Runs the network for another choice; None where `update` alone does.
        assigning: Whether `assign` is setting several, of which it tells at its end.
        model: The model behind what is shown.
        image: uint8 (H, W, 3), RGB: the picture at the size that the network saw.
    """

    KNOBS: tuple[str, ...] = ()  # what `reset` sets back
    SETTINGS: tuple[str, ...] = ()  # all that a person can change

    runner: "Runner | None" = None
    model: MaskRCNN
    image: np.ndarray

    def __init__(self) -> None:
        super().__init__()
        self.lock, self.assigning = threading.RLock(), False

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
        return self.runner is not None and self.runner.is_needed

    @property
    def text(self) -> str:
        """The settings that are not at their defaults, as JSON: short enough to be passed on."""
        defaults = {name: self.traits()[name].default() for name in self.SETTINGS}
        return json.dumps({n: getattr(self, n) for n in self.SETTINGS if getattr(self, n) != defaults[n]})

    def take(self, text: str) -> None:
        """Set what a `text` says; all else stays.

        Raises:
            ValueError, TypeError: It is no such text, or one of its values is refused; nothing is changed.
        """
        if not isinstance(text, str):
            raise TypeError(f"settings must be a text, as `settings` gives it, got {type(text).__name__}")
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise ValueError(
                f"settings must be JSON, as `settings` gives it, got {shortened(ascii(text), 80)}"
            )
        if unknown := [name for name in values if name not in self.SETTINGS]:
            known = ", ".join(self.SETTINGS)
            raise ValueError(f"settings has no {shortened(ascii(unknown[0]), 80)}; there are {known}")
        self.assign({n: tuple(value) if isinstance(value, list) else value for n, value in values.items()})

    def assign(self, values: Mapping[str, Any]) -> None:
        """Set several at once: observers hear of all together; where one is refused, nothing is changed."""
        with self.lock:
            before = {name: getattr(self, name) for name in values}
            self.assigning = True  # traitlets' own way to hold changes back tells of refused ones, too
            try:
                for name, value in values.items():
                    setattr(self, name, value)
            except BaseException:
                for name, value in before.items():
                    setattr(self, name, value)
                raise
            finally:
                self.assigning = False
            for name, old in before.items():
                if getattr(self, name) != old:  # one is enough: whoever follows looks at all
                    new = getattr(self, name)
                    self.notify_change(Bunch(name=name, old=old, new=new, owner=self, type="change"))
                    return

    def reset(self) -> None:
        """Set every knob back to its default; all else stays."""
        self.assign({knob: self.traits()[knob].default() for knob in self.KNOBS})

    def watch(self, running: Callable[[str], None]) -> None:
        """Let `update` call `running(stage)` at each stage of the network."""
        if self.runner:
            self.runner.running = running

    def cancel(self, newer: bool = False) -> None:
        """Let an `update` that runs the network end with `Cancelled`; `newer`: for another choice."""
        if self.runner:
            self.runner.cancel(newer)

    def update(self) -> None:
        """Bring everything up to date with the settings."""
        raise NotImplementedError
