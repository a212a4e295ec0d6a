"""The explorer: pick a photograph, drag thresholds and blend, see the segmented picture follow."""

import html
import io
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN
from traitlets import link

from ..._shared.text import as_html, visible
from ...drawing.colors import Color
from ...drawing.figures import show_side_by_side
from ...errors import quoted
from ...mask_rcnn.instances import Instances
from ...mask_rcnn.prediction import Prediction
from ...models.loading import as_model
from ...results.export import check_formats, export_free, make_folder, save_png
from ..app import App
from ..kept import Kept
from ..link import Link
from ..picture_chooser import PictureChooser
from ..picture_sources import PictureSources
from ..picture_view import instance_items
from ..table_view import TableView
from ..widgets import css_color, page
from .controls import ExplorerControls
from .save_panel import PICTURE
from .state import ExplorerState

COLUMNS = ["#", "category", "score", "box: x1, y1, x2, y2", "pixels", "of the picture"]


class Explorer(App):
    """Segment a photograph with live controls. As a cell's last value it displays itself.

    Args:
        folder: Offer the pictures in this folder; None takes the notebook's own.
        model: A loaded MaskRCNN, or what `load_model` takes; None is its default model.
        settings: What to begin with, a text as `Explorer.settings` gives it.
        keep: Where this cell has shown an explorer before, take over its settings and uploads.

    Raises:
        MasksegError: No such folder, or the model cannot be had.
        ValueError, TypeError: `settings` is no such text.
    """

    state: ExplorerState

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        model: MaskRCNN | str | os.PathLike[str] | None = None,
        *,
        settings: str = "{}",
        keep: bool = True,
    ) -> None:
        pictures = PictureSources(folder)
        state = ExplorerState(pictures, as_model(model))
        self._kept = Kept(("Explorer", str(folder), state.model_name), state, pictures)
        self._kept.begin(settings, keep)
        # The network before the first widget: the app then comes to the page whole, in one go.
        wrong = state.runner.begin()
        super().__init__(state)
        self.chooser = PictureChooser(state.runner, self.binding, self.say)
        self.controls = ExplorerControls(state, self.binding)
        self.controls.show_code.observe(lambda _: self.act(self._show_code), "value")
        self.controls.save.on_click(lambda _: self.act(self._save))
        self.controls.save_panel.download.on_click(lambda _: self.act(self._download))
        self.code_shown, self.table = widgets.HTML(), TableView(columns=COLUMNS, can_hide=True)
        self._items, self._rows = Link(instance_items), Link(_rows)
        self.canvas.on_hide(lambda number: self.act(self._hide, number))
        self.table.on_hide(lambda number: self.act(self._hide, number))
        link((self.canvas, "selected"), (self.table, "selected"))
        folding, sliders = self.controls.folding(self.chooser), self.controls.sliders()
        self.widget = page(folding, sliders, self.line, self.canvas, self.code_shown, self.table)
        self.open(wrong)
        if folder is not None and not pictures.file_count:
            self.chooser.say_folder()

    @property
    def blended(self) -> np.ndarray:
        """The right panel: uint8 (H, W, 3), RGB."""
        return self.state.blended

    @property
    def prediction(self) -> Prediction:
        """All that the network said about the picture."""
        return self.state.prediction

    @property
    def instances(self) -> Instances:
        """What the thresholds keep."""
        return self.state.instances

    def figure(self) -> Figure:
        with self.state.lock:
            return show_side_by_side(self.image, self.blended)

    def code(self) -> str:
        """The lines of the public API that give exactly `blended`."""
        with self.state.lock:
            return self.state.code()

    def save(
        self, formats: Sequence[str] = (PICTURE,), folder: str | os.PathLike[str] | None = None
    ) -> list[Path]:
        """Write what is shown, in the photograph's own pixels, under names that are still free.

        Args:
            formats: "picture", which is the segmented picture in the style on screen, and names of `FORMATS`.
            folder: Where to, made where it is missing; None takes the pictures' folder.

        Returns:
            The files' paths.

        Raises:
            MasksegError: The folder cannot be written to, or the masks would not fit into memory.
            ValueError: No such format, or none at all.
        """
        target = Path(folder) if folder is not None else self.state.runner.pictures.folder
        return self._export(formats, target)

    def download(self, formats: Sequence[str] = (PICTURE,)) -> tuple[str, bytes]:
        """What `save` writes, for a browser: a file's name and bytes, a zip archive's for several files.

        Raises:
            MasksegError, ValueError: As `save`.
        """
        with TemporaryDirectory() as folder:
            paths = self._export(formats, Path(folder))
            if len(paths) == 1:
                return paths[0].name, paths[0].read_bytes()
            archive = io.BytesIO()
            with ZipFile(archive, "w") as zipped:
                for path in paths:
                    zipped.write(path, path.name)
            return (
                f"{self.state.runner.pictures.stem(self.state.runner.ran[0])}-results.zip",
                archive.getvalue(),
            )

    def _export(self, formats: Sequence[str], target: Path) -> list[Path]:
        others = [name for name in formats if name != PICTURE]
        check_formats(others)
        if not formats:
            raise ValueError("formats must name one or more; nothing was saved")
        state, pictures = self.state, self.state.runner.pictures
        with state.lock:
            label, alpha = state.runner.ran[0], state.alpha
            photo, instances = state.on_photo()
            blended = state.blended_photo(photo, instances) if PICTURE in formats else None
        make_folder(target)
        name, stem = pictures.file_name(label), pictures.stem(label)
        saved = [] if blended is None else [save_png(blended, target, f"{stem}-segmented")]
        if others:
            saved += export_free(photo, instances, target, name, others, stem=stem, alpha=alpha)
        return saved

    def _save(self) -> None:
        panel = self.controls.save_panel
        paths = self.save(panel.formats, panel.folder.value)
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        self.say(f"Saved as {quoted(paths[0], 200)}{more}")

    def _download(self) -> None:
        name, data = self.download(self.controls.save_panel.formats)
        self.canvas.download(name, data)
        self.say(f"Sent to your browser as {quoted(name)}")

    def _hide(self, number: int) -> None:
        hidden = self.state.hidden_instances
        others = tuple(other for other in hidden if other != number)
        self.state.hidden_instances = others if number in hidden else (*others, number)

    def _show_code(self) -> None:
        with self.state.lock:
            shown = self.controls.show_code.value
            self.code_shown.value = f"<pre>{html.escape(self.code())}</pre>" if shown else ""

    def draw(self, started: float) -> None:
        state, runner = self.state, self.state.runner
        self.canvas.show(
            state.image,
            state.drawn,
            ("Original", "Segmented"),
            items=self._items(state.instances, state.colors(state.instances)),
            labels=state.labels and state.has_labels,
            note=visible(state.note()),
            caption=state.caption(),
            description=visible(state.description()),
        )
        redraw_ms = 1000 * (time.perf_counter() - max(started, runner.finished))
        device = next(state.model.parameters()).device
        self.status.value = (
            f"<b>{len(state.instances)} of {len(state.prediction)}</b> detections shown "
            f'<span class="maskseg-muted">&nbsp; {as_html(runner.ran[1])} on {device} &nbsp; '
            f"network {runner.milliseconds:.0f} ms &nbsp; redraw {redraw_ms:.0f} ms</span>"
        )
        self.table.rows = self._rows(state.kept, state.colors(state.kept), state.hidden_instances)
        self._show_code()
        self._kept.keep()


def _rows(instances: Instances, colors: Sequence[Color], hidden: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row of the table for each instance, of the numbers in `hidden` too."""
    rows = []
    for color, row in zip(colors, instances.table(), strict=True):
        number = row["instance"]
        cells = [
            str(number),
            visible(row["category"]),
            f"{row['score']:.2f}",
            ", ".join(map(str, row["box"])),
            f"{row['area']:,}",
            f"{row['percent']:.1f} %",
        ]
        rows.append({"id": number, "cells": cells, "color": css_color(color), "hidden": number in hidden})
    return rows
