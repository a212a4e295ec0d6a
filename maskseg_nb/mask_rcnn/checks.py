"""What goes into the network and what comes out of it.

torchvision answers a NaN, in the image or in the weights, and pixels in [0, 255] with silence: no detections
and no error.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from .._shared.checks import THINNEST, check_array, is_strip
from ..errors import ModelError, did_you_mean, quoted, shortened


def check_tensor(tensor: Tensor) -> None:
    """Raise TypeError or ValueError unless `tensor` is float32 (1, 3, H, W), finite, in [0, 1]."""
    if not isinstance(tensor, Tensor) or tensor.dtype != torch.float32 or tensor.layout != torch.strided:
        got = type(tensor).__name__
        if isinstance(tensor, Tensor):
            got = str(tensor.dtype if tensor.layout == torch.strided else tensor.layout)
        raise TypeError(f"tensor must be a float32 torch.Tensor, got {got}; preprocess() makes one")
    if tensor.ndim != 4 or tensor.shape[:2] != (1, 3) or 0 in tensor.shape:
        raise ValueError(f"tensor must have shape (1, 3, H, W), got {tuple(tensor.shape)}")
    if tensor.is_meta:
        raise ValueError('tensor is on the device "meta", which holds no numbers; make it with preprocess()')
    height, width = tensor.shape[-2:]
    if is_strip(height, width):
        raise ValueError(
            f"tensor must not be a strip thinner than 1:{THINNEST}, got {height} x {width} pixels; "
            "cut it shorter"
        )
    low, high = torch.aminmax(tensor.detach())  # NaN comes through
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"tensor must be finite and in [0, 1], got [{low:.3g}, {high:.3g}]; divide pixels by 255"
        )


def check_known(names: Iterable[str], categories: tuple[str, ...]) -> None:
    """Raise ValueError unless a model with these categories, [0] the background, knows all names."""
    known = [name for name in categories[1:] if name != "N/A"]
    for name in names:
        if name not in categories[1:]:
            listed, meant = shortened(", ".join(known), 150), did_you_mean(name, known)
            raise ValueError(f"no category {quoted(name)}; this model knows {listed}{meant}")


def check_finite(*numbers: Tensor) -> None:
    """Raise ModelError where what the network says is NaN or infinite: its weights are spoilt."""
    if not all(tensor.isfinite().all() for tensor in numbers):
        raise ModelError(
            "the network's numbers are not finite (NaN or infinite), so its weights are spoilt; load the "
            "model again, or an earlier checkpoint"
        )


def check_detections(
    boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, categories: tuple[str, ...]
) -> int:
    """Raise TypeError or ValueError unless the arrays belong together; return how many there are."""
    for name, array, kind, shape in (
        ("scores", scores, "f", ()),
        ("boxes", boxes, "f", (4,)),
        ("labels", labels, "iu", ()),
    ):
        check_array(name, array, kind)
        expected = (len(scores), *shape)
        if array.shape != expected:
            raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(categories)):
        raise ValueError(
            f"labels must be indices of the {len(categories)} categories, got {value_range(labels)}"
        )
    return len(scores)


def value_range(values: np.ndarray) -> str:
    """The least and the greatest value, for a message."""
    return f"{values.min():.6g} to {values.max():.6g}"
