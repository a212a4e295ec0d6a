"""The stage explorer: every stage of the network on screen, every knob live, one box followed all the way."""

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
from ...models.loading import as_model
from ..app import App
from ..canvas import Canvas
from ..clickable_image import ClickableImage
from ..picture_chooser import PictureChooser
from ..picture_sources import PictureSources
from ..widgets import swatch
from .controls import InsideControls
from .state import InsideState


class Inside(App):
    """Look into Mask R-CNN stage by stage. As a cell's last value it displays itself.

    Args:
        folder: Offer the pictures in this folder; None takes the notebook's own.
        model: A loaded MaskRCNN, or what `load_model` takes; None is its default model.

    Raises:
        MasksegError: No such folder, or the model cannot be had.
        TypeError: `model` has no mask head.
    """

    state: InsideState

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        model: MaskRCNN | str | os.PathLike[str] | None = None,
    ) -> None:
        state = InsideState(PictureSources(folder), as_model(model))
        wrong = state.runner.begin()
        super().__init__(state)
        self.chooser = PictureChooser(state.runner, self.binding, self.say)
        self.controls = InsideControls(state, self.binding)
        clickable = ClickableImage()
        clickable.on_click(lambda x, y: self.guarded(self._follow_at, x, y))
        self.canvas, self.film = Canvas(35, 34, clickable), Canvas(TILE // 16, TILE // 16)
        self.caption, self.way = widgets.HTML(), widgets.HTML()
        self.widget = self.controls.layout(
            self.chooser, self.status, self.message, self.canvas.view, self.caption, self.film.view, self.way
        )
        self.open(wrong)

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

    def png(self) -> bytes:
        return self.canvas.png(self.film)

    def _follow_at(self, x: float, y: float) -> None:
        with self.state.lock:
            place = self.canvas.locate(x, y)
            if place is None or (place[0] == 0 and self.state.stage == "masks"):
                return  # beside the pictures, or on the enlarged mask
            if place[0] == 1 and self.state.stage in ("normalised", "features"):
                return  # no photograph
            height, width = self.state.image.shape[:2]
            self.state.follow_at(place[1] * width, place[2] * height)

    def draw(self, started: float) -> None:
        state, pair = self.state, self.state.pair
        self.canvas.show([pair.left, pair.right], pair.titles)
        self.film.show([frame.picture for frame in state.frames], FRAMES)
        self.canvas.view.description = visible(f"{', '.join(pair.titles)}. {pair.caption}")
        self.canvas.send()
        self.film.send()
        update_ms = 1000 * (time.perf_counter() - started)
        run = state.trace
        ran = [STAGES[stage].title for stage in run.rerun_stages]
        took = sum(run.milliseconds[stage] for stage in run.rerun_stages)
        what = "all stages" if len(ran) == len(STAGES) else ", ".join(ran) or "no stage"
        device = next(state.model.parameters()).device
        self.status.value = (
            f"<b>{as_html(what)}</b> ran in {took:.0f} ms "
            f'<span class="maskseg-muted">&nbsp; {as_html(state.runner.ran[1])} on {device} &nbsp; '
            f"update {update_ms:.0f} ms</span>"
        )
        legend = " &nbsp; ".join(f"{swatch(color)} {as_html(text)}" for color, text in pair.legend)
        self.caption.value = f"{as_html(pair.caption)}<br>{legend}"
        self.way.value = _way(state)


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
