"""The table of models: how each is built, and where its weights are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, no_grad
from torchvision.models.detection import (
    MaskRCNN,
    MaskRCNN_ResNet50_FPN_V2_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from .download import Download
from .street import street


def frozen_resnet50_fpn(num_classes: int) -> MaskRCNN:
    """What `maskrcnn_resnet50_fpn(weights=COCO_V1)` builds, without any download.

    Without weights, torchvision takes trainable BatchNorm with eps 1e-5; the published weights belong to
    FrozenBatchNorm2d with eps 0, and with another eps every score drifts.
    """
    model = MaskRCNN(resnet_fpn_backbone(backbone_name="resnet50", weights=None), num_classes)
    for norm in frozen_norms(model):
        norm.eps = 0.0
    return model


def frozen_norms(model: MaskRCNN) -> list[FrozenBatchNorm2d]:
    """The batch norms whose eps the weights do not show."""
    return [module for module in model.modules() if isinstance(module, FrozenBatchNorm2d)]


# torchvision's own without weights: BatchNorm that learns, eps 1e-5.
trainable_resnet50_fpn = partial(maskrcnn_resnet50_fpn, weights=None, weights_backbone=None)
resnet50_fpn_v2 = partial(maskrcnn_resnet50_fpn_v2, weights=None, weights_backbone=None)


@dataclass(frozen=True)
class KnownModel:
    """A row of the table: how to build it, and where its weights are (None: shipped with the package)."""

    build: Callable[..., MaskRCNN]  # of num_classes
    categories: tuple[str, ...]
    download: Download | None = None


_COCO, _COCO_V2 = MaskRCNN_ResNet50_FPN_Weights.COCO_V1, MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1

MODELS = {
    "coco": KnownModel(frozen_resnet50_fpn, tuple(_COCO.meta["categories"]), Download.from_url(_COCO.url)),
    "coco_v2": KnownModel(
        resnet50_fpn_v2, tuple(_COCO_V2.meta["categories"]), Download.from_url(_COCO_V2.url)
    ),
    "street": KnownModel(street, ("__background__", "person", "bicycle", "car", "motorcycle")),
}

TORCHVISION_NAMES = {"maskrcnn_resnet50_fpn": "coco", "maskrcnn_resnet50_fpn_v2": "coco_v2"}


def shipped_weights(name: str) -> Path:
    """The path of a model's weights inside this package."""
    return Path(__file__).parent / "weights" / f"{name}.safetensors"


def categories_of(model: MaskRCNN) -> tuple[str, ...]:
    """The model's category names indexed by label; a bare torchvision model's are its labels' numbers."""
    count = model.roi_heads.box_predictor.cls_score.out_features
    names = getattr(model, "categories", None)
    return tuple(names) if names is not None else numbered(count)


def numbered(count: int) -> tuple[str, ...]:
    """Names for `count` unnamed categories, the background among them."""
    return ("__background__", *map(str, range(1, count)))


def prime_roi_pools(model: MaskRCNN) -> None:
    """Fix the scales of a model's RoIAlign pools, once, from a square image.

    torchvision infers them from the first image that a model ever sees, and keeps them. A narrow strip rounds
    to wrong ones, and every later result is then silently different (pytorch/vision#3747).
    """
    pools = [p for p in (model.roi_heads.box_roi_pool, model.roi_heads.mask_roi_pool) if p.scales is None]
    if not pools:
        return
    side = 256
    like = next(model.parameters())
    with no_grad():
        features = model.backbone(like.new_zeros(1, 3, side, side))
        if isinstance(features, Tensor):
            features = {"0": features}
        box = like.new_tensor([[0.0, 0.0, side, side]])
        for pool in pools:
            pool(features, [box], [(side, side)])
