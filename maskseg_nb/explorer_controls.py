"""The explorer's controls: made, laid out, brought in line with the state. They compute nothing."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from .app_parts import STYLE_SHEET, knob, wrapping_row
from .explorer_state import INPUT_SIZES, STYLES, ExplorerState

UPLOAD_LIMIT = 10 * 2**20  # bytes; a stock Jupyter server drops larger messages without a word
_LIMIT = f"{UPLOAD_LIMIT // 2**20} MB"


class Controls:
    """Every control of the explorer, as attributes.

    Args:
        state: Where the first values come from.
        on_change: Called with a setting's name and its new value when a person moves a control.
    """

    def __init__(self, state: ExplorerState, on_change: Callable[[str, Any], None]) -> None:
        self._state, self._on_change = state, on_change
        self._syncing: int | None = None  # the thread that is in sync()
        self.picture = widgets.Dropdown(description="Picture", options=state.pictures.labels)
        self.model = widgets.Dropdown(description="Model", options=state.model_names)
        self.input_size = widgets.Dropdown(description="Input size", options=list(INPUT_SIZES))
        self.style = widgets.Dropdown(description="Style", options=list(STYLES))
        self.labels = widgets.Checkbox(description="Labels", indent=False)
        self.labels.layout.width = "90px"
        floor = state.score_floor
        self.score, self.score_number = knob("Score threshold", state.score_threshold, floor)
        self.mask, self.mask_number = knob("Mask threshold", state.mask_threshold, 0.0)
        self.alpha, self.alpha_number = knob("Blend alpha", state.alpha, 0.0)
        self.chips: dict[str, widgets.ToggleButton] = {}  # one a category found
        self.chip_row = wrapping_row()

        self.refresh = widgets.Button(description="Refresh", icon="refresh", tooltip="Read the folder again")
        self.upload = widgets.FileUpload(
            accept="image/*",
            description="Upload",
            tooltip=f"At most {_LIMIT}; put a larger picture into the folder and press Refresh",
        )
        self.reset = widgets.Button(description="Reset", icon="undo", tooltip="Every knob to its default")
        self.show_code = widgets.ToggleButton(
            description="Show code", icon="code", tooltip="The lines that make this picture"
        )
        self.save = widgets.Button(
            description="Save picture", icon="download", tooltip="As a PNG, into the folder"
        )
        for button in (self.refresh, self.upload, self.reset, self.show_code, self.save):
            button.layout.width = "auto"

        # setting -> the controls that show it
        self._shown: dict[str, tuple[widgets.Widget, ...]] = {
            "picture": (self.picture,),
            "model_name": (self.model,),
            "input_size": (self.input_size,),
            "style": (self.style,),
            "labels": (self.labels,),
            "score_threshold": (self.score, self.score_number),
            "mask_threshold": (self.mask, self.mask_number),
            "alpha": (self.alpha, self.alpha_number),
        }
        for setting, controls in self._shown.items():
            for control in controls:
                control.observe(partial(self._moved, setting), "value")

    def layout(self, *below: widgets.Widget) -> widgets.VBox:
        """The whole app: two columns of controls, the buttons, the categories, then `below`."""
        for choice in (self.picture, self.model, self.input_size, self.style):
            choice.layout.width = "auto"
        column = widgets.Layout(flex="1 1 380px", min_width="320px")
        limit = widgets.Label(f"at most {_LIMIT}")
        files = wrapping_row(self.refresh, self.upload, limit)
        files.layout.margin = "0 0 0 114px"  # under the fields, not under their labels
        source = widgets.VBox(
            [self.picture, files, self.model, self.input_size],
            layout=column,
        )
        knobs = widgets.VBox(
            [
                widgets.HBox([self.score, self.score_number]),
                widgets.HBox([self.mask, self.mask_number]),
                widgets.HBox([self.alpha, self.alpha_number]),
                self.style,
            ],
            layout=column,
        )
        columns = widgets.HBox([source, knobs], layout=widgets.Layout(flex_flow="row wrap"))
        buttons = wrapping_row(self.labels, self.reset, self.show_code, self.save)
        app = widgets.VBox([widgets.HTML(STYLE_SHEET), columns, buttons, self.chip_row, *below])
        app.add_class("maskseg")
        return app

    def sync(self) -> None:
        """Show the state's settings. What is shown already is not sent again.

        Under the state's lock. Changes made here are no person's: this thread's events are not passed on.
        """
        self._syncing = threading.get_ident()
        try:
            self._show(self._state)
        finally:
            self._syncing = None

    def _show(self, state: ExplorerState) -> None:
        if self.picture.options != state.pictures.labels:
            self.picture.options = state.pictures.labels
        for slider in (self.score, self.score_number):
            slider.min = state.score_floor
        for setting, controls in self._shown.items():
            value = getattr(state, setting)
            for control in controls:
                # A slider keeps its 0.49999999999999994: 0.5, sent back, would undo a key pressed meanwhile.
                if not isinstance(value, float) or not abs(control.value - value) <= 1e-6:  # a NaN, too
                    control.value = value
        counts = state.category_counts()
        if tuple(counts) != tuple(self.chips):
            self.chips = {name: self._chip(name, name not in state.hidden_categories) for name in counts}
            self.chip_row.children = (widgets.Label("Show"), *self.chips.values())
        for name, (kept, found) in counts.items():
            self.chips[name].description = f"{name}: {kept} of {found}"
            self.chips[name].value = name not in state.hidden_categories

    def busy(self, busy: bool) -> None:
        """Lock what makes no sense while the network runs.

        Picture, model and input size stay open: a disabled control loses the keyboard's focus, and of
        several choices made meanwhile the last one counts.
        """
        for setting in ("score_threshold", "mask_threshold", "alpha", "style", "labels"):
            for control in self._shown[setting]:
                control.disabled = busy
        self.save.disabled = busy

    def _moved(self, setting: str, change: dict[str, Any]) -> None:
        if self._syncing != threading.get_ident():
            new = change["new"]  # a browser's 0.5 on a scale that begins at 0.05 may be 0.49999999999999994
            self._on_change(setting, round(new, 4) if isinstance(new, float) else new)

    def _chip(self, name: str, shown: bool) -> widgets.ToggleButton:
        chip = widgets.ToggleButton(value=shown, tooltip=f"Show or hide {name}")
        chip.layout.width = "auto"
        chip.observe(lambda change: self._on_chip(name, change["new"]), "value")
        return chip

    def _on_chip(self, name: str, shown: bool) -> None:
        if self._syncing != threading.get_ident():
            others = tuple(other for other in self._state.hidden_categories if other != name)
            self._on_change("hidden_categories", others if shown else (*others, name))
