"""The network's part of the pipeline: one forward pass, no gradients."""

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.transform import resize_boxes

from .models import categories_of, prime_roi_pools
from .prediction import Prediction, check_fraction


def predict(model: MaskRCNN, tensor: Tensor) -> Prediction:
    """Run the network once and keep all that it says: torchvision's own four steps, in order.

    The same as `model(tensor)`, but for its last step: the 28 x 28 masks are not pasted into the picture.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        tensor: float32 (1, 3, H, W), RGB, [0, 1]; moved to the model's device.

    Returns:
        Boxes and masks in the pixels of `tensor`; at most the model's own `box_detections_per_img`, none
        below its own score floor.

    Raises:
        TypeError: `model` has no mask head, or `tensor` is of another kind or dtype.
        ValueError: `model` is in training mode, or `tensor` has another shape or range.
    """
    _check_model(model)
    _check_tensor(tensor)
    prime_roi_pools(model)
    height, width = tensor.shape[-2:]
    device = next(model.parameters()).device
    with torch.no_grad():
        images, _ = model.transform([tensor[0].to(device)])  # normalised, resized, padded
        features = model.backbone(images.tensors)  # pyramid level -> (1, C, h, w)
        if isinstance(features, Tensor):
            features = {"0": features}
        proposals, _ = model.rpn(images, features)  # boxes where something may be
        (found,), _ = model.roi_heads(features, proposals, images.image_sizes)
    boxes = resize_boxes(found["boxes"], images.image_sizes[0], (height, width))
    return Prediction(
        boxes=boxes.cpu().numpy(),
        labels=found["labels"].cpu().numpy(),
        scores=found["scores"].cpu().numpy(),
        mask_probs=found["masks"][:, 0].cpu().numpy(),
        image_size=(height, width),
        categories=categories_of(model),
    )


def segment_image(model: MaskRCNN, tensor: Tensor, threshold: float = 0.5) -> np.ndarray:
    """The documented step: run the network, keep the masks scored `threshold` or more.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        tensor: float32 (1, 3, H, W), RGB, [0, 1].
        threshold: Keep scores >= this, in [0, 1].

    Returns:
        float32 (N, 1, H, W), mask probabilities in [0, 1], by falling score. N may be 0.

    Raises:
        TypeError, ValueError: As `predict`; `threshold` is outside [0, 1].
    """
    check_fraction("threshold", threshold)
    prediction = predict(model, tensor)
    return prediction[prediction.scores >= threshold].masks()


def _check_model(model: MaskRCNN) -> None:
    if not isinstance(model, MaskRCNN) or not model.roi_heads.has_mask():
        raise TypeError(f"model must be a torchvision MaskRCNN, got {type(model).__name__}")
    if model.training:
        raise ValueError("model is in training mode; call model.eval() first")


def _check_tensor(tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor) or tensor.dtype != torch.float32:
        got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"tensor must be a float32 torch.Tensor, got {got}; preprocess() makes one")
    if tensor.ndim != 4 or tensor.shape[:2] != (1, 3) or 0 in tensor.shape:
        raise ValueError(f"tensor must have shape (1, 3, H, W), got {tuple(tensor.shape)}")
    height, width = tensor.shape[-2:]
    if max(height, width) > 1000 * min(height, width):
        raise ValueError(f"tensor must not be a strip thinner than 1:1000, got {height} x {width} pixels")
    low, high = torch.aminmax(tensor)  # NaN comes through
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"tensor must be finite and in [0, 1], got [{low:.3g}, {high:.3g}]; divide pixels by 255"
        )
