"""What a model and a tensor must be before the network sees them.

torchvision answers a NaN, or pixels in [0, 255], with silence: no detections and no error.
"""

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN


def check_model(model: MaskRCNN) -> None:
    """Raise TypeError or ValueError unless `model` is a Mask R-CNN in eval mode."""
    if not isinstance(model, MaskRCNN) or not model.roi_heads.has_mask():
        raise TypeError(f"model must be a torchvision MaskRCNN, got {type(model).__name__}")
    if model.training:
        raise ValueError("model is in training mode; call model.eval() first")


def check_tensor(tensor: Tensor) -> None:
    """Raise TypeError or ValueError unless `tensor` is float32 (1, 3, H, W), finite, in [0, 1]."""
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
