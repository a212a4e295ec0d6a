"""A checkpoint of one's own made into a model: what its weights show, what it says, what somebody has to say.

The weights show the architecture and the number of categories. They show neither names nor input size nor
anchors, nor the eps of frozen norms: a safetensors file of this package's says them in its metadata, a
`.pth` file does not.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FrozenBatchNorm2d

from .._shared.checks import MAX_CATEGORIES, check_categories
from ..errors import ModelError, quoted
from .anchors import Anchors, set_anchors
from .bundles import SCORES
from .checkpoints import read_mask_rcnn
from .fill import fill
from .street import street
from .zoo import frozen_resnet50_fpn, numbered, resnet50_fpn_v2, trainable_resnet50_fpn

MIN_SIDE, MAX_SIDE = 32, 4096  # pixels of the input that a checkpoint may ask for
SAFE_EPS = 1e-5  # torchvision's, where it loads no COCO weights


@dataclass(frozen=True)
class Details:
    """What the weights do not show; None is not said."""

    categories: Sequence[str] | None = None
    min_size: int | None = None
    max_size: int | None = None
    anchors: Anchors | None = None
    norm_eps: float | None = None


def own_model(path: Path, told: Details) -> tuple[MaskRCNN, list[str]]:
    """Build the Mask R-CNN whose weights are in a file.

    Args:
        path: A checkpoint; see bundles.py for what may be around the weights.
        told: Takes precedence over what the file says.

    Returns:
        The model, with its `categories`, and notes for the user: what had to be assumed.

    Raises:
        ModelError: The file is no Mask R-CNN that is known here, or says what cannot be.
        ValueError, TypeError: `told` has what cannot be, or does not fit the file.
    """
    state, metadata, notes = read_mask_rcnn(path)
    model, assumed = _model_of(state, metadata, path.name, told)
    return model, notes + assumed


def check_readable(model: MaskRCNN, name: str) -> None:
    """Raise ModelError unless a file with a model's weights and `metadata_of` it can be made into a model."""
    _model_of(model.state_dict(), metadata_of(model), name, Details(), "change the model or its settings")


def _model_of(
    state: dict[str, Tensor],
    metadata: Mapping[str, str],
    name: str,
    told: Details,
    remedy: str = "save it again",
) -> tuple[MaskRCNN, list[str]]:
    """`own_model`, when the file is read; the notes say what had to be assumed."""
    model, count = _build_for(state, name)
    model.categories = numbered(count)
    with _blamed_on(name, remedy):
        said = _details_in(metadata)
        _apply(model, said)
    if told.categories is not None:
        told = replace(told, categories=_with_background(told.categories, count))
    _apply(model, told)
    _check_anchors(model, state, name)
    fill(model, state, name)
    if told.norm_eps is not None:
        _set_norm_eps(model, told.norm_eps)
    else:
        with _blamed_on(name, remedy):
            _set_norm_eps(model, said.norm_eps)
    if not (assumed := _assumed(model, said, told)):
        return model, []
    return model, [
        f"{quoted(name)} does not say how it was trained; assumed: {', '.join(assumed)}. "
        "If it was trained with others, give them to load_model"
    ]


def metadata_of(model: MaskRCNN) -> dict[str, str]:
    """What a safetensors file has to say of a model, so that `own_model` builds the same."""
    generator, frozen = model.rpn.anchor_generator, frozen_norms(model)
    said = {
        "categories": json.dumps(list(model.categories)),
        "min_size": str(model.transform.min_size[-1]),
        "max_size": str(model.transform.max_size),
        "anchors": json.dumps([generator.sizes, generator.aspect_ratios]),
    }
    return {**said, "norm_eps": str(frozen[0].eps)} if frozen else said


@contextlib.contextmanager
def _blamed_on(name: str, remedy: str) -> Iterator[None]:
    """What is wrong in here was said by the file, not by the caller."""
    try:
        yield
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{quoted(name)} has unusable metadata: {error}; {remedy}") from None


def _details_in(metadata: Mapping[str, str]) -> Details:
    """What a file says of itself; ValueError or TypeError where that cannot be read."""
    text = metadata.get("categories", "")
    try:
        names = json.loads(text) if text.startswith("[") else text.split(",") if text else None
    except (ValueError, RecursionError):
        raise ValueError("unreadable category names") from None
    if ("min_size" in metadata) != ("max_size" in metadata):
        raise ValueError("min_size and max_size belong together")
    least, most = (int(metadata[key]) if key in metadata else None for key in ("min_size", "max_size"))
    anchors = None
    if "anchors" in metadata:
        sizes, ratios = json.loads(metadata["anchors"])
        anchors = AnchorGenerator(tuple(map(tuple, sizes)), tuple(map(tuple, ratios)))
    eps = float(metadata["norm_eps"]) if "norm_eps" in metadata else None
    return Details(names, least, most, anchors, eps)


def _build_for(state: dict[str, Tensor], name: str) -> tuple[MaskRCNN, int]:
    """The architecture that the weights' names belong to, with as many categories as they have."""
    scores = state.get(SCORES)
    if scores is None:
        raise ModelError(f"{quoted(name)} holds no Mask R-CNN that is known here: coco, coco_v2 or street")
    build: Callable[[int], MaskRCNN]
    if "backbone.body.stem.weight" in state:
        build = street
    elif "roi_heads.mask_head.0.1.weight" in state:  # only v2 normalises in its heads
        build = resnet50_fpn_v2
    elif "backbone.body.bn1.num_batches_tracked" in state:  # trained with BatchNorm2d, eps 1e-5
        build = trainable_resnet50_fpn
    else:
        build = frozen_resnet50_fpn
    count = len(scores) if scores.ndim else 0
    if not 2 <= count <= MAX_CATEGORIES:  # a few bytes can claim a billion rows
        raise ModelError(f"{quoted(name)} has scores for {count:,} categories; use a Mask R-CNN's checkpoint")
    if not any(key.startswith("roi_heads.mask_predictor.") for key in state):
        raise ModelError(f"{quoted(name)} holds no Mask R-CNN but a detector without masks; use another")
    return build(count), count


def _apply(model: MaskRCNN, details: Details) -> None:
    """Set what is said; norm_eps has to wait for the weights."""
    if details.categories is not None:
        model.categories = _checked_names(details.categories, len(model.categories))
    set_input_size(model, details.min_size, details.max_size)
    if details.anchors is not None:
        set_anchors(model, details.anchors)


def _with_background(names: Sequence[str], count: int) -> Sequence[str]:
    """The user's names, the background put in front where it is missing."""
    if isinstance(names, Sequence) and not isinstance(names, str) and len(names) == count - 1:
        return ("__background__", *names)
    return names


def _checked_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    checked = check_categories(names, may_repeat=("N/A",))  # COCO's gaps are all called so
    if len(checked) != count:
        raise ValueError(
            f"it names {len(checked)} categories and has weights for {count}, the background among them"
        )
    return checked


def set_input_size(model: MaskRCNN, min_size: int | None, max_size: int | None) -> None:
    """Scale images so that the short side has `min_size` pixels, the long one `max_size` at most."""
    transform = model.transform
    least = transform.min_size[-1] if min_size is None else min_size
    most = transform.max_size if max_size is None else max_size
    for side in (least, most):
        if not isinstance(side, int) or isinstance(side, bool):
            raise TypeError(f"min_size and max_size must be whole numbers of pixels, got {quoted(side)}")
    if not MIN_SIDE <= least <= most <= MAX_SIDE:
        raise ValueError(
            f"min_size and max_size must be from {MIN_SIDE} to {MAX_SIDE} pixels, the smaller first, "
            f"got {least} and {most}"
        )
    transform.min_size, transform.max_size = (least,), most


def _check_anchors(model: MaskRCNN, state: dict[str, Tensor], name: str) -> None:
    logits, count = state.get("rpn.head.cls_logits.bias"), model.rpn.head.cls_logits.out_channels
    if logits is not None and logits.shape != (count,):
        raise ModelError(
            f"{quoted(name)} was trained with {logits.numel():,} anchors at each place, not {count}; give "
            "load_model(..., anchors=...) as in training"
        )


def frozen_norms(model: MaskRCNN) -> list[FrozenBatchNorm2d]:
    """The batch norms whose eps no weights show."""
    return [module for module in model.modules() if isinstance(module, FrozenBatchNorm2d)]


def _set_norm_eps(model: MaskRCNN, eps: float | None) -> None:
    """Set the eps of frozen norms, which the weights do not show.

    torchvision gives 0 to what began from its COCO weights, and 1e-5 to what began from a backbone alone. A
    variance of 0, which half precision makes of a small one, rules 0 out.
    """
    frozen = frozen_norms(model)
    if eps is not None and (isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 <= eps < 1):
        raise ValueError(f"norm_eps must be a number in [0, 1), got {quoted(eps)}")
    if not frozen:
        if eps is not None:
            raise ValueError("norm_eps is for frozen batch norms, and this checkpoint has none")
        return
    smallest = float(torch.stack([norm.running_var.min() for norm in frozen]).min())
    if eps is None:
        eps = 0.0 if smallest > 0 else SAFE_EPS
    if smallest + eps <= 0:
        raise ValueError(f"norm_eps must be above {max(0.0, -smallest):g}: a variance is {smallest:g}")
    for norm in frozen:
        norm.eps = eps


def _assumed(model: MaskRCNN, said: Details, told: Details) -> list[str]:
    """What neither the file nor the user said, as arguments of `load_model` that say the same."""
    silent = {field for field, value in vars(said).items() if value is None and vars(told)[field] is None}
    assumed = []
    if {"min_size", "max_size"} & silent:
        assumed += [f"min_size={model.transform.min_size[-1]}, max_size={model.transform.max_size}"]
    if "anchors" in silent:
        sizes = [size for level in model.rpn.anchor_generator.sizes for size in level]
        assumed.append(f"anchors=({', '.join(map(str, sizes))})")
    frozen = frozen_norms(model)
    if frozen and "norm_eps" in silent:
        assumed.append(f"norm_eps={frozen[0].eps:g}" + (" (a variance is 0)" if frozen[0].eps else ""))
    return assumed
