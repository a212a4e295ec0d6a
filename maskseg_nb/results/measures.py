"""Measures of masks: those of scikit-image's `regionprops`, without the objects that it makes for each."""

import math
from typing import Any

import numpy as np
from skimage.measure import perimeter

from ..mask_rcnn.instances import Instances

# The columns of a table of instances; see `measure`.
COLUMNS = (
    *("instance", "category", "score", "x1", "y1", "x2", "y2", "area", "percent"),
    *("perimeter", "centroid_x", "centroid_y", "circularity"),
)


def measure(instances: Instances) -> list[dict[str, Any]]:
    """Measure each instance: one row per instance, in their order.

    Args:
        instances: What `Prediction.select` kept.

    Returns:
        Dictionaries with the keys `COLUMNS`: instance, its number; category; score, [0, 1]; x1 y1 x2 y2, the
        box in pixels; area in pixels; percent of the image; perimeter in pixels, by scikit-image's estimate;
        centroid_x and centroid_y, the middle of the mask's pixels, where 0 is the middle of the first pixel;
        circularity, 4 pi area / perimeter squared, near 1 for a disc and less for everything else. None
        stands for what an empty mask lacks (the last four) and a single pixel (circularity).
    """
    names, (height, width) = instances.names, instances.image_size
    rows = []
    for index, crop in enumerate(instances.crops):
        (top, left), area = instances.corners[index].tolist(), int(np.count_nonzero(crop))
        row = {
            "instance": int(instances.numbers[index]),
            "category": names[index],
            "score": float(instances.scores[index]),
            **dict(zip(("x1", "y1", "x2", "y2"), instances.boxes[index].tolist(), strict=True)),
            "area": area,
            "percent": 100 * area / (height * width),
            **dict.fromkeys(("perimeter", "centroid_x", "centroid_y", "circularity")),
        }
        if area:
            y, x = (float(places.sum()) / area for places in np.nonzero(crop))
            around = float(perimeter(crop))
            row |= {"perimeter": around, "centroid_x": left + x, "centroid_y": top + y}
            if around:  # a single pixel has none
                row["circularity"] = 4 * math.pi * area / around**2
        rows.append(row)
    return rows
