"""Predictions without a network, for the tests of everything after it."""

import numpy as np

from maskseg_nb import Prediction

CATEGORIES = ("__background__", "person", "bicycle", "car")


def made_up(count: int, size: tuple[int, int] = (120, 90), seed: int = 0) -> Prediction:
    """Random detections, also at the edges, highest score first: 1, 1 - 1 / count, ..."""
    random = np.random.default_rng(seed)
    height, width = size
    corners = random.uniform((-20, -20), (width + 20, height + 20), (count, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    return Prediction(
        boxes=boxes.clip(0, (width, height, width, height)).astype(np.float32),
        labels=random.integers(1, len(CATEGORIES), count),
        scores=(1 - np.arange(count) / max(count, 1)).astype(np.float32),
        mask_probs=random.random((count, 28, 28), np.float32),
        image_size=size,
        categories=CATEGORIES,
    )
