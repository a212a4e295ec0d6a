"""A folder of photographs through the network: files for each, tables for all, and nothing done twice."""

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

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
from .models import categories_of, load_model


@dataclass(frozen=True)
class FolderResult:
    """What `segment_folder` did.

    Attributes:
        folder: Where the pictures are.
        out: Where the files are.
        names: The pictures' names, in their order.
        failures: Name -> what was wrong with it.
        skipped: How many were done before this run.
        seconds: How long this run took.
    """

    folder: Path
    out: Path
    names: tuple[str, ...]
    failures: dict[str, str]
    skipped: int
    seconds: float

    def __str__(self) -> str:
        rate = (len(self.names) - self.skipped) / max(self.seconds, 1e-9)
        return (
            f"{len(self.names)} pictures, {self.skipped} of them done before; {len(self.failures)} failed; "
            f"{rate:.2f} pictures a second"
        )

    def records(self) -> Iterator[Record]:
        """What is known of each picture, read one by one."""
        return Records(self.out).of(self.names)


def segment_folder(
    folder: str | os.PathLike[str],
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
    """Segment every picture of a folder, each at its own size.

    A picture that cannot be read becomes a row of `failures.csv`, and the run goes on. After an interrupt,
    or a crash at any moment, the same call goes on where it stopped, to the same files.

    Args:
        folder: The pictures directly in it are taken.
        out: A new folder, or that of an earlier run. "coco" and "csv" become one file for all pictures;
            every other format files a picture.
        model: A loaded MaskRCNN, or what `load_model` takes. With an executor of other processes, a name
            or path: each of them loads the model once.
        score_threshold, mask_threshold: As in `Prediction.select`.
        alpha, overlap, formats: As in `export`.
        executor: Any of `concurrent.futures`, or Dask's `client.get_executor()`; None works here, on a
            picture a processor core.
        resume: False does all pictures again.
        progress: Show a progress bar.

    Raises:
        MasksegError: No such folder, no picture in it, or `out` cannot be written.
        ValueError, TypeError: An argument is out of range, or of another kind.
    """
    start = time.perf_counter()
    check_formats(formats)
    options = Options(score_threshold, mask_threshold, alpha, overlap, tuple(formats))
    here = executor is None or isinstance(executor, ThreadPoolExecutor)
    if not here and not isinstance(model, (str, os.PathLike)):
        raise TypeError("model must be a name or path where an executor's processes have to load it")
    loaded = model if isinstance(model, MaskRCNN) else load_model(model)
    check_model(loaded)
    paths, target = pictures_in(folder), Path(out)
    records = prepare(target)
    settings = fingerprint(loaded, options)
    todo = [path for path in paths if not (resume and records.done(path, settings))]
    done = len(paths) - len(todo)
    bar = tqdm(total=len(paths), initial=done, unit="picture", disable=not progress)
    with bar, contextlib.ExitStack() as stack:
        if executor is None:
            executor = stack.enter_context(ThreadPoolExecutor(torch.get_num_threads()))
        given = loaded if here else os.fspath(model)  # type: ignore[arg-type]
        for _ in run(todo, target, given, options, settings, executor):
            bar.update()
    names = tuple(path.name for path in paths)
    write_tables(lambda: records.of(names), target, options.formats, categories_of(loaded))
    failures = {record.file: record.error for record in records.of(names) if record.error}
    return FolderResult(Path(folder), target, names, failures, done, time.perf_counter() - start)


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
