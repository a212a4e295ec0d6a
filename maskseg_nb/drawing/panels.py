"""What a stage's picture is made of: what to show, the two panels, and colours that mean the same in all."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from ..mask_rcnn.outcomes import KEPT, LOW_SCORE, OUTCOMES, OVER_LIMIT, SUPPRESSED, TOO_SMALL
from .boxes import draw_boxes, line_width
from .colors import Color

FOLLOWED: Color = (255, 60, 200)
RIVAL: Color = (255, 80, 40)
OUTCOME_COLORS: dict[int, Color] = {
    KEPT: (0, 200, 140),
    SUPPRESSED: (235, 130, 30),
    LOW_SCORE: (150, 150, 150),
    TOO_SMALL: (204, 121, 167),
    OVER_LIMIT: (86, 180, 233),
}

# What to see at each stage, with its numbers.
CAPTIONS = {
    "normalised": (
        "Resized from {before} to {after} pixels; each channel minus its mean and divided by its deviation, "
        "which gives {low:.2f} to {high:.2f} instead of 0 to 1. Padded to {padded}, because every side will"
        " be halved again and again."
    ),
    "features": (
        "{name} has {channels} channels of {size} cells; a cell stands for {across} x {down} pixels of the "
        "network's input. {what}"
    ),
    "anchors": (
        "{count:,} anchors in all, {per_cell} at each cell of each level. Left: those of every level at one"
        " place, to scale. Right: how sure the network is that something stands where an anchor of {name} "
        "does, the best of its {per_cell} shapes; dark is 0, yellow 1, here at most {most:.3f}."
    ),
    "proposals": (
        "{count:,} candidates, each level's best: {outcomes}. Drawn: the {before} best candidates and the "
        "{after} best proposals."
    ),
    "box_scores": (
        "{count} proposals, each with {classes} scores that add up to 1, the background's among them, and a"
        " refined box for each category. Left: the pyramid level that RoIAlign reads each from: the larger "
        "the box, the coarser the level. Right: one proposal, and where its best categories move it."
    ),
    "detections": (
        "{count:,} pairs of proposal and category ({proposals} x {categories}): {outcomes}. Drawn: the "
        "{before} best of those that score {score_threshold:.2f} or more, and the {after} that are kept; "
        "dashed on the right: the proposal that the followed box was refined from."
    ),
    "masks": (
        "{count} masks of {side} x {side} probabilities, each stretched over its box; a pixel is inside "
        "where its probability > {mask_threshold:.2f} (the white line). Right: the {pasted} with a score of"
        " {score_threshold:.2f} or more, pasted."
    ),
}


@dataclass(frozen=True)
class View:
    """What of a stage to show.

    Attributes:
        level: The pyramid level, 0 the finest.
        channel: Of the level's map; None shows the strongest.
        shown: How many boxes to draw, the best first.
        score_threshold, mask_threshold: For the pasted masks, as in `Prediction.select`.
    """

    level: int = 2
    channel: int | None = None
    shown: int = 15
    score_threshold: float = 0.5
    mask_threshold: float = 0.5


@dataclass(frozen=True, eq=False)
class StagePicture:
    """A stage's two panels."""

    left: np.ndarray  # uint8 (H, W, 3), RGB
    right: np.ndarray  # the same
    titles: tuple[str, str]
    caption: str  # what to see, with its numbers
    legend: tuple[tuple[Color, str], ...] = ()  # what the colours mean
    # Those drawn, float32 (N, 4), x1 y1 x2 y2 in pixels of the image; each one's (anchor, label), as `follow`
    # takes them, where label 0 is the most probable; and what each is, and what became of it.
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    names: tuple[tuple[int, int], ...] = ()
    texts: tuple[str, ...] = ()


def draw_outcomes(image: np.ndarray, boxes: np.ndarray, outcomes: list[int]) -> np.ndarray:
    """Boxes before a decision, dashed, in the colours of what becomes of them; the lost ones crossed."""
    colors = [OUTCOME_COLORS[outcome] for outcome in outcomes]
    drawn = draw_boxes(image, boxes, colors, dashed=True)
    width = line_width(image)
    corners = boxes[:, :2].round().astype(int).tolist()
    for corner, color, outcome in zip(corners, colors, outcomes, strict=True):
        if outcome != KEPT:
            cv2.drawMarker(drawn, corner, color, cv2.MARKER_TILTED_CROSS, 4 * width + 1, width, cv2.LINE_AA)
    return drawn


def outcome_legend(outcomes: list[int]) -> tuple[tuple[Color, str], ...]:
    """The colours of `draw_outcomes`, and that of the followed box."""
    present = [outcome for outcome in OUTCOME_COLORS if outcome in outcomes]
    names = [OUTCOMES[outcome] + ("" if outcome == KEPT else " (crossed)") for outcome in present]
    colors = [OUTCOME_COLORS[outcome] for outcome in present]
    return (*zip(colors, names, strict=True), (FOLLOWED, "followed"))
