"""Where millions of pictures are: listed one after the other, and never all in memory."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from ..data.codec import MAX_PICTURE_BYTES, TOO_LARGE, decode_image
from ..data.images import SUFFIXES, load_image
from ..errors import ImageError, MasksegError, quoted
from .chunks import Chunk
from .folder_names import Named
from .formats import safe_name
from .places import absolute, local_path, opened, readable, seen_in

FILES = "files"  # the folder of what is written for each picture
MAX_CHUNK_BYTES = 2**28  # of picture files: a worker reads one after the other, but all have to be sent to it
_MAGIC = re.compile(r"[*?[]")

Source = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class Listed(NamedTuple):
    """A picture as a listing has it: its path or URL, and as `stamp` returns, zeros for what is not known."""

    place: str
    seen: tuple[int, int]

    def named(self) -> Named:
        """It is called by its path or URL, as no other is; its files are to lie in folders of a few."""
        digest = hashlib.sha256(self.place.encode("utf-8", "surrogatepass")).hexdigest()
        name = safe_name(self.place.rpartition("/")[2])
        stem = f"{FILES}/{digest[:2]}/{digest[2:4]}/{name}-{digest[4:20]}"
        path = absolute(self.place)
        return Named(path if "://" in path else Path(path), self.place, stem, self.seen)


def listed(source: Source) -> Iterator[Listed]:
    """The pictures of a source, in an order that is the same each time.

    Args:
        source: A folder, for all pictures in it and below; a pattern ("s3://bucket/photos/**/*.jpg"); a
            picture; a list (a text file with a path or URL per line, or a Parquet file with a column "path");
            or paths and URLs themselves, read one by one. A list does not say when a file behind a URL was
            changed: if it is done, it stays done.

    Raises:
        MasksegError: It cannot be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        yield from (_of_a_list(os.fspath(place)) for place in source)
        return
    url = os.fspath(source)
    ending = "" if _MAGIC.search(url) or os.path.isdir(url) else PurePosixPath(url).suffix.lower()
    try:
        with readable(url):
            if ending in (".txt", ".parquet"):
                yield from map(_of_a_list, _lines(url) if ending == ".txt" else _column(url))
            elif ending in SUFFIXES:
                yield _of_a_list(url)
            else:
                yield from _below(url)
    except FileNotFoundError:
        raise MasksegError(
            f"{quoted(url, 200)} does not exist, or nothing is in it; check the path"
        ) from None


def chunks_of(pictures: Iterable[Named], most: int) -> Iterator[Chunk]:
    """Pictures in their order, `most` together, or fewer that are large."""
    chunk: list[Named] = []
    size = 0
    for picture in pictures:
        of_this = picture.seen[0] if picture.seen else 0
        if chunk and (len(chunk) == most or size + of_this > MAX_CHUNK_BYTES):
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(picture)
        size += of_this
    if chunk:
        yield tuple(chunk)


def image_of(picture: Named) -> np.ndarray:
    """`load_image` for a picture of a run, also behind a URL.

    Raises:
        ImageError: It is missing, too large, damaged, or not a picture of a supported format.
        Exception: What else its file system raises: that may work another time.
    """
    if isinstance(picture.path, Path):
        return load_image(picture.path)
    url, size = picture.path, picture.seen[0] if picture.seen else 0
    system, path = opened(url)
    name = quoted(url.rpartition("/")[2])
    try:
        if (size or system.info(path)["size"] or 0) > MAX_PICTURE_BYTES:
            raise ImageError(f"{name} {TOO_LARGE}")
        return decode_image(system.cat_file(path), name)
    except FileNotFoundError:
        raise ImageError(f"{quoted(url, 200)} does not exist; check the path") from None


def _of_a_list(place: str) -> Listed:
    path = local_path(place)
    try:
        status = path.stat() if path else None
    except (OSError, ValueError):
        status = None
    return Listed(place, (status.st_size, status.st_mtime_ns) if status else (0, 0))


def _below(url: str) -> Iterator[Listed]:
    """All pictures below a folder, or those that a pattern means, folder by folder."""
    system, path = opened(url)
    magic = _MAGIC.search(path)
    root = path[: path.rindex("/", 0, magic.start())] if magic else path
    scheme = "" if local_path(url) else url[: url.index("://") + 3]
    depth = path.count("/") - root.count("/") if magic and "**" not in path else None
    fits = re.compile(_pattern(path)).match if magic else None
    found = False
    for place, below, files in system.walk(root, maxdepth=depth, detail=True, on_error="raise"):
        for name, info in sorted(files.items()):
            found = True
            full = f"{place}/{name}"
            if not name.startswith("._") and (
                fits(full) if fits else PurePosixPath(name).suffix.lower() in SUFFIXES
            ):
                yield Listed(f"{scheme}{full}", seen_in(info))
        for name in sorted(below):  # walk goes on in the order that it finds here
            below[name] = below.pop(name)
    if not found:
        raise FileNotFoundError


def _pattern(path: str) -> str:
    from fsspec.utils import glob_translate

    pattern: str = glob_translate(path)
    return pattern


def _lines(url: str) -> Iterator[str]:
    system, path = opened(url)
    with system.open(path, "r", encoding="utf-8") as file:
        for line in file:
            if place := line.rstrip("\r\n"):
                yield place


def _column(url: str) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    system, path = opened(url)
    with system.open(path, "rb") as file:
        for batch in ParquetFile(file).iter_batches(columns=["path"]):
            yield from filter(None, batch.column(0).to_pylist())
