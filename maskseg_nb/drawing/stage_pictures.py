"""A picture pair for each stage of a trace: what comes in on the left, what comes out on the right.

Dashed boxes are before a decision, solid ones after it. The box that is followed is pink everywhere.
"""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from ..mask_rcnn.follow import anchor_at
from ..mask_rcnn.journey import DetectionStep, Journey, ProposalStep
from ..mask_rcnn.stages import FATES, KEPT, LOW_SCORE, count_fates
from ..mask_rcnn.trace import Trace
from .boxes import draw_boxes, draw_grid, line_width
from .colors import Color, level_color
from .crop import Crop, fitted
from .heatmaps import false_colors, heat_map, mask_over_crop, mosaic
from .overlay import draw_instances
from .panels import FATE_COLORS, FOLLOWED, RIVAL, StagePicture, View
from .tags import tag_boxes

STRONGEST = 16  # channels shown where none is chosen
TAGGED = 10  # detections that are named: more tags would hide the picture


def stage_picture(trace: Trace, image: np.ndarray, stage: str, journey: Journey, view: View) -> StagePicture:
    """Draw a stage.

    Args:
        trace: A run through the network.
        image: uint8 (H, W, 3), RGB: the picture that ran through it.
        stage: A key of `trace.ORDER`: "normalised", "features", "dense", "proposals", "box_scores",
            "detections" or "masks".
        journey: The box that is followed.
        view: What to show.

    Raises:
        ValueError: There is no such stage, level or channel.
    """
    if stage not in _DRAW:
        raise ValueError(f"stage must be one of {', '.join(_DRAW)}, got {stage!r}")
    if not 0 <= view.level < len(trace.features.maps):
        raise ValueError(f"level must be 0 to {len(trace.features.maps) - 1}, got {view.level}")
    return _DRAW[stage](trace, image, journey, view)


def _normalised(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    tensor = trace.normalised.tensor[0].cpu().numpy()  # (3, H, W)
    low, high = float(tensor.min()), float(tensor.max())
    values = ((tensor - low) / ((high - low) or 1.0)).transpose(1, 2, 0)
    (height, width), (padded_height, padded_width) = trace.normalised.size, tensor.shape[1:]
    caption = (
        f"Resized from {_size(image.shape)} to {_size((height, width))} pixels; each channel less its mean "
        f"and divided by its deviation, which gives {low:.2f} to {high:.2f} instead of 0 to 1. Padded to "
        f"{_size((padded_height, padded_width))}, because every side will be halved again and again."
    )
    shown = np.rint(255 * values).astype(np.uint8)
    return StagePicture(image, fitted(shown, image.shape), ("What came in", "What the network sees"), caption)


def _features(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    name, maps = trace.features.names[view.level], list(trace.features.maps.values())[view.level]
    down, across = trace.features.strides[view.level]
    values = maps[0].cpu().numpy()  # (C, h, w)
    channels, height, width = values.shape
    if view.channel is None:
        chosen = np.abs(values).mean(axis=(1, 2)).argsort()[::-1][:STRONGEST]
        right, title = mosaic(values[chosen], 4), f"{name}: its {len(chosen)} strongest channels"
        listed = ", ".join(map(str, chosen))
        what = f"Channels {listed}, left to right; each from its own least (dark) to its greatest value."
    elif 0 <= view.channel < channels:
        right, title = mosaic(values[[view.channel]], 1), f"{name}, channel {view.channel}"
        least, most = values[view.channel].min(), values[view.channel].max()
        what = f"Values from {least:.2f} (dark) to {most:.2f}."
    else:
        raise ValueError(f"channel must be 0 to {channels - 1}, got {view.channel}")
    caption = (
        f"{name} has {channels} channels of {_size((height, width))} cells; a cell stands for {across} x "
        f"{down} pixels of the network's input. {what}"
    )
    height_in, width_in = trace.normalised.size
    left = draw_grid(image, down * image.shape[0] / height_in, across * image.shape[1] / width_in)
    return StagePicture(left, fitted(right, image.shape), (f"The cells of {name}", title), caption)


def _dense(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    dense, names = trace.dense, trace.features.names
    start = journey.anchor
    down, across = trace.features.strides[start.level]
    y, x = start.cell[0] * down, start.cell[1] * across  # anchors stand on their cell's upper left corner
    boxes, colors, tags = [], [], []
    for level, (stride_y, stride_x) in enumerate(trace.features.strides):
        first = anchor_at(trace, level, round(y / stride_y), round(x / stride_x))
        rows = slice(first, first + dense.grids[level][2])
        boxes.append(trace.on_picture(dense.anchors[rows]))
        colors += [level_color(level)] * len(boxes[-1])
        tags += [names[level]] + [""] * (len(boxes[-1]) - 1)
    left = draw_boxes(image, np.concatenate(boxes), colors)
    left = draw_boxes(left, start.box[None], [FOLLOWED], dashed=True, thickness=2 * line_width(image))

    height, width, per_cell = dense.grids[view.level]
    objectness = dense.objectness[dense.levels == view.level].sigmoid()
    heat = objectness.reshape(height, width, per_cell).amax(-1).cpu().numpy()  # the best of each cell
    right = heat_map(image, _nearest_cells(trace, heat, view.level))
    if view.level == start.level:
        right = draw_boxes(right, start.box[None], [FOLLOWED], dashed=True)
    caption = (
        f"{len(dense.anchors):,} anchors in all, {per_cell} at each cell of each level. Left: those of every "
        f"level at one place, to scale. Right: how sure the network is that something stands where an anchor "
        f"of {names[view.level]} does, the best of its {per_cell} shapes; dark is 0, yellow 1, here at most "
        f"{heat.max():.3f}."
    )
    legend = tuple((level_color(level), name) for level, name in enumerate(names))
    titles = ("Anchors at one place", f"Objectness on {names[view.level]}")
    return StagePicture(left, right, titles, caption, (*legend, (FOLLOWED, "followed")))


def _proposals(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    proposals = trace.proposals
    best = proposals.candidate_scores.topk(min(view.shown, len(proposals.candidates))).indices
    fates = proposals.fates[best].tolist()
    before = trace.on_picture(proposals.candidate_boxes[best])
    left = draw_boxes(image, before, [FATE_COLORS[fate] for fate in fates], dashed=True)
    after = trace.on_picture(proposals.boxes[: view.shown])
    right = draw_boxes(image, after, [FATE_COLORS[KEPT]] * len(after))
    left, right = _follow_on(left, right, journey.proposal)
    caption = (
        f"{len(proposals.candidates):,} candidates, each level's best: "
        + _counted(proposals.fates)
        + f". Drawn: the {len(before)} best candidates and the {len(after)} best proposals."
    )
    titles = ("Candidates, by what becomes of them", "Proposals")
    rows = proposals.candidates[best].tolist() + proposals.anchors[: view.shown].tolist()
    names = tuple((row, 0) for row in rows)
    boxes = np.concatenate([before, after])
    return StagePicture(left, right, titles, caption, _fate_legend(fates), boxes, names)


def _box_scores(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    boxes = trace.on_picture(trace.proposals.boxes[: view.shown])
    levels = trace.box_scores.roi_levels[: view.shown].tolist()
    left = draw_boxes(image, boxes, [level_color(level) for level in levels])
    used = sorted(set(levels))
    legend = [(level_color(level), f"read from {trace.features.names[level]}") for level in used]
    found, right = journey.detection, image
    if found:
        row = journey.proposal.row
        best = [label for label in found.scores.argsort()[::-1].tolist() if label][:3]
        order = [label for label in best if found.scores[label] >= 0.01] or best[:1]
        refined = trace.on_picture(trace.box_scores.boxes[row, order])
        tags = [f"{trace.prediction.categories[label]} {found.scores[label]:.2f}" for label in order]
        right = draw_boxes(image, refined, [FOLLOWED] * len(order), tags=tags)
        right = draw_boxes(right, journey.proposal.box[None], [FOLLOWED], dashed=True)
        left = draw_boxes(left, journey.proposal.box[None], [FOLLOWED], thickness=2 * line_width(image))
    count, classes = trace.box_scores.scores.shape
    caption = (
        f"{count} proposals, each with {classes} scores that add up to 1, the background's among them, and a "
        f"refined box for each category. Left: the pyramid level that RoIAlign reads each from: the larger "
        f"the box, the coarser the level. Right: one proposal, and where its best categories move it."
    )
    titles = ("Proposals, by the level they are read from", "One proposal refined")
    names = tuple((row, 0) for row in trace.proposals.anchors[: view.shown].tolist())
    return StagePicture(left, right, titles, caption, (*legend, (FOLLOWED, "followed")), boxes, names)


def _detections(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    found, classes = trace.detections, trace.box_scores.scores.shape[1]
    scores = trace.box_scores.scores[:, 1:].reshape(-1)
    above = int((found.fates != LOW_SCORE).sum())
    best = scores.topk(min(view.shown, above)).indices
    fates = found.fates[best].tolist()
    refined = trace.on_picture(trace.box_scores.boxes[:, 1:].reshape(-1, 4)[best])
    left = draw_boxes(image, refined, [FATE_COLORS[fate] for fate in fates], dashed=True)
    prediction = trace.prediction[: view.shown]
    names = [prediction.categories[label] for label in prediction.labels]
    colors = [FATE_COLORS[KEPT]] * len(names)
    before = trace.on_picture(trace.proposals.boxes[found.proposals[: view.shown]])
    right = draw_boxes(image, before, colors, dashed=True)
    tags = [
        f"#{row} {name} {score:.2f}"
        for row, (name, score) in enumerate(zip(names, prediction.scores, strict=True))
    ]
    right = draw_boxes(right, prediction.boxes, colors)
    named = list(zip(prediction.boxes, tags, colors, strict=True))[:TAGGED]
    left, right = _follow_on(left, right, journey.detection, named)
    caption = (
        f"{len(scores):,} pairs of proposal and category ({len(scores) // (classes - 1)} x {classes - 1}): "
        + _counted(found.fates)
        + f". Drawn: the {len(best)} best above the score floor, and the {len(prediction)} best detections, "
        "each from its dashed proposal to its solid box."
    )
    titles = ("Refined boxes, by what becomes of them", "Detections")
    anchors = trace.proposals.anchors
    rows = list(zip(anchors[found.proposals].tolist(), found.labels.tolist(), strict=True))[: view.shown]
    pairs = [(int(anchors[pair // (classes - 1)]), int(pair % (classes - 1)) + 1) for pair in best]
    boxes = np.concatenate([prediction.boxes, refined])
    return StagePicture(left, right, titles, caption, _fate_legend(fates), boxes, (*rows, *pairs))


def _masks(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    instances = trace.prediction.select(
        score_threshold=view.score_threshold, mask_threshold=view.mask_threshold
    )
    right = draw_instances(image, instances, 0.5, outline=True)
    left, title = image, "No mask: this box was dropped"
    if journey.mask and journey.detection:
        box = journey.detection.box
        crop = Crop.around(image, box, image.shape[:2], margin=0.05)
        left = mask_over_crop(crop, box, journey.mask.probs, view.mask_threshold)
        title = f"The mask of #{journey.detection.row} in its box"
    side = trace.masks.probs.shape[-1]
    caption = (
        f"{len(trace.masks.probs)} masks of {side} x {side} probabilities, each stretched over its box; a "
        f"pixel is inside where its probability > {view.mask_threshold:.2f} (the white line). Right: the "
        f"{len(instances)} with a score of {view.score_threshold:.2f} or more, pasted."
    )
    found = trace.detections
    rows = zip(trace.proposals.anchors[found.proposals].tolist(), found.labels.tolist(), strict=True)
    titles = (title, "Pasted into the picture")
    return StagePicture(left, right, titles, caption, (), trace.prediction.boxes, tuple(rows))


def feature_pictures(*features: np.ndarray) -> list[np.ndarray]:
    """Features as pictures in false colours, on one scale from 0 to the greatest of all.

    Args:
        features: Each float32 (C, h, w); a cell is coloured by its mean strength over the channels.

    Returns:
        As many uint8 (h, w, 3), RGB.
    """
    strengths = [np.abs(values).mean(axis=0) for values in features]
    most = max(float(values.max()) for values in strengths) or 1.0
    return [false_colors(values / most) for values in strengths]


_DRAW: dict[str, Callable[[Trace, np.ndarray, Journey, View], StagePicture]] = {
    "normalised": _normalised,
    "features": _features,
    "dense": _dense,
    "proposals": _proposals,
    "box_scores": _box_scores,
    "detections": _detections,
    "masks": _masks,
}


def _follow_on(
    left: np.ndarray,
    right: np.ndarray,
    step: ProposalStep | DetectionStep | None,
    tags: Sequence[tuple[np.ndarray, str, Color]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """The followed box, dashed before and solid after; where it lost, what suppressed it and the IoU.

    Tags come last, so that no line crosses them. Without a step they are all.
    """
    thick = 2 * line_width(left)
    if step:
        left = draw_boxes(left, step.box[None], [FOLLOWED], dashed=True, thickness=thick)
        right = draw_boxes(right, step.box[None], [FOLLOWED], dashed=step.row is None, thickness=thick)
    if step and step.rival:
        rival = step.rival
        right = draw_boxes(right, rival.box[None], [RIVAL], thickness=thick)
        name = f"#{rival.number}, " if rival.number is not None else ""
        tags = [(rival.box, f"{name}IoU {rival.iou:.2f}", RIVAL), *tags]
    return left, tag_boxes(right, tags) if tags else right


def _counted(fates: Tensor) -> str:
    return ", ".join(f"{count:,} {fate}" for fate, count in count_fates(fates).items() if count)


def _fate_legend(fates: list[int]) -> tuple[tuple[Color, str], ...]:
    present = [fate for fate in FATE_COLORS if fate in fates]
    return (*((FATE_COLORS[fate], FATES[fate]) for fate in present), (FOLLOWED, "followed"))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _nearest_cells(trace: Trace, cells: np.ndarray, level: int) -> np.ndarray:
    """A map's cells, (h, w), as pixels of the network's input: each that of the nearest anchors' cell."""
    rows, columns = (
        ((np.arange(side) + stride // 2) // stride).clip(max=count - 1)
        for side, stride, count in zip(
            trace.normalised.size, trace.features.strides[level], cells.shape, strict=True
        )
    )
    return cells[np.ix_(rows, columns)]
