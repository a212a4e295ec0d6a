"""The way of one box as a strip of small pictures: anchor, proposal, RoIAlign, box head, mask, pasted."""

from dataclasses import dataclass

import numpy as np

from ..mask_rcnn.journey import DetectionStep, Journey, MaskStep, ProposalStep, Rival
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
    """A frame for each of `FRAMES`, dark where the box never came so far; arguments as of `show_journey`."""
    crop = _around_all(image, journey)
    frames = [_anchor(crop, journey), _proposal(crop, journey)]
    if journey.detection:
        frames += [_roi_align(journey.detection), _box_head(crop, journey.proposal, journey.detection)]
    if journey.detection and journey.mask:
        frames += [_mask(journey.mask), _pasted(image, journey.detection, journey.mask, mask_threshold)]
    dark = np.full((TILE, TILE, 3), DARK, np.uint8)
    return (*frames, *(Frame(title, dark, ("not reached",)) for title in FRAMES[len(frames) :]))


def _around_all(image: np.ndarray, journey: Journey) -> Crop:
    """The part of the image around every box of the way, and around what suppressed it."""
    steps = [step for step in (journey.proposal, journey.detection) if step]
    boxes = [journey.anchor.box, *(step.box for step in steps)]
    boxes += [step.verdict.rival.box for step in steps if step.verdict.rival]
    corners = np.concatenate([np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]])
    return Crop.around(image, corners, (TILE, TILE), margin=0.08)


def _anchor(crop: Crop, journey: Journey) -> Frame:
    start = journey.anchor
    row, column = start.cell
    return Frame(
        "Anchor",
        _boxes(crop, (start.box, _BEFORE, True)),
        (
            f"{start.level_name}: row {row}, column {column}",
            f"{start.side:.0f} px, height / width {start.ratio:.1f}",
        ),
    )


def _proposal(crop: Crop, journey: Journey) -> Frame:
    start, verdict = journey.anchor, journey.proposal.verdict
    after = (journey.proposal.box, FOLLOWED, verdict.row is None)
    return Frame(
        "Proposal",
        _boxes(crop, (start.box, _BEFORE, True), after, rival=verdict.rival),
        (f"objectness {start.objectness:.3f}: rank {start.rank} of {start.level_name}", verdict.reason),
    )


def _roi_align(found: DetectionStep) -> Frame:
    strength = np.abs(found.features).mean(axis=0)  # (h, w)
    channels, height, width = found.features.shape
    return Frame(
        "RoIAlign",
        fitted(false_colors(strength / (strength.max() or 1.0)), (TILE, TILE)),
        (f"read from {found.level_name}", f"{channels} channels of {height} x {width}, their mean strength"),
    )


def _box_head(crop: Crop, proposal: ProposalStep, found: DetectionStep) -> Frame:
    lost = found.verdict.row is None
    after = (found.box, FOLLOWED if lost else category_color(found.label), lost)
    return Frame(
        "Box head",
        _boxes(crop, (proposal.box, _BEFORE, True), after, rival=found.verdict.rival),
        (f"{found.category} {found.scores[found.label]:.3f}, refined", found.verdict.reason),
    )


def _mask(mask: MaskStep) -> Frame:
    grey = np.rint(255 * np.stack([mask.probs] * 3, axis=-1)).astype(np.uint8)
    side = len(mask.probs)
    lines = (f"read from {mask.level_name}", f"{side} x {side} probabilities")
    return Frame("Mask", fitted(grey, (TILE, TILE)), lines)


def _pasted(image: np.ndarray, found: DetectionStep, mask: MaskStep, threshold: float) -> Frame:
    close = Crop.around(image, found.box, (TILE, TILE), margin=0.08)
    lines = ("stretched over the box", f"line: probability {threshold:.2f}")
    return Frame("Pasted", mask_over_crop(close, found.box, mask.probs, threshold), lines)


def _boxes(crop: Crop, *drawn: tuple[np.ndarray, Color, bool], rival: Rival | None = None) -> np.ndarray:
    """The crop with boxes, given as (box, colour, whether dashed), and what suppressed the last."""
    picture = crop.image
    for box, color, dashed in (*drawn, *([(rival.box, RIVAL, False)] if rival else [])):
        picture = draw_boxes(picture, crop.boxes(box), [color], dashed=dashed, thickness=_LINE)
    return picture
