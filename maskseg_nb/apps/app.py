"""What the apps have in common: a state, controls bound to it, a canvas, and errors that are shown."""

import logging
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np
from torchvision.models.detection import MaskRCNN

from .._shared.memory import is_out_of_memory
from .._shared.text import as_html
from ..errors import MasksegError
from .binding import Binding
from .canvas import Canvas
from .settings import Settings
from .widgets import error_line

log = logging.getLogger(__name__)
_RUNNING = "<b>Running the network ...</b>"


class App:
    """A state and its controls, joined; a child draws what the state says.

    Widget callbacks may run beside a notebook's cells, in another thread: every drawing happens under the
    state's lock, and no app uses pyplot, an Output widget or a timer.

    Attributes:
        state: The settings, as validated traits; setting one moves its control and the picture.
        binding: Ties controls to settings.
        canvas: The pictures.
        message, status: Errors and news; what is shown and how long it took. HTML widgets.
        widget: The ipywidgets container of it all, to be put into an app of your own.
    """

    state: Settings
    canvas: Canvas
    widget: widgets.Widget

    def __init__(self, state: Settings) -> None:
        self.state = state
        self.message, self.status = widgets.HTML(), widgets.HTML()
        self.binding = Binding(state, self.guarded)

    @property
    def model(self) -> MaskRCNN:
        """The model behind the picture."""
        return self.state.model

    @property
    def image(self) -> np.ndarray:
        """The picture, uint8 (H, W, 3) RGB, at the size that the network saw."""
        return self.state.image

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        view = self.widget._repr_mimebundle_  # None where the widget has been closed
        bundle = dict(view(**kwargs) or {}) if view else {}
        with self.state.lock:
            bundle["image/png"] = self.png()
        bundle["text/plain"] = f"{type(self).__name__}: run this cell in JupyterLab to move its controls"
        return bundle

    def png(self) -> bytes:
        """What is on screen as a PNG file, for places that show no widgets."""
        return self.canvas.png()

    def draw(self, started: float) -> None:
        """Show what the state says, in pictures and words; `started`: when this began, by perf_counter."""
        raise NotImplementedError

    def open(self, wrong: str = "") -> None:
        """Follow the state from now on, show it all, and say what was wrong at the beginning."""
        self.state.observe(lambda _: self.guarded(self.render), self.state.SETTINGS)
        self.render()
        if wrong:
            self.say_error(wrong)

    def render(self) -> None:
        """Bring state and page up to date."""
        with self.state.lock:
            started, slow = time.perf_counter(), self.state.needs_network
            if slow:
                self.binding.busy(True)
                self.status.value = _RUNNING
            try:
                self.state.update()
                self.draw(started)
            finally:
                if slow:
                    self.binding.busy(False)
                    if self.status.value == _RUNNING:  # where it failed
                        self.status.value = ""
            self.message.value = ""
            self.binding.sync()

    def guarded(self, action: Callable[..., object], *arguments: object) -> None:
        """Run a callback; say an error in the app, because the front end shows none."""
        try:
            action(*arguments)
        except (MasksegError, ValueError, TypeError) as error:
            log.info("the app refused: %s", str(error))  # not the error: a log that keeps it keeps its frames
            self.say_error(str(error))
        except Exception as error:
            if is_out_of_memory(error):
                self.say_error("not enough memory; choose a smaller picture, input size or model")
            else:
                log.exception("the app failed")
                self.say_error(f"unexpected {type(error).__name__}: {error}")

    def say(self, text: str) -> None:
        """Show a piece of news."""
        self.message.value = as_html(text)

    def say_error(self, text: str) -> None:
        """Show an error, and the controls as the state is."""
        with self.state.lock:
            self.message.value = error_line(text)
            self.binding.sync()
