"""What models, arrays and names must be before they are used."""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Set
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN

from ..errors import quoted, shortened

THINNEST = 500  # a model shrinks pictures to 936 pixels (street) or 1333: thinner strips would vanish
MAX_CATEGORIES = 10_000  # the background among them
MAX_NAME = 100  # characters of a category's name
MAX_NAMES = 2**19  # bytes of all names as JSON: with them, a checkpoint's list of tensors is still short


def check_model(model: nn.Module) -> MaskRCNN:
    """The Mask R-CNN itself, out of DataParallel, torch.compile's wrapper and the like.

    Raises:
        TypeError, ValueError: It is not a Mask R-CNN in eval mode that takes float32.
    """
    while not isinstance(model, MaskRCNN):
        inner = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            break
        model = inner
    if not isinstance(model, MaskRCNN) or not model.roi_heads.has_mask():
        raise TypeError(f"model must be a torchvision MaskRCNN, got {type(model).__name__}")
    if any(module.training for module in model.modules()):  # one part is enough to change what the rest says
        raise ValueError("model is in training mode; call model.eval() first")
    first = next(model.parameters())
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError('model is on the device "meta", which holds no numbers; load it on "cpu"')
    casts = any(
        module._forward_pre_hooks for module in model.backbone.modules()
    )  # as models/bfloat16.py adds
    if first.dtype != torch.float32 and not casts:
        raise ValueError(
            f"model must have float32 weights, got {first.dtype}; call model.float(), or load_model() "
            'with precision="bfloat16"'
        )
    return model


def check_categories(names: Any, may_repeat: Collection[str] = ()) -> tuple[str, ...]:
    """Names indexed by label, [0] the background, as a tuple: one rule for datasets and checkpoints, so that
    what was learned from the one can be read from the other.

    Raises:
        TypeError: They are not names in an order.
        ValueError: A name is not 1 to 100 printable characters, two are the same and not in `may_repeat`, or
            there are too many.
    """
    unordered = isinstance(names, str | bytes | Set | Mapping) or not isinstance(names, Iterable)
    listed = () if unordered else tuple(names)
    if unordered or not all(isinstance(name, str) for name in listed):
        raise TypeError(f"categories must be a list of names, got {quoted(names, 60)}")
    for name in listed:
        if not is_name(name):
            raise ValueError(
                f"categories must have names of 1 to {MAX_NAME} printable characters, got {quoted(name, 40)}"
            )
    counts = Counter(listed)
    if twice := [name for name, count in counts.items() if count > 1 and name not in may_repeat]:
        raise ValueError(f"categories must have different names, got {quoted(twice[0])} twice")
    if len(listed) > MAX_CATEGORIES or len(json.dumps(listed)) > MAX_NAMES:
        raise ValueError(
            f"categories must be at most {MAX_CATEGORIES:,}, with names of {MAX_NAMES // 1024} KB together, "
            f"got {len(listed):,} with {sum(map(len, listed)):,} characters"
        )
    return listed


def is_name(text: str) -> bool:
    """Whether a text can be a category's name: readable, and short enough for a tag."""
    return len(text) <= MAX_NAME and text.isprintable() and text.strip() != ""


def check_limit(detections_per_img: int | None) -> None:
    """Raise ValueError unless it is at least 1 instance in an image, or None: the model's own limit."""
    if detections_per_img is not None and not (is_whole(detections_per_img) and detections_per_img >= 1):
        got = quoted(detections_per_img)
        raise ValueError(f"detections_per_img must be a whole number of at least 1 or None, got {got}")


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, Python's or NumPy's; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number, Python's or NumPy's; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_strip(height: int, width: int) -> bool:
    """Whether an image is too long and thin for the network."""
    return max(height, width) > THINNEST * min(height, width)


def kind_of(array: object) -> object:
    """What messages call a wrong argument: an array's dtype, or the name of anything else's type."""
    return array.dtype if isinstance(array, np.ndarray) else type(array).__name__


def check_folder(folder: object) -> None:
    """Raise TypeError unless it is a path: a model is easily given in a folder's place."""
    if not isinstance(folder, (str, os.PathLike)):
        hint = "; give the model as model=..." if isinstance(folder, nn.Module) else ""
        raise TypeError(f"folder must be the path of a folder, got {type(folder).__name__}{hint}")


def check_array(name: str, array: np.ndarray, kinds: str) -> None:
    """Raise TypeError or ValueError unless it is an array of finite floats "f", integers "iu", bools "b"."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
        kind = {"f": "floats", "b": "bools"}.get(kinds, "integers")
        raise TypeError(f"{name} must be an array of {kind}, got {kind_of(array)}")
    if kinds == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")


def check_size(size: tuple[int, int]) -> None:
    """Raise ValueError unless it is (height, width), two whole numbers above 0."""
    good = isinstance(size, tuple) and len(size) == 2
    if not good or not all(is_whole(side) and side > 0 for side in size):
        raise ValueError(f"image_size must be (height, width) in pixels, got {quoted(size)}")


def check_image(image: np.ndarray) -> None:
    """Raise TypeError or ValueError unless it is uint8 (H, W, 3) and not empty."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise TypeError(f"image must be a uint8 array, got {kind_of(image)}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image must have shape (H, W, 3), got {image.shape}")


def check_fraction(name: str, value: float) -> None:
    """Raise TypeError or ValueError unless `value` is a number in [0, 1]."""
    if not is_number(value):
        raise TypeError(f"{name} must be a number in [0, 1], got {type(value).__name__}")
    if not 0 <= value <= 1:  # NaN fails too
        raise ValueError(f"{name} must be in [0, 1], got {shortened(str(value), 40)}")
