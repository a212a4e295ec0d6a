"""The architecture of `street`: a Mask R-CNN small enough for a slow machine and a wheel.

The body is EfficientNet-Lite2 (the mobile-friendly EfficientNet: ReLU6, no squeeze-and-excitation; Tan and
Le, arXiv:1905.11946), the neck and all the rest torchvision's FeaturePyramidNetwork and MaskRCNN.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

# (expansion, output channels, blocks, stride of the first block, kernel)
BODY = (
    (1, 16, 1, 1, 3),
    (6, 24, 3, 2, 3),
    (6, 48, 3, 2, 5),
    (6, 88, 4, 2, 3),
    (6, 120, 4, 1, 5),
    (6, 208, 5, 2, 5),
    (6, 352, 1, 1, 3),
)
# The last block at strides 4, 8, 16 and 32, and its channels: what the pyramid is built from.
TAPS = {3: 24, 6: 48, 14: 120, 20: 352}


class NormedConv2d(nn.Conv2d):
    """A convolution and the frozen BatchNorm behind it as one: its filters are scaled, a shift is its bias.

    The norm's statistics never change, so it needs no pass over the pixels of its own.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("shift", torch.zeros(outputs))

    @torch.no_grad()
    def fold(self) -> None:
        """Multiply the scale into the weights, for good: they are rounded once, where bits are few."""
        self.weight *= self.scale[:, None, None, None]
        self.scale.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale[:, None, None, None]
        learns = torch.is_autocast_enabled(x.device.type) and weight.requires_grad
        if self.groups == 1 or not learns:
            return self._conv_forward(x, weight, self.shift)
        with torch.autocast(x.device.type, enabled=False):
            # oneDNN's bfloat16 gradient of a depthwise convolution takes several times as long as this.
            return self._conv_forward(x.float(), weight.float(), self.shift)


class InvertedResidual(nn.Module):
    """Widen with a 1 x 1 convolution, filter each channel by itself, narrow again (MobileNetV2's block)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.has_shortcut = stride == 1 and inputs == outputs
        self.expand = NormedConv2d(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = NormedConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.project = NormedConv2d(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        # In place: nothing else holds what a convolution has just made, and memory is the bottleneck.
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = F.relu6(self.depthwise(y), inplace=True)
        y = self.project(y)
        return y.add_(x) if self.has_shortcut else y


class EfficientNetLite2(nn.Module):
    """(B, 3, H, W) to an ordered dict of four maps at strides 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = NormedConv2d(3, 32, 3, stride=2)
        self.blocks = nn.ModuleList()
        channels = 32
        for expansion, outputs, blocks, first_stride, kernel in BODY:
            for index in range(blocks):
                stride = first_stride if index == 0 else 1
                self.blocks.append(InvertedResidual(channels, outputs, expansion, kernel, stride))
                channels = outputs

    def stages(self) -> list[list[nn.Module]]:
        """The stem, and the blocks that lead to each of the four maps."""
        ends = [0, *(tap + 1 for tap in TAPS)]
        blocks = list(self.blocks)
        return [[self.stem], *(blocks[a:b] for a, b in zip(ends, ends[1:], strict=False))]

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        x = x.contiguous(memory_format=torch.channels_last)  # nearly twice as fast
        x = F.relu6(self.stem(x), inplace=True)
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in TAPS:
                maps[str(len(maps))] = x
        return maps


class LiteFPN(nn.Module):
    """The body and its feature pyramid: five maps of 96 channels at strides 4 to 64."""

    out_channels = 96

    def __init__(self) -> None:
        super().__init__()
        self.body = EfficientNetLite2()
        self.fpn = FeaturePyramidNetwork(
            list(TAPS.values()),
            self.out_channels,
            extra_blocks=LastLevelMaxPool(),
            norm_layer=lambda channels: nn.GroupNorm(8, channels),
        )

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        return self.fpn(self.body(x))


def street(num_classes: int = 5) -> MaskRCNN:
    """The `street` network with random weights, as a torchvision MaskRCNN in training mode.

    Args:
        num_classes: Categories and the background; the shipped weights have 5.
    """
    backbone = LiteFPN()
    return MaskRCNN(
        backbone,
        num_classes=None,  # the four smaller heads below take its place
        min_size=576,
        max_size=936,
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
        rpn_anchor_generator=AnchorGenerator(((16,), (32,), (64,), (128,), (256,)), ((0.5, 1.0, 2.0),) * 5),
        rpn_pre_nms_top_n_train=600,
        rpn_post_nms_top_n_train=500,
        rpn_pre_nms_top_n_test=600,
        rpn_post_nms_top_n_test=300,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=128,
        box_positive_fraction=0.5,
        box_detections_per_img=50,
        box_head=TwoMLPHead(backbone.out_channels * 7 * 7, 384),
        box_predictor=FastRCNNPredictor(384, num_classes),
        mask_head=MaskRCNNHeads(backbone.out_channels, (128,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(128, 128, num_classes),
    )
