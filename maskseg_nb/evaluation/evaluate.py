"""How good a model is on images with ground truth: COCO's metrics, and the rows behind them."""

import os
from collections import Counter
from dataclasses import dataclass

import numpy as np
from torchvision.models.detection import MaskRCNN
from tqdm.auto import tqdm

from .._shared.checks import check_fraction, check_model
from ..data.checked_dataset import CheckedDataset, category_names
from ..data.datasets import Dataset
from ..errors import DatasetError, quoted
from ..mask_rcnn.knobs import fingerprint
from ..models.zoo import categories_of
from .coco_metrics import METRICS, CocoMetrics
from .detections import DetectionsCache, EncodedDetections, picture_key
from .matching import Match, Outcome, common_categories, match_rows, overlaps
from .precision_recall import Curve, curve


@dataclass(frozen=True, eq=False)
class PictureResult:
    """One picture's part of an evaluation.

    Attributes:
        index: Its place in the dataset.
        image_id: The dataset's own number for it.
        image_size: (height, width) in pixels.
        detections: M of them, highest score first.
        match: Their masks compared with the ground truth, at IoU 0.5.
        truth_labels: int64 (N,), the ground truth's labels, row by row.
    """

    index: int
    image_id: int
    image_size: tuple[int, int]
    detections: EncodedDetections
    match: Match
    truth_labels: np.ndarray

    def errors(self, score_threshold: float = 0.5) -> int:
        """False positives plus false negatives, of the instances scored `score_threshold` or more."""
        true, said = self.pairs(score_threshold)
        return int(np.count_nonzero(true[true != said]) + np.count_nonzero(said[true != said]))

    def pairs(self, score_threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
        """What was taken for what, as two rows of labels, int64 (K,): the ground truth's, and the model's.

        Every counted object is in there once, and every judged instance scored `score_threshold` or more; 0
        stands for no object, or no instance. An object that was not found is paired with the first instance
        that gave it a wrong category.
        """
        match, said = self.match, self.detections.labels
        judged = (self.detections.scores >= score_threshold) & ~match.having(Outcome.NOT_JUDGED)
        right = judged & match.having(Outcome.TRUE_POSITIVE)
        true, free = np.where(right, said, 0), match.counted.copy()
        free[match.truth_index[right]] = False
        for row in np.flatnonzero(judged & match.having(Outcome.WRONG_CATEGORY)):
            if free[match.truth_index[row]]:
                free[match.truth_index[row]] = False
                true[row] = self.truth_labels[match.truth_index[row]]
        missed = self.truth_labels[free]
        return np.append(true[judged], missed), np.append(said[judged], np.zeros_like(missed))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` measured.

    Attributes:
        masks, boxes: The twelve of `METRICS`, [0, 1], by COCO's own program, for masks and for boxes; NaN
            where the dataset has no such object.
        per_category: Category -> AP and AP50 of its masks.
        categories: The dataset's names indexed by label.
        judged: The names that model and dataset have in common: all metrics are over these.
        pictures: One result per picture.
    """

    masks: dict[str, float]
    boxes: dict[str, float]
    per_category: dict[str, dict[str, float]]
    categories: tuple[str, ...]
    judged: tuple[str, ...]
    pictures: tuple[PictureResult, ...]

    def __repr__(self) -> str:
        ap, ap50 = self.masks["AP"], self.masks["AP50"]
        return f"Evaluation({len(self.pictures)} pictures, mask AP {ap:.3f}, AP50 {ap50:.3f})"

    def __str__(self) -> str:
        rows = [f"{'':<12}{'masks':>7}{'boxes':>7}"]
        rows += [f"{name:<12}{self.masks[name]:>7.3f}{self.boxes[name]:>7.3f}" for name in METRICS]
        rows += ["", f"{'masks':<16}{'AP':>7}{'AP50':>7}"]
        rows += [
            f"{name:<16}{row['AP']:>7.3f}{row['AP50']:>7.3f}"
            for name, row in self.per_category.items()
            if not np.isnan(row["AP"])  # there is none of it in the data
        ]
        return "\n".join(rows)

    def curve(self, category: str | None = None) -> Curve:
        """Precision and recall of the masks over the score threshold, at IoU 0.5.

        Args:
            category: One of `judged`; None pools all of them.

        Raises:
            ValueError: The category was not judged.
        """
        return curve(*self.judgements(category))

    def judgements(self, category: str | None = None) -> tuple[np.ndarray, np.ndarray, int]:
        """The masks of all pictures that count, judged at IoU 0.5.

        Args:
            category: One of `judged`; None pools all of them.

        Returns:
            Their scores, float64 (K,), [0, 1]; which are true positives, bool (K,); and how many objects
            there were to find.

        Raises:
            ValueError: The category was not judged.
        """
        if category is not None and category not in self.judged:
            raise ValueError(f"category must be one of {', '.join(self.judged)}, got {quoted(category)}")
        labels = [self.categories.index(name) for name in ([category] if category else self.judged)]
        scores, right, objects = [], [], 0
        for picture in self.pictures:
            match, found = picture.match, picture.detections
            judged = np.isin(found.labels, labels) & ~match.having(Outcome.NOT_JUDGED)
            scores.append(found.scores[judged])
            right.append(match.having(Outcome.TRUE_POSITIVE)[judged])
            objects += int((match.counted & np.isin(picture.truth_labels, labels)).sum())
        return np.concatenate(scores), np.concatenate(right), objects

    def confusion(self, score_threshold: float = 0.5) -> np.ndarray:
        """What was taken for what: int64 (C + 1, C + 1), for the C judged categories in their order.

        Rows are the ground truth, the last one "nothing there"; columns are what the model said, the last one
        "missed". Every counted object is once in its row, every judged instance once in its column.

        Args:
            score_threshold: Instances below do not count, in [0, 1].

        Raises:
            TypeError, ValueError: It is not a number in [0, 1].
        """
        check_fraction("score_threshold", score_threshold)
        nothing = len(self.judged)
        place = np.full(len(self.categories), nothing)  # in the matrix; label 0: no object, no instance
        place[[self.categories.index(name) for name in self.judged]] = range(nothing)
        matrix = np.zeros((nothing + 1, nothing + 1), np.int64)
        for picture in self.pictures:
            true, said = picture.pairs(score_threshold)
            np.add.at(matrix, (place[true], place[said]), 1)
        return matrix

    def worst(self, count: int = 4, score_threshold: float = 0.5) -> list[PictureResult]:
        """The pictures with the most errors (false positives and false negatives), the worst first.

        Args:
            count: How many at most; pictures without an error are left out.
            score_threshold: Instances below do not count, in [0, 1].
        """
        by_errors = sorted(self.pictures, key=lambda p: (-p.errors(score_threshold), p.index))
        return [picture for picture in by_errors[:count] if picture.errors(score_threshold)]


def evaluate(
    model: MaskRCNN,
    dataset: Dataset,
    *,
    mask_threshold: float = 0.5,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Evaluation:
    """Compare all that a model finds in a dataset with the ground truth, as COCO does.

    Categories are compared by name; those that only one of the two has are left out.

    Args:
        model: A torchvision MaskRCNN in eval mode; its own score floor and limit decide what is judged.
        dataset: Pictures with ground truth; the model sees each at its own size.
        mask_threshold: A pixel is inside where its probability is greater, in [0, 1].
        cache: A folder for what was found, one file per model: after an interrupt, or next time, only the
            pictures that are not in it go through the network.
        progress: Show a progress bar.

    Raises:
        DatasetError: As `to_judge`, before the network runs; or the cache cannot be written.
        TypeError, ValueError: A picture is not as it should be; the message names its index.
    """
    model = check_model(model)
    check_fraction("mask_threshold", mask_threshold)
    judged, pictures = to_judge(dataset, categories_of(model), progress=progress)
    kept = DetectionsCache(cache, fingerprint(model, mask_threshold, pictures.categories)) if cache else None
    cached = {found.picture: found for found in kept.rows} if kept else {}
    labels = [pictures.categories.index(name) for name in judged]
    metrics, results = CocoMetrics(pictures.categories, judged), []
    bar = tqdm(pictures, desc="Evaluating", unit="picture", disable=not progress)
    for seen, (image, truth) in zip(pictures.seen, bar, strict=True):
        found = cached.get(picture_key(image))
        if found is None:
            found = EncodedDetections.predict(model, image, pictures.categories, mask_threshold)
            if kept:
                kept.add(found)
        metrics.add(truth, found)
        known = np.isin(truth.labels, labels)
        match = match_rows(found.labels, overlaps(found.rles, truth), truth, known, 0.5)
        size = truth.image_size
        results.append(PictureResult(seen.index, truth.image_id, size, found, match, truth.labels))
    masks, per_category = metrics.summarise("segm")
    boxes, _ = metrics.summarise("bbox")
    return Evaluation(masks, boxes, per_category, pictures.categories, judged, tuple(results))


def to_judge(
    dataset: Dataset, known: tuple[str, ...], *, progress: bool = True
) -> tuple[tuple[str, ...], CheckedDataset]:
    """What of a dataset a model can be judged by.

    Args:
        dataset: Pictures with ground truth.
        known: The model's categories, indexed by label, [0] the background.
        progress: Show a progress bar.

    Returns:
        The names of the categories that both have; and the dataset, checked.

    Raises:
        DatasetError: It is empty, has no category in common or no object that counts, or two pictures have
            the same number.
        TypeError, ValueError: A picture is not as it should be; the message names its index.
    """
    names = category_names(dataset)
    judged = common_categories(names, known)
    if not len(dataset) or not judged:
        what = "no category of the model" if len(dataset) else "no pictures"
        raise DatasetError(
            f"the dataset has {what}: it has {quoted(', '.join(names[1:]))}, the model "
            f"{quoted(', '.join(known[1:]))}; evaluate on pictures of what the model can find"
        )
    pictures = CheckedDataset.of(dataset, progress=progress)
    numbers = Counter(seen.image_id for seen in pictures.seen)
    if twice := [number for number, count in numbers.items() if count > 1]:
        raise DatasetError(
            f"{numbers[twice[0]]} pictures have the number {twice[0]}; give each an image_id of its own"
        )
    labels = [pictures.categories.index(name) for name in judged]
    if not any((np.isin(seen.labels, labels) & ~seen.crowd).any() for seen in pictures.seen):
        raise DatasetError("nothing in the dataset counts: it has no object of the model's categories")
    return judged, pictures
