"""Files that appear whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial-"  # how the names of files begin that are being written


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name and rename it; an existing one is replaced at that moment, not before.

    Raises:
        OSError: It cannot be written; what was at `path` is still there, and no partial file stays.
    """
    with whole_file(path) as file:
        file.write(data)


def write_new(path: Path, data: bytes) -> None:
    """The same as `write_whole` for a name that must be free.

    Raises:
        FileExistsError: It is taken; what is there stays.
        OSError: It cannot be written; no partial file stays.
    """

    def give_name(partial: str) -> None:
        try:
            os.link(partial, path)  # unlike a rename, it refuses a name that is taken
        except FileExistsError:
            raise
        except OSError:  # no second names for a file here: FAT, some shared folders
            _write_in_place(path, data)

    with _partial(path, give_name) as file:
        file.write(data)


def whole_file(path: Path) -> contextlib.AbstractContextManager[BinaryIO]:
    """A file to be written piece by piece; at `path` it appears when the block has ended well."""
    return _partial(path, lambda partial: os.replace(partial, path))


@contextlib.contextmanager
def _partial(path: Path, give_name: Callable[[str], None]) -> Iterator[BinaryIO]:
    """A file beside `path`, given its name when the block has ended well, and gone in any case."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o666 & ~umask())  # mkstemp's own is for nobody but the owner
        give_name(partial)
    finally:
        with contextlib.suppress(FileNotFoundError):  # renamed
            os.unlink(partial)


def _write_in_place(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        try:
            file.write(data)
            file.flush()  # or a full disk is noticed only while the file is closed
        except BaseException:
            path.unlink()
            raise


def umask() -> int:
    """What new files may not be, by the user's own setting."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
