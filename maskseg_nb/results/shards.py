"""Millions of pictures through the network: what was found in Parquet, a file per chunk, nothing done twice.

The same chunks, workers and options as a folder run, and other shelves: where `Records` keeps a file for each
picture, `Shards` keeps one for each chunk.
"""

import contextlib
import hashlib
import os
import secrets
import tempfile
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.models.detection import MaskRCNN
from tqdm.auto import tqdm

from ..errors import MasksegError
from ..mask_rcnn.knobs import fingerprint
from ..models.zoo import categories_of
from .chunks import Chunk
from .export import check_formats
from .folder import counted, networks, resources, sorted_names
from .folder_names import Named
from .folder_records import Record, check_out, remove_partials, write_tables
from .folder_worker import MERGED, Job, Options, segment_all
from .formats import Files
from .manifest import SHARDS, Kept, Manifest
from .places import Place, absolute, held
from .shard_files import AT_LIMIT, FAILED, as_parquet, pictures_of, version_of
from .sources import Listed, Source, chunks_of, listed

PER_CHUNK = 64  # pictures
MOST_IN_TABLES = 100_000  # pictures in a CSV table or a COCO file: more is for programs that read Parquet
BATCH = 1024  # pictures of a listing that are looked for together
MERGE_AFTER = 100_000  # versions that were taken, until they are sorted in


@dataclass(frozen=True)
class ShardsResult:
    """What `segment_shards` did.

    Attributes:
        out: Where the results are: a path or URL.
        pictures: How many pictures the place holds now.
        failed: With how many of them something went wrong.
        at_limit: In how many the model reached its limit of detections.
        skipped: How many pictures of the source were done before.
        done: How many this run did.
        seconds: How long it took.
    """

    out: str
    pictures: int
    failed: int
    at_limit: int
    skipped: int
    done: int
    seconds: float

    def __str__(self) -> str:
        limit = f"; {self.at_limit} at the limit of detections" if self.at_limit else ""
        return (
            f"{counted(self.done + self.skipped)}, {self.skipped} done before; {self.failed} failed; "
            f"{self.done / max(self.seconds, 1e-9):.2f} a second{limit}"
        )


def segment_shards(
    source: Source,
    out: str | os.PathLike[str],
    model: MaskRCNN | str | os.PathLike[str] | None = None,
    *,
    score_threshold: float = 0.5,
    mask_threshold: float = 0.5,
    categories: Collection[str] | None = None,
    detections_per_img: int | None = None,
    alpha: float = 0.5,
    overlap: str = "surest",
    formats: Collection[str] = (),
    executor: Executor | Any | None = None,
    resume: bool = True,
    progress: bool = True,
) -> ShardsResult:
    """Segment any number of pictures, on one machine or a cluster, from disks or object stores.

    `out` holds `shards/*/*.parquet`, for any program that reads Parquet: a row per instance, its mask as
    COCO's compressed run lengths in the column "rle", and a row for each picture in which nothing was found
    or that failed; `manifest.parquet`, which says what is done; and `failures.csv`. A picture is called by
    its path or URL. Files of single pictures, if `formats` asks for them, are below `files/`, a few a folder.

    Workers are given 64 pictures at a time: for a few hundred pictures, take `segment_pictures`.

    Failures, interrupts and dead workers are as in `segment_pictures`. The same call resumes, whatever died;
    pictures that have changed or were added since are done, and no picture is in two shards when a run has
    ended.

    Args:
        source: A folder, for all pictures in it and below; a pattern ("s3://bucket/photos/**/*.jpg"); a
            picture; a list (a text file with a path or URL per line, a Parquet file with a column "path"); or
            an iterable of paths and URLs. Read while the workers work, never as a whole.
        out: A folder or URL: new, or of an earlier run with the same model and options.
        model, score_threshold, mask_threshold, categories, detections_per_img, alpha, overlap: As in
            `segment_pictures`.
        formats: As in `segment_pictures`. "coco", "coco_polygons" and "csv" become one file, sorted by
            name, for up to 100,000 pictures.
        executor: As in `segment_pictures`; a Dask client is asked now and then how many threads it has.
        resume: False removes what is there, and segments all pictures again.
        progress: Show a progress bar.

    Raises:
        MasksegError: There is no picture, another run writes into `out`, it holds something else, or results
            of another model or other options; a package of the extra `scale` is missing.
        ValueError, TypeError: As in `segment_pictures`.
    """
    start = time.perf_counter()
    check_formats(formats)
    of_pictures = tuple(name for name in formats if name not in MERGED)
    kept = sorted_names(categories)
    options = Options(score_threshold, mask_threshold, alpha, overlap, of_pictures, kept, detections_per_img)
    network, sent = networks(model, executor, options)
    place = Place(absolute(os.fspath(out)))
    with resources(), held(place):
        if place.path:
            check_out(place.path, SHARDS)
            (place.path / SHARDS).mkdir(exist_ok=True)
            for folder in (place.path, *(place.path / SHARDS).iterdir()):
                remove_partials(folder)
        settings = fingerprint(network, *options.parts())
        manifest = Manifest(place, settings, resume=resume)
        todo = _Todo(listed(source), manifest.done())
        job = Job(Shards(place, settings, secrets.token_hex(4)), sent, options, settings)
        try:
            _segment(todo, job, executor, manifest, tqdm(unit="picture", disable=not progress))
        finally:
            manifest.save()
        if not len(manifest):
            raise MasksegError("there are no pictures to segment; give one or more")
        manifest.catch_up()  # a worker that was given up may have been late
        manifest.tidy()
        manifest.save()
        _write_tables(manifest, place, formats, categories_of(network))
        flags = manifest.all_rows()["flags"]
    return ShardsResult(
        os.fspath(out),
        len(flags),
        int(np.count_nonzero(flags & FAILED)),
        int(np.count_nonzero(flags & AT_LIMIT)),
        todo.skipped,
        todo.taken,
        time.perf_counter() - start,
    )


@dataclass(frozen=True)
class Shards:
    """The results in a place, as a run's workers write them: a `Store`.

    Attributes:
        place: Where.
        settings: The `fingerprint` of model and options.
        run: A few digits that no other run has, so that none replaces another's shards.
    """

    place: Place
    settings: str
    run: str

    def keep_files(self, picture: Named, files: Files, record: Record, formats: Sequence[str]) -> None:
        """As `Store.keep_files`."""
        if not formats:
            return
        folder, _, stem = picture.stem.rpartition("/")
        names = {f"{picture.stem}{ending}" for ending in files}
        for file in list(self.place.files(folder)):
            if file.name.startswith(f"{folder}/{stem}.") and file.name not in names:
                self.place.remove(file.name)
        for ending, data in files.items():
            self.place.write(f"{picture.stem}{ending}", data)

    def keep(self, pictures: Chunk, records: Sequence[Record]) -> Kept:
        """As `Store.keep`: write a shard, and return what the manifest needs of it."""
        rows = pictures_of(records)
        digest = hashlib.blake2b(self.run.encode() + rows["version"].tobytes(), digest_size=8).hexdigest()
        name = f"{SHARDS}/{digest[:2]}/{digest[2:]}-{self.run}.parquet"
        self.place.write(name, as_parquet(records, rows, self.settings))
        return Kept(name, rows)


class _Todo:
    """The pictures of a source that are not done yet, each once; it counts them.

    What is done, or was taken, is known by 8 bytes for each picture.
    """

    def __init__(self, pictures: Iterable[Listed], done: np.ndarray) -> None:
        self.pictures, self.known = iter(pictures), done
        self.new: set[int] = set()
        self.taken, self.skipped = 0, 0

    def __iter__(self) -> Iterator[Named]:
        while batch := list(islice(self.pictures, BATCH)):
            versions = [version_of(*picture) for picture in batch]
            known = _in_sorted(np.array(versions, np.uint64), self.known)
            self.skipped += int(known.sum())
            for at in np.flatnonzero(~known).tolist():
                if versions[at] not in self.new:
                    self.new.add(versions[at])
                    self.taken += 1
                    yield batch[at].named()
            if len(self.new) >= MERGE_AFTER:
                new = np.fromiter(self.new, np.uint64, len(self.new))
                self.known = np.sort(np.concatenate([self.known, new]))
                self.new.clear()


def _in_sorted(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which values are among sorted ones: bool."""
    at = np.searchsorted(among, values)
    found: np.ndarray = np.append(among, 0)[at] == values
    return found & (at < len(among))


def _segment(
    todo: Iterable[Named], job: Job, executor: Executor | None, manifest: Manifest, bar: tqdm
) -> None:
    folder = manifest.place.path
    with bar, contextlib.closing(segment_all(chunks_of(todo, PER_CHUNK), job, executor, folder)) as finished:
        for chunk, kept in finished:
            manifest.add(kept)
            manifest.save(if_late=True)
            bar.update(len(chunk))


def _write_tables(
    manifest: Manifest, place: Place, formats: Collection[str], categories: tuple[str, ...]
) -> None:
    """`failures.csv`, and the tables that the formats ask for, where they are not too large."""
    tables = [name for name in formats if name in MERGED]
    if tables and len(manifest) > MOST_IN_TABLES:
        warnings.warn(
            f"no table of {len(manifest):,} pictures was written, as {MOST_IN_TABLES:,} are the most; "
            f"read {place.url}/{SHARDS}/*/*.parquet",
            stacklevel=3,
        )
        tables = []

    def records() -> Iterator[Record]:
        return manifest.records(0 if tables else FAILED)

    if place.path:
        write_tables(records, place.path, tables, categories)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_tables(records, Path(folder), tables, categories)
        for path in sorted(Path(folder).iterdir()):
            place.write(path.name, path.read_bytes())
