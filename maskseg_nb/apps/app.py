"""What the apps have in common: a state, controls bound to it, a picture, and errors that are shown."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN

from .._shared.memory import is_out_of_memory
from .._shared.text import as_html
from ..drawing.figures import figure_png
from ..errors import MasksegError
from .binding import Binding
from .history import History
from .picture_view import PictureView
from .runner import Cancelled
from .settings import Settings
from .widgets import error_line

log = logging.getLogger(__name__)
RUNNING = "Running the network"
THREAD = "maskseg_nb app"  # what runs the network for a person is called


class App:
    """A state and its controls, joined; a child draws what the state says.

    Widget callbacks may run beside a notebook's cells, in another thread: every drawing happens under the
    state's lock, and no app uses pyplot, an Output widget or a timer. What a person has to wait for runs in a
    thread of its own, so that the kernel hears of "Cancel".

    Attributes:
        state: The settings, as validated traits; setting one moves its control and the picture.
        binding: Ties controls to settings.
        history: What `undo` goes back to.
        canvas: The picture.
        message, status: Errors and news; what is shown and how long it took. HTML widgets.
        widget: The ipywidgets container of it all, to be put into an app of your own.
    """

    state: Settings
    widget: widgets.Widget

    def __init__(self, state: Settings) -> None:
        self.state, self.canvas = state, PictureView()
        self.message, self.status = widgets.HTML(), widgets.HTML()
        self.message.add_class("maskseg-message")
        self.status.add_class("maskseg-status")
        self.line = widgets.HBox([self.message, self.status])
        self.binding = Binding(state, self.act)
        self.history = History(state)
        self._acting = threading.local()  # `person`: whether this thread does what a person wants
        self._threads: list[threading.Thread] = []  # which run the network, or wait to do so
        self.binding.undo.on_click(lambda _: self.act(self.history.undo))

    @property
    def model(self) -> MaskRCNN:
        """The model behind the picture."""
        return self.state.model

    @property
    def image(self) -> np.ndarray:
        """The picture, uint8 (H, W, 3) RGB, at the size that the network saw."""
        return self.state.image

    @property
    def settings(self) -> str:
        """All settings that are not at their defaults, as a short JSON text; set it to take others over.

        Raises:
            ValueError, TypeError: At setting, what is no such text; nothing is changed.
        """
        return self.state.text

    @settings.setter
    def settings(self, text: str) -> None:
        self.state.take(text)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        view = self.widget._repr_mimebundle_  # None where the widget has been closed
        bundle = dict(view(**kwargs) or {}) if view else {}
        with self.state.lock:
            bundle["image/png"] = self.png()
        bundle["text/plain"] = f"{type(self).__name__}: run this cell in JupyterLab to move its controls"
        return bundle

    def figure(self) -> Figure:
        """The same two panels as a plain matplotlib Figure."""
        raise NotImplementedError

    def png(self) -> bytes:
        """`figure` as a PNG file, for places that show no widgets."""
        return figure_png(self.figure())

    def draw(self, started: float) -> None:
        """Show what the state says, in pictures and words; `started`: when this began, by perf_counter."""
        raise NotImplementedError

    def open(self, wrong: str = "") -> None:
        """Follow the state from now on, show it all, and say what was wrong at the beginning."""
        self.canvas.app_id = self.widget.model_id
        self.canvas.on_cancel(self.state.cancel)
        self.state.observe(self._changed, self.state.SETTINGS)
        self.render()
        self.history.begin()
        if wrong:
            self.say_error(wrong)

    def act(self, action: Callable[..., object], *arguments: object) -> None:
        """Do what a person wants, from a control's callback: errors are said, and the kernel stays free."""
        outer, self._acting.person = self._is_person, True
        try:
            self.guarded(action, *arguments)
        finally:
            self._acting.person = outer

    def render(self) -> None:
        """Bring state and page up to date; what was said before is of the past."""
        self.message.value = ""
        self._render()

    def _render(self) -> None:
        with self.state.lock:
            started, slow = time.perf_counter(), self.state.needs_network
            if slow:
                self.binding.busy(True)
                self.canvas.busy = RUNNING
                self.state.watch(lambda stage: setattr(self.canvas, "busy", f"{RUNNING}: {stage}"))
            try:
                self.state.update()
                self.draw(started)
            finally:
                if slow:
                    self.binding.busy(False)
                    self.canvas.busy = ""
            self.history.keep()
            self.binding.sync()

    @property
    def _is_person(self) -> bool:
        return getattr(self._acting, "person", False)

    def _changed(self, change: object) -> None:
        """Follow a setting: at once, unless a person would wait for it, and for what waits already."""
        if self.state.assigning:
            return
        if not self._is_person or not (self._threads or self.state.needs_network):
            self.guarded(self.render)
            return
        self.state.cancel(newer=True)
        self.message.value, self.canvas.cancellable = "", True
        thread = threading.Thread(target=self._render_later, name=THREAD, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _render_later(self) -> None:
        try:
            self.guarded(self._render)
        finally:
            self._threads.remove(threading.current_thread())
            self.canvas.cancellable = bool(self._threads)

    def wait(self) -> None:
        """Return when what was chosen by hand is on screen."""
        while self._threads:
            time.sleep(0.01)

    def guarded(self, action: Callable[..., object], *arguments: object) -> None:
        """Run a callback; say an error in the app, because the front end shows none."""
        try:
            action(*arguments)
        except Cancelled as news:
            if not news.newer:
                self.binding.sync()
                self.say(str(news))
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
