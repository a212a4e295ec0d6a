"""The pictures of a COCO file: each entry with its file, the file's size, and how its outlines lie on it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ImageError, cannot_open, quoted
from .coco_json import Key, entries_by_id, named, whole
from .codec import stored_size
from .findings import Fault, Findings
from .images import load_image
from .outlines import Outline
from .picture_files import Located, locate

_NAMES = ("file_name", "path", "coco_url", "flickr_url")  # where the first is missing, as in LVIS, the next
Size = tuple[int, int]  # (height, width)
Stated = tuple[int | None, int | None]  # (height, width); None where the JSON does not say
Box = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True, slots=True)
class Head:
    """What a picture file says of itself."""

    stored: Size  # (height, width) of the pixels in the file
    orientation: int  # EXIF's, 1 to 8; 1 where nothing is turned

    @property
    def upright(self) -> Size:
        """(height, width) of the picture as `load_image` gives it."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


@dataclass(slots=True)
class Annotation:
    """One object in one picture."""

    id: int  # the JSON's number of it
    label: int
    outline: Outline
    box: Box | None  # as stated
    area: float | None  # in pixels, as stated
    crowd: bool  # whether it is a region of many


@dataclass(slots=True)
class Picture:
    """A picture file and what was outlined in it."""

    id: Key  # the JSON's number of it; a whole number in the end
    name: str  # of the file, as the JSON states it
    path: str
    head: Head
    stated: Stated
    turned: bool = False  # whether the outlines lie on the stored pixels, and turn with them
    annotations: list[Annotation] = field(default_factory=list)

    @property
    def where(self) -> str:
        """As messages name it."""
        return f"image {named(self.id)}, {quoted(self.name)}"

    @property
    def outlined_size(self) -> Size:
        """(height, width) of the picture that the outlines lie on."""
        return self.size(self.turned)

    def size(self, turned: bool) -> Size:
        """(height, width) of the stored pixels, which are yet to be turned, or of the upright picture."""
        return self.head.stored if turned else self.head.upright

    def may_be(self, turned: bool) -> bool:
        """Whether the stated size is that of the stored pixels, or of the upright picture."""
        pairs = zip(self.stated, self.size(turned), strict=True)
        return all(stated in (None, own) for stated, own in pairs)


@dataclass(slots=True)
class _Entry:
    key: Key
    row: dict[str, Any]
    name: str
    located: Located = Located(None, Fault.NOT_FOUND)

    @property
    def where(self) -> str:
        return f"image {named(self.key)}, {quoted(self.name)}"


def read_pictures(
    rows: list[Any], folder: Path, findings: Findings
) -> tuple[list[Picture], dict[Key, Picture | None]]:
    """The pictures in `folder` that can be used, and what each id in the file's list of images leads to: None
    where that was left out. What is wrong is added to `findings`.
    """
    entries, ids = entries_by_id(rows, "images", _entry, findings)
    known: dict[Key, Picture | None] = dict.fromkeys(ids)
    _find_files(entries, folder)
    pictures: dict[str, Picture] = {}
    for entry in entries:
        picture = _opened(entry, folder, findings)
        if picture is None:
            continue
        first = known[entry.key] = pictures.setdefault(os.path.normpath(picture.path), picture)
        if first.stated != picture.stated:
            findings.add(Fault.OTHER_SIZE, f"{entry.where}: another entry states another size")
            known[entry.key] = None
        elif first is not picture:
            findings.add(Fault.LISTED_TWICE, entry.where)
    read = list(pictures.values())
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
    picture = Picture(entry.key, entry.name, path, head, _stated(entry.row))
    if not (picture.may_be(turned=False) or picture.may_be(turned=True)):
        findings.add(Fault.OTHER_SIZE, f"{entry.where}: {_sizes(picture)}")
        return None
    if fault:
        findings.add(fault, f"{entry.where} as {quoted(os.path.relpath(path, folder))}")
    return picture


def read_head(path: str | os.PathLike[str]) -> Head:
    """A picture file's size and orientation, from its head alone where that tells; or an ImageError."""
    try:
        with open(path, "rb") as file:
            return Head(*stored_size(file, quoted(os.path.basename(path))))
    except OSError as error:
        raise ImageError(cannot_open(path, error)) from None
    except ImageError:
        height, width = load_image(path).shape[:2]  # says better what is wrong, or can read it nevertheless
        return Head((height, width), 1)


def _entry(own_id: Key, row: dict[str, Any], where: str, findings: Findings) -> _Entry | None:
    for name in (row.get(key) for key in _NAMES):
        if isinstance(name, str) and name.strip():
            return _Entry(own_id, row, name)
    findings.add(Fault.NO_FILE_NAME, where)
    return None


def _find_files(entries: list[_Entry], folder: Path) -> None:
    """By the stated name; if that leads to no one file, by the path that COCO Annotator states beside it."""
    found = locate(folder, {entry.name for entry in entries})
    for entry in entries:
        entry.located = found[entry.name]
    taken = {os.path.normpath(entry.located.path) for entry in entries if entry.located.path}
    again = [entry for entry in entries if entry.located.path is None and "path" in entry.row]
    found = locate(folder, {str(entry.row["path"]) for entry in again})
    for entry in again:
        located = found[str(entry.row["path"])]
        if located.path is None or os.path.normpath(located.path) not in taken:
            entry.located = located


def _stated(row: dict[str, Any]) -> Stated:
    height, width = whole(row.get("height")), whole(row.get("width"))
    return (height if height and height > 0 else None, width if width and width > 0 else None)


def _sizes(picture: Picture) -> str:
    (height, width), (own_height, own_width) = picture.stated, picture.head.upright
    orientation = picture.head.orientation
    turn = f", turned by EXIF orientation {orientation}" if orientation > 1 else ""
    return f"{width or '?'} x {height or '?'} stated, the file has {own_width} x {own_height}{turn}"


def _number(pictures: list[Picture], findings: Findings) -> None:
    """From 1, unless all of the file's own numbers are whole."""
    if all(isinstance(picture.id, int) for picture in pictures):
        return
    for position, picture in enumerate(pictures, 1):
        findings.add(Fault.RENUMBERED, f"image {named(picture.id)}")
        picture.id = position
