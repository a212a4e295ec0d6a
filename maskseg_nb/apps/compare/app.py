"""The comparison: two runs beside each other, the stage where they part, and who was lost on the way."""

import os
import time
from collections.abc import Iterator
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN
from traitlets import link

from ..._shared.text import as_html, visible
from ...drawing.colors import Color
from ...evaluation.match_pictures import WRONG
from ...explain.compare import Comparison
from ...explain.comparison_pictures import pair_colors, stage_title
from ...explain.figures import show_comparison
from ...mask_rcnn.trace import STAGES
from ...models.loading import as_model
from ..app import App
from ..kept import Kept
from ..link import Link
from ..picture_chooser import PictureChooser
from ..picture_sources import PictureSources
from ..picture_view import Item, item
from ..table_view import TableView
from ..widgets import css_color, page
from .controls import CompareControls
from .state import SAME, UNCHANGED, CompareState

COLUMNS = ["#", "category", "first score", "second score", "IoU", "what became of it"]


class Compare(App):
    """Compare two runs of Mask R-CNN stage by stage. As a cell's last value it displays itself.

    Args:
        folder: Offer the pictures in this folder; None takes the notebook's own.
        model: A loaded MaskRCNN, or what `load_model` takes; None is its default model.
        settings: What to begin with, a text as `Compare.settings` gives it.
        keep: Where this cell has shown the same app before, take over its settings and uploads.

    Raises:
        MasksegError: No such folder, or the model cannot be had.
        TypeError: `model` has no mask head.
        ValueError: `settings` is no such text.
    """

    state: CompareState

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        model: MaskRCNN | str | os.PathLike[str] | None = None,
        *,
        settings: str = "{}",
        keep: bool = True,
    ) -> None:
        pictures = PictureSources(folder)
        state = CompareState(pictures, as_model(model))
        self._kept = Kept(("Compare", str(folder), state.model_name), state, pictures)
        self._kept.begin(settings, keep)
        wrong = state.runner.begin()
        super().__init__(state)
        self.chooser = PictureChooser(state.runner, self.binding, self.say)
        self.controls = CompareControls(state, self.binding)
        self.strip, self.table = widgets.HTML(), TableView(columns=COLUMNS)
        self._items, self._rows = Link(_items), Link(_rows)
        link((self.canvas, "selected"), (self.table, "selected"))
        folding, sliders = self.controls.folding(self.chooser), self.controls.sliders()
        self.widget = page(folding, sliders, self.line, self.canvas, self.strip, self.table)
        self.open(wrong)

    @property
    def comparison(self) -> Comparison:
        """Of the two runs on screen."""
        return self.state.comparison

    def figure(self) -> Figure:
        with self.state.lock:
            return show_comparison(self.comparison, self.state.image, self.state.other_image)

    def draw(self, started: float) -> None:
        state, found = self.state, self.comparison
        titles = f"First: {state.runner.ran[1]}", f"Second: {_second(state)}"
        counts = f"{len(found.shared)} in both, {len(found.lost)} lost, {len(found.gained)} gained"
        where = f"part at {STAGES[found.parting].title}" if found.parting else "are the same to the bit"
        self.canvas.show(
            *state.panels,
            titles,
            items=self._items(found),
            labels=False,  # they are drawn in both panels
            caption=_second(state),
            description=visible(f"{titles[0]}. {titles[1]}. The runs {where}: {counts}."),
        )
        redraw_ms = 1000 * (time.perf_counter() - max(started, state.runner.finished))
        self.status.value = (
            f"The runs <b>{as_html(where)}</b>: {counts} "
            f'<span class="maskseg-muted">&nbsp; network {state.runner.milliseconds:.0f} ms &nbsp; '
            f"redraw {redraw_ms:.0f} ms</span>"
        )
        self.strip.value = _strip(found)
        self.table.rows = self._rows(found)
        self._kept.keep()


def _second(state: CompareState) -> str:
    """What the second run has of its own, in short."""
    own = [value for value in (state.other_model, state.other_size) if value != SAME]
    own += [] if state.change == UNCHANGED else [f"{state.change} {state.amount:g}"]
    return ", ".join(own) or SAME


def _strip(found: Comparison) -> str:
    """The stages, and how far the runs are apart after each."""
    cells = ""
    for one in found.stages:
        kind = "same" if one.is_same else "apart"
        title = as_html(stage_title(found, one))
        cells += f'<div class="maskseg-{kind}"><b>{title}</b>{as_html(one.text)}</div>'
    return f'<div class="maskseg-parting">{cells}</div>'


def _things(found: Comparison) -> Iterator[tuple[Color, Any, str, tuple[str, ...]]]:
    """For each pair, each lost and each gained one: colour, box, group, and cells of its row."""
    left = found.run.prediction.boxes
    right = found.other.prediction.to_size(found.run.normalised.image_size).boxes
    for color, one in zip(pair_colors(found), found.shared, strict=True):
        scores = f"{one.score:.3f}", f"{one.other_score:.3f}", f"{one.iou:.2f}"
        yield color, left[one.row], "in both", (one.category, *scores, "in both")
    sides = ("lost", found.lost, left, "second"), ("gained", found.gained, right, "first")
    for group, side, boxes, run in sides:
        for missing in side:
            score = f"{missing.score:.3f}"
            scores = (score, "", "") if group == "lost" else ("", score, "")
            step = f" at {missing.lost_at}" if missing.lost_at else ""
            became = f"{group}; the {run} run dropped it{step}: {missing.reason}"
            yield WRONG, boxes[missing.row], group, (missing.category, *scores, became)


def _items(found: Comparison) -> list[Item]:
    return [
        item(number, box, f"{number} {', '.join(filter(None, cells))}", color=color)
        for number, (color, box, _, cells) in enumerate(_things(found), 1)
    ]


def _rows(found: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "cells": list(map(visible, (str(number), *cells))),
            "color": css_color(color),
            "group": group,
        }
        for number, (color, _, group, cells) in enumerate(_things(found), 1)
    ]
