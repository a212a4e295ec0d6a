"""The controls that the apps have in common: picture, model and input size, and their tie to the state."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from .app_parts import wrapping_row
from .choice import INPUT_SIZES, Choice
from .visible import visible

UPLOAD_LIMIT = 10 * 2**20  # bytes; a stock Jupyter server drops larger messages without a word
_LIMIT = f"{UPLOAD_LIMIT // 2**20} MB"


class ChoiceControls:
    """The widgets that choose, as attributes; they compute nothing.

    Args:
        state: Where the first values come from.
        on_change: Called with a setting's name and its new value when a person moves a control.
    """

    def __init__(self, state: Choice, on_change: Callable[[str, Any], None]) -> None:
        self._state, self._on_change = state, on_change
        self._syncing: int | None = None  # the thread that is in sync()
        self._shown: dict[str, tuple[widgets.Widget, ...]] = {}  # setting -> the controls that show it
        self.picture = widgets.Dropdown(description="Picture", options=state.pictures.labels)
        self.model = widgets.Dropdown(
            description="Model", options=[(visible(name), name) for name in state.model_names]
        )
        self.input_size = widgets.Dropdown(description="Input size", options=list(INPUT_SIZES))
        self.refresh = widgets.Button(description="Refresh", icon="refresh", tooltip="Read the folder again")
        self.upload = widgets.FileUpload(
            accept="image/*",
            description="Upload",
            tooltip=f"At most {_LIMIT}; put a larger picture into the folder and press Refresh",
        )
        self.reset = widgets.Button(description="Reset", icon="undo", tooltip="Every knob to its default")
        for button in (self.refresh, self.upload, self.reset):
            button.layout.width, button.layout.flex = "auto", "0 0 auto"
        self._tie("picture", self.picture)
        self._tie("model_name", self.model)
        self._tie("input_size", self.input_size)

    def source_column(self) -> list[widgets.Widget]:
        """Picture, files, model and input size, one below the other."""
        for choice in (self.picture, self.model, self.input_size):
            choice.layout.width = "auto"
        files = wrapping_row(self.refresh, self.upload, widgets.Label(f"at most {_LIMIT}"))
        files.layout.margin = "0 0 0 114px"  # under the fields, not under their labels
        return [self.picture, files, self.model, self.input_size]

    def sync(self) -> None:
        """Show the state's settings. What is shown already is not sent again.

        Under the state's lock. Changes made here are no person's: this thread's events are not passed on.
        """
        self._syncing = threading.get_ident()
        try:
            self._show()
        finally:
            self._syncing = None

    def busy(self, busy: bool) -> None:
        """Lock what makes no sense while the network runs.

        Picture, model and input size stay open: a disabled control loses the keyboard's focus, and of
        several choices made meanwhile the last one counts.
        """
        for setting, controls in self._shown.items():
            if setting not in self._state.CHOICES:
                for control in controls:
                    control.disabled = busy

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
        if self.picture.options != self._state.pictures.labels:
            self.picture.options = self._state.pictures.labels
        for setting, controls in self._shown.items():
            value = getattr(self._state, setting)
            for control in controls:
                # A slider keeps its 0.49999999999999994: 0.5, sent back, would undo a key pressed meanwhile.
                if not isinstance(value, float) or not abs(control.value - value) <= 1e-6:  # a NaN, too
                    control.value = value
