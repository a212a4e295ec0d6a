"""Files that appear whole or not at all, and folders that one process writes into at a time."""

import contextlib
import errno
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from ..errors import MasksegError, cannot_write, quoted

# In a folder while it is held. Left behind (by a killed process, or on Windows, which deletes no open file)
# it means nothing: what holds the folder is the system's lock on the file, not the file.
LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # some shared and mounted folders
PARTIAL = ".partial-"  # how the names of files being written begin


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name and rename it; an existing one is replaced at that moment, not before.

    Raises:
        OSError: It cannot be written; what was at `path` is still there, and no partial file stays behind.
    """
    with whole_file(path) as file:
        file.write(data)


def write_new(path: Path, data: bytes) -> None:
    """`write_whole` for a name that must be free.

    Raises:
        FileExistsError: It is taken; what is there stays.
        OSError: It cannot be written; no partial file stays behind.
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


@contextlib.contextmanager
def locked(folder: Path, who: str, error: type[MasksegError]) -> Iterator[None]:
    """Hold a folder against all other threads and processes that do the same; it is made where it is missing.

    The system lets go of it when the process ends, however it ends. Where a file system knows no locks,
    nothing is held. `error` is raised where somebody else holds the folder, or it cannot be written; its
    message calls the writer `who`, such as "training", and says which process on which machine it is.
    """
    # No soft lock, filelock's substitute where the system has none: a file that locks by merely being there.
    lock = FileLock(folder / LOCK, blocking=False, fallback_to_soft=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise error(
            f"another {who} is writing into {quoted(folder)}{_holder(folder)}; "
            "wait for it to finish, or give another folder"
        ) from None
    except NotImplementedError:
        pass
    except OSError as failure:
        if failure.errno not in _NO_LOCKS:
            raise error(cannot_write(folder, failure)) from None
    try:
        if lock.is_locked:
            _say_who(folder)
        yield
    finally:
        if lock.is_locked:
            # Before the release: whoever has just opened the file notices that it is gone, and makes a new
            # one. Windows refuses, and filelock tries once more afterwards.
            with contextlib.suppress(OSError):
                os.unlink(folder / LOCK)
        lock.release()


def this_process() -> str:
    """How others are told who holds a place: the process and its machine."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _say_who(folder: Path) -> None:
    """Write into the lock that is held who holds it; Windows refuses, and whoever comes is told less."""
    with contextlib.suppress(OSError):
        handle = os.open(folder / LOCK, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle, "wb") as file:
            file.write(this_process().encode())


def _holder(folder: Path) -> str:
    """Who wrote that they hold the folder, in brackets; empty where nobody did."""
    try:
        who = (folder / LOCK).read_text("utf-8", "replace")[:80]
    except OSError:
        return ""
    return f" ({who})" if who.isprintable() and who else ""


def whole_file(path: Path) -> contextlib.AbstractContextManager[BinaryIO]:
    """A file to be written piece by piece; at `path` it appears when the block has ended well."""
    return _partial(path, lambda partial: os.replace(partial, path))


@contextlib.contextmanager
def _partial(path: Path, give_name: Callable[[str], None]) -> Iterator[BinaryIO]:
    """A file beside `path`, given its name when the block has ended well, and gone in any case."""
    partial = os.fspath(path.parent / f"{PARTIAL}{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)  # EXCL: nor through a link
    handle = os.open(partial, flags, 0o666)  # minus the user's umask; mkstemp would make it private
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
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


def new_folder(parent: Path, prefix: str, suffix: str) -> Path:
    """Make a folder under a name that nothing has, with the permissions that the user gives new ones."""
    folder = parent / f"{prefix}{secrets.token_hex(8)}{suffix}"
    folder.mkdir()
    return folder
