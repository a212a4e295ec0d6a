"""What a model found in an image, with masks as run lengths: small enough to keep for thousands."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pycocotools import mask as coco_mask
from torchvision.models.detection import MaskRCNN

from ..data.rle import as_json, decode_masks
from ..errors import DatasetError, cannot_write
from ..mask_rcnn.instances import Instances, instance_rles
from ..mask_rcnn.predict import predict_at_own_size
from ..mask_rcnn.prediction import Prediction
from .matching import labels_by_name


@dataclass(frozen=True, eq=False)
class EncodedDetections:
    """What a model found in one image of a dataset, highest score first.

    Attributes:
        boxes: float64 (M, 4), x1 y1 x2 y2 in pixels.
        labels: int64 (M,), indices into the dataset's categories; 0 for a category that it does not have.
        scores: float64 (M,), [0, 1].
        rles: M masks as COCO's run lengths, "counts" as text.
        picture: The image's `picture_key`.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    rles: list[dict[str, Any]]
    picture: str

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def predict(
        cls, model: MaskRCNN, image: np.ndarray, categories: tuple[str, ...], mask_threshold: float
    ) -> "EncodedDetections":
        """Run the model on an image at the image's own size.

        Args:
            model: A torchvision MaskRCNN in eval mode; its own score floor and limit decide what is kept.
            image: uint8 (H, W, 3), RGB.
            categories: The dataset's names indexed by label, [0] the background.
            mask_threshold: A pixel is inside where its probability is greater, in [0, 1].

        Raises:
            TypeError, ValueError, ModelError: As `maskseg_nb.predict`.
        """
        return cls.of(predict_at_own_size(model, image), image, categories, mask_threshold)

    @classmethod
    def of(
        cls, prediction: Prediction, image: np.ndarray, categories: tuple[str, ...], mask_threshold: float
    ) -> "EncodedDetections":
        """What a model has found in an image; arguments as of `predict`."""
        instances = prediction.select(score_threshold=0.0, mask_threshold=mask_threshold)
        return cls(
            instances.boxes.astype(np.float64),
            labels_by_name(instances.labels, prediction.categories, categories),
            instances.scores.astype(np.float64),
            list(map(as_json, instance_rles(instances))),
            picture_key(image),
        )

    def instances(
        self, categories: tuple[str, ...], image_size: tuple[int, int], score_threshold: float = 0.0
    ) -> Instances:
        """Those of the dataset's categories, scored `score_threshold` or more, to draw and to match.

        Args:
            categories: The dataset's names indexed by label.
            image_size: (height, width) in pixels.
            score_threshold: Keep scores >= this, in [0, 1].
        """
        kept = np.flatnonzero((self.scores >= score_threshold) & (self.labels > 0))
        crops, corners = [], []
        for rle in (self.rles[row] for row in kept):
            left, top, width, height = coco_mask.toBbox(rle).astype(int).tolist()
            crops.append(decode_masks([rle], image_size)[0, top : top + height, left : left + width])
            corners.append((top, left))
        return Instances(
            self.boxes[kept].astype(np.float32),
            self.labels[kept],
            self.scores[kept].astype(np.float32),
            tuple(crops),
            np.array(corners, np.int64).reshape(-1, 2),
            kept,
            image_size,
            categories,
        )

    def line(self) -> str:
        """All fields as one line of JSON."""
        return json.dumps(vars(self), default=np.ndarray.tolist) + "\n"

    @classmethod
    def from_line(cls, line: bytes) -> "EncodedDetections":
        """The inverse of `line`.

        Raises:
            ValueError: It is not such a line.
        """
        try:
            values = json.loads(line)
            boxes = np.array(values["boxes"], np.float64).reshape(-1, 4)
            labels, scores = np.array(values["labels"], np.int64), np.array(values["scores"], np.float64)
            rles, picture = values["rles"], str(values["picture"])
            same = labels.shape == scores.shape == (len(boxes),) == (len(rles),)
            if not same or any(set(rle) != {"size", "counts"} for rle in rles):
                raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
            raise ValueError("the line holds no detections") from None
        return cls(boxes, labels, scores, rles, picture)


class DetectionsCache:
    """Detections kept in a file, one line per image, so that an interrupted evaluation resumes there.

    Several evaluations may have the file open at once: lines are only ever appended, each in one piece, and
    what is not a line (such as the half that a killed process left) is skipped.

    Args:
        folder: Where the file is or will be; made where it is missing.
        fingerprint: Of model and settings; each has a file of its own.

    Attributes:
        rows: What the file held when it was opened.

    Raises:
        DatasetError: The folder or the file cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], fingerprint: str) -> None:
        self.path = Path(folder) / f"found-{fingerprint}.jsonl"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.rows = list(self._read()) if self.path.exists() else []
        except OSError as error:
            raise DatasetError(cannot_write(self.path, error)) from None

    def _read(self) -> Iterator[EncodedDetections]:
        with self.path.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    yield EncodedDetections.from_line(line)

    def add(self, found: EncodedDetections) -> None:
        """Append an image's detections.

        Raises:
            DatasetError: The file cannot be written.
        """
        try:
            with self.path.open("a+b", buffering=0) as file:  # unbuffered: one piece
                line = (b"\n" if _ends_within_a_line(file) else b"") + found.line().encode("ascii")
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise DatasetError(cannot_write(self.path, error)) from None


def _ends_within_a_line(file: BinaryIO) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def picture_key(image: np.ndarray) -> str:
    """16 hexadecimal digits that stand for an image's pixels, uint8 (H, W, 3)."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:16]
