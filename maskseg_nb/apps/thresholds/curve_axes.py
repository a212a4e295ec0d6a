"""A plot whose axes are drawn once: a new curve in it takes milliseconds."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...evaluation.figures import draw_axes, draw_curve
from ...evaluation.precision_recall import Curve

DPI = 175


class CurveAxes:
    """Axes for precision over recall.

    Args:
        height, width: Of the plot, in pixels, in the proportions of the picture beside it.

    Attributes:
        place: float64 (2, 3), from (recall, precision, 1) to x and y in the plot, in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        figure = Figure((width / DPI, height / DPI), dpi=DPI, layout="constrained")
        self._agg, self._axis = FigureCanvasAgg(figure), figure.subplots()
        draw_axes(self._axis)
        self._agg.draw()
        self._empty = self._agg.copy_from_bbox(figure.bbox)
        corners = self._axis.transData.transform([(0, 0), (1, 0), (0, 1)])
        (left, bottom), right, top = corners[0], corners[1][0], corners[2][1]
        self.place = np.array([[right - left, 0, left], [0, bottom - top, height - bottom]])

    def draw(self, curve: Curve) -> np.ndarray:
        """The plot of a curve, uint8 (height, width, 3) RGB."""
        self._agg.restore_region(self._empty)
        draw_curve(self._axis, curve, f"area {curve.average_precision:.2f}", "C0")
        for artist in (self._axis.legend(loc="lower left"), *self._axis.lines, *self._axis.collections):
            self._axis.draw_artist(artist)
            artist.remove()
        return np.array(self._agg.buffer_rgba())[..., :3].copy()
