"""How good a model is on pictures with truth: COCO's figures, and the rows behind them."""

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
from ..mask_rcnn.fingerprint import fingerprint
from ..models.zoo import categories_of
from .coco_metrics import FIGURES, CocoFigures
from .detections import Found, FoundFile, picture_key
from .matching import Match, Outcome, match_rows, overlaps
from .precision_recall import Curve, curve


@dataclass(frozen=True, eq=False)
class PictureResult:
    """One picture's part of an evaluation.

    Attributes:
        index: Its number in the dataset.
        image_id: The dataset's own number of it.
        image_size: (height, width) in pixels.
        found: What the model found, by falling score.
        match: Of the masks of `found` with the truth, at IoU 0.5.
        truth_labels: int64 (N,), the truth's labels, row by row.
    """

    index: int
    image_id: int
    image_size: tuple[int, int]
    found: Found
    match: Match
    truth_labels: np.ndarray

    def errors(self, score_threshold: float = 0.5) -> int:
        """Wrong instances with at least that score, and objects that none with such a score matches."""
        sure = self.found.scores >= score_threshold
        outcomes = np.array(self.match.outcomes)[sure]
        right = np.count_nonzero(outcomes == Outcome.TRUE_POSITIVE)
        judged = np.count_nonzero(outcomes != Outcome.NOT_JUDGED)
        return int(judged - right + self.match.counted.sum() - right)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` measured.

    Attributes:
        masks: The twelve of `FIGURES`, [0, 1], by COCO's own program, masks compared; NaN where the data hold
            no such object.
        boxes: The same with boxes compared.
        per_category: Category -> AP and AP50 of its masks.
        categories: The dataset's names indexed by label.
        judged: The names that model and dataset have in common: all figures are over these.
        pictures: A result a picture.
    """

    masks: dict[str, float]
    boxes: dict[str, float]
    per_category: dict[str, dict[str, float]]
    categories: tuple[str, ...]
    judged: tuple[str, ...]
    pictures: tuple[PictureResult, ...]

    def __repr__(self) -> str:
        return (
            f"Evaluation({len(self.pictures)} pictures, mask AP {self.masks['AP']:.3f}, "
            f"AP50 {self.masks['AP50']:.3f})"
        )

    def __str__(self) -> str:
        rows = [f"{'':<12}{'masks':>7}{'boxes':>7}"]
        rows += [f"{name:<12}{self.masks[name]:>7.3f}{self.boxes[name]:>7.3f}" for name in FIGURES]
        rows += ["", f"{'masks':<16}{'AP':>7}{'AP50':>7}"]
        rows += [
            f"{name:<16}{row['AP']:>7.3f}{row['AP50']:>7.3f}"
            for name, row in self.per_category.items()
            if not np.isnan(row["AP"])  # there is none of it in the data
        ]
        return "\n".join(rows)

    def curve(self, category: str | None = None) -> Curve:
        """Precision and recall over the score threshold, masks, IoU 0.5; of one category or of all.

        Raises:
            ValueError: The category was not judged.
        """
        if category is not None and category not in self.judged:
            raise ValueError(f"category must be one of {', '.join(self.judged)}, got {quoted(category)}")
        labels = [self.categories.index(name) for name in ([category] if category else self.judged)]
        scores, right, objects = [], [], 0
        for picture in self.pictures:
            outcomes = np.array(picture.match.outcomes, object)
            judged = np.isin(picture.found.labels, labels) & (outcomes != Outcome.NOT_JUDGED)
            scores.append(picture.found.scores[judged])
            right.append(outcomes[judged] == Outcome.TRUE_POSITIVE)
            objects += int((picture.match.counted & np.isin(picture.truth_labels, labels)).sum())
        return curve(np.concatenate(scores), np.concatenate(right).astype(bool), objects)

    def confusion(self, score_threshold: float = 0.5) -> np.ndarray:
        """What was taken for what: int64 (C + 1, C + 1), C the judged categories, in their order.

        Rows are the truth, the last one "nothing there"; columns are what the model said, the last one
        "missed". Every counted object is once in its row, every judged instance once in its column.
        """
        check_fraction("score_threshold", score_threshold)
        place = np.full(len(self.categories), -1)
        place[[self.categories.index(name) for name in self.judged]] = range(len(self.judged))
        nothing = len(self.judged)
        matrix = np.zeros((nothing + 1, nothing + 1), np.int64)
        for picture in self.pictures:
            match, labels = picture.match, picture.found.labels
            rows = np.flatnonzero(picture.found.scores >= score_threshold)
            right = [row for row in rows if match.outcomes[row] is Outcome.TRUE_POSITIVE]
            free = match.counted.copy()
            for row in right:
                free[match.truth_index[row]] = False
                matrix[place[labels[row]], place[labels[row]]] += 1
            for row in rows:
                if match.outcomes[row] in (Outcome.TRUE_POSITIVE, Outcome.NOT_JUDGED):
                    continue
                object_row, true = match.truth_index[row], nothing
                if match.outcomes[row] is Outcome.WRONG_CATEGORY and free[object_row]:
                    free[object_row] = False
                    true = place[picture.truth_labels[object_row]]
                matrix[true, place[labels[row]]] += 1
            for label in picture.truth_labels[free]:
                matrix[place[label], nothing] += 1
        return matrix

    def worst(self, count: int = 4, score_threshold: float = 0.5) -> list[PictureResult]:
        """The pictures with the most errors (wrong instances and missed objects), the worst first."""
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
    """Compare all that a model finds in a dataset with the truth, as COCO does.

    Categories are compared by name; those that only one of the two knows are left out.

    Args:
        model: A torchvision MaskRCNN in eval mode; its own score floor and limit decide what is looked at.
        dataset: Pictures with truth; each picture is shown to the model at its own size.
        mask_threshold: A pixel is inside where its probability is greater, in [0, 1].
        cache: A folder to keep what was found in, a file a model: after an interrupt, or next time, only
            the pictures that are not in it yet run through the network.
        progress: Show a progress bar.

    Raises:
        DatasetError: As `to_judge`, before the network runs; or the cache cannot be written.
        TypeError, ValueError: A picture is not as it should be; the message names its index.
    """
    model = check_model(model)
    check_fraction("mask_threshold", mask_threshold)
    judged, pictures = to_judge(dataset, categories_of(model), progress=progress)
    kept = FoundFile(cache, fingerprint(model, mask_threshold, pictures.categories)) if cache else None
    by_picture = {found.picture: found for found in kept.rows} if kept else {}
    results = []
    table = CocoFigures(pictures.categories, judged)
    bar = tqdm(pictures, desc="Evaluating", unit="picture", disable=not progress)
    for seen, (image, truth) in zip(pictures.seen, bar, strict=True):
        found = by_picture.get(picture_key(image))
        if found is None:
            found = Found.by(model, image, pictures.categories, mask_threshold)
            if kept:
                kept.add(found)
        table.add(truth, found)
        own = np.isin(truth.names, judged) if len(truth) else np.zeros(0, bool)
        match = match_rows(found.labels, overlaps(found.rles, truth), truth, own, 0.5)
        results.append(
            PictureResult(seen.index, truth.image_id, truth.image_size, found, match, truth.labels)
        )
    masks, per_category = table.of("segm")
    boxes, _ = table.of("bbox")
    return Evaluation(masks, boxes, per_category, pictures.categories, judged, tuple(results))


def to_judge(
    dataset: Dataset, known: tuple[str, ...], *, progress: bool = True
) -> tuple[tuple[str, ...], CheckedDataset]:
    """What a model can be judged by: the categories that both know by name, and the dataset, looked through.

    Args:
        dataset: Pictures with truth.
        known: The model's categories, indexed by label.
        progress: Show a progress bar.

    Raises:
        DatasetError: It is empty, has no category in common or no object of one that counts, or two pictures
            have the same number.
        TypeError, ValueError: A picture is not as it should be; the message names its index.
    """
    names = category_names(dataset)[1:]
    judged = tuple(name for name in names if name in known[1:])
    if not len(dataset) or not judged:
        what = "no category of the model" if len(dataset) else "no pictures"
        raise DatasetError(
            f"the dataset has {what}: it has {quoted(', '.join(names))}, the model "
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
