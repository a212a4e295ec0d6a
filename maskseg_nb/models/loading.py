"""`load_model`: a torchvision MaskRCNN with its weights, ready to be used.

Every call builds a fresh model. What comes back is torchvision's own class, so that it can be printed, taken
apart and called without this package.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN

from .._shared.checks import check_limit, check_model
from .._shared.memory import within_memory
from ..errors import ModelError, did_you_mean, quoted
from .bfloat16 import has_native_bfloat16, to_bfloat16
from .checkpoints import read_published, read_state
from .details import Anchors, Details, set_input_size
from .own_model import own_model
from .state_dicts import fill
from .zoo import MODELS, TORCHVISION_NAMES, prime_roi_pools, shipped_weights

PRECISIONS = ("float32", "bfloat16")
MODEL_VARIABLE = "MASKSEG_NB_MODEL"  # the environment variable that names the default model


def load_model(
    name: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device | None = None,
    precision: str = "float32",
    categories: Sequence[str] | None = None,
    min_size: int | None = None,
    max_size: int | None = None,
    anchors: Anchors | None = None,
    norm_eps: float | None = None,
    detections_per_img: int | None = None,
) -> MaskRCNN:
    """Load a Mask R-CNN with its weights, ready to segment.

    A checkpoint is the state dict of a Mask R-CNN of this package, or of torchvision with ResNet-50 (from any
    version), or a bundle that holds one; prefixes such as "module." and half precision will do. What it does
    not say of its training is assumed, with a warning.

    Args:
        name: "coco" (torchvision's maskrcnn_resnet50_fpn, 80 categories), "coco_v2" (better masks, slower),
            "street" (small, shipped: person, bicycle, car, motorcycle), or the path of your own checkpoint.
            None takes the environment variable MASKSEG_NB_MODEL, else "coco", and where its weights can be
            neither found nor downloaded it warns and takes "street".
        device: Where the model runs; None is "cuda" where there is one, else "cpu".
        precision: "float32", torchvision's own; or "bfloat16", about twice as fast on processors that have
            instructions for it, with scores and boxes that drift a little (`make bench` prints how much).
        categories: Names of your checkpoint's categories in the order of its labels, with the background
            as the first or without it.
        min_size, max_size: Images are scaled to `min_size` pixels on the short side, at most `max_size` on
            the long one.
        anchors: Of your checkpoint: a size in pixels, or several, for each level of the pyramid; or
            torchvision's AnchorGenerator, where the aspect ratios are not 0.5, 1 and 2.
        norm_eps: Of your checkpoint's frozen batch norms: 0 where the training began from torchvision's COCO
            weights, 1e-5 where it began from a backbone alone. None takes 0 unless a variance is 0.
        detections_per_img: The most instances in an image; None is the model's own limit: 100, "street" 50.

    Returns:
        A torchvision MaskRCNN in eval mode, with two attributes added: `categories`, a tuple of names indexed
        by label, [0] the background, and `name`. The scales of its RoIAlign pools are fixed.

    Raises:
        ModelError: The weights cannot be found or downloaded, are damaged, or fit no known architecture.
        ValueError, TypeError: No such device or precision; or another argument is out of range, does not fit
            the checkpoint, or is given for a model of the table, which has its own.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {quoted(precision)}")
    check_limit(detections_per_img)
    place = _device(device)
    told = Details(categories, min_size, max_size, anchors, norm_eps)
    notes: list[str] = []

    def build() -> MaskRCNN:
        model = _named_or_own(name, told, notes)
        model.eval().to(place)
        prime_roi_pools(model)
        if detections_per_img is not None:
            model.roi_heads.detections_per_img = int(detections_per_img)
        return model if precision == "float32" else to_bfloat16(model)

    model = within_memory(
        build, "the model does not fit into memory; close other programs, or take a smaller one"
    )
    if precision == "bfloat16" and not has_native_bfloat16(place):
        notes.append("this processor has no bfloat16 instructions: float32 is faster here")
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return model


def as_model(model: nn.Module | str | os.PathLike[str] | None) -> MaskRCNN:
    """A loaded model, out of its wrapper and checked; or what `load_model` makes of a name, path or None.

    Raises:
        ModelError: As `load_model`.
        TypeError, ValueError: It is not a Mask R-CNN in eval mode that takes float32; or a folder.
    """
    if model is None or isinstance(model, (str, os.PathLike)):
        if model is not None and model not in MODELS and os.path.isdir(model):
            got = f"got the folder {quoted(model)}; give pictures as folder=... or dataset=..."
            raise TypeError(f"model must be a loaded model, a name or a checkpoint's path, {got}")
        return load_model(model)
    return check_model(model)


def _named_or_own(name: str | os.PathLike[str] | None, told: Details, notes: list[str]) -> MaskRCNN:
    """The model of the table or of a path, with its name; `notes` gets what the user should know."""
    if name is None:
        name = os.environ.get(MODEL_VARIABLE) or None
    if name is None:
        try:
            return _named("coco", told)
        except ModelError as error:
            notes.append(f"Using the shipped model street instead of coco: {error}")
            name = "street"
    if isinstance(name, str) and name in MODELS:
        return _named(name, told)
    path = Path(name)
    if isinstance(name, str) and path.suffix == "" and not os.path.exists(path):
        meant = did_you_mean(name, MODELS, TORCHVISION_NAMES)
        listed = ", ".join(MODELS)
        raise ModelError(f"no model {quoted(name)}; give one of {listed}, or a checkpoint's path{meant}")
    model, assumed = own_model(path, told)
    notes += assumed
    model.name = path.name
    return model


def _named(name: str, told: Details) -> MaskRCNN:
    for what in ("categories", "anchors", "norm_eps"):
        if getattr(told, what) is not None:
            raise ValueError(f"{what} is for a checkpoint of your own; {quoted(name)} has its own")
    known = MODELS[name]
    state = read_published(known.download) if known.download else read_state(shipped_weights(name))[0]
    model = known.build(num_classes=len(known.categories))
    fill(model, state, name)
    set_input_size(model, told.min_size, told.max_size)
    model.name, model.categories = name, known.categories
    return model


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError):  # in many words, of torch's own inside
        here = ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])
        raise ValueError(f"device {quoted(device)} cannot be used here; there is {here}") from None
    if place.type == "meta":
        raise ValueError('device "meta" holds no numbers to compute with; try "cpu"')
    return place
