"""What the apps have in common: a state, its controls, a line for messages, and errors that are shown."""

import logging
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from .._shared.memory import is_out_of_memory
from ..errors import MasksegError
from .binding import Controls
from .settings import AppState
from .widgets import error_line

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

    state: AppState
    controls: Controls
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
        with self.state.lock:
            took = self._redraw()
            self._message.value = ""
            self.controls.sync()
            self._describe(took)

    def _open(self) -> None:
        """Let state and controls move each other, and show it all."""
        self._connect()
        self._render()

    def _connect(self) -> None:
        self.state.observe(lambda change: self._guarded(self._render), self.state.SETTINGS)
        self.controls.reset.on_click(lambda button: self._guarded(self.state.reset))

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
