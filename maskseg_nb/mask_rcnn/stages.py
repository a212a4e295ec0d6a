"""The inside of Mask R-CNN: torchvision's inference as a chain of pure functions over the model's own parts.

    normalised -> features -> anchors -> proposals -> box_scores -> detections -> masks

Each stage is a function, and a small frozen dataclass of the same name that it returns; trace.py has the
table of the stages and the loop that runs it. The arithmetic is torchvision's, operation by operation, so
that the results are equal to the bit; what torchvision throws away on the way (which boxes were dropped, and
why) is kept. One image at a time: a plain tensor where torchvision has lists and batches. The last step,
pasting the masks into the image, is `Prediction.masks`.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from ..models.backbones import has_pyramid
from .feature_pyramid import pyramid
from .outcomes import LOW_SCORE, TOO_SMALL, best_apart
from .roi_align import pooled, roi_levels

MASKS_AT_ONCE = 32  # through the mask head's last layers, the widest: for its peak memory, not its result
SMALLEST_DETECTION = 1e-2  # pixels; torchvision's constant in RoIHeads.postprocess_detections

Numbers = TypeVar("Numbers", int, Tensor)


@dataclass(frozen=True, eq=False)
class Normalised:
    """The network's own input (GeneralizedRCNNTransform).

    Attributes:
        tensor: float32 (1, 3, H, W): mean subtracted, divided by the deviation, resized, padded with zeros on
            the right and below to whole multiples of `size_divisible` (32).
        size: (height, width) of the image in it, without the padding.
        image_size: (height, width) of the image that came in.
    """

    tensor: Tensor
    size: tuple[int, int]
    image_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Features:
    """The backbone's maps, and the pyramid of feature maps over them (BackboneWithFPN).

    Attributes:
        body: Name -> float32 (1, c, h, w), finest first: C2 to C5 for a ResNet. Empty where the backbone has
            no pyramid.
        maps: Level name -> float32 (1, C, h, w), finest first: P2 to P6 for a ResNet with FPN.
        strides: (down, across) pixels of the network's input per cell, one pair per level.
    """

    body: dict[str, Tensor]
    maps: dict[str, Tensor]
    strides: tuple[tuple[int, int], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The levels as the papers call them: "P2" has a cell every 2 to the power of 2 pixels."""
        return tuple(f"P{pixels.bit_length() - 1}" for pixels in self.pixels)

    @property
    def pixels(self) -> tuple[int, ...]:
        """Pixels per cell of each level, a power of 2; a stride is less where it does not divide the side."""
        return tuple(2 ** round(math.log2(down)) for down, _ in self.strides)


@dataclass(frozen=True, eq=False)
class Anchors:
    """What the region proposal network says at every anchor, before any choice (AnchorGenerator, RPNHead).

    Attributes:
        boxes: float32 (A, 4), the anchors: x1 y1 x2 y2 in pixels of the network's input, level by level.
        levels: int64 (A,), the pyramid level of each, 0 the finest.
        objectness: float32 (A,), logits.
        deltas: float32 (A, 4): how to move and stretch each anchor (dx, dy, dw, dh).
        moved: float32 (A, 4): the anchors so moved and stretched; not yet clipped to the image.
        grids: (height, width, anchors per cell) of each level.
    """

    boxes: Tensor
    levels: Tensor
    objectness: Tensor
    deltas: Tensor
    moved: Tensor
    grids: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, eq=False)
class Proposals:
    """The boxes in which something may be (RegionProposalNetwork.filter_proposals).

    Attributes:
        boxes: float32 (P, 4), x1 y1 x2 y2 in pixels of the network's input, inside the image.
        scores: float32 (P,), [0, 1], highest first.
        anchors: int64 (P,), the row of `Anchors` that each came from.
        candidates: int64 (K,), rows of `Anchors`: each level's best before NMS.
        candidate_boxes: float32 (K, 4), clipped to the image.
        candidate_scores: float32 (K,), [0, 1].
        outcomes: int64 (K,), what became of each candidate: an index into `OUTCOMES`.
    """

    boxes: Tensor
    scores: Tensor
    anchors: Tensor
    candidates: Tensor
    candidate_boxes: Tensor
    candidate_scores: Tensor
    outcomes: Tensor


@dataclass(frozen=True, eq=False)
class BoxScores:
    """What the box head says of every proposal and category, before any choice (box_head, box_predictor).

    Attributes:
        roi_levels: int64 (P,), the pyramid level that RoIAlign read each proposal from.
        scores: float32 (P, C), softmax over background and categories.
        boxes: float32 (P, C, 4), refined for each category, in pixels of the network's input, clipped.
    """

    roi_levels: Tensor
    scores: Tensor
    boxes: Tensor


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes that were kept, each with one category (RoIHeads.postprocess_detections).

    A candidate is a pair of proposal and category, background left out, numbered as by `pair_numbers`.

    Attributes:
        boxes: float32 (N, 4), x1 y1 x2 y2 in pixels of the network's input.
        labels: int64 (N,), 1 to C - 1.
        scores: float32 (N,), [0, 1], highest first.
        proposals: int64 (N,), the row of `Proposals` that each came from.
        outcomes: int64 (P * (C - 1),), what became of each candidate: an index into `OUTCOMES`.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    proposals: Tensor
    outcomes: Tensor


@dataclass(frozen=True, eq=False)
class Masks:
    """A small mask for each detection (mask_head, mask_predictor, maskrcnn_inference).

    Attributes:
        logits: float32 (N, C, M, M): one mask per category; M is 28 for torchvision's heads.
        probs: float32 (N, M, M), [0, 1]: the mask of the detection's own category.
    """

    logits: Tensor
    probs: Tensor


def normalised(model: MaskRCNN, tensor: Tensor) -> Normalised:
    """Subtract the mean, divide by the deviation, resize, pad (GeneralizedRCNNTransform).

    `model` is in eval mode, here and in every stage; `tensor` is float32 (1, 3, H, W), RGB, [0, 1].
    """
    images, _ = model.transform([tensor[0].to(next(model.parameters()).device)])
    (height, width), (image_height, image_width) = images.image_sizes[0], tensor.shape[-2:]
    return Normalised(images.tensors, (height, width), (image_height, image_width))


def features(model: MaskRCNN, inputs: Normalised) -> Features:
    """Run the backbone and its feature pyramid, BackboneWithFPN: by far the most arithmetic of all."""
    backbone = model.backbone
    body: dict[str, Tensor] = {}
    if has_pyramid(backbone):
        body = dict(backbone.body(inputs.tensor))
        maps = pyramid(backbone.fpn, body)
    else:
        found = backbone(inputs.tensor)
        maps = {"0": found} if isinstance(found, Tensor) else dict(found)
    height, width = inputs.tensor.shape[-2:]
    strides = tuple((height // m.shape[-2], width // m.shape[-1]) for m in maps.values())
    return Features(body, maps, strides)


def anchors(model: MaskRCNN, inputs: Normalised, fpn: Features) -> Anchors:
    """At every cell of every level: is something there, and how would an anchor fit it better? (RPNHead)"""
    maps = list(fpn.maps.values())
    objectness, deltas = model.rpn.head(maps)  # of each level: (1, A, h, w) and (1, 4 A, h, w)
    boxes = model.rpn.anchor_generator(ImageList(inputs.tensor, [inputs.size]), maps)
    grids = tuple((o.shape[2], o.shape[3], o.shape[1]) for o in objectness)
    sizes = torch.tensor([h * w * a for h, w, a in grids], device=boxes[0].device)
    flat_objectness, flat_deltas = concat_box_prediction_layers(objectness, deltas)
    moved = model.rpn.box_coder.decode(flat_deltas, boxes)  # (A, 1, 4)
    levels = torch.arange(len(grids), device=sizes.device).repeat_interleave(sizes)
    return Anchors(boxes[0], levels, flat_objectness[:, 0], flat_deltas, moved[:, 0], grids)


def proposals(
    inputs: Normalised,
    rpn: Anchors,
    *,
    rpn_pre_nms_top_n: int,
    rpn_post_nms_top_n: int,
    rpn_nms_threshold: float,
    rpn_score_threshold: float,
    rpn_min_size: float,
) -> Proposals:
    """Each level's best, clipped; without small, improbable and overlapping ones; the best of the rest.

    RegionProposalNetwork.filter_proposals; the keyword arguments are fields of `Knobs`.
    """
    best, start = [], 0
    for height, width, count in rpn.grids:
        level = rpn.objectness[start : start + height * width * count]
        best.append(level.topk(min(rpn_pre_nms_top_n, len(level))).indices + start)
        start += len(level)
    candidates = torch.cat(best)
    boxes = clip_boxes_to_image(rpn.moved[candidates], inputs.size)
    scores = rpn.objectness[candidates].sigmoid()
    outcomes = torch.full_like(candidates, TOO_SMALL)
    left = remove_small_boxes(boxes, rpn_min_size)
    outcomes[left] = LOW_SCORE
    left = left[scores[left] >= rpn_score_threshold]
    groups = rpn.levels[candidates]
    kept = best_apart(left, boxes, scores, groups, outcomes, rpn_nms_threshold, rpn_post_nms_top_n)
    return Proposals(boxes[kept], scores[kept], candidates[kept], candidates, boxes, scores, outcomes)


def box_scores(model: MaskRCNN, inputs: Normalised, fpn: Features, rois: Proposals) -> BoxScores:
    """Read each proposal's features, name it, and refine its box for every category (RoIAlign, box_head)."""
    heads, pool = model.roi_heads, model.roi_heads.box_roi_pool
    levels = roi_levels(pool, rois.boxes, fpn.maps, fpn.strides)
    read = pooled(pool, rois.boxes, levels, fpn.maps, fpn.strides)  # (P, channels, 7, 7)
    logits, deltas = heads.box_predictor(heads.box_head(read))
    boxes = heads.box_coder.decode(deltas, [rois.boxes])  # (P, C, 4)
    return BoxScores(levels, F.softmax(logits, -1), clip_boxes_to_image(boxes, inputs.size))


def detections(
    pairs: BoxScores, *, box_score_threshold: float, box_nms_threshold: float, box_detections_per_img: int
) -> Detections:
    """Each proposal and category above the score floor; overlaps of a category suppressed; the best.

    RoIHeads.postprocess_detections; the keyword arguments are fields of `Knobs`.
    """
    classes = pairs.scores.shape[1]
    boxes = pairs.boxes[:, 1:].reshape(-1, 4)
    scores = pairs.scores[:, 1:].reshape(-1)
    proposals, labels = split_pairs(torch.arange(len(scores), device=scores.device), classes)
    outcomes = torch.full_like(labels, LOW_SCORE)
    left = torch.where(scores > box_score_threshold)[0]
    outcomes[left] = TOO_SMALL
    left = left[remove_small_boxes(boxes[left], SMALLEST_DETECTION)]
    kept = best_apart(left, boxes, scores, labels, outcomes, box_nms_threshold, box_detections_per_img)
    return Detections(boxes[kept], labels[kept], scores[kept], proposals[kept], outcomes)


def masks(model: MaskRCNN, fpn: Features, found: Detections) -> Masks:
    """Read each detection's features once more, from its refined box, and draw a small mask per category.

    RoIHeads' mask_head and mask_predictor, and maskrcnn_inference.
    """
    heads, pool = model.roi_heads, model.roi_heads.mask_roi_pool
    levels = roi_levels(pool, found.boxes, fpn.maps, fpn.strides)
    read = pooled(pool, found.boxes, levels, fpn.maps, fpn.strides)  # (N, channels, 14, 14)
    hidden = heads.mask_head(read)
    # In parts of one size: a few masks by themselves may take another path, and differ in the last bit.
    parts = hidden.tensor_split(max(1, math.ceil(len(hidden) / MASKS_AT_ONCE)))
    logits = torch.cat([heads.mask_predictor(part) for part in parts])
    rows = torch.arange(len(logits), device=logits.device)
    return Masks(logits, logits.sigmoid()[rows, found.labels])


def pair_numbers(proposals: Numbers, labels: Numbers, classes: int) -> Numbers:
    """The number of a pair of proposal (a row of `Proposals`) and label (1 to C - 1, C the number of classes
    with the background): its place in `Detections.outcomes`. For one pair, or int64 (N,).
    """
    return proposals * (classes - 1) + labels - 1


def split_pairs(pairs: Numbers, classes: int) -> tuple[Numbers, Numbers]:
    """Proposals and labels of numbered pairs: the inverse of `pair_numbers`."""
    named = max(classes - 1, 1)  # a network of the background alone has no pairs, and must not fail
    return pairs // named, pairs % named + 1
