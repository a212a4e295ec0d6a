"""What lies in a folder: the pictures, and what is passed over."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from .._shared.checks import check_folder
from ..data.images import SUFFIXES
from ..errors import MasksegError, quoted, reason

KINDS_SHOWN = 5
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini")  # and all hidden files, such as .DS_Store


class FolderPictures(list[Path]):
    """Paths of pictures, and what else was there.

    Attributes:
        passed_over: Files that are no pictures by their names' endings, without what a system keeps for
            itself: hidden files, macOS's "._" beside each picture, Thumbs.db, desktop.ini.
        not_entered: Folders inside, without hidden ones.
    """

    passed_over: tuple[Path, ...] = ()
    not_entered: tuple[Path, ...] = ()


def pictures_in(folder: str | os.PathLike[str]) -> FolderPictures:
    """The pictures directly in a folder, sorted by name, and what is passed over there.

    Raises:
        MasksegError: There is no such folder, or no picture in it.
        TypeError: It is no path, but a model, for instance.
    """
    check_folder(folder)
    pictures = FolderPictures()
    others: list[Path] = []
    folders: list[Path] = []
    try:
        for entry in sorted(os.scandir(folder), key=lambda entry: Path(entry.path)):
            name, path = entry.name, Path(entry.path)
            kind = folders if entry.is_dir() else pictures if path.suffix.lower() in SUFFIXES else others
            of_the_system = name.startswith(".") or name.lower() in _OF_THE_SYSTEM
            if not of_the_system or (kind is pictures and not name.startswith("._")):
                kind.append(path)
    except (OSError, ValueError) as error:
        message = f"{quoted(folder)} cannot be read: {reason(error)}; give a folder of pictures"
        raise MasksegError(message) from None
    if not pictures:
        also = said(others, folders)
        raise MasksegError(
            f"no pictures in {quoted(folder)}{f' ({also})' if also else ''}; "
            f"it needs files such as {', '.join(SUFFIXES[:4])}"
        )
    pictures.passed_over, pictures.not_entered = tuple(others), tuple(folders)
    return pictures


def said(passed_over: Iterable[Path], not_entered: Iterable[Path] = ()) -> str:
    """A line: how many files of which kinds, and how many folders; empty where there are none."""
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


def _kind(path: Path) -> str:
    ending = path.suffix.lower()
    if not ending:
        return "without an ending"
    return ending if ending.isprintable() and len(ending) <= 12 else "of odd names"
