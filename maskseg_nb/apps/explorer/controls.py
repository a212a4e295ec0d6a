"""The explorer's controls: made, laid out, bound to the state. They compute nothing."""

from functools import partial

import ipywidgets as widgets

from ..._shared.text import visible
from ..binding import Binding
from ..picture_chooser import PictureChooser
from ..widgets import button, knob, knob_row, wrapping_row
from .save_panel import SavePanel
from .state import STYLES, ExplorerState


class ExplorerControls:
    """The explorer's own controls, as attributes: all but those that choose a picture."""

    def __init__(self, state: ExplorerState, binding: Binding) -> None:
        self._state, self._binding = state, binding
        self.style = widgets.Dropdown(
            description="Style", options=list(STYLES), layout=widgets.Layout(width="auto")
        )
        self.labels = widgets.Checkbox(
            description="Labels", indent=False, layout=widgets.Layout(width="90px")
        )
        self.score, self.score_number = knob("Score threshold", state.score_threshold, state.score_floor)
        self.mask, self.mask_number = knob("Mask threshold", state.mask_threshold, 0.0)
        self.alpha, self.alpha_number = knob("Blend alpha", state.alpha, 0.0)
        self.chips: dict[str, widgets.ToggleButton] = {}  # one a category found
        # Every one ever made: ipywidgets forgets no widget, so each category has one for good.
        self._all_chips: dict[str, widgets.ToggleButton] = {}
        self._show_label = widgets.Label("Show")
        self.chip_row = wrapping_row()
        self.show_code = button("Show code", "code", "The lines that make this picture", widgets.ToggleButton)
        self.save_panel = SavePanel(state.runner.pictures.folder)
        self.save = self.save_panel.save

        binding.show(self._show_floor)
        binding.tie("style", [self.style])
        binding.tie("labels", [self.labels])
        binding.tie("score_threshold", [self.score, self.score_number])
        binding.tie("mask_threshold", [self.mask, self.mask_number])
        binding.tie("alpha", [self.alpha, self.alpha_number])
        binding.show(self._show_chips)
        binding.lockable.append(self.save)

    def sliders(self) -> widgets.Widget:
        """The three thresholds and weights, beside each other where there is room."""
        pairs = (
            (self.score, self.score_number),
            (self.mask, self.mask_number),
            (self.alpha, self.alpha_number),
        )
        return wrapping_row(*(knob_row(*pair) for pair in pairs))

    def folding(self, chooser: PictureChooser) -> widgets.Widget:
        """All else above the picture: what it is of, how it is drawn, and what can be done with it."""
        binding = self._binding
        buttons = wrapping_row(
            self.labels, binding.undo, binding.reset, self.show_code, self.save_panel.opener, self.chip_row
        )
        return widgets.VBox([chooser.layout(self.style), buttons, self.save_panel.widget])

    def _show_floor(self) -> None:
        for control in (self.score, self.score_number):
            control.min = self._state.score_floor

    def _show_chips(self) -> None:
        counts = self._state.category_counts()
        if tuple(counts) != tuple(self.chips):
            self.chips = {name: self._chip(name) for name in counts}
            self.chip_row.children = (self._show_label, *self.chips.values()) if self.chips else ()
        for name, (kept, found) in counts.items():
            self.chips[name].description = f"{visible(name)}: {kept} of {found}"

    def _chip(self, name: str) -> widgets.ToggleButton:
        if name not in self._all_chips:
            chip = button("", "", f"Show or hide {visible(name)}", widgets.ToggleButton)
            chip.layout.flex = "0 1 auto"  # a long name gives way
            shown, show = partial(self._is_shown, name), partial(self._show_category, name)
            self._binding.tie(f"category {name}", [chip], shown, show, stays_open=True)
            self._all_chips[name] = chip
        return self._all_chips[name]

    def _is_shown(self, name: str) -> bool:
        return name not in self._state.hidden_categories

    def _show_category(self, name: str, shown: bool) -> None:
        others = tuple(other for other in self._state.hidden_categories if other != name)
        self._state.hidden_categories = others if shown else (*others, name)
