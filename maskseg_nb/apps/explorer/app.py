"""The explorer: pick a photograph, drag thresholds and blend, see the segmented picture follow.

The state knows what to show and computes it (explorer_state.py), the controls are widgets and nothing more
(explorer_controls.py); this view joins the two and draws.
"""

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
from ...models.loading import as_model, load_model
from ...results.export import check_formats, export_free, make_folder, save_png
from ..canvas import Canvas
from ..picture_app import PictureApp
from ..picture_sources import Pictures
from ..widgets import instances_table
from .controls import ExplorerControls
from .save_panel import PICTURE
from .state import ExplorerState


class Explorer(PictureApp):
    """Segment a photograph with live controls. As a cell's last value it displays itself.

    Args:
        folder: Offer the pictures in this folder; None takes the notebook's own.
        model: A loaded MaskRCNN, or what `load_model` takes; None is its default model.

    Raises:
        MasksegError: No such folder, or the model cannot be had.
    """

    state: ExplorerState
    controls: ExplorerControls

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        model: MaskRCNN | str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        pictures = Pictures(folder)
        self.state = ExplorerState(pictures, as_model(model), load_model)
        # The network before the first widget: the app then comes to the page whole, in one go.
        wrong = self.state.begin()
        self.controls = ExplorerControls(self.state, self._set)
        self._canvas = Canvas()
        self._drawn_image: np.ndarray | None = None
        self._code, self._table = widgets.HTML(), widgets.HTML()
        self._table.add_class("maskseg-table")
        self.widget = self.controls.layout(
            self._canvas.view, self._message, self._status, self._code, self._table
        )
        self._begin(wrong)
        if folder is not None and not pictures.file_count:
            self._say_folder()

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
        state, pictures = self.state, self.state.pictures
        with state.lock:
            label, photo, alpha = state.picture_shown, state.photo, state.alpha
            instances = state.photo_instances()
            blended = state.photo_blended(instances) if PICTURE in formats else None
        target = Path(folder) if folder is not None else pictures.folder
        make_folder(target)
        name, stem = pictures.file_name(label), pictures.stem(label)
        saved = [] if blended is None else [save_png(blended, target, f"{stem}-segmented")]
        if others:
            saved += export_free(photo, instances, target, name, others, stem=stem, alpha=alpha)
        return saved

    def _png(self) -> bytes:
        return self._canvas.png()

    # What a person does.

    def _connect(self) -> None:
        super()._connect()
        self.controls.show_code.observe(lambda change: self._guarded(self._show_code), "value")
        self.controls.save.on_click(lambda button: self._guarded(self._save))

    def _save(self) -> None:
        panel = self.controls.save_panel
        paths = self.save(panel.formats, panel.folder.value)
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        self._message.value = as_html(f"Saved as {quoted(paths[0], 200)}{more}")

    def _show_code(self) -> None:
        with self.state.lock:
            shown = self.controls.show_code.value
            self._code.value = f"<pre>{html.escape(self.code())}</pre>" if shown else ""

    # What a person sees.

    def _redraw(self) -> float:
        state = self.state
        state.run_network()
        start = time.perf_counter()
        state.update()
        if self._drawn_image is not state.image:
            self._canvas.draw([state.image] * 2, ["Original", "Segmented"])
            self._drawn_image = state.image
        self._canvas.replace(1, state.blended)
        if note := state.note():
            self._canvas.annotate(1, visible(note))
        self._canvas.send()
        return 1000 * (time.perf_counter() - start)

    def _describe(self, redraw_ms: float) -> None:
        state = self.state
        device = next(state.model.parameters()).device
        self._status.value = (
            f"<b>{len(state.instances)} of {len(state.prediction)}</b> detections shown "
            f'<span class="maskseg-muted">&nbsp; {as_html(state.model_name)} on {device} &nbsp; '
            f"network {state.network_ms:.0f} ms &nbsp; redraw {redraw_ms:.0f} ms</span>"
        )
        self._table.value = instances_table(state.instances, state.colors())
        self._show_code()
