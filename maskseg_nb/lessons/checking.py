"""What the notebooks share: a line per array, and exercises that check themselves."""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import did_you_mean
from .watching import kept_between_calls, watched

Rule = Callable[..., np.ndarray]
Cases = Callable[[], Iterable[tuple]]


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    Attributes:
        expected: Gives the right result; its parameters name the arguments.
        cases: Gives the arguments of every case, the smallest first; new arrays at each call.
        hint: What to look at if a case fails.
    """

    expected: Rule
    cases: Cases
    hint: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the arguments, in order."""
        return tuple(inspect.signature(self.expected).parameters)


EXERCISES: dict[str, Exercise] = {}


def exercise(name: str, expected: Rule, *, hint: str) -> Callable[[Cases], Cases]:
    """Add an exercise (see `Exercise`); the decorated function yields its cases."""

    def add(cases: Cases) -> Cases:
        EXERCISES[name] = Exercise(expected, cases, hint)
        return cases

    return add


def describe(**arrays: np.ndarray | torch.Tensor) -> None:
    """Print a line per array or tensor: its name, shape, dtype, smallest and largest value.

    Args:
        arrays: Any number of arrays and tensors, each under the name to print.
    """
    for name, array in arrays.items():
        values = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array
        span = f"{values.min():.4g} to {values.max():.4g}" if values.size else "empty"
        kind = str(array.dtype).removeprefix("torch.")
        print(f"{name:<14}{tuple(array.shape)!s:<22}{kind:<9}{span}")


def check(name: str, function: Callable[..., Any]) -> None:
    """Try a function on every case of an exercise; print that it is right, or the smallest case that fails.

    Args:
        name: One of `EXERCISES`, as the notebook says.
        function: Yours. An error that it raises is printed, not raised, with the line where it happened; what
            it prints is shown where its result is wrong; after `SECONDS` a call is stopped.

    Raises:
        ValueError: There is no such exercise.
        TypeError: `function` cannot be called.
    """
    if name not in EXERCISES:
        meant = did_you_mean(name, EXERCISES)
        raise ValueError(f"exercise must be one of {', '.join(EXERCISES)}, got {name!r}{meant}")
    if not callable(function):
        raise TypeError(f"function must be a function, got {type(function).__name__}")
    exercise = EXERCISES[name]
    cases, defaults = list(exercise.cases()), copy.deepcopy(getattr(function, "__defaults__", None))
    for arguments in cases:
        complaint = _complaint(exercise, function, arguments)
        if complaint:
            complaint += kept_between_calls(function, defaults)
            print(f"{name}: not yet. The smallest case that fails:")
            for argument, value in zip(exercise.arguments, arguments, strict=True):
                print(f"    {argument} = {_short(value)}")
            print(f"    {complaint}\nHint: {exercise.hint}")
            return
    print(f"{name}: right, in all {len(cases)} cases")


def _complaint(exercise: Exercise, function: Callable[..., Any], arguments: tuple) -> str:
    """What is wrong with a function's result; empty where nothing is."""
    expected, given = exercise.expected(*arguments), copy.deepcopy(arguments)
    call = watched(function, given)
    said = f"expected {_short(expected)}, "
    printed = f"\n    it printed: {_short_text(call.printed)}" if call.printed else ""
    if call.problem:
        return f"{said}but it {call.problem}{printed}"
    for argument, before, after in zip(exercise.arguments, arguments, given, strict=True):
        if not np.array_equal(before, after):
            return f"it changed {argument}, its own argument; work on a copy: {argument}.copy()"
    got = call.result
    if got is None:
        instead = " instead of print" if call.printed else ""
        return f"{said}got None; end the function with return and the result{instead}{printed}"
    if callable(got):
        return f"{said}got a function; call it, with () and its arguments{printed}"
    if isinstance(got, torch.Tensor):
        got = got.detach().cpu().numpy()
    if isinstance(got, Iterator | Set):
        return f"{said}got a {type(got).__name__}; return a list or an array{printed}"
    try:
        result = np.asarray(got)
    except ValueError:  # NumPy's own is about an inhomogeneous shape
        return f"{said}got {_short(got)}, whose rows differ in length{printed}"
    return (complaint := _difference(result, expected, got)) and complaint + printed


def _difference(result: np.ndarray, expected: np.ndarray, got: Any) -> str:
    """What is wrong with an array; empty where nothing is."""
    said = f"expected {_short(expected)}, got "
    if result.dtype.kind not in "biuf":
        numbers = " as text; return numbers" if result.dtype.kind in "US" else ""
        return f"{said}{_short(got)}{numbers}"
    if result.shape != expected.shape:
        turned = "; rows and columns are swapped" if result.T.shape == expected.shape else ""
        shapes = f"expected shape {expected.shape}, {_short(expected)}, got {result.shape}"
        return f"{shapes}, {_short(result)}{turned}"
    if expected.dtype == np.uint8 and result.dtype != np.uint8:
        return f"expected uint8, got {result.dtype}; end with .astype(np.uint8)"
    if not np.allclose(result, expected, rtol=0, atol=1e-6):
        advice = "; do not round" if _is_rounded(result, expected) else ""
        if result.dtype.kind == "f" and np.isnan(result).any():
            advice = "; nan comes from 0 / 0"
        return f"{said}{_short(result)}{advice}"
    return ""


def _is_rounded(result: np.ndarray, expected: np.ndarray) -> bool:
    """Whether a wrong result is the right one with 1 to 5 digits behind the point."""
    return expected.dtype.kind == "f" and any(
        np.allclose(result, expected.round(digits), rtol=0, atol=1e-9) for digits in range(1, 6)
    )


def _short(value: Any) -> str:
    """A value on one line, a long array with dots in the middle."""
    if isinstance(value, (np.ndarray, np.generic)):
        text = np.array2string(np.asarray(value), precision=3, separator=", ", threshold=12, edgeitems=2)
        return " ".join(text.split())
    return repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."


def _short_text(text: str) -> str:
    """What was printed, on one line."""
    line = " | ".join(text.strip().splitlines())
    return line if len(line) <= 80 else f"{line[:77]}..."
