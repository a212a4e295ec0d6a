"""A folder of photographs through the network: files for each, tables for all, nothing done twice."""

import contextlib
import os
import time
import warnings
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchvision.models.detection import MaskRCNN
from tqdm.auto import tqdm

from .._shared.files import locked
from .._shared.memory import is_shortage
from ..errors import MasksegError, quoted, shortened
from ..mask_rcnn.checks import check_known
from ..mask_rcnn.knobs import fingerprint
from ..models.loading import as_model
from ..models.zoo import categories_of
from .export import check_formats
from .folder_contents import FolderPictures, pictures_in, said
from .folder_names import Named, named
from .folder_records import Record, Records, prepare, write_tables
from .folder_worker import Job, Options, limited, segment_all


@dataclass(frozen=True)
class FolderResult:
    """What `segment_folder` did.

    Attributes:
        pictures: In order, each with its path, what the tables call it, and how its files' names begin.
        out: Where the files are.
        failures: What a picture is called -> what was wrong with it.
        skipped: How many were done before this run.
        seconds: How long this run took.
        at_limit: What those pictures are called in which the model reached its limit of detections.
        passed_over, not_entered: As `FolderPictures` has them.
    """

    pictures: tuple[Named, ...]
    out: Path
    failures: dict[str, str]
    skipped: int
    seconds: float
    at_limit: tuple[str, ...] = ()
    passed_over: tuple[Path, ...] = ()
    not_entered: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where the pictures are."""
        return tuple(Path(picture.path) for picture in self.pictures)

    def __str__(self) -> str:
        rate = (len(self.pictures) - self.skipped) / max(self.seconds, 1e-9)
        text = (
            f"{counted(len(self.pictures))}, {self.skipped} done before; "
            f"{len(self.failures)} failed; {rate:.2f} a second"
        )
        limit = f"{len(self.at_limit)} at the limit of detections" if self.at_limit else ""
        return "; ".join(filter(None, (text, limit, said(self.passed_over, self.not_entered))))

    def records(self) -> Iterator[Record]:
        """Each picture's record, read one by one."""
        return Records(self.out).read_all(self.pictures)


def segment_folder(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    model: MaskRCNN | str | os.PathLike[str] | None = None,
    **options: Any,
) -> FolderResult:
    """`segment_pictures` for all pictures directly in a folder; the result counts what was passed over.

    Args:
        folder: Of pictures.
        out, model, options: As in `segment_pictures`.

    Raises:
        MasksegError: No such folder, or no picture in it.
        MasksegError, ValueError, TypeError: As `segment_pictures`.
    """
    return segment_pictures(pictures_in(folder), out, model, **options)


def segment_pictures(
    pictures: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    model: MaskRCNN | str | os.PathLike[str] | None = None,
    *,
    score_threshold: float = 0.5,
    mask_threshold: float = 0.5,
    categories: Collection[str] | None = None,
    detections_per_img: int | None = None,
    alpha: float = 0.5,
    overlap: str = "surest",
    formats: Collection[str] = ("overlay", "coco", "csv"),
    executor: Executor | None = None,
    resume: bool = True,
    progress: bool = True,
) -> FolderResult:
    """Segment pictures, each at its own size.

    A picture with which anything goes wrong becomes a row of `failures.csv`, and the run goes on; if the
    fault was not the file's (memory, descriptors, a permission), the next run tries it again. So does a
    picture that kills its worker, as the system kills one that takes too much memory: it is tried once more,
    when nothing else is left, and then it is a row, too. After an interrupt or a crash, the same call resumes
    and ends with the same files.

    If pictures of different folders have the same name, all are called by their place below the folder that
    they have in common, in the tables ("day1/IMG_0001.JPG") and, made plain, in the files' names.

    Args:
        pictures: Their paths. One that is given twice is done once.
        out: A new folder, or that of an earlier run. "coco", "coco_polygons" and "csv" become one file
            for all pictures; every other format writes files for each picture.
        model: A loaded MaskRCNN, or what `load_model` takes. For an executor of other processes, a name or
            path: each process loads the model once.
        score_threshold, mask_threshold: As in `Prediction.select`.
        categories: Keep only instances of these names; None keeps all.
        detections_per_img: The most instances that the model gives for a picture; None is its own limit (100
            for torchvision's). The model that was given keeps its own.
        alpha, overlap, formats: As in `export`.
        executor: Any of `concurrent.futures`, Dask's client or its `get_executor()`; None uses threads, one
            per processor core. Processes have to be spawned, not forked:
            `ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))`.
        resume: False segments all pictures again.
        progress: Show a progress bar.

    Returns:
        What was done. A warning tells if pictures reached the model's limit of detections.

    Raises:
        MasksegError: There is no picture, `out` cannot be written, or the run itself lacks memory, threads or
            descriptors.
        ValueError, TypeError: An argument is out of range or of another kind, or names an unknown category.
    """
    start = time.perf_counter()
    if isinstance(pictures, (str, bytes, os.PathLike)) or not isinstance(pictures, Iterable):
        got = f"got {type(pictures).__name__}; segment_folder() takes a folder"
        raise TypeError(f"pictures must be a collection of paths, {got}")
    check_formats(formats)
    kept, written = sorted_names(categories), tuple(formats)
    options = Options(score_threshold, mask_threshold, alpha, overlap, written, kept, detections_per_img)
    network, sent = networks(model, executor, options)
    if "://" in os.fspath(out):
        address = quoted(os.fspath(out))
        raise MasksegError(f"{address} is an address; give a folder, or keep results in shards (--shards)")
    target = Path(out)
    left_out = _left_out(pictures, target)
    all_named = named(map(Path, pictures))
    if not all_named:
        raise MasksegError("there are no pictures to segment; give one or more")
    with resources(), locked(target, "run", MasksegError):
        records = prepare(target)
        job = Job(records, sent, options, fingerprint(network, *options.parts()))
        todo = [picture for picture in all_named if not (resume and records.done(picture, job.settings))]
        done = len(all_named) - len(todo)
        with tqdm(total=len(all_named), initial=done, unit="picture", disable=not progress) as bar:
            chunks = ((picture,) for picture in todo)
            with contextlib.closing(segment_all(chunks, job, executor, target)) as finished:
                for _ in finished:
                    bar.update()
        write_tables(lambda: records.read_all(all_named), target, options.formats, categories_of(network))
        marked = [record for record in records.read_all(all_named) if record.error or record.limit]
    failures = {record.file: record.error for record in marked if record.error}
    at_limit = tuple(record.file for record in marked if record.limit)
    if at_limit:
        warnings.warn(_limit_reached(at_limit, network.roi_heads.detections_per_img), stacklevel=2)
    return FolderResult(all_named, target, failures, done, time.perf_counter() - start, at_limit, *left_out)


def networks(
    model: MaskRCNN | str | os.PathLike[str] | None, executor: Executor | None, options: Options
) -> tuple[MaskRCNN, MaskRCNN | str]:
    """The model with these options, and what the workers get: the same, or the name that they load it by."""
    _check_executor(executor)
    here = executor is None or isinstance(executor, ThreadPoolExecutor)
    if not here and not isinstance(model, (str, os.PathLike)):
        raise TypeError("model must be a name or path where an executor's processes have to load it")
    network = limited(as_model(model), options.detections_per_img)
    check_known(options.categories or (), categories_of(network))
    return network, network if here else os.fspath(model)  # type: ignore[arg-type]


def _left_out(pictures: Iterable[object], out: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """What `pictures_in` passed over, and the folders that it did not enter, except that of the results."""
    if not isinstance(pictures, FolderPictures):
        return (), ()
    own = os.path.abspath(out)
    return pictures.passed_over, tuple(p for p in pictures.not_entered if os.path.abspath(p) != own)


def counted(count: int) -> str:
    """ "1 picture", "2 pictures"."""
    return f"{count} picture{'s' * (count != 1)}"


def _limit_reached(at_limit: tuple[str, ...], limit: int) -> str:
    first = quoted(at_limit[0]) + ", ..." * (len(at_limit) > 1)
    return (
        f"{counted(len(at_limit))} ({first}) reached the model's limit of {limit} detections, so that more "
        "may have been cut off; raise detections_per_img (--detections-per-img)"
    )


def sorted_names(categories: Collection[str] | None) -> tuple[str, ...] | None:
    """Category names as an option of a run, for which their order means nothing."""
    if categories is None:
        return None
    if isinstance(categories, str):
        given = quoted(categories)
        raise TypeError(f"categories must be a collection of names, such as [{given}], got a string")
    if not categories:
        raise ValueError("categories must name one or more, or be None, which keeps all")
    return tuple(sorted(set(categories)))


@contextlib.contextmanager
def resources() -> Iterator[None]:
    """One clear line where the run itself lacks memory, threads or descriptors."""
    try:
        yield
    except MasksegError:
        raise
    except Exception as error:
        if not is_shortage(error):
            raise
        reason = shortened(" ".join(str(error).split()), 120) or "not enough memory"
        message = f"the run stopped: {reason}; close other programs and start it again, and it resumes"
        raise MasksegError(message) from None


def _check_executor(executor: Executor | None) -> None:
    """Refuse forked processes: they inherit torch's locks, but not the threads that would release them."""
    context = getattr(executor, "_mp_context", None)
    if isinstance(executor, ProcessPoolExecutor) and context and context.get_start_method() == "fork":
        raise ValueError(
            "executor must spawn its processes, got one that forks them, so torch would wait forever; use "
            'ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))'
        )
