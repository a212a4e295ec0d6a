"""How good a model is on partially labelled pictures: each category on those that outline all of it."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from torchvision.models.detection import MaskRCNN

from ..data.datasets import Part
from ..evaluation.evaluate import evaluate
from ..models.zoo import categories_of
from .partial_labels import PartialCoco


@dataclass(frozen=True, eq=False)
class Judged:
    """How well a category is found.

    Attributes:
        AP50: COCO's own, of masks.
        pictures: How many it is judged on: all that outline it completely.
        objects: How many count in them.
        scores: float64 (K,), the judged instances', highest first.
        right: bool (K,), the true positives among them, at IoU 0.5.
    """

    AP50: float
    pictures: int
    objects: int
    scores: np.ndarray
    right: np.ndarray


def validate(
    model: MaskRCNN,
    dataset: PartialCoco,
    indices: Sequence[int],
    names: Collection[str] | None = None,
    *,
    cache: str | os.PathLike[str] | None = None,
) -> dict[str, Judged]:
    """Evaluate each category on the pictures that outline it completely, where they have an object of it.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        dataset: All pictures; it is judged by outlines, not by guesses.
        indices: The pictures of the validation set.
        names: Categories to judge; None: all that model and dataset have in common.
        cache: A folder to keep what was found in, see `evaluate`; None forgets it.

    Returns:
        Name -> how well it is found, in the dataset's order.
    """
    known, coco = set(categories_of(model)[1:]) & set(names or dataset.categories), dataset.coco
    present = {index: set(truth.labels[~truth.crowd]) for index in indices for truth in [coco.truth(index)]}
    alike: dict[tuple[int, ...], list[str]] = defaultdict(list)  # categories judged on the same pictures
    for name in known.intersection(coco.categories):
        complete = dataset.complete[:, dataset.categories.index(name)]
        pictures = tuple(index for index in indices if complete[index])
        if any(coco.categories.index(name) in present[index] for index in pictures):
            alike[pictures].append(name)
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for pictures, group in alike.items():
            result = evaluate(model, Part(coco, pictures), cache=cache or scratch, progress=False)
            for name in group:
                curve = result.curve(name)
                right = np.diff(np.round(curve.recall * curve.objects), prepend=0) > 0
                AP50 = result.per_category[name]["AP50"]
                found[name] = Judged(AP50, len(pictures), curve.objects, curve.scores, right)
    return {name: found[name] for name in coco.categories if name in found}


def table(judged: dict[str, Judged]) -> str:
    """A line for each category, and one for all of them."""
    lines = [f"{'mask AP50':<16}{'':>6}{'pictures':>10}{'objects':>9}{'of 0.5 or more':>16}{'right':>7}"]
    sure = {name: one.right[one.scores >= 0.5] for name, one in judged.items()}
    for name, one in judged.items():
        lines.append(f"{name:<16}{one.AP50:>6.3f}{one.pictures:>10}{one.objects:>9}{_share(sure[name])}")
    mean = np.mean([one.AP50 for one in judged.values()])
    return "\n".join(
        [*lines, f"{'all, mean AP50':<16}{mean:>6.3f}{'':>19}{_share(np.concatenate([*sure.values()]))}"]
    )


def _share(right: np.ndarray) -> str:
    return f"{len(right):>16}" + (f"{right.mean():>7.0%}" if len(right) else "")
