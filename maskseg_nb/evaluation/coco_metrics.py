"""COCO's own evaluation program, fed from memory."""

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..data.coco_writer import coco_annotations, coco_categories
from ..data.rle import x_y_sides
from ..data.truth import Truth
from .detections import EncodedDetections

# COCO's twelve: average precision and average recall, over IoU 0.50 to 0.95 where no other is named; small is
# an area below 32 x 32 pixels, large one of 96 x 96 or more; AR1 looks at the highest score of an image.
METRICS = (
    *("AP", "AP50", "AP75", "AP small", "AP medium", "AP large"),
    *("AR1", "AR10", "AR100", "AR small", "AR medium", "AR large"),
)


class CocoMetrics:
    """Collect an image at a time, then summarise all of them.

    Args:
        categories: The dataset's names indexed by label.
        judged: Those that count.
    """

    def __init__(self, categories: tuple[str, ...], judged: tuple[str, ...]) -> None:
        self.categories, self.judged = categories, judged
        self._labels = [categories.index(name) for name in judged]
        self._images: list[dict[str, Any]] = []
        self._true: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def add(self, truth: Truth, found: EncodedDetections) -> None:
        """Add one image: its ground truth, and what was found in it."""
        height, width = truth.image_size
        self._images.append({"id": truth.image_id, "height": height, "width": width})
        for entry in coco_annotations(truth):
            self._true.append({"id": len(self._true) + 1, "image_id": truth.image_id, **entry})
        boxes = x_y_sides(found.boxes).tolist()
        for box, label, score, rle in zip(boxes, found.labels, found.scores, found.rles, strict=True):
            self._found.append(
                {
                    "image_id": truth.image_id,
                    "category_id": int(label),
                    "score": float(score),
                    "bbox": box,
                    "segmentation": rle,
                }
            )

    def summarise(self, kind: str) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """Run COCO's program, pycocotools' COCOeval, on all that was added.

        Args:
            kind: COCO's "segm" compares masks, "bbox" boxes.

        Returns:
            The twelve of `METRICS`, [0, 1]; and category -> AP and AP50. NaN where there is no such object.
        """
        with contextlib.redirect_stdout(io.StringIO()):  # COCO's program prints its progress
            program = COCOeval(self._coco(self._true), self._coco(self._results(kind)), kind)
            program.params.catIds = self._labels
            program.evaluate()
            program.accumulate()
            program.summarize()
        precision = program.eval["precision"]  # IoU threshold, recall, category, area range, limit
        per_category = {
            name: {"AP": _mean(precision[:, :, row, 0, 2]), "AP50": _mean(precision[0, :, row, 0, 2])}
            for row, name in enumerate(self.judged)
        }
        return dict(zip(METRICS, map(_or_nan, program.stats.tolist()), strict=True)), per_category

    def _results(self, kind: str) -> list[dict[str, Any]]:
        """What COCO's loadRes makes of a results file: ids, and the area that is asked for."""
        rows = []
        for number, row in enumerate(self._found, 1):
            x, y, width, height = row["bbox"]
            area = width * height if kind == "bbox" else float(coco_mask.area(row["segmentation"]))
            rows.append({**row, "id": number, "area": area, "iscrowd": 0})
        return rows

    def _coco(self, annotations: list[dict[str, Any]]) -> COCO:
        """COCO's index over some annotations."""
        coco = COCO()
        coco.dataset = {
            "images": self._images,
            "annotations": annotations,
            "categories": coco_categories(self.categories),
        }
        coco.createIndex()
        return coco


def _mean(values: np.ndarray) -> float:
    return float(values[values > -1].mean()) if (values > -1).any() else float("nan")


def _or_nan(value: float) -> float:
    """COCO says -1 where there is no such object."""
    return float("nan") if value < 0 else value
