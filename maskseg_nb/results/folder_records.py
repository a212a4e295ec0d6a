"""What is known of each picture of a folder: a small file a picture, and the tables that are made of them."""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from .._shared.files import PARTIAL, whole_file
from .._shared.memory import is_shortage
from ..errors import MasksegError, cannot_write, quoted
from .coco import CocoImage, as_polygons, write_coco_results
from .folder_names import Named
from .formats import write_csv

RECORDS = "records"


@dataclass(frozen=True)
class Record:
    """One picture's result, or what was wrong with it.

    Attributes:
        file: What the picture is called: its name, or its place below the common folder.
        stamp: Its size in bytes and time of change, in nanoseconds: another file, another result.
        settings: 16 hexadecimal digits that stand for model, thresholds and formats.
        error: Why there is no result; empty where there is one.
        image_size: [height, width] in pixels.
        rows: As `measure` returns.
        entries: As `coco_entries` returns.
        limit: The model's limit of detections, where it may have cut off what would have been kept; else 0.
        retry: Whether the error is not the file's own, and the next run tries again.
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

    @property
    def with_rle(self) -> CocoImage:
        """As `write_coco_results` takes it."""
        height, width = self.image_size
        return CocoImage(self.file, (height, width), self.entries)

    @property
    def with_polygons(self) -> CocoImage:
        """The same with polygons in place of RLE."""
        return self.with_rle._replace(entries=list(map(as_polygons, self.entries)))

    def json(self) -> bytes:
        """ASCII bytes, as `Records.read` reads them; `limit` and `retry` only where they say something."""
        values = asdict(self)
        for name in ("limit", "retry"):
            if not values[name]:
                del values[name]
        return json.dumps(values, sort_keys=True).encode("ascii")


class Records:
    """The records in an output folder.

    Args:
        out: The folder.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / RECORDS

    def path(self, stem: str) -> Path:
        """Where the record of a picture whose files begin so is or will be."""
        return self.folder / f"{stem}.json"

    def read(self, picture: Named) -> Record | None:
        """A picture's record; None where there is none, or only another picture's."""
        try:
            record = Record(**json.loads(self.path(picture.stem).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.file == picture.file else None

    def read_all(self, pictures: Iterable[Named]) -> Iterator[Record]:
        """The records of these pictures, one by one; of those that have one."""
        return filter(None, map(self.read, pictures))

    def done(self, picture: Named, settings: str) -> bool:
        """Whether a picture's record has these settings and need not be made again."""
        record = self.read(picture)
        if record is None or record.retry or is_shortage(record.error):  # of which older runs knew nothing
            return False
        return record.settings == settings and record.stamp == stamp(picture.path)


def stamp(path: Path) -> list[int]:
    """[bytes, time of change in nanoseconds] of a file; zeros where it is gone."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # the latter: a NUL in the path
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def write_tables(
    records: Callable[[], Iterable[Record]], out: Path, formats: Collection[str], categories: tuple[str, ...]
) -> None:
    """Write `failures.csv`, and where they are among the formats `instances.csv`, `coco.json` and
    `coco-polygons.json`.

    Args:
        records: Called for them, in the order of the tables, as often as they are needed: they are never
            all in memory.
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
            write_coco_results(file, lambda: (r.with_rle for r in records() if not r.error), categories)
    if "coco_polygons" in formats:
        with _text(out / "coco-polygons.json") as file:
            write_coco_results(file, lambda: (r.with_polygons for r in records() if not r.error), categories)


@contextlib.contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """A text file that appears when the block has ended well; names that are no UTF-8 as escapes."""
    try:
        with whole_file(path) as file:
            text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
            yield text
            text.flush()
            text.detach()
    except OSError as error:
        raise MasksegError(cannot_write(path, error)) from None


def prepare(out: Path) -> Records:
    """Make the output folder, or clear an earlier run's of what a killed process left.

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
