"""A place for results, by path or by any URL that fsspec opens; and the one run that may write there."""

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from .._shared.files import PARTIAL, locked, this_process, write_whole
from ..errors import MasksegError, cannot_write, quoted, reason, shortened

LOCK = "lock.json"  # an object's name, where the place is no local folder
RENEWED = 60.0  # seconds after which a run says again that it is alive
DEAD = 10 * RENEWED  # seconds of silence after which its lock means nothing


class File(NamedTuple):
    """A file of a listing: its place below the folder, and its [size in bytes, time of change in ns]."""

    name: str
    seen: tuple[int, int]


@dataclass(frozen=True)
class Place:
    """A folder of files; a copy in another process means the same one.

    Attributes:
        url: Its path, or its URL as fsspec knows it: "s3://bucket/results".
    """

    url: str

    @property
    def path(self) -> Path | None:
        """Its path, if it is a local folder."""
        return local_path(self.url)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all, as object stores do anyway; one that is there is replaced.

        Raises:
            MasksegError: It cannot be written.
        """
        try:
            if self.path:
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                write_whole(self.path / name, data)
            else:
                system, root = opened(self.url)
                system.pipe_file(f"{root}/{name}", data)
        except Exception as error:  # every file system has its own kinds
            raise MasksegError(cannot_write(f"{self.url}/{name}", error)) from None

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None where there is no such file.

        Raises:
            MasksegError: It cannot be read.
        """
        system, root = opened(self.url)
        with contextlib.suppress(FileNotFoundError), readable(f"{self.url}/{name}"):
            data: bytes = system.cat_file(f"{root}/{name}")
            return data
        return None

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            MasksegError: It cannot be removed.
        """
        system, root = opened(self.url)
        try:
            system.rm_file(f"{root}/{name}")
        except FileNotFoundError:
            pass
        except Exception as error:
            raise MasksegError(cannot_write(f"{self.url}/{name}", error)) from None

    def files(self, folder: str) -> Iterator[File]:
        """The files in a folder and below it, in the order of their names; without partial ones.

        Raises:
            MasksegError: It cannot be read.
        """
        system, root = opened(self.url)
        start = f"{root}/{folder}"
        with contextlib.suppress(FileNotFoundError), readable(f"{self.url}/{folder}"):
            for place, below, files in system.walk(start, detail=True, on_error="raise"):
                for name, info in sorted(files.items()):
                    if name and not name.startswith(PARTIAL):
                        yield File(f"{place}/{name}"[len(root) + 1 :], seen_in(info))
                for name in sorted(below):  # walk goes on in the order that it finds here
                    below[name] = below.pop(name)


@contextlib.contextmanager
def readable(url: str) -> Iterator[None]:
    """One clear line where a place cannot be read: every file system has its own kinds of errors.

    Raises:
        FileNotFoundError: It is not there.
        MasksegError: Anything else.
    """
    try:
        yield
    except (FileNotFoundError, MasksegError):
        raise
    except Exception as error:
        said = shortened(" ".join(reason(error).split()), 120)
        raise MasksegError(f"{quoted(url)} cannot be read: {said}; the same call resumes") from None


def absolute(url: str) -> str:
    """A path that means the same in every process, or the URL."""
    path = local_path(url)
    return os.path.abspath(path) if path else url


def local_path(url: str) -> Path | None:
    """The path of a local file or folder; None for one behind a URL."""
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    return None if "://" in url else Path(url)


def opened(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it.

    Raises:
        MasksegError: A package is missing, or nothing knows such URLs.
    """
    try:
        from fsspec.core import url_to_fs

        system, root = url_to_fs(absolute(url), use_listings_cache=False)
    except (ImportError, ValueError) as error:
        hint = "; pip install 'maskseg-nb[scale]'" if isinstance(error, ImportError) else ""
        raise MasksegError(f"{quoted(url)} cannot be opened: {shortened(str(error), 120)}{hint}") from None
    return system, root.rstrip("/")


def seen_in(info: dict[str, Any]) -> tuple[int, int]:
    """[Size in bytes, time of change in nanoseconds] of a file in a listing; 0 for what it does not say."""
    times = (info.get(key) for key in ("mtime", "LastModified", "last_modified", "updated", "created"))
    changed = next((value for value in times if value), 0)
    if isinstance(changed, str):
        with contextlib.suppress(ValueError):
            changed = datetime.fromisoformat(changed)
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return int(info.get("size") or 0), int(changed * 1e9) if isinstance(changed, (int, float)) else 0


@contextlib.contextmanager
def held(place: Place) -> Iterator[None]:
    """Hold a place against other runs: a local folder by the system's lock, any other by an object there.

    An object locks by being there. Its run renews it every minute, so that one which has been silent for ten
    is known to be dead. Whoever writes it first holds the place, on stores that can refuse a name that is
    taken, as S3 does.

    Raises:
        MasksegError: Another run is writing there, or nothing can be written.
    """
    if place.path:
        with locked(place.path, "run", MasksegError):
            yield
        return
    own = secrets.token_hex(8)
    _acquire(place, own)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(place, own, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        if (_holder(place) or {}).get("token") == own:
            place.remove(LOCK)


def _acquire(place: Place, own: str) -> None:
    holder = _holder(place)
    if holder and time.time() < holder["renewed"] + DEAD:
        who = shortened(str(holder.get("who")), 80)
        raise MasksegError(
            f"another run is writing into {quoted(place.url)} ({who}); "
            "wait for it to finish, or give another place"
        )
    if holder is not None:
        place.remove(LOCK)
    system, root = opened(place.url)
    try:
        system.pipe_file(f"{root}/{LOCK}", _note(own), mode="create")
    except FileExistsError:
        raise MasksegError(f"another run has just begun to write into {quoted(place.url)}") from None
    except Exception as error:
        raise MasksegError(cannot_write(place.url, error)) from None


def _holder(place: Place) -> dict[str, Any] | None:
    """What the lock says; nothing where it is damaged, None where there is none."""
    data = place.read(LOCK)
    if data is None:
        return None
    try:
        holder = json.loads(data)
        return holder if isinstance(holder["renewed"], (int, float)) else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _note(own: str) -> bytes:
    return json.dumps({"who": this_process(), "renewed": time.time(), "token": own}).encode()


def _renew(place: Place, own: str, ended: threading.Event) -> None:
    while not ended.wait(RENEWED):
        with contextlib.suppress(MasksegError):
            place.write(LOCK, _note(own))
