"""Your own checkpoint made into a model: its weights show the architecture and the number of categories.

What they do not show, the file's metadata says, or you do: see `details`.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from torch import Tensor
from torchvision.models.detection import MaskRCNN

from .._shared.checks import MAX_CATEGORIES
from ..errors import ModelError, quoted
from .checkpoints import read_mask_rcnn
from .details import Details, assumed, details_in, metadata_of, set_details, set_norm_eps, with_background
from .state_dicts import SCORES, fill
from .street import street
from .zoo import frozen_resnet50_fpn, numbered, resnet50_fpn_v2, trainable_resnet50_fpn


def own_model(path: Path, told: Details) -> tuple[MaskRCNN, list[str]]:
    """Build the Mask R-CNN that `state_dicts` finds in a file; `told` overrides what the file says.

    Returns:
        The model, with its `categories`, and notes for the user: what had to be assumed.

    Raises:
        ModelError: The file holds no Mask R-CNN that is known here, or its metadata is impossible.
        ValueError, TypeError: `told` is impossible, or does not fit the file.
    """
    state, metadata, notes = read_mask_rcnn(path)
    model, more = _model_of(state, metadata, path.name, told)
    return model, notes + more


def check_readable(model: MaskRCNN, name: str) -> None:
    """Raise ModelError unless a model can be made of a file with this one's weights and `metadata_of` it."""
    _model_of(model.state_dict(), metadata_of(model), name, Details(), "change the model or its settings")


def _model_of(
    state: dict[str, Tensor],
    metadata: Mapping[str, str],
    name: str,
    told: Details,
    remedy: str = "save it again",
) -> tuple[MaskRCNN, list[str]]:
    """`own_model`, once the file is read."""
    model, count = _build_for(state, name)
    model.categories = numbered(count)
    with _blamed_on(name, remedy):
        said = details_in(metadata)
        set_details(model, said)
    set_details(model, with_background(told, count))
    _check_anchors(model, state, name)
    fill(model, state, name)
    if told.norm_eps is not None:
        set_norm_eps(model, told.norm_eps)
    else:
        with _blamed_on(name, remedy):
            set_norm_eps(model, said.norm_eps)
    if not (unsaid := assumed(model, said, told)):
        return model, []
    return model, [
        f"{quoted(name)} does not say how it was trained; assumed: {', '.join(unsaid)}. "
        "If it was trained with others, give them to load_model"
    ]


@contextlib.contextmanager
def _blamed_on(name: str, remedy: str) -> Iterator[None]:
    """Whatever is wrong in here, the file said it, not the caller."""
    try:
        yield
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{quoted(name)} has unusable metadata: {error}; {remedy}") from None


def _build_for(state: dict[str, Tensor], name: str) -> tuple[MaskRCNN, int]:
    """The architecture that the weights' names belong to, with as many categories as they have."""
    scores = state.get(SCORES)
    if scores is None:
        raise ModelError(f"{quoted(name)} holds no Mask R-CNN that is known here: coco, coco_v2 or street")
    build: Callable[..., MaskRCNN]
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
        raise ModelError(f"{quoted(name)} holds a detector without masks, not a Mask R-CNN; use another")
    return build(num_classes=count), count


def _check_anchors(model: MaskRCNN, state: dict[str, Tensor], name: str) -> None:
    logits, count = state.get("rpn.head.cls_logits.bias"), model.rpn.head.cls_logits.out_channels
    if logits is not None and logits.shape != (count,):
        raise ModelError(
            f"{quoted(name)} was trained with {logits.numel():,} anchors per cell, not {count}; give "
            "load_model(..., anchors=...) as in training"
        )
