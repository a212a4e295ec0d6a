"""More masks than the pipeline keeps: of every category, and in a box larger than the detection's own."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from .._shared.checks import check_fraction, is_whole
from .stages import masks
from .trace import Trace


def check_detection(trace: Trace, detection: int) -> None:
    """Raise ValueError unless there is such a row of `trace.prediction`."""
    count = len(trace.detections.scores)
    if not is_whole(detection) or not 0 <= detection < count:
        there = f"they are 0 to {count - 1}" if count else "nothing was found"
        raise ValueError(f"there is no detection {detection!r}: {there}")


def masks_of_all_categories(trace: Trace, detection: int) -> Tensor:
    """The masks that the mask head made in one box, each by its own sigmoid: float32 (C, M, M), [0, 1].

    Raises:
        ValueError: There is no such detection.
    """
    check_detection(trace, detection)
    return trace.masks.logits[detection].sigmoid()


class LargerMasks(NamedTuple):
    """What the mask head says where every detection's box is larger; N rows, as in `Detections`.

    Attributes:
        boxes: float32 (N, 4), x1 y1 x2 y2 in pixels of the network's input.
        probs: float32 (N, M, M), [0, 1].
        outside: float32 (N,), the share of the larger box's mask that lies outside the detection's own box:
            what that box cuts off.
    """

    boxes: Tensor
    probs: Tensor
    outside: Tensor


def masks_in_larger_boxes(trace: Trace, factor: float = 1.5, mask_threshold: float = 0.5) -> LargerMasks:
    """Ask the mask head again, with every box enlarged around its middle and cut at the image's edge.

    Args:
        trace: A run through the network.
        factor: Of the sides, above 0.
        mask_threshold: A cell is inside where its probability is greater, in [0, 1].

    Raises:
        ValueError: An argument is out of range.
    """
    check_fraction("mask_threshold", mask_threshold)
    if not factor > 0:
        raise ValueError(f"factor must be above 0, got {factor!r}")
    found = trace.detections
    corners = found.boxes.reshape(-1, 2, 2)
    middles = corners.mean(dim=1, keepdim=True)
    boxes = clip_boxes_to_image(
        (middles + factor * (corners - middles)).reshape(-1, 4), trace.normalised.size
    )
    with torch.no_grad():
        probs = masks(trace.model, trace.features, replace(found, boxes=boxes)).probs
    steps = (torch.arange(probs.shape[-1], device=boxes.device) + 0.5) / probs.shape[-1]
    within = [
        (places >= found.boxes[:, axis, None]) & (places <= found.boxes[:, axis + 2, None])  # (N, M)
        for axis in (0, 1)
        for places in [boxes[:, axis, None] + steps * (boxes[:, axis + 2] - boxes[:, axis])[:, None]]
    ]
    inside, own = probs > mask_threshold, within[1][:, :, None] & within[0][:, None]
    counts = inside.flatten(1).sum(dim=1).clamp(min=1)
    return LargerMasks(boxes, probs, (inside & ~own).flatten(1).sum(dim=1) / counts)
