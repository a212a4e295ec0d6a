"""Files that appear whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name and rename it; an existing one is replaced at that moment, not before.

    Raises:
        OSError: It cannot be written; what was at `path` is still there, and no partial file stays.
    """
    with _partial(path, data) as partial:
        os.replace(partial, path)


def write_new(path: Path, data: bytes) -> None:
    """The same for a name that must be free.

    Raises:
        FileExistsError: It is taken; what is there stays.
        OSError: It cannot be written; no partial file stays.
    """
    with _partial(path, data) as partial:
        try:
            os.link(partial, path)  # unlike a rename, it refuses a name that is taken
        except FileExistsError:
            raise
        except OSError:  # no second names for a file here: FAT, some shared folders
            _write_in_place(path, data)


def _write_in_place(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        try:
            file.write(data)
            file.flush()  # or a full disk is noticed only while the file is closed
        except BaseException:
            path.unlink()
            raise


@contextlib.contextmanager
def _partial(path: Path, data: bytes) -> Iterator[str]:
    """A whole file beside `path`, gone when the block ends."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o666 & ~umask())  # mkstemp's own is for nobody but the owner
        yield partial
    finally:
        with contextlib.suppress(FileNotFoundError):  # renamed
            os.unlink(partial)


def umask() -> int:
    """What new files may not be, by the user's own setting."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
