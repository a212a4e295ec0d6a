"""The eight knobs of torchvision's Mask R-CNN that decide what is kept; a fingerprint of model and knobs."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any

import torch
from torchvision.models.detection import MaskRCNN

from .._shared.checks import is_number, is_whole
from ..errors import quoted, shortened
from ..models.zoo import categories_of, frozen_norms

# What a knob must be: in words, its check, its least and its most; and the knobs that must be so.
_KINDS: tuple[tuple[str, Callable[[object], bool], float, float, tuple[str, ...]], ...] = (
    (
        "a whole number of at least 1", is_whole, 1, inf,
        ("rpn_pre_nms_top_n", "rpn_post_nms_top_n", "box_detections_per_img"),
    ),
    (
        "a number in [0, 1]", is_number, 0, 1,
        ("rpn_nms_threshold", "rpn_score_threshold", "box_score_threshold", "box_nms_threshold"),
    ),
    ("a number of at least 0", is_number, 0, inf, ("rpn_min_size",)),
)  # fmt: skip


@dataclass(frozen=True)
class Knobs:
    """The numbers that torchvision's inference is tuned with; `Knobs.of(model)` are the model's own.

    Attributes:
        rpn_pre_nms_top_n: Candidates kept on each pyramid level before NMS, by objectness.
        rpn_post_nms_top_n: Proposals kept in all after NMS.
        rpn_nms_threshold: A proposal is suppressed where its IoU with a better one of its level > this.
        rpn_score_threshold: Candidates keep scores >= this, in [0, 1].
        rpn_min_size: Candidates keep sides >= this, in pixels of the network's input.
        box_score_threshold: Detections keep scores > this, in [0, 1].
        box_nms_threshold: A detection is suppressed where its IoU with a better one of its category > this.
        box_detections_per_img: Detections kept in all.

    Raises:
        ValueError: A number is of another type or out of its range.
    """

    rpn_pre_nms_top_n: int
    rpn_post_nms_top_n: int
    rpn_nms_threshold: float
    rpn_score_threshold: float
    rpn_min_size: float
    box_score_threshold: float
    box_nms_threshold: float
    box_detections_per_img: int

    def __post_init__(self) -> None:
        for kind, is_kind, least, most, names in _KINDS:
            for name in names:
                value = getattr(self, name)
                if not is_kind(value) or not least <= value <= most:
                    raise ValueError(f"{name} must be {kind}, got {shortened(ascii(value), 80)}")

    @classmethod
    def of(cls, model: MaskRCNN) -> "Knobs":
        """What the model was built with."""
        rpn, heads = model.rpn, model.roi_heads
        return cls(
            rpn_pre_nms_top_n=rpn.pre_nms_top_n(),
            rpn_post_nms_top_n=rpn.post_nms_top_n(),
            rpn_nms_threshold=rpn.nms_thresh,
            rpn_score_threshold=rpn.score_thresh,
            rpn_min_size=rpn.min_size,
            box_score_threshold=heads.score_thresh,
            box_nms_threshold=heads.nms_thresh,
            box_detections_per_img=heads.detections_per_img,
        )

    def changed(self, changes: Mapping[str, Any]) -> "Knobs":
        """The same knobs, but for those in `changes`.

        Raises:
            ValueError: A number is of another type or out of its range.
            TypeError: There is no such knob.
        """
        names = asdict(self)
        for name in changes:
            if name not in names:
                raise TypeError(f"no knob {quoted(name)}; there are {', '.join(names)}")
        return replace(self, **changes)


def fingerprint(model: MaskRCNN, *settings: Any) -> str:
    """16 hexadecimal digits that stand for all that a result depends on: a model's weights, its knobs, and
    the `repr` of any further settings.
    """
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    transform, anchors = model.transform, model.rpn.anchor_generator
    of_input = (transform.min_size, transform.max_size, transform.image_mean, transform.image_std)
    of_boxes = (anchors.sizes, anchors.aspect_ratios, categories_of(model))
    for part in (Knobs.of(model), of_input, *of_boxes, settings):
        digest.update(repr(part).encode())
    if eps := [norm.eps for norm in frozen_norms(model) if norm.eps]:  # 0 of the published model
        digest.update(repr(eps).encode())
    return digest.hexdigest()[:16]
