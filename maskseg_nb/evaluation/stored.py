"""An evaluation kept as a file, small enough to ship: run lengths of what was found and of the ground truth.

The one that comes with the package is of `street` on the photographs of its validation set, which are not in
the package. Their outlines are COCO's (cocodataset.org, CC BY 4.0), as the model card says.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data.coco_writer import coco_annotations
from ..data.datasets import Dataset
from ..data.rle import decode_masks
from ..data.truth import Truth
from ..errors import DatasetError, cannot_open, quoted
from ..models.zoo import shipped_weights
from .detections import EncodedDetections
from .evaluate import Evaluation, judge

SHIPPED = shipped_weights("street").with_suffix(".validation.json.gz")
DIGITS = 3  # of boxes, in pixels


def store_evaluation(evaluation: Evaluation, dataset: Dataset, path: str | os.PathLike[str]) -> None:
    """Write what an evaluation was computed from.

    Args:
        evaluation: What `evaluate` returned.
        dataset: What was evaluated: its ground truth is kept, its images are not.
        path: Of the file; it is JSON, compressed by gzip.
    """
    rows = []
    for picture in evaluation.pictures:
        _, truth = dataset[picture.index]
        found = {**vars(picture.detections), "boxes": picture.detections.boxes.round(DIGITS)}
        entries = list(coco_annotations(truth))
        rows.append(
            {"index": picture.index, "image_id": truth.image_id, "size": truth.image_size}
            | {"truth": entries, "found": found}
        )
    content = {"categories": evaluation.categories, "judged": evaluation.judged, "pictures": rows}
    text = json.dumps(content, default=np.ndarray.tolist, separators=(",", ":"))
    Path(path).write_bytes(gzip.compress(text.encode("ascii"), mtime=0))  # the same bytes every time


def stored_evaluation(path: str | os.PathLike[str] = SHIPPED) -> Evaluation:
    """Read an evaluation that `store_evaluation` wrote, and judge it again.

    So curves, confusion matrices and reliability diagrams of many photographs need no photograph and no
    network.

    Args:
        path: Of the file; without one, the evaluation of `street` that comes with the package.

    Raises:
        DatasetError: The file cannot be read, or holds no evaluation.
    """
    try:
        content = json.loads(gzip.decompress(Path(path).read_bytes()))
        categories, judged = tuple(content["categories"]), tuple(content["judged"])
        return judge(_pairs(content["pictures"], categories), categories, judged)
    except (gzip.BadGzipFile, EOFError, zlib.error, KeyError, TypeError, ValueError):
        raise DatasetError(
            f"{quoted(Path(path).name)} holds no evaluation; write it with store_evaluation"
        ) from None
    except OSError as error:
        raise DatasetError(cannot_open(path, error)) from None


def _pairs(
    pictures: list[dict[str, Any]], categories: tuple[str, ...]
) -> Iterator[tuple[int, Truth, EncodedDetections]]:
    for row in pictures:
        entries, size = row["truth"], (row["size"][0], row["size"][1])
        boxes = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        truth = Truth(
            boxes,
            np.array([entry["category_id"] for entry in entries], np.int64),
            decode_masks([entry["segmentation"] for entry in entries], size),
            np.array([entry["iscrowd"] for entry in entries], bool),
            np.array([entry["area"] for entry in entries], np.float64),
            np.arange(1, len(entries) + 1),
            categories,
            row["image_id"],
        )
        yield row["index"], truth, EncodedDetections.from_line(json.dumps(row["found"]).encode())
