"""State dicts: found in what a checkpoint holds, and put into a model.

Training loops bundle weights with other things, and wrappers lengthen their names:

    {"epoch": 7, "model_state_dict": {"module.backbone.body.conv1.weight": ..., ...}, "optimizer": ...}

A Mask R-CNN is known by the scores of its box head: what stands before that name stands before all names.
"""

import re

from torch import Tensor
from torchvision.models.detection import MaskRCNN

from ..errors import ModelError, quoted

SCORES = "roi_heads.box_predictor.cls_score.weight"  # (categories, features) in every Mask R-CNN
COUNTER = "num_batches_tracked"  # the only whole numbers among the weights
# What DataParallel, torch.compile, FSDP and activation checkpointing put into the names of what they wrap.
WRAPPERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
_DEPTH = 4  # of dicts in dicts


def mask_rcnns_in(content: object) -> dict[str, dict[str, Tensor]]:
    """Every Mask R-CNN in what `torch.load` returned: a state dict, or dicts around one or several.

    Returns:
        Where it lies, such as "model_ema/module." -> its weights by torchvision's names, nearest to the top
        first. Numbers and texts among the weights are left out.
    """
    found: dict[str, dict[str, Tensor]] = {}
    level, seen = [("", content)], set[int]()  # a pickle may hold itself
    for _ in range(_DEPTH):
        below = []
        for place, things in level:
            if isinstance(things, dict) and id(things) not in seen:
                seen.add(id(things))
                found |= {place + prefix: state for prefix, state in _by_prefix(things).items()}
                below += [(f"{place}{key}/", thing) for key, thing in things.items()]
        level = below
    return found


def _by_prefix(things: dict[object, object]) -> dict[str, dict[str, Tensor]]:
    """The Mask R-CNNs whose weights lie in this very dict, by the prefix of their names."""
    named = {_unwrapped(key): thing for key, thing in things.items() if isinstance(key, str)}
    ends = [name.removesuffix(SCORES) for name in named if name.endswith(SCORES)]
    prefixes = [prefix for prefix in ends if prefix == "" or prefix.endswith(".")]
    found: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in prefixes}
    longest_first = sorted(prefixes, key=len, reverse=True)
    for name, thing in named.items():
        prefix = next((prefix for prefix in longest_first if name.startswith(prefix)), None)
        if prefix is not None and isinstance(thing, Tensor) and not _counts_something_else(name, thing):
            found[prefix][name.removeprefix(prefix)] = thing
    return found


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _counts_something_else(name: str, tensor: Tensor) -> bool:
    """Whether it is a single whole number that is not BatchNorm's: steps, epochs, averaged models."""
    return tensor.ndim == 0 and not tensor.is_floating_point() and not name.endswith(COUNTER)


def fill(model: MaskRCNN, state: dict[str, Tensor], name: str) -> None:
    """Put the weights in place; torchvision compares, as only it knows its old releases' names: inside
    `load_state_dict` it renames those of the published `coco` file, which is of 2019.

    Raises:
        ModelError: Weights are missing, unknown, or of another shape or kind.
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
