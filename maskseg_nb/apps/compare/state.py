"""What the comparison shows, without a widget: two runs, the stage where they part, who was lost."""

import cv2
import numpy as np
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from traitlets import Enum, Float, Unicode

from ...data.images import preprocess
from ...explain.compare import Comparison, compare
from ...explain.comparison_pictures import draw_comparison
from ...explain.twins import CHANGES, twin
from ...mask_rcnn.trace import Trace, trace
from ..link import Link
from ..picture_sources import PictureSources
from ..runner import AUTOMATIC, CHOICES, INPUT_SIZES, Runner
from ..settings import Fraction, Settings

SAME, UNCHANGED = "the same", "none"
OTHERS = ("other_model", "other_size", "change", "amount")  # what the second run has of its own


class CompareState(Settings):
    """A first run, what the second one has of its own, and what they give.

    Attributes:
        other_model, other_size: Of the second run; `SAME` takes the first one's.
        change, amount: What is done to the second run's photograph, as `twin` takes it; or `UNCHANGED`.
        score_threshold: A detection that scores less counts as lost, in [0, 1].
        run, other: The two runs.
        other_image: uint8 (h, w, 3), RGB: what the second network saw.
        comparison: Of the two.
        panels: Both images with their detections, uint8 (H, W, 3), RGB, of the first image's size.
    """

    picture = Unicode()
    model_name = Unicode()
    input_size = Enum([AUTOMATIC, *INPUT_SIZES], AUTOMATIC)
    other_model = Unicode(SAME)
    other_size = Enum([SAME, AUTOMATIC, *INPUT_SIZES], SAME)
    change = Enum([UNCHANGED, *CHANGES], UNCHANGED)
    amount = Float(0.0)
    score_threshold = Fraction(0.5)

    KNOBS = (*OTHERS, "score_threshold")
    SETTINGS = (*CHOICES, *KNOBS)

    runner: Runner
    run: Trace
    other: Trace
    other_image: np.ndarray
    comparison: Comparison
    panels: tuple[np.ndarray, np.ndarray]

    def __init__(self, pictures: PictureSources, model: MaskRCNN) -> None:
        super().__init__()
        self.runner = Runner(self, pictures, model, self._both, (*CHOICES, *OTHERS))
        # The first run is made again for another picture, model or size only.
        self.first = Link(lambda choice, model, tensor: trace(model, tensor), lambda choice, *_: (choice,))
        self.compare, self.draw = Link(_compared), Link(_panels)

    def update(self) -> None:
        """Bring runs, comparison and panels up to date.

        Raises:
            MasksegError, ValueError: The picture, a model or the twin cannot be had; all is then as before.
        """
        with self.lock:
            self.model, self.image, runs = self.runner.run(*self.runner.choice)
            self.run, self.other, self.other_image = runs
            self.comparison = self.compare(self.run, self.other, self.score_threshold)
            self.panels = self.draw(self.comparison, self.image, self.other_image)

    def _both(self, model: MaskRCNN, tensor: Tensor) -> tuple[Trace, Trace, np.ndarray]:
        """Both runs, and the image of the second; where it has nothing of its own, it is the first."""
        picture, model_name, input_size, other_model, other_size, change, amount = self.runner.running_for
        photo = self.runner.pictures.image(picture)
        photo = photo if change == UNCHANGED else twin(photo, change, amount)
        size = input_size if other_size == SAME else other_size
        name = model_name if other_model == SAME else other_model
        size, own_size = (self.runner.size_name(picture, one) for one in (size, input_size))
        other_tensor, other_image = preprocess(photo, INPUT_SIZES[size])
        other = self.runner.model(name)
        run = self.first((picture, model_name, input_size), model, tensor)
        if (name, size, change) == (model_name, own_size, UNCHANGED):
            return run, run, other_image
        with self.runner.watching(other):
            return run, trace(other, other_tensor), other_image


def _compared(run: Trace, other: Trace, score_threshold: float) -> Comparison:
    return compare(run, other, score_threshold=score_threshold)


def _panels(comparison: Comparison, image: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    left, right = draw_comparison(comparison, image, other)
    height, width = left.shape[:2]
    if right.shape != left.shape:  # one zoom for both
        right = cv2.resize(right, (width, height), interpolation=cv2.INTER_AREA)
    return left, right
