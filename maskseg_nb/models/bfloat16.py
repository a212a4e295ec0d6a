"""A model in bfloat16: half the bits, about half the time, where the processor has instructions for it.

bfloat16 has float32's range and 8 bits of precision: about two decimal digits. The convolutions and linear
layers take it; boxes, scores and masks go on in float32.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.detection import MaskRCNN
from torchvision.ops import FrozenBatchNorm2d

from .backbones import has_pyramid, parts
from .street import NormedConv2d


def to_bfloat16(model: MaskRCNN) -> MaskRCNN:
    """Change a model in eval mode, for good, so that its five networks compute in bfloat16.

    Its BatchNorms are folded into the convolutions before them, and its convolutions take channels last.
    What goes into and comes out of backbone and heads stays float32.
    """
    fold_batch_norms(model)
    backbone, heads = model.backbone, parts(model)
    bodies = [backbone]
    if has_pyramid(backbone):
        bodies = [backbone.body, *backbone.fpn.inner_blocks, *backbone.fpn.layer_blocks]
    for part in (*bodies, *heads["rpn"], *heads["box"], *heads["mask"]):
        part.to(torch.bfloat16, memory_format=torch.channels_last)
        part.register_forward_pre_hook(_inputs_to_bfloat16)
        part.register_forward_hook(outputs_to_float32)
    return model


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the processor has instructions for it; without them bfloat16 is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def fold_batch_norms(model: nn.Module) -> None:
    """Multiply each BatchNorm in eval mode into the convolution before it: that saves a pass over the pixels.

    That is the convolution before it in the same module, as in every network of torchvision's.
    """
    for module in list(model.modules()):
        if isinstance(module, NormedConv2d):
            module.fold()
        children = list(module.named_children())
        for (place, conv), (name, norm) in zip(children, children[1:], strict=False):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, (nn.BatchNorm2d, FrozenBatchNorm2d)):
                setattr(module, place, fuse_conv_bn_eval(conv, norm))
                setattr(module, name, nn.Identity().eval())


def _inputs_to_bfloat16(module: nn.Module, inputs: Any) -> Any:
    return _cast(inputs, torch.bfloat16)


def outputs_to_float32(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """A forward hook: what comes out of a part of the network, in float32."""
    return _cast(outputs, torch.float32)


def _cast(values: Any, dtype: torch.dtype) -> Any:
    """The same tensors in another dtype, whatever holds them; maps (B, C, H, W) with their channels last."""
    if isinstance(values, Tensor):
        is_map = values.ndim == 4 and dtype == torch.bfloat16
        memory_format = torch.channels_last if is_map else torch.preserve_format
        return values.to(dtype, memory_format=memory_format)
    if isinstance(values, dict):
        return OrderedDict((name, _cast(value, dtype)) for name, value in values.items())
    return type(values)(_cast(value, dtype) for value in values)
