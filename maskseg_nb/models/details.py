"""What weights do not show: the categories' names, the input's size, the anchors, the eps of frozen norms.

A safetensors file of this package says them in its metadata, a `.pth` file does not.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator

from .._shared.checks import check_categories, is_number, is_whole
from ..errors import quoted
from .zoo import frozen_norms

Anchors: TypeAlias = AnchorGenerator | Sequence[float | Sequence[float]]

MIN_SIDE, MAX_SIDE = 32, 4096  # pixels of the input that a checkpoint may ask for
ASPECT_RATIOS = (0.5, 1.0, 2.0)  # of anchors; torchvision's
LARGEST_ANCHOR = 4096  # pixels
SAFE_EPS = 1e-5  # torchvision's, where it loads no COCO weights


@dataclass(frozen=True)
class Details:
    """What the weights do not show; None where nothing is said."""

    categories: Sequence[str] | None = None
    min_size: int | None = None
    max_size: int | None = None
    anchors: Anchors | None = None
    norm_eps: float | None = None


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


def details_in(metadata: Mapping[str, str]) -> Details:
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


def set_details(model: MaskRCNN, details: Details) -> None:
    """Set what is said; norm_eps has to wait for the weights."""
    if details.categories is not None:
        names = check_categories(details.categories, may_repeat=("N/A",))  # the name of all COCO's gaps
        if len(names) != len(model.categories):
            raise ValueError(
                f"it names {len(names)} categories and has weights for {len(model.categories)}, the "
                "background among them"
            )
        model.categories = names
    set_input_size(model, details.min_size, details.max_size)
    if details.anchors is not None:
        set_anchors(model, details.anchors)


def with_background(details: Details, count: int) -> Details:
    """The user's details, the background put in front of the categories where only that is missing."""
    names = details.categories
    if isinstance(names, Sequence) and not isinstance(names, str) and len(names) == count - 1:
        return replace(details, categories=("__background__", *names))
    return details


def set_input_size(model: MaskRCNN, min_size: int | None, max_size: int | None) -> None:
    """Have images scaled to `min_size` pixels on the short side, at most `max_size` on the long one.

    Both are whole, 32 to 4096, the smaller first, else TypeError or ValueError; None keeps the model's.
    """
    transform = model.transform
    least = transform.min_size[-1] if min_size is None else min_size
    most = transform.max_size if max_size is None else max_size
    for side in (least, most):
        if not is_whole(side):
            raise TypeError(f"min_size and max_size must be whole numbers of pixels, got {quoted(side)}")
    if not MIN_SIDE <= least <= most <= MAX_SIDE:
        raise ValueError(
            f"min_size and max_size must be from {MIN_SIDE} to {MAX_SIDE} pixels, the smaller first, "
            f"got {least} and {most}"
        )
    transform.min_size, transform.max_size = (int(least),), int(most)


def set_anchors(model: MaskRCNN, anchors: Anchors) -> None:
    """Give a model other anchors, as `load_model` takes them, and its RPN head outputs for as many.

    Raises:
        TypeError, ValueError: They are of another kind, for another number of levels, or out of range.
    """
    generator = _generator(anchors)
    levels = len(model.rpn.anchor_generator.sizes)
    if len(generator.sizes) != levels:
        raise ValueError(f"anchors must have sizes for {levels} levels, got {len(generator.sizes)}")
    model.rpn.anchor_generator = generator
    (count, *_), head = generator.num_anchors_per_location(), model.rpn.head
    if head.cls_logits.out_channels != count:
        channels = head.cls_logits.in_channels
        head.cls_logits, head.bbox_pred = nn.Conv2d(channels, count, 1), nn.Conv2d(channels, 4 * count, 1)


def _generator(anchors: Anchors) -> AnchorGenerator:
    if isinstance(anchors, AnchorGenerator):
        generator = copy.deepcopy(anchors)
    else:
        if isinstance(anchors, str) or not isinstance(anchors, Sequence) or not anchors:
            raise TypeError(f"anchors must be sizes in pixels, one for each level, got {quoted(anchors, 60)}")
        sizes = tuple(tuple(level) if isinstance(level, Sequence) else (level,) for level in anchors)
        generator = AnchorGenerator(sizes, (ASPECT_RATIOS,) * len(sizes))
    numbers = [number for level in (*generator.sizes, *generator.aspect_ratios) for number in level]
    if not numbers or not all(isinstance(n, (int, float)) and 0 < n <= LARGEST_ANCHOR for n in numbers):
        raise ValueError(
            f"anchors must be numbers above 0, at most {LARGEST_ANCHOR}, got {quoted(numbers, 60)}"
        )
    if len(set(generator.num_anchors_per_location())) != 1:
        raise ValueError("anchors must be the same number on each level")
    return generator


def set_norm_eps(model: MaskRCNN, eps: float | None) -> None:
    """Set the eps of frozen norms, which the weights do not show.

    torchvision gives 0 to what began from its COCO weights, and 1e-5 to what began from a backbone alone. A
    variance of 0, which half precision makes of a small one, rules 0 out.

    Raises:
        ValueError: `eps` is not in [0, 1), too small for the variances, or there are no frozen norms.
    """
    frozen = frozen_norms(model)
    if eps is not None and not (is_number(eps) and 0 <= eps < 1):
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
        norm.eps = float(eps)


def assumed(model: MaskRCNN, said: Details, told: Details) -> list[str]:
    """What neither the file nor the user said, as arguments of `load_model` that say the same."""
    silent = {field for field, value in vars(said).items() if value is None and vars(told)[field] is None}
    texts = []
    if {"min_size", "max_size"} & silent:
        texts += [f"min_size={model.transform.min_size[-1]}, max_size={model.transform.max_size}"]
    if "anchors" in silent:
        sizes = [size for level in model.rpn.anchor_generator.sizes for size in level]
        texts.append(f"anchors=({', '.join(map(str, sizes))})")
    if "norm_eps" in silent and (frozen := frozen_norms(model)):
        texts.append(f"norm_eps={frozen[0].eps:g}" + (" (a variance is 0)" if frozen[0].eps else ""))
    return texts
