"""An evaluation kept as a file, small enough to ship: what was measured, and what was found in each picture.

The one that comes with the package is of `street` on the photographs of its validation set. Neither those
nor their ground truth is in the package: only what came of comparing the two.
"""

import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError, cannot_open, quoted
from ..models.zoo import shipped_weights
from .detections import EncodedDetections
from .evaluate import Evaluation, PictureResult
from .matching import Match, Outcome

SHIPPED = shipped_weights("street").with_suffix(".validation.json.gz")
DIGITS = 3  # of boxes, in pixels


def store_evaluation(evaluation: Evaluation, path: str | os.PathLike[str]) -> None:
    """Write an evaluation, boxes rounded to a thousandth of a pixel.

    Args:
        evaluation: What `evaluate` returned.
        path: Of the file; it is JSON, compressed by gzip.
    """
    text = json.dumps(evaluation, default=_plain, separators=(",", ":"))
    Path(path).write_bytes(gzip.compress(text.encode("ascii"), mtime=0))  # the same bytes every time


def stored_evaluation(path: str | os.PathLike[str] = SHIPPED) -> Evaluation:
    """Read an evaluation that `store_evaluation` wrote.

    So curves, confusion matrices and reliability diagrams of many photographs need no photograph and no
    network.

    Args:
        path: Of the file; without one, the evaluation of `street` that comes with the package.

    Raises:
        DatasetError: The file cannot be read, or holds no evaluation.
    """
    try:
        values = json.loads(gzip.decompress(Path(path).read_bytes()))
        names = {name: tuple(values[name]) for name in ("categories", "judged")}
        return Evaluation(**{**values, **names, "pictures": tuple(map(_picture, values["pictures"]))})
    except (gzip.BadGzipFile, EOFError, zlib.error, KeyError, TypeError, ValueError):
        raise DatasetError(
            f"{quoted(Path(path).name)} holds no evaluation; write it with store_evaluation"
        ) from None
    except OSError as error:
        raise DatasetError(cannot_open(path, error)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, EncodedDetections):
        return {**vars(value), "boxes": value.boxes.round(DIGITS)}
    return vars(value)


def _picture(values: dict[str, Any]) -> PictureResult:
    match = values["match"]
    arrays = {
        name: np.array(match[name], kind)
        for name, kind in (
            ("truth_index", np.int64),
            ("ious", np.float64),
            ("counted", bool),
            ("missed", bool),
        )
    }
    return PictureResult(
        values["index"],
        values["image_id"],
        (values["image_size"][0], values["image_size"][1]),
        EncodedDetections.from_line(json.dumps(values["detections"]).encode()),
        Match(**{**match, **arrays, "outcomes": tuple(map(Outcome, match["outcomes"]))}),
        np.array(values["truth_labels"], np.int64),
    )
