"""Where in a checkpoint the weights are: training loops bundle them, and wrappers lengthen their names.

    {"epoch": 7, "model_state_dict": {"module.backbone.body.conv1.weight": ..., ...}, "optimizer": ...}

A Mask R-CNN is known by the scores of its box head: what stands before that name stands before all names.
"""

from torch import Tensor

SCORES = (
    "roi_heads.box_predictor.cls_score.weight"  # (categories, features) in every Mask R-CNN of torchvision
)
COUNTER = "num_batches_tracked"  # the only whole numbers among the weights
# What DataParallel, torch.compile, FSDP and activation checkpointing put into the names of what they wrap.
WRAPPERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
_DEPTH = 4  # of dicts in dicts


def mask_rcnns_in(content: object) -> dict[str, dict[str, Tensor]]:
    """Every Mask R-CNN in what a checkpoint holds.

    Args:
        content: What `torch.load` returned: a state dict, or dicts around one or several.

    Returns:
        Where it lies, such as "model_ema/module.", to its weights by torchvision's names. What lies nearer
        to the top comes first. Numbers and texts that lie among the weights are left out.
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
    """The Mask R-CNNs whose weights lie in this very dict, by what stands before their names."""
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
    """Steps, epochs, averaged models: a single whole number that is none of BatchNorm's."""
    return tensor.ndim == 0 and not tensor.is_floating_point() and not name.endswith(COUNTER)
