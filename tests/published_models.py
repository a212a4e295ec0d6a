"""Stand-ins for torchvision's published weights, as its own releases wrote them."""

import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone


def numbers_that_matter(model: MaskRCNN) -> MaskRCNN:
    """Random weights also in the norms, which start as 0 and 1."""
    for name, module in model.named_modules():
        if "BatchNorm" in type(module).__name__:
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            # The last norm of a residual block is small, lest sixteen blocks grow beyond float32.
            nn.init.uniform_(module.weight, 0.5, 1.0)
            module.weight.data *= 0.2 if name.endswith("bn3") else 1
    return model


def as_in_2019(path: Path, categories: int = 91) -> dict[str, Tensor]:
    """Save a `maskrcnn_resnet50_fpn` as torchvision 0.3 did: its layers' names, torch's format of that time.

    Names and shapes are those that the code of torchvision 0.3.0 and of 0.11.1 gives: 307, of which 26 are
    others today. Returns the weights by today's names.
    """
    torch.manual_seed(0)
    today = MaskRCNN(resnet_fpn_backbone(backbone_name="resnet50", weights=None), categories)
    weights = numbers_that_matter(today).state_dict()
    torch.save(named_as_in_2019(weights), path, _use_new_zipfile_serialization=False)
    return weights


def named_as_in_2019(weights: dict[str, Tensor]) -> "OrderedDict[str, Tensor]":
    state = OrderedDict()
    for key, weight in weights.items():
        key = re.sub(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.0\.", r"\1.", key)
        key = re.sub(r"^(roi_heads\.mask_head\.)(\d)\.0\.", lambda m: f"{m[1]}mask_fcn{int(m[2]) + 1}.", key)
        state[key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")] = weight
    assert len(state) == 307 and len(state.keys() - weights.keys()) == 26
    assert {"rpn.head.conv.bias", "roi_heads.mask_head.mask_fcn4.weight"} < state.keys()
    assert {"backbone.fpn.inner_blocks.0.weight", "backbone.fpn.layer_blocks.3.bias"} < state.keys()
    return state


def as_in_2022(path: Path) -> dict[str, Tensor]:
    """Save a `maskrcnn_resnet50_fpn_v2`: it came with torchvision 0.13, and its names have stayed."""
    torch.manual_seed(0)
    model = numbers_that_matter(maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None))
    torch.save(model.state_dict(), path)
    return dict(model.state_dict())
