"""The tie between an app's controls and its state, in both directions and without an echo."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from .settings import AppState


class Controls:
    """The widgets that a person moves, as attributes; they compute nothing.

    Args:
        state: Where the first values come from.
        on_change: Called with a setting's name and its new value when a person moves a control.
    """

    def __init__(self, state: AppState, on_change: Callable[[str, Any], None]) -> None:
        self._state, self._on_change = state, on_change
        self._syncing: int | None = None  # the thread that is in sync()
        self._shown: dict[str, tuple[widgets.Widget, ...]] = {}  # setting -> the controls that show it
        self.reset = widgets.Button(description="Reset", icon="undo", tooltip="Every knob to its default")
        self.reset.layout.width, self.reset.layout.flex = "auto", "0 0 auto"

    def sync(self) -> None:
        """Show the state's settings. What is shown already is not sent again.

        Under the state's lock. Changes made here are no person's: this thread's events are not passed on.
        """
        self._syncing = threading.get_ident()
        try:
            self._show()
        finally:
            self._syncing = None

    def _tie(self, setting: str, *controls: widgets.Widget) -> None:
        """Let these controls show and change a setting of the state."""
        self._shown[setting] = controls
        for control in controls:
            control.observe(partial(self._moved, setting), "value")

    def _moved(self, setting: str, change: dict[str, Any]) -> None:
        if not self._is_syncing:
            new = change["new"]  # a browser's 0.5 on a scale that begins at 0.05 may be 0.49999999999999994
            self._on_change(setting, round(new, 4) if isinstance(new, float) else new)

    @property
    def _is_syncing(self) -> bool:
        return self._syncing == threading.get_ident()

    def _show(self) -> None:
        for setting, controls in self._shown.items():
            value = getattr(self._state, setting)
            for control in controls:
                # A slider keeps its 0.49999999999999994: 0.5, sent back, would undo a key pressed meanwhile.
                if not isinstance(value, float) or not abs(control.value - value) <= 1e-6:  # a NaN, too
                    control.value = value
