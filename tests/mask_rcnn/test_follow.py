"""A followed box against plain restatements of every step; each lost one against a plain filter and NMS."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import MultiScaleRoIAlign, box_iou, clip_boxes_to_image

from maskseg_nb import preprocess, sample_photo
from maskseg_nb.mask_rcnn import stages
from maskseg_nb.mask_rcnn.follow import anchor_at, cell_of, follow, lost, most_moved
from maskseg_nb.mask_rcnn.outcomes import OUTCOMES, SUPPRESSED
from maskseg_nb.mask_rcnn.trace import trace
from street_levels import ANCHORS

NEVER = "not among its level's best"


class Reference:
    """What torchvision's own parts say of a picture, each asked once, in its own layout.

    Boxes are float32 in pixels of the network's input, as torchvision has them.
    """

    def __init__(self, run, tensor):
        model, heads = run.model, run.model.roi_heads
        with torch.no_grad():
            images, _ = model.transform([tensor[0]])
            self.size, self.padded = images.image_sizes[0], images.tensors.shape[-2:]
            maps = model.backbone(images.tensors)
            objectness, deltas = model.rpn.head(list(maps.values()))
            # (1, A, h, w) a level: as (h, w, A); the deltas, (1, 4 A, h, w), as (h, w, A, 4)
            self.objectness = [level[0].permute(1, 2, 0).numpy() for level in objectness]
            self.deltas = [d[0].unflatten(0, (-1, 4)).permute(2, 3, 0, 1).numpy() for d in deltas]
            self.proposals = model.rpn(images, maps)[0][0]
            boxes = run.detections.boxes
            # Fresh pools: they take their scales from this picture, whatever the model's own saw before.
            read, mask_read = (
                MultiScaleRoIAlign(pool.featmap_names, pool.output_size, pool.sampling_ratio)(
                    maps, [rois], [self.size]
                )
                for pool, rois in ((heads.box_roi_pool, self.proposals), (heads.mask_roi_pool, boxes))
            )
            logits, refinement = heads.box_predictor(heads.box_head(read))
            self.features, self.scores = read.numpy(), logits.softmax(-1).numpy()
            self.refined = clip_boxes_to_image(
                BoxCoder((10, 10, 5, 5)).decode(refinement, [self.proposals]), self.size
            ).numpy()
            self.masks = heads.mask_predictor(heads.mask_head(mask_read)).sigmoid().numpy()
        self.sizes = [sizes[0] for sizes in model.rpn.anchor_generator.sizes]
        self.image_size = tuple(tensor.shape[-2:])

    def place(self, row):
        """Level, row, column and number in the cell of an anchor, counted out."""
        for level, values in enumerate(self.objectness):
            if row < values.size:
                return level, *(int(number) for number in np.unravel_index(row, values.shape))
            row -= values.size
        raise AssertionError("beyond the last anchor")

    def anchor(self, row):
        level, down, across, which = self.place(row)
        height, width = (
            full // cells for full, cells in zip(self.padded, self.objectness[level].shape[:2], strict=True)
        )
        ratio = (0.5, 1.0, 2.0)[which]
        half = self.sizes[level] / 2 / math.sqrt(ratio), self.sizes[level] / 2 * math.sqrt(ratio)
        x, y = across * width, down * height
        right, bottom = (float(np.round(side)) for side in half)
        return np.array([x - right, y - bottom, x + right, y + bottom], np.float32)

    def decoded(self, row):
        """The anchor, moved and stretched, inside the picture."""
        level, down, across, which = self.place(row)
        deltas = torch.from_numpy(self.deltas[level][down, across, which])[None]
        box = BoxCoder((1, 1, 1, 1)).decode_single(deltas, torch.from_numpy(self.anchor(row))[None])
        return clip_boxes_to_image(box, self.size)[0].numpy()

    def rank(self, row):
        """How many anchors of its level have a higher objectness."""
        level, *place = self.place(row)
        falling = sorted(self.objectness[level].ravel().tolist(), reverse=True)
        return falling.index(float(self.objectness[level][tuple(place)]))

    def on_picture(self, box):
        y, x = (full / seen for full, seen in zip(self.image_size, self.size, strict=True))
        return np.asarray(box) * [x, y, x, y]


def fpn_level(box):
    """Feature Pyramid Networks, equation 1, with k0 = 4; RoIAlign reads P2 to P5."""
    width, height = float(box[2] - box[0]), float(box[3] - box[1])
    return f"P{min(max(math.floor(4 + math.log2(math.sqrt(width * height) / 224)), 2), 5)}"


def iou(box, boxes):
    box, boxes = np.asarray(box, np.float64), np.asarray(boxes, np.float64).reshape(-1, 4)
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    overlap = sides.clip(0).prod(axis=1)
    return overlap / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - overlap)


def plain_nms(boxes, scores, threshold):
    """For each box the row of the one that suppressed it; its own row where none did."""
    blamed = np.arange(len(boxes))
    order = list(np.argsort(-scores, kind="stable"))
    while order:
        best, *order = order
        over = iou(boxes[best], boxes[order]) > threshold
        blamed[np.array(order, int)[over]] = best
        order = [row for row, gone in zip(order, over, strict=True) if not gone]
    return blamed


def number(pattern, text):
    found = re.fullmatch(pattern, text)
    assert found, f"{text!r} is not {pattern!r}"
    return [float(group) for group in found.groups()]


# The whole path back.


@pytest.fixture(scope="module", params=["street", pytest.param("resnet", marks=pytest.mark.slow)])
def whole(request, street_trace, restaurant):
    """A run under the model's own knobs, and its reference."""
    if request.param == "street":
        return street_trace, Reference(street_trace, restaurant[0])
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, box_score_thresh=0.0, min_size=256)
    tensor, _ = preprocess(sample_photo("restaurant"), (300, 400))
    run = trace(model.eval(), tensor)
    return run, Reference(run, tensor)


def test_every_detection_came_from_the_anchor_that_its_journey_names(whole):
    run, reference = whole
    assert len(run.prediction) > 20
    for row in range(len(run.prediction)):
        journey = follow(run, detection=row)
        start = journey.anchor
        level, down, across, _ = reference.place(start.row)
        assert (start.level, start.level_name, start.cell) == (level, f"P{level + 2}", (down, across))
        box = reference.anchor(start.row)
        width, height = (box[2:] - box[:2]).tolist()
        assert start.side == pytest.approx(math.sqrt(width * height))
        assert start.ratio == pytest.approx(height / width)
        np.testing.assert_allclose(start.box, reference.on_picture(box), rtol=1e-5, atol=1e-3)
        logit = run.anchors.objectness[start.row].item()
        assert start.objectness == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)
        assert start.rank == reference.rank(start.row)

        proposal = reference.decoded(start.row)
        np.testing.assert_allclose(proposal, reference.proposals[journey.proposal.verdict.row], atol=2e-3)
        np.testing.assert_allclose(journey.proposal.box, reference.on_picture(proposal), atol=5e-3)
        assert (journey.proposal.verdict.outcome, journey.proposal.verdict.rival) == ("kept", None)


def test_every_detection_is_what_the_heads_say_of_its_proposal(whole):
    run, reference = whole
    prediction = run.prediction
    for row in range(len(prediction)):
        journey = follow(run, detection=row)
        proposal, found = journey.proposal.verdict.row, journey.detection
        assert (found.verdict.row, found.label, found.verdict.outcome) == (
            row,
            prediction.labels[row],
            "kept",
        )
        assert found.category == prediction.categories[found.label]
        assert found.level_name == fpn_level(reference.proposals[proposal])
        np.testing.assert_allclose(found.features, reference.features[proposal], atol=1e-4)
        np.testing.assert_allclose(found.scores, reference.scores[proposal], atol=1e-5)
        assert found.scores[found.label] == prediction.scores[row]
        refined = reference.refined[proposal, found.label]
        np.testing.assert_allclose(found.box, reference.on_picture(refined), atol=5e-3)
        np.testing.assert_array_equal(found.box, prediction.boxes[row])
        assert journey.mask.level_name == fpn_level(refined)
        np.testing.assert_allclose(journey.mask.probs, reference.masks[row, found.label], atol=1e-4)
        assert journey.verdict.reason == f"kept: detection #{row + 1} of {len(prediction)}"


# What became of the others.


@pytest.fixture(scope="module")
def strict(street_trace, restaurant):
    """Knobs with which every outcome occurs, and the reference for what no knob touches."""
    knobs = {"rpn_pre_nms_top_n": 250, "rpn_post_nms_top_n": 120, "rpn_min_size": 12.0}
    knobs |= {"rpn_score_threshold": 0.02, "rpn_nms_threshold": 0.6}
    knobs |= {"box_score_threshold": 0.02, "box_detections_per_img": 10, "box_nms_threshold": 0.45}
    return street_trace.rerun(**knobs), Reference(street_trace, restaurant[0])


def sides(boxes):
    return (boxes[:, 2:] - boxes[:, :2]).min(axis=1)


def outcomes_of(boxes, scores, groups, dropped, nms_threshold, limit):
    """The candidates' outcomes, each with the row of the one that suppressed it; and the rows kept, in order.

    `dropped` is the outcome of those that never come to NMS, and empty for the others.
    """
    outcomes = [(str(outcome) or "kept", None) for outcome in dropped]
    survivors = []
    for group in np.unique(groups):
        rows = np.flatnonzero((groups == group) & (dropped == ""))
        for row, blamed in zip(rows, rows[plain_nms(boxes[rows], scores[rows], nms_threshold)], strict=True):
            if blamed == row:
                survivors.append(int(row))
            else:
                outcomes[row] = ("suppressed", int(blamed))
    survivors.sort(key=lambda row: -scores[row])
    for row in survivors[limit:]:
        outcomes[row] = ("over the limit", None)
    return outcomes, survivors[:limit]


@pytest.mark.slow
def test_every_candidate_of_the_region_proposals_gets_its_true_outcome(strict):
    run, reference = strict
    candidates, first = [], 0
    for level in reference.objectness:
        best = np.argsort(-level.ravel(), kind="stable")[:250]
        candidates += [first + int(row) for row in best]
        first += level.size
    boxes = np.array([reference.decoded(row) for row in candidates])
    levels = np.array([reference.place(row)[0] for row in candidates])
    logits = np.concatenate([level.ravel() for level in reference.objectness])[candidates]
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    dropped = np.where(sides(boxes) < 12, "too small", np.where(scores < 0.02, "score too low", ""))
    outcomes, kept = outcomes_of(boxes, scores, levels, dropped, 0.6, 120)
    assert {outcome for outcome, _ in outcomes} == set(OUTCOMES)
    by_the_lost = 0
    for row, (outcome, blamed) in enumerate(outcomes):
        step = follow(run, anchor=candidates[row]).proposal
        verdict = step.verdict
        assert verdict.outcome == outcome
        np.testing.assert_allclose(step.box, reference.on_picture(boxes[row]), atol=5e-3)
        assert verdict.row == (kept.index(row) if outcome == "kept" else None)
        assert (verdict.rival is None) == (blamed is None)
        if outcome == "suppressed":
            assert verdict.rival.iou == pytest.approx(iou(boxes[row], boxes[blamed])[0], abs=1e-4)
            np.testing.assert_allclose(verdict.rival.box, reference.on_picture(boxes[blamed]), atol=5e-3)
            assert verdict.rival.row == (kept.index(blamed) if blamed in kept else None)
            by = rf"proposal #{verdict.rival.row + 1}" if blamed in kept else "a proposal over the limit"
            said, threshold = number(rf"suppressed by {by}, IoU ([\d.]+) > ([\d.]+)", verdict.reason)
            assert said == pytest.approx(verdict.rival.iou, abs=0.0051) and threshold == 0.6
            by_the_lost += blamed not in kept
        elif outcome == "too small":
            width, height = number(r"too small: ([\d.]+) x ([\d.]+) px.*", verdict.reason)
            expected = (boxes[row, 2:] - boxes[row, :2]).tolist()
            assert [width, height] == pytest.approx(expected, abs=0.0051)
        elif outcome == "score too low":
            said, threshold = number(r"score too low: ([\d.]+) < ([\d.]+)", verdict.reason)
            assert said == pytest.approx(scores[row], abs=0.00051) and threshold == 0.02
        elif outcome == "over the limit":
            assert verdict.reason == "over the limit of 120 proposals"
        else:
            assert verdict.reason == f"kept: proposal #{verdict.row + 1} of 120"
    assert by_the_lost > 10


@pytest.mark.slow
def test_an_anchor_that_is_not_a_candidate_gets_its_rank(strict):
    run, reference = strict
    random = np.random.default_rng(0)
    others = np.setdiff1d(np.arange(len(run.anchors.boxes)), run.proposals.candidates)
    for row in random.choice(others, 60, replace=False).tolist():
        journey = follow(run, anchor=row)
        rank, (level, *_) = reference.rank(row), reference.place(row)
        assert rank >= 250
        verdict = journey.proposal.verdict
        assert (verdict.outcome, verdict.row, verdict.rival) == (NEVER, None, None)
        assert journey.verdict.reason == f"not among the 250 best of P{level + 2}: rank {rank}"
        np.testing.assert_allclose(
            journey.proposal.box, reference.on_picture(reference.decoded(row)), atol=5e-3
        )
        assert journey.detection is None and journey.mask is None


@pytest.mark.slow
def test_every_pair_of_proposal_and_category_gets_its_true_outcome(strict, monkeypatch):
    run, reference = strict
    # Only boxes without any area are too small for torchvision; here more of them are.
    monkeypatch.setattr(stages, "SMALLEST_DETECTION", 20.0)
    run = run.rerun(box_score_threshold=0.021)
    classes = len(run.prediction.categories) - 1
    boxes = run.box_scores.boxes[:, 1:].reshape(-1, 4).numpy()
    scores = run.box_scores.scores[:, 1:].reshape(-1).numpy()
    labels = np.tile(np.arange(1, classes + 1), len(run.proposals.boxes))
    dropped = np.where(scores <= 0.021, "score too low", np.where(sides(boxes) < 20, "too small", ""))
    outcomes, kept = outcomes_of(boxes, scores, labels, dropped, 0.45, 10)
    assert {outcome for outcome, _ in outcomes} == set(OUTCOMES)
    for pair, (outcome, blamed) in enumerate(outcomes):
        proposal, label = pair // classes, int(labels[pair])
        journey = follow(run, anchor=int(run.proposals.anchors[proposal]), label=label)
        step = journey.detection
        verdict = step.verdict
        assert (verdict.outcome, step.label, journey.proposal.verdict.row) == (outcome, label, proposal)
        np.testing.assert_allclose(step.box, reference.on_picture(boxes[pair]), rtol=1e-5, atol=1e-3)
        assert verdict.row == (kept.index(pair) if outcome == "kept" else None)
        assert (journey.mask is None) == (outcome != "kept")
        assert (verdict.rival is None) == (blamed is None)
        assert journey.verdict.reason == verdict.reason
        if outcome == "suppressed":
            assert labels[blamed] == label
            assert verdict.rival.iou == pytest.approx(iou(boxes[pair], boxes[blamed])[0], abs=1e-4)
            np.testing.assert_allclose(verdict.rival.box, reference.on_picture(boxes[blamed]), atol=5e-3)
            assert verdict.rival.row == (kept.index(blamed) if blamed in kept else None)
            by = rf"detection #{verdict.rival.row + 1}" if blamed in kept else "a detection over the limit"
            said, threshold = number(rf"suppressed by {by}, IoU ([\d.]+) > ([\d.]+)", verdict.reason)
            assert said == pytest.approx(verdict.rival.iou, abs=0.0051) and threshold == 0.45
        elif outcome == "too small":
            width, height = number(r"too small: ([\d.]+) x ([\d.]+) px.*", verdict.reason)
            expected = (boxes[pair, 2:] - boxes[pair, :2]).tolist()
            assert [width, height] == pytest.approx(expected, abs=0.0051)
        elif outcome == "score too low":
            said, threshold = number(r"score too low: ([\d.]+) <= ([\d.]+)", verdict.reason)
            assert said == pytest.approx(float(scores[pair]), abs=0.00051) and threshold == 0.021
        elif outcome == "over the limit":
            assert verdict.reason == "over the limit of 10 detections"
        else:
            assert verdict.reason == f"kept: detection #{verdict.row + 1} of 10"


def test_a_box_is_followed_as_its_most_probable_category_where_none_is_named(street_trace):
    for row in (0, 3, 150):
        journey = follow(street_trace, anchor=int(street_trace.proposals.anchors[row]))
        assert journey.detection.label == 1 + journey.detection.scores[1:].argmax()


def test_a_box_that_lost_is_found_again_by_its_anchor_once_a_knob_lets_it_through(street_trace):
    anchor, label = lost(street_trace)[0]
    before = follow(street_trace, anchor=anchor, label=label)
    assert before.detection.verdict.outcome == "suppressed"
    let_through = street_trace.rerun(
        box_nms_threshold=math.nextafter(before.detection.verdict.rival.iou, 1) + 1e-4
    )
    after = follow(let_through, anchor=anchor, label=label)
    assert after.detection.verdict.outcome == "kept" and after.mask is not None
    np.testing.assert_array_equal(after.detection.box, before.detection.box)
    np.testing.assert_array_equal(
        let_through.prediction.boxes[after.detection.verdict.row], before.detection.box
    )
    assert (after.anchor.row, after.detection.category) == (anchor, before.detection.category)
    again = follow(let_through.rerun(box_nms_threshold=0.5), anchor=anchor, label=label)
    assert again.verdict.reason == before.verdict.reason


# What can be followed.


def test_lost_are_the_best_proposals_without_a_detection(street_trace):
    run = street_trace
    scores = run.box_scores.scores[:, 1:].numpy()
    detected = set(run.detections.proposals.tolist())
    others = [row for row in range(len(scores)) if row not in detected]
    falling = sorted(others, key=lambda row: -scores[row].max())
    expected = [(int(run.proposals.anchors[row]), int(scores[row].argmax()) + 1) for row in falling]
    assert lost(run) == expected[:20]
    assert lost(run, 3) == expected[:3]
    assert lost(run, 10_000) == expected
    for anchor, label in lost(run):
        assert follow(run, anchor=anchor, label=label).detection.verdict.row is None


def test_where_nothing_is_detected_every_proposal_is_lost(nothing_trace):
    assert len(nothing_trace.prediction) == 0
    pairs = lost(nothing_trace, 1000)
    assert sorted(anchor for anchor, _ in pairs) == sorted(nothing_trace.proposals.anchors.tolist())
    for anchor, label in pairs[:10]:
        journey = follow(nothing_trace, anchor=anchor, label=label)
        assert journey.detection.verdict.outcome == "score too low" and journey.mask is None


def test_without_any_proposal_nothing_is_lost_and_anchors_can_still_be_followed(nothing_trace):
    run = nothing_trace.rerun(rpn_score_threshold=1.0)
    assert len(run.proposals.boxes) == 0 and lost(run) == []
    best = int(run.anchors.objectness.argmax())
    assert follow(run, anchor=best).proposal.verdict.outcome == "score too low"


@pytest.fixture(scope="module")
def wide(street):
    """A picture whose maps are no squares."""
    return trace(street, preprocess(sample_photo("restaurant"), (200, 500))[0])


@settings(deadline=None, derandomize=True)
@given(share=st.floats(0, 1, exclude_max=True), square=st.booleans())
def test_cell_of_and_anchor_at_are_inverse(street_trace, wide, share, square):
    run = street_trace if square else wide
    anchor = int(share * len(run.anchors.boxes))
    level, row, column, which = cell_of(run, anchor)
    assert anchor_at(run, level, row, column, which) == anchor
    assert run.anchors.levels[anchor] == level
    left, top, right, bottom = run.anchors.boxes[anchor].tolist()
    down, across = run.features.strides[level]  # an anchor stands on its cell's upper left corner
    assert ((left + right) / 2, (top + bottom) / 2) == (column * across, row * down)
    assert which == [0.5, 1.0, 2.0].index(2.0 ** round(math.log2((bottom - top) / (right - left))))


def test_a_place_beyond_the_map_is_its_edge(wide):
    for level, (height, width, per_cell) in enumerate(wide.anchors.grids):
        assert cell_of(wide, anchor_at(wide, level, -7, 10_000)) == (level, 0, width - 1, 0)
        last = anchor_at(wide, level, 10_000, -1, per_cell - 1)
        assert cell_of(wide, last) == (level, height - 1, 0, per_cell - 1)


# What cannot.


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ({"detection": 500}, ValueError, "there is no detection 500: they are 0 to {last}"),
        ({"detection": -1}, ValueError, "there is no detection -1: they are 0 to {last}"),
        ({"anchor": ANCHORS}, ValueError, f"there is no anchor {ANCHORS}: they are 0 to {ANCHORS - 1}"),
        ({"anchor": -1}, ValueError, "there is no anchor -1"),
        ({"anchor": 5, "label": 0}, ValueError, "label must be 1 to 4, got 0"),
        ({"anchor": 5, "label": 5}, ValueError, "label must be 1 to 4, got 5"),
        ({"anchor": 5, "label": "person"}, ValueError, "label must be 1 to 4, got 'person'"),
        ({}, ValueError, "give either detection= or anchor="),
        ({"detection": 0, "anchor": 0}, ValueError, "give either detection= or anchor="),
        ({"detection": 1.0}, TypeError, "detection must be a whole number, got float"),
        ({"detection": True}, TypeError, "detection must be a whole number, got bool"),
        ({"detection": "0"}, TypeError, "detection must be a whole number, got str"),
        ({"anchor": float("nan")}, TypeError, "anchor must be a whole number, got float"),
        ({"anchor": False}, TypeError, "anchor must be a whole number, got bool"),
    ],
)
def test_what_does_not_exist_cannot_be_followed(street_trace, what, error, message):
    assert len(street_trace.anchors.boxes) == ANCHORS
    with pytest.raises(error, match=re.escape(message.format(last=len(street_trace.prediction) - 1))):
        follow(street_trace, **what)


def test_where_nothing_is_detected_no_detection_can_be_followed(nothing_trace):
    with pytest.raises(ValueError, match="there is no detection 0: none"):
        follow(nothing_trace, detection=0)


def test_a_numpy_integer_names_a_detection(street_trace):
    assert follow(street_trace, detection=np.int64(3)).detection.verdict.row == 3


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ((5, 0, 0), ValueError, "there is no level 5: they are 0 to 4"),
        ((-1, 0, 0), ValueError, "there is no level -1"),
        ((0, 0, 0, 3), ValueError, "there is no which 3: they are 0 to 2"),
        ((0.0, 0, 0), TypeError, "level must be a whole number, got float"),
    ],
)
def test_anchor_at_refuses_a_level_or_shape_that_does_not_exist(street_trace, place, error, message):
    with pytest.raises(error, match=message):
        anchor_at(street_trace, *place)


@pytest.mark.parametrize("anchor", [ANCHORS, -1])
def test_cell_of_refuses_an_anchor_that_does_not_exist(street_trace, anchor):
    with pytest.raises(ValueError, match=f"there is no anchor {anchor}: they are 0 to {ANCHORS - 1}"):
        cell_of(street_trace, anchor)


# As text.


def lines_of(journey):
    """First word -> the rest of the line."""
    pairs = [line.split(maxsplit=1) for line in str(journey).splitlines()]
    return {name: rest.strip() for name, rest in pairs}


def test_a_kept_box_tells_its_whole_path_in_seven_lines(strict):
    run, reference = strict
    journey = follow(run, detection=4)
    level, row, column, which = reference.place(journey.anchor.row)
    left, top, right, bottom = reference.anchor(journey.anchor.row)
    proposal = run.detections.proposals[4].item()
    scores = run.box_scores.scores[proposal].tolist()
    label = run.detections.labels[4].item()
    objectness = run.anchors.objectness[journey.anchor.row].sigmoid().item()
    rank = reference.rank(journey.anchor.row)
    assert lines_of(journey) == {
        "anchor": f"P{level + 2}, row {row}, column {column}: "
        f"{math.sqrt((right - left) * (bottom - top)):.0f} px, "
        f"height / width {(bottom - top) / (right - left):.1f}",
        "objectness": f"{objectness:.3f}, rank {rank} of P{level + 2}",
        "proposal": f"kept: proposal #{proposal + 1} of 120",
        "RoIAlign": f"reads {fpn_level(run.proposals.boxes[proposal])}",
        "box": f"head    {run.prediction.categories[label]} {scores[label]:.3f}, background {scores[0]:.3f}",
        "detection": "kept: detection #5 of 10",
        "mask": f"28 x 28, read from {fpn_level(run.detections.boxes[4])}",
    }


def test_a_lost_box_tells_its_path_as_far_as_it_went(strict):
    run, _ = strict
    anchor, label = lost(run)[0]
    journey = follow(run, anchor=anchor, label=label)
    assert list(lines_of(journey)) == ["anchor", "objectness", "proposal", "RoIAlign", "box", "detection"]
    assert lines_of(journey)["detection"] == journey.verdict.reason == journey.detection.verdict.reason
    dropped = int(run.proposals.candidates[run.proposals.outcomes == SUPPRESSED][0])
    journey = follow(run, anchor=dropped)
    assert list(lines_of(journey)) == ["anchor", "objectness", "proposal"]
    assert lines_of(journey)["proposal"] == journey.verdict.reason == journey.proposal.verdict.reason


def test_the_anchor_that_moved_most_is_found_by_asking_all(street_trace, nothing_trace):
    kept = range(int((street_trace.detections.scores >= 0.5).sum()))
    journeys = [follow(street_trace, detection=row) for row in kept]
    ious = [
        float(box_iou(torch.tensor(one.anchor.box[None]), torch.tensor(one.proposal.box[None])))
        for one in journeys
    ]
    assert most_moved(street_trace) == journeys[int(np.argmin(ious))].anchor.row
    with pytest.raises(ValueError, match="no detection is scored 0.5 or more"):
        most_moved(nothing_trace)
