"""The explorer's controls: made, laid out, brought in line with the state. They compute nothing."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ..._shared.text import visible
from ..picture_chooser import ChoiceControls
from ..widgets import STYLE_SHEET, knob, wrapping_row
from .save_panel import SavePanel
from .state import STYLES, ExplorerState


class ExplorerControls(ChoiceControls):
    """Every control of the explorer, as attributes."""

    _state: ExplorerState

    def __init__(self, state: ExplorerState, on_change: Callable[[str, Any], None]) -> None:
        super().__init__(state, on_change)
        self.style = widgets.Dropdown(description="Style", options=list(STYLES))
        self.labels = widgets.Checkbox(description="Labels", indent=False)
        self.labels.layout.width = "90px"
        floor = state.score_floor
        self.score, self.score_number = knob("Score threshold", state.score_threshold, floor)
        self.mask, self.mask_number = knob("Mask threshold", state.mask_threshold, 0.0)
        self.alpha, self.alpha_number = knob("Blend alpha", state.alpha, 0.0)
        self.chips: dict[str, widgets.ToggleButton] = {}  # one a category found
        # Every one ever made: ipywidgets forgets no widget, so each category has one for good.
        self._all_chips: dict[str, widgets.ToggleButton] = {}
        self._show_label = widgets.Label("Show")
        self.chip_row = wrapping_row()

        self.show_code = widgets.ToggleButton(
            description="Show code", icon="code", tooltip="The lines that make this picture"
        )
        self.save_panel = SavePanel(state.pictures.folder)
        self.save = self.save_panel.save
        self.show_code.layout.width = "auto"

        self._tie("style", self.style)
        self._tie("labels", self.labels)
        self._tie("score_threshold", self.score, self.score_number)
        self._tie("mask_threshold", self.mask, self.mask_number)
        self._tie("alpha", self.alpha, self.alpha_number)

    def layout(self, *below: widgets.Widget) -> widgets.VBox:
        """The whole app: two columns of controls, the buttons, the categories, then `below`."""
        self.style.layout.width = "auto"
        column = widgets.Layout(flex="1 1 380px", min_width="320px")
        source = widgets.VBox(self.source_column(), layout=column)
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
        buttons = wrapping_row(self.labels, self.reset, self.show_code, self.save_panel.opener)
        app = widgets.VBox(
            [widgets.HTML(STYLE_SHEET), columns, buttons, self.save_panel.widget, self.chip_row, *below]
        )
        app.add_class("maskseg")
        return app

    def busy(self, busy: bool) -> None:
        super().busy(busy)
        self.save.disabled = busy

    def _show(self) -> None:
        state = self._state
        for slider in (self.score, self.score_number):
            slider.min = state.score_floor
        super()._show()
        counts = state.category_counts()
        if tuple(counts) != tuple(self.chips):
            self.chips = {name: self._chip(name) for name in counts}
            self.chip_row.children = (self._show_label, *self.chips.values()) if self.chips else ()
        for name, (kept, found) in counts.items():
            self.chips[name].description = f"{visible(name)}: {kept} of {found}"
            self.chips[name].value = name not in state.hidden_categories

    def _chip(self, name: str) -> widgets.ToggleButton:
        if name not in self._all_chips:
            chip = widgets.ToggleButton(value=True, tooltip=f"Show or hide {visible(name)}")
            chip.layout.width = "auto"
            chip.observe(lambda change: self._on_chip(name, change["new"]), "value")
            self._all_chips[name] = chip
        return self._all_chips[name]

    def _on_chip(self, name: str, shown: bool) -> None:
        if not self._is_syncing:
            others = tuple(other for other in self._state.hidden_categories if other != name)
            self._on_change("hidden_categories", others if shown else (*others, name))
