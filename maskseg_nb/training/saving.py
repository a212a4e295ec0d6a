"""What a training writes: a checkpoint to resume from, the weights, and a model card beside them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from .._shared.files import whole_file
from ..errors import ModelError, TrainingError, cannot_write, quoted
from ..models.checkpoints import read_state
from ..models.details import metadata_of
from .loop import TrainingState
from .model_card import flat

CHECKPOINT, WEIGHTS, CARD = "checkpoint.safetensors", "model.safetensors", "model.md"
_HALF_MAX = 65504.0  # float16's


class Checkpoint:
    """The last good state of a training, in a folder.

    Args:
        folder: Where it is or will be.
        identity: What must stay the same for a training to resume: settings, categories, number of pictures.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.path = folder / CHECKPOINT
        self.step = 0
        self._identity = json.dumps(identity, sort_keys=True)

    def save(self, state: TrainingState) -> None:
        """Replace the checkpoint with the present state of a training.

        Raises:
            TrainingError: It cannot be written; the previous one is still there.
        """
        tensors = {f"learner.{key}": value for key, value in state.learner.state_dict().items()}
        tensors |= {f"averaged.{key}": value for key, value in state.averaged.state_dict().items()}
        for number, memory in state.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in memory.items()}
        tensors["losses"] = torch.from_numpy(np.array(state.losses, np.float32))
        _write(self.path, *_file_of(tensors, {"identity": self._identity}))
        self.step = len(state.losses)

    def restore(self, state: TrainingState) -> None:
        """Put a training into the checkpoint's state, if there is a checkpoint.

        Raises:
            TrainingError: The checkpoint is another training's, or damaged.
        """
        if not self.path.exists():
            return
        try:
            tensors, metadata = read_state(self.path)
        except ModelError as error:
            raise TrainingError(f"{error}; or start from scratch with resume=False") from None
        if metadata.get("identity") != self._identity:
            raise TrainingError(
                f"{quoted(self.path)} is of a training with {self._difference(metadata)}; "
                "give another folder, or start from scratch with resume=False"
            )
        state.learner.load_state_dict(_below(tensors, "learner."))
        state.averaged.load_state_dict(_below(tensors, "averaged."))
        memory: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, "optimizer.").items():
            number, name = key.split(".")
            memory.setdefault(int(number), {})[name] = value
        state.optimizer.load_state_dict(state.optimizer.state_dict() | {"state": memory})
        state.losses[:] = list(tensors["losses"].numpy())
        self.step = len(state.losses)

    def _difference(self, metadata: dict[str, str]) -> str:
        """The first setting that differs, as "steps 600 instead of 400"."""
        before, now = (flat(json.loads(text)) for text in (metadata.get("identity", "{}"), self._identity))
        for name, value in before.items():
            if now.get(name) != value:
                return quoted(f"{name} {value} instead of {now.get(name)}")
        return "other settings"


def save_weights(model: MaskRCNN, folder: Path) -> Path:
    """Write a model as `load_model` reads it, into an existing folder; return the file's path.

    Raises:
        TrainingError: It cannot be written.
    """
    path, state = folder / WEIGHTS, {name: _half(value) for name, value in model.state_dict().items()}
    _write(path, *_file_of(state, metadata_of(model)))
    return path


def save_card(text: str, folder: Path) -> None:
    """Write a model card into an existing folder.

    Raises:
        TrainingError: It cannot be written.
    """
    _write(folder / CARD, text.encode())


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _half(tensor: Tensor) -> Tensor:
    """Weights as float16 where they fit; biases and BatchNorm's statistics, one-dimensional, as they are."""
    if tensor.ndim < 2 or not tensor.is_floating_point() or tensor.abs().max() > _HALF_MAX:
        return tensor
    return tensor.half()


def _write(path: Path, *parts: bytes | memoryview) -> None:
    try:
        with whole_file(path) as file:
            file.writelines(parts)
    except OSError as error:
        raise TrainingError(cannot_write(path, error)) from None


def _file_of(state: dict[str, Tensor], metadata: dict[str, str]) -> tuple[bytes, memoryview]:
    """A safetensors file, its head and its tensors; equal trainings give equal files.

    safetensors writes the metadata in a random order: here they are sorted.
    """
    data = save({key: value.contiguous() for key, value in state.items()}, metadata)
    end = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(data[8:end])
    head["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text, memoryview(data)[end:]
