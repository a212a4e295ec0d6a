"""What the threshold explorer shows, without a widget: a picture, its ground truth, what thresholds keep."""

from typing import Any

import numpy as np
from torchvision.models.detection import MaskRCNN
from traitlets import Int, validate

from ...data.checked_dataset import category_names, checked_pair
from ...data.datasets import Dataset
from ...data.truth import Truth
from ...drawing.overlay import contours
from ...evaluation.detections import EncodedDetections
from ...evaluation.match_pictures import RIGHT, WRONG, draw_match, verdicts
from ...evaluation.matching import Match, Outcome, common_categories, curve_of, match
from ...evaluation.precision_recall import Curve
from ...explain.post_mortem import Examination, PostMortem
from ...mask_rcnn.instances import Instances
from ...mask_rcnn.predict import trace_at_own_size
from ...models.zoo import categories_of
from ..link import Link
from ..picture_view import Item, instance_items, item
from ..settings import Fraction, Settings

LEAST_IOU = 0.05


class ThresholdState(Settings):
    """A picture of a dataset, a score threshold, an IoU threshold, and what they give.

    Args:
        model: A loaded model.
        dataset: Pictures with truth; at least one.

    Attributes:
        truth: Of the categories that model and dataset have in common.
        instances: What the score threshold keeps.
        match: Of these with the truth.
        post_mortem: Where the network lost what is missed.
        curve: Precision and recall of this picture over all score thresholds, at this IoU.
        drawn: uint8 (H, W, 3), RGB: true and false positives, false negatives.
    """

    index = Int(0)
    score_threshold = Fraction(0.5)
    iou = Fraction(0.5)

    KNOBS = ("score_threshold", "iou")
    SETTINGS = ("index", *KNOBS)

    truth: Truth
    instances: Instances
    match: Match
    post_mortem: PostMortem
    curve: Curve
    drawn: np.ndarray

    def __init__(self, model: MaskRCNN, dataset: Dataset) -> None:
        super().__init__()
        self.model, self.dataset = model, dataset
        self.judged = common_categories(category_names(dataset), categories_of(model))
        self._found: dict[int, tuple[EncodedDetections, Examination]] = {}
        self.read, self.match_all = Link(self._read), Link(match)
        # Another IoU threshold seldom changes what becomes of an instance.
        self.measure, self.paint = Link(curve_of, _outcomes), Link(_paint, _outcomes)

    def update(self) -> None:
        """Bring everything up to date: the network runs once a picture, never for a threshold."""
        with self.lock:
            self.image, self.truth, found, examination = self.read(self.index)
            matched = self.match_all(found, self.truth, self.iou)
            self.curve = self.measure(found.scores, matched)
            kept = int((found.scores >= self.score_threshold).sum())
            self.instances, self.match = found.first(kept), matched.first(kept)
            self.post_mortem = examination.at(self.match, self.score_threshold)
            self.drawn = self.paint(self.image, found, self.truth, kept, matched)

    def _read(self, index: int) -> tuple[np.ndarray, Truth, Instances, Examination]:
        """A picture, its truth, all that the model finds in it, and what became of each object on the way."""
        image, truth = checked_pair(self.dataset, index)
        judged = truth.only(self.judged)
        if index not in self._found:
            run = trace_at_own_size(self.model, image)
            found = EncodedDetections.of(run.prediction, image, self.dataset.categories, 0.5)
            examination = Examination(run, judged, index)
            examination.let_go()
            self._found[index] = found, examination
        found, examination = self._found[index]
        return image, judged, found.instances(self.dataset.categories, truth.image_size), examination

    def items(self) -> list[Item]:
        """The judged instances, with what the model said and the verdict; then the missed objects."""
        found, truth, judgement = self.instances, self.truth, self.match
        right = judgement.having(Outcome.TRUE_POSITIVE)
        texts = verdicts(found, truth, judgement)
        items = instance_items(found, [RIGHT if one else WRONG for one in right], texts)
        items = [item for item, text in zip(items, texts, strict=True) if text]
        for number, one in enumerate(self.post_mortem.lost, len(found) + 1):
            label = f"{one.category}: lost at {one.lost_at}"
            missed = f"{one.category}, missed at IoU {judgement.least_iou:.2f}"
            text = f"{missed}, lost at {one.lost_at}: {one.reason}"
            rings = contours(truth.masks[one.row])
            items.append(item(number, truth.boxes[one.row], text, label=label, outline=rings))
        return items

    @validate("index")
    def _check_index(self, proposal: dict[str, Any]) -> int:
        if not 0 <= proposal["value"] < len(self.dataset):
            raise ValueError(f"index must be 0 to {len(self.dataset) - 1}, got {proposal['value']}")
        return proposal["value"]

    @validate("iou")
    def _check_iou(self, proposal: dict[str, Any]) -> float:
        if proposal["value"] < LEAST_IOU:
            raise ValueError(f"iou must be {LEAST_IOU} to 1, got {proposal['value']}")
        return proposal["value"]


def _paint(image: np.ndarray, found: Instances, truth: Truth, kept: int, matched: Match) -> np.ndarray:
    return draw_match(image, found.first(kept), truth, matched.first(kept), tags=False)


def _outcomes(*arguments: Any) -> tuple[object, ...]:
    """The arguments, but of the match, the last of them, only what became of each instance."""
    *others, matched = arguments
    return *others, matched.outcomes, matched.truth_index.tobytes()
