"""The controls that the apps have in common: picture, model and input size."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from .._shared.text import visible
from .binding import Controls
from .runner import INPUT_SIZES, Choice
from .widgets import wrapping_row

UPLOAD_LIMIT = 10 * 2**20  # bytes; a stock Jupyter server drops larger messages without a word
_LIMIT = f"{UPLOAD_LIMIT // 2**20} MB"


class ChoiceControls(Controls):
    """The widgets that choose picture, model and input size.

    Args:
        state: Where the first values come from.
        on_change: Called with a setting's name and its new value when a person moves a control.
    """

    _state: Choice

    def __init__(self, state: Choice, on_change: Callable[[str, Any], None]) -> None:
        super().__init__(state, on_change)
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
        for button in (self.refresh, self.upload):
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

    def busy(self, busy: bool) -> None:
        """Lock what makes no sense while the network runs.

        Picture, model and input size stay open: a disabled control loses the keyboard's focus, and of
        several choices made meanwhile the last one counts.
        """
        for setting, controls in self._shown.items():
            if setting not in self._state.CHOICES:
                for control in controls:
                    control.disabled = busy

    def _show(self) -> None:
        if self.picture.options != self._state.pictures.labels:
            self.picture.options = self._state.pictures.labels
        super()._show()
