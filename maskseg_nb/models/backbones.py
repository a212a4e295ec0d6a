"""The parts of a network by name: backbone with or without a feature pyramid, RPN and heads."""

from typing import Any

from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from .street import LiteFPN

BODY_PARTS = ("stem", "C2", "C3", "C4", "C5")  # as in Feature Pyramid Networks: C2 is at stride 4


def has_pyramid(backbone: Any) -> bool:
    """Whether a backbone is a `body` with an `fpn` on top and nothing more: no hook, no other forward."""
    if type(backbone) not in (BackboneWithFPN, LiteFPN):
        return False
    parts = (backbone, backbone.fpn)
    return not any(p._forward_hooks or p._forward_pre_hooks or "forward" in vars(p) for p in parts)


def parts(model: MaskRCNN) -> dict[str, list[nn.Module]]:
    """The network's parts, in the order that an image runs through them.

    "stem", "C2", "C3", "C4" and "C5" are the body, at strides 2, 4, 8, 16 and 32; then "pyramid", "rpn",
    "box" and "mask". A backbone of another make is one part, "backbone".
    """
    backbone, heads = model.backbone, model.roi_heads
    found: dict[str, list[nn.Module]] = {"backbone": [backbone]}
    if isinstance(backbone, LiteFPN):
        found = {**dict(zip(BODY_PARTS, backbone.body.stages(), strict=True)), "pyramid": [backbone.fpn]}
    elif isinstance(backbone, BackboneWithFPN) and "layer4" in dict(backbone.body.named_children()):
        body = backbone.body
        layers = [[body.conv1, body.bn1], *([body[f"layer{number}"]] for number in (1, 2, 3, 4))]
        found = {**dict(zip(BODY_PARTS, layers, strict=True)), "pyramid": [backbone.fpn]}
    return {
        **found,
        "rpn": [model.rpn.head],
        "box": [heads.box_head, heads.box_predictor],
        "mask": [heads.mask_head, heads.mask_predictor],
    }
