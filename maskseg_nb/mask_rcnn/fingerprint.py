"""What a result depends on, as a short text: the model's weights and settings."""

import hashlib
from typing import Any

import torch
from torchvision.models.detection import MaskRCNN

from ..models.zoo import categories_of, frozen_norms
from .knobs import Knobs


def fingerprint(model: MaskRCNN, *settings: Any) -> str:
    """16 hexadecimal digits that stand for a model's weights, its knobs and any further settings.

    Args:
        model: A torchvision MaskRCNN.
        settings: Whatever else a result depends on; their `repr` counts.
    """
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    transform = model.transform
    of_input = (transform.min_size, transform.max_size, transform.image_mean, transform.image_std)
    anchors = model.rpn.anchor_generator
    for part in (
        Knobs.of(model),
        of_input,
        anchors.sizes,
        anchors.aspect_ratios,
        categories_of(model),
        settings,
    ):
        digest.update(repr(part).encode())
    if eps := [norm.eps for norm in frozen_norms(model) if norm.eps]:  # 0 of the published model
        digest.update(repr(eps).encode())
    return digest.hexdigest()[:16]
