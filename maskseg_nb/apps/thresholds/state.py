"""What the threshold explorer shows, without a widget: a picture, its truth, and what a threshold keeps."""

from typing import Any

import numpy as np
from torchvision.models.detection import MaskRCNN
from traitlets import Int, validate

from ...data.checked_dataset import checked_pair
from ...data.datasets import Dataset
from ...data.truth import Truth
from ...evaluation.detections import EncodedDetections
from ...evaluation.match_pictures import draw_match
from ...evaluation.matching import Match, common_categories, curve_of, match
from ...evaluation.precision_recall import Curve
from ...mask_rcnn.instances import Instances
from ...models.zoo import categories_of
from ..settings import AppState, Fraction

LEAST_IOU = 0.05


class ThresholdState(AppState):
    """A picture of a dataset, a score threshold, an IoU threshold, and what they give.

    Args:
        model: A loaded model.
        dataset: Pictures with truth; at least one.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        truth: Of the categories that model and dataset have in common.
        instances: What the score threshold keeps.
        match: Of these with the truth.
        curve: Precision and recall of this picture over all score thresholds, at this IoU.
        drawn: uint8 (H, W, 3), RGB: right, wrong and missed.
    """

    index = Int(0)
    score_threshold = Fraction(0.5)
    iou = Fraction(0.5)

    KNOBS = ("score_threshold", "iou")
    SETTINGS = ("index", *KNOBS)

    image: np.ndarray
    truth: Truth
    instances: Instances
    match: Match
    curve: Curve
    drawn: np.ndarray

    def __init__(self, model: MaskRCNN, dataset: Dataset) -> None:
        super().__init__()
        self.model, self.dataset = model, dataset
        self.judged = common_categories(dataset.categories, categories_of(model))
        self._found: dict[int, EncodedDetections] = {}
        self._read_for = -1
        self._matched_for: tuple[int, float] | None = None
        self._drawn_for: tuple[int, float, float] | None = None

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

    @property
    def score_floor(self) -> float:
        """The lowest score that the model reports at all."""
        return float(self.model.roi_heads.score_thresh)

    def update(self) -> None:
        """Bring everything up to date: the network runs once a picture, never for a threshold."""
        with self.lock:
            wanted = (self.index, self.iou, self.score_threshold)
            if self._read_for != wanted[0]:
                self._read(wanted[0])
            if self._matched_for != wanted[:2]:
                self._all_matched = match(self._all, self.truth, wanted[1])
                self.curve = curve_of(self._all.scores, self._all_matched)
                self._matched_for = wanted[:2]
            if self._drawn_for != wanted:
                kept = int((self._all.scores >= wanted[2]).sum())
                self.instances, self.match = self._all.first(kept), self._all_matched.first(kept)
                self.drawn = draw_match(self.image, self.instances, self.truth, self.match)
                self._drawn_for = wanted

    def _read(self, index: int) -> None:
        image, truth = checked_pair(self.dataset, index)
        if index not in self._found:
            self._found[index] = EncodedDetections.predict(self.model, image, self.dataset.categories, 0.5)
        self._all = self._found[index].instances(self.dataset.categories, truth.image_size)
        self.image, self.truth = image, truth.only(self.judged)
        self._read_for, self._matched_for, self._drawn_for = index, None, None
