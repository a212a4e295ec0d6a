"""How the model `small` is trained: from `street`'s weights, on a folder that is labelled in part.

The network learns more categories than it will report. Those with too few objects are grouped by COCO's
supercategories ("other animal", "other food"). At the end it is folded onto the categories that it finds
well, and calibrated: see `folding`.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN

from ..data.checked_dataset import CheckedDataset
from ..data.coco_json import read_json
from ..data.datasets import Part
from ..errors import DatasetError, MasksegError, cannot_open, quoted
from ..models.loading import load_model
from .augmentation import Augmentation
from .folding import calibrate, calibration, fold
from .partial_labels import PartialCoco
from .saving import save_weights
from .settings import TrainingSettings
from .train import OutOfTime, train
from .validation import table, validate

ALWAYS = ("person", "bicycle", "car", "motorcycle", "cat", "dog")  # reported in any case
LEAST_AP50 = 0.30  # on the validation set, of every other category that is reported
# Categories that are not grouped: these, and all others with about a hundred objects or more.
OWN = (*ALWAYS, "elephant", "bear", "bottle", "cup", "chair", "bowl", "dining table", "book", "handbag")
FOLDED_ON = 300  # pictures
# The new categories first, on small pictures, many of them mosaics full of objects. The sizes are few: cuDNN
# plans for seconds whenever one is new.
FIRST = TrainingSettings(
    steps=1850,
    batch_size=12,
    learning_rate=1.3e-3,
    warm_up=150,
    input_size=(576, 936),
    sizes=((448, 448),),
    rois=128,
    mask_rois=24,
    rare=0.2,
    save_every=200,
    augmentation=Augmentation(mosaic=0.5, paste=0.6),
)
# Then larger ones, up to the size at which the model will see them.
SECOND = replace(
    FIRST,
    steps=2260,
    learning_rate=1e-3,
    sizes=((448, 448), (480, 640), (576, 576)),
    augmentation=Augmentation(mosaic=0.4, paste=0.5),
)
# Then pictures more as they are, and no small ones.
THIRD = replace(
    SECOND,
    steps=1030,
    learning_rate=4e-4,
    sizes=((480, 640), (576, 576), (576, 768)),
    augmentation=Augmentation(area=(0.35, 1.0), mosaic=0.15, paste=0.3),
)
# In the end mostly pictures that are outlined completely, and vehicles, which are found worst: see `shares`.
FOURTH = replace(
    THIRD,
    steps=1500,
    batch_size=4,
    warm_up=100,
    sizes=((480, 640), (512, 512), (640, 480), (576, 576)),
    rois=64,
    mask_rois=16,
    save_every=100,
    augmentation=Augmentation(area=(0.4, 1.0), mosaic=0.25, paste=0.3),
)
PHASES = (FIRST, SECOND, THIRD, FOURTH)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the model `small`, or resume a training that was interrupted.

    Returns:
        The exit status: 0, also when the minutes are over, or 1 where data, weights, folder or a number is
        not as it should be.
    """
    parser = argparse.ArgumentParser("python -m maskseg_nb.training", description=main.__doc__)
    add, steps = parser.add_argument, [phase.steps for phase in PHASES]
    add("model", choices=["small"], help="what to train")
    add("--data", type=Path, required=True, help="a folder with instances.json, and its pictures in images/")
    add("--out", type=Path, required=True, help="where checkpoints and weights go")
    add("--held-out", type=Path, help="a text file: image ids of the validation set, one per line")
    add("--guesses", type=Path, help="another model's results on all pictures, in COCO's format")
    add("--begin", default="street", help="the model or weights to begin from: %(default)s")
    add("--minutes", type=float, default=float("inf"), help="then save and end; the same call resumes")
    add("--workers", type=int, default=1, help="processes that prepare pictures: %(default)s")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="%(default)s")
    add("--steps", type=int, nargs=len(steps), default=steps, help="of each phase: %(default)s")
    options = parser.parse_args(arguments)
    end = time.monotonic() + 60 * options.minutes
    try:
        dataset = opened(options.data, options.guesses)
        held_out = numbered(dataset, options.held_out) if options.held_out else []
        learned = Part(dataset, sorted({*range(len(dataset))} - {*held_out}))
        pictures = CheckedDataset.of(learned)
        model = load_model(options.begin, device=options.device)
        for phase, (settings, count) in enumerate(zip(PHASES, options.steps, strict=True), 1):
            model = train(
                model.to(options.device),
                pictures,
                options.out / f"phase{phase}",
                replace(settings, steps=count),
                workers=options.workers,
                notes=f"Phase {phase} of {len(PHASES)}, begun from {Path(options.begin).name}.",
                weights=shares(dataset, learned, pictures) if settings is FOURTH else None,
                minutes=(end - time.monotonic()) / 60,
            ).model
        some = np.random.default_rng(0).permutation(len(pictures))[:FOLDED_ON]
        model = finished(model, dataset, held_out, (pictures[index][0] for index in some))
        if held_out:
            print(table(validate(model, dataset, held_out)))
        print(f"The weights are in {save_weights(model, options.out)}")
    except OutOfTime as over:
        print(over)
    except (MasksegError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def opened(folder: Path, guesses: Path | None) -> PartialCoco:
    """A folder with instances.json; file names may be relative to its images/, to itself, or to its parent.

    Categories that are not in `OWN` and state their supercategory are grouped by it.

    Raises:
        DatasetError: As `PartialCoco`; or it has none of the categories that are always reported.
    """
    file = folder / "instances.json"
    lists = read_json(file, quoted(file.name))
    rows = [row for row in lists["categories"] if isinstance(row, dict) and row.get("name") not in OWN]
    groups = {
        str(row.get("name")): f"other {row['supercategory']}" for row in rows if row.get("supercategory")
    }
    first = lists["images"][0]
    name = str(first.get("file_name")) if isinstance(first, dict) else ""
    places = (folder / "images", folder, folder.parent)
    images = next((place for place in places if (place / name).is_file()), places[0])
    dataset = PartialCoco(images, file, guesses=guesses, groups=groups)
    if not {*ALWAYS} & {*dataset.categories}:
        raise DatasetError(f"{quoted(file.name)} has none of {', '.join(ALWAYS)}; give a folder that has")
    return dataset


def finished(
    model: MaskRCNN, dataset: PartialCoco, held_out: Sequence[int], images: Iterable[np.ndarray]
) -> MaskRCNN:
    """The model as it is shipped: folded onto the categories that it finds well, and calibrated.

    Args:
        model: A torchvision MaskRCNN in eval mode, with the dataset's categories; it stays as it is.
        dataset: All pictures.
        held_out: Those of the validation set; without any, only `ALWAYS` are reported, scores as they are.
        images: Of the training set, uint8 (H, W, 3), RGB: the classifier is fitted on them.
    """
    judged = validate(model, dataset, held_out, OWN)
    well = {name for name, one in judged.items() if one.AP50 >= LEAST_AP50}
    names = [name for name in OWN if name in dataset.categories and (name in ALWAYS or name in well)]
    folded = fold(model, ("__background__", *names), images)
    if found := validate(folded, dataset, held_out).values():
        scores = np.concatenate([one.scores for one in found])
        right = np.concatenate([one.right for one in found])
        calibrate(folded, *calibration(scores, right))
    return folded


def numbered(dataset: PartialCoco, file: Path) -> list[int]:
    """The pictures whose image ids are in a text file, one per line.

    Raises:
        DatasetError: The file cannot be read, or the dataset has no such picture.
    """
    places = {number: index for index, number in enumerate(dataset.image_ids)}
    try:
        return [places[int(line)] for line in file.read_text(encoding="utf-8").split()]
    except OSError as error:
        raise DatasetError(cannot_open(file, error)) from None
    except (ValueError, KeyError) as error:
        raise DatasetError(
            f"{quoted(file.name)} must hold ids of the dataset's images, one per line: {quoted(error, 40)}"
        ) from None


def shares(dataset: PartialCoco, learned: Part, pictures: CheckedDataset) -> np.ndarray:
    """How often each picture is drawn in the last phase, relative to the others: float64 (N,).

    3 where people and everything else are outlined completely, 2.5 where people and cars are, 1 where people
    are, else 0.6; times 1.6 with a bicycle or motorcycle in it, else times 1.3 with a car.

    Args:
        dataset: All pictures.
        learned: Those of the training set.
        pictures: The same, looked through.
    """

    def share(index: int, present: set[str]) -> float:
        whole = {
            name
            for name, all_of_it in zip(dataset.categories, dataset.complete[index], strict=True)
            if all_of_it
        }
        often = 3.0 if len(whole) == len(dataset.categories) else 2.5 if "car" in whole else 1.0
        often = often if "person" in whole else 0.6
        return often * (1.6 if present & {"bicycle", "motorcycle"} else 1.3 if "car" in present else 1.0)

    names = np.array(dataset.categories)
    return np.array([share(learned.indices[seen.index], {*names[seen.labels]}) for seen in pictures.seen])
