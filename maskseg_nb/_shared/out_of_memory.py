"""Where memory runs out: one line that says so, and nothing kept of what was computed until then."""

from collections.abc import Callable
from typing import TypeVar

import torch

from ..errors import MasksegError, ModelError

Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is memory that was lacking: torch has an error of its own for it, but not on a CPU."""
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
    """What `compute` returns.

    Raises:
        error_class: Memory ran out; `message` says what to lower.
    """
    try:
        return compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Out here the first error is gone, and with its traceback every tensor of the frames that failed.
    raise error_class(message)
