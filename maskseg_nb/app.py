"""What the apps have in common: a state, its controls, a line for messages, and errors that are shown."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from torchvision.models.detection import MaskRCNN

from .app_parts import error_line
from .choice import Choice
from .choice_controls import UPLOAD_LIMIT, ChoiceControls
from .errors import ImageError, MasksegError, quoted
from .out_of_memory import is_out_of_memory
from .visible import as_html

log = logging.getLogger(__name__)

_RUNNING = "<b>Running the network ...</b>"


class App:
    """A state and its controls, joined; the view that draws is a child's.

    Widget callbacks may run beside a notebook's cells, in another thread: every drawing happens under the
    state's lock, and no app uses pyplot, an Output widget or a timer.

    Attributes:
        state: The settings, as validated traits; setting one moves its control and the picture.
        controls: The widgets that a person moves.
        widget: The ipywidgets container of it all, to be put into an app of your own.
    """

    state: Choice
    controls: ChoiceControls
    widget: widgets.Widget

    def __init__(self) -> None:
        self._message, self._status = widgets.HTML(), widgets.HTML()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        view = self.widget._repr_mimebundle_  # None where the widget has been closed
        bundle = dict(view(**kwargs) or {}) if view else {}
        with self.state.lock:
            bundle["image/png"] = self._png()
        bundle["text/plain"] = f"{type(self).__name__}: run this cell in JupyterLab to move its controls"
        return bundle

    def _png(self) -> bytes:
        """What is on screen as a PNG file, for places that show no widgets."""
        raise NotImplementedError

    def _redraw(self) -> float:
        """Bring state and pictures up to date, and return how many milliseconds that took."""
        raise NotImplementedError

    def _describe(self, redraw_ms: float) -> None:
        """Say in words what the pictures show."""
        raise NotImplementedError

    def _render(self) -> None:
        """Bring the page up to date."""
        if self.state.needs_network:
            self.controls.busy(True)
            self._status.value = _RUNNING
        try:
            with self.state.lock:
                took = self._redraw()
                self._message.value = ""
                self.controls.sync()
                self._describe(took)
        finally:
            self.controls.busy(False)
            if self._status.value == _RUNNING:  # where it failed
                self._status.value = ""

    @property
    def model(self) -> MaskRCNN:
        """The model behind the picture."""
        return self.state.model

    @property
    def image(self) -> np.ndarray:
        """The picture, uint8 (H, W, 3) RGB, at the size that the network saw."""
        return self.state.image

    def _open(self, wrong: str) -> None:
        """Let state and controls move each other, show it all, and what was wrong at the beginning."""
        self._connect()
        self._render()
        if wrong:
            self._say_error(wrong)

    def _connect(self) -> None:
        controls, guarded = self.controls, self._guarded
        self.state.observe(lambda change: guarded(self._render), self.state.SETTINGS)
        controls.upload.observe(lambda change: guarded(self._take_upload, change["new"]), "value")
        controls.refresh.on_click(lambda button: guarded(self._refresh))
        controls.reset.on_click(lambda button: guarded(self.state.reset))

    def _set(self, name: str, value: Any) -> None:
        """What a moved control does."""
        self._guarded(setattr, self.state, name, value)

    def _guarded(self, action: Callable[..., object], *arguments: object) -> None:
        """Run a callback; say an error in the app, because the front end shows none."""
        try:
            action(*arguments)
        except (MasksegError, ValueError, TypeError) as error:
            log.info("the app refused: %s", str(error))  # not the error: a log that keeps it keeps its frames
            self._say_error(str(error))
        except Exception as error:
            if is_out_of_memory(error):
                self._say_error("not enough memory; choose a smaller picture, input size or model")
            else:
                log.exception("the app failed")
                self._say_error(f"unexpected {type(error).__name__}: {error}")

    def _say_error(self, text: str) -> None:
        with self.state.lock:
            self._message.value = error_line(text)
            self.controls.sync()

    def _take_upload(self, files: Sequence[dict[str, Any]]) -> None:
        if not files:
            return  # emptying the value below comes back here
        self.controls.upload.value = ()
        with self.state.lock:
            taken, refused = [], []
            for file in files:  # the front end gives one, as long as it is the front end
                try:
                    taken.append(self._add_upload(file))
                except ImageError as error:
                    refused.append(str(error))
            if taken:
                self.state.picture = taken[-1]
            if refused:
                raise ImageError(refused[0])

    def _add_upload(self, file: dict[str, Any]) -> str:
        """Keep an uploaded file: what the browser says of its name, size and kind is not trusted."""
        name, content = str(file.get("name", "")), file.get("content")
        if not isinstance(content, (bytes, memoryview)):
            raise ImageError(f"{quoted(name)} came without its bytes; upload it again")
        data = bytes(content)
        if len(data) > UPLOAD_LIMIT:
            raise ImageError(
                f"{quoted(name)} is larger than {UPLOAD_LIMIT // 2**20} MB; put it into the folder and "
                "press Refresh"
            )
        return self.state.pictures.add_upload(name, data)

    def _refresh(self) -> None:
        pictures = self.state.pictures
        with self.state.lock:
            pictures.refresh()
            if self.state.picture not in pictures.labels:
                self.state.picture = pictures.labels[0]
            self.controls.sync()
            self._say_folder()

    def _say_folder(self) -> None:
        count, folder = self.state.pictures.file_count, quoted(self.state.pictures.folder)
        found = f"{count} of the pictures are in {folder}" if count else f"No pictures in {folder} yet"
        self._message.value = as_html(found)
