"""Which picture goes through which model, at which size: what the apps' states have in common."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from traitlets import Enum, Unicode

from ..data.images import preprocess
from ..errors import ImageError
from ..models.zoo import MODELS
from .picture_sources import Pictures
from .settings import AppState

INPUT_SIZES: dict[str, tuple[int, int] | None] = {
    "800 x 800, as documented": (800, 800),
    "proportions kept": None,
}


class Choice(AppState):
    """A picture, a model and an input size as validated traits; the network runs when one has changed.

    Args:
        pictures: What can be chosen.
        model: A loaded model to begin with.
        load_model: Called with a name from the table when another model is chosen.

    Attributes:
        photo: uint8 (H, W, 3), RGB: the picture, at its own size.
        image: uint8 (H, W, 3), RGB: the same, at the size that the network saw.
        output: What the network said.
        network_ms: How long the network took, in milliseconds.
    """

    picture = Unicode()
    model_name = Unicode()
    input_size = Enum(list(INPUT_SIZES), next(iter(INPUT_SIZES)))

    CHOICES = ("picture", "model_name", "input_size")  # a change runs the network
    SETTINGS: tuple[str, ...] = CHOICES  # and the knobs, whose change does not

    photo: np.ndarray
    image: np.ndarray
    output: Any

    def __init__(self, pictures: Pictures, model: MaskRCNN, load_model: Callable[[str], MaskRCNN]) -> None:
        name = str(getattr(model, "name", "your model"))
        super().__init__(picture=pictures.labels[0], model_name=name)
        self.pictures = pictures
        self.network_ms = 0.0
        self._load_model = load_model
        self._models = {name: model}
        self._ran_for: tuple[str, str, str] | None = None
        self._restoring = False

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models that can be chosen: those of the table, and the one that was given."""
        return tuple(dict.fromkeys([*MODELS, *self._models]))

    @property
    def model(self) -> MaskRCNN:
        """The model behind the present picture."""
        return self._models[self._ran_for[1] if self._ran_for else self.model_name]

    @property
    def picture_shown(self) -> str:
        """The picture behind `image`: `picture`, unless another was chosen and the network has not run."""
        return self._ran_for[0] if self._ran_for else self.picture

    @property
    def needs_network(self) -> bool:
        """Whether `run_network` has anything to do."""
        return not self._restoring and self._ran_for != self._choice

    @property
    def _choice(self) -> tuple[str, str, str]:
        return self.picture, self.model_name, self.input_size

    def begin(self) -> str:
        """Bring everything up to date, for the first picture of the list that can be read.

        Returns:
            What is wrong with the first that cannot; empty where none was passed over.
        """
        wrong = ""
        *others, last = self.pictures.labels
        for label in others:
            self.picture = label
            try:
                self.update()
                return wrong
            except ImageError as error:
                wrong = wrong or str(error)
        self.picture = last
        self.update()
        return wrong

    def run_network(self) -> None:
        """Read the picture and run the network, where a choice has changed.

        Raises:
            MasksegError: The picture or the model cannot be had; the choice is then as before.
        """
        with self.lock:
            while self.needs_network:  # again where a choice changed while the network ran: the last one wins
                wanted = self._choice
                picture, model_name, input_size = wanted
                try:
                    if model_name not in self._models:
                        self._models[model_name] = self._load_model(model_name)
                    photo = self.pictures.image(picture)
                    tensor, image = preprocess(photo, INPUT_SIZES[input_size])
                    start = time.perf_counter()
                    output = self._run(self._models[model_name], tensor)
                    took = 1000 * (time.perf_counter() - start)
                except BaseException:
                    if self._ran_for and wanted == self._choice:
                        self._restore(self._ran_for)
                    raise
                # Together, so that an interrupt cannot leave one picture with what was found in another.
                self.output, self.photo, self.image = output, photo, image
                self._ran_for, self.network_ms = wanted, took

    def _restore(self, choice: tuple[str, str, str]) -> None:
        self._restoring = True  # who hears of the first of them must not run the network for the others
        try:
            self.picture, self.model_name, self.input_size = choice
        finally:
            self._restoring = False

    def _run(self, model: MaskRCNN, tensor: Tensor) -> Any:
        """Run the network; change nothing."""
        raise NotImplementedError
