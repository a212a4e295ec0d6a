"""A folder of photographs through the network: files for each, tables for all, and nothing done twice."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.models.detection import MaskRCNN
from tqdm.auto import tqdm

from .checks import check_model
from .errors import MasksegError, quoted
from .export import check_formats
from .folder_records import Record, Records, prepare, write_tables
from .folder_work import Options, run
from .found import fingerprint
from .images import SUFFIXES
from .models import load_model
from .zoo import categories_of


@dataclass(frozen=True)
class FolderResult:
    """What `segment_folder` did.

    Attributes:
        paths: The pictures, in their order.
        out: Where the files are.
        failures: Name -> what was wrong with it.
        skipped: How many were done before this run.
        seconds: How long this run took.
    """

    paths: tuple[Path, ...]
    out: Path
    failures: dict[str, str]
    skipped: int
    seconds: float

    def __str__(self) -> str:
        rate = (len(self.paths) - self.skipped) / max(self.seconds, 1e-9)
        return (
            f"{len(self.paths)} picture{'s' * (len(self.paths) != 1)}, {self.skipped} done before; "
            f"{len(self.failures)} failed; {rate:.2f} a second"
        )

    def records(self) -> Iterator[Record]:
        """What is known of each picture, read one by one."""
        return Records(self.out).of(path.name for path in self.paths)


def segment_folder(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    model: MaskRCNN | str | os.PathLike[str] | None = None,
    **options: Any,
) -> FolderResult:
    """Segment every picture that lies directly in a folder: `segment_pictures` on `pictures_in(folder)`.

    Args:
        folder: Of pictures.
        out, model, options: As there.

    Raises:
        MasksegError: No such folder, or no picture in it; and as there.
    """
    return segment_pictures(pictures_in(folder), out, model, **options)


def segment_pictures(
    pictures: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    model: MaskRCNN | str | os.PathLike[str] | None = None,
    *,
    score_threshold: float = 0.5,
    mask_threshold: float = 0.5,
    alpha: float = 0.5,
    overlap: str = "surest",
    formats: Collection[str] = ("overlay", "coco", "csv"),
    executor: Executor | None = None,
    resume: bool = True,
    progress: bool = True,
) -> FolderResult:
    """Segment pictures, each at its own size.

    A picture that cannot be read becomes a row of `failures.csv`, and the run goes on. After an interrupt,
    or a crash at any moment, the same call goes on where it stopped, to the same files.

    Args:
        pictures: Their paths; each with a name of its own.
        out: A new folder, or that of an earlier run. "coco", "coco_polygons" and "csv" become one file
            for all pictures; every other format files a picture.
        model: A loaded MaskRCNN, or what `load_model` takes. With an executor of other processes, a name
            or path: each of them loads the model once.
        score_threshold, mask_threshold: As in `Prediction.select`.
        alpha, overlap, formats: As in `export`.
        executor: Any of `concurrent.futures`, or Dask's `client.get_executor()`; None works here, on a
            picture a processor core. Processes have to be spawned, not forked:
            `ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))`.
        resume: False does all pictures again.
        progress: Show a progress bar.

    Raises:
        MasksegError: There is no picture, two have the same name, or `out` cannot be written.
        ValueError, TypeError: An argument is out of range, or of another kind.
    """
    start = time.perf_counter()
    check_formats(formats)
    options = Options(score_threshold, mask_threshold, alpha, overlap, tuple(formats))
    _check_executor(executor)
    here = executor is None or isinstance(executor, ThreadPoolExecutor)
    if not here and not isinstance(model, (str, os.PathLike)):
        raise TypeError("model must be a name or path where an executor's processes have to load it")
    loaded = model if isinstance(model, MaskRCNN) else load_model(model)
    check_model(loaded)
    paths, target = tuple(map(Path, pictures)), Path(out)
    names = [path.name for path in paths]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise MasksegError(f"two pictures are called {quoted(repeated[0])}; give them one by one")
    if not paths:
        raise MasksegError("there are no pictures to segment; give one or more")
    records = prepare(target)
    settings = fingerprint(loaded, options)
    todo = [path for path in paths if not (resume and records.done(path, settings))]
    done = len(paths) - len(todo)
    bar = tqdm(total=len(paths), initial=done, unit="picture", disable=not progress)
    with bar, contextlib.ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        if executor is None:
            executor = stack.enter_context(ThreadPoolExecutor(torch.get_num_threads()))
        given = loaded if here else os.fspath(model)  # type: ignore[arg-type]
        for _ in run(todo, target, given, options, settings, executor):
            bar.update()
    write_tables(lambda: records.of(names), target, options.formats, categories_of(loaded))
    failures = {record.file: record.error for record in records.of(names) if record.error}
    return FolderResult(paths, target, failures, done, time.perf_counter() - start)


def pictures_in(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures directly in a folder, by name.

    Raises:
        MasksegError: There is no such folder, or no picture in it.
    """
    try:
        entries = [Path(entry.path) for entry in os.scandir(folder) if not entry.is_dir()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MasksegError(f"{quoted(folder)} cannot be read: {reason}; give a folder of pictures") from None
    paths = sorted(path for path in entries if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise MasksegError(
            f"no pictures in {quoted(folder)}; it needs files such as {', '.join(SUFFIXES[:4])}"
        )
    return paths


def _check_executor(executor: Executor | None) -> None:
    """Refuse forked processes: they inherit torch's locks without the threads that would open them."""
    context = getattr(executor, "_mp_context", None)
    if isinstance(executor, ProcessPoolExecutor) and context and context.get_start_method() == "fork":
        raise ValueError(
            "executor must spawn its processes, got one that forks them, and torch would wait for ever; use "
            'ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))'
        )
