"""The work of `segment_folder`: one picture, and many of them beside each other."""

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN

from .coco_format import coco_entries
from .errors import MasksegError
from .export import contents, write_files
from .folder_records import Record, Records, stamp, unique_name
from .images import load_image, preprocess
from .instances import Instances
from .label_maps import check_overlap
from .measures import measure
from .models import load_model
from .out_of_memory import is_out_of_memory
from .prediction import check_fraction
from .segmentation import predict

MERGED = ("coco", "coco_polygons", "csv")  # one file for all pictures, made of the records
IN_FLIGHT = 32  # pictures that an executor has in hand
LAST_SECONDS = 60.0  # for pictures in the network when a run is broken off


@dataclass(frozen=True)
class Options:
    """How each picture is segmented and written; see `segment_folder`."""

    score_threshold: float
    mask_threshold: float
    alpha: float
    overlap: str
    formats: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("score_threshold", "mask_threshold", "alpha"):
            check_fraction(name, getattr(self, name))
        check_overlap(self.overlap)


@dataclass(frozen=True)
class Picture:
    """A picture as it was read: its pixels, or what is wrong with it."""

    name: str
    stamp: list[int]
    image: np.ndarray | None
    error: str


def run(
    paths: Iterable[Path],
    out: Path,
    model: MaskRCNN | str,
    options: Options,
    settings: str,
    executor: Executor,
) -> Iterator[Path]:
    """Segment pictures wherever an executor's workers are, and say which one is done.

    Only so many are in hand at a time that memory does not grow.
    """
    running: dict[Future[None], Path] = {}
    left = iter(paths)
    try:
        while True:
            for path in islice(left, IN_FLIGHT - len(running)):
                running[executor.submit(segment_one, path, out, model, options, settings)] = path
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                path = running.pop(future)
                future.result()
                yield path
    finally:  # after an error or an interrupt
        for future in running:
            future.cancel()
        wait(running, timeout=LAST_SECONDS)  # those that run already


def segment_one(path: Path, out: Path, model: MaskRCNN | str, options: Options, settings: str) -> None:
    """One picture from file to files; a process that is given the model's name loads it once.

    With one thread inside the network: many pictures beside each other are faster than one in many parts,
    and the number of parts decides the last bits of the result.
    """
    picture = _read(path)
    network = _loaded(model) if isinstance(model, str) else model
    torch.set_num_threads(1)  # of this thread; and of later ones, until `segment_pictures` sets it back
    _write(picture, _segment(network, picture, options), out, options, settings)


@lru_cache(maxsize=1)
def _loaded(model: str) -> MaskRCNN:
    return load_model(model)


def _read(path: Path) -> Picture:
    seen = stamp(path)  # before: a file that changes meanwhile is done again next time
    try:
        return Picture(path.name, seen, load_image(path), "")
    except (MasksegError, OSError) as error:
        return Picture(path.name, seen, None, str(error))
    except MemoryError:
        return Picture(path.name, seen, None, "not enough memory to read it; make it smaller")


def _segment(model: MaskRCNN, picture: Picture, options: Options) -> Instances | str:
    """What is found in a picture, or why that cannot be said."""
    if picture.image is None:
        return picture.error
    try:
        tensor, _ = preprocess(picture.image, size=(picture.image.shape[0], picture.image.shape[1]))
        prediction = predict(model, tensor)
        return prediction.select(
            score_threshold=options.score_threshold, mask_threshold=options.mask_threshold
        )
    except MasksegError as error:
        return str(error)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return "not enough memory to segment it; make it smaller"


def _write(picture: Picture, found: Instances | str, out: Path, options: Options, settings: str) -> None:
    """A picture's files, and last its record: while there is none, nothing counts as done.

    Raises:
        ImageError: The folder cannot be written: no fault of the picture's.
    """
    if picture.image is None or isinstance(found, str):
        record = Record(picture.name, picture.stamp, settings, str(found), [0, 0], [], [])
    else:
        found = found.with_pixels()
        formats = [name for name in options.formats if name not in MERGED]
        files = contents(
            picture.image, found, picture.name, formats, alpha=options.alpha, overlap=options.overlap
        )
        name = unique_name(picture.name)
        write_files({out / f"{name}{ending}": data for ending, data in files.items()}, overwrite=True)
        size, rows, entries = list(found.image_size), measure(found), coco_entries(found)
        record = Record(picture.name, picture.stamp, settings, "", size, rows, entries)
    write_files({Records(out).path(picture.name): record.json()}, overwrite=True)
