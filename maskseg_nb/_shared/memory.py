"""Memory: how much is free, and one line before or after it runs out; what else a machine may be short of."""

import errno
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psutil
import torch

from ..errors import MasksegError, ModelError

Result = TypeVar("Result")
MAX_MASK_BYTES = 4 * 2**30  # of one picture's masks
NEVER_REFUSED = 2**28  # a whole photograph at 800 x 800 with 100 masks
_PASSING = """
    EMFILE ENFILE ENOMEM ENOSPC EDQUOT EIO EAGAIN EBUSY EACCES EPERM EROFS EINTR ETIMEDOUT ESTALE ENODEV ENXIO
    ENOTCONN ENETDOWN ENETUNREACH EHOSTDOWN
""".split()
_CODES = {getattr(errno, name) for name in _PASSING if hasattr(errno, name)}
_SAID = (
    *(os.strerror(code) for code in _CODES),  # our own messages quote it
    "can't start new thread",
    "more memory than is free",
    "not enough memory",
    "more than the limit of",  # of free memory
)


def free_bytes() -> int:
    """Memory that can be had without swapping."""
    return int(psutil.virtual_memory().available)


def check_fits(size: int, what: str, instead: str) -> None:
    """Raise MasksegError where `size` bytes are more than 4 GiB, or more than there is."""
    if size <= NEVER_REFUSED:
        return  # without a look at the system, for the sake of a moving slider
    limit = min(free_bytes(), MAX_MASK_BYTES)
    if size > limit:
        numbers = f"{size / 2**30:.1f} GiB, more than the limit of {limit / 2**30:.1f} GiB"
        raise MasksegError(f"{what} would take {numbers}; {instead}")


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector, which would look again and again through millions of small objects,
    none of them garbage: a third of the time that a large JSON file takes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch has an error of its own for that, but not on a CPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = (
        *("can't allocate memory", "out of memory", "insufficient memory"),  # torch, its back ends, OpenCV
        *("cannot allocate memory", "could not create a primitive"),  # a file mapped into memory, oneDNN
    )
    return any(words in str(error).lower() for words in said)


def within_memory(
    compute: Callable[[], Result], message: str, error_class: type[MasksegError] = ModelError
) -> Result:
    """Return `compute()`; where memory runs out, raise `error_class(message)`, which says what to lower."""
    try:
        return compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Out here the first error is gone, and with its traceback every tensor of the frames that failed.
    raise error_class(message)


def is_shortage(error: BaseException | str) -> bool:
    """Whether it may work another time: memory, descriptors, threads, disk, permission, network."""
    if isinstance(error, BaseException) and is_out_of_memory(error):
        return True
    if isinstance(error, OSError) and error.errno in _CODES:
        return True
    text = str(error).lower()
    return any(words.lower() in text for words in _SAID)
