"""A training to be watched: how the losses fall, and what the network says about one picture by now."""

import time
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN

from ..data.images import preprocess
from ..drawing.figures import figure_png
from ..drawing.overlay import draw_instances
from ..mask_rcnn.predict import predict
from ..mask_rcnn.prediction import Prediction, check_fraction
from .loop import LOSSES
from .train import Progress

LEAST_SECONDS = 2.0  # between two drawings
SHARE = 0.1  # of the time that drawing may take
LEAST_SIDE = 600  # pixels, the longest side of the picture that is drawn on
SMOOTH = 20  # steps that a line's point is the mean of
# torchvision's names, and what each one asks.
QUESTIONS = {
    "loss_objectness": "is something there?",
    "loss_rpn_box_reg": "where, roughly?",
    "loss_classifier": "what is it?",
    "loss_box_reg": "where exactly?",
    "loss_mask": "which pixels?",
}


class TrainingChart(widgets.Image):
    """A live chart: show it, and give its `update` to `train` as `watch`.

    Args:
        image: uint8 (H, W, 3), RGB: a picture to try the network on as it learns; None shows losses only.
        score_threshold: Draw instances with at least this score, in [0, 1].
    """

    def __init__(self, image: np.ndarray | None = None, *, score_threshold: float = 0.5) -> None:
        super().__init__(format="png")
        check_fraction("score_threshold", score_threshold)
        self.layout.max_width = "100%"
        self._image, self._threshold = image, score_threshold
        self._next = 0.0
        self._redraw(np.zeros((0, len(LOSSES)), np.float32), 0, None)

    def update(self, progress: Progress) -> None:
        """Draw where the training stands; at most every few seconds, and at the end."""
        now = time.perf_counter()
        if now < self._next and progress.step < progress.steps:
            return
        self._redraw(progress.losses, progress.steps, progress.model)
        took = time.perf_counter() - now
        self._next = time.perf_counter() + max(LEAST_SECONDS, took / SHARE)

    def _redraw(self, losses: np.ndarray, steps: int, model: MaskRCNN | None) -> None:
        self.figure = show_training(losses, steps, model, self._image, score_threshold=self._threshold)
        self.value = figure_png(self.figure)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = dict(super()._repr_mimebundle_(**kwargs) or {})
        bundle["text/plain"] = "TrainingChart: run this cell in JupyterLab to watch it"
        return bundle


def show_training(
    losses: np.ndarray,
    steps: int | None = None,
    model: MaskRCNN | None = None,
    image: np.ndarray | None = None,
    *,
    score_threshold: float = 0.5,
) -> Figure:
    """The losses so far, each a mean over the last steps; with a picture and what the model says about it.

    Args:
        losses: float (step, 5), the columns `LOSSES`.
        steps: How many there will be; None: these are all.
        model: In eval mode.
        image: uint8 (H, W, 3), RGB, shown to the model at its own size; None shows losses only.
        score_threshold: Draw instances with at least this score, in [0, 1].
    """
    figure = Figure(figsize=(10.5 if image is not None else 6.5, 3.8), layout="constrained")
    axis, *others = figure.subplots(1, 1 if image is None else 2, squeeze=False)[0]
    for column, name in enumerate(LOSSES):
        axis.plot(_smooth(losses[:, column]), label=f"{name}: {QUESTIONS[name]}", lw=1.6)
    total = f", {losses[-SMOOTH:].sum(axis=1).mean():.2f} in all" if len(losses) else ""
    axis.set(
        title=f"Step {len(losses)} of {steps or len(losses)}{total}",
        xlabel="step",
        ylabel=f"loss, mean of {SMOOTH} steps",
        xlim=(0, max(steps or len(losses), 1)),
    )
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper right")
    for place in others:
        assert image is not None
        place.set_axis_off()
        drawn, title = image, "Not tried yet"
        if model is not None:
            tensor, _ = preprocess(image, size=(image.shape[0], image.shape[1]))
            large, prediction = _enlarged(image, predict(model, tensor))
            instances = prediction.select(score_threshold=score_threshold)
            drawn = draw_instances(large, instances)
            title = f"Found at a score of {score_threshold:.2f} or more: {len(instances)}"
        place.imshow(drawn)
        place.set_title(title, parse_math=False)
    return figure


def _enlarged(image: np.ndarray, prediction: Prediction) -> tuple[np.ndarray, Prediction]:
    """Both a whole number of times as large, so that tags do not hide what they name in a small picture."""
    times = -(-LEAST_SIDE // max(image.shape[:2]))
    large = image.repeat(times, axis=0).repeat(times, axis=1)
    return large, replace(prediction, boxes=times * prediction.boxes, image_size=large.shape[:2])


def _smooth(values: np.ndarray) -> np.ndarray:
    """The mean of each value and up to 19 before it."""
    if not len(values):
        return values
    total = np.cumsum(values, dtype=np.float64)
    before = np.concatenate([np.zeros(min(SMOOTH, len(values))), total[:-SMOOTH]])
    return (total - before) / np.minimum(np.arange(1, len(values) + 1), SMOOTH)
