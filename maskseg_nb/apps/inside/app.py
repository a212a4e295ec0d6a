"""The stage explorer: every stage of the network on screen, every knob live, one box followed all the way.

The state runs the network and draws (inside_state.py), the controls are widgets and nothing more
(inside_controls.py); this view joins the two.
"""

import os
import time

import ipywidgets as widgets
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN

from ..._shared.text import as_html, visible
from ...drawing.figures import show_side_by_side
from ...drawing.film_strip import FRAMES, TILE
from ...mask_rcnn.journey import Journey
from ...mask_rcnn.trace import STAGES, Trace
from ...models.loading import as_model, load_model
from ..canvas import Canvas
from ..clickable_image import ClickableImage
from ..picture_app import PictureApp
from ..picture_sources import Pictures
from ..widgets import swatch
from .controls import InsideControls
from .state import InsideState


class Inside(PictureApp):
    """Look into Mask R-CNN stage by stage. As a cell's last value it displays itself.

    Args:
        folder: Offer the pictures in this folder; None takes the notebook's own.
        model: A loaded MaskRCNN, or what `load_model` takes; None is its default model.

    Raises:
        MasksegError: No such folder, or the model cannot be had.
        TypeError: `model` has no mask head.
    """

    state: InsideState
    controls: InsideControls

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        model: MaskRCNN | str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        pictures = Pictures(folder)
        self.state = InsideState(pictures, as_model(model), load_model)
        wrong = self.state.begin()
        self.controls = InsideControls(self.state, self._set)
        clickable = ClickableImage()
        clickable.on_click(self._clicked)
        self._canvas, self._film = Canvas(35, 34, clickable), Canvas(TILE // 16, TILE // 16)
        self._drawn: tuple[object, ...] = ()
        self._caption, self._way = widgets.HTML(), widgets.HTML()
        self._film.draw([frame.picture for frame in self.state.frames], FRAMES)
        self.widget = self.controls.layout(
            [self._status, self._message, self._canvas.view, self._caption], [self._film.view, self._way]
        )
        self._begin(wrong)

    @property
    def trace(self) -> Trace:
        """Every stage of the run on screen."""
        return self.state.trace

    @property
    def journey(self) -> Journey:
        """The way of the box that is followed."""
        return self.state.journey

    def figure(self) -> Figure:
        """The stage's two panels as a plain matplotlib Figure."""
        with self.state.lock:
            pair = self.state.pair
            return show_side_by_side(pair.left, pair.right, titles=pair.titles)

    def _png(self) -> bytes:
        return self._canvas.png(self._film)

    # What a person does.

    def _clicked(self, x: float, y: float) -> None:
        self._guarded(self._follow_at, x, y)

    def _follow_at(self, x: float, y: float) -> None:
        with self.state.lock:
            place = self._canvas.locate(x, y)
            if place is None or (place[0] == 0 and self.state.stage == "masks"):
                return  # beside the pictures, or on the enlarged mask
            if place[0] == 1 and self.state.stage in ("normalised", "features"):
                return  # no photograph
            height, width = self.state.image.shape[:2]
            self.state.follow_at(place[1] * width, place[2] * height)

    # What a person sees.

    def _redraw(self) -> float:
        state = self.state
        start = time.perf_counter()
        state.update()
        pair = state.pair
        if self._drawn != (state.image.shape, pair.titles):
            self._canvas.draw([pair.left, pair.right], pair.titles)
            self._drawn = (state.image.shape, pair.titles)
        for panel, picture in enumerate((pair.left, pair.right)):
            self._canvas.replace(panel, picture)
        for panel, frame in enumerate(state.frames):
            self._film.replace(panel, frame.picture)
        self._canvas.view.description = visible(f"{', '.join(pair.titles)}. {pair.caption}")
        self._canvas.send()
        self._film.send()
        return 1000 * (time.perf_counter() - start)

    def _describe(self, redraw_ms: float) -> None:
        state, pair = self.state, self.state.pair
        run = state.trace
        ran = [STAGES[stage].title for stage in run.rerun_stages]
        took = sum(run.milliseconds[stage] for stage in run.rerun_stages)
        what = "all stages" if len(ran) == len(STAGES) else ", ".join(ran) or "no stage"
        device = next(state.model.parameters()).device
        self._status.value = (
            f"<b>{as_html(what)}</b> ran in {took:.0f} ms "
            f'<span class="maskseg-muted">&nbsp; {as_html(state.model_name)} on {device} &nbsp; '
            f"update {redraw_ms:.0f} ms</span>"
        )
        legend = " &nbsp; ".join(f"{swatch(color)} {as_html(text)}" for color, text in pair.legend)
        self._caption.value = f"{as_html(pair.caption)}<br>{legend}"
        self._way.value = _way(state)


def _way(state: InsideState) -> str:
    """What happened to the followed box, under each small picture; then its scores as bars."""
    frames = "".join(
        f"<div>{'<br>'.join(as_html(line) for line in frame.lines)}</div>" for frame in state.frames
    )
    film = f'<div class="maskseg-film">{frames}</div>'
    found = state.journey.detection
    if found is None:
        return film
    bars = ""
    for label in found.scores.argsort()[::-1][:6].tolist():
        name = state.trace.prediction.categories[label] if label else "background"
        bar = f'<i style="width: {100 * found.scores[label]:.2f}%"></i>'
        bars += f"<span>{as_html(name)}</span>{bar}<span>{found.scores[label]:.3f}</span>"
    return f'{film}<div class="maskseg-scores">{bars}</div>'
