"""The stage explorer's controls: made, laid out, brought in line with the state. They compute nothing."""

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from ..._shared.text import visible
from ...mask_rcnn.trace import STAGES
from ..picture_chooser import ChoiceControls
from ..widgets import STYLE_SHEET, knob
from .state import InsideState

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
    "box_scores": ("shown",),
    "detections": (*STAGES["detections"].knobs, "shown"),
    "masks": ("score_threshold", "mask_threshold"),
}


class InsideControls(ChoiceControls):
    """Every control of the stage explorer, as attributes."""

    _state: InsideState

    def __init__(self, state: InsideState, on_change: Callable[[str, Any], None]) -> None:
        super().__init__(state, on_change)
        self.follow = widgets.Dropdown(description="Follow", layout=widgets.Layout(width="auto"))
        self.follow.observe(partial(self._moved, "followed"), "value")
        self.strip = {
            stage: widgets.ToggleButton(layout=widgets.Layout(height="auto", flex="1 1 0", min_width="0"))
            for stage in STAGES
        }
        for stage, button in self.strip.items():
            button.add_class("maskseg-stage")
            button.observe(partial(self._on_stage, stage), "value")

        self.level = widgets.Dropdown(description="level")
        self.channel = widgets.BoundedIntText(description="channel", min=-1, tooltip="-1: the strongest")
        for control in (self.level, self.channel):
            control.layout.width = "260px"
            control.observe(partial(self._moved, control.description), "value")
        self.rows: dict[str, widgets.HBox] = {
            "level": widgets.HBox([self.level]),
            "channel": widgets.HBox([self.channel, widgets.Label("-1: the strongest")]),
        }
        self.knobs: dict[str, tuple[widgets.DOMWidget, widgets.DOMWidget]] = {}
        self.defaults: dict[str, widgets.Label] = {}
        for name, (least, most) in RANGES.items():
            self.knobs[name] = knob(name, state.knob_values[name], least, most)
            self.defaults[name] = widgets.Label(layout=widgets.Layout(width="94px"))
            self.rows[name] = widgets.HBox([*self.knobs[name], self.defaults[name]])
            for control in self.knobs[name]:
                control.observe(partial(self._on_knob, name), "value")
        self._add_knob("shown", "boxes drawn", 1, 300)
        self._add_knob("score_threshold", "score_threshold", 0.0, 1.0)
        self._add_knob("mask_threshold", "mask_threshold", 0.0, 1.0)

    def layout(self, main: list[widgets.Widget], journey: list[widgets.Widget]) -> widgets.VBox:
        """The whole app: two columns of controls, the strip, the stage's pictures, the box's way."""
        self.follow.layout.flex, self.follow.layout.min_width = "1 1 0", "0"  # its names may be long
        follow = widgets.HBox([self.follow, self.reset])
        source = widgets.VBox([*self.source_column(), follow], layout={"flex": "1 1 320px"})
        knobs = widgets.VBox(list(self.rows.values()), layout={"flex": "2 1 440px"})
        knobs.layout.min_height = "200px"  # six rows: the pictures below stay where they are at every stage
        columns = widgets.HBox([source, knobs], layout=widgets.Layout(flex_flow="row wrap"))
        strip = widgets.HBox(list(self.strip.values()))
        app = widgets.VBox([widgets.HTML(STYLE_SHEET), columns, strip, *main, *journey])
        app.add_class("maskseg")
        app.add_class("maskseg-inside")
        return app

    def _add_knob(self, setting: str, name: str, least: float, most: float) -> None:
        pair = knob(name, getattr(self._state, setting), least, most)
        self._tie(setting, *pair)
        self.rows[setting] = widgets.HBox(pair)

    def _show(self) -> None:
        super()._show()
        state, view = self._state, self._state.view
        levels = tuple((visible(name), level) for level, name in enumerate(state.trace.features.names))
        if self.level.options != levels:
            self.level.options = levels
        self.channel.max = state.channels - 1
        self.level.value, self.channel.value = view.level, -1 if view.channel is None else view.channel
        self._show_followed()
        self._show_strip()
        own, values = state.own_knobs, state.knob_values
        for name, controls in self.knobs.items():
            for control in controls:
                if not abs(control.value - values[name]) <= 1e-6:
                    control.value = values[name]
            self.defaults[name].value = f"default {own[name]:g}"
        for name, row in self.rows.items():
            row.layout.display = "" if name in ROWS[state.stage] else "none"

    def _show_followed(self) -> None:
        offered, following = self._state.offered(), self._state.following
        if following not in offered.values():
            anchor = self._state.journey.anchor
            offered = {f"anchor {anchor.row} on {anchor.level_name}": following, **offered}
        options = tuple((visible(name), followed) for name, followed in offered.items())
        if self.follow.options != options:
            self.follow.options = options
        self.follow.value = following

    def _show_strip(self) -> None:
        state, counts = self._state, self._state.counts()
        for stage, button in self.strip.items():
            button.description = (
                f"{STAGES[stage].title}\n{counts[stage]}\n{state.trace.milliseconds[stage]:.1f} ms"
            )
            button.value = stage == state.stage
            if stage in state.trace.rerun_stages:
                button.add_class("maskseg-rerun")
            else:
                button.remove_class("maskseg-rerun")

    def _on_stage(self, stage: str, change: dict[str, Any]) -> None:
        if self._is_syncing:
            return
        if change["new"]:
            self._on_change("stage", stage)
        else:
            self.strip[stage].value = True  # one stage is always on screen

    def _on_knob(self, name: str, change: dict[str, Any]) -> None:
        new = change["new"]
        # A slider rounds to its steps of 0.01, unasked: what it rounds to no other value is nobody's wish.
        if not self._is_syncing and not abs(new - self._state.knob_values[name]) < 0.005:
            value = round(new, 4) if isinstance(new, float) else new
            self._on_change("knobs", self._state.with_knob(name, value))
