"""The models: a short table, and `load_model`, which returns a torchvision MaskRCNN ready to be used.

Every call builds a fresh model. What comes back is torchvision's own class, so that it can be printed, taken
apart and called without this package.
"""

import json
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection import (
    MaskRCNN,
    MaskRCNN_ResNet50_FPN_V2_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from .checkpoints import Download, read_published, read_state
from .errors import ModelError, quoted, shortened
from .precision import has_native_bfloat16, to_bfloat16
from .street import street

PRECISIONS = ("float32", "bfloat16")
MAX_CATEGORIES = 10_000  # of a checkpoint, the background among them
MIN_SIDE, MAX_SIDE = 32, 4096  # pixels of the picture that a checkpoint may ask for
MODEL_VARIABLE = "MASKSEG_NB_MODEL"  # the environment variable that names the default model


def _resnet50_fpn(num_classes: int) -> MaskRCNN:
    """What `maskrcnn_resnet50_fpn(weights=COCO_V1)` builds, without any download.

    Asked for no weights, torchvision takes trainable BatchNorm with eps 1e-5; the published weights belong
    to FrozenBatchNorm2d with eps 0, and with another eps every score drifts.
    """
    model = MaskRCNN(resnet_fpn_backbone(backbone_name="resnet50", weights=None), num_classes)
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    return model


def _trainable_resnet50_fpn(num_classes: int) -> MaskRCNN:
    return maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=num_classes)


def _resnet50_fpn_v2(num_classes: int) -> MaskRCNN:
    return maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=num_classes)


@dataclass(frozen=True)
class KnownModel:
    """A row of the table: how to build it, and where its weights are (None: shipped with the package)."""

    build: Callable[[int], MaskRCNN]
    categories: tuple[str, ...]
    download: Download | None = None


_COCO, _COCO_V2 = MaskRCNN_ResNet50_FPN_Weights.COCO_V1, MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1

MODELS = {
    "coco": KnownModel(_resnet50_fpn, tuple(_COCO.meta["categories"]), Download.from_url(_COCO.url)),
    "coco_v2": KnownModel(
        _resnet50_fpn_v2, tuple(_COCO_V2.meta["categories"]), Download.from_url(_COCO_V2.url)
    ),
    "street": KnownModel(street, ("__background__", "person", "bicycle", "car", "motorcycle")),
}


def load_model(
    name: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device | None = None,
    precision: str = "float32",
) -> MaskRCNN:
    """Load a Mask R-CNN with its weights, ready to segment.

    Args:
        name: "coco" (torchvision's maskrcnn_resnet50_fpn, 80 categories), "coco_v2" (better masks, slower),
            "street" (small, shipped: person, bicycle, car, motorcycle), or the path of your own checkpoint.
            None takes the environment variable MASKSEG_NB_MODEL, else "coco", and where its weights can be
            neither found nor downloaded it warns and takes "street".
        device: Where the model runs; None is "cuda" where there is one, else "cpu".
        precision: "float32", torchvision's own; or "bfloat16", about twice as fast on processors that have
            instructions for it, with scores and boxes that drift a little (`make bench` prints how much).

    Returns:
        A torchvision MaskRCNN in eval mode, with two attributes added: `categories`, a tuple of names indexed
        by label, [0] the background, and `name`. RoI scales are fixed for good.

    Raises:
        ModelError: The weights cannot be had, are not what they should be, or fit no known architecture.
        ValueError: No such device or precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {quoted(precision)}")
    if name is None:
        name = os.environ.get(MODEL_VARIABLE) or None
    if name is None:
        try:
            return load_model("coco", device=device, precision=precision)
        except ModelError as error:
            warnings.warn(f"Using the shipped model street instead of coco: {error}", stacklevel=2)
            name = "street"
    place = _device(device)
    if isinstance(name, str) and name in MODELS:
        known = MODELS[name]
        state = read_published(known.download) if known.download else read_state(shipped_weights(name))[0]
        model = known.build(len(known.categories))
        _fill(model, state, name)
        return _ready(model, name, known.categories, place, precision)
    path = Path(name)
    if isinstance(name, str) and path.suffix == "" and not os.path.exists(path):
        known_names = ", ".join(MODELS)
        raise ModelError(f"no model {quoted(name)}; give one of {known_names}, or a checkpoint's path")
    state, metadata = read_state(path)
    model, categories = _build_for(state, metadata, path.name)
    _fill(model, state, path.name)
    _set_input_size(model, metadata, path.name)
    return _ready(model, path.name, categories, place, precision)


def shipped_weights(name: str) -> Path:
    """The path of a model's weights inside this package."""
    return Path(__file__).parent / "weights" / f"{name}.safetensors"


def categories_of(model: MaskRCNN) -> tuple[str, ...]:
    """The model's category names indexed by label; a bare torchvision model's are its labels' numbers."""
    count = model.roi_heads.box_predictor.cls_score.out_features
    names = getattr(model, "categories", None)
    return tuple(names) if names is not None else _numbered(count)


def _numbered(count: int) -> tuple[str, ...]:
    return ("__background__", *map(str, range(1, count)))


def prime_roi_pools(model: MaskRCNN) -> None:
    """Fix the scales of a model's RoIAlign pools, once, from a square picture.

    torchvision infers them from the first picture that a model ever sees and keeps them. A narrow strip
    rounds to wrong scales, and every later picture's result is then silently different
    (pytorch/vision#3747).
    """
    pools = [p for p in (model.roi_heads.box_roi_pool, model.roi_heads.mask_roi_pool) if p.scales is None]
    if not pools:
        return
    side = 256
    like = next(model.parameters())
    with torch.no_grad():
        features = model.backbone(like.new_zeros(1, 3, side, side))
        if isinstance(features, Tensor):
            features = {"0": features}
        box = like.new_tensor([[0.0, 0.0, side, side]])
        for pool in pools:
            pool(features, [box], [(side, side)])


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = shortened(str(error).splitlines()[0], 150)
        raise ValueError(f'device {quoted(device)} cannot be used: {reason}; try "cpu"') from None
    if place.type == "meta":
        raise ValueError('device "meta" holds no numbers to compute with; try "cpu"')
    return place


def _set_input_size(model: MaskRCNN, metadata: dict[str, str], name: str) -> None:
    """Resize pictures as in training: the `min_size` and `max_size` of a safetensors file's metadata."""
    try:
        sides = [int(metadata[key]) for key in ("min_size", "max_size") if key in metadata]
    except ValueError:
        sides = [0]
    if sides and not (len(sides) == 2 and MIN_SIDE <= sides[0] <= sides[1] <= MAX_SIDE):
        raise ModelError(
            f"{quoted(name)} gives an unusable input size; save it with min_size and max_size, "
            f"from {MIN_SIDE} to {MAX_SIDE} pixels"
        )
    if sides:
        model.transform.min_size, model.transform.max_size = (sides[0],), sides[1]


def _ready(
    model: MaskRCNN, name: str, categories: tuple[str, ...], device: torch.device, precision: str
) -> MaskRCNN:
    model.eval().to(device)
    model.categories, model.name = categories, name
    prime_roi_pools(model)
    if precision == "float32":
        return model
    if not has_native_bfloat16(device):
        warnings.warn("this processor has no bfloat16 instructions: float32 is faster here", stacklevel=3)
    return to_bfloat16(model)


def _fill(model: MaskRCNN, state: dict[str, Tensor], name: str) -> None:
    """Put the weights in place; torchvision compares, as only it knows the names of its own old releases.

    The published `coco` file is of 2019. Its layers were renamed in torchvision 0.13, whose modules rename
    the file's keys inside `load_state_dict`.
    """
    other = {key for key, weight in state.items() if not _is_of_its_kind(key, weight)}
    missing, unknown = [], []
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        missing = _keys_after("Missing key(s) in state_dict: ", str(error))
        unknown = _keys_after("Unexpected key(s) in state_dict: ", str(error))
        other.update(re.findall(r"size mismatch for (\S+): ", str(error)))
        if not (missing or unknown or other):
            raise ModelError(f"{quoted(name)} does not fit: {quoted(error, 120)}") from None
    if missing or unknown or other:
        raise ModelError(
            f"{quoted(name)} does not fit: {len(missing)} weights missing, {len(unknown)} unknown, "
            f"{len(other)} of another shape or kind, such as "
            f"{quoted([*missing, *unknown, *sorted(other)][0])}; use the checkpoint of this architecture"
        )


def _keys_after(words: str, said: str) -> list[str]:
    """The keys that `load_state_dict` lists behind these words: `"a", "b". `, to the end of the line."""
    _, _, rest = said.partition(words)
    return rest.partition('". \n')[0].strip('". \n').split('", "') if rest else []


def _is_of_its_kind(key: str, weight: Tensor) -> bool:
    """Whether fractions are fractions, and counts whole numbers: torch would take either, silently."""
    return weight.is_floating_point() != key.endswith("num_batches_tracked")


def _build_for(
    state: dict[str, Tensor], metadata: dict[str, str], name: str
) -> tuple[MaskRCNN, tuple[str, ...]]:
    """The architecture that a fine-tuned checkpoint's keys belong to, with as many categories as it has."""
    scores = state.get("roi_heads.box_predictor.cls_score.weight")
    if scores is None:
        raise ModelError(f"{quoted(name)} holds no Mask R-CNN that is known here: coco, coco_v2 or street")
    build: Callable[[int], MaskRCNN]
    if "backbone.body.stem.weight" in state:
        build = street
    elif "roi_heads.mask_head.0.1.weight" in state:  # only v2 normalises in its heads
        build = _resnet50_fpn_v2
    elif "backbone.body.bn1.num_batches_tracked" in state:  # trained with BatchNorm2d, eps 1e-5
        build = _trainable_resnet50_fpn
    else:
        build = _resnet50_fpn
    count = len(scores) if scores.ndim else 0
    if not 2 <= count <= MAX_CATEGORIES:  # a few bytes can claim a billion rows
        raise ModelError(f"{quoted(name)} has scores for {count:,} categories; use a Mask R-CNN's checkpoint")
    names = _category_names(metadata, name)
    if names and len(names) != count:
        raise ModelError(f"{quoted(name)} names {len(names)} categories and has weights for {count}")
    return build(count), names or _numbered(count)


def _category_names(metadata: dict[str, str], name: str) -> tuple[str, ...]:
    """The `categories` of a safetensors file's metadata: a JSON list, or names with commas between."""
    text = metadata.get("categories", "")
    if not text.startswith("["):
        return tuple(text.split(",")) if text else ()
    try:
        return tuple(map(str, json.loads(text)))
    except (ValueError, RecursionError):
        raise ModelError(f"{quoted(name)} has unreadable category names; save it again") from None
