"""How much memory there is, and a refusal before something takes all of it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from ..errors import MasksegError

MAX_BYTES = 4 * 2**30  # of one picture's masks
NEVER_REFUSED = 2**28  # a whole photograph at 800 x 800 with 100 masks


def free_bytes() -> int:
    """Memory that can be had without swapping."""
    return int(psutil.virtual_memory().available)


def check_fits(size: int, what: str, instead: str) -> None:
    """Raise MasksegError where `size` bytes are more than 4 GiB, or more than there is."""
    if size <= NEVER_REFUSED:
        return  # without a look at the system, for the sake of a moving slider
    limit = min(free_bytes(), MAX_BYTES)
    if size > limit:
        numbers = f"{size / 2**30:.1f} GiB, more than the limit of {limit / 2**30:.1f} GiB"
        raise MasksegError(f"{what} would take {numbers}; {instead}")


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let Python not look for garbage while millions of small objects are made, none of which is any.

    It would look through all of them time and again: a third of the time that a large JSON file takes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
