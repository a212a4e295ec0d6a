"""Weights files opened: only tensors and plain containers come out, whatever the file holds."""

import argparse
import collections
import io
import os
import pickletools
import threading
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .._shared.memory import is_out_of_memory
from ..errors import ModelError, cannot_open, quoted, shortened
from .download import MAX_WEIGHTS_BYTES, Download, fetch
from .state_dicts import mask_rcnns_in

MAX_TENSORS = 10_000  # in a file; a Mask R-CNN has some 300, with an optimiser's state some 1,000
MAX_LIST = 2 * 2**20  # bytes that list the tensors: 0.2 MB for 1,000 of them
_CHUNK = 2**20
_DTYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
)


def read_published(download: Download) -> dict[str, Tensor]:
    """The state dict of a published file: see `fetch` and `read_state`."""
    name = quoted(download.path.name)
    return _checked(_unpickled(io.BytesIO(fetch(download)), name), name)


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a state dict and its metadata from a `.safetensors` or a torch file, without running its code.

    Returns:
        state: name -> tensor on the CPU; half-precision weights as float32.
        metadata: what a safetensors file says of itself; empty for a torch file.

    Raises:
        ModelError: The file is missing, damaged, or holds more than a flat dict of tensors.
    """
    content, metadata = _content(path)
    return _checked(content, quoted(path.name)), metadata


def read_mask_rcnn(path: Path) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """`read_state` of a Mask R-CNN's weights as people save them (see `state_dicts`).

    A third result, notes for the user, says which is used where the file holds several.
    """
    content, metadata = _content(path)
    name, notes = quoted(path.name), []
    found = mask_rcnns_in(content)
    if len(found) > 1:
        first, *others = (quoted(place or "its top", 60) for place in found)
        notes.append(f"{name} holds several Mask R-CNNs; {first} is used. To use {others[0]}, save it alone")
    return _checked(next(iter(found.values()), content), name), metadata, notes


def _content(path: Path) -> tuple[object, dict[str, str]]:
    name = quoted(path.name)
    try:
        if not path.is_file():
            raise ModelError(f"{name} is not a file; give the path of a .safetensors or .pth checkpoint")
        if path.stat().st_size > MAX_WEIGHTS_BYTES:
            raise ModelError(
                f"{name} is larger than {MAX_WEIGHTS_BYTES // 2**30} GB, more than a Mask R-CNN needs"
            )
        if path.suffix != ".safetensors":
            with path.open("rb") as opened:  # once: nobody can put another file there between two looks
                return _unpickled(opened, name), {}
        with path.open("rb") as opened:
            listed = int.from_bytes(opened.read(8), "little")  # bytes of the list that the file begins with
        if MAX_LIST < listed < path.stat().st_size:
            raise ModelError(_too_many(name))
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            return {key: file.get_tensor(key) for key in keys}, dict(file.metadata() or {})
    except OSError as error:
        raise ModelError(cannot_open(path, error)) from None
    except RuntimeError as error:  # torch maps the file, too, which takes a descriptor of its own
        if is_out_of_memory(error):
            raise ModelError(f"{name} does not fit into memory; close other programs") from None
        reason = shortened(str(error).rpartition(": ")[2], 100)
        raise ModelError(f"{name} cannot be opened: {reason}; close other files or programs") from None
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{name} is not a whole safetensors file: {error}; copy it again") from None


class _Nothing:
    """Stands in for what a bundle holds beside its weights: nothing is called, and nothing kept."""

    def __new__(cls, *_: object, **__: object) -> "_Nothing":
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class _PlainDict:
    """Becomes an ordinary dict, whatever kind was saved."""

    def __new__(cls, *_: object) -> Any:
        return {}


class _PlainList:
    """Becomes an ordinary list."""

    def __new__(cls, *_: object) -> Any:
        return []


def _names(*things: type) -> tuple[str, ...]:
    return tuple(f"{thing.__module__}.{thing.__qualname__}" for thing in things)


# What training loops put beside the weights. These names, and no others, are read as one of the stand-ins.
_BESIDE = {
    _Nothing: (
        *_names(argparse.Namespace, types.SimpleNamespace, bool, int, float, str),
        *(
            f"{module}.{kind}"
            for module in ("pathlib", "pathlib._local")
            for kind in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
        ),
        *("numpy.dtype", "numpy.ndarray"),
        *(
            f"numpy.{core}.multiarray.{name}"
            for core in ("core", "_core")
            for name in ("scalar", "_reconstruct")
        ),
        *("datetime.datetime", "datetime.date", "datetime.timedelta", "torch.torch_version.TorchVersion"),
    ),
    _PlainDict: (
        *_names(dict, collections.defaultdict),
        *("lightning.fabric.utilities.data.AttributeDict", "lightning_fabric.utilities.data.AttributeDict"),
        *("pytorch_lightning.utilities.parsing.AttributeDict", "easydict.EasyDict"),
    ),
    _PlainList: _names(list, collections.deque),
}
_STAND_INS: list[Any] = [(stand_in, name) for stand_in, names in _BESIDE.items() for name in names]
_allowing = threading.Lock()  # torch's list of allowed names is the whole process's


def _unpickled(file: BinaryIO, name: str) -> object:
    """What a torch file holds; only tensors and plain containers can come out."""
    _check_unpacked_size(file, name)
    try:
        with warnings.catch_warnings(), _allowing, torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")  # torch's own, of TorchScript and old formats
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make torch.load raise a dozen kinds
        verdict = "cannot be read"
        if is_out_of_memory(error):
            raise ModelError(f"{name} does not fit into memory; close other programs") from None
        if "TorchScript" in str(error):
            verdict = "refused, it is a TorchScript program"
        elif "nsupported" in str(error):
            verdict = "refused, it holds more than tensors"
    raise ModelError(f"{name} {verdict}; give a file saved with torch.save(model.state_dict(), path)")


def _checked(state: object, name: str) -> dict[str, Tensor]:
    """The tensors of a flat dict, half-precision ones as float32."""
    if not isinstance(state, dict) or not state or not all(map(_is_plain, state.keys(), state.values())):
        raise ModelError(f"{name} holds no state dict; save model.state_dict() with torch.save")
    if sum(tensor.numel() * tensor.element_size() for tensor in state.values()) > MAX_WEIGHTS_BYTES:
        raise ModelError(f"{name} holds tensors of more than {MAX_WEIGHTS_BYTES // 2**30} GB: not opened")
    state = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    if not all(map(_is_finite, state.values())):
        raise ModelError(
            f"{name} has weights that are not finite (NaN or infinite); use an earlier checkpoint"
        )
    return state


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are, found without a second array of that size."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bound.isfinite() for bound in torch.aminmax(tensor))  # NaN comes through


def _is_plain(key: object, tensor: object) -> bool:
    """A named tensor of ordinary numbers that lie in memory: not sparse, nested, quantised or on "meta"."""
    if not isinstance(key, str) or not isinstance(tensor, Tensor) or tensor.is_nested:
        return False
    return tensor.layout == torch.strided and tensor.device.type == "cpu" and tensor.dtype in _DTYPES


def _too_many(name: str) -> str:
    return f"{name} holds far more tensors than a Mask R-CNN, with some 300, needs: not opened"


def _check_unpacked_size(file: BinaryIO, name: str) -> None:
    """Refuse what takes far longer, or far more memory, to unpack than a Mask R-CNN.

    That is a zip that unpacks to far more than its own size (torch itself stores tensors uncompressed), and a
    pickle that lists tensors without end: torch reads that list in Python.
    """
    size = file.seek(0, os.SEEK_END)
    try:
        if not zipfile.is_zipfile(file):
            _check_old_format(file, name)
            return
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except ModelError:
        raise
    except Exception as error:  # zipfile raises half a dozen kinds
        raise ModelError(f"{name} is damaged: {error}; copy it again") from None
    finally:
        file.seek(0)
    unpacked = sum(member.file_size for member in members)
    if unpacked > 2 * size + _CHUNK:
        raise ModelError(f"{name} unpacks to {unpacked:,} bytes, far more than its own size: not opened")
    pickles = sum(member.file_size for member in members if member.filename.endswith("data.pkl"))
    if len(members) > MAX_TENSORS or pickles > MAX_LIST:
        raise ModelError(_too_many(name))


def _check_old_format(file: BinaryIO, name: str) -> None:
    """torch's format until 2020: five pickles, the fourth with the content, and then the tensors' numbers."""
    file.seek(0)
    head = io.BytesIO(file.read(MAX_LIST))
    try:
        for _ in range(5):
            for _ in pickletools.genops(head):
                pass
    except Exception:  # no pickles, which torch.load will say; or they go on behind the head
        if head.tell() == MAX_LIST:
            raise ModelError(_too_many(name)) from None
