"""The anchors of a region proposal network, replaced by others."""

import copy
from collections.abc import Sequence
from typing import TypeAlias

from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator

from ..errors import quoted

Anchors: TypeAlias = AnchorGenerator | Sequence[float | Sequence[float]]

ASPECT_RATIOS = (0.5, 1.0, 2.0)  # torchvision's
LARGEST = 4096  # pixels


def set_anchors(model: MaskRCNN, anchors: Anchors) -> None:
    """Give a model other anchors, and its region proposal network outputs for as many.

    Args:
        model: A torchvision MaskRCNN.
        anchors: For each level of the pyramid a size in pixels, or several, at the aspect ratios 0.5, 1 and
            2; or torchvision's AnchorGenerator.

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
    if not numbers or not all(isinstance(n, (int, float)) and 0 < n <= LARGEST for n in numbers):
        raise ValueError(f"anchors must be numbers above 0, at most {LARGEST}, got {quoted(numbers, 60)}")
    if len(set(generator.num_anchors_per_location())) != 1:
        raise ValueError("anchors must be as many on each level")
    return generator
