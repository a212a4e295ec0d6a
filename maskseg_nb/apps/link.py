"""How an app computes again only what a moved control touches."""

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

Result = TypeVar("Result")


class Link(Generic[Result]):
    """A function that remembers its last call: the same arguments, the same result, nothing computed.

    Arrays are the same where they are one object, all else where it is equal. A failed call changes nothing.

    Args:
        function: What it calls.
        key: What of the arguments the result depends on; without it, on all of them.
    """

    def __init__(
        self, function: Callable[..., Result], key: Callable[..., tuple[object, ...]] | None = None
    ) -> None:
        self._function, self._key = function, key
        self._last: tuple[tuple[object, ...], Result] | None = None

    def __call__(self, *arguments: object) -> Result:
        if self._last is None or not self.remembers(*arguments):
            self._last = arguments, self._function(*arguments)
        return self._last[1]

    @property
    def arguments(self) -> tuple[object, ...] | None:
        """Those of the last call that succeeded."""
        return self._last[0] if self._last else None

    def remembers(self, *arguments: object) -> bool:
        """Whether a call with these arguments computes nothing."""
        if self._last is None or len(self._last[0]) != len(arguments):
            return False
        if self._key is None:
            return all(map(_same, self._last[0], arguments))
        return all(map(_same, self._key(*self._last[0]), self._key(*arguments)))


def _same(one: object, other: object) -> bool:
    by_value = type(one) is type(other) and not isinstance(one, np.ndarray)
    return one is other or (by_value and one == other)
