"""Which picture goes through which model, at which size: the one place where the network runs for an app."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torchvision.models.detection import MaskRCNN

from ..data.images import preprocess
from ..errors import ImageError, MasksegError
from ..mask_rcnn.trace import STAGES
from ..models.loading import load_model
from ..models.zoo import MODELS
from .link import Link, Result
from .picture_sources import PictureSources
from .settings import Settings

CHOICES = ("picture", "model_name", "input_size")  # the settings whose change runs the network
AUTOMATIC = "automatic"  # the documented size for the samples; a person's own pictures keep their proportions
INPUT_SIZES: dict[str, tuple[int, int] | None] = {
    "800 x 800, as documented": (800, 800),
    "proportions kept": None,
}

# The network's modules -> the stage in which they run.
_STAGE_OF = {
    "backbone": "features",
    "rpn": "anchors",
    "roi_heads.box": "box_scores",
    "roi_heads.mask": "masks",
}


class Cancelled(MasksegError):
    """A person did not want to wait for the network.

    Attributes:
        newer: Whether that was because of another choice.
    """

    def __init__(self, newer: bool) -> None:
        super().__init__("Cancelled; everything is as before")
        self.newer = newer


class Runner:
    """Reads pictures, loads models and runs the network, where another picture, model or size is chosen.

    Args:
        settings: Of the app, with the traits `CHOICES`; they begin with the first picture and `model`.
        pictures: What can be chosen.
        model: A loaded model to begin with.
        network: Called with a model and its tensor; changes nothing.
        choices: The settings whose change runs the network: `CHOICES`, and an app's own.

    Attributes:
        load_model: Called with a name from the table when another model is chosen.
        photo: uint8 (H, W, 3), RGB: the picture that ran last, at its own size.
        milliseconds: How long the network took.
        finished: When it had, on `time.perf_counter`.
        running: Called with a stage's title when the network comes to it.
        running_for: The choice that it runs for, or ran for last.
    """

    photo: np.ndarray
    milliseconds: float
    finished: float

    def __init__(
        self,
        settings: Settings,
        pictures: PictureSources,
        model: MaskRCNN,
        network: Callable[[MaskRCNN, Tensor], Any],
        choices: tuple[str, ...] = CHOICES,
    ) -> None:
        self.settings, self.pictures, self.load_model = settings, pictures, load_model
        name = str(getattr(model, "name", "your model"))
        settings.picture, settings.model_name, settings.model = pictures.labels[0], name, model
        self._models, self._network, self._choices = {name: model}, network, choices
        self._last = Link(self._run)
        self.running: Callable[[str], None] = lambda stage: None
        self.running_for: tuple[Any, ...] = ()
        self._is_wanted: Callable[[], bool] = lambda: True
        self._stop: Cancelled | None = None

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models that can be chosen: those of the table, and the one that was given."""
        return tuple(dict.fromkeys([*MODELS, *self._models]))

    @property
    def choice(self) -> tuple[Any, ...]:
        """What is chosen: picture, model and input size, and what else there is to choose."""
        return tuple(getattr(self.settings, name) for name in self._choices)

    @property
    def ran(self) -> tuple[Any, ...]:
        """What is shown: `choice`, unless something else was chosen and the network has not run."""
        return self._last.arguments or self.choice

    @property
    def is_needed(self) -> bool:
        """Whether `run` has anything to do for what is chosen."""
        return not self._last.remembers(*self.choice)

    def begin(self) -> str:
        """Bring the settings up to date, for the first picture of the list that can be read.

        Returns:
            What is wrong with the first that cannot; empty where none was passed over.
        """
        wrong = ""
        *others, last = dict.fromkeys([self.choice[0], *self.pictures.labels])
        for label in others:
            self.settings.picture = label
            try:
                self.settings.update()
                return wrong
            except ImageError as error:
                wrong = wrong or str(error)
        self.settings.picture = last
        self.settings.update()
        return wrong

    def run(self, *choice: Any) -> tuple[MaskRCNN, np.ndarray, Any]:
        """Read a picture and run the network, unless it ran for the same choice last.

        Args:
            choice: As `choice`. Another thread may choose others meanwhile.

        Returns:
            The model, the image that it saw, uint8 (H, W, 3) RGB, and what it said.

        Raises:
            MasksegError: The picture or the model cannot be had; the settings are then as before.
        """
        try:
            return self._last(*choice)
        except BaseException:
            if self._last.arguments and choice == self.choice:
                # All of them, before anybody hears of one: nobody is to run the network for a mixture.
                with self.settings.hold_trait_notifications():
                    for name, value in zip(self._choices, self._last.arguments, strict=True):
                        setattr(self.settings, name, value)
            raise

    def size_name(self, picture: str, input_size: str) -> str:
        """The name in `INPUT_SIZES` that a choice comes to."""
        documented, kept = INPUT_SIZES
        if input_size == AUTOMATIC:
            return documented if self.pictures.is_sample(picture) else kept
        return input_size

    def cancel(self, newer: bool = False) -> None:
        """Let the `run` that is under way, in another thread, end with `Cancelled`.

        Args:
            newer: Only if something else has been chosen since it began.
        """
        if not newer or not self._is_wanted():
            self._stop = Cancelled(newer)

    def model(self, name: str) -> MaskRCNN:
        """A model that can be chosen; it is loaded once."""
        if name not in self._models:
            self._models[name] = self.load_model(name)
        return self._models[name]

    def watched(
        self,
        is_wanted: Callable[[], bool],
        model: MaskRCNN,
        function: Callable[..., Result],
        *arguments: Any,
    ) -> Result:
        """Call what runs a model; for a newer choice it is cancelled if it `is_wanted` no more."""
        self._is_wanted, self._stop = is_wanted, None
        with self.watching(model):
            return function(*arguments)

    @contextmanager
    def watching(self, model: MaskRCNN) -> Iterator[None]:
        """Tell of the stages that run in this thread, and end them where that is wanted.

        By torch's hook for all modules: one of the model's own would say that it casts (`check_model`).
        """
        parts = [(module, name) for name, module in model.named_modules()]
        stages = {m: stage for m, name in parts for part, stage in _STAGE_OF.items() if name.startswith(part)}
        this, told = threading.get_ident(), ""

        def enter(module: nn.Module, inputs: Any) -> None:
            nonlocal told
            stage = stages.get(module)
            if stage is None or threading.get_ident() != this:  # or a cell's own run of the same model
                return
            if self._stop:
                raise self._stop
            if stage != told:
                told = stage
                self.running(STAGES[stage].title)

        with register_module_forward_pre_hook(enter):
            yield

    def _run(self, *choice: Any) -> tuple[MaskRCNN, np.ndarray, Any]:
        picture, model_name, input_size = choice[: len(CHOICES)]
        self.running_for, self._is_wanted, self._stop = choice, lambda: choice == self.choice, None
        photo, model = self.pictures.image(picture), self.model(model_name)
        tensor, image = preprocess(photo, INPUT_SIZES[self.size_name(picture, input_size)])
        start = time.perf_counter()
        with self.watching(model):
            output = self._network(model, tensor)
        self.finished = time.perf_counter()
        self.photo, self.milliseconds = photo, 1000 * (self.finished - start)
        return model, image, output
