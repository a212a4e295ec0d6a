"""The comparison's own controls: what the second run has of its own. They compute nothing."""

import ipywidgets as widgets

from ..._shared.text import visible
from ...explain.twins import CHANGES
from ..binding import Binding
from ..picture_chooser import PictureChooser
from ..runner import AUTOMATIC, INPUT_SIZES
from ..widgets import knob, knob_row, wrapping_row
from .state import SAME, UNCHANGED, CompareState

# Change -> the amount to begin with: enough to be seen.
START = {"blur": 3.0, "noise": 25.0, "JPEG": 10.0, "darkness": 0.3, "rotation": 10.0, "BGR": 1.0}


class CompareControls:
    """What the second run has of its own, as attributes; a `PictureChooser` has the first one's."""

    def __init__(self, state: CompareState, binding: Binding) -> None:
        self._state, self._binding = state, binding
        auto = widgets.Layout(width="auto")
        models = [SAME, *state.runner.model_names]
        self.other_model = widgets.Dropdown(
            description="Other model", options=[(visible(name), name) for name in models], layout=auto
        )
        sizes = [SAME, AUTOMATIC, *INPUT_SIZES]
        self.other_size = widgets.Dropdown(description="Other size", options=sizes, layout=auto)
        self.change = widgets.Dropdown(description="Change", options=[UNCHANGED, *CHANGES], layout=auto)
        self.amount, self.amount_number = knob("Amount", state.amount, 0.0)
        self.amount.continuous_update = False  # the network runs when it is let go
        self.unit = widgets.Label()
        self.amount_row = knob_row(self.amount, self.amount_number, self.unit)
        self.amount_row.layout.flex = "1 1 36em"
        self.score, self.score_number = knob("Score threshold", state.score_threshold, 0.0)
        binding.show(self._show_range)
        # They stay open while the network runs: of several choices made meanwhile the last one counts.
        binding.tie("other_model", [self.other_model], stays_open=True)
        binding.tie("other_size", [self.other_size], stays_open=True)
        binding.tie("change", [self.change], write=self._choose, stays_open=True)
        binding.tie("amount", [self.amount, self.amount_number], stays_open=True)
        binding.tie("score_threshold", [self.score, self.score_number])

    def folding(self, chooser: PictureChooser) -> widgets.Widget:
        """What the first run is of, and how the second differs."""
        others = self.other_model, self.other_size, self.change
        return chooser.layout(*others, self._binding.undo, self._binding.reset)

    def sliders(self) -> widgets.Widget:
        """The amount of the change, and the score threshold."""
        return wrapping_row(self.amount_row, knob_row(self.score, self.score_number))

    def _choose(self, change: str) -> None:
        """Another change comes with an amount of its own."""
        self._state.assign({"change": change, "amount": START.get(change, 0.0)})

    def _show_range(self) -> None:
        change = CHANGES.get(self._state.change)
        self.amount_row.layout.display = "" if change else "none"
        if change is None or (self.amount.min, self.amount.max) == (change.least, change.most):
            return
        self.unit.value, *_ = change.unit.split(";")
        self.amount_number.tooltip = f"Amount, as a number: {change.unit}"
        for control in (self.amount, self.amount_number):
            control.max = max(control.max, change.most)  # at no time may the least be above the most
            control.min, control.max = change.least, change.most
