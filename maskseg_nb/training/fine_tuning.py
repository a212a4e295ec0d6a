"""A trained network made ready for other categories: its parts by name, frozen or not, and new predictors."""

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
    """Let the named parts learn nothing, and all others learn, in place.

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
    known = parts(model)
    body = [
        parameter
        for name in (*BODY_PARTS, "backbone")
        for module in known.get(name, ())
        for parameter in module.parameters()
    ]
    inside = {id(parameter) for parameter in body}
    others = [parameter for parameter in model.parameters() if id(parameter) not in inside]
    return [p for p in body if p.requires_grad], [p for p in others if p.requires_grad]


def with_categories(model: MaskRCNN, categories: tuple[str, ...]) -> MaskRCNN:
    """A copy of a model whose two predictors know other categories.

    Rows of categories that both know, the background among them, are kept; the others begin as torch
    draws them.

    Args:
        model: A torchvision MaskRCNN of any categories.
        categories: Names indexed by label, [0] the background.

    Returns:
        A MaskRCNN on the same device, in the same mode; the one that was given stays as it is.
    """
    copied = copy.deepcopy(model)
    before, heads = categories_of(model), copied.roi_heads
    copied.categories = categories
    if before == categories:
        return copied
    kept = [(new, before.index(name)) for new, name in enumerate(categories) if name in before]
    box, mask = heads.box_predictor, heads.mask_predictor
    heads.box_predictor = FastRCNNPredictor(box.cls_score.in_features, len(categories))
    heads.mask_predictor = MaskRCNNPredictor(
        mask.conv5_mask.in_channels, mask.conv5_mask.out_channels, len(categories)
    )
    heads.mask_predictor.conv5_mask.load_state_dict(mask.conv5_mask.state_dict())  # knows no categories
    with torch.no_grad():
        for new, old in kept:
            _copy_row(heads.box_predictor.cls_score, new, box.cls_score, old)
            _copy_row(heads.mask_predictor.mask_fcn_logits, new, mask.mask_fcn_logits, old)
            for corner in range(4):
                _copy_row(heads.box_predictor.bbox_pred, 4 * new + corner, box.bbox_pred, 4 * old + corner)
    heads.to(next(model.parameters()).device)
    heads.train(model.training)
    return copied


def _copy_row(layer: nn.Linear | nn.Conv2d, row: int, source: nn.Linear | nn.Conv2d, source_row: int) -> None:
    for new, old in zip(layer.parameters(), source.parameters(), strict=True):
        new[row] = old[source_row]
