"""Weights put into their places, after they were compared with what is wanted there."""

import re

from torch import Tensor
from torchvision.models.detection import MaskRCNN

from ..errors import ModelError, quoted
from .bundles import COUNTER


def fill(model: MaskRCNN, state: dict[str, Tensor], name: str) -> None:
    """Put the weights in place; torchvision compares, as only it knows the names of its own old releases.

    The published `coco` file is of 2019. Its layers were renamed in torchvision 0.13, whose modules rename
    the file's keys inside `load_state_dict`.
    """
    other = {key for key, weight in state.items() if not _is_of_its_kind(key, weight)}
    missing, unknown = [], []
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        missing = _keys_after("Missing key(s) in state_dict: ", str(error))
        unknown = _keys_after("Unexpected key(s) in state_dict: ", str(error))
        other.update(re.findall(r"size mismatch for (\S+): ", str(error)))
        if not (missing or unknown or other):
            raise ModelError(f"{quoted(name)} does not fit: {quoted(error, 120)}") from None
    if missing or unknown or other:
        raise ModelError(
            f"{quoted(name)} does not fit: {len(missing)} weights missing, {len(unknown)} unknown, "
            f"{len(other)} of another shape or kind, such as "
            f"{quoted([*missing, *unknown, *sorted(other)][0])}; use the checkpoint of this architecture"
        )


def _keys_after(words: str, said: str) -> list[str]:
    """The keys that `load_state_dict` lists behind these words: `"a", "b". `, to the end of the line."""
    _, _, rest = said.partition(words)
    return rest.partition('". \n')[0].strip('". \n').split('", "') if rest else []


def _is_of_its_kind(key: str, weight: Tensor) -> bool:
    """Whether fractions are fractions, and counts whole numbers: torch would take either, silently."""
    return weight.is_floating_point() != key.endswith(COUNTER)
