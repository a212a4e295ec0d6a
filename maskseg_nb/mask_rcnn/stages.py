"""The inside of Mask R-CNN: torchvision's inference as a chain of pure functions over the model's own parts.

    normalise -> features -> dense_proposals -> proposals -> box_scores -> detections -> mask_probabilities

Each takes the model and what the stages before it gave, and returns a small frozen dataclass. The arithmetic
is torchvision's, operation by operation, so that the results are equal to the bit; what torchvision throws
away on the way (which boxes were dropped, and why) is kept. One picture at a time: where torchvision has
lists and batches, here is a plain tensor. `paste`, the last step, is `Prediction.masks`.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

from ..models.backbones import has_pyramid
from .feature_pyramid import pyramid
from .roi_align import pooled, roi_levels

# What became of a candidate box, as stored in `fates`; the index is the number stored.
FATES = ("kept", "too small", "score too low", "suppressed", "over the limit")
KEPT, TOO_SMALL, LOW_SCORE, SUPPRESSED, OVER_LIMIT = range(len(FATES))

MASKS_AT_ONCE = 32  # through the mask head's last layers, the widest: its peak of memory, not its result
SMALLEST_DETECTION = 1e-2  # pixels; torchvision's constant in RoIHeads.postprocess_detections


@dataclass(frozen=True, eq=False)
class Normalised:
    """The network's own input (GeneralizedRCNNTransform).

    Attributes:
        tensor: float32 (1, 3, H, W): mean subtracted, divided by the deviation, resized, padded with zeros on
            the right and below to whole multiples of `size_divisible` (32).
        size: (height, width) of the picture in it, without the padding.
        image_size: (height, width) of the picture that came in.
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
        strides: (down, across) pixels of the network's input per cell, a pair a level.
    """

    body: dict[str, Tensor]
    maps: dict[str, Tensor]
    strides: tuple[tuple[int, int], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The levels as the papers call them: "P2" has a cell every 2 to the power of 2 pixels."""
        return tuple(f"P{round(math.log2(down))}" for down, _ in self.strides)


@dataclass(frozen=True, eq=False)
class DenseProposals:
    """What the region proposal network says at every anchor, before any choice (RPNHead, AnchorGenerator).

    Attributes:
        anchors: float32 (A, 4), x1 y1 x2 y2 in pixels of the network's input, level by level.
        levels: int64 (A,), the pyramid level of each, 0 the finest.
        objectness: float32 (A,), logits.
        deltas: float32 (A, 4): how to move and stretch each anchor (dx, dy, dw, dh).
        boxes: float32 (A, 4): the anchors so moved; not yet clipped to the picture.
        grids: (height, width, anchors per cell) a level.
    """

    anchors: Tensor
    levels: Tensor
    objectness: Tensor
    deltas: Tensor
    boxes: Tensor
    grids: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, eq=False)
class Proposals:
    """The boxes in which something may be (RegionProposalNetwork.filter_proposals).

    Attributes:
        boxes: float32 (P, 4), x1 y1 x2 y2 in pixels of the network's input, inside the picture.
        scores: float32 (P,), [0, 1], falling.
        anchors: int64 (P,), the row of `DenseProposals` that each came from.
        candidates: int64 (K,), rows of `DenseProposals`: each level's best before NMS.
        candidate_boxes: float32 (K, 4), clipped to the picture.
        candidate_scores: float32 (K,), [0, 1].
        fates: int64 (K,), what became of each candidate: an index into `FATES`.
    """

    boxes: Tensor
    scores: Tensor
    anchors: Tensor
    candidates: Tensor
    candidate_boxes: Tensor
    candidate_scores: Tensor
    fates: Tensor


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

    A candidate is a pair of proposal and category, background left out: number p * (C - 1) + label - 1.

    Attributes:
        boxes: float32 (N, 4), x1 y1 x2 y2 in pixels of the network's input.
        labels: int64 (N,).
        scores: float32 (N,), [0, 1], falling.
        proposals: int64 (N,), the row of `Proposals` that each came from.
        fates: int64 (P * (C - 1),), what became of each candidate: an index into `FATES`.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    proposals: Tensor
    fates: Tensor


@dataclass(frozen=True, eq=False)
class MaskProbabilities:
    """A small mask for each detection (mask_head, mask_predictor, maskrcnn_inference).

    Attributes:
        logits: float32 (N, C, M, M): one mask a category; M is 28 for torchvision's heads.
        probs: float32 (N, M, M), [0, 1]: the mask of the detection's own category.
    """

    logits: Tensor
    probs: Tensor


def normalise(model: MaskRCNN, tensor: Tensor) -> Normalised:
    """Subtract the mean, divide by the deviation, resize, pad.

    Args:
        tensor: float32 (1, 3, H, W), RGB, [0, 1], on the model's device.
    """
    images, _ = model.transform([tensor[0]])
    (height, width), (image_height, image_width) = images.image_sizes[0], tensor.shape[-2:]
    return Normalised(images.tensors, (height, width), (image_height, image_width))


def features(model: MaskRCNN, normalised: Normalised) -> Features:
    """Run the backbone and its feature pyramid: by far the most arithmetic of all stages."""
    backbone = model.backbone
    body: dict[str, Tensor] = {}
    if has_pyramid(backbone):
        body = dict(backbone.body(normalised.tensor))
        maps = pyramid(backbone.fpn, body)
    else:
        found = backbone(normalised.tensor)
        maps = {"0": found} if isinstance(found, Tensor) else dict(found)
    height, width = normalised.tensor.shape[-2:]
    strides = tuple((height // m.shape[-2], width // m.shape[-1]) for m in maps.values())
    return Features(body, maps, strides)


def dense_proposals(model: MaskRCNN, normalised: Normalised, features: Features) -> DenseProposals:
    """At every cell of every level: is there something, and how would an anchor fit it better?"""
    maps = list(features.maps.values())
    objectness, deltas = model.rpn.head(maps)  # a level: (1, A, h, w) and (1, 4 A, h, w)
    anchors = model.rpn.anchor_generator(ImageList(normalised.tensor, [normalised.size]), maps)
    grids = tuple((o.shape[2], o.shape[3], o.shape[1]) for o in objectness)
    sizes = torch.tensor([h * w * a for h, w, a in grids], device=anchors[0].device)
    flat_objectness, flat_deltas = concat_box_prediction_layers(objectness, deltas)
    boxes = model.rpn.box_coder.decode(flat_deltas, anchors)  # (A, 1, 4)
    levels = torch.arange(len(grids), device=sizes.device).repeat_interleave(sizes)
    return DenseProposals(anchors[0], levels, flat_objectness[:, 0], flat_deltas, boxes[:, 0], grids)


def proposals(
    normalised: Normalised,
    dense: DenseProposals,
    *,
    pre_nms_top_n: int,
    post_nms_top_n: int,
    nms_threshold: float,
    score_threshold: float,
    min_size: float,
) -> Proposals:
    """Each level's best, clipped; without small, improbable and overlapping ones; the best of the rest."""
    best, start = [], 0
    for height, width, count in dense.grids:
        level = dense.objectness[start : start + height * width * count]
        best.append(level.topk(min(pre_nms_top_n, len(level))).indices + start)
        start += len(level)
    candidates = torch.cat(best)
    boxes = clip_boxes_to_image(dense.boxes[candidates], normalised.size)
    scores = dense.objectness[candidates].sigmoid()
    levels = dense.levels[candidates]
    fates = torch.full_like(candidates, TOO_SMALL)
    left = remove_small_boxes(boxes, min_size)
    left = _drop(left, scores[left] >= score_threshold, fates, LOW_SCORE)
    fates[left] = SUPPRESSED
    left = left[batched_nms(boxes[left], scores[left], levels[left], nms_threshold)]
    fates[left] = OVER_LIMIT
    kept = left[:post_nms_top_n]
    fates[kept] = KEPT
    return Proposals(boxes[kept], scores[kept], candidates[kept], candidates, boxes, scores, fates)


def box_scores(
    model: MaskRCNN, normalised: Normalised, features: Features, proposals: Proposals
) -> BoxScores:
    """Read each proposal's features, name it, and refine its box for every category."""
    heads = model.roi_heads
    levels = roi_levels(heads.box_roi_pool, proposals.boxes, features.maps, features.strides)
    rois = pooled(
        heads.box_roi_pool, proposals.boxes, levels, features.maps, features.strides
    )  # (P, C, 7, 7)
    logits, deltas = heads.box_predictor(heads.box_head(rois))
    boxes = heads.box_coder.decode(deltas, [proposals.boxes])  # (P, C, 4)
    return BoxScores(levels, F.softmax(logits, -1), clip_boxes_to_image(boxes, normalised.size))


def detections(
    box_scores: BoxScores, *, score_threshold: float, nms_threshold: float, detections_per_img: int
) -> Detections:
    """Each proposal and category above the score floor; overlaps of a category suppressed; the best."""
    count, classes = box_scores.scores.shape
    boxes = box_scores.boxes[:, 1:].reshape(-1, 4)
    scores = box_scores.scores[:, 1:].reshape(-1)
    labels = torch.arange(1, classes, device=scores.device).repeat(count)
    fates = torch.full_like(labels, LOW_SCORE)
    left = torch.where(scores > score_threshold)[0]
    fates[left] = TOO_SMALL
    left = left[remove_small_boxes(boxes[left], SMALLEST_DETECTION)]
    fates[left] = SUPPRESSED
    left = left[batched_nms(boxes[left], scores[left], labels[left], nms_threshold)]
    fates[left] = OVER_LIMIT
    kept = left[:detections_per_img]
    fates[kept] = KEPT
    return Detections(boxes[kept], labels[kept], scores[kept], kept // max(classes - 1, 1), fates)


def mask_probabilities(model: MaskRCNN, features: Features, detections: Detections) -> MaskProbabilities:
    """Read each detection's features once more, from its refined box, and draw a small mask a category."""
    heads = model.roi_heads
    levels = roi_levels(heads.mask_roi_pool, detections.boxes, features.maps, features.strides)
    rois = pooled(
        heads.mask_roi_pool, detections.boxes, levels, features.maps, features.strides
    )  # (N, C, 14, 14)
    hidden = heads.mask_head(rois)
    # In parts of one size: a few masks by themselves may take another path, and differ in the last bit.
    parts = hidden.tensor_split(max(1, math.ceil(len(hidden) / MASKS_AT_ONCE)))
    logits = torch.cat([heads.mask_predictor(part) for part in parts])
    rows = torch.arange(len(logits), device=logits.device)
    return MaskProbabilities(logits, logits.sigmoid()[rows, detections.labels])


def count_fates(fates: Tensor) -> dict[str, int]:
    """How many candidates met each of the `FATES`."""
    return dict(zip(FATES, fates.bincount(minlength=len(FATES)).tolist(), strict=True))


def _drop(left: Tensor, keep: Tensor, fates: Tensor, fate: int) -> Tensor:
    fates[left[~keep]] = fate
    return left[keep]
