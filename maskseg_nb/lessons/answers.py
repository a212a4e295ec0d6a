"""What who asks is told: a solution of an exercise, or what comes of an experiment."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from ..errors import quoted
from . import solutions
from .checking import EXERCISES

Answer = Callable[[], dict[str, Any]]

ANSWERS: dict[str, Answer] = {}  # "02.5" is exercise 5 of notebook 02


def answers(name: str) -> Callable[[Answer], Answer]:
    """Add an answer: the decorated function's docstring, its {gaps} filled with what the function returns.

    So the numbers are always those of the model `street` as it is now.
    """

    def add(function: Answer) -> Answer:
        ANSWERS[name] = function
        return function

    return add


def answer(name: str) -> None:
    """Print a solution of an exercise, or what comes of an experiment with the model `street`.

    Args:
        name: Of a function to write, its name: "iou" for the exercise that ends in `check("iou", iou)`; of an
            exercise without a function, the notebook's number and its own: "02.5".

    Raises:
        ValueError: There is no such exercise.
    """
    if name in EXERCISES:
        print(inspect.getsource(getattr(solutions, name)), end="")
    elif name in ANSWERS:
        text = inspect.cleandoc(ANSWERS[name].__doc__ or "").format(**ANSWERS[name]())
        for paragraph in text.split("\n\n"):
            print(paragraph if paragraph.startswith("  ") else textwrap.fill(paragraph, 100))
    else:
        raise ValueError(f"exercise must be one of {', '.join([*EXERCISES, *ANSWERS])}, got {quoted(name)}")
