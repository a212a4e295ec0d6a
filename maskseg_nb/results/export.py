"""Results as files: pictures, label maps, cut-outs, polygons, COCO's JSON, a table."""

import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from .._shared.checks import check_image
from .._shared.files import write_new, write_whole
from ..data.codec import encoded
from ..errors import ImageError, MasksegError, cannot_write, quoted
from ..mask_rcnn.instances import Instances, check_instances
from .formats import FORMATS, Exported, Files, safe_name


class TakenError(MasksegError):
    """A file is there already."""


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

    Everything is in the pixels of `image`. For files that lie on a photograph take the photograph itself,
    and bring what was found in a resized one back onto it with `Prediction.to_size`. Instances whose mask
    has no pixel are in no file.

    Args:
        image: uint8 (H, W, 3), RGB, of the instances' size.
        instances: What `Prediction.select` kept.
        folder: Where to; made where it is missing.
        name: The picture's file name, such as "photo.jpg": COCO's JSON and the table say it, and the files'
            names begin with it. What no file name may hold becomes "_" there.
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
    return _write(files, Path(folder), safe_name(name), overwrite)


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
    plain, number = safe_name(stem), 1
    while True:
        try:
            return _write(files, Path(folder), f"{plain}-{number}" if number > 1 else plain, overwrite=False)
        except TakenError:
            number += 1


def _write(files: Files, folder: Path, stem: str, overwrite: bool) -> list[Path]:
    paths = {folder / f"{stem}{ending}": data for ending, data in files.items()}
    make_folder(folder)
    write_files(paths, overwrite=overwrite)
    return list(paths)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        ImageError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(cannot_write(folder, error)) from None


def write_files(files: dict[Path, bytes], *, overwrite: bool) -> None:
    """Write files into existing folders, each whole or not at all.

    Raises:
        MasksegError: One is there already and may not be replaced; or a folder cannot be written.
    """
    taken = [path for path in files if not overwrite and os.path.lexists(path)]
    if taken:
        raise TakenError(f"{quoted(taken[0])} exists already; give another name, or overwrite=True")
    for path, data in files.items():
        try:
            (write_whole if overwrite else write_new)(path, data)  # the latter: one may have come just now
        except OSError as error:
            raise ImageError(cannot_write(path, error)) from None


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
        raise ValueError(f"formats must be among {', '.join(FORMATS)}, got {quoted(unknown[0])}")


def save_png(image: np.ndarray, folder: str | os.PathLike[str], stem: str) -> Path:
    """Write an image as `stem.png`, or `stem-2.png` and so on where that is taken.

    Args:
        image: uint8 (H, W, 3), RGB.
        folder: An existing folder.
        stem: How the name begins; a plain name without folders.

    Returns:
        The file's path.

    Raises:
        ImageError: The folder cannot be written to; no partial file stays.
    """
    data, number = encoded(".png", image), 1
    while True:
        path = Path(folder) / f"{stem}{f'-{number}' if number > 1 else ''}.png"
        try:
            write_new(path, data)
            return path
        except FileExistsError:
            number += 1
        except OSError as error:
            raise ImageError(cannot_write(path, error)) from None
