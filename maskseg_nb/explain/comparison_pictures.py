"""A comparison, drawn into both images: pairs in one colour and number, dashed what the other lacks."""

import numpy as np

from ..drawing.boxes import draw_boxes
from ..drawing.colors import Color, category_color
from ..drawing.tags import tag_boxes
from ..evaluation.match_pictures import WRONG
from ..mask_rcnn.trace import STAGES
from .compare import Comparison, StageDifference


def pair_colors(comparison: Comparison) -> list[Color]:
    """One RGB colour for each of `Comparison.shared`."""
    return [category_color(number) for number in range(1, len(comparison.shared) + 1)]


def stage_title(comparison: Comparison, one: StageDifference) -> str:
    """The title of one of `Comparison.stages`, which says whether the runs part there."""
    return STAGES[one.stage].title + (": the runs part" if one.stage == comparison.parting else "")


def draw_comparison(
    comparison: Comparison, image: np.ndarray, other_image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the detections of both runs; below the score threshold nothing is drawn.

    Args:
        comparison: What `compare` returned.
        image, other_image: uint8 (H, W, 3), RGB: the two images that ran through the network.

    Returns:
        Both, each at its own size.
    """
    shared, colors = comparison.shared, pair_colors(comparison)
    names = [f"{number} {one.category}" for number, one in enumerate(shared, 1)]
    sides = (
        (comparison.run, image, [(one.row, one.score) for one in shared], comparison.lost),
        (comparison.other, other_image, [(one.other, one.other_score) for one in shared], comparison.gained),
    )
    pictures = []
    for run, drawn, found, missing in sides:
        boxes = run.prediction.boxes
        tags = [f"{name} {score:.2f}" for name, (_, score) in zip(names, found, strict=True)]
        tags += [f"{one.category} {one.score:.2f}" for one in missing]
        both, alone = boxes[[row for row, _ in found]], boxes[[one.row for one in missing]]
        red = [WRONG] * len(missing)
        drawn = draw_boxes(draw_boxes(drawn, both, colors), alone, red, dashed=True)
        pictures.append(tag_boxes(drawn, list(zip((*both, *alone), tags, (*colors, *red), strict=True))))
    return pictures[0], pictures[1]
