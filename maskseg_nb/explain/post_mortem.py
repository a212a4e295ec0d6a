"""Where a model loses the objects of a dataset: the step after which nothing that is left covers them."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from torchvision.models.detection import MaskRCNN
from tqdm.auto import tqdm

from .._shared.checks import check_fraction, check_model
from ..data.datasets import Dataset
from ..data.truth import Truth
from ..evaluation.evaluate import to_judge
from ..evaluation.matching import Match, labels_by_name, match, overlaps
from ..mask_rcnn.instances import instance_rles
from ..mask_rcnn.predict import trace_at_own_size
from ..mask_rcnn.trace import Trace
from ..models.zoo import categories_of
from .survival import STEPS, Survivors


@dataclass(frozen=True, eq=False)
class TruthObject:
    """One object of the ground truth, and how far it came.

    Attributes:
        picture: Its picture's place in the dataset.
        row: Its row in that picture's `Truth`.
        category: Its name.
        ious: float64 (10,), [0, 1]: how much the best that is alive after each of the `STEPS` overlaps it:
            boxes, and after the last step masks.
        lost_at: One of the `STEPS`; None where it was found.
        reason: What became of its last survivor, with the numbers; empty where it was found.
        anchor, label: Name that last survivor, as `follow` and `rescue` take it.
    """

    picture: int
    row: int
    category: str
    ious: np.ndarray
    lost_at: str | None
    reason: str
    anchor: int
    label: int

    def __repr__(self) -> str:
        return f"TruthObject(picture {self.picture}, row {self.row}: {self})"

    def __str__(self) -> str:
        return f"{self.category}: " + (f"lost at {self.lost_at}: {self.reason}" if self.lost_at else "found")


@dataclass(frozen=True, eq=False)
class PostMortem:
    """What `post_mortem` found out.

    Attributes:
        objects: All that count, picture by picture: no crowds, and only categories that the model knows.
        iou: The least overlap that counted.
        score_threshold: What the detections were selected by.
    """

    objects: tuple[TruthObject, ...]
    iou: float
    score_threshold: float

    def __repr__(self) -> str:
        return f"PostMortem({len(self.objects)} objects: {len(self.found)} found, {len(self.lost)} lost)"

    def __str__(self) -> str:
        left = len(self.objects)
        lines = [repr(self), f"{'':<16}{'lost':>6}{'left':>6}"]
        for step, lost in self.counts().items():
            left -= lost
            lines.append(f"{step:<16}{lost:>6}{left:>6}")
        return "\n".join(lines)

    @property
    def found(self) -> tuple[TruthObject, ...]:
        """The true positives' objects, as `match` finds them."""
        return tuple(one for one in self.objects if one.lost_at is None)

    @property
    def lost(self) -> tuple[TruthObject, ...]:
        """The false negatives."""
        return tuple(one for one in self.objects if one.lost_at is not None)

    def lost_at(self, step: str) -> tuple[TruthObject, ...]:
        """The objects that one of the `STEPS` lost.

        Raises:
            ValueError: There is no such step.
        """
        if step not in STEPS:
            raise ValueError(f"step must be one of {', '.join(STEPS)}, got {step!r}")
        return tuple(one for one in self.objects if one.lost_at == step)

    def counts(self) -> dict[str, int]:
        """Each of the `STEPS` -> how many objects it lost."""
        lost = Counter(one.lost_at for one in self.objects)
        return {step: lost[step] for step in STEPS}

    def of_picture(self, picture: int) -> "PostMortem":
        """The same for one picture of the dataset; without objects where it has none that count."""
        own = tuple(one for one in self.objects if one.picture == picture)
        return PostMortem(own, self.iou, self.score_threshold)


def post_mortem(
    model: MaskRCNN,
    dataset: Dataset,
    iou: float = 0.5,
    score_threshold: float = 0.5,
    *,
    progress: bool = True,
) -> PostMortem:
    """Find the step of the network at which each object of a dataset was lost.

    An object is alive after a step while a box that is left there overlaps its box by `iou` or more; from the
    box head on only boxes of its own category count. It is lost at the first step from which on it is never
    alive again. In the end masks are compared as by `match`: what that calls true positives is found,
    whatever its boxes were.

    Args:
        model: A torchvision MaskRCNN in eval mode.
        dataset: Pictures with ground truth; the model sees each at its own size.
        iou: The least overlap that counts, in (0, 1].
        score_threshold: Detections scored below are not selected, in [0, 1].
        progress: Show a progress bar.

    Raises:
        DatasetError: The dataset has no picture, or no object of the model's categories.
        TypeError, ValueError: A picture or an argument is not as it should be.
    """
    model = check_model(model)
    _check(iou, score_threshold)
    _, pictures = to_judge(dataset, categories_of(model), progress=progress)
    objects: list[TruthObject] = []
    bar = tqdm(pictures, desc="Post-mortem", unit="picture", disable=not progress)
    for seen, (image, truth) in zip(pictures.seen, bar, strict=True):
        run = trace_at_own_size(model, image)
        objects += examine(run, truth, iou, score_threshold, picture=seen.index).objects
    return PostMortem(tuple(objects), iou, score_threshold)


def examine(
    run: Trace, truth: Truth, iou: float = 0.5, score_threshold: float = 0.5, *, picture: int = 0
) -> PostMortem:
    """`post_mortem` of a picture whose run is at hand, under whatever knobs it had.

    Args:
        run: A run through the network.
        truth: The ground truth of the image that ran, at its size.
        iou, score_threshold: As of `post_mortem`.
        picture: Its place in the dataset.

    Raises:
        ValueError: The sizes differ, or an argument is out of range.
    """
    _check(iou, score_threshold)
    examination = Examination(run, truth, picture)
    matched = match(run.prediction.select(score_threshold=score_threshold), truth, iou)
    return examination.at(matched, score_threshold)


class Examination:
    """`examine` for many thresholds: what does not depend on them is sought once.

    Args:
        run: A run through the network.
        truth: The ground truth of the image that ran, at its size.
        picture: Its place in the dataset.

    Raises:
        ValueError: The sizes differ.
    """

    def __init__(self, run: Trace, truth: Truth, picture: int = 0) -> None:
        if truth.image_size != run.normalised.image_size:
            raise ValueError(
                f"the ground truth is of an image of {truth.image_size}, the run of one of "
                f"{run.normalised.image_size}; trace the image that the ground truth belongs to"
            )
        categories, self._picture = categories_of(run.model), picture
        own = labels_by_name(truth.labels, truth.categories, categories)
        self._rows = np.flatnonzero(~truth.crowd & (own > 0))  # those that count
        self._names = [truth.names[row] for row in self._rows]
        self._survivors = Survivors(run, truth.boxes[self._rows], own[self._rows])
        instances = run.prediction.select(score_threshold=0.0)
        said, self._scores = labels_by_name(instances.labels, categories, truth.categories), instances.scores
        # Of each mask with each object of its category.
        ious = np.where(said[:, None] == truth.labels, overlaps(instance_rles(instances), truth), 0.0)
        self._ious = ious[:, self._rows]

    def let_go(self) -> None:
        """Forget the run: what is left is small enough to be kept for every picture of a dataset."""
        self._survivors.let_go()

    def at(self, matched: Match, score_threshold: float) -> PostMortem:
        """Where each object was lost.

        Args:
            matched: What `match` returns for the ground truth and the detections with a high enough score.
            score_threshold: What they had to score.
        """
        iou, kept = matched.least_iou, self._scores >= score_threshold
        ways = self._survivors.at(iou, score_threshold)
        best = self._ious[kept].max(axis=0, initial=0.0)  # found or not, the mask that covers it best
        objects = []
        for row, name, way, of_mask in zip(
            self._rows.tolist(), self._names, ways, best.tolist(), strict=True
        ):
            lost_at, reason = way.lost_at, way.reason
            if not matched.missed[row]:
                lost_at, reason = None, ""
            elif lost_at is None:
                lost_at, reason = "mask", _of_mask(of_mask, iou)
            steps = np.append(way.ious, of_mask)
            objects.append(
                TruthObject(self._picture, row, name, steps, lost_at, reason, way.anchor, way.label)
            )
        return PostMortem(tuple(objects), iou, score_threshold)


def _of_mask(best: float, iou: float) -> str:
    if best >= iou:
        return f"its mask, IoU {best:.2f}, is matched with another object"
    return f"its mask overlaps it by {best:.2f}, less than {iou:.2f}"


def _check(iou: float, score_threshold: float) -> None:
    check_fraction("iou", iou)
    check_fraction("score_threshold", score_threshold)
    if not iou:
        raise ValueError("iou must be above 0: at 0 everything overlaps everything")
