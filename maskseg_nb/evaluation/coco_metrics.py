"""COCO's own evaluation program, fed from memory."""

import contextlib
import io
from typing import Any

import numpy as np
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
    """COCO's metrics of images that are added one at a time.

    Args:
        categories: The dataset's names indexed by label.
        judged: Those that count.
    """

    def __init__(self, categories: tuple[str, ...], judged: tuple[str, ...]) -> None:
        self.categories, self.judged = categories, judged
        self._images: list[dict[str, Any]] = []
        self._true: list[dict[str, Any]] = []
        self._found: dict[str, list[dict[str, Any]]] = {"segm": [], "bbox": []}

    def add(self, truth: Truth, found: EncodedDetections) -> None:
        """Add one image: its ground truth, and what was found in it."""
        height, width = truth.image_size
        self._images.append({"id": truth.image_id, "height": height, "width": width})
        for entry in coco_annotations(truth):
            self._true.append({"id": len(self._true) + 1, "image_id": truth.image_id, **entry})
        boxes = x_y_sides(found.boxes).tolist()
        for box, label, score, rle in zip(boxes, found.labels, found.scores, found.rles, strict=True):
            row = {"image_id": truth.image_id, "category_id": int(label), "score": float(score)}
            self._found["segm"].append({**row, "segmentation": rle})
            self._found["bbox"].append({**row, "bbox": box})

    def summarise(self, kind: str) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """Run COCO's program, pycocotools' COCOeval, on all that was added.

        Args:
            kind: COCO's "segm" compares masks, "bbox" boxes.

        Returns:
            The twelve of `METRICS`, [0, 1]; and category -> AP and AP50. NaN where there is no such object.
        """
        truth, found = COCO(), COCO()
        truth.dataset = {"info": {}, "images": self._images, "annotations": self._true}  # 2.0.9 wants info
        truth.dataset["categories"] = coco_categories(self.categories)
        with contextlib.redirect_stdout(io.StringIO()):  # COCO's program prints its progress
            truth.createIndex()
            if self._found[kind]:  # loadRes refuses an empty list
                found = truth.loadRes(list(map(dict, self._found[kind])))  # copies: it adds to them
            program = COCOeval(truth, found, kind)
            program.params.catIds = [self.categories.index(name) for name in self.judged]
            program.evaluate()
            program.accumulate()
            program.summarize()
        precision = program.eval["precision"]  # IoU threshold, recall, category, area range, limit
        per_category = {
            name: {"AP": _mean(precision[:, :, row, 0, 2]), "AP50": _mean(precision[0, :, row, 0, 2])}
            for row, name in enumerate(self.judged)
        }
        metrics = np.where(program.stats < 0, np.nan, program.stats)  # COCO says -1 for no such object
        return dict(zip(METRICS, metrics.tolist(), strict=True)), per_category


def _mean(values: np.ndarray) -> float:
    return float(values[values > -1].mean()) if (values > -1).any() else float("nan")
