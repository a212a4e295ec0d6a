"""The threshold explorer: drag a threshold, and see the picture, precision and recall move together."""

import os
import time
from collections.abc import Callable
from typing import Any

import cv2
import ipywidgets as widgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN

from ...data.datasets import Dataset
from ...data.samples import voc_photograph
from ...drawing.figures import show_side_by_side
from ...errors import DatasetError
from ...evaluation.figures import draw_curve
from ...evaluation.match_pictures import LEGEND
from ...evaluation.matching import Outcome
from ...models.loading import as_model
from ..app import App
from ..binding import Controls
from ..canvas import DPI, Canvas
from ..widgets import STYLE_SHEET, knob, swatch, wrapping_row
from .state import LEAST_IOU, ThresholdState

PANEL = (560, 544)  # height and width of the curve, in pixels, at most
DOT, DOT_EDGE = (204, 51, 17), (255, 255, 255)


class ThresholdControls(Controls):
    """Picture and thresholds."""

    _state: ThresholdState

    def __init__(self, state: ThresholdState, on_change: Callable[[str, Any], None]) -> None:
        super().__init__(state, on_change)
        options = [(f"picture {index}", index) for index in range(len(state.dataset))]
        self.picture = widgets.Dropdown(description="Picture", options=options)
        self.score, self.score_number = knob("Score threshold", state.score_threshold, state.score_floor)
        self.iou, self.iou_number = knob("IoU threshold", state.iou, LEAST_IOU)
        self._tie("index", self.picture)
        self._tie("score_threshold", self.score, self.score_number)
        self._tie("iou", self.iou, self.iou_number)

    def layout(self, *below: widgets.Widget) -> widgets.VBox:
        """The whole app: the thresholds in a row, then `below`."""
        column = widgets.Layout(flex="1 1 380px", min_width="320px")
        rows = [
            widgets.HBox(cells, layout=column)
            for cells in ((self.score, self.score_number), (self.iou, self.iou_number))
        ]
        first = [self.picture] if len(self._state.dataset) > 1 else []
        knobs = widgets.HBox(rows, layout=widgets.Layout(flex_flow="row wrap"))
        app = widgets.VBox([widgets.HTML(STYLE_SHEET), knobs, wrapping_row(*first, self.reset), *below])
        app.add_class("maskseg")
        return app


class ThresholdExplorer(App):
    """Judge a model on pictures with truth, with live thresholds. As a cell's last value it displays itself.

    Args:
        model: A loaded MaskRCNN, or what `load_model` takes; None is its default model.
        dataset: Pictures with truth; None takes the VOC photograph.

    Raises:
        DatasetError: Model and dataset have no category in common, or there is no picture.
        TypeError: `model` has no mask head.
    """

    state: ThresholdState
    controls: ThresholdControls

    def __init__(
        self, model: MaskRCNN | str | os.PathLike[str] | None = None, dataset: Dataset | None = None
    ) -> None:
        super().__init__()
        self.state = ThresholdState(as_model(model), voc_photograph() if dataset is None else dataset)
        if not len(self.state.dataset) or not self.state.judged:
            raise DatasetError("the dataset has no picture, or no category that the model knows")
        self.state.update()
        self.controls = ThresholdControls(self.state, self._set)
        self._canvas = Canvas()
        self._drawn_for: tuple[int, float] | None = None
        self.widget = self.controls.layout(self._canvas.view, self._message, self._status)
        self._open()

    def figure(self) -> Figure:
        """The same two panels as a plain matplotlib Figure."""
        with self.state.lock:
            return show_side_by_side(self.state.drawn, self._plot_with_dot(), titles=self._titles())

    def _png(self) -> bytes:
        return self._canvas.png()

    def _redraw(self) -> float:
        start, state = time.perf_counter(), self.state
        state.update()
        wanted = (state.index, state.iou)
        if self._drawn_for != wanted:
            self._plot, self._place = self._draw_plot()
            self._canvas.draw([state.drawn, self._plot], self._titles())
            self._drawn_for = wanted
        self._canvas.replace(0, state.drawn)
        self._canvas.replace(1, self._plot_with_dot())
        self._canvas.send()
        return 1000 * (time.perf_counter() - start)

    def _titles(self) -> tuple[str, str]:
        return "The model against the truth", "Precision and recall, all thresholds"

    def _draw_plot(self) -> tuple[np.ndarray, np.ndarray]:
        """The curve as pixels of the picture's proportions, and how (recall, precision, 1) becomes x, y."""
        rows, columns = self.state.image.shape[:2]
        scale = min(PANEL[0] / rows, PANEL[1] / columns)
        size = max(1, round(rows * scale)), max(1, round(columns * scale))
        figure = Figure((size[1] / DPI, size[0] / DPI), dpi=DPI, layout="constrained")
        agg, axis = FigureCanvasAgg(figure), figure.subplots()
        area = self.state.curve.average_precision
        draw_curve(axis, self.state.curve, f"area {area:.2f}", "C0")
        axis.legend(loc="lower left")
        agg.draw()
        origin, right, top = axis.transData.transform([(0, 0), (1, 0), (0, 1)])
        pixels = np.array(agg.buffer_rgba())[..., :3].copy()
        place = np.array([[right[0] - origin[0], 0, origin[0]], [0, origin[1] - top[1], size[0] - origin[1]]])
        return pixels, place

    def _plot_with_dot(self) -> np.ndarray:
        """The curve, with a dot where the score threshold stands on it."""
        match, plot = self.state.match, self._plot.copy()
        if not np.isnan([match.precision, match.recall]).any():
            x, y = (self._place @ [match.recall, match.precision, 1]).round().astype(int).tolist()
            for radius, color in ((9, DOT_EDGE), (7, DOT)):
                cv2.circle(plot, (x, y), radius, color, cv2.FILLED, cv2.LINE_AA)
        return plot

    def _describe(self, redraw_ms: float) -> None:
        match = self.state.match
        right, wrong = match.count(Outcome.TRUE_POSITIVE), match.false_positives
        missed = int(match.missed.sum())
        colors = [swatch(color) for color, _ in LEGEND]
        self._status.value = (
            f"{colors[0]} <b>{right}</b> right &nbsp; {colors[1]} <b>{wrong}</b> wrong &nbsp; "
            f"{colors[2]} <b>{missed}</b> missed (dashed) &nbsp; "
            f"precision {_share(right, right + wrong)} &nbsp; recall {_share(right, right + missed)} "
            f'<span class="maskseg-muted">&nbsp; redraw {redraw_ms:.0f} ms</span>'
        )


def _share(part: int, whole: int) -> str:
    """As "5 / 7 = 0.71"."""
    return f"{part} / {whole} = <b>{part / whole:.2f}</b>" if whole else "<b>-</b> (nothing to divide by)"
