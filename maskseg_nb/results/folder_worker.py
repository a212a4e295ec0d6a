"""The work of a folder run: a chunk of pictures, and one of them."""

import contextlib
import copy
import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN

from .._shared.checks import THINNEST, check_fraction, check_limit, is_strip
from .._shared.memory import is_out_of_memory, is_shortage
from ..errors import MAX_MESSAGE, ImageError, MasksegError, quoted, shortened
from ..mask_rcnn.instances import Instances
from ..mask_rcnn.predict import predict_at_own_size
from ..models.loading import load_model
from .begun import Begun
from .chunks import Chunk, run_chunks, workers_of
from .coco import coco_entries
from .export import contents
from .folder_names import Named
from .folder_records import Record, stamp
from .formats import Files
from .label_maps import check_overlap
from .measures import measure
from .sources import image_of

MERGED = ("coco", "coco_polygons", "csv")  # one file for all pictures, made of the records
# Part of each record's settings: what an earlier version numbered in another way is segmented again.
NUMBERING = "instances by their row of the prediction, from 1"
DIED = "its worker died twice, as when the system kills one that takes too much memory; make it smaller"


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


class Store(Protocol):
    """Where a run keeps what was found: `Records`, a file for each picture; `Shards`, one for each chunk."""

    def keep_files(self, picture: Named, files: Files, record: Record, formats: Sequence[str]) -> None:
        """Write a picture's files, and remove those of an earlier result that are none of the new one.

        Raises:
            MasksegError: They cannot be written.
        """

    def keep(self, pictures: Chunk, records: Sequence[Record]) -> Any:
        """Write a chunk's records: from then on, it is done.

        Raises:
            MasksegError: They cannot be written.
        """


@dataclass(frozen=True, eq=False)
class Job:
    """What is done with each picture of a run.

    Attributes:
        store: Where the results go.
        model: A loaded MaskRCNN; or a name or path, where other processes have to load it.
        options: How each picture is segmented and written.
        settings: The `fingerprint` of model and options, which each record holds.
    """

    store: Store
    model: MaskRCNN | str
    options: Options
    settings: str


def segment_all(
    chunks: Iterable[Chunk], job: Job, executor: Executor | None, folder: Path | None
) -> Generator[tuple[Chunk, Any], None, None]:
    """Segment chunks by an executor's workers, or by one thread per processor core; yield each that is done.

    Args:
        chunks: Taken one by one, when there is room for them.
        job: What is done with each.
        executor: As in `segment_pictures`.
        folder: Where to note what is in work, if the workers are threads of this very process; None: nowhere.

    Yields:
        Chunks, or parts of them, with what `segment_chunk` returned.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        if executor is None:
            executor = stack.enter_context(ThreadPoolExecutor(torch.get_num_threads()))
        work, killed, last = partial(segment_chunk, job=job), partial(died, job=job), deque[Chunk]()
        if folder is None or not isinstance(executor, ThreadPoolExecutor):
            yield from run_chunks(chunks, work, workers_of(executor), died=killed, last=last)
            return
        begun, killers = stack.enter_context(Begun(folder).kept()), deque[Chunk]()
        unharmed = begun.sorted_out(chunks, last, killers)
        for chunk, result in run_chunks(
            unharmed, work, workers_of(executor), died=killed, last=last, begin=begun.begin
        ):
            begun.end(chunk)
            yield chunk, result
        for chunk in killers:
            result = killed(chunk)
            begun.end(chunk)
            yield chunk, result


def segment_chunk(pictures: Chunk, job: Job) -> Any:
    """Segment the pictures of a chunk and keep what was found, the records last: until then, nothing is done.

    One thread works in the network: many pictures side by side are faster than one in many parts, and the
    number of parts decides the last bits of the result.

    Returns:
        What `Store.keep` returns.

    Raises:
        MasksegError: The model cannot be loaded, or nothing can be written: not a picture's fault. Whatever
            else goes wrong is recorded as the picture's failure.
    """
    options, model = job.options, job.model
    network = _loaded(model, options.detections_per_img) if isinstance(model, str) else model
    torch.set_num_threads(1)  # of this thread; and of later ones, until `segment_pictures` sets it back
    return job.store.keep(pictures, [_segmented(picture, network, job) for picture in pictures])


def died(pictures: Chunk, job: Job) -> Any:
    """Keep, as `segment_chunk` does, that the worker died of these pictures."""
    failures = [failure(picture, stamp(picture), job.settings, DIED, retry=True) for picture in pictures]
    return job.store.keep(pictures, failures)


def _segmented(picture: Named, network: MaskRCNN, job: Job) -> Record:
    """Segment a picture and write its files."""
    files, record = _result(picture, network, job.options, job.settings)
    try:
        job.store.keep_files(picture, files, record, job.options.formats)
    except MasksegError as error:
        if is_shortage(error):  # the folder's, and so every picture's
            raise
        return failure(picture, record.stamp, job.settings, str(error), retry=True)
    return record


def _result(picture: Named, model: MaskRCNN, options: Options, settings: str) -> tuple[Files, Record]:
    """A picture's files and its record, which says what went wrong, if anything."""
    seen = stamp(picture)  # before: a file that changes meanwhile is done again next time
    doing = "read"
    try:
        image = image_of(picture)
        height, width = image.shape[:2]
        if is_strip(height, width):  # to the network a wrong argument, here somebody's file
            strip = f"is a strip thinner than 1:{THINNEST}, {width} x {height} pixels; cut it shorter"
            raise ImageError(f"{quoted(os.path.basename(picture.path))} {strip}")
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
        return {}, failure(picture, seen, settings, text, retry=not own)


def failure(picture: Named, seen: list[int], settings: str, text: str, retry: bool) -> Record:
    """A picture's record where there is no result."""
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
