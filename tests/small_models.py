"""Networks whose weights are a rule and not a file: small enough to compute with in a moment, or to keep."""

from collections import OrderedDict

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from maskseg_nb.models.street import street


class TinyBackbone(nn.Module):
    out_channels = 8

    def __init__(self):
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(inputs, 8, 3, 4, 1) for inputs in (3, 8))

    def forward(self, x):
        maps = OrderedDict()
        for number, level in enumerate(self.levels):
            maps[str(number)] = x = level(x).relu()
        return maps


def tiny_model(categories):
    """A Mask R-CNN of 8 channels that finds nonsense, always the same, in every picture."""
    pools = [MultiScaleRoIAlign(["0", "1"], side, 2) for side in (4, 8)]
    model = MaskRCNN(
        TinyBackbone(),
        min_size=64,
        max_size=128,
        rpn_anchor_generator=AnchorGenerator(((16,), (32,)), ((0.5, 1.0, 2.0),) * 2),
        box_roi_pool=pools[0],
        box_head=TwoMLPHead(8 * 16, 16),
        box_predictor=FastRCNNPredictor(16, len(categories)),
        mask_roi_pool=pools[1],
        mask_head=MaskRCNNHeads(8, (8,), 1),
        mask_predictor=MaskRCNNPredictor(8, 8, len(categories)),
        box_detections_per_img=5,
    ).eval()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            steps = torch.arange(parameter.numel(), dtype=torch.float64)
            waves = 3 * torch.cos(steps**2 + number) / max(1, parameter[0].numel()) ** 0.5
            parameter.copy_(waves.reshape(parameter.shape).float())
    model.categories = categories
    return model


def even_model(categories):
    """The network of `street` with one number for all weights: files of it compress to almost nothing."""
    model = street(len(categories)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
    model.categories = categories
    return model
