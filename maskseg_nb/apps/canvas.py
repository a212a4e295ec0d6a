"""A drawn Figure whose panels are replaced in its pixels, sent through one `widgets.Image`.

Drawing a matplotlib figure takes tens of milliseconds; writing an array into a figure that is already drawn
takes one. So the frame and the titles are drawn once a picture, and a moved slider replaces a panel only.
"""

from collections import defaultdict
from collections.abc import Sequence

import cv2
import ipywidgets as widgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .._shared.text import visible
from ..data.codec import encoded
from ..drawing.tags import draw_note
from .link import Link

BLOCK = 16  # pixels; JPEG's block with halved colour: panels start on it, so that equal panels stay equal
TITLE_HEIGHT = 2 * BLOCK
BACKGROUND, TEXT = "#20242b", "#e8eaed"  # a dark mount: photographs stand well on it in either theme
DPI = 100
JPEG_QUALITY = 90


class Canvas:
    """Pictures side by side as one image widget.

    Args:
        width, height: Of a panel, at most, in blocks of 16 pixels.
        view: The widget to show them with: its `value` takes a JPEG file's bytes. None makes a plain one.

    Attributes:
        view: To put into an app.
        pixels: uint8 (H, W, 3), RGB: what the view shows, before JPEG.
        corners, panel_size: (top, left) of each panel, and the height and width of all, in these pixels.
    """

    def __init__(self, width: int = 34, height: int = 40, view: widgets.DOMWidget | None = None) -> None:
        self._limits = (height * BLOCK, width * BLOCK)
        inside = "calc(100% - 4px)"  # every widget has a margin of 2px: at 100% the app scrolls sideways
        self.view = view or widgets.Image(format="jpeg")
        self.view.layout.width, self.view.layout.height = inside, "auto"
        self.view.layout.object_fit = "contain"
        # No tooltip: the front end looks for a description with it, which an Image lacks, and shows nothing.
        self.pixels = np.zeros((BLOCK, BLOCK, 3), np.uint8)
        self._frame = Link(lambda shape, titles: self.draw([np.zeros(shape, np.uint8)] * len(titles), titles))
        self._fitting: dict[int, Link[np.ndarray]] = defaultdict(lambda: Link(_resized))  # a panel each
        self.corners: list[tuple[int, int]] = []
        self.panel_size = (BLOCK, BLOCK)

    def draw(self, pictures: Sequence[np.ndarray], titles: Sequence[str]) -> None:
        """Draw the whole figure: frame, titles and pictures of one size, uint8 (H, W, 3) RGB."""
        height, width = self._fit(pictures[0].shape)
        step = self._limits[1] + BLOCK
        left = BLOCK + (self._limits[1] - width) // 2 // BLOCK * BLOCK
        corners = [(TITLE_HEIGHT, left + step * index) for index in range(len(pictures))]
        total_width, total_height = BLOCK + step * len(pictures), TITLE_HEIGHT + height + BLOCK

        figure = Figure((total_width / DPI, total_height / DPI), dpi=DPI, facecolor=BACKGROUND)
        agg = FigureCanvasAgg(figure)
        for picture, title, (top, x) in zip(pictures, titles, corners, strict=True):
            bottom = total_height - top - height
            axis = figure.add_axes(
                (x / total_width, bottom / total_height, width / total_width, height / total_height)
            )
            axis.set_axis_off()
            axis.imshow(_resized(picture, (height, width)), interpolation="nearest", aspect="auto")
            axis.set_title(visible(title), color=TEXT, fontsize=11, pad=6, parse_math=False)
        agg.draw()
        pixels = np.array(agg.buffer_rgba())[..., :3].copy()
        # Together, so that an interrupt cannot leave the one and not the other.
        self.pixels, self.corners, self.panel_size = pixels, corners, (height, width)

    def show(self, pictures: Sequence[np.ndarray], titles: Sequence[str]) -> None:
        """The same as `draw`, for arrays that nobody writes into: what is shown is not drawn again."""
        self._frame(pictures[0].shape, tuple(titles))
        for panel, picture in enumerate(pictures):
            self._put(panel, self._fitting[panel](picture, self.panel_size))

    def replace(self, panel: int, picture: np.ndarray) -> None:
        """Put another picture into a panel of the drawn figure; of the size that `draw` was given."""
        self._put(panel, _resized(picture, self.panel_size))

    def annotate(self, panel: int, text: str) -> None:
        """Write a note across the foot of a panel."""
        self._put(panel, draw_note(self.panel(panel), text))

    def panel(self, index: int) -> np.ndarray:
        """A copy of a panel's pixels, uint8 (h, w, 3) RGB."""
        (top, left), (height, width) = self.corners[index], self.panel_size
        return self.pixels[top : top + height, left : left + width].copy()

    def locate(self, x: float, y: float) -> tuple[int, float, float] | None:
        """Which panel is at a place of the view, and where in it: all in [0, 1]; None between panels."""
        (height, width), (rows, columns) = self.panel_size, self.pixels.shape[:2]
        for index, (top, left) in enumerate(self.corners):
            inner_x, inner_y = (x * columns - left) / width, (y * rows - top) / height
            if 0 <= inner_x < 1 and 0 <= inner_y < 1:
                return index, inner_x, inner_y
        return None

    def send(self) -> None:
        """Encode the pixels and give them to the view."""
        self.view.value = encoded(".jpg", self.pixels, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))

    def png(self, *below: "Canvas") -> bytes:
        """The pixels at half size as a PNG file, for places that show no widgets.

        Args:
            below: Canvases of the same width, whose pixels follow.
        """
        pixels = np.vstack([self.pixels, *(canvas.pixels for canvas in below)])
        half = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return encoded(".png", half, (cv2.IMWRITE_PNG_COMPRESSION, 9))

    def _put(self, panel: int, pixels: np.ndarray) -> None:
        (top, left), (height, width) = self.corners[panel], self.panel_size
        self.pixels[top : top + height, left : left + width] = pixels

    def _fit(self, shape: tuple[int, ...]) -> tuple[int, int]:
        scale = min(self._limits[0] / shape[0], self._limits[1] / shape[1])
        return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    method = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=method)
