"""Masks as COCO's run lengths, and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask


def encode_masks(masks: np.ndarray) -> list[dict[str, Any]]:
    """Masks, bool (N, H, W), as COCO's compressed run lengths: {"size": [H, W], "counts": bytes} each."""
    encoded: list[dict[str, Any]] = coco_mask.encode(
        np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
    )
    return encoded


def decode_masks(encoded: Sequence[dict[str, Any]], image_size: tuple[int, int]) -> np.ndarray:
    """The opposite of `encode_masks`: bool (N, H, W)."""
    if not encoded:
        return np.zeros((0, *image_size), bool)
    return np.ascontiguousarray(coco_mask.decode(list(encoded)).transpose(2, 0, 1)).astype(bool)
