"""A picture pair for each stage of a trace: what comes in on the left, what comes out on the right.

Dashed boxes are before a decision, solid ones after it. The box that is followed is pink everywhere.
"""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from ..mask_rcnn.follow import anchor_at
from ..mask_rcnn.journey import AnchorStep, DetectionStep, Journey, ProposalStep, numbered
from ..mask_rcnn.outcomes import KEPT, LOW_SCORE, OUTCOMES, count_outcomes
from ..mask_rcnn.prediction import Prediction
from ..mask_rcnn.stages import split_pairs
from ..mask_rcnn.trace import STAGES, Trace
from .boxes import draw_boxes, draw_grid, line_width
from .colors import Color, instance_colors, level_color
from .crop import Crop, fitted
from .heatmaps import false_colors, heat_map, mask_over_crop, mosaic
from .overlay import draw_instances, draw_tags
from .panels import (
    CAPTIONS,
    FOLLOWED,
    OUTCOME_COLORS,
    RIVAL,
    StagePicture,
    View,
    draw_outcomes,
    outcome_legend,
)
from .tags import tag_boxes

STRONGEST = 16  # channels shown where none is chosen
TAGGED = 10  # detections that are named: more tags would hide the image


def stage_picture(trace: Trace, image: np.ndarray, stage: str, journey: Journey, view: View) -> StagePicture:
    """Draw one of `STAGES`; arguments and errors are those of `show_stage`."""
    if stage not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(STAGES)}, got {stage!r}")
    if not 0 <= view.level < len(trace.features.maps):
        raise ValueError(f"level must be 0 to {len(trace.features.maps) - 1}, got {view.level}")
    return _DRAW[stage](trace, image, journey, view)


def _normalised(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    tensor = trace.normalised.tensor[0].cpu().numpy()  # (3, H, W)
    low, high = float(tensor.min()), float(tensor.max())
    values = ((tensor - low) / ((high - low) or 1.0)).transpose(1, 2, 0)
    before, after, padded = map(_size, (image.shape, trace.normalised.size, tensor.shape[1:]))
    caption = CAPTIONS["normalised"].format(before=before, after=after, padded=padded, low=low, high=high)
    shown = np.rint(255 * values).astype(np.uint8)
    return StagePicture(image, fitted(shown, image.shape), ("What came in", "What the network sees"), caption)


def _features(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    name, maps = trace.features.names[view.level], list(trace.features.maps.values())[view.level]
    down, across = trace.features.strides[view.level]
    values = maps[0].cpu().numpy()  # (C, h, w)
    channels = len(values)
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
    caption = CAPTIONS["features"].format(
        name=name, channels=channels, size=_size(values.shape[1:]), across=across, down=down, what=what
    )
    height_in, width_in = trace.normalised.size
    left = draw_grid(image, down * image.shape[0] / height_in, across * image.shape[1] / width_in)
    return StagePicture(left, fitted(right, image.shape), (f"The cells of {name}", title), caption)


def _anchors(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    anchors, names, start = trace.anchors, trace.features.names, journey.anchor
    left = _anchors_at_one_place(trace, image, start)
    left = draw_boxes(left, start.box[None], [FOLLOWED], dashed=True, thickness=2 * line_width(image))
    height, width, per_cell = anchors.grids[view.level]
    objectness = anchors.objectness[anchors.levels == view.level].sigmoid()
    heat = objectness.reshape(height, width, per_cell).amax(-1).cpu().numpy()  # the best of each cell
    right = heat_map(image, _nearest_cells(trace, heat, view.level))
    if view.level == start.level:
        right = draw_boxes(right, start.box[None], [FOLLOWED], dashed=True)
    caption = CAPTIONS["anchors"].format(
        count=len(anchors.boxes), per_cell=per_cell, name=names[view.level], most=heat.max()
    )
    legend = tuple((level_color(level), name) for level, name in enumerate(names))
    titles = ("Anchors at one place", f"Objectness on {names[view.level]}")
    return StagePicture(left, right, titles, caption, (*legend, (FOLLOWED, "followed")))


def _proposals(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    proposals = trace.proposals
    best = proposals.candidate_scores.topk(min(view.shown, len(proposals.candidates))).indices
    outcomes = proposals.outcomes[best].tolist()
    before = trace.on_image(proposals.candidate_boxes[best])
    left = draw_outcomes(image, before, outcomes)
    after = trace.on_image(proposals.boxes[: view.shown])
    right = draw_boxes(image, after, [OUTCOME_COLORS[KEPT]] * len(after))
    left, right = _follow_on(left, right, journey.proposal)
    caption = CAPTIONS["proposals"].format(
        count=len(proposals.candidates),
        outcomes=_counted(proposals.outcomes),
        before=len(before),
        after=len(after),
    )
    titles = ("Candidates, by what becomes of them", "Proposals")
    rows = proposals.candidates[best].tolist() + proposals.anchors[: view.shown].tolist()
    names = tuple((row, 0) for row in rows)
    boxes = np.concatenate([before, after])
    scores = proposals.candidate_scores[best].tolist()
    texts = [f"candidate, objectness {s:.3f}: {OUTCOMES[o]}" for s, o in zip(scores, outcomes, strict=True)]
    texts += [f"proposal {numbered(row)}" for row in range(len(after))]
    return StagePicture(left, right, titles, caption, outcome_legend(outcomes), boxes, names, tuple(texts))


def _box_scores(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    boxes = trace.on_image(trace.proposals.boxes[: view.shown])
    levels = trace.box_scores.roi_levels[: view.shown].tolist()
    left, right = draw_boxes(image, boxes, [level_color(level) for level in levels]), image
    if journey.detection:
        one = journey.proposal.box[None]
        left = draw_boxes(left, one, [FOLLOWED], thickness=2 * line_width(image))
        refined, tags = _refined(trace, journey.proposal, journey.detection)
        right = draw_boxes(image, refined, [FOLLOWED] * len(tags), tags=tags)
        right = draw_boxes(right, one, [FOLLOWED], dashed=True)
    count, classes = trace.box_scores.scores.shape
    caption = CAPTIONS["box_scores"].format(count=count, classes=classes)
    legend = [(level_color(n), f"read from {trace.features.names[n]}") for n in sorted(set(levels))]
    titles = ("Proposals, by the level they are read from", "One proposal refined")
    names = tuple((row, 0) for row in trace.proposals.anchors[: view.shown].tolist())
    texts = tuple(
        f"proposal {numbered(row)}, read from {trace.features.names[n]}" for row, n in enumerate(levels)
    )
    return StagePicture(left, right, titles, caption, (*legend, (FOLLOWED, "followed")), boxes, names, texts)


def _detections(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    found, (count, classes) = trace.detections, trace.box_scores.scores.shape
    scores = trace.box_scores.scores[:, 1:].reshape(-1)
    above = int(((found.outcomes != LOW_SCORE) & (scores >= view.score_threshold)).sum())
    best = scores.topk(min(view.shown, above)).indices
    outcomes = found.outcomes[best].tolist()
    refined = trace.on_image(trace.box_scores.boxes[:, 1:].reshape(-1, 4)[best])
    left = draw_outcomes(image, refined, outcomes)
    prediction = trace.prediction
    prediction = prediction[prediction.scores >= view.score_threshold][: view.shown]
    right = draw_boxes(image, prediction.boxes, [OUTCOME_COLORS[KEPT]] * len(prediction))
    if journey.detection:  # where the followed one came from
        right = draw_boxes(right, journey.proposal.box[None], [FOLLOWED], dashed=True)
    left, right = _follow_on(left, right, journey.detection, _tags(prediction))
    caption = CAPTIONS["detections"].format(
        count=len(scores),
        proposals=count,
        categories=classes - 1,
        outcomes=_counted(found.outcomes),
        score_threshold=view.score_threshold,
        before=len(best),
        after=len(prediction),
    )
    titles = ("Refined boxes, by what becomes of them", "Detections")
    rows, labels = split_pairs(best, classes)
    kept = _names(trace, found.proposals[: len(prediction)], found.labels[: len(prediction)])
    names = (*kept, *_names(trace, rows, labels))
    boxes = np.concatenate([prediction.boxes, refined])
    texts = [f"{tag}: kept" for _, tag, _ in _tags(prediction, len(prediction))]
    ends = zip(labels.tolist(), scores[best].tolist(), outcomes, strict=True)
    texts += [f"{prediction.categories[label]} {s:.2f}: {OUTCOMES[o]}" for label, s, o in ends]
    return StagePicture(left, right, titles, caption, outcome_legend(outcomes), boxes, names, tuple(texts))


def _masks(trace: Trace, image: np.ndarray, journey: Journey, view: View) -> StagePicture:
    instances = trace.prediction.select(
        score_threshold=view.score_threshold, mask_threshold=view.mask_threshold
    )
    texts = tuple(tag for _, tag, _ in _tags(trace.prediction, len(trace.prediction)))
    right = draw_instances(image, instances, 0.5, outline=True, labels=False)
    draw_tags(right, instances, [texts[row] for row in instances.indices], instance_colors(instances))
    left, title = image, "No mask: this box was dropped"
    if journey.mask and journey.detection and journey.detection.verdict.row is not None:
        box = journey.detection.box
        crop = Crop.around(image, box, image.shape[:2], margin=0.05)
        left = mask_over_crop(crop, box, journey.mask.probs, view.mask_threshold)
        title = f"The mask of {numbered(journey.detection.verdict.row)} in its box"
    caption = CAPTIONS["masks"].format(
        count=len(trace.masks.probs),
        side=trace.masks.probs.shape[-1],
        mask_threshold=view.mask_threshold,
        pasted=len(instances),
        score_threshold=view.score_threshold,
    )
    titles = (title, "Pasted into the picture")
    names = _names(trace, trace.detections.proposals, trace.detections.labels)
    return StagePicture(left, right, titles, caption, (), trace.prediction.boxes, names, texts)


def feature_pictures(*features: np.ndarray) -> list[np.ndarray]:
    """Features, each float32 (C, h, w), in false colours: as many images, uint8 (h, w, 3), RGB.

    A cell has the colour of its mean strength over the channels, on one scale from 0 to the greatest of all.
    """
    strengths = [np.abs(values).mean(axis=0) for values in features]
    most = max(float(values.max()) for values in strengths) or 1.0
    return [false_colors(values / most) for values in strengths]


_DRAW: dict[str, Callable[[Trace, np.ndarray, Journey, View], StagePicture]] = {
    "normalised": _normalised,
    "features": _features,
    "anchors": _anchors,
    "proposals": _proposals,
    "box_scores": _box_scores,
    "detections": _detections,
    "masks": _masks,
}


def _anchors_at_one_place(trace: Trace, image: np.ndarray, start: AnchorStep) -> np.ndarray:
    """The anchors of every level that stand where one anchor does, each level in its colour."""
    boxes, colors = [], []
    down, across = trace.features.strides[start.level]
    y, x = start.cell[0] * down, start.cell[1] * across  # anchors stand on their cell's upper left corner
    for level, (stride_y, stride_x) in enumerate(trace.features.strides):
        first = anchor_at(trace, level, round(y / stride_y), round(x / stride_x))
        count = trace.anchors.grids[level][2]
        boxes.append(trace.on_image(trace.anchors.boxes[first : first + count]))
        colors += [level_color(level)] * count
    return draw_boxes(image, np.concatenate(boxes), colors)


def _refined(trace: Trace, proposal: ProposalStep, found: DetectionStep) -> tuple[np.ndarray, list[str]]:
    """Where its best categories move a proposal, at most three; each category's name and score."""
    best = [label for label in found.scores.argsort()[::-1].tolist() if label][:3]
    labels = [label for label in best if found.scores[label] >= 0.01] or best[:1]
    tags = [f"{trace.prediction.categories[label]} {found.scores[label]:.2f}" for label in labels]
    return trace.on_image(trace.box_scores.boxes[proposal.verdict.row, labels]), tags


def _tags(prediction: Prediction, count: int = TAGGED) -> list[tuple[np.ndarray, str, Color]]:
    """Box, text and colour of each of the first detections, for `tag_boxes`."""
    rows = zip(prediction.boxes, prediction.labels, prediction.scores, strict=True)
    return [
        (box, f"{numbered(row)} {prediction.categories[label]} {score:.2f}", OUTCOME_COLORS[KEPT])
        for row, (box, label, score) in enumerate(rows)
    ][:count]


def _names(trace: Trace, proposals: Tensor, labels: Tensor) -> tuple[tuple[int, int], ...]:
    """Pairs of proposal and label as (anchor, label), which is how `follow` names a box."""
    anchors = trace.proposals.anchors[proposals].tolist()
    return tuple(zip(anchors, labels.tolist(), strict=True))


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
        right = draw_boxes(
            right, step.box[None], [FOLLOWED], dashed=step.verdict.row is None, thickness=thick
        )
    if step and (rival := step.verdict.rival):
        right = draw_boxes(right, rival.box[None], [RIVAL], thickness=thick)
        name = f"{numbered(rival.row)}, " if rival.row is not None else ""
        tags = [(rival.box, f"{name}IoU {rival.iou:.2f}", RIVAL), *tags]
    return left, tag_boxes(right, tags) if tags else right


def _counted(outcomes: Tensor) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in count_outcomes(outcomes).items() if count)


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
