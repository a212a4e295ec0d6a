"""The architecture of `street`: a Mask R-CNN small enough for a slow machine and a wheel.

EfficientNet-Lite0 (the mobile-friendly EfficientNet: ReLU6, no squeeze-and-excitation; Tan and Le,
arXiv:1905.11946) is the body, torchvision's FeaturePyramidNetwork the neck, torchvision's MaskRCNN all the
rest. Layer names with a leading underscore are those of the ImageNet checkpoint that the body began from.
"""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

# (expansion, output channels, blocks, stride of the first block, kernel)
BODY = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
# The last block at strides 4, 8, 16 and 32, and its channels: what the pyramid is built from.
TAPS = {2: 24, 4: 40, 10: 112, 15: 320}


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)


def _norm(channels: int) -> FrozenBatchNorm2d:
    return FrozenBatchNorm2d(channels, eps=1e-3)


class InvertedResidual(nn.Module):
    """Widen with a 1 x 1 convolution, filter each channel by itself, narrow again (MobileNetV2's block)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expands = expansion > 1
        self.has_shortcut = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = _conv(inputs, hidden, 1), _norm(hidden)
        self._depthwise_conv, self._bn1 = _conv(hidden, hidden, kernel, stride, groups=hidden), _norm(hidden)
        self._project_conv, self._bn2 = _conv(hidden, outputs, 1), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.has_shortcut else y


class EfficientNetLite0(nn.Module):
    """(B, 3, H, W) to an ordered dict of four maps at strides 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _conv(3, 32, 3, stride=2), _norm(32)
        self._blocks = nn.ModuleList()
        channels = 32
        for expansion, outputs, blocks, first_stride, kernel in BODY:
            for index in range(blocks):
                stride = first_stride if index == 0 else 1
                self._blocks.append(InvertedResidual(channels, outputs, expansion, kernel, stride))
                channels = outputs

    def stages(self) -> list[list[nn.Module]]:
        """The stem, and the blocks that lead to each of the four maps."""
        ends = [0, *(tap + 1 for tap in TAPS)]
        blocks = list(self._blocks)
        return [[self._conv_stem, self._bn0], *(blocks[a:b] for a, b in zip(ends, ends[1:], strict=False))]

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        x = F.relu6(self._bn0(self._conv_stem(x)))
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in TAPS:
                maps[str(len(maps))] = x
        return maps


class LiteFPN(nn.Module):
    """The body and its feature pyramid: five maps of `out_channels` channels at strides 4 to 64."""

    def __init__(self, out_channels: int = 96) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.body = EfficientNetLite0()
        self.fpn = FeaturePyramidNetwork(
            list(TAPS.values()),
            out_channels,
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
        num_classes=None,  # the three smaller heads below take its place
        min_size=352,
        max_size=576,
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
        rpn_anchor_generator=AnchorGenerator(((16,), (32,), (64,), (128,), (256,)), ((0.5, 1.0, 2.0),) * 5),
        rpn_pre_nms_top_n_train=600,
        rpn_post_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=400,
        rpn_post_nms_top_n_test=200,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=128,
        box_detections_per_img=50,
        box_head=TwoMLPHead(backbone.out_channels * 7 * 7, 384),
        box_predictor=FastRCNNPredictor(384, num_classes),
        mask_predictor=MaskRCNNPredictor(256, 128, num_classes),
    )
