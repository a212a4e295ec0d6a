"""Which image is drawn, and random numbers that a seed repeats."""

import contextlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch


def repeat_factors(labels: list[np.ndarray], rare: float = 0.5, empty: float = 0.5) -> np.ndarray:
    """How often each picture is drawn, relative to the others: float64 (N,), more for rare categories.

    The repeat factor of LVIS (arXiv:1908.03195): sqrt(rare / f) for a category in a share f < `rare` of the
    pictures, else 1; a picture takes the largest of its categories.

    Args:
        labels: Each picture's labels, int64 (K,).
        rare: Categories in a smaller share of the pictures than this are repeated, (0, 1].
        empty: The factor of pictures with nothing in them.
    """
    pictures = Counter(label for row in labels for label in set(row.tolist()))
    factor = {label: max(1.0, (rare / (n / len(labels))) ** 0.5) for label, n in pictures.items()}
    return np.array([max((factor[label] for label in row.tolist()), default=empty) for row in labels])


@contextlib.contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Seed torch's CPU generator for a `with` block; afterwards it is back in the state it had before."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(state >> np.uint64(1)))
        yield
