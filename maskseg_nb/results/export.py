"""Results as files: pictures, label maps, cut-outs, polygons, COCO's JSON, a table."""

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from .._shared.checks import check_image
from .._shared.files import write_new, write_whole
from ..data.codec import encoded
from ..errors import ImageError, MasksegError, cannot_write, did_you_mean, quoted
from ..mask_rcnn.instances import Instances, check_instances
from .formats import FORMATS, Exported, Files, safe_name


class TakenError(MasksegError):
    """A file is there already."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{quoted(path)} exists already; give another name, or overwrite=True")


def export(
    image: np.ndarray,
    instances: Instances,
    folder: str | os.PathLike[str],
    name: str,
    formats: Collection[str] = ("overlay", "coco", "csv"),
    *,
    alpha: float = 0.5,
    overlap: str = "surest",
    overwrite: bool = False,
) -> list[Path]:
    """Write what was found in an image, in any of `FORMATS`.

    Everything is in the pixels of `image`. For files that fit a photograph give the photograph itself, and
    bring what was found in a resized one back onto it with `Prediction.to_size`. Instances whose mask has no
    pixel are in no file.

    Args:
        image: uint8 (H, W, 3), RGB, of the instances' size.
        instances: What `Prediction.select` kept.
        folder: Where to; made where it is missing.
        name: The picture's file name, such as "photo.jpg": it stands in COCO's JSON and in the table, and the
            files' names begin with it, "_" in place of what no file name may hold.
        formats: Names of `FORMATS`.
        alpha: Weight of the colours of the overlay, [0, 1].
        overlap: Which is on top in the label maps, where two overlap: a name of `OVERLAPS`.
        overwrite: Replace files that are there; else nothing at all is written where one is.

    Returns:
        The paths of the files, each whole.

    Raises:
        ValueError: There is no such format or rule, or the sizes differ.
        MasksegError: A file is there already, or the folder cannot be written.
    """
    files = contents(image, instances, name, formats, alpha=alpha, overlap=overlap)
    make_folder(Path(folder))
    return write_files(files, Path(folder), safe_name(name), overwrite=overwrite)


def export_free(
    image: np.ndarray,
    instances: Instances,
    folder: str | os.PathLike[str],
    name: str,
    formats: Collection[str],
    *,
    stem: str,
    alpha: float = 0.5,
) -> list[Path]:
    """`export` to files whose names begin with `stem`, or `stem-2` and so on where one is taken."""
    files = contents(image, instances, name, formats, alpha=alpha)
    make_folder(Path(folder))
    return _write_free(files, Path(folder), safe_name(stem))


def save_png(image: np.ndarray, folder: str | os.PathLike[str], stem: str) -> Path:
    """Write an image as `stem.png`, or `stem-2.png` and so on where that is taken.

    Args:
        image: uint8 (H, W, 3), RGB.
        folder: An existing folder.
        stem: How the name begins; a plain name without folders.

    Raises:
        ImageError: The folder cannot be written to; no partial file stays.
    """
    return _write_free({".png": encoded(".png", image)}, Path(folder), stem)[0]


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        ImageError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(cannot_write(folder, error)) from None


def write_files(files: Files, folder: Path, stem: str, *, overwrite: bool) -> list[Path]:
    """Write files into an existing folder, each whole or not at all.

    Returns:
        Their paths; the names begin with `stem`.

    Raises:
        TakenError: One is there already and may not be replaced.
        ImageError: The folder cannot be written.
    """
    paths = {folder / f"{stem}{ending}": data for ending, data in files.items()}
    if taken := [path for path in paths if not overwrite and os.path.lexists(path)]:
        raise TakenError(taken[0])
    for path, data in paths.items():
        try:
            (write_whole if overwrite else write_new)(path, data)
        except FileExistsError:  # it has come just now
            raise TakenError(path) from None
        except OSError as error:
            raise ImageError(cannot_write(path, error)) from None
    return list(paths)


def _write_free(files: Files, folder: Path, stem: str) -> list[Path]:
    """Write files whose names begin with `stem`, or `stem-2` and so on where one is taken."""
    number = 1
    while True:
        with contextlib.suppress(TakenError):
            return write_files(files, folder, f"{stem}-{number}" if number > 1 else stem, overwrite=False)
        number += 1


def contents(
    image: np.ndarray,
    instances: Instances,
    name: str,
    formats: Collection[str],
    *,
    alpha: float = 0.5,
    overlap: str = "surest",
) -> Files:
    """What `export` writes, without writing it: the end of each file's name, and its bytes."""
    check_image(image)
    check_instances(instances)
    check_formats(formats)
    if image.shape[:2] != instances.image_size:
        raise ValueError(
            f"image is {image.shape[:2]} and the instances are of {instances.image_size}; "
            "prediction.to_size(image.shape[:2]).select() gives them in the image's pixels"
        )
    result = Exported(image, instances.with_pixels(), name, alpha, overlap)
    files: Files = {}
    for format, write in FORMATS.items():
        if format in formats:
            files |= write(result)
    return files


def check_formats(formats: Collection[str]) -> None:
    """Raise TypeError or ValueError unless they are names of `FORMATS`."""
    if isinstance(formats, str):
        raise TypeError(f"formats must be a collection of names, such as [{formats!r}], got a string")
    if unknown := [format for format in formats if format not in FORMATS]:
        listed, meant = ", ".join(FORMATS), did_you_mean(unknown[0], FORMATS)
        raise ValueError(f"formats must be among {listed}, got {quoted(unknown[0])}{meant}")
