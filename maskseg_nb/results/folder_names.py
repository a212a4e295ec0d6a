"""What each picture of a run is called, in the tables and on the disk."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..data.samples import picture_name
from .formats import safe_name


@dataclass(frozen=True)
class Named:
    """A picture and its names.

    Attributes:
        path: Where it is; a URL as a str.
        file: What the tables call it: its `picture_name`, or its place below the common folder.
        stem: How the names of its files begin.
        seen: As `stamp` returns, where a listing told it.
    """

    path: Path | str
    file: str
    stem: str
    seen: tuple[int, int] | None = None


def named(paths: Iterable[Path]) -> tuple[Named, ...]:
    """Names that no two pictures share, even on a disk where upper and lower case are the same.

    A picture is called by its name alone, unless folders hold pictures of the same name: then all are called
    by their place below the folder that they have in common, as "day1/IMG_0001.JPG". A picture that is given
    twice is named once.
    """
    places = {os.path.abspath(path): path for path in paths}
    files = _below_the_common_folder(places) if _share_names(places) else _names(places)
    stems = list(map(unique_name, files))
    counts = Counter(map(_folded, stems))
    return tuple(
        Named(path, file, numbered_name(file) if counts[_folded(stem)] > 1 else stem)
        for path, file, stem in zip(places.values(), files, stems, strict=True)
    )


def unique_name(file: str) -> str:
    """How the names of a picture's files begin: its own name, or a plain one and 8 digits of its hash."""
    return file if safe_name(file) == file else numbered_name(file)


def numbered_name(file: str) -> str:
    """`unique_name`, always with the digits. Of a long place below a folder, the end is kept: the name."""
    plain = safe_name(file[-50:] if "/" in file else file)
    try:
        data = file.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, as Windows allows
        data = file.encode("utf-8", "surrogatepass")
    return f"{plain}-{hashlib.sha256(data).hexdigest()[:8]}"


def _names(places: Collection[str]) -> list[str]:
    return [picture_name(Path(place)) for place in places]


def _share_names(places: Collection[str]) -> bool:
    """Whether pictures of different folders have the same name, ignoring case."""
    folders = map(os.path.dirname, places)
    pairs = set(zip(folders, map(_folded, _names(places)), strict=True))
    return len({name for _, name in pairs}) < len(pairs)


def _below_the_common_folder(places: Iterable[str]) -> list[str]:
    try:
        common = os.path.commonpath([os.path.dirname(place) for place in places])
    except ValueError:  # several drives
        common = ""
    return [Path(os.path.relpath(place, common) if common else place).as_posix() for place in places]


def _folded(name: str) -> str:
    """The same text for names that some disk takes for one."""
    return unicodedata.normalize("NFC", name).casefold()
