"""What the apps have in common: a state, its controls, a line for messages, and errors that are shown."""

import html
import logging
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from .app_parts import error_line
from .choice import Choice
from .choice_controls import UPLOAD_LIMIT, ChoiceControls
from .errors import ImageError, MasksegError, quoted

log = logging.getLogger(__name__)


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
        bundle = dict(self.widget._repr_mimebundle_(**kwargs) or {})
        with self.state.lock:
            bundle["image/png"] = self._png()
        bundle["text/plain"] = f"{type(self).__name__}: run this cell in JupyterLab to move its controls"
        return bundle

    def _png(self) -> bytes:
        """What is on screen as a PNG file, for places that show no widgets."""
        raise NotImplementedError

    def _render(self) -> None:
        """Bring the picture up to date."""
        raise NotImplementedError

    def _connect(self) -> None:
        controls, guarded = self.controls, self._guarded
        self.state.observe(lambda change: guarded(self._render), self.state.SETTINGS)
        controls.upload.observe(lambda change: guarded(self._take_upload), "value")
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
            log.info("the app refused: %s", error)
            self._say_error(str(error))
        except MemoryError:
            self._say_error("not enough memory; choose a smaller picture or model")
        except Exception as error:
            log.exception("the app failed")
            self._say_error(f"unexpected {type(error).__name__}: {error}")

    def _say_error(self, text: str) -> None:
        with self.state.lock:
            self._message.value = error_line(text)
            self.controls.sync()

    def _say_running(self) -> None:
        self.controls.busy(True)
        self._status.value = "<b>Running the network ...</b>"

    def _take_upload(self) -> None:
        files, self.controls.upload.value = self.controls.upload.value, ()
        for file in files:  # the front end gives one; emptying the value comes back here with none
            if len(file["content"]) > UPLOAD_LIMIT:
                raise ImageError(
                    f"{quoted(file['name'])} is larger than {UPLOAD_LIMIT // 2**20} MB; put it into the "
                    "folder and press Refresh"
                )
            label = self.state.pictures.add_upload(str(file["name"]), bytes(file["content"]))
            self.state.picture = label

    def _refresh(self) -> None:
        pictures = self.state.pictures
        pictures.refresh()
        if self.state.picture not in pictures.labels:
            self.state.picture = pictures.labels[0]
        self.controls.sync()
        self._say_folder()

    def _say_folder(self) -> None:
        count, folder = self.state.pictures.file_count, quoted(self.state.pictures.folder)
        found = f"{count} of the pictures are in {folder}" if count else f"No pictures in {folder} yet"
        self._message.value = html.escape(found)
