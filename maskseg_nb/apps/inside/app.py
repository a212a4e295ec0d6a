"""The stage explorer: every stage of the network on screen, every knob live, one box followed all the way."""

import base64
import os
import time
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN

from ..._shared.text import as_html, visible
from ...data.codec import encoded
from ...drawing.figures import show_side_by_side
from ...mask_rcnn.contests import Ending
from ...mask_rcnn.journey import Journey, numbered
from ...mask_rcnn.trace import STAGES, Trace
from ...models.loading import as_model
from ...models.zoo import categories_of
from ..app import App
from ..kept import Kept
from ..link import Link
from ..picture_chooser import PictureChooser
from ..picture_sources import PictureSources
from ..picture_view import JPEG_OPTIONS, item
from ..table_view import TableView
from ..widgets import page, swatch
from .controls import InsideControls
from .state import ANCHOR_STAGES, InsideState
from .why_panel import WhyPanel

COLUMNS = ["#", "box", "score", "outcome", "kept as", "suppressed by", "IoU"]
# Of the stages where one panel shows no photograph: which of them do.
MAPPED = {"normalised": (True, False), "features": (True, False), "masks": (False, True)}


class Inside(App):
    """Look into Mask R-CNN stage by stage. As a cell's last value it displays itself.

    Args:
        folder: Offer the pictures in this folder; None takes the notebook's own.
        model: A loaded MaskRCNN, or what `load_model` takes; None is its default model.
        settings: What to begin with, a text as `Inside.settings` gives it.
        keep: Where this cell has shown the same app before, take over its settings and uploads.

    Raises:
        MasksegError: No such folder, or the model cannot be had.
        TypeError: `model` has no mask head.
        ValueError: `settings` is no such text.
    """

    state: InsideState

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        model: MaskRCNN | str | os.PathLike[str] | None = None,
        *,
        settings: str = "{}",
        keep: bool = True,
    ) -> None:
        pictures = PictureSources(folder)
        state = InsideState(pictures, as_model(model))
        self._kept = Kept(("Inside", str(folder), state.model_name), state, pictures)
        self._kept.begin(settings, keep)
        wrong = state.runner.begin()
        super().__init__(state)
        self.chooser = PictureChooser(state.runner, self.binding, self.say)
        self.why = WhyPanel(state, self.binding, self.say)
        self.controls = InsideControls(state, self.binding, self.why)
        self.canvas.on_click(lambda panel, x, y: self.act(self._follow_at, panel, x, y))
        self.canvas.observe(lambda change: self.act(self._follow_item, change["new"]), "selected")
        self.caption, self.way = widgets.HTML(), widgets.HTML()
        self.table, self._rows = TableView(columns=COLUMNS), Link(_rows)
        self.table.observe(lambda change: self.act(self._follow_row, change["new"]), "selected")
        self.controls.every_box.observe(lambda _: self.act(self._show_table), "value")
        folding, sliders = self.controls.folding(self.chooser), self.controls.sliders()
        below = self.caption, self.why.widget, self.way, self.table
        self.widget = page(folding, sliders, self.line, self.canvas, *below)
        self.widget.add_class("maskseg-inside")
        self.open(wrong)
        state.observe(self._changed, "asked")

    @property
    def trace(self) -> Trace:
        """Every stage of the run on screen."""
        return self.state.trace

    @property
    def journey(self) -> Journey:
        """The way of the box that is followed."""
        return self.state.journey

    def figure(self) -> Figure:
        with self.state.lock:
            pair = self.state.pair
            return show_side_by_side(pair.left, pair.right, titles=pair.titles)

    def _follow_at(self, panel: int, x: float, y: float) -> None:
        if MAPPED.get(self.state.stage, (True, True))[panel]:
            height, width = self.state.image.shape[:2]
            self.state.follow_at(x * width, y * height)

    def _follow_item(self, number: int) -> None:
        names = self.state.pair.names
        if 0 < number <= len(names) and names[number - 1] != self.state.following:
            self.state.followed = names[number - 1]

    def _follow_row(self, number: int) -> None:
        endings = self.state.endings
        if 0 < number <= len(endings):
            self.state.followed = endings[number - 1][:2]

    def _show_table(self) -> None:
        state = self.state
        endings = state.endings if self.controls.every_box.value else []
        names = [ending[:2] for ending in endings]
        self.table.rows = self._rows(state.trace, endings)
        self.table.selected = names.index(state.following) + 1 if state.following in names else 0

    def draw(self, started: float) -> None:
        state, pair = self.state, self.state.pair
        texts = zip(pair.boxes, pair.texts, strict=True)
        self.canvas.show(
            pair.left,
            pair.right,
            pair.titles,
            items=[item(number, box, text) for number, (box, text) in enumerate(texts, 1)],
            selected=pair.names.index(state.following) + 1 if state.following in pair.names else 0,
            mapped=MAPPED.get(state.stage, (True, True)),
            clickable=state.stage in ANCHOR_STAGES,
            caption=STAGES[state.stage].title,
            description=visible(f"{', '.join(pair.titles)}. {pair.caption}"),
        )
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
        self._show_table()
        self._kept.keep()


def _rows(trace: Trace, endings: Sequence[Ending]) -> list[dict[str, Any]]:
    """A row of the table for each box that came into a stage."""
    categories, levels = categories_of(trace.model), trace.anchors.levels.tolist()
    rows = []
    for number, (anchor, label, score, verdict) in enumerate(endings, 1):
        rival, level = verdict.rival, trace.features.names[levels[anchor]]
        name = categories[label] if label else f"anchor {anchor} on {level}"
        by = "" if not rival else "one over the limit" if rival.row is None else numbered(rival.row)
        place = "" if verdict.row is None else numbered(verdict.row)
        iou = f"{rival.iou:.2f}" if rival else ""
        cells = [str(number), name, f"{score:.3f}", verdict.outcome, place, by, iou]
        rows.append({"id": number, "cells": list(map(visible, cells)), "group": verdict.outcome})
    return rows


def _way(state: InsideState) -> str:
    """What happened to the followed box, under each small picture; then its scores as bars."""
    frames = ""
    for frame in state.frames:
        data = base64.b64encode(encoded(".jpg", frame.picture, JPEG_OPTIONS)).decode()
        lines = "<br>".join(as_html(line) for line in frame.lines)
        picture = f'<img src="data:image/jpeg;base64,{data}" alt="{frame.title} of the followed box">'
        frames += f"<div><b>{frame.title}</b>{picture}{lines}</div>"
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
