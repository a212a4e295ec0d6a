"""torchvision's losses for pictures that are labelled in part; without doubts they are torchvision's own.

A *doubt* is a box in which an object of certain categories may be without an outline (`partial_labels`). A
candidate, an anchor or a proposal, is doubtful where it matches no outline, at least a quarter of it lies in
a doubt, and it is no larger than the doubt allows. What it may be decides what is learned from it:

- The classifier's loss is -log(p_background + the p of the doubted categories): the candidate is background
  or one of those, and which one stays open. All other categories are still pushed down, since their objects
  would be outlined. Without a doubt this is cross-entropy.
- The region proposal network knows no categories: it does not learn "no object" from a doubtful anchor.
  Doubts about small objects alone do not count here: the few dozen negative anchors that are drawn from tens
  of thousands hardly ever meet such an object, and most pictures would have no small negative ones left.

Candidates that match an outline learn as ever. A quarter, and not a half, because the doubts of a mosaic end
at its seams: of a candidate across all four pictures, some quarter always lies within one of them.

A target of torchvision's holds, beside boxes, labels and masks: `trust` float32 (N,), the weight of each
instance's losses; `doubts` float32 (D, 4), boxes; `doubted` bool (D, C), their categories; `limits` float32
(D,), pixels: a candidate is doubtful only if the square root of its area is smaller.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import RoIHeads, project_masks_on_boxes
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import clip_boxes_to_image

PART = 0.25  # of a candidate that lies in a doubt
MASKS_PADDED_TO = 64  # boxes, on a GPU

Target = dict[str, Tensor]


def respect_doubts(model: MaskRCNN, mask_rois: int | None = None) -> None:
    """Let a model, for good, compute the losses of this module; what it finds does not change.

    Args:
        model: A torchvision MaskRCNN; a region proposal network or heads of another make keep their losses.
        mask_rois: Positive proposals per picture that the mask head learns from, at most; None: all.
    """
    if type(model.rpn) is RegionProposalNetwork:
        model.rpn.__class__ = PartialRPN
    if type(model.roi_heads) is RoIHeads:
        model.roi_heads.__class__ = PartialRoIHeads
    model.roi_heads.mask_rois = mask_rois


class PartialRPN(RegionProposalNetwork):
    """Learns "no object" only from anchors without a doubt."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[Target]
    ) -> tuple[list[Tensor], list[Tensor]]:
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for boxes, rows, target in zip(anchors, labels, targets, strict=True):
            if _is_partial(target):
                doubts = target["doubts"][target["limits"].isinf()]
                visible = clip_boxes_to_image(boxes, target["masks"].shape[-2:])
                rows[(rows == 0) & within(visible, doubts).any(dim=1)] = -1.0  # not sampled
        return labels, matched

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        if all((rows < 0).all() for rows in labels):  # torchvision's mean of no anchors is NaN
            return objectness.sum() * 0, pred_bbox_deltas.sum() * 0
        return super().compute_loss(objectness, pred_bbox_deltas, labels, regression_targets)


class PartialRoIHeads(RoIHeads):
    """Classifies doubtful proposals as "background, or one of these"; weighs instances by their trust.

    Attributes:
        mask_rois: Positive proposals per picture that the mask head learns from, at most; None: all.
    """

    mask_rois: int | None = None

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[Target] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        plain = self.mask_rois is None and not any(map(_is_partial, targets or ()))
        if not self.training or targets is None or plain:
            return super().forward(features, proposals, image_shapes, targets)
        proposals, matched, labels, regression = self.select_training_samples(proposals, targets)
        logits, deltas = self.box_predictor(
            self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        )
        rows = list(zip(proposals, labels, matched, targets, strict=True))
        allowed = torch.cat(
            [allowed_of(boxes, own, target, logits.shape[1]) for boxes, own, _, target in rows]
        )
        trust = torch.cat([trust_of(own, index, target) for _, own, index, target in rows])
        losses = {
            "loss_classifier": classifier_loss(logits, allowed, trust),
            "loss_box_reg": box_loss(deltas, torch.cat(labels), torch.cat(regression), trust),
        }
        positive = [self._some(own > 0) for own in labels]
        proposals = [boxes[some] for boxes, some in zip(proposals, positive, strict=True)]
        matched = [index[some] for index, some in zip(matched, positive, strict=True)]
        masks = self._mask_logits(self.mask_roi_pool(features, proposals, image_shapes))
        losses["loss_mask"] = mask_loss(masks, proposals, targets, matched, trust[torch.cat(positive)])
        return [], losses

    def _some(self, positive: Tensor) -> Tensor:
        """At most `mask_rois` of the positive rows, at random: bool (N,)."""
        rows = torch.where(positive)[0]
        if self.mask_rois is None or len(rows) <= self.mask_rois:
            return positive
        kept = torch.randperm(len(rows), device=rows.device)[: self.mask_rois]
        return torch.zeros_like(positive).index_fill_(0, rows[kept], True)

    def _mask_logits(self, pooled: Tensor) -> Tensor:
        """(N, C, M, M), of N pooled boxes."""
        # cuDNN plans for every number of boxes that it has not seen; rounded up, there are few.
        spare = -len(pooled) % MASKS_PADDED_TO if pooled.is_cuda else 0
        padded = F.pad(pooled, (0, 0, 0, 0, 0, 0, 0, spare))
        logits: Tensor = self.mask_predictor(self.mask_head(padded))
        return logits[: len(pooled)]


def _is_partial(target: Target) -> bool:
    return "doubts" in target and bool(len(target["doubts"]) or (target["trust"] != 1).any())


def within(boxes: Tensor, doubts: Tensor) -> Tensor:
    """Whether at least `PART` of a box lies in a doubt: bool (N, D); boxes (N, 4) and (D, 4)."""
    top_left = torch.maximum(boxes[:, None, :2], doubts[:, :2])
    bottom_right = torch.minimum(boxes[:, None, 2:], doubts[:, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(dim=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return (shared >= PART * area[:, None]) & (shared > 0)


def allowed_of(boxes: Tensor, labels: Tensor, target: Target, categories: int) -> Tensor:
    """What each proposal may be called without being wrong: bool (N, C).

    Args:
        boxes: (N, 4).
        labels: int64 (N,), 0 where no outline matches.
        target: The picture's.
        categories: C, the background among them.
    """
    allowed = F.one_hot(labels, categories).bool()
    if _is_partial(target):
        sides = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()
        doubtful = within(boxes, target["doubts"]) & (sides[:, None] < target["limits"])
        allowed |= (doubtful.float() @ target["doubted"].float() > 0) & (labels == 0)[:, None]
    return allowed


def trust_of(labels: Tensor, matched: Tensor, target: Target) -> Tensor:
    """The trust in the instance that each proposal matches, and 1 where it matches none: float32 (N,)."""
    if "trust" not in target or not len(target["trust"]):
        return torch.ones(len(labels), device=labels.device)
    return torch.where(labels > 0, target["trust"][matched], 1.0)


def classifier_loss(logits: Tensor, allowed: Tensor, trust: Tensor) -> Tensor:
    """The weighted mean of -log(the sum of the allowed categories' probabilities).

    Args:
        logits: (N, C).
        allowed: bool (N, C), at least one per row; with exactly one it is cross-entropy.
        trust: (N,), the weights.
    """
    log_probs = F.log_softmax(logits.float(), dim=1)
    return -(torch.logsumexp(log_probs.masked_fill(~allowed, -torch.inf), dim=1) * trust).mean()


def box_loss(deltas: Tensor, labels: Tensor, regression: Tensor, trust: Tensor) -> Tensor:
    """torchvision's smooth L1 of positive proposals' boxes, weighted; (N, 4 * C), (N,), (N, 4), (N,)."""
    rows = torch.where(labels > 0)[0]
    own = deltas.reshape(len(labels), -1, 4)[rows, labels[rows]].float()
    losses = F.smooth_l1_loss(own, regression[rows], beta=1 / 9, reduction="none").sum(dim=1)
    return (losses * trust[rows]).sum() / max(len(labels), 1)


def mask_loss(
    logits: Tensor, proposals: list[Tensor], targets: list[Target], matched: list[Tensor], trust: Tensor
) -> Tensor:
    """torchvision's binary cross-entropy of positive proposals' masks, weighted.

    Args:
        logits: (N, C, M, M), the positive proposals of all pictures.
        proposals: Their boxes, picture by picture.
        targets: The pictures'.
        matched: The row of each one's instance.
        trust: (N,), the weights.
    """
    if not len(logits):
        return logits.sum() * 0
    rows = list(zip(proposals, targets, matched, strict=True))
    labels = torch.cat([target["labels"][index] for _, target, index in rows])
    truth = torch.cat(
        [
            project_masks_on_boxes(target["masks"], boxes, index, logits.shape[-1])
            for boxes, target, index in rows
        ]
    )
    own = logits[torch.arange(len(labels), device=labels.device), labels]
    losses = F.binary_cross_entropy_with_logits(own, truth, reduction="none").mean(dim=(1, 2))
    return (losses * trust).mean()
