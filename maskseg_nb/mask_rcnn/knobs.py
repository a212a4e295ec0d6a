"""The eight knobs of torchvision's Mask R-CNN that decide what is kept."""

from dataclasses import dataclass, fields, replace
from typing import Any

from torchvision.models.detection import MaskRCNN

from .._shared.checks import is_number, is_whole
from ..errors import shortened


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
        for field in fields(self):
            value, whole = getattr(self, field.name), field.type is int
            most = 1.0 if field.name.endswith("threshold") else float("inf")
            kind = "a number in [0, 1]" if most == 1 else "a number of at least 0"
            kind = "a whole number of at least 1" if whole else kind
            good = is_whole(value) if whole else is_number(value)
            if not good or not (1 if whole else 0) <= value <= most:
                raise ValueError(f"{field.name} must be {kind}, got {shortened(ascii(value), 80)}")

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


# The stages in order, and the beginning of the names of the knobs that each one heeds.
ORDER = {
    "normalised": "",
    "features": "",
    "dense": "",
    "proposals": "rpn_",
    "box_scores": "",
    "detections": "box_",
    "masks": "",
}


def _changed(knobs: Knobs, changes: dict[str, Any]) -> Knobs:
    names = [field.name for field in fields(Knobs)]
    for name in changes:
        if name not in names:
            raise TypeError(f"no knob {name!r}; there are {', '.join(names)}")
    return replace(knobs, **changes)
