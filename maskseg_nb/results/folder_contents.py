"""What lies in a folder: the pictures, and what is passed over."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..data.images import SUFFIXES
from ..errors import MasksegError, quoted, reason

KINDS_SHOWN = 5
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini")  # and whatever is hidden, as .DS_Store


class FolderPictures(list[Path]):
    """Paths of pictures, and what else was there.

    Attributes:
        passed_over: Files that are no pictures by their names' endings. What a system keeps for itself does
            not count: hidden files, macOS's "._" beside each picture, Thumbs.db, desktop.ini.
        not_entered: Folders inside, but for hidden ones.
    """

    def __init__(
        self,
        pictures: Iterable[Path] = (),
        passed_over: Iterable[Path] = (),
        not_entered: Iterable[Path] = (),
    ) -> None:
        super().__init__(pictures)
        self.passed_over, self.not_entered = tuple(passed_over), tuple(not_entered)


def pictures_in(folder: str | os.PathLike[str]) -> FolderPictures:
    """The pictures directly in a folder, by name; and as its attributes, what is passed over.

    Raises:
        MasksegError: There is no such folder, or no picture in it.
    """
    pictures: list[Path] = []
    others: list[Path] = []
    folders: list[Path] = []
    try:
        for entry in os.scandir(folder):
            path = Path(entry.path)
            if entry.is_dir():
                kind = folders
            else:
                kind = pictures if path.suffix.lower() in SUFFIXES else others
            if not _of_the_system(entry.name) or (kind is pictures and not entry.name.startswith("._")):
                kind.append(path)
    except (OSError, ValueError) as error:
        raise MasksegError(
            f"{quoted(folder)} cannot be read: {reason(error)}; give a folder of pictures"
        ) from None
    if not pictures:
        also = said(others, folders)
        raise MasksegError(
            f"no pictures in {quoted(folder)}{f' ({also})' if also else ''}; "
            f"it needs files such as {', '.join(SUFFIXES[:4])}"
        )
    return FolderPictures(sorted(pictures), sorted(others), sorted(folders))


def said(passed_over: Iterable[Path], not_entered: Iterable[Path] = ()) -> str:
    """How many files of which kinds, and how many folders; empty where there are none."""
    parts = []
    kinds = Counter(map(_kind, passed_over))
    if count := kinds.total():
        named = sorted(kinds, key=lambda kind: (-kinds[kind], kind))
        shown = [f"{kinds[kind]} {kind}" for kind in named[:KINDS_SHOWN]]
        if rest := sum(kinds[kind] for kind in named[KINDS_SHOWN:]):
            shown.append(f"{rest} of other kinds")
        parts.append(f"{count} file{'s' * (count != 1)} passed over: {', '.join(shown)}")
    if folders := len(tuple(not_entered)):
        parts.append(f"{folders} folder{'s' * (folders != 1)} inside not entered")
    return "; ".join(parts)


def _of_the_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in _OF_THE_SYSTEM


def _kind(path: Path) -> str:
    ending = path.suffix.lower()
    if not ending:
        return "without an ending"
    return ending if ending.isprintable() and len(ending) <= 12 else "of odd names"
