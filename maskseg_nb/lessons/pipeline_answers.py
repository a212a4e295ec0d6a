"""What comes of the experiments in the notebooks on the pipeline."""

from collections import Counter
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from torchvision.ops import box_iou

from ..data.images import preprocess
from ..data.samples import SAMPLES, sample_photo
from ..mask_rcnn.follow import follow
from ..mask_rcnn.instances import Instances
from ..mask_rcnn.outcomes import count_outcomes
from ..mask_rcnn.predict import predict
from ..mask_rcnn.prediction import Prediction
from ..mask_rcnn.trace import Trace, trace
from ..models.loading import load_model
from ..results.label_maps import semantic_map
from .answers import answers

Size = tuple[int, int] | None
SQUASHED: Size = (800, 800)


@cache
def predicted(name: str, size: Size = SQUASHED) -> Prediction:
    """What `street` finds in a sample photograph."""
    return predict(load_model("street"), preprocess(sample_photo(name), size)[0])


def _traced(name: str, size: Size = SQUASHED) -> Trace:
    return trace(load_model("street"), preprocess(sample_photo(name), size)[0])


def _counts(instances: Instances) -> str:
    counts = Counter(instances.names).most_common()
    return ", ".join(f"{count} {name}" for name, count in counts) or "nothing"


def _tags(instances: Instances) -> str:
    return ", ".join(instances.tags) or "nothing"


@answers("00.1")
def _score_thresholds() -> dict[str, Any]:
    """At 0.50: {middle}. At 0.10: {low}. There is no car, bicycle or motorcycle in the restaurant: look at
    what is called one. Several people share an extra frame of a low score: half a person, or two at once.

    At 0.95: {high}. The others are still there; the model is only less sure of them, mostly where something
    hides a part of them.
    """
    thresholds = {"low": 0.1, "middle": 0.5, "high": 0.95}
    said = predicted("restaurant")
    return {name: _counts(said.select(score_threshold=score)) for name, score in thresholds.items()}


@answers("00.2")
def _mask_thresholds() -> dict[str, Any]:
    """There are {instances} instances each time. Together they have {low:,} pixels at 0.05, {middle:,} at
    0.50 and {high:,} at 0.95. Masks without a pixel at 0.95: {empty}; of such an instance only frame and
    label are left. An edge moves most where the model is unsure where the object ends.
    """
    said = predicted("restaurant")
    low, middle, high = (said.select(mask_threshold=threshold).areas for threshold in (0.05, 0.5, 0.95))
    return {
        "instances": len(low),
        "low": low.sum(),
        "middle": middle.sum(),
        "high": high.sum(),
        "empty": (high == 0).sum(),
    }


@answers("00.3")
def _alphas() -> dict[str, Any]:
    """At 0 the right image is the photograph; at 1 there is only colour inside a mask. Edges, counts and
    scores stay. Outside the masks alpha changes nothing, unless the style is white masks: they darken
    everything else as alpha grows.
    """
    return {}


@answers("00.4")
def _touching_people() -> dict[str, Any]:
    """{people} people are {regions} regions of the map. People who touch are one region, and a person cut in
    two by something in front is two. The map says where people are, but not how many. Notebook 07, section
    3, shows whose pixels each region holds.
    """
    instances = predicted("restaurant").select()
    person = instances.categories.index("person")
    regions = cv2.connectedComponents((semantic_map(instances) == person).astype(np.uint8))[0] - 1
    return {"people": instances.names.count("person"), "regions": regions}


@answers("00.5")
def _input_sizes() -> dict[str, Any]:
    """Squashed: {squashed}. Proportions kept: {kept}.

    The score of the large motorcycle hardly changes; those of the small things at the edge do, and even
    their categories. The model learned from things in their own proportions; squashed, these are narrower.
    """
    squashed, kept = (_tags(predicted("motorcycle", size).select()) for size in (SQUASHED, None))
    return {"squashed": squashed, "kept": kept}


@answers("01.4")
def _colour_order() -> dict[str, Any]:
    """Scores of 0.5 or more, in RGB and in BGR:

    {table}

    Scores fall, but not all of them, and most not by much: shapes and brightness are the same, and colours
    were varied in training. So a forgotten `cvtColor` hardly shows in the scores. It shows in the picture.
    """
    model, lines = load_model("street"), []
    for name in SAMPLES:
        right = predicted(name).select()
        wrong = predict(model, preprocess(sample_photo(name))[0].flip(1)).select()
        for title, instances in ((name, right), ("  in BGR", wrong)):
            lines.append(f"  {title:<12}" + " ".join(f"{score:.2f}" for score in instances.scores))
    return {"table": "\n".join(lines)}


@answers("01.5")
def _threshold_per_picture() -> dict[str, Any]:
    """Call `predict` once per photograph, then `len(prediction.select(score_threshold=t))` for each
    threshold:

    {table}

    No: what removes the false positives of one photograph removes people from another. Where nothing is
    there that the model knows, as in *coffee* and *rocket*, every instance is a false positive.
    """
    thresholds = (0.1, 0.3, 0.5, 0.7, 0.9)
    lines = [" " * 14 + "".join(f"{t:>5}" for t in thresholds)]
    for name in SAMPLES:
        counts = [len(predicted(name).select(score_threshold=t)) for t in thresholds]
        lines.append(f"  {name:<12}" + "".join(f"{count:>5}" for count in counts))
    return {"table": "\n".join(lines)}


@answers("01.6")
def _squash_or_keep() -> dict[str, Any]:
    """
      squashed  {squashed}

      kept      {kept}

    Squashing scales all areas alike, so the share itself does not change; what changes is the mask, since
    the network sees other pixels. Areas in pixels can only be compared within one size.
    """

    def line(size: Size) -> str:
        said = predicted("motorcycle", size)
        best = said.select(score_threshold=float(said.scores[0]))
        share = best.areas[0] / np.prod(best.image_size)
        return f"{len(said)} detections; {best.tags[0]} covers {share:.1%} of the image"

    return {"squashed": line(SQUASHED), "kept": line(None)}


@answers("01.7")
def _add() -> dict[str, Any]:
    """{values}. A uint8 holds 0 to 255 and wraps around: 255 + 255 = 510 becomes 510 - 256 = 254, and three
    masks become 253. Nobody sees 254 beside 255, but masks of 128 would add up to 0: black where two masks
    agree. NumPy does not warn. `np.maximum` says what is meant: inside any of them.
    """
    combined = np.zeros(predicted("restaurant").image_size, np.uint8)
    for mask in predicted("restaurant").select().masks:
        combined = combined + np.where(mask, 255, 0).astype(np.uint8)
    return {"values": np.unique(combined).tolist()}


@answers("01.8")
def _remember() -> dict[str, Any]:
    """Put `predictions = {{}}` before `redraw`, and in it, in place of `segment_image`:

        if picture.value not in predictions:
            predictions[picture.value] = ms.predict(model, tensor)
        masks = predictions[picture.value].select(score_threshold=threshold.value).masks

    `overlay_segmentation_mask` takes these bool masks, too. Now a slider costs a redraw, not the network.
    """
    return {}


@answers("02.5")
def _fewer_proposals() -> dict[str, Any]:
    """A detection is lost once `rpn_post_nms_top_n` is less than its proposal's number. Proposals are
    numbered by objectness, highest first:

    {table}

    The last line of the path is then "over the limit of ... proposals". The remaining places belong to the
    boxes of highest objectness: of the first 30, {near} overlap one of these detections with an IoU above
    0.5. Most are copies of the same few people. So a lost person may come back as another detection, from
    another anchor, with a lower score.
    """
    run = _traced("restaurant")
    shown, lines = run.prediction.select(), []
    for row, tag in enumerate(shown.tags):
        anchor = int(run.proposals.anchors[run.detections.proposals[row]])
        lines.append(f"  {tag:<18}{follow(run, anchor=anchor).proposal.verdict.reason}")
    first = torch.tensor(run.on_image(run.proposals.boxes[:30]))
    near = int((box_iou(first, torch.tensor(shown.boxes)).amax(dim=1) > 0.5).sum())
    return {"table": "\n".join(lines), "near": near}


@answers("02.6")
def _no_floor() -> dict[str, Any]:
    """{detections}, instead of {before}: as many as `box_detections_per_img` allows. Without a floor all
    {pairs:,} pairs of a proposal and a category compete. NMS suppresses {suppressed:,}, {over:,} others are
    over the limit, and the last one kept has a score of {lowest:.3f}. NMS removes copies; it does not judge.
    """
    run = _traced("motorcycle")
    bare = run.rerun(box_score_threshold=0.0)
    counts = count_outcomes(bare.detections.outcomes)
    return {
        "detections": len(bare.prediction),
        "before": len(run.prediction),
        "pairs": len(bare.detections.outcomes),
        "suppressed": counts["suppressed"],
        "over": counts["over the limit"],
        "lowest": bare.prediction.scores[-1],
    }


@answers("02.7")
def _levels() -> dict[str, Any]:
    """
      squashed  {squashed}

      kept      {kept}

    The level of the mask follows from the size of the refined box, the root of its area in pixels of the
    network's input: floor(4 + log2(size / 224)), so from 448 px on it is P5. With the proportions kept the
    input is wider, and so is the box. The anchor only has to be near enough for its deltas to do the rest.
    """

    def line(size: Size) -> str:
        run = _traced("motorcycle", size)
        journey, (left, top, right, bottom) = follow(run, detection=0), run.detections.boxes[0].tolist()
        height, width = run.normalised.size
        start, box = journey.anchor, ((right - left) * (bottom - top)) ** 0.5
        return (
            f"input {height} x {width}; anchor on {start.level_name}, height / width {start.ratio:.1f}; "
            f"box {box:.0f} px, mask from {journey.mask.level_name if journey.mask else 'none'}"
        )

    return {"squashed": line(SQUASHED), "kept": line(None)}
