"""Which image is drawn, and random numbers that a seed repeats."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch


def repeat_factors(labels: list[np.ndarray], rare: float = 0.5, empty: float = 0.5) -> np.ndarray:
    """How often each picture is drawn, in proportion, so that rare categories are seen more: float64 (N,).

    The repeat factor of LVIS (arXiv:1908.03195): sqrt(rare / f) for a category that is in a part f < `rare`
    of the pictures, else 1; a picture has the greatest one of its categories.

    Args:
        labels: Each picture's labels, int64 (K,).
        rare: Categories in a smaller part of the pictures than this are repeated, (0, 1].
        empty: The factor of pictures with nothing in them.
    """
    present = [set(row.tolist()) for row in labels]
    categories = set().union(*present)
    share = {label: sum(label in row for row in present) / len(present) for label in categories}
    factor = {label: max(1.0, (rare / share[label]) ** 0.5) for label in categories}
    return np.array([max((factor[label] for label in row), default=empty) for row in present])


@contextlib.contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Seed torch's random numbers on the CPU for a `with` block; afterwards they go on as before."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(state >> np.uint64(1)))
        yield
