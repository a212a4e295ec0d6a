"""A match, drawn: true positives green, false positives red, false negatives dashed."""

import math

import cv2
import numpy as np

from .._shared.checks import check_image
from ..data.truth import Truth
from ..drawing.boxes import DASH, GAP, line_width
from ..drawing.colors import Color
from ..drawing.overlay import contours, draw_outline, draw_tags, tint
from ..mask_rcnn.instances import Instances
from .matching import Match, Outcome

# The teal and the red of Paul Tol's vibrant scheme, which colour-blind readers tell apart, and white.
RIGHT: Color = (0, 153, 136)
WRONG: Color = (204, 51, 17)
MISSED: Color = (255, 255, 255)
LEGEND = ((RIGHT, "true positive"), (WRONG, "false positive (striped)"), (MISSED, "false negative (dashed)"))


def draw_match(
    image: np.ndarray,
    instances: Instances,
    truth: Truth,
    match: Match,
    *,
    alpha: float = 0.45,
    tags: bool = True,
) -> np.ndarray:
    """Fill true positives green and false positives red; outline false negatives (missed objects) dashed.

    Instances that are not judged are left out.

    Args:
        image: uint8 (H, W, 3), RGB, of the instances' size.
        instances, truth: What `match` was given.
        match: What it returned.
        alpha: Weight of the colour inside a mask, [0, 1].
        tags: Write what the model said of each judged instance, and the verdict: see `verdicts`.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        ValueError: The match is of other instances or another ground truth.
    """
    check_image(image)
    if len(match.outcomes) != len(instances) or len(match.missed) != len(truth):
        raise ValueError("match must be what match(instances, truth) returned for these two")
    drawn = np.ascontiguousarray(image).copy()
    judged = [row for row, outcome in enumerate(match.outcomes) if outcome is not Outcome.NOT_JUDGED]
    colors = {row: RIGHT if match.outcomes[row] is Outcome.TRUE_POSITIVE else WRONG for row in judged}
    for row in reversed(judged):  # the highest score last, on top
        tint(drawn, instances, row, colors[row], alpha)
        if match.outcomes[row] is not Outcome.TRUE_POSITIVE:
            _draw_stripes(drawn, instances, row)
        draw_outline(drawn, instances, row, colors[row])
    for mask in truth.masks[match.missed]:
        for contour in contours(mask):
            _draw_dashed(drawn, contour[:, 0], line_width(image))
    if tags:
        texts = verdicts(instances, truth, match)
        draw_tags(drawn, instances, texts, np.array([colors.get(row, WRONG) for row in range(len(texts))]))
    return drawn


def verdicts(instances: Instances, truth: Truth, match: Match) -> list[str]:
    """What the model said of each instance, what the ground truth says of that, and why.

    Args:
        instances, truth: What `match` was given.
        match: What it returned.

    Returns:
        As "1 person 0.99, IoU 0.63 < 0.90"; empty for an instance that is not judged.
    """
    texts = []
    for tag, outcome, row, iou in zip(
        instances.tags, match.outcomes, match.truth_index.tolist(), match.ious.tolist(), strict=True
    ):
        shown = math.floor(100 * iou) / 100  # 0.499 is not 0.50, which would do
        said = f"{tag}, IoU {shown:.2f}"
        texts.append(
            {
                Outcome.TRUE_POSITIVE: said,
                Outcome.DUPLICATE: f"{said}: found already",
                Outcome.WRONG_CATEGORY: f"{said}: a {truth.names[row]}",
                Outcome.BACKGROUND: f"{said} < {match.least_iou:.2f}",
                Outcome.NOT_JUDGED: "",
            }[outcome]
        )
    return texts


def _draw_stripes(drawn: np.ndarray, instances: Instances, row: int) -> None:
    """Stripes over one instance's mask, in `drawn` itself: red and green look alike to many."""
    crop, window = instances.crops[row], instances.windows[row]
    y, x = np.ogrid[: crop.shape[0], : crop.shape[1]]
    period = 6 * line_width(drawn)
    drawn[window][crop & ((x + y) % period < period // 3)] = WRONG


def _draw_dashed(drawn: np.ndarray, points: np.ndarray, width: int) -> None:
    """A closed line of neighbouring pixels, dashed, white on black so that it shows on any image."""
    dash, step = DASH * width // 2 + 1, (DASH + GAP) * width // 2
    for color, thickness in (((0, 0, 0), width + 2), (MISSED, width)):
        for start in range(0, len(points), step):
            piece = points[start : start + dash].reshape(-1, 1, 2)
            cv2.polylines(drawn, [piece], False, color, thickness, cv2.LINE_AA)
