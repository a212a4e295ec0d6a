"""What an exercise is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    Attributes:
        arguments: Their names, in order.
        expected: Arguments -> the right result.
        cases: The arguments of every case, the smallest first; made anew at each call.
        hint: What to look at where a case fails.
    """

    arguments: tuple[str, ...]
    expected: Callable[..., np.ndarray]
    cases: Callable[[], Iterable[tuple]]
    hint: str
