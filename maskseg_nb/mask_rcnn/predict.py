"""The network's part of the pipeline: one forward pass, no gradients."""

import numpy as np
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from .._shared.checks import check_fraction
from ..data.images import preprocess
from .checks import check_finite
from .prediction import Prediction
from .trace import Trace, trace


def predict(model: MaskRCNN, tensor: Tensor) -> Prediction:
    """Run the network once and keep all that it says.

    The stages in order (the table is `STAGES` in trace.py, the arithmetic is in stages.py):

        normalised   the mean subtracted, the size and the edges as the network wants them
        features     the backbone's pyramid of feature maps, P2 to P6
        anchors      at each of many fixed boxes: is something there, and what box would fit it better?
        proposals    the best of those, overlaps suppressed
        box_scores   for each: how probable is each category, and what box would fit it then?
        detections   the best of those, overlaps within a category suppressed
        masks        for each: 28 x 28 mask probabilities

    Equal to `model(tensor)` to the bit, but for torchvision's last step: the masks are not pasted into the
    image. RoIAlign's scales are this image's own.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        tensor: float32 (1, 3, H, W), RGB, [0, 1]; moved to the model's device.

    Returns:
        Boxes and masks in the pixels of `tensor`; at most the model's own `box_detections_per_img`, none
        below its own score floor.

    Raises:
        TypeError: `model` has no mask head, or `tensor` is of another kind or dtype.
        ValueError: `model` is in training mode, or `tensor` has another shape or range.
        ModelError: The weights are spoilt: what comes out is not finite. Or there is not enough memory.
    """
    return _checked(trace(model, tensor)).prediction


def predict_at_own_size(model: MaskRCNN, image: np.ndarray) -> Prediction:
    """`predict` on an image, uint8 (H, W, 3) RGB, at its own size: boxes and masks lie on its own pixels."""
    return trace_at_own_size(model, image).prediction


def trace_at_own_size(model: MaskRCNN, image: np.ndarray) -> Trace:
    """`predict_at_own_size` with every stage kept."""
    height, width = image.shape[:2]
    tensor, _ = preprocess(image, size=(height, width))
    return _checked(trace(model, tensor))


def segment_image(model: MaskRCNN, tensor: Tensor, threshold: float = 0.5) -> np.ndarray:
    """The documented step: run the network, keep the masks scored `threshold` or more.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        tensor: float32 (1, 3, H, W), RGB, [0, 1].
        threshold: Keep scores >= this, in [0, 1].

    Returns:
        float32 (N, 1, H, W), mask probabilities in [0, 1], highest score first. N may be 0.

    Raises:
        TypeError, ValueError, ModelError: As `predict`; `threshold` is outside [0, 1].
        MasksegError: The masks would not fit into memory.
    """
    check_fraction("threshold", threshold)
    prediction = predict(model, tensor)
    return prediction[prediction.scores >= threshold].masks()


def _checked(run: Trace) -> Trace:
    """The run itself, if all of it is finite."""
    check_finite(run.anchors.objectness, run.anchors.deltas)
    check_finite(run.box_scores.scores, run.box_scores.boxes)
    check_finite(run.masks.probs)
    return run
