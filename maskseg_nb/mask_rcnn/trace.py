"""A run through the network with every stage kept; a second run repeats only what a knob changes."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.transform import resize_boxes

from .._shared.checks import check_model
from .._shared.memory import within_memory
from ..models.zoo import categories_of
from . import stages
from .checks import check_tensor
from .feature_pyramid import pyramid
from .knobs import Knobs
from .prediction import Prediction


@dataclass(frozen=True)
class Stage:
    """A link of the chain, as `STAGES` lists it."""

    title: str  # its name as a person reads it
    compute: Callable[..., Any]  # its function in stages.py
    reads: tuple[str, ...]  # what it is given: the model, the tensor, and what earlier stages returned
    knobs: tuple[str, ...] = ()  # the fields of `Knobs` that it heeds: its keyword arguments


RPN_KNOBS = (
    "rpn_pre_nms_top_n",
    "rpn_post_nms_top_n",
    "rpn_nms_threshold",
    "rpn_score_threshold",
    "rpn_min_size",
)
BOX_KNOBS = ("box_score_threshold", "box_nms_threshold", "box_detections_per_img")

# The chain. A stage has one name: here, of its function, of its class and of its field in `Trace`.
STAGES = {
    "normalised": Stage("Normalised", stages.normalised, ("model", "tensor")),
    "features": Stage("Features", stages.features, ("model", "normalised")),
    "anchors": Stage("Anchors", stages.anchors, ("model", "normalised", "features")),
    "proposals": Stage("Proposals", stages.proposals, ("normalised", "anchors"), RPN_KNOBS),
    "box_scores": Stage("Box scores", stages.box_scores, ("model", "normalised", "features", "proposals")),
    "detections": Stage("Detections", stages.detections, ("box_scores",), BOX_KNOBS),
    "masks": Stage("Masks", stages.masks, ("model", "features", "detections")),
}


@dataclass(frozen=True, eq=False)
class Trace:
    """All stages of one run.

    Attributes:
        model: The model that ran.
        knobs: The numbers that it ran with.
        normalised, features, anchors, proposals, box_scores, detections, masks: The `STAGES` (stages.py).
        milliseconds: Stage name -> how long it took.
        rerun_stages: The stages that this run computed; the others are the earlier run's own.
    """

    model: MaskRCNN
    knobs: Knobs
    normalised: stages.Normalised
    features: stages.Features
    anchors: stages.Anchors
    proposals: stages.Proposals
    box_scores: stages.BoxScores
    detections: stages.Detections
    masks: stages.Masks
    milliseconds: dict[str, float]
    rerun_stages: tuple[str, ...]

    def __repr__(self) -> str:
        height, width = self.normalised.image_size
        return (
            f"Trace({height} x {width}: {len(self.anchors.boxes):,} anchors, "
            f"{len(self.proposals.boxes):,} proposals, {len(self.detections.scores):,} detections)"
        )

    def rerun(self, **knobs: Any) -> "Trace":
        """The same image under other knobs; what they do not touch is shared with this run.

        Args:
            knobs: Fields of `Knobs`; those not given are this run's.

        Raises:
            ValueError: A knob is out of range.
            TypeError: There is no such knob.
            ModelError: There is not enough memory.
        """
        changed = self.knobs.changed(knobs)
        size = self.normalised.image_size
        return within_memory(lambda: _run(self.model, None, changed, self), _too_much(size, changed))

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns: boxes and masks in pixels of the image that came in."""
        found = self.detections
        return Prediction(
            boxes=self.on_image(found.boxes),
            labels=found.labels.cpu().numpy(),
            scores=found.scores.cpu().numpy(),
            mask_probs=self.masks.probs.cpu().numpy(),
            image_size=self.normalised.image_size,
            categories=categories_of(self.model),
        )

    def on_image(self, boxes: Tensor) -> np.ndarray:
        """Boxes, float32 (N, 4), x1 y1 x2 y2, from pixels of the network's input to those of the image."""
        return resize_boxes(boxes, self.normalised.size, self.normalised.image_size).cpu().numpy()


def trace(model: MaskRCNN, tensor: Tensor, **knobs: Any) -> Trace:
    """Run the network once, without gradients, and keep every stage.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        tensor: float32 (1, 3, H, W), RGB, [0, 1]; moved to the model's device.
        knobs: Fields of `Knobs`; those not given are the model's own.

    Raises:
        TypeError: `model` has no mask head, `tensor` is of another kind, or there is no such knob.
        ValueError: `model` is in training mode, `tensor` has another shape or range, a knob is out of range.
        ModelError: There is not enough memory.
    """
    model = check_model(model)
    check_tensor(tensor)
    chosen = Knobs.of(model).changed(knobs)
    return within_memory(lambda: _run(model, tensor, chosen), _too_much(tensor.shape[-2:], chosen))


def without_top_down(run: Trace) -> Trace:
    """The same run, were the pyramid's top-down path cut: a level knows only the backbone's map beside it.

    The network was trained with that path, so this says what it makes of it, not how good another network,
    trained without one, would be.

    Raises:
        ValueError: The backbone has no feature pyramid.
        ModelError: There is not enough memory.
    """
    body = run.features.body
    if not body:
        raise ValueError("the model's backbone has no feature pyramid that could be cut")
    with torch.no_grad():
        maps = pyramid(run.model.backbone.fpn, body, top_down=False)
    cut = replace(run, features=replace(run.features, maps=maps))
    too_much = _too_much(run.normalised.size, run.knobs)
    return within_memory(lambda: _run(run.model, None, run.knobs, cut, {"features"}), too_much)


def _run(
    model: MaskRCNN,
    tensor: Tensor | None,
    knobs: Knobs,
    earlier: Trace | None = None,
    changed: Collection[str] = (),
) -> Trace:
    """Run the stages in order. Of an earlier run, all are shared that would come out the same.

    `changed` are the stages that somebody has put into `earlier` himself: they do not run, those that read
    them do.
    """
    done: dict[str, Any] = {"model": model, "tensor": tensor}
    milliseconds: dict[str, float] = {}
    before, after = asdict(earlier.knobs) if earlier else {}, asdict(knobs)
    touched = {knob for knob in after if after[knob] != before.get(knob)}  # and, below, the stages that run
    touched |= set(changed)
    with torch.no_grad():
        for name, stage in STAGES.items():
            if earlier and touched.isdisjoint((*stage.reads, *stage.knobs)):
                done[name], milliseconds[name] = getattr(earlier, name), earlier.milliseconds[name]
                continue
            start = time.perf_counter()
            heeded = {knob: after[knob] for knob in stage.knobs}
            done[name] = stage.compute(*(done[part] for part in stage.reads), **heeded)
            milliseconds[name] = 1000 * (time.perf_counter() - start)
            touched.add(name)
    results = {name: done[name] for name in STAGES}
    ran = tuple(name for name in STAGES if name in touched)
    return Trace(model, knobs, **results, milliseconds=milliseconds, rerun_stages=ran)


def _too_much(size: Sequence[int], knobs: Knobs) -> str:
    return (
        f"not enough memory to run the network on {size[0]} x {size[1]} pixels; take a smaller picture, "
        f"input size or model, or lower rpn_post_nms_top_n (now {knobs.rpn_post_nms_top_n}) and "
        f"box_detections_per_img (now {knobs.box_detections_per_img})"
    )
