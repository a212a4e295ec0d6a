"""What a machine lacks for the moment, told from what is wrong with a file."""

import errno
import os

from .memory import is_out_of_memory

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


def is_shortage(error: BaseException | str) -> bool:
    """Whether it may go well another time: memory, descriptors, threads, disk, permission, network."""
    if isinstance(error, BaseException) and is_out_of_memory(error):
        return True
    if isinstance(error, OSError) and error.errno in _CODES:
        return True
    text = str(error).lower()
    return any(words.lower() in text for words in _SAID)
