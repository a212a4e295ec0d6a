"""The tie between an app's controls and its state, in both directions and without an echo."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import ipywidgets as widgets

from .settings import Settings
from .widgets import button


class Tie(NamedTuple):
    """Controls that show one thing: what `read` returns."""

    controls: tuple[widgets.Widget, ...]
    read: Callable[[], Any]

    def show(self) -> None:
        """Set the controls to what they are to show. What is shown already is not sent again."""
        value = self.read()
        for control in self.controls:
            # A slider keeps its 0.49999999999999994: 0.5, sent back, would undo a key pressed meanwhile.
            if not isinstance(value, float) or not abs(control.value - value) <= 1e-6:  # a NaN, too
                control.value = value


class Binding:
    """Lets an app's controls and its state move each other.

    Args:
        state: The settings.
        act: Called with a function and its arguments for all that a person does; says its errors.

    Attributes:
        ties: Setting, or another name -> the controls that are tied to it.
        reset, undo: Buttons that set every knob back, and what was changed last.
        lockable: The controls that `busy` locks.
    """

    def __init__(self, state: Settings, act: Callable[..., None]) -> None:
        self.state, self.act = state, act
        self.ties: dict[str, Tie] = {}
        self._shows: list[Callable[[], None]] = []
        self._syncing: int | None = None  # the thread that is in sync()
        self.reset = button("Reset", "refresh", "Every knob to its default")
        self.undo = button("Undo", "undo", "Back to what was before the last change")
        self.reset.on_click(lambda _: act(state.reset))
        self.lockable: list[widgets.Widget] = [self.reset, self.undo]

    def tie(
        self,
        name: str,
        controls: Sequence[widgets.Widget],
        read: Callable[[], Any] | None = None,
        write: Callable[[Any], None] | None = None,
        *,
        stays_open: bool = False,
    ) -> None:
        """Let controls show and change a setting of the state.

        Args:
            name: Of the setting; any other name where `read` and `write` are given.
            controls: Each with a `value`.
            read: Returns what the controls show; None takes the setting.
            write: Called with what a person wants; None sets the setting.
            stays_open: While the network runs, too.
        """
        tie = self.ties[name] = Tie(tuple(controls), read or partial(getattr, self.state, name))
        self.show(tie.show)
        for control in controls:
            moved = partial(self._moved, tie.read, write or partial(setattr, self.state, name))
            control.observe(moved, "value")
        self.lockable += [] if stays_open else controls

    def show(self, function: Callable[[], None]) -> None:
        """Call a function now and at every `sync`, in the order in which they came."""
        self._shows.append(function)
        function()

    def sync(self) -> None:
        """Show the state. Changes made here are no person's: this thread's events are not passed on."""
        with self.state.lock:
            self._syncing = threading.get_ident()
            try:
                for show in self._shows:
                    show()
            finally:
                self._syncing = None

    def busy(self, busy: bool) -> None:
        """Lock what makes no sense while the network runs, or open it again."""
        for control in self.lockable:
            control.disabled = busy

    def _moved(self, read: Callable[[], Any], write: Callable[[Any], None], change: dict[str, Any]) -> None:
        if self._syncing == threading.get_ident():
            return
        control, new = change["owner"], change["new"]
        # A slider rounds to its steps, unasked: what it rounds to no other value is nobody's wish.
        if isinstance(control, widgets.FloatSlider) and abs(new - read()) < control.step / 2:
            return
        # A browser's 0.5 on a scale that begins at 0.05 may be 0.49999999999999994.
        self.act(write, round(new, 4) if isinstance(new, float) else new)
