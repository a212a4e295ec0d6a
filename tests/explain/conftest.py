"""A network small enough to run hundreds of times."""

import numpy as np
import pytest

from hand_made import CATEGORIES
from maskseg_nb import preprocess, receipt, trace
from small_models import tiny_model


@pytest.fixture(scope="module")
def noise():
    """A picture, and the receipt of the largest box that a tiny model finds in it."""
    picture = np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)
    tensor, _ = preprocess(picture, (64, 96))
    model = tiny_model(CATEGORIES)
    model.roi_heads.score_thresh = 0.0
    run = trace(model, tensor)
    boxes = run.proposals.boxes[run.detections.proposals]
    return tensor, receipt(run, int((boxes[:, 2:] - boxes[:, :2]).prod(dim=1).argmax()))
