"""A trained network prepared for other categories: parts frozen by name, and new predictors."""

import copy
from collections.abc import Collection

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

from ..errors import quoted
from ..models.backbones import BODY_PARTS, parts
from ..models.zoo import categories_of


def freeze(model: MaskRCNN, names: Collection[str]) -> None:
    """Freeze the named parts, in place; all others learn.

    Args:
        model: A torchvision MaskRCNN.
        names: Of those that `parts` names.

    Raises:
        ValueError: There is no such part, or nothing would be left to learn.
        TypeError: `names` is a single string.
    """
    if isinstance(names, str):
        raise TypeError(f"freeze must be a collection of names, such as [{names!r}], got a string")
    known = parts(model)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"freeze must name parts among {', '.join(known)}, got {quoted(unknown[0])}")
    if set(names) == set(known):
        raise ValueError("freeze must leave a part that learns, got all of them")
    for name, modules in known.items():
        for module in modules:
            module.requires_grad_(name not in names)


def learning_parts(model: MaskRCNN) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that learn, each once: (those of the body, all others)."""
    body: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, modules in parts(model).items():
        learning = [p for module in modules for p in module.parameters() if p.requires_grad]
        (body if name in (*BODY_PARTS, "backbone") else others).extend(learning)
    return body, others


def with_categories(model: MaskRCNN, categories: tuple[str, ...]) -> MaskRCNN:
    """A copy of a model whose two predictors know other categories.

    Rows of categories that both know, the background among them, are kept; the others are initialised as
    torch does it.

    Args:
        model: A torchvision MaskRCNN of any categories.
        categories: Names indexed by label, [0] the background.

    Returns:
        A MaskRCNN on the same device, in the same mode; the given one stays as it is.
    """
    copied = copy.deepcopy(model)
    before, heads = categories_of(model), copied.roi_heads
    copied.categories = categories
    if before == categories:
        return copied
    box, mask = heads.box_predictor, heads.mask_predictor
    heads.box_predictor = FastRCNNPredictor(box.cls_score.in_features, len(categories))
    heads.mask_predictor = MaskRCNNPredictor(
        mask.conv5_mask.in_channels, mask.conv5_mask.out_channels, len(categories)
    )
    heads.mask_predictor.conv5_mask.load_state_dict(mask.conv5_mask.state_dict())  # knows no categories
    kept = [label for label, name in enumerate(categories) if name in before]
    sources = [before.index(categories[label]) for label in kept]
    with torch.no_grad():
        for layer, old_layer in (
            (heads.box_predictor.cls_score, box.cls_score),
            (heads.box_predictor.bbox_pred, box.bbox_pred),  # four rows per category
            (heads.mask_predictor.mask_fcn_logits, mask.mask_fcn_logits),
        ):
            for new, old in zip(layer.parameters(), old_layer.parameters(), strict=True):
                rows = new.unflatten(0, (len(categories), -1))
                rows[kept] = old.unflatten(0, (len(before), -1))[sources]
    heads.to(next(model.parameters()).device)
    heads.train(model.training)
    return copied
