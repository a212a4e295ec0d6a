"""Masks that the pipeline does not keep, as matplotlib Figures: of every category, and beyond the box."""

import numpy as np
from matplotlib.figure import Figure

from .._shared.checks import check_fraction, check_image
from ..mask_rcnn.box_masks import check_detection, masks_in_larger_boxes, masks_of_all_categories
from ..mask_rcnn.journey import numbered
from ..mask_rcnn.trace import Trace
from ..models.zoo import categories_of
from .boxes import draw_boxes
from .crop import Crop
from .figures import show_pictures
from .heatmaps import mask_over_crop
from .panels import FOLLOWED

SHOWN = 8  # categories, those with the highest box scores
SIDE = 320  # pixels of a small picture


def show_category_masks(
    trace: Trace, image: np.ndarray, detection: int = 0, mask_threshold: float = 0.5
) -> Figure:
    """The masks of all categories in one box: each has its own sigmoid, so that they do not compete.

    The framed one is pasted, since the box head chose its category, by the scores above the pictures. The
    other masks are thrown away.

    Args:
        trace: A run through the network.
        image: uint8 (H, W, 3), RGB: the image that ran through it.
        detection: A row of `trace.prediction`.
        mask_threshold: Where the white line runs, in [0, 1].

    Raises:
        TypeError, ValueError: An argument of another dtype, shape or range, or there is no such detection.
    """
    check_image(image)
    check_fraction("mask_threshold", mask_threshold)
    probs = masks_of_all_categories(trace, detection).cpu().numpy()
    chosen = int(trace.detections.labels[detection])
    scores = trace.box_scores.scores[int(trace.detections.proposals[detection])].cpu().numpy()
    labels = [label for label in scores.argsort()[::-1].tolist() if label and label != chosen]
    box = trace.prediction.boxes[detection]
    crop = Crop.around(image, box, (SIDE, SIDE), margin=0.06)
    names, pictures, titles = categories_of(trace.model), [], []
    for label in (chosen, *labels[: SHOWN - 1]):
        picture = mask_over_crop(crop, box, probs[label], mask_threshold)
        if label == chosen:
            picture = draw_boxes(picture, np.array([[3, 3, SIDE - 4, SIDE - 4]]), [FOLLOWED], thickness=7)
        pictures.append(picture)
        titles.append(f"{names[label]} {scores[label]:.3f}{', pasted' if label == chosen else ''}")
    return show_pictures(pictures, titles)


def show_cut_mask(
    trace: Trace,
    image: np.ndarray,
    detection: int | None = None,
    factor: float = 1.5,
    mask_threshold: float = 0.5,
) -> Figure:
    """A mask cannot leave its box: what the box cuts off, seen by asking again in a larger box.

    Args:
        trace: A run through the network.
        image: uint8 (H, W, 3), RGB: the image that ran through it.
        detection: A row of `trace.prediction`; None takes, of those scored 0.5 or more, the one that its box
            cuts the most.
        factor: How much wider and higher the larger box is.
        mask_threshold: Where the white line runs, in [0, 1].

    Raises:
        TypeError, ValueError: An argument of another dtype, shape or range, or there is no such detection.
    """
    check_image(image)
    check_fraction("mask_threshold", mask_threshold)
    larger = masks_in_larger_boxes(trace, factor, mask_threshold)
    if detection is None:
        kept = larger.outside[: max(1, int((trace.detections.scores >= 0.5).sum()))]
        detection = int(kept.argmax()) if len(kept) else 0
    check_detection(trace, detection)
    own, wide = trace.prediction.boxes[detection], trace.on_image(larger.boxes[detection, None])[0]
    crop = Crop.around(image, wide, (480, 480), margin=0.04)
    masks = (trace.prediction.mask_probs[detection], larger.probs[detection].cpu().numpy())
    pictures = [
        draw_boxes(mask_over_crop(crop, box, mask, mask_threshold), crop.boxes(own), [FOLLOWED], thickness=4)
        for box, mask in zip((own, wide), masks, strict=True)
    ]
    name = trace.prediction.categories[trace.prediction.labels[detection]]
    titles = (
        f"{numbered(detection)} {name}: the mask in its box",
        f"In a box {factor:g} times as large: {larger.outside[detection]:.0%} is outside the first",
    )
    return show_pictures(pictures, titles)
