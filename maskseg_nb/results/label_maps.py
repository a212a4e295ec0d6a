"""Label maps: instances flattened into one array, and which is on top where two overlap."""

from collections.abc import Callable

import numpy as np

from ..errors import quoted
from ..mask_rcnn.instances import Instances, check_instances

# Rule -> the order in which instances are painted: the last one is on top. "surest" is the highest score.
OVERLAPS: dict[str, Callable[[Instances], np.ndarray]] = {
    "surest": lambda instances: np.argsort(instances.scores, kind="stable"),
    "smallest": lambda instances: np.argsort(-instances.areas, kind="stable"),
    "largest": lambda instances: np.argsort(instances.areas, kind="stable"),
}


def instance_map(instances: Instances, overlap: str = "surest") -> np.ndarray:
    """Label each pixel with its instance.

    Args:
        instances: What `Prediction.select` kept.
        overlap: Which is on top where two overlap: "surest" (the highest score), "smallest" or "largest".

    Returns:
        (H, W), uint8, or uint16 for more than 255 instances: 1 for the first instance and so on, 0 for none.

    Raises:
        ValueError: There is no such rule, or there are more than 65,535 instances.
    """
    check_instances(instances)
    if len(instances) > 65_535:
        raise ValueError(f"a uint16 map holds at most 65,535 instances, got {len(instances)}")
    dtype = np.uint8 if len(instances) <= 255 else np.uint16
    return _painted(instances, np.arange(1, len(instances) + 1), overlap, dtype)


def semantic_map(instances: Instances, overlap: str = "surest") -> np.ndarray:
    """Label each pixel with its category: instances of one category become one region.

    Args:
        instances, overlap: As in `instance_map`.

    Returns:
        uint8 (H, W): indices into `instances.categories`, 0 the background.

    Raises:
        ValueError: There is no such rule, or the model has more than 255 categories.
    """
    check_instances(instances)
    if len(instances.categories) > 256:
        raise ValueError(f"a uint8 map holds at most 255 categories, got {len(instances.categories) - 1}")
    return _painted(instances, instances.labels, overlap, np.uint8)


def _painted(instances: Instances, numbers: np.ndarray, overlap: str, dtype: type) -> np.ndarray:
    check_overlap(overlap)
    painted: np.ndarray = np.zeros(instances.image_size, dtype)
    for index in OVERLAPS[overlap](instances):
        painted[instances.windows[index]][instances.crops[index]] = numbers[index]
    return painted


def check_overlap(overlap: str) -> None:
    """Raise ValueError unless it is a name of `OVERLAPS`."""
    if overlap not in OVERLAPS:
        raise ValueError(f"overlap must be one of {', '.join(OVERLAPS)}, got {quoted(overlap)}")
