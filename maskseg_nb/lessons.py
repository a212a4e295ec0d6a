"""Small helpers that the notebooks share."""

import numpy as np
import torch


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
