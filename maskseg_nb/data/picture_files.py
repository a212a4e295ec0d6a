"""Where a dataset's picture files are, by the names that tools write into their JSON.

A name may be a path in the folder, or from a folder above or below it; a path of Windows; an absolute path
on somebody else's machine; a URL. Files are looked for inside the folder that was given, never outside, and
where two may be meant, none is taken.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .findings import Fault

_URL = re.compile(r"[a-z][a-z0-9+.-]+://|/data/local-files/\?", re.IGNORECASE)  # the second is Label Studio's
_HASH = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an upload
_NOT_PICTURES = ("__MACOSX",)  # what a Mac adds to an archive

Parts = tuple[str, ...]  # of a path: folders, then the file's name


@dataclass(frozen=True)
class Located:
    """Where a name led."""

    path: str | None  # None where there is no file, or several
    fault: Fault | None = None  # why there is none, or why it may be another one
    exact: bool = False  # whether the name leads to this very file, and not only its end does


def locate(folder: Path, names: Collection[str]) -> dict[str, Located]:
    """Find files by their names in a JSON file, in `folder` and, if a name needs it, in the folders below.

    A file that two names may mean goes to neither, unless one is exact.
    """
    inside = os.path.join(folder, "")
    found = {name: _exactly(inside, name) for name in names}
    missing = [name for name, located in found.items() if located.path is None]
    if missing:
        spelled = {name: list(_spellings(name)) for name in missing}
        wanted = {_key(spelling.parts[-1]) for spellings in spelled.values() for spelling in spellings}
        files = _files_by_name(folder, wanted)
        for name, spellings in spelled.items():
            found[name] = _by_spelling(folder, spellings, files)
        _withdraw_claimed_twice(found)
    return found


def _exactly(folder: str, name: str) -> Located:
    """A name that is a plain path in the folder."""
    path = os.path.join(folder, name)  # an absolute name stays as it is
    if ".." not in name and path.startswith(folder) and os.path.isfile(path):
        return Located(path, exact=True)
    return Located(None, Fault.NOT_FOUND)


@dataclass(frozen=True)
class _Spelling:
    """What a name may stand for."""

    parts: Parts
    foreign: bool  # whether its folders are another machine's
    guess: bool = False  # whether something was taken off the name


def _spellings(name: str) -> Iterator[_Spelling]:
    """What a name may stand for, the likeliest first."""
    for text in dict.fromkeys((name, unquote(name), name.split("?")[0])):
        foreign = bool(_URL.match(text))
        if foreign:
            try:
                url = urlsplit(text)
            except ValueError:  # such as http://[
                continue
            local = re.search("(?:^|&)d=([^&]+)", url.query)
            text = unquote(local[1] if local else url.path)
        text = text.replace("\\", "/")
        drive = re.match("[A-Za-z]:", text)
        parts = tuple(part for part in text[2 if drive else 0 :].split("/") if part not in ("", "."))
        foreign = foreign or bool(drive) or text.startswith("/") or ".." in parts
        if ".." in parts:
            parts = parts[len(parts) - parts[::-1].index("..") :]
        if parts:
            yield _Spelling(parts, foreign)
            if _HASH.match(parts[-1]):
                yield _Spelling((*parts[:-1], _HASH.sub("", parts[-1])), foreign, guess=True)


def _key(name: str) -> str:
    """A file's name but for what file systems and archives change: case, and how accents are composed."""
    return unicodedata.normalize("NFC", name).casefold()


def _files_by_name(folder: Path, wanted: set[str]) -> dict[str, list[Parts]]:
    """The files in a folder and below it that have one of these names, as parts from the folder on."""
    files = defaultdict(list)
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in _NOT_PICTURES)
        folders = Path(place).relative_to(folder).parts
        for name in sorted(names):
            if _key(name) in wanted and os.path.isfile(os.path.join(place, name)):
                files[_key(name)].append((*folders, name))
    return files


def _by_spelling(folder: Path, spellings: list[_Spelling], files: dict[str, list[Parts]]) -> Located:
    """The one file that the likeliest spelling means for which there is a file of that name."""
    above = Path(os.path.abspath(folder)).parts
    for spelling in spellings:
        parts = spelling.parts
        candidates = files.get(_key(parts[-1]), [])
        candidates = [candidate for candidate in candidates if candidate[-1] == parts[-1]] or candidates
        if parts in candidates and not spelling.foreign:  # as stated, but for how a path is written
            return Located(os.path.join(folder, *parts), exact=not spelling.guess)
        shared = {candidate: _shared((*above, *candidate[:-1]), parts[:-1]) for candidate in candidates}
        best = [candidate for candidate in candidates if shared[candidate] == max(shared.values())]
        if len(best) > 1:
            return Located(None, Fault.IN_DOUBT)
        if best:
            return _alone(os.path.join(folder, *best[0]), best[0][:-1], spelling, shared[best[0]])
    return Located(None, Fault.NOT_FOUND)


def _alone(path: str, below: Parts, spelling: _Spelling, shared: int) -> Located:
    """The only file that a name may mean, if the folders that it lies in do not say otherwise."""
    stated = spelling.parts[:-1]
    if not stated or (shared and shared >= min(len(stated), max(1, len(below)))):
        return Located(path, exact=shared == len(stated) > 0 and not spelling.guess)
    if spelling.foreign and not below:  # another machine's folders say nothing about this one's
        return Located(path)
    if spelling.foreign or not below:
        return Located(path, Fault.BY_NAME)
    return Located(None, Fault.NOT_FOUND)  # train/1.png is not val/1.png


def _shared(one: Parts, other: Parts) -> int:
    """How many folders two paths have in common, counted from their ends."""
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if _key(a) != _key(b):
            break
        count += 1
    return count


def _withdraw_claimed_twice(found: dict[str, Located]) -> None:
    claims = defaultdict(list)
    for name, located in found.items():
        if located.path is not None:
            claims[os.path.normpath(located.path)].append(name)
    for names in claims.values():
        for name in names if len(names) > 1 else ():
            if not found[name].exact:
                found[name] = Located(None, Fault.IN_DOUBT)
