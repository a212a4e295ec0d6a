"""The three questions as buttons, and the answer below the picture."""

import base64
from collections.abc import Callable
from functools import partial

import ipywidgets as widgets
import numpy as np

from ..._shared.text import as_html
from ...drawing.figures import figure_png
from ...explain.rescue import Rescue
from ..binding import Binding
from ..link import Link
from ..table_view import TableView
from ..widgets import button
from .state import InsideState
from .why import (
    RESCUE_COLUMNS,
    SUCCESSION_COLUMNS,
    Answer,
    Question,
    can_be_asked,
    heading,
    members,
    picture,
    remedies,
    rows,
)

# Question -> its button's text, icon and tooltip.
BUTTONS = {
    "rescue": ("Bring it back", "life-ring", "The smallest change of each knob that makes it a detection"),
    "without": ("Without this one", "eraser", "Strike it out: who rises, and who falls?"),
    "receipt": ("Receipt", "list", "What each cell that the box head read adds to the score"),
}


class WhyPanel:
    """What can be asked about the followed box.

    Args:
        state: Holds the question and its answer.
        binding: Ties the buttons to it.
        say: Called with a piece of news for the app's line.

    Attributes:
        buttons: By question: pressed while its answer is on screen.
        table, words: The answer.
        widget: Both.
    """

    def __init__(self, state: InsideState, binding: Binding, say: Callable[[str], None]) -> None:
        self._state, self._say = state, say
        self._rows, self._bill = Link(rows), Link(_bill)
        self.words, self.table = widgets.HTML(), TableView()
        self.table.observe(lambda change: binding.act(self._choose, change["new"]), "selected")
        self.widget = widgets.VBox([self.words, self.table])
        self.buttons: dict[str, widgets.ToggleButton] = {}
        for kind, texts in BUTTONS.items():
            toggle = self.buttons[kind] = button(*texts, widgets.ToggleButton)
            is_answered, ask = partial(self._is_answered, kind), partial(self._ask, kind)
            binding.tie(kind, [toggle], is_answered, ask, stays_open=True)
        binding.show(self._show)

    def _is_answered(self, kind: str) -> bool:
        question = self._state.asked
        return self._state.answer is not None and question is not None and question.kind == kind

    def _ask(self, kind: str, pressed: bool) -> None:
        state = self._state
        state.asked = Question(kind, *state.following, state.trace.knobs) if pressed else None

    def _choose(self, number: int) -> None:
        state, answer = self._state, self._state.answer
        if not 0 < number <= len(self.table.rows):
            return
        if not isinstance(answer, Rescue):
            if (chosen := members(answer)[number - 1]) != state.following:
                state.followed = chosen
            return
        remedy = remedies(answer)[number - 1]
        if remedy.needed is None:
            self._say(f"{remedy.knob} stays: {remedy.reason}")
        else:
            state.knobs = state.with_knob(remedy.knob, remedy.needed)

    def _show(self) -> None:
        state, answer = self._state, self._state.answer
        for kind, toggle in self.buttons.items():
            toggle.disabled = not can_be_asked(kind, state.journey) and not self._is_answered(kind)
        if answer is not None:
            self.table.columns = RESCUE_COLUMNS if isinstance(answer, Rescue) else SUCCESSION_COLUMNS
        self.table.rows, others = self._rows(answer), members(answer)
        self.table.selected = others.index(state.following) + 1 if state.following in others else 0
        self.words.value = f"<b>{as_html(heading(answer))}</b>{self._bill(answer, state.image)}"


def _bill(answer: Answer | None, image: np.ndarray) -> str:
    figure = picture(answer, image)
    if figure is None:
        return ""
    data = base64.b64encode(figure_png(figure)).decode()
    return f'<img class="maskseg-bill" src="data:image/png;base64,{data}" alt="{as_html(str(answer))}">'
