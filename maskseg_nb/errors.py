"""What can go wrong in the user's world, as exceptions with a message that says what to do.

A wrong argument is a TypeError or ValueError; what goes wrong with a file, a network or a checkpoint is a
child of MasksegError.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

MAX_MESSAGE = 300


class MasksegError(Exception):
    """A picture, a model file or a folder is not what it should be; the message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message, MAX_MESSAGE))


class ImageError(MasksegError):
    """A picture cannot be found, read or saved."""


class ModelError(MasksegError):
    """A model's weights cannot be obtained, or cannot be trusted."""


class DatasetError(MasksegError):
    """A dataset contradicts itself, or a part of it is missing."""


class TrainingError(MasksegError):
    """A training run cannot continue, or what it wrote cannot be resumed."""


def shortened(text: str, limit: int) -> str:
    """Cut the middle out of a text that is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    head = (limit - 3) * 2 // 3
    return f"{text[:head]}...{text[len(text) - (limit - 3 - head) :]}"


def quoted(name: object, limit: int = 80) -> str:
    """A name as it may stand in a message: quoted, escaped to ASCII, at most `limit` characters."""
    return shortened(ascii(str(name)), limit)


def did_you_mean(name: object, known: Iterable[str], aliases: Mapping[str, str] | None = None) -> str:
    """The end of a message about an unknown name: "; did you mean 'street'?", or nothing.

    Args:
        name: What was given; upper and lower case do not matter.
        known: The right names.
        aliases: Other names that somebody may have meant -> the right one.
    """
    meant_by = {text: text for text in known} | dict(aliases or {})
    folded = {text.casefold(): meant for text, meant in meant_by.items()}
    like = get_close_matches(str(name)[:100].casefold(), folded, 1)
    return f"; did you mean {quoted(folded[like[0]])}?" if like else ""


def reason(error: BaseException) -> str:
    """What the system says went wrong ("No space left on device"), else what the error says, or its kind."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def cannot_open(path: str | os.PathLike[str], error: BaseException) -> str:
    """The message about a file that cannot be opened."""
    name = quoted(os.path.basename(path) or path)
    return f"{name} cannot be opened: {reason(error)}; choose a readable file"


def cannot_write(path: str | os.PathLike[str], error: BaseException) -> str:
    """The message about a file or folder that cannot be written."""
    return f"{quoted(path)} cannot be written: {reason(error)}; make room, or give another folder"


def require_opencv() -> None:
    """Raise one clear line where OpenCV is installed and the system library that it links is not.

    Under `python -m maskseg_nb` the line is all that is printed; elsewhere it is an ImportError.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        if "cannot open shared object" not in str(error):
            raise
        library = str(error).split(":")[0]
        message = (
            f"OpenCV needs the system library {library}: run `apt-get install libgl1 libglib2.0-0`, "
            "or `pip uninstall -y opencv-python` and `pip install opencv-python-headless`"
        )
        if sys.argv[:1] == ["-m"]:  # what Python puts there while it imports a package for -m
            raise SystemExit(message) from None
        raise ImportError(message) from None
