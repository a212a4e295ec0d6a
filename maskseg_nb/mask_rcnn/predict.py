"""The network's part of the pipeline: one forward pass, no gradients."""

import numpy as np
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from .._shared.checks import check_finite, check_fraction
from .prediction import Prediction
from .trace import trace


def predict(model: MaskRCNN, tensor: Tensor) -> Prediction:
    """Run the network once and keep all that it says.

    The stages of stages.py, in order: equal to `model(tensor)` to the bit, but for torchvision's last step,
    the 28 x 28 masks are not pasted into the picture. RoIAlign's scales are this picture's own.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        tensor: float32 (1, 3, H, W), RGB, [0, 1]; moved to the model's device.

    Returns:
        Boxes and masks in the pixels of `tensor`; at most the model's own `box_detections_per_img`, none
        below its own score floor.

    Raises:
        TypeError: `model` has no mask head, or `tensor` is of another kind or dtype.
        ValueError: `model` is in training mode, or `tensor` has another shape or range.
        ModelError: The weights are spoilt: what comes out is not finite.
    """
    run = trace(model, tensor)
    check_finite(run.dense.objectness, run.dense.deltas, run.box_scores.scores, run.box_scores.boxes)
    check_finite(run.masks.probs)
    return run.prediction


def segment_image(model: MaskRCNN, tensor: Tensor, threshold: float = 0.5) -> np.ndarray:
    """The documented step: run the network, keep the masks scored `threshold` or more.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        tensor: float32 (1, 3, H, W), RGB, [0, 1].
        threshold: Keep scores >= this, in [0, 1].

    Returns:
        float32 (N, 1, H, W), mask probabilities in [0, 1], by falling score. N may be 0.

    Raises:
        TypeError, ValueError, ModelError: As `predict`; `threshold` is outside [0, 1].
        MasksegError: The masks would not fit into memory.
    """
    check_fraction("threshold", threshold)
    prediction = predict(model, tensor)
    return prediction[prediction.scores >= threshold].masks()
