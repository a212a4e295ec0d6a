"""The threshold explorer: drag a threshold, and see the picture, precision and recall move together."""

import os
import time

import cv2
import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN

from ...data.datasets import Dataset
from ...data.samples import voc_photograph
from ...drawing.figures import show_side_by_side
from ...errors import DatasetError
from ...evaluation.match_pictures import LEGEND
from ...evaluation.matching import Outcome
from ...models.loading import as_model
from ..app import App
from ..binding import Binding
from ..kept import Kept
from ..link import Link
from ..widgets import knob, knob_row, page, swatch, wrapping_row
from .curve_axes import CurveAxes
from .state import LEAST_IOU, ThresholdState

TITLES = ("The model against the ground truth", "Precision and recall, all thresholds")
PLOT = 1000  # pixels, the curve's longer side: sharp on a large screen, whatever the picture has
DOT, DOT_EDGE = (204, 51, 17), (255, 255, 255)


class ThresholdControls:
    """Picture and thresholds."""

    def __init__(self, state: ThresholdState, binding: Binding) -> None:
        self._several, self._back = len(state.dataset) > 1, (binding.undo, binding.reset)
        options = [(f"picture {index}", index) for index in range(len(state.dataset))]
        self.picture = widgets.Dropdown(description="Picture", options=options)
        self.score, self.score_number = knob("Score threshold", state.score_threshold, state.score_floor)
        self.iou, self.iou_number = knob("IoU threshold", state.iou, LEAST_IOU)
        binding.tie("index", [self.picture])
        binding.tie("score_threshold", [self.score, self.score_number])
        binding.tie("iou", [self.iou, self.iou_number])

    def folding(self) -> widgets.Widget:
        """Which picture, and the way back."""
        return wrapping_row(*([self.picture] if self._several else []), *self._back)

    def sliders(self) -> widgets.Widget:
        """The thresholds in a row."""
        pairs = (self.score, self.score_number), (self.iou, self.iou_number)
        return wrapping_row(*(knob_row(*pair) for pair in pairs))


class ThresholdExplorer(App):
    """Judge a model on pictures with truth, with live thresholds. As a cell's last value it displays itself.

    Args:
        model: A loaded MaskRCNN, or what `load_model` takes; None is its default model.
        dataset: Pictures with truth; None takes the VOC photograph.
        settings: What to begin with, a text as `ThresholdExplorer.settings` gives it.
        keep: Where this cell has shown the same app before, take over its settings.

    Raises:
        DatasetError: Model and dataset have no category in common, or there is no picture.
        TypeError: `model` has no mask head, or `dataset` is no dataset.
        ValueError: `settings` is no such text.
    """

    state: ThresholdState

    def __init__(
        self,
        model: MaskRCNN | str | os.PathLike[str] | None = None,
        dataset: Dataset | None = None,
        *,
        settings: str = "{}",
        keep: bool = True,
    ) -> None:
        state = ThresholdState(as_model(model), voc_photograph() if dataset is None else dataset)
        if not len(state.dataset) or not state.judged:
            raise DatasetError("the dataset has no picture, or no category that the model knows")
        self._kept = Kept(("ThresholdExplorer", len(state.dataset)), state)
        self._kept.begin(settings, keep)
        state.update()
        super().__init__(state)
        self.controls = ThresholdControls(state, self.binding)
        self._axes, self._plot, self._dotted = Link(CurveAxes), Link(CurveAxes.draw), Link(_with_dot)
        folding, sliders = self.controls.folding(), self.controls.sliders()
        self.widget = page(folding, sliders, self.line, self.canvas)
        self.open()

    def figure(self) -> Figure:
        with self.state.lock:
            return show_side_by_side(self.state.drawn, self.plot_with_dot(), titles=TITLES)

    def plot(self) -> tuple[np.ndarray, np.ndarray]:
        """The curve, uint8 (h, w, 3) RGB, and the (2, 3) matrix from (recall, precision, 1) to its x, y."""
        rows, columns = self.state.image.shape[:2]
        scale = PLOT / max(rows, columns)
        axes = self._axes(max(1, round(scale * rows)), max(1, round(scale * columns)))
        return self._plot(axes, self.state.curve), axes.place

    def plot_with_dot(self) -> np.ndarray:
        """The curve, with a dot where the score threshold stands on it."""
        (plot, place), match = self.plot(), self.state.match
        if np.isnan([match.precision, match.recall]).any():
            return plot
        return self._dotted(plot, *(place @ [match.recall, match.precision, 1]).round().astype(int).tolist())

    def draw(self, started: float) -> None:
        state = self.state
        self.canvas.show(
            state.drawn,
            self.plot_with_dot(),
            TITLES,
            items=state.items(),
            mapped=(True, False),
            fixed=(False, True),
            caption=f"score {state.score_threshold:.2f}, IoU {state.iou:.2f}",
        )
        redraw_ms = 1000 * (time.perf_counter() - started)
        match = self.state.match
        right, wrong = match.count(Outcome.TRUE_POSITIVE), match.false_positives
        missed = int(match.missed.sum())
        colors = [swatch(color) for color, _ in LEGEND]
        self.status.value = (
            f"{colors[0]} <b>{right}</b> true positives &nbsp; "
            f"{colors[1]} <b>{wrong}</b> false positives (striped) &nbsp; "
            f"{colors[2]} <b>{missed}</b> false negatives (dashed) &nbsp; "
            f"precision {_share(right, right + wrong)} &nbsp; recall {_share(right, right + missed)} "
            f'<span class="maskseg-muted">&nbsp; redraw {redraw_ms:.0f} ms</span>'
        )


def _share(part: int, whole: int) -> str:
    """As "5 / 7 = 0.71"."""
    return f"{part} / {whole} = <b>{part / whole:.2f}</b>" if whole else "<b>-</b> (nothing to divide by)"


def _with_dot(plot: np.ndarray, x: int, y: int) -> np.ndarray:
    plot = plot.copy()
    for radius, color in ((15, DOT_EDGE), (12, DOT)):
        cv2.circle(plot, (x, y), radius, color, cv2.FILLED, cv2.LINE_AA)
    return plot
