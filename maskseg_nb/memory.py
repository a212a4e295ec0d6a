"""How much memory there is, and a refusal before something takes all of it."""

import math
from pathlib import Path

from .errors import MasksegError

MAX_BYTES = 4 * 2**30  # of one picture's masks
NEVER_REFUSED = 2**28
_MEMINFO = Path("/proc/meminfo")


def free_bytes() -> float:
    """Memory that can be had without swapping; infinite where the system does not say (only Linux does)."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return math.inf
    return next(
        (1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), math.inf
    )


def check_fits(size: int, what: str, instead: str) -> None:
    """Raise MasksegError where `size` bytes are more than 4 GiB, or more than there is."""
    if size <= NEVER_REFUSED:
        return  # without a look at the system, for the sake of a moving slider
    limit = min(free_bytes(), MAX_BYTES)
    if size > limit:
        raise MasksegError(
            f"{what} would take {size / 2**30:.1f} GiB, more than the limit of {limit / 2**30:.1f}; {instead}"
        )
