"""What a stage's picture is made of: what to show, the two panels, and colours that mean the same in all."""

from dataclasses import dataclass, field

import numpy as np

from ..mask_rcnn.stages import KEPT, LOW_SCORE, OVER_LIMIT, SUPPRESSED, TOO_SMALL
from .colors import Color

FOLLOWED: Color = (255, 60, 200)
RIVAL: Color = (255, 80, 40)
FATE_COLORS: dict[int, Color] = {
    KEPT: (0, 200, 140),
    SUPPRESSED: (235, 130, 30),
    LOW_SCORE: (150, 150, 150),
    TOO_SMALL: (204, 121, 167),
    OVER_LIMIT: (86, 180, 233),
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
    """A stage's two panels.

    Attributes:
        left, right: uint8 (H, W, 3), RGB.
        titles: One a panel.
        caption: What to see, with its numbers.
        legend: What the colours mean.
        boxes: float32 (N, 4), those drawn, x1 y1 x2 y2 in pixels of the picture.
        names: (anchor, label) of each, as `follow` takes them; label 0 is the most probable.
    """

    left: np.ndarray
    right: np.ndarray
    titles: tuple[str, str]
    caption: str
    legend: tuple[tuple[Color, str], ...] = ()
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    names: tuple[tuple[int, int], ...] = ()
