"""A run through the network with every stage kept; a second run repeats only what a knob changes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.transform import resize_boxes

from .._shared.checks import check_model, check_tensor
from .._shared.memory import within_memory
from ..models.zoo import categories_of
from . import stages
from .knobs import ORDER, Knobs, _changed
from .prediction import Prediction

Stage = TypeVar("Stage")


@dataclass(frozen=True, eq=False)
class Trace:
    """All stages of one run.

    Attributes:
        model: The model that ran.
        knobs: The numbers that it ran with.
        normalised, features, dense, proposals, box_scores, detections, masks: The stages (stages.py).
        milliseconds: Stage name -> how long it took.
        rerun_stages: The stages that this run computed; the others are the earlier run's own.
    """

    model: MaskRCNN
    knobs: Knobs
    normalised: stages.Normalised
    features: stages.Features
    dense: stages.DenseProposals
    proposals: stages.Proposals
    box_scores: stages.BoxScores
    detections: stages.Detections
    masks: stages.MaskProbabilities
    milliseconds: dict[str, float]
    rerun_stages: tuple[str, ...]

    def rerun(self, **knobs: Any) -> "Trace":
        """The same picture under other knobs; the stages before the first that they touch are shared.

        Raises:
            ValueError: A knob is out of range.
            TypeError: There is no such knob.
            ModelError: There is not enough memory.
        """
        changed = _changed(self.knobs, knobs)
        touched = {name for name in knobs if getattr(self.knobs, name) != getattr(changed, name)}
        first = next(
            (
                index
                for index, prefix in enumerate(ORDER.values())
                if prefix and any(name.startswith(prefix) for name in touched)
            ),
            len(ORDER),
        )
        shared = {name: getattr(self, name) for name in list(ORDER)[:first]}
        times = {name: self.milliseconds[name] for name in shared}
        return within_memory(
            lambda: _run(self.model, changed, shared, times), _too_much(self.normalised.image_size, changed)
        )

    @property
    def prediction(self) -> Prediction:
        """What `predict` returns: boxes and masks in pixels of the picture that came in."""
        found = self.detections
        return Prediction(
            boxes=self.on_picture(found.boxes),
            labels=found.labels.cpu().numpy(),
            scores=found.scores.cpu().numpy(),
            mask_probs=self.masks.probs.cpu().numpy(),
            image_size=self.normalised.image_size,
            categories=categories_of(self.model),
        )

    def on_picture(self, boxes: Tensor) -> np.ndarray:
        """Boxes in pixels of the network's input as boxes in pixels of the picture: float32 (N, 4)."""
        normalised = self.normalised
        return resize_boxes(boxes, normalised.size, normalised.image_size).cpu().numpy()


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
    chosen = _changed(Knobs.of(model), knobs)
    return within_memory(lambda: _trace(model, tensor, chosen), _too_much(tensor.shape[-2:], chosen))


def _trace(model: MaskRCNN, tensor: Tensor, knobs: Knobs) -> Trace:
    with torch.no_grad():
        start = time.perf_counter()
        normalised = stages.normalise(model, tensor.to(next(model.parameters()).device))
    times = {"normalised": 1000 * (time.perf_counter() - start)}
    return replace(_run(model, knobs, {"normalised": normalised}, times), rerun_stages=tuple(ORDER))


def _too_much(size: Sequence[int], knobs: Knobs) -> str:
    return (
        f"not enough memory to run the network on {size[0]} x {size[1]} pixels; take a smaller picture, "
        f"input size or model, or lower rpn_post_nms_top_n (now {knobs.rpn_post_nms_top_n}) and "
        f"box_detections_per_img (now {knobs.box_detections_per_img})"
    )


def _run(model: MaskRCNN, knobs: Knobs, done: dict[str, Any], milliseconds: dict[str, float]) -> Trace:
    """Compute the stages that are not done yet, in order."""
    times, fresh = dict(milliseconds), []

    def stage(name: str, compute: Callable[[], Stage]) -> Stage:
        if name in done:
            return done[name]
        start = time.perf_counter()
        result = compute()
        times[name] = 1000 * (time.perf_counter() - start)
        fresh.append(name)
        return result

    normalised = done["normalised"]
    with torch.no_grad():
        features = stage("features", lambda: stages.features(model, normalised))
        dense = stage("dense", lambda: stages.dense_proposals(model, normalised, features))
        proposals = stage(
            "proposals",
            lambda: stages.proposals(
                normalised,
                dense,
                pre_nms_top_n=knobs.rpn_pre_nms_top_n,
                post_nms_top_n=knobs.rpn_post_nms_top_n,
                nms_threshold=knobs.rpn_nms_threshold,
                score_threshold=knobs.rpn_score_threshold,
                min_size=knobs.rpn_min_size,
            ),
        )
        box_scores = stage("box_scores", lambda: stages.box_scores(model, normalised, features, proposals))
        detections = stage(
            "detections",
            lambda: stages.detections(
                box_scores,
                score_threshold=knobs.box_score_threshold,
                nms_threshold=knobs.box_nms_threshold,
                detections_per_img=knobs.box_detections_per_img,
            ),
        )
        masks = stage("masks", lambda: stages.mask_probabilities(model, features, detections))
    return Trace(
        model,
        knobs,
        normalised,
        features,
        dense,
        proposals,
        box_scores,
        detections,
        masks,
        times,
        tuple(fresh),
    )
