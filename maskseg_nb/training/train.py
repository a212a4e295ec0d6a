"""Fine-tuning: torchvision's own losses, minimised step by step on changed pictures of a dataset.

    python -m maskseg_nb.training street --data FOLDER --out FOLDER

trains the shipped model again from ImageNet weights; see `street_recipe`.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader, Subset
from torchvision.models.detection import MaskRCNN
from tqdm.auto import tqdm

from .._shared.checks import check_model
from .._shared.files import locked
from .._shared.memory import within_memory
from ..data.checked_dataset import CheckedDataset
from ..data.datasets import Dataset
from ..errors import DatasetError, ModelError, TrainingError
from ..evaluation.evaluate import Evaluation, evaluate, to_judge
from ..models.loading import load_model
from ..models.own_model import check_readable
from .augmentation import Example, TrainingPictures
from .fine_tuning import freeze, with_categories
from .loop import LOSSES, Run
from .model_card import model_card
from .sampling import repeat_factors, seeded
from .saving import WEIGHTS, Checkpoint, save_card, save_weights
from .settings import TrainingSettings


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a training stands, for whoever watches it.

    Attributes:
        step: How many steps are done.
        steps: How many there will be.
        losses: float32 (step, 5), the columns `LOSSES`.
        model: The averaged weights in eval mode, to be looked at and not to be changed.
    """

    step: int
    steps: int
    losses: np.ndarray
    model: MaskRCNN


@dataclass(frozen=True, eq=False)
class Trained:
    """What `train` returns.

    Attributes:
        model: Ready for `predict`: as `load_model(path)` gives it.
        path: Its weights; the model card `model.md` is beside them.
        losses: float32 (steps, 5), the columns `LOSSES`.
        evaluation: On the pictures that were held out; None where there were none.
    """

    model: MaskRCNN
    path: Path
    losses: np.ndarray
    evaluation: Evaluation | None


def train(
    model: MaskRCNN,
    dataset: Dataset,
    folder: str | os.PathLike[str],
    settings: TrainingSettings | None = None,
    *,
    held_out: Dataset | None = None,
    resume: bool = True,
    watch: Callable[[Progress], None] | None = None,
    workers: int = 0,
    notes: str = "",
) -> Trained:
    """Fine-tune a model on a dataset.

    The dataset's categories decide what the new model knows; where they are others than the model's, its two
    predictors are replaced. A training that was interrupted goes on from its last checkpoint when it is
    called again, to the same losses.

    Args:
        model: A torchvision MaskRCNN; it stays as it is.
        dataset: Pictures with truth. Crowds are painted grey, instances of a few pixels left out.
        folder: Where checkpoints, weights and model card go; made where it is missing.
        settings: How to train; None takes the defaults.
        held_out: Pictures that are not learned from; at the end the model is evaluated on them, and the
            figures go into the model card.
        resume: False begins anew and replaces what an earlier training left in the folder.
        watch: Called after every step; None shows a progress bar.
        workers: Processes that prepare pictures; 0 prepares them here.
        notes: Markdown for the model card, such as where the pictures came from.

    Returns:
        The trained model, where it is stored, and its losses.

    Raises:
        DatasetError: There is nothing to learn from, a picture contradicts its ground truth, or categories
            have names that no checkpoint can hold; the pictures that are held out are checked, too, before
            the first step.
        TypeError, ValueError: A picture is not as it should be; the message names its index.
        TrainingError: A loss is not finite, the folder cannot be written, another training is writing into
            it, the checkpoint in it is of another training, or `load_model` could not read what would come
            out: that, too, is said before the first step. The last checkpoint stays as it is.
    """
    model = check_model(model)
    settings = settings or TrainingSettings()
    pictures = CheckedDataset.of(dataset)
    labels = _labels(pictures, settings.augmentation.least_pixels)
    judged = to_judge(held_out, pictures.categories)[1] if held_out else None
    with locked(Path(folder), "training", TrainingError):
        return within_memory(
            lambda: _train(
                model, pictures, labels, judged, Path(folder), settings, resume, watch, workers, notes
            ),
            "not enough memory to train; lower batch_size, sizes or rois. The last checkpoint is kept",
            TrainingError,
        )


def _train(
    model: MaskRCNN,
    dataset: CheckedDataset,
    labels: list[np.ndarray],
    held_out: CheckedDataset | None,
    folder: Path,
    settings: TrainingSettings,
    resume: bool,
    watch: Callable[[Progress], None] | None,
    workers: int,
    notes: str,
) -> Trained:
    """`train`, when everything is checked and the folder is held."""
    with seeded(settings.seed, 2):
        learner = with_categories(model, dataset.categories).train()
    if settings.input_size:
        learner.transform.min_size, learner.transform.max_size = (
            settings.input_size[:1],
            settings.input_size[1],
        )
    freeze(learner, settings.freeze)
    try:
        check_readable(learner, WEIGHTS)
    except ModelError as error:
        raise TrainingError(
            f"load_model could not read what would come out of this training: {error}"
        ) from None
    run = Run(learner, settings, len(dataset))
    checkpoint = Checkpoint(folder, run.identity)
    if resume:
        checkpoint.restore(run)
    pictures = TrainingPictures(
        dataset,
        settings.sizes or _sizes_around(learner.transform.min_size[-1]),
        settings.augmentation,
        settings.batch_size,
        settings.seed,
        repeat_factors(labels, settings.rare),
    )
    bar = tqdm(
        total=settings.steps, initial=run.step, desc="Training", unit="step", disable=watch is not None
    )
    try:
        with bar:
            for batch in _batches(pictures, run, workers):
                run.take(batch)
                if run.step % settings.save_every == 0 or run.step == settings.steps:
                    checkpoint.save(run)
                bar.set_postfix(loss=f"{run.losses[-1].sum():.2f}", refresh=False)
                bar.update()
                if watch:
                    watch(Progress(run.step, settings.steps, np.array(run.losses), run.model))
    except KeyboardInterrupt:
        print(f"Stopped after step {run.step}; the same call goes on after step {checkpoint.step}.")
        raise
    path = save_weights(run.model, folder)
    trained = load_model(path)  # the very one that everybody else will load
    evaluation = evaluate(trained, held_out, progress=not watch) if held_out else None
    save_card(model_card(run, labels, evaluation, notes), folder)
    return Trained(trained, path, np.array(run.losses, np.float32).reshape(-1, len(LOSSES)), evaluation)


def _labels(dataset: CheckedDataset, least_pixels: int) -> list[np.ndarray]:
    """Each picture's labels that can be learned: no crowds, no instances of a few pixels."""
    rows = [seen.labels[(seen.pixels >= least_pixels) & ~seen.crowd] for seen in dataset.seen]
    if not any(map(len, rows)):
        crowds = sum(int(seen.crowd.sum()) for seen in dataset.seen)
        told = f" ({crowds} are crowds: set iscrowd to 0 where one is a single object)" if crowds else ""
        raise DatasetError(
            f"the dataset has {len(rows)} pictures and nothing to learn from: no instance of at least "
            f"{least_pixels} pixels that is not a crowd{told}"
        )
    return rows


def _sizes_around(short: int) -> tuple[tuple[int, int], ...]:
    """Wide, square and tall pictures, their short side somewhat smaller and larger than this."""
    sizes = []
    for scale, aspect in ((0.85, 4 / 3), (1.0, 1.0), (1.0, 4 / 3), (1.0, 3 / 4), (1.2, 1.0), (1.2, 4 / 3)):
        height, width = short * scale * max(1, 1 / aspect), short * scale * max(1, aspect)
        sizes.append((max(2, round(height / 32)) * 32, max(2, round(width / 32)) * 32))
    return tuple(sizes)


def _batches(pictures: TrainingPictures, run: Run, workers: int) -> Iterator[list[Example]]:
    size = run.settings.batch_size
    left = range(run.step * size, run.settings.steps * size)
    ahead = 4 if workers else None
    yield from DataLoader(
        Subset(pictures, left), size, num_workers=workers, collate_fn=list, prefetch_factor=ahead
    )
