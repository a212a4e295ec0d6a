"""The work of `segment_folder`: one picture, and many side by side."""

import copy
import gc
import multiprocessing
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN

from .._shared.checks import THINNEST, check_fraction, check_limit, is_strip, is_whole
from .._shared.memory import is_out_of_memory, is_shortage
from ..data.images import load_image
from ..errors import MAX_MESSAGE, ImageError, MasksegError, cannot_write, quoted, shortened
from ..mask_rcnn.instances import Instances
from ..mask_rcnn.predict import predict_at_own_size
from ..models.loading import load_model
from .coco import coco_entries
from .export import contents, write_files
from .folder_names import Named
from .folder_records import RECORDS, Record, Records, stamp
from .formats import Files, instance_file
from .label_maps import check_overlap
from .measures import measure

MERGED = ("coco", "coco_polygons", "csv")  # one file for all pictures, made of the records
IN_FLIGHT = 32  # pictures handed to an executor and not done yet: more would cost memory
# Part of each record's settings: what an earlier version numbered in another way is segmented again.
NUMBERING = "instances by their row of the prediction, from 1"
LAST_SECONDS = 60.0  # for pictures that are in the network when a run is interrupted


@dataclass(frozen=True)
class Options:
    """How each picture is segmented and written; see `segment_pictures`.

    The repr is part of the settings in the records of earlier runs: class and fields keep their names, and
    what was added later is not in it.
    """

    score_threshold: float
    mask_threshold: float
    alpha: float
    overlap: str
    formats: tuple[str, ...]
    categories: tuple[str, ...] | None = field(default=None, repr=False)
    detections_per_img: int | None = field(default=None, repr=False)  # one of the model's own knobs

    def __post_init__(self) -> None:
        for name in ("score_threshold", "mask_threshold", "alpha"):
            check_fraction(name, getattr(self, name))
        check_overlap(self.overlap)
        check_limit(self.detections_per_img)

    def parts(self) -> tuple[object, ...]:
        """What decides a result beside the model and its knobs, for `fingerprint`."""
        return (NUMBERING, self) if self.categories is None else (NUMBERING, self, self.categories)


@dataclass(frozen=True, eq=False)
class Job:
    """What is done with each picture of a run.

    Attributes:
        out: The output folder.
        model: A loaded MaskRCNN; or a name or path, where other processes have to load it.
        options: How each picture is segmented and written.
        settings: The `fingerprint` of model and options, which each record holds.
    """

    out: Path
    model: MaskRCNN | str
    options: Options
    settings: str


def segment_all(pictures: Iterable[Named], job: Job, executor: Executor) -> Iterator[Named]:
    """Segment pictures by an executor's workers, `IN_FLIGHT` at a time, and yield each one that is done."""
    running: dict[Future[None], Named] = {}
    left = iter(pictures)
    try:
        while True:
            for picture in islice(left, IN_FLIGHT - len(running)):
                running[executor.submit(segment_one, picture, job)] = picture
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                picture = running.pop(future)
                future.result()
                yield picture
    finally:  # after an error or an interrupt
        for future in running:
            future.cancel()
        wait(running, timeout=LAST_SECONDS)  # for those that run already


def segment_one(picture: Named, job: Job) -> None:
    """Segment one picture and write its files, its record last: until that is there, nothing is done.

    One thread works in the network: many pictures side by side are faster than one in many parts, and the
    number of parts decides the last bits of the result.

    Raises:
        MasksegError: The model cannot be loaded, or nothing can be written: not the picture's fault. Whatever
            else goes wrong is recorded as the picture's failure.
    """
    options, model = job.options, job.model
    network = _loaded(model, options.detections_per_img) if isinstance(model, str) else model
    torch.set_num_threads(1)  # of this thread; and of later ones, until `segment_pictures` sets it back
    files, record = _result(picture, network, options, job.settings)
    earlier = Records(job.out).read(picture)
    try:
        write_files(files, job.out, picture.stem, overwrite=True)
        if earlier and not record.error:
            _remove(_files_of_instances(earlier, options.formats) - files.keys(), job.out, picture.stem)
    except MasksegError as error:
        if is_shortage(error):  # the folder's, and so every picture's
            raise
        record = _failure(picture, record.stamp, job.settings, str(error), retry=True)
    write_files({".json": record.json()}, job.out / RECORDS, picture.stem, overwrite=True)


def _files_of_instances(record: Record, formats: Collection[str]) -> set[str]:
    """How the names end of the files that these formats gave each instance of a record."""
    kinds = [kind for format, kind in (("masks", "mask"), ("cut_outs", "cut-out")) if format in formats]
    numbers = [row.get("instance", index) for index, row in enumerate(record.rows)]  # once they had none
    return {instance_file(kind, number) for kind in kinds for number in numbers if is_whole(number)}


def _remove(endings: Iterable[str], folder: Path, stem: str) -> None:
    for ending in endings:
        try:
            (folder / f"{stem}{ending}").unlink(missing_ok=True)
        except OSError as error:
            raise MasksegError(cannot_write(folder, error)) from None


def _result(picture: Named, model: MaskRCNN, options: Options, settings: str) -> tuple[Files, Record]:
    """A picture's files and its record, which says what went wrong, if anything."""
    seen = stamp(picture.path)  # before: a file that changes meanwhile is done again next time
    doing = "read"
    try:
        image = load_image(picture.path)
        height, width = image.shape[:2]
        if is_strip(height, width):  # to the network a wrong argument, here somebody's file
            strip = f"is a strip thinner than 1:{THINNEST}, {width} x {height} pixels; cut it shorter"
            raise ImageError(f"{quoted(picture.path.name)} {strip}")
        doing = "segment"
        found, limit = _found(model, image, options)
        doing = "draw"
        formats = [name for name in options.formats if name not in MERGED]
        files = contents(image, found, picture.file, formats, alpha=options.alpha, overlap=options.overlap)
        size, rows, entries = list(found.image_size), measure(found), coco_entries(found)
        return files, Record(picture.file, seen, settings, "", size, rows, entries, limit)
    except Exception as error:
        text, own = str(error), isinstance(error, MasksegError)
        if is_out_of_memory(error):
            text = f"not enough memory to {doing} it; make it smaller"
        elif not own:
            text = f"{doing}ing it failed unexpectedly: {type(error).__name__}: {text}"
        return {}, _failure(picture, seen, settings, text, retry=not own)


def _failure(picture: Named, seen: list[int], settings: str, text: str, retry: bool) -> Record:
    text = shortened(" ".join(text.split()), MAX_MESSAGE)
    return Record(picture.file, seen, settings, text, [0, 0], [], [], retry=retry)


@lru_cache(maxsize=1)
def _loaded(model: str, detections_per_img: int | None) -> MaskRCNN:
    """A worker process's own model, loaded once."""
    network = limited(load_model(model), detections_per_img)
    if multiprocessing.parent_process():
        # Else, when the process ends, Python looks through all of PyTorch for garbage. On a busy machine that
        # takes seconds, and after four Dask kills a worker, and says so.
        gc.freeze()
    return network


def limited(model: MaskRCNN, detections_per_img: int | None) -> MaskRCNN:
    """The model with another limit of detections per picture; the given one keeps its own."""
    if detections_per_img is None:
        return model
    own = copy.copy(model)
    own._modules = dict(model._modules)  # copy.copy shares even this
    own.roi_heads = copy.copy(model.roi_heads)
    own.roi_heads.detections_per_img = int(detections_per_img)
    return own


def _found(model: MaskRCNN, image: np.ndarray, options: Options) -> tuple[Instances, int]:
    """What is found in a picture; and the model's limit where it may have cut off more, else 0."""
    prediction = predict_at_own_size(model, image)
    limit = model.roi_heads.detections_per_img
    reached = len(prediction) >= limit and prediction.scores[-1] >= options.score_threshold
    found = prediction.select(
        score_threshold=options.score_threshold,
        mask_threshold=options.mask_threshold,
        categories=options.categories,
    ).with_pixels()
    return found, limit if reached else 0
