"""A training's losses and predictions, drawn while it runs."""

import time
from collections import deque
from typing import Any

import anywidget
import numpy as np
from torchvision.models.detection import MaskRCNN
from traitlets import Bytes, Unicode

from .._shared.checks import check_fraction
from ..drawing.figures import figure_png
from ..training.figures import show_training
from ..training.loop import LOSSES
from ..training.train import Progress
from .widgets import browser_code

LEAST_SECONDS = 2.0  # between two drawings
SHARE = 0.1  # of the time that drawing may take
LEAST_STEPS, MOST_STEPS = 5, 50  # the last ones, by which the remaining time is reckoned


class TrainingChart(anywidget.AnyWidget):  # ipywidgets' Image has no text for those who cannot see it
    """A live chart: show it, and give its `update` to `train` as `watch`.

    Args:
        image: uint8 (H, W, 3), RGB: a picture to try the network on as it learns; None shows losses only.
        score_threshold: Draw instances with at least this score, in [0, 1].

    Attributes:
        value: The chart as a PNG file's bytes.
        description: Read aloud in its place.
        app_id: Its own model id: a saved notebook holds the last chart.
    """

    _esm = browser_code("saved_notebook", "training_chart")
    value = Bytes(b"").tag(sync=True)
    description, app_id = (Unicode("").tag(sync=True) for _ in range(2))

    def __init__(self, image: np.ndarray | None = None, *, score_threshold: float = 0.5) -> None:
        super().__init__()
        check_fraction("score_threshold", score_threshold)
        self.app_id = self.model_id
        self._image, self._threshold = image, score_threshold
        self._next = 0.0
        self._step, self._ends = 0, deque[float](maxlen=MOST_STEPS + 1)
        self._redraw(np.zeros((0, len(LOSSES)), np.float32), 0, None, None)

    def update(self, progress: Progress) -> None:
        """Draw where the training stands; at most every few seconds, and at the end."""
        now = time.perf_counter()
        left = self._seconds_left(progress, now)
        if now < self._next and progress.step < progress.steps:
            return
        self._redraw(progress.losses, progress.steps, progress.model, left)
        took = time.perf_counter() - now
        self._next = time.perf_counter() + max(LEAST_SECONDS, took / SHARE)

    def _seconds_left(self, progress: Progress, now: float) -> float | None:
        """By the mean of the last steps, drawing included; None before there are a few."""
        if progress.step != self._step + 1:  # another training, or one resumed from an earlier step
            self._ends.clear()
        self._step = progress.step
        self._ends.append(now)
        measured = len(self._ends) - 1
        if measured < LEAST_STEPS:
            return None
        return (now - self._ends[0]) / measured * (progress.steps - progress.step)

    def _redraw(
        self, losses: np.ndarray, steps: int, model: MaskRCNN | None, seconds_left: float | None
    ) -> None:
        self.figure = show_training(
            losses, steps, model, self._image, score_threshold=self._threshold, seconds_left=seconds_left
        )
        with self.hold_sync():
            self.description = self.figure.axes[0].get_title() or "Losses of the training"
            self.value = figure_png(self.figure)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
        bundle, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        text = "TrainingChart: run this cell in JupyterLab to watch it"
        return {**bundle, "image/png": self.value, "text/plain": text}, metadata
