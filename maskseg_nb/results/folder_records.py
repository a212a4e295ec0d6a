"""What is known of each picture of a folder: a small file per picture, and the tables made of them."""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from .._shared.files import PARTIAL, whole_file
from .._shared.memory import is_shortage
from ..errors import MasksegError, cannot_write, quoted
from .coco import CocoImage, as_polygons, write_coco_results
from .folder_names import Named
from .formats import write_csv

RECORDS = "records"  # the folder's name
_LATER = ("limit", "retry")  # fields that earlier versions did not write


@dataclass(frozen=True)
class Record:
    """One picture's result, or what was wrong with it.

    Attributes:
        file: What the picture is called: its name, or its place below the common folder.
        stamp: As `stamp` returns; a changed file is segmented again.
        settings: 16 hexadecimal digits that stand for model, thresholds and formats.
        error: Why there is no result; empty where there is one.
        image_size: [height, width] in pixels.
        rows: As `measure` returns.
        entries: As `coco_entries` returns.
        limit: The model's limit of detections, where it may have cut off what would have been kept; else 0.
        retry: Whether the next run tries again, as the error was not the file's.
    """

    file: str
    stamp: list[int]
    settings: str
    error: str
    image_size: list[int]
    rows: list[dict[str, Any]]
    entries: list[dict[str, Any]]
    limit: int = 0
    retry: bool = False

    def coco(self, *, polygons: bool = False) -> CocoImage:
        """As `write_coco_results` takes it, masks as RLE or as polygons."""
        height, width = self.image_size
        entries = list(map(as_polygons, self.entries)) if polygons else self.entries
        return CocoImage(self.file, (height, width), entries)

    def json(self) -> bytes:
        """ASCII bytes, as `Records.read` reads them; `limit` and `retry` only where they say something."""
        values = {name: value for name, value in vars(self).items() if value or name not in _LATER}
        return json.dumps(values, sort_keys=True).encode("ascii")


class Records:
    """The records in the output folder `out`."""

    def __init__(self, out: Path) -> None:
        self.folder = out / RECORDS

    def read(self, picture: Named) -> Record | None:
        """A picture's record; None where there is none, or only another picture's."""
        try:
            record = Record(**json.loads((self.folder / f"{picture.stem}.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.file == picture.file else None

    def read_all(self, pictures: Iterable[Named]) -> Iterator[Record]:
        """The records of these pictures, read one by one; pictures without one are skipped."""
        return filter(None, map(self.read, pictures))

    def done(self, picture: Named, settings: str) -> bool:
        """Whether a picture's record has these settings and need not be made again."""
        record = self.read(picture)
        if record is None or record.retry or is_shortage(record.error):  # older runs recorded no retry
            return False
        return record.settings == settings and record.stamp == stamp(picture.path)


def stamp(path: Path) -> list[int]:
    """[size in bytes, time of change in nanoseconds] of a file; zeros where it is gone."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # the latter: a NUL in the path
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def write_tables(
    records: Callable[[], Iterable[Record]], out: Path, formats: Collection[str], categories: tuple[str, ...]
) -> None:
    """Write `failures.csv`, and as the formats say `instances.csv`, `coco.json` and `coco-polygons.json`.

    Args:
        records: Called once per table for the records in order, which are never all in memory.
        out: An existing folder.
        formats: Names of `FORMATS`.
        categories: The model's, indexed by label, [0] the background.

    Raises:
        MasksegError: The folder cannot be written.
    """
    with _text(out / "failures.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "error"))
        writer.writerows((record.file, record.error) for record in records() if record.error)
    if "csv" in formats:
        with _text(out / "instances.csv") as file:
            write_csv(file, ({"file": r.file, **row} for r in records() for row in r.rows))
    if "coco" in formats:
        with _text(out / "coco.json") as file:
            write_coco_results(file, lambda: (r.coco() for r in records() if not r.error), categories)
    if "coco_polygons" in formats:
        with _text(out / "coco-polygons.json") as file:
            write_coco_results(
                file, lambda: (r.coco(polygons=True) for r in records() if not r.error), categories
            )


@contextlib.contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """A text file that appears when the block has ended well; in it, what is not UTF-8 is escaped."""
    try:
        with whole_file(path) as file:
            text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
            yield text
            text.flush()
            text.detach()
    except OSError as error:
        raise MasksegError(cannot_write(path, error)) from None


def prepare(out: Path) -> Records:
    """Make the output folder; clear an earlier run's of what a killed process left.

    Args:
        out: A new or empty folder, or that of an earlier run.

    Raises:
        MasksegError: It holds something else, or cannot be written.
    """
    records = Records(out)
    try:
        if out.is_dir() and not records.folder.is_dir() and any(out.iterdir()):
            raise MasksegError(f"{quoted(out)} is neither empty nor of an earlier run; give a new folder")
        records.folder.mkdir(parents=True, exist_ok=True)
        for folder in (out, records.folder):
            for partial in folder.glob(f"{PARTIAL}*"):
                partial.unlink()
    except OSError as error:
        raise MasksegError(cannot_write(out, error)) from None
    return records
