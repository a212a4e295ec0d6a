"""A training to watch: how the losses fall, and what the network finds in one picture by now."""

import math
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from torchvision.models.detection import MaskRCNN

from ..drawing.overlay import draw_instances
from ..mask_rcnn.predict import predict_at_own_size
from ..mask_rcnn.prediction import Prediction
from .loop import LOSSES

LEAST_IMAGE_SIDE = 600  # pixels, the longest side of the image that is drawn on
SMOOTH = 20  # each point of a line is the mean of so many steps
# torchvision's names, and the question that each answers.
QUESTIONS = {
    "loss_objectness": "is something there?",
    "loss_rpn_box_reg": "where, roughly?",
    "loss_classifier": "what is it?",
    "loss_box_reg": "where exactly?",
    "loss_mask": "which pixels?",
}


def show_training(
    losses: np.ndarray,
    steps: int | None = None,
    model: MaskRCNN | None = None,
    image: np.ndarray | None = None,
    *,
    score_threshold: float = 0.5,
    seconds_left: float | None = None,
) -> Figure:
    """Plot the losses so far, each a moving mean, and beside them what the model finds in an image.

    Args:
        losses: float (step, 5), the columns `LOSSES`.
        steps: How many there will be; None: these are all.
        model: In eval mode.
        image: uint8 (H, W, 3), RGB, shown to the model at its own size; None shows losses only.
        score_threshold: Draw instances with at least this score, in [0, 1].
        seconds_left: How long the remaining steps will take; None where nobody knows.
    """
    figure = Figure(figsize=(10.5 if image is not None else 6.5, 3.8), layout="constrained")
    axis, *others = figure.subplots(1, 1 if image is None else 2, squeeze=False)[0]
    for column, name in enumerate(LOSSES):
        axis.plot(_smooth(losses[:, column]), label=f"{name}: {QUESTIONS[name]}", lw=1.6)
    total = f", total loss {losses[-SMOOTH:].sum(axis=1).mean():.2f}" if len(losses) else ""
    left = f", about {_rounded(seconds_left)} left" if seconds_left else ""
    axis.set(
        title=f"Step {len(losses)} of {steps or len(losses)}{total}{left}",
        xlabel="step",
        ylabel=f"loss, mean of {SMOOTH} steps",
        xlim=(0, max(steps or len(losses), 1)),
    )
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper right")
    if image is not None:
        drawn, title = image, "Not tried yet"
        if model is not None:
            large, prediction = _enlarged(image, predict_at_own_size(model, image))
            instances = prediction.select(score_threshold=score_threshold)
            drawn = draw_instances(large, instances)
            title = f"Found at a score of {score_threshold:.2f} or more: {len(instances)}"
        others[0].set_axis_off()
        others[0].imshow(drawn)
        others[0].set_title(title, parse_math=False)
    return figure


def _rounded(seconds: float) -> str:
    """A duration to one or two digits, rounded up: "40 s", "3 min", "2 h"."""
    if seconds <= 60:
        return f"{10 * math.ceil(seconds / 10)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds <= 5400 else f"{math.ceil(seconds / 3600)} h"


def _enlarged(image: np.ndarray, prediction: Prediction) -> tuple[np.ndarray, Prediction]:
    """Both enlarged by a whole number, so that tags do not hide what they name in a small image."""
    times = -(-LEAST_IMAGE_SIDE // max(image.shape[:2]))
    large = image.repeat(times, axis=0).repeat(times, axis=1)
    return large, replace(prediction, boxes=times * prediction.boxes, image_size=large.shape[:2])


def _smooth(values: np.ndarray) -> np.ndarray:
    """The mean of each value and up to 19 before it."""
    total = np.cumsum(values, dtype=np.float64)
    before = np.concatenate([np.zeros(min(SMOOTH, len(values))), total[:-SMOOTH]])
    return (total - before) / np.minimum(np.arange(1, len(values) + 1), SMOOTH)
