"""What is known of each picture of a folder: a small file per picture, and the tables made of them."""

import contextlib
import csv
import io
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from .._shared.checks import is_number, is_whole
from .._shared.files import LOCK, PARTIAL, whole_file
from .._shared.memory import is_shortage
from ..data.rle import decoded_runs
from ..errors import MasksegError, cannot_write, quoted
from .coco import CocoImage, as_polygons, write_coco_results
from .export import write_files
from .folder_names import Named
from .formats import ENDINGS, Files, instance_file, plain_text, write_csv
from .measures import COLUMNS

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
    """The results in the output folder `out`: a record for each picture, beside its files."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / RECORDS

    def keep_files(self, picture: Named, files: Files, record: Record, formats: Collection[str]) -> None:
        """As `Store.keep_files`; files of formats that this run does not write stay."""
        earlier = self.read(picture)
        write_files(files, self.out, picture.stem, overwrite=True)
        if earlier:
            for ending in _endings(earlier, formats) - files.keys():
                path = self.out / f"{picture.stem}{ending}"
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise MasksegError(cannot_write(path, error)) from None

    def keep(self, pictures: Iterable[Named], records: Sequence[Record]) -> None:
        """As `Store.keep`."""
        for picture, record in zip(pictures, records, strict=True):
            write_files({".json": record.json()}, self.folder, picture.stem, overwrite=True)

    def read(self, picture: Named) -> Record | None:
        """A picture's record; None where there is none, or only another picture's."""
        try:
            record = Record(**json.loads((self.folder / f"{picture.stem}.json").read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return record if record.file == picture.file else None

    def read_all(self, pictures: Iterable[Named]) -> Iterator[Record]:
        """The records of these pictures, read one by one; pictures without one are skipped."""
        return filter(None, map(self.read, pictures))

    def done(self, picture: Named, settings: str) -> bool:
        """Whether a picture's record has these settings and need not be made again."""
        record = self.read(picture)
        if record is None or record.settings != settings or record.stamp != stamp(picture):
            return False
        if not is_whole_record(record):  # somebody else wrote it
            return False
        return not record.retry and not is_shortage(record.error)  # older runs recorded no retry


def is_whole_record(record: Record) -> bool:
    """Whether a record is of the kinds that it should be, so that the tables can be made of it."""
    if not isinstance(record.error, str) or not is_whole(record.limit):
        return False
    sides, rows, entries = record.image_size, record.rows, record.entries
    if not all(isinstance(values, list) for values in (sides, rows, entries)):
        return False
    if len(sides) != 2 or not all(map(is_whole, sides)) or len(rows) != len(entries):
        return False
    return all(map(_is_row, rows)) and all(_is_entry(entry, sides) for entry in entries)


def _is_row(row: object) -> bool:
    """Whether it is one of `measure`'s."""
    return (
        isinstance(row, dict)
        and row.keys() == set(COLUMNS)
        and is_whole(row["instance"])
        and isinstance(row["category"], str)
        and all(value is None or is_number(value) for name, value in row.items() if name != "category")
    )


def _is_entry(entry: object, sides: list[int]) -> bool:
    """Whether it is one of `coco_entries`, with a mask that fills the image."""
    if not isinstance(entry, dict) or not all(is_whole(entry.get(k)) for k in ("instance", "category_id")):
        return False
    rle = entry.get("segmentation")
    if not isinstance(rle, dict) or rle.get("size") != sides or not isinstance(rle.get("counts"), str):
        return False
    runs = decoded_runs(rle["counts"])
    return runs is not None and bool((runs >= 0).all()) and int(runs.sum()) == sides[0] * sides[1]


def _endings(record: Record, formats: Collection[str]) -> set[str]:
    """How the names end of the files that these formats gave a record's picture."""
    endings = {ending for format in formats for ending in ENDINGS.get(format, ())}
    kinds = [kind for format, kind in (("masks", "mask"), ("cut_outs", "cut-out")) if format in formats]
    rows = [row for row in record.rows if isinstance(row, dict)] if isinstance(record.rows, list) else []
    numbers = [row.get("instance", index) for index, row in enumerate(rows)]  # once they had none
    return endings | {instance_file(kind, number) for kind in kinds for number in numbers if is_whole(number)}


def stamp(picture: Named) -> list[int]:
    """[size in bytes, time of change in nanoseconds] of a picture's file; zeros where it is gone."""
    if picture.seen:
        return list(picture.seen)
    try:
        status = os.stat(picture.path)
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
        writer.writerows(map(plain_text, (r.file, r.error)) for r in records() if r.error)
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
    """Make the output folder; clear an earlier run's of what a killed process left. Nobody else may be in it.

    Args:
        out: A new or empty folder, or that of an earlier run.

    Raises:
        MasksegError: It holds something else, or cannot be written.
    """
    records = Records(out)
    try:
        check_out(out, RECORDS)
        records.folder.mkdir(exist_ok=True)
        for folder in (out, records.folder):
            remove_partials(folder)
    except OSError as error:
        raise MasksegError(cannot_write(out, error)) from None
    return records


def remove_partials(folder: Path) -> None:
    """Remove what a killed process left in a folder that nobody else writes into.

    Raises:
        OSError: It cannot be removed.
    """
    for partial in folder.glob(f"{PARTIAL}*"):
        if partial.is_symlink() or not partial.is_dir():  # a folder is nothing of ours
            partial.unlink(missing_ok=True)


def check_out(out: Path, inside: str) -> None:
    """Refuse a folder that is neither new, nor empty, nor of an earlier run, which had a folder `inside` it.

    Raises:
        MasksegError: It is something else, or its folder `inside` leads elsewhere.
        OSError: It cannot be read.
    """
    if (out / inside).is_symlink():
        raise MasksegError(f"{quoted(out / inside)} is a link, which could lead anywhere; give a new folder")
    if out.is_dir() and not (out / inside).is_dir() and any(e.name != LOCK for e in out.iterdir()):
        raise MasksegError(f"{quoted(out)} is neither empty nor of an earlier run; give a new folder")
