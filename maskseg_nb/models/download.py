"""Published weights: found in torch hub's folder or downloaded there, and checked before anything opens them.

torchvision's own route unpickles whatever lies in the cache, checks a digest only while it downloads, and
waits forever for a stalled server. Here the whole digest comes first.
"""

import contextlib
import errno
import glob
import hashlib
import http.client
import os
import re
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import torch
from tqdm.auto import tqdm

from ..errors import MAX_MESSAGE, ModelError, quoted, reason

CONNECT_SECONDS = 20.0  # for the name, the connection and the first byte together
READ_SECONDS = 20.0  # for each further piece
ABANDONED_SECONDS = 600.0  # a live download writes far more often
MAX_WEIGHTS_BYTES = 2 * 2**30  # of a weights file
_CHUNK = 2**20


@dataclass(frozen=True)
class Download:
    """Where published weights are, and how the SHA-256 of their file begins."""

    url: str
    sha256_prefix: str

    @classmethod
    def from_url(cls, url: str) -> "Download":
        """torchvision's file names end in the first digits of their SHA-256: `name-bf2d0c1e.pth`."""
        match = re.search(r"-([0-9a-f]{8,64})\.pth$", url)
        if match is None:
            raise ValueError(f"url must end in -<sha256 prefix>.pth, got {quoted(url)}")
        return cls(url, match[1])

    @property
    def path(self) -> Path:
        """The file in torch hub's folder."""
        return weights_folder() / PurePosixPath(urlsplit(self.url).path).name


def weights_folder() -> Path:
    """Torch hub's folder of weights: where torchvision, too, looks for them."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch(download: Download) -> bytes:
    """A published weights file, downloaded where it is not cached yet.

    A cached file with another SHA-256 is renamed to `*.bad` and fetched once more. Bytes come back, not a
    path: what was checked is what will be read, whatever becomes of the file.

    Raises:
        ModelError: The file can be neither found nor downloaded, or is not the published one.
    """
    path = download.path
    try:
        _remove_abandoned(path)
        data = _cached(download)
        if data is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _download(download, path)
            data = _cached(download)
        if data is None:
            raise OSError("another program keeps changing the file")
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        raise ModelError(_cannot_be_downloaded(path, error)) from None
    return data


def _cached(download: Download) -> bytes | None:
    """What the cache holds, if it is the published file; anything else is set aside as `*.bad`."""
    path = download.path
    if not path.is_file():
        return None
    with contextlib.suppress(FileNotFoundError):  # another process has just set it aside
        data = path.read_bytes() if path.stat().st_size <= MAX_WEIGHTS_BYTES else b""
        if hashlib.sha256(data).hexdigest().startswith(download.sha256_prefix):
            return data
        path.replace(_bad(path))
    return None


def _bad(path: Path) -> Path:
    return path.with_name(path.name + ".bad")


def _remove_abandoned(path: Path) -> None:
    """Delete what killed downloads left behind, and nothing that may still be written to."""
    for partial in path.parent.glob(glob.escape(path.name) + "*.partial"):
        with contextlib.suppress(OSError):  # another process was faster, or the folder is read-only
            if time.time() - partial.stat().st_mtime > ABANDONED_SECONDS:
                partial.unlink()


def _cannot_be_downloaded(path: Path, error: Exception) -> str:
    said = getattr(error, "reason", None) or reason(error)
    if isinstance(error, http.client.IncompleteRead):
        said = "the connection ended too early"
    before, after = "put the file into ", " by hand"
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        before, after = "make room on the disk of ", ""
    elif getattr(error, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS):
        before, after = "set TORCH_HOME to a folder that you may write to, instead of ", ""
    damaged = "; the cached file was damaged and is now *.bad" if _bad(path).exists() else ""
    before = f"{path.name} cannot be downloaded ({quoted(said, 60)}){damaged}; {before}"
    after += ', or use load_model("street")'
    return before + quoted(path.parent, MAX_MESSAGE - len(before) - len(after)) + after


def _download(download: Download, path: Path) -> None:
    """Stream to a temporary file in the same folder; only a whole, checked file gets the real name."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as file, _open(download.url) as response:
            if response.headers.get_content_type() == "text/html":
                raise OSError("a web page came instead, from a proxy or a log-in")
            total = response.length or 0  # None where the server does not say
            with tqdm(total=total or None, unit="B", unit_scale=True, desc=path.name) as bar:
                while chunk := response.read1(_CHUNK):
                    if bar.n + len(chunk) > MAX_WEIGHTS_BYTES:
                        raise OSError("the server sends more than any known weights file holds")
                    digest.update(chunk)
                    file.write(chunk)
                    bar.update(len(chunk))
                if total and bar.n < total:
                    raise OSError(f"the connection ended after {bar.n:,} of {total:,} bytes")
            file.flush()
            os.fsync(file.fileno())
        if not digest.hexdigest().startswith(download.sha256_prefix):
            raise OSError("what came is not the published file: its SHA-256 differs")
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):  # after os.replace there is none
            os.unlink(partial)


def _open(url: str) -> http.client.HTTPResponse:
    """`urlopen` with one deadline over name look-up and all addresses; its own timeout is for each."""
    result: list[http.client.HTTPResponse | BaseException] = []

    def connect() -> None:
        try:
            result.append(urllib.request.urlopen(url, timeout=READ_SECONDS))
        except BaseException as error:  # handed to the caller's thread
            result.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if not result:
        raise OSError(f"no answer within {CONNECT_SECONDS:.0f} s")
    if isinstance(result[0], urllib.error.HTTPError):
        result[0].close()  # a 404 comes with a body, and so with an open connection
    if isinstance(result[0], (http.client.HTTPException, ValueError)):  # ValueError: where it redirects to
        raise OSError(f"no proper HTTP answer: {result[0]}")
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]
