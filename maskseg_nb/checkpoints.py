"""Weights files: found in torch hub's folder, downloaded there, checked, and only then opened.

torchvision's own route unpickles whatever lies in the cache, checks a digest only while it downloads, and
waits for ever on a stalled server. Here the order is: whole digest first, then `weights_only=True`.
"""

import contextlib
import hashlib
import http.client
import os
import re
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm.auto import tqdm

from .errors import ModelError, quoted

CONNECT_SECONDS = 20.0  # for the name, the connection and the first byte together
READ_SECONDS = 20.0  # for each further piece
MAX_BYTES = 2 * 2**30  # of a weights file, and of the tensors that it unpacks to
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
        """The file in torch hub's folder: where torchvision, too, looks for it."""
        return Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(urlsplit(self.url).path).name


def fetch(download: Download) -> Path:
    """The path of a checked weights file, downloaded where it is not cached yet.

    A cached file whose SHA-256 is another is renamed to `*.bad` and fetched once more.

    Raises:
        ModelError: The file can be neither found nor downloaded, or is not the published one.
    """
    path = download.path
    try:
        if path.is_file():
            if sha256_of(path).startswith(download.sha256_prefix):
                return path
            path.replace(path.with_name(path.name + ".bad"))
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(download, path)
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise ModelError(
            f"{path.name} cannot be downloaded ({quoted(reason, 60)}); put the file into {path.parent} "
            'by hand, or use load_model("street"), which needs no download'
        ) from None
    return path


def _download(download: Download, path: Path) -> None:
    """Stream to a temporary file in the same folder; only a whole, checked file gets the real name."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as file, _open(download.url) as response:
            total = response.length or 0  # None where the server does not say
            with tqdm(total=total or None, unit="B", unit_scale=True, desc=path.name) as bar:
                while chunk := response.read(_CHUNK):
                    if bar.n + len(chunk) > MAX_BYTES:
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
    if isinstance(result[0], http.client.HTTPException):
        raise OSError(f"no proper HTTP answer: {result[0]}")
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def sha256_of(path: Path) -> str:
    """A file's whole SHA-256, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a state dict and its metadata from a `.safetensors` or a torch file, without running its code.

    Returns:
        state: name -> tensor on the CPU; half-precision weights as float32.
        metadata: what a safetensors file says of itself; empty for a torch file.

    Raises:
        ModelError: The file is missing, damaged, or holds more than a flat dict of tensors.
    """
    name = quoted(path.name)
    if not path.is_file():
        raise ModelError(f"{name} is not a file; give the path of a .safetensors or .pth checkpoint")
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(f"{name} is larger than {MAX_BYTES // 2**30} GB, more than a Mask R-CNN needs")
    metadata: dict[str, str] = {}
    state: object
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                metadata = dict(file.metadata() or {})
                state = {key: file.get_tensor(key) for key in file.keys()}
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(f"{name} is not a whole safetensors file: {error}; copy it again") from None
    else:
        _check_unpacked_size(path, name)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged files make torch.load raise a dozen kinds
            kind = "refused, it holds more than tensors" if "nsupported" in str(error) else "cannot be read"
            raise ModelError(
                f"{name} {kind}; give a file saved with torch.save(model.state_dict(), path)"
            ) from None
    if not isinstance(state, dict) or not state or not all(map(_is_plain, state.keys(), state.values())):
        raise ModelError(f"{name} holds no state dict; save model.state_dict() with torch.save")
    if sum(tensor.numel() * tensor.element_size() for tensor in state.values()) > MAX_BYTES:
        raise ModelError(f"{name} holds tensors of more than {MAX_BYTES // 2**30} GB: not opened")
    state = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise ModelError(
            f"{name} has weights that are not finite (NaN or infinite); use an earlier checkpoint"
        )
    return state, metadata


def _is_plain(key: object, tensor: object) -> bool:
    """A named tensor whose numbers lie in memory: not sparse, quantised or on the meta device."""
    if not isinstance(key, str) or not isinstance(tensor, Tensor):
        return False
    return tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized


def _check_unpacked_size(path: Path, name: str) -> None:
    """Refuse a zip that unpacks to far more than it weighs; torch itself stores tensors uncompressed."""
    try:
        if not zipfile.is_zipfile(path):
            return  # torch's older format: one pickle, no compression
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except Exception as error:  # zipfile raises half a dozen kinds
        raise ModelError(f"{name} is damaged: {error}; copy it again") from None
    if unpacked > 2 * path.stat().st_size + _CHUNK:
        raise ModelError(f"{name} unpacks to {unpacked:,} bytes, far more than it weighs: not opened")
