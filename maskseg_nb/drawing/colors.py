"""The colours of instances, categories and pyramid levels."""

import numpy as np

from ..errors import quoted
from ..mask_rcnn.instances import Instances

Color = tuple[int, int, int]  # RGB, [0, 255]

# Okabe and Ito's palette for colour-blind readers without its black (jfly.uni-koeln.de/color), then the same
# hues darker and lighter: neighbours in the list stay far apart.
_OKABE_ITO = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
    (204, 121, 167),  # reddish purple
)
PALETTE = np.array(
    [
        *_OKABE_ITO,
        *([round(0.6 * c) for c in colour] for colour in _OKABE_ITO),
        *([round(0.5 * c + 127) for c in colour] for colour in _OKABE_ITO),
    ],
    np.uint8,
)
# uint8 (256, 3), RGB: the colour of each value of a label map; 0 is black, values 21 apart share one.
MAP_COLORS = np.concatenate([np.zeros((1, 3), np.uint8), PALETTE[np.arange(255) % len(PALETTE)]])

COLOR_BY = ("instance", "category")


def category_color(label: int) -> Color:
    """The colour of a category id; ids that are 21 apart share one."""
    red, green, blue = PALETTE[(label - 1) % len(PALETTE)].tolist()
    return red, green, blue


def instance_colors(instances: Instances, color_by: str = "instance") -> np.ndarray:
    """The colours that `draw_instances` takes: uint8 (M, 3), RGB.

    Raises:
        ValueError: `color_by` is not one of `COLOR_BY`.
    """
    if color_by not in COLOR_BY:
        raise ValueError(f"color_by must be one of {COLOR_BY}, got {quoted(color_by)}")
    ids = instances.indices if color_by == "instance" else instances.labels - 1
    return PALETTE[ids % len(PALETTE)]


def level_color(level: int) -> Color:
    """The colour of a pyramid level, the same in every image."""
    return tuple(PALETTE[level % len(PALETTE)].tolist())
