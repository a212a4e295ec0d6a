"""COCO's notation: masks as run lengths, and back; boxes as a corner and two sides."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

NOT_CODED = re.compile("[^0-o]")  # COCO codes 6 bits per character, from "0" on
_LONGEST_RUN = 7  # characters, of 5 bits each


def encode_masks(masks: np.ndarray) -> list[dict[str, Any]]:
    """Masks, bool (N, H, W), as COCO's compressed run lengths: {"size": [H, W], "counts": bytes} each."""
    stack = np.asfortranarray(masks.transpose(1, 2, 0), np.uint8)
    encoded: list[dict[str, Any]] = coco_mask.encode(stack)
    return encoded


def decode_masks(encoded: Sequence[dict[str, Any]], image_size: tuple[int, int]) -> np.ndarray:
    """The opposite of `encode_masks`: bool (N, H, W)."""
    if not encoded:
        return np.zeros((0, *image_size), bool)
    return np.ascontiguousarray(coco_mask.decode(list(encoded)).transpose(2, 0, 1)).astype(bool)


def as_json(rle: dict[str, Any]) -> dict[str, Any]:
    """One of `encode_masks` as JSON holds it, its counts as text."""
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


def x_y_sides(boxes: np.ndarray) -> np.ndarray:
    """Boxes x1 y1 x2 y2, (N, 4), as COCO's x, y, width, height: float64 (N, 4)."""
    corners = np.asarray(boxes, np.float64)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def decoded_runs(coded: str) -> np.ndarray | None:
    """The numbers behind COCO's code for run lengths: int64; None where it is not that code.

    Five bits per character, the lowest first; the sixth bit says that the number goes on. From the fourth
    number on, each is the difference to the last but one (pycocotools, `rleFrString`).
    """
    if not coded or NOT_CODED.search(coded):
        return None
    codes = np.frombuffer(coded.encode("ascii"), np.uint8).astype(np.int64) - ord("0")
    ends = np.flatnonzero(codes < 32)
    lengths = np.diff(ends, prepend=-1)
    if not len(ends) or ends[-1] != len(codes) - 1 or lengths.max() > _LONGEST_RUN:
        return None
    starts = ends - lengths + 1
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((codes & 31) << 5 * places, starts)
    runs -= np.where(codes[ends] & 16, 1 << 5 * lengths, 0)  # the highest bit is the sign
    runs[1::2], runs[2::2] = runs[1::2].cumsum(), runs[2::2].cumsum()
    return runs
