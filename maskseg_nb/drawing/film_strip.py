"""The way of one box as a strip of small pictures: anchor, proposal, RoIAlign, box head, mask, pasted."""

from dataclasses import dataclass

import numpy as np

from ..mask_rcnn.journey import Journey, Rival
from .boxes import DARK, draw_boxes
from .colors import Color, category_color
from .crop import Crop, fitted
from .heatmaps import false_colors, mask_over_crop
from .panels import FOLLOWED, RIVAL

FRAMES = ("Anchor", "Proposal", "RoIAlign", "Box head", "Mask", "Pasted")
TILE = 176  # pixels, each side of a small picture
_LINE = 2
_BEFORE: Color = (0, 150, 255)


@dataclass(frozen=True, eq=False)
class Frame:
    """A small picture, uint8 (TILE, TILE, 3) RGB, its title, and what happened there as short lines."""

    title: str
    picture: np.ndarray
    lines: tuple[str, ...]


def film(image: np.ndarray, journey: Journey, mask_threshold: float = 0.5) -> tuple[Frame, ...]:
    """Six frames; those that the box never reached are dark.

    Args:
        image: uint8 (H, W, 3), RGB: the picture that the journey's boxes lie in.
        journey: As `follow` returns it.
        mask_threshold: Where the line around the mask runs, in [0, 1].
    """
    start, proposal, found = journey.anchor, journey.proposal, journey.detection
    boxes = [start.box, proposal.box] + ([found.box] if found else [])
    boxes += [step.rival.box for step in (proposal, found) if step and step.rival]
    corners = np.concatenate([np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]])
    crop = Crop.around(image, corners, (TILE, TILE), margin=0.08)
    row, column = start.cell
    frames = [
        Frame(
            "Anchor",
            _boxes(crop, (start.box, _BEFORE, True)),
            (
                f"{start.level_name}: row {row}, column {column}",
                f"{start.side:.0f} px, height / width {start.ratio:.1f}",
            ),
        ),
        Frame(
            "Proposal",
            _with_rival(
                crop,
                proposal.rival,
                (start.box, _BEFORE, True),
                (proposal.box, FOLLOWED, proposal.row is None),
            ),
            (f"objectness {start.objectness:.3f}: rank {start.rank} of {start.level_name}", proposal.reason),
        ),
    ]
    if found is None:
        return (*frames, *(_unreached(title) for title in FRAMES[2:]))
    strength = np.abs(found.features).mean(axis=0)  # (h, w)
    channels, height, width = found.features.shape
    lost = found.row is None
    frames += [
        Frame(
            "RoIAlign",
            fitted(false_colors(strength / (strength.max() or 1.0)), (TILE, TILE)),
            (
                f"read from {found.level_name}",
                f"{channels} channels of {height} x {width}, their mean strength",
            ),
        ),
        Frame(
            "Box head",
            _with_rival(
                crop,
                found.rival,
                (proposal.box, _BEFORE, True),
                (found.box, FOLLOWED if lost else category_color(found.label), lost),
            ),
            (f"{found.category} {found.scores[found.label]:.3f}, refined", found.reason),
        ),
    ]
    if journey.mask is None:
        return (*frames, *(_unreached(title) for title in FRAMES[4:]))
    probs = journey.mask.probs
    close = Crop.around(image, found.box, (TILE, TILE), margin=0.08)
    frames += [
        Frame(
            "Mask",
            fitted(np.rint(255 * np.stack([probs] * 3, axis=-1)).astype(np.uint8), (TILE, TILE)),
            (f"read from {journey.mask.level_name}", f"{len(probs)} x {len(probs)} probabilities"),
        ),
        Frame(
            "Pasted",
            mask_over_crop(close, found.box, probs, mask_threshold),
            ("stretched over the box", f"line: probability {mask_threshold:.2f}"),
        ),
    ]
    return tuple(frames)


def _boxes(crop: Crop, *drawn: tuple[np.ndarray, Color, bool]) -> np.ndarray:
    """The crop with boxes, given as (box, colour, whether dashed)."""
    picture = crop.image
    for box, color, dashed in drawn:
        picture = draw_boxes(picture, crop.boxes(box), [color], dashed=dashed, thickness=_LINE)
    return picture


def _with_rival(crop: Crop, rival: Rival | None, *drawn: tuple[np.ndarray, Color, bool]) -> np.ndarray:
    return _boxes(crop, *drawn, *([(rival.box, RIVAL, False)] if rival else []))


def _unreached(title: str) -> Frame:
    return Frame(title, np.full((TILE, TILE, 3), DARK, np.uint8), ("not reached",))
