"""Non-maximum suppression, drawn round by round: a film that a button can step through."""

from collections.abc import Sequence

import numpy as np

from .._shared.checks import check_image
from ..mask_rcnn.nms_rounds import Round
from ..mask_rcnn.outcomes import KEPT, SUPPRESSED
from .boxes import draw_boxes, line_width
from .colors import Color
from .panels import OUTCOME_COLORS, draw_outcomes
from .tags import tag_boxes

WAITING: Color = (150, 150, 150)
NMS_LEGEND = (
    (OUTCOME_COLORS[KEPT], "stays"),
    (OUTCOME_COLORS[SUPPRESSED], "taken by this winner (crossed)"),
    (WAITING, "waits"),
)


def draw_nms_round(
    image: np.ndarray, boxes: np.ndarray, scores: np.ndarray, rounds: Sequence[Round], number: int
) -> np.ndarray:
    """One round: this winner thick, those that it takes crossed, earlier winners thin, the waiting ones grey.

    Args:
        image: uint8 (H, W, 3), RGB; the result is another one.
        boxes: (N, 4), x1 y1 x2 y2 in pixels of the image.
        scores: (N,).
        rounds: As `nms_rounds` returns them for these boxes.
        number: Which of them, from 0.

    Raises:
        TypeError, ValueError: `image` is of another dtype or shape, or there is no such round.
    """
    check_image(image)
    if number not in range(len(rounds)):
        raise ValueError(f"there is no round {number!r}: they are 0 to {len(rounds) - 1}")
    now, kept = rounds[number], OUTCOME_COLORS[KEPT]
    earlier, waiting = [one.winner for one in rounds[:number]], list(now.left)
    drawn = draw_boxes(image, boxes[waiting], [WAITING] * len(waiting))
    drawn = draw_boxes(drawn, boxes[earlier], [kept] * len(earlier))
    drawn = draw_outcomes(drawn, boxes[list(now.taken)], [SUPPRESSED] * len(now.taken))
    winner = boxes[now.winner]
    drawn = draw_boxes(drawn, winner[None], [kept], thickness=3 * line_width(image))
    closest = sorted(zip(now.ious, now.taken, strict=True), reverse=True)[:3]
    tags = [(winner, f"{scores[now.winner]:.2f} stays", kept)]
    tags += [(boxes[row], f"IoU {iou:.2f}", OUTCOME_COLORS[SUPPRESSED]) for iou, row in closest]
    return tag_boxes(drawn, tags)
