"""The explorer: pick a photograph, drag thresholds and blend, see the segmented picture follow."""

import html
import os
import time
from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN

from ..._shared.text import as_html, visible
from ...drawing.figures import show_side_by_side
from ...errors import quoted
from ...mask_rcnn.instances import Instances
from ...mask_rcnn.prediction import Prediction
from ...models.loading import as_model
from ...results.export import check_formats, export_free, make_folder, save_png
from ..app import App
from ..canvas import Canvas
from ..picture_chooser import PictureChooser
from ..picture_sources import PictureSources
from ..widgets import instances_table
from .controls import ExplorerControls
from .save_panel import PICTURE
from .state import ExplorerState


class Explorer(App):
    """Segment a photograph with live controls. As a cell's last value it displays itself.

    Args:
        folder: Offer the pictures in this folder; None takes the notebook's own.
        model: A loaded MaskRCNN, or what `load_model` takes; None is its default model.

    Raises:
        MasksegError: No such folder, or the model cannot be had.
    """

    state: ExplorerState

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        model: MaskRCNN | str | os.PathLike[str] | None = None,
    ) -> None:
        pictures = PictureSources(folder)
        state = ExplorerState(pictures, as_model(model))
        # The network before the first widget: the app then comes to the page whole, in one go.
        wrong = state.runner.begin()
        super().__init__(state)
        self.chooser = PictureChooser(state.runner, self.binding, self.say)
        self.controls = ExplorerControls(state, self.binding)
        self.controls.show_code.observe(lambda _: self.guarded(self._show_code), "value")
        self.controls.save.on_click(lambda _: self.guarded(self._save))
        self.canvas = Canvas()
        self.code_shown, self.table = widgets.HTML(), widgets.HTML()
        self.table.add_class("maskseg-table")
        self.widget = self.controls.layout(
            self.chooser, self.canvas.view, self.message, self.status, self.code_shown, self.table
        )
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
        """The same two panels as a plain matplotlib Figure."""
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
        others = [name for name in formats if name != PICTURE]
        check_formats(others)
        if not formats:
            raise ValueError("formats must name one or more; nothing was saved")
        state, pictures = self.state, self.state.runner.pictures
        with state.lock:
            label, alpha = state.runner.ran[0], state.alpha
            photo, instances = state.on_photo()
            blended = state.blended_photo(photo, instances) if PICTURE in formats else None
        target = Path(folder) if folder is not None else pictures.folder
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

    def _show_code(self) -> None:
        with self.state.lock:
            shown = self.controls.show_code.value
            self.code_shown.value = f"<pre>{html.escape(self.code())}</pre>" if shown else ""

    def draw(self, started: float) -> None:
        state, runner = self.state, self.state.runner
        self.canvas.show([state.image, state.blended], ["Original", "Segmented"])
        if note := state.note():
            self.canvas.annotate(1, visible(note))
        self.canvas.send()
        redraw_ms = 1000 * (time.perf_counter() - max(started, runner.finished))
        device = next(state.model.parameters()).device
        self.status.value = (
            f"<b>{len(state.instances)} of {len(state.prediction)}</b> detections shown "
            f'<span class="maskseg-muted">&nbsp; {as_html(runner.ran[1])} on {device} &nbsp; '
            f"network {runner.milliseconds:.0f} ms &nbsp; redraw {redraw_ms:.0f} ms</span>"
        )
        self.table.value = instances_table(state.instances, state.colors())
        self._show_code()
