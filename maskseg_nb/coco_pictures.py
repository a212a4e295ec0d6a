"""The pictures of a COCO file: each entry with its file, the file's size, and how its outlines lie on it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ImageError, quoted
from .findings import Fault, Findings
from .json_values import Key, key, named, whole
from .outlines import Outline
from .picture_files import Located, locate
from .turning import Head, Size, read_head

_ADDRESSES = ("coco_url", "flickr_url")  # where file_name is missing, as in LVIS
Stated = tuple[int | None, int | None]  # (height, width); None where the file does not say
Box = tuple[float, float, float, float]  # x, y, width, height


@dataclass(slots=True)
class Annotation:
    """One object in one picture.

    Attributes:
        id: The JSON's number of it.
        label: Its category.
        outline: Where it is.
        box: As stated; None where no box is.
        area: As stated, in pixels; None where none is.
        crowd: Whether it is a region of many.
    """

    id: int
    label: int
    outline: Outline
    box: Box | None
    area: float | None
    crowd: bool


@dataclass(slots=True)
class Picture:
    """A picture file and what was outlined in it.

    Attributes:
        id: The JSON's number of it; a whole number in the end.
        name: The file's name as the JSON states it.
        path: Where the file is.
        head: What the file says of itself.
        turned: Whether the outlines lie on the stored pixels, and turn with them.
        annotations: What was outlined.
    """

    id: Key
    name: str
    path: str
    head: Head
    turned: bool
    annotations: list[Annotation] = field(default_factory=list)

    @property
    def outlined_size(self) -> Size:
        """(height, width) of the picture that the outlines lie on."""
        return self.head.stored if self.turned else self.head.upright

    @property
    def orientation(self) -> int:
        """How masks and boxes turn, 1 to 8 as in EXIF; 1 is not at all."""
        return self.head.orientation if self.turned else 1


@dataclass(slots=True)
class _Entry:
    key: Key
    row: dict[str, Any]
    name: str
    located: Located = Located(None, Fault.NOT_FOUND)

    @property
    def where(self) -> str:
        return f"image {named(self.key)}, {quoted(self.name)}"

    @property
    def stated(self) -> Stated:
        height, width = (whole(self.row.get(side)) for side in ("height", "width"))
        return (height if height and height > 0 else None, width if width and width > 0 else None)


def read_pictures(
    rows: list[Any], folder: Path, annotated: set[Key | None], findings: Findings
) -> tuple[list[Picture], dict[Key, Picture | None]]:
    """The pictures that can be used, and what each id of the file's list leads to; None where left out.

    Args:
        rows: The file's list of images.
        folder: Where their files are.
        annotated: Every image_id of an annotation.
        findings: What is wrong is added here.
    """
    known: dict[Key, Picture | None] = {}
    entries = list(_entries(rows, findings, known))
    _find_files(entries, folder)
    pictures: dict[str, Picture] = {}
    doubtful = []
    for entry in entries:
        picture = _opened(entry, folder, findings)
        if picture is None:
            continue
        first = pictures.setdefault(os.path.normpath(picture.path), picture)
        if first is picture:
            if (
                _fits(entry.stated, picture.head.stored)
                and not picture.turned
                and picture.head.orientation > 1
            ):
                doubtful.append((picture, entry))
        elif first.turned != picture.turned:
            findings.add(Fault.OTHER_SIZE, f"{entry.where}: other entries state another one")
            continue
        else:
            findings.add(Fault.LISTED_TWICE, entry.where)
        known[entry.key] = first
    read = list(pictures.values())
    _turn_as_the_others(read, doubtful, annotated, findings)
    _number(read, findings)
    return read, known


def _opened(entry: _Entry, folder: Path, findings: Findings) -> Picture | None:
    """The entry with what its file says of itself; None where it cannot be used."""
    path, fault = entry.located.path, entry.located.fault
    if path is None:
        findings.add(fault or Fault.NOT_FOUND, entry.where)
        return None
    try:
        head = read_head(path)
    except ImageError as error:
        findings.add(Fault.UNREADABLE, f"image {named(entry.key)}: {error}")
        return None
    upright = _fits(entry.stated, head.upright)
    if not upright and not _fits(entry.stated, head.stored):
        findings.add(Fault.OTHER_SIZE, f"{entry.where}: {_sizes(entry.stated, head)}")
        return None
    if fault:
        findings.add(fault, f"{entry.where} as {quoted(os.path.relpath(path, folder))}")
    return Picture(entry.key, entry.name, path, head, turned=not upright)


def _entries(rows: list[Any], findings: Findings, known: dict[Key, Picture | None]) -> Iterator[_Entry]:
    """The entries with an id of their own and a name of a file; all their ids are made known."""
    found: dict[Key, _Entry] = {}
    doubtful = set()
    for position, row in enumerate(rows):
        where = f"images[{position}]"
        if not isinstance(row, dict):
            findings.add(Fault.NO_ENTRY, where)
            continue
        number, name = key(row.get("id")), _name(row)
        if number is None:
            findings.add(Fault.NO_ID, where)
            continue
        known[number] = None
        if name is None:
            findings.add(Fault.NO_FILE_NAME, where)
        elif number not in found:
            found[number] = _Entry(number, row, name)
        elif found[number].row != row:
            findings.add(Fault.NO_ID, f"{where}: the id {named(number)} is taken already")
            doubtful.add(number)
    return (entry for number, entry in found.items() if number not in doubtful)


def _name(row: dict[str, Any]) -> str | None:
    names = [row.get(name) for name in ("file_name", "path", *_ADDRESSES)]
    return next((name for name in names if isinstance(name, str) and name.strip()), None)


def _find_files(entries: list[_Entry], folder: Path) -> None:
    """By the stated name; if that leads to no one file, by the path that COCO Annotator states beside it."""
    for entry, located in zip(entries, _located(folder, [entry.name for entry in entries]), strict=True):
        entry.located = located
    taken = {os.path.normpath(entry.located.path) for entry in entries if entry.located.path}
    again = [entry for entry in entries if entry.located.path is None and "path" in entry.row]
    for entry, located in zip(again, _located(folder, [str(e.row["path"]) for e in again]), strict=True):
        if located.path is None or os.path.normpath(located.path) not in taken:
            entry.located = located


def _located(folder: Path, names: list[str]) -> list[Located]:
    found = locate(folder, set(names))
    return [found[name] for name in names]


def _fits(stated: Stated, size: Size) -> bool:
    return all(side in (None, own) for side, own in zip(stated, size, strict=True))


def _sizes(stated: Stated, head: Head) -> str:
    height, width = head.upright
    turn = f", turned by EXIF orientation {head.orientation}" if head.orientation > 1 else ""
    return f"{stated[1] or '?'} x {stated[0] or '?'} stated, the file has {width} x {height}{turn}"


def _turn_as_the_others(
    pictures: list[Picture],
    doubtful: list[tuple[Picture, _Entry]],
    annotated: set[Key | None],
    findings: Findings,
) -> None:
    """Where a turn leaves the size as it is, the outlines lie as on the pictures whose size tells.

    If none tells, or they differ, they count as drawn on the upright picture, as browsers show it.
    """
    unclear = {id(picture) for picture, _ in doubtful}
    telling = {
        picture.turned for picture in pictures if picture.head.orientation > 1 and id(picture) not in unclear
    }
    for picture, entry in doubtful:
        picture.turned = telling == {True}
        if len(telling) != 1 and entry.key in annotated:
            findings.add(Fault.TURNED, entry.where)


def _number(pictures: list[Picture], findings: Findings) -> None:
    """From 1, unless all of the file's own numbers are whole."""
    if all(isinstance(picture.id, int) for picture in pictures):
        return
    for position, picture in enumerate(pictures, 1):
        findings.add(Fault.RENUMBERED, f"image {named(picture.id)}")
        picture.id = position
