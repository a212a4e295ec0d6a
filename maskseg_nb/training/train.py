"""`train`: torchvision's own losses, minimised step by step on augmented images of a dataset."""

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset
from torchvision.models.detection import MaskRCNN
from tqdm.auto import tqdm

from .._shared.checks import check_model
from .._shared.files import locked
from .._shared.memory import within_memory
from ..data.checked_dataset import CheckedDataset
from ..data.datasets import Dataset
from ..errors import DatasetError, ModelError, TrainingError, quoted
from ..evaluation.evaluate import Evaluation, evaluate, to_judge
from ..models.details import set_input_size
from ..models.loading import load_model
from ..models.own_model import check_readable
from .augmentation import Example, TrainingPictures
from .fine_tuning import freeze, with_categories
from .loop import LOSSES, TrainingState
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
        model: The averaged weights in eval mode, to look at and not to change.
    """

    step: int
    steps: int
    losses: np.ndarray
    model: MaskRCNN

    def __repr__(self) -> str:
        return f"Progress(step {self.step} of {self.steps})"


Watch = Callable[[Progress], None]


class OutOfTime(TrainingError):
    """The minutes of a training are over; a checkpoint is saved, and the same call resumes from it."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What `train` returns.

    Attributes:
        model: Ready for `predict`: what `load_model(path)` returns.
        path: Its weights; the model card `model.md` lies beside them.
        losses: float32 (steps, 5), the columns `LOSSES`.
        evaluation: On the validation set; None where there was none.
    """

    model: MaskRCNN
    path: Path
    losses: np.ndarray
    evaluation: Evaluation | None

    def __repr__(self) -> str:
        judged = f", {self.evaluation!r}" if self.evaluation else ""
        return f"Trained({quoted(self.path)} after {len(self.losses)} steps{judged})"


def train(
    model: MaskRCNN,
    dataset: Dataset,
    folder: str | os.PathLike[str],
    settings: TrainingSettings | None = None,
    *,
    held_out: Dataset | None = None,
    resume: bool = True,
    watch: Watch | None = None,
    workers: int = 0,
    notes: str = "",
    weights: np.ndarray | None = None,
    minutes: float = math.inf,
) -> Trained:
    """Fine-tune a model on a dataset.

    The new model knows the dataset's categories; where the given model knows others, its two predictors are
    replaced. After an interrupt the same call resumes from the last checkpoint and ends with the same losses.

    Args:
        model: A torchvision MaskRCNN; it stays as it is.
        dataset: Pictures with ground truth, complete or a `PartialTruth`. Crowds are painted grey, instances
            of a few pixels left out.
        folder: For checkpoints, weights and model card; made if it is missing.
        settings: How to train; None takes the defaults.
        held_out: The validation set, of pictures that are not learned from: at the end the model is evaluated
            on it, and the metrics go into the model card.
        resume: False starts from scratch and replaces what an earlier training left in the folder.
        watch: Called after every step; None shows a progress bar.
        workers: Processes that prepare pictures; 0 prepares them in this one.
        notes: Markdown for the model card, such as where the pictures came from.
        weights: float (len(dataset),), how often each picture is drawn, relative to the others; None: rare
            categories more often, see `repeat_factors`.
        minutes: When they are over, save a checkpoint and end; the same call resumes.

    Returns:
        The trained model, where it is stored, its losses and its evaluation.

    Raises:
        DatasetError: There is nothing to learn from, a picture contradicts its ground truth, or no checkpoint
            can hold the categories' names. Both datasets are checked before the first step.
        TypeError, ValueError: A picture is not as it should be; the message names its index.
        TrainingError: A loss is not finite, the folder cannot be written, or another training is writing into
            it; or, before the first step: the folder's checkpoint is another training's, or `load_model`
            could not read the result. The last checkpoint stays as it is.
        OutOfTime: The minutes are over.
    """
    end = time.monotonic() + 60 * minutes
    model = check_model(model)
    settings, target = settings or TrainingSettings(), Path(folder)
    pictures = CheckedDataset.of(dataset)
    labels = _labels(pictures, settings.augmentation.least_pixels)
    drawn = (
        repeat_factors(labels, settings.rare) if weights is None else _of_pictures(weights, dataset, pictures)
    )
    validation = to_judge(held_out, pictures.categories)[1] if held_out else None

    def prepare_loop_finish() -> Trained:
        state = _prepare(model, pictures, settings)
        if weights is not None:
            state.identity["weights"] = hashlib.sha256(drawn.tobytes()).hexdigest()[:8]
        checkpoint = Checkpoint(target, state.identity)
        if resume:
            checkpoint.restore(state)
        _loop(state, checkpoint, _batches(pictures, drawn, state, workers), watch, end)
        return _finish(state, target, labels, validation, notes, progress=not watch)

    with locked(target, "training", TrainingError):
        return within_memory(
            prepare_loop_finish,
            "not enough memory to train; lower batch_size, sizes or rois. The last checkpoint is kept",
            TrainingError,
        )


def _prepare(model: MaskRCNN, dataset: CheckedDataset, settings: TrainingSettings) -> TrainingState:
    """A training before its first step, whose result `load_model` is certain to read."""
    with seeded(settings.seed, 2):
        learner = with_categories(model, dataset.categories).train()
    if settings.input_size:
        set_input_size(learner, *settings.input_size)
    freeze(learner, settings.freeze)
    try:
        check_readable(learner, WEIGHTS)
    except ModelError as error:
        raise TrainingError(
            f"load_model could not read what would come out of this training: {error}"
        ) from None
    return TrainingState(learner, settings, len(dataset))


def _loop(
    state: TrainingState,
    checkpoint: Checkpoint,
    batches: Iterable[list[Example]],
    watch: Watch | None,
    end: float,
) -> None:
    """Learn from batch after batch; save a checkpoint every so many steps, after the last one and at the end.

    `end` is a time of `time.monotonic()`, in seconds.
    """
    steps, every = state.settings.steps, state.settings.save_every
    bar = tqdm(total=steps, initial=state.step, desc="Training", unit="step", disable=watch is not None)
    try:
        with bar:
            for batch in batches:
                state.learn_from(batch)
                if state.step % every == 0 or state.step == steps:
                    checkpoint.save(state)
                bar.set_postfix(loss=f"{state.losses[-1].sum():.2f}", refresh=False)
                bar.update()
                if watch:
                    watch(Progress(state.step, steps, np.array(state.losses), state.model))
                if time.monotonic() >= end and state.step < steps:
                    checkpoint.save(state)
                    raise OutOfTime(
                        f"the time is over after step {state.step} of {steps}; the checkpoint is saved: the "
                        "same call resumes"
                    )
    except KeyboardInterrupt:
        print(f"Stopped after step {state.step}; the same call resumes after step {checkpoint.step}.")
        raise


def _finish(
    state: TrainingState,
    folder: Path,
    labels: list[np.ndarray],
    validation: CheckedDataset | None,
    notes: str,
    *,
    progress: bool,
) -> Trained:
    """Save the weights, evaluate the model that `load_model` makes of them, and write its card."""
    path = save_weights(state.model, folder)
    trained = load_model(path)  # exactly what everybody else will load
    evaluation = evaluate(trained, validation, progress=progress) if validation else None
    save_card(model_card(state, labels, evaluation, notes), folder)
    return Trained(trained, path, np.array(state.losses, np.float32).reshape(-1, len(LOSSES)), evaluation)


def _labels(dataset: CheckedDataset, least_pixels: int) -> list[np.ndarray]:
    """The labels in each picture that can be learned: no crowds, no instances of a few pixels."""
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
    """(height, width) of wide, square and tall pictures with a short side around this one, in pixels."""
    shapes = ((0.85, 4 / 3), (1.0, 1.0), (1.0, 4 / 3), (1.0, 3 / 4), (1.2, 1.0), (1.2, 4 / 3))
    sides = ((short * scale * max(1, 1 / aspect), short * scale * max(1, aspect)) for scale, aspect in shapes)
    return tuple((max(2, round(high / 32)) * 32, max(2, round(wide / 32)) * 32) for high, wide in sides)


def _of_pictures(weights: np.ndarray, dataset: Dataset, pictures: CheckedDataset) -> np.ndarray:
    """The weights of a dataset's pictures that can be used, checked."""
    weights = np.asarray(weights, np.float64)
    if (
        weights.shape != (len(dataset),)
        or not (np.isfinite(weights) & (weights >= 0)).all()
        or not weights.any()
    ):
        raise ValueError(f"weights must be {len(dataset)} numbers from 0 on, not all of them 0")
    return weights if pictures is dataset else weights[[seen.index for seen in pictures.seen]]


def _batches(
    dataset: CheckedDataset, weights: np.ndarray, state: TrainingState, workers: int
) -> Iterable[list[Example]]:
    """The batches of the remaining steps."""
    settings, size = state.settings, state.settings.batch_size
    pictures = TrainingPictures(
        dataset,
        settings.sizes or _sizes_around(state.learner.transform.min_size[-1]),
        settings.augmentation,
        size,
        settings.seed,
        weights,
    )
    left = Subset(pictures, range(state.step * size, settings.steps * size))
    ahead, begin = 4 if workers else None, _hand_over_names if workers > 1 else None
    return DataLoader(
        left, size, num_workers=workers, collate_fn=list, prefetch_factor=ahead, worker_init_fn=begin
    )


def _hand_over_names(worker: int) -> None:
    """Let a worker hand its tensors over by name: by open file, a few workers would have too many open."""
    torch.multiprocessing.set_sharing_strategy("file_system")
