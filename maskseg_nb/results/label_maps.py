"""Label maps: instances flattened into one array, and which is on top where two overlap."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from ..data.codec import encoded
from ..drawing.colors import MAP_COLORS
from ..errors import quoted
from ..mask_rcnn.instances import Instances, check_instances

# Rule -> the order in which instances are painted: the last one is on top. "surest" is the highest score.
OVERLAPS: dict[str, Callable[[Instances], np.ndarray]] = {
    "surest": lambda instances: np.argsort(instances.scores, kind="stable"),
    "smallest": lambda instances: np.argsort(-instances.areas, kind="stable"),
    "largest": lambda instances: np.argsort(instances.areas, kind="stable"),
}


def instance_map(instances: Instances, overlap: str = "surest") -> np.ndarray:
    """Label each pixel with its instance's number.

    Args:
        instances: What `Prediction.select` kept.
        overlap: Which is on top where two overlap: "surest" (the highest score), "smallest" or "largest".

    Returns:
        (H, W), uint8, or uint16 where a number is above 255: `Instances.numbers`, 0 for none.

    Raises:
        ValueError: There is no such rule, or a number is above 65,535.
    """
    check_instances(instances)
    highest = int(instances.numbers.max(initial=0))
    if highest > 65_535:
        raise ValueError(f"a uint16 map holds numbers up to 65,535, got instance {highest}")
    return _painted(instances, instances.numbers, overlap, np.uint8 if highest <= 255 else np.uint16)


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


def label_map_png(label_map: np.ndarray) -> bytes:
    """A label map as a PNG file that viewers show in colour, as PASCAL VOC's are: a palette of 256 colours.

    Pillow and torchvision read the values, `np.asarray(Image.open(path))`; OpenCV, scikit-image and
    matplotlib only the colours.

    Args:
        label_map: (H, W), uint8; or uint16, for which no palette is large enough: it is written as 16-bit
            grey, whose values every program reads.
    """
    if label_map.dtype == np.uint16:
        return encoded(".png", label_map)
    image, file = Image.fromarray(label_map), io.BytesIO()
    image.putpalette(MAP_COLORS.tobytes())
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _painted(instances: Instances, values: np.ndarray, overlap: str, dtype: type) -> np.ndarray:
    check_overlap(overlap)
    painted: np.ndarray = np.zeros(instances.image_size, dtype)
    for index in OVERLAPS[overlap](instances):
        painted[instances.windows[index]][instances.crops[index]] = values[index]
    return painted


def check_overlap(overlap: str) -> None:
    """Raise ValueError unless it is a name of `OVERLAPS`."""
    if overlap not in OVERLAPS:
        raise ValueError(f"overlap must be one of {', '.join(OVERLAPS)}, got {quoted(overlap)}")
