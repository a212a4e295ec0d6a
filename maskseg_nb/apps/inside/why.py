"""What is asked about the followed box, and the answer as rows, words and a picture, without a widget."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..._shared.text import visible
from ...explain.figures import show_receipt
from ...explain.receipt import BACKGROUND, Receipt, receipt
from ...explain.rescue import Remedy, Rescue, rescue
from ...explain.succession import Succession, without
from ...mask_rcnn.follow import follow
from ...mask_rcnn.journey import Journey
from ...mask_rcnn.knobs import Knobs
from ...mask_rcnn.trace import Trace
from ...models.zoo import categories_of

Answer = Rescue | Succession | Receipt
RESCUE_COLUMNS = ["#", "knob", "now", "brings it back", "why not"]
SUCCESSION_COLUMNS = ["#", "box", "score", "then", "how it ends"]


class Question(NamedTuple):
    """What is asked, and about which box of which run."""

    kind: str  # one of `QUESTIONS`
    anchor: int
    label: int  # 0 where the box never had a category
    knobs: Knobs


def can_be_asked(kind: str, journey: Journey) -> bool:
    """Whether a question makes sense for a box: a lost one, a detection, or one that the box head scored."""
    if kind == "receipt":
        return journey.detection is not None
    return (journey.verdict.row is None) == (kind == "rescue")


def answered(run: Trace, question: Question) -> Answer:
    """The answer to a question about a run.

    Raises:
        ValueError: The question makes no sense for its box.
        ModelError: Nothing adds up to the model's scores.
    """
    return QUESTIONS[question.kind](run, question.anchor, question.label)


def _without(run: Trace, anchor: int, label: int) -> Succession:
    row = follow(run, anchor=anchor, label=label or None).verdict.row
    if row is None:
        raise ValueError("only a detection can be struck out")
    return without(run, row)


def _receipt(run: Trace, anchor: int, label: int) -> Receipt:
    """Against the category that came nearest, or won."""
    found = follow(run, anchor=anchor, label=label or None).detection
    if found is None:
        raise ValueError("the box head never scored this box")
    names = (BACKGROUND, *categories_of(run.model)[1:])
    others = found.scores.copy()
    others[found.label] = -1
    return receipt(run, anchor=anchor, category=found.category, against=names[int(others.argmax())])


QUESTIONS: dict[str, Callable[[Trace, int, int], Answer]] = {
    "rescue": lambda run, anchor, label: rescue(run, anchor, label or None),
    "without": _without,
    "receipt": _receipt,
}


def remedies(answer: Rescue) -> list[Remedy]:
    """All of them, those that help first."""
    return sorted(answer.remedies, key=lambda remedy: remedy.needed is None)


def members(answer: Answer | None) -> list[tuple[int, int]]:
    """The boxes that an answer tells of, as `follow` names them, beside the one asked about."""
    if not isinstance(answer, Succession):
        return []
    return [ending[:2] for ending in (*answer.risen, *answer.fallen)]


def heading(answer: Answer | None) -> str:
    """The answer in a sentence, plain text; empty without one."""
    if isinstance(answer, Rescue):
        name, count = categories_of(answer.run.model)[answer.label], len(answer.helpful)
        what = "no single knob does" if not count else "choose one to set it; Undo takes it back"
        return f"What would make this {name} a detection: {what}."
    if isinstance(answer, Succession):
        struck = answer.struck
        name = f"{categories_of(answer.run.model)[struck.label]} {struck.score:.3f}"
        place = struck.verdict.reason.removeprefix("kept: ")
        counts = f"{len(answer.risen)} risen, {len(answer.fallen)} fallen"
        return f"Without {name} ({place}): {counts}. Choose one to follow it; it ends as if that were gone."
    return "" if answer is None else repr(answer).removeprefix("Receipt(").removesuffix(")")


def rows(answer: Answer | None) -> list[dict[str, Any]]:
    """The answer as rows of a table, in the order of `remedies` or `members`."""
    lines: list[tuple[str, ...]] = []
    if isinstance(answer, Rescue):
        for one in remedies(answer):
            needed = "" if one.needed is None else f"{one.needed:g}"
            lines.append((one.knob, f"{one.now:g}", needed, one.reason))
    elif isinstance(answer, Succession):
        names = categories_of(answer.run.model)
        for word, side in (("risen", answer.risen), ("fallen", answer.fallen)):
            lines += [(names[one.label], f"{one.score:.3f}", word, one.verdict.reason) for one in side]
    return [
        {"id": number, "cells": list(map(visible, (str(number), *line)))}
        for number, line in enumerate(lines, 1)
    ]


def picture(answer: Answer | None, image: np.ndarray) -> Figure | None:
    """The bill, where the answer is one; `image`, uint8 (H, W, 3) RGB, is the one that ran."""
    return show_receipt(answer, image) if isinstance(answer, Receipt) else None
