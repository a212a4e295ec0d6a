"""The stage explorer's controls: made, laid out, bound to the state. They compute nothing."""

from functools import partial

import ipywidgets as widgets

from ..._shared.text import visible
from ...mask_rcnn.trace import STAGES
from ..binding import Binding
from ..picture_chooser import PictureChooser
from ..widgets import button, knob, knob_row, wrapping_row
from .state import InsideState
from .why_panel import WhyPanel

# Knob of the network -> the range of its slider.
RANGES: dict[str, tuple[float, float]] = {
    "rpn_pre_nms_top_n": (1, 2000),
    "rpn_post_nms_top_n": (1, 2000),
    "rpn_nms_threshold": (0.0, 1.0),
    "rpn_score_threshold": (0.0, 1.0),
    "rpn_min_size": (0.0, 200.0),
    "box_score_threshold": (0.0, 1.0),
    "box_nms_threshold": (0.0, 1.0),
    "box_detections_per_img": (1, 300),
}
# Stage -> the settings that are of use there: the knobs that it heeds, and what of its picture can be chosen.
ROWS: dict[str, tuple[str, ...]] = {
    "normalised": (),
    "features": ("level", "channel"),
    "anchors": ("level",),
    "proposals": (*STAGES["proposals"].knobs, "shown"),
    "box_scores": ("shown", "receipt"),
    "detections": (*STAGES["detections"].knobs, "score_threshold", "shown"),
    "masks": ("score_threshold", "mask_threshold"),
}


class InsideControls:
    """The stage explorer's own controls, as attributes: all but those that choose a picture."""

    def __init__(self, state: InsideState, binding: Binding, why: WhyPanel) -> None:
        self._state, self._binding, self._why = state, binding, why
        self.follow = widgets.Dropdown(description="Follow")
        self.every_box = button(
            "Every box",
            "table",
            "A table of every box: where it ended, why, and by whom",
            widgets.ToggleButton,
        )
        self.level = widgets.Dropdown(description="level", layout={"width": "16em"})
        self.channel = widgets.BoundedIntText(
            description="channel", min=-1, tooltip="-1: the strongest", layout={"width": "16em"}
        )
        self.rows = {
            "level": knob_row(self.level),
            "channel": knob_row(self.channel, widgets.Label("-1: the strongest")),
            "receipt": knob_row(why.buttons["receipt"]),
        }
        self.defaults: dict[str, widgets.Label] = {}
        self.strip: dict[str, widgets.ToggleButton] = {}
        binding.show(self._show_choices)
        # What is looked at stays open: a click that is made while the network runs counts for its result.
        tie = partial(binding.tie, stays_open=True)
        tie("followed", [self.follow], lambda: state.following)
        tie("level", [self.level], lambda: state.view.level)
        tie("channel", [self.channel], lambda: -1 if state.view.channel is None else state.view.channel)
        for name, (least, most) in RANGES.items():
            pair = knob(name, state.knob_values[name], least, most)
            tie(name, pair, partial(self._knob, name), partial(self._set_knob, name))
            self.defaults[name] = widgets.Label(layout={"width": "7em"})
            self.rows[name] = knob_row(*pair, self.defaults[name])
        for setting, name, least, most in (
            ("shown", "boxes drawn", 1, 300),
            ("score_threshold", "score_threshold", 0.0, 1.0),
            ("mask_threshold", "mask_threshold", 0.0, 1.0),
        ):
            pair = knob(name, getattr(state, setting), least, most)
            binding.tie(setting, pair)
            self.rows[setting] = knob_row(*pair)
        for stage in STAGES:
            toggle = widgets.ToggleButton(layout={"height": "auto", "flex": "1 1 0", "min_width": "0"})
            toggle.add_class("maskseg-stage")
            tie(stage, [toggle], partial(self._is_on_screen, stage), partial(self._choose, stage))
            self.strip[stage] = toggle
        binding.show(self._show_stages)

    def folding(self, chooser: PictureChooser) -> widgets.Widget:
        """What the run is of, and which box is followed."""
        asks = self._why.buttons["rescue"], self._why.buttons["without"]
        return chooser.layout(self.follow, *asks, self.every_box, self._binding.undo, self._binding.reset)

    def sliders(self) -> widgets.Widget:
        """The stages, and below them the knobs of the one on screen."""
        return widgets.VBox([widgets.HBox(list(self.strip.values())), wrapping_row(*self.rows.values())])

    def _show_choices(self) -> None:
        """What the three choices offer; a followed box that is not among the best comes first."""
        state, offered = self._state, self._state.offered()
        levels = tuple((visible(name), level) for level, name in enumerate(state.trace.features.names))
        if self.level.options != levels:
            self.level.options = levels
        self.channel.max = state.channels - 1
        for name in RANGES:  # what brings a box back may lie beyond
            for control in self._binding.ties[name].controls if name in self._binding.ties else ():
                control.max = max(control.max, state.knob_values[name])
        if state.following not in offered.values():
            offered = {state.name_of_followed(): state.following, **offered}
        options = tuple((visible(name), followed) for name, followed in offered.items())
        if self.follow.options != options:
            self.follow.options = options

    def _show_stages(self) -> None:
        state, counts, own = self._state, self._state.counts(), self._state.own_knobs
        for stage, toggle in self.strip.items():
            toggle.description = (
                f"{STAGES[stage].title}\n{counts[stage]}\n{state.trace.milliseconds[stage]:.1f} ms"
            )
            mark = toggle.add_class if stage in state.trace.rerun_stages else toggle.remove_class
            mark("maskseg-rerun")
        for name, label in self.defaults.items():
            label.value = f"default {own[name]:g}"
        for name, row in self.rows.items():
            row.layout.display = "" if name in ROWS[state.stage] else "none"

    def _knob(self, name: str) -> float:
        return self._state.knob_values[name]

    def _set_knob(self, name: str, value: float) -> None:
        self._state.knobs = self._state.with_knob(name, value)

    def _is_on_screen(self, stage: str) -> bool:
        return stage == self._state.stage

    def _choose(self, stage: str, pressed: bool) -> None:
        if pressed:
            self._state.stage = stage
        else:
            self._binding.sync()  # one stage is always on screen
