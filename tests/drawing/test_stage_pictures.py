"""Each stage's two panels and its caption, against what is counted, cut out and drawn again here."""

import re

import cv2
import numpy as np
import pytest
import torch

from maskseg_nb import draw_instances, preprocess, sample_photo
from maskseg_nb.drawing.boxes import DARK, draw_boxes
from maskseg_nb.drawing.colors import instance_colors, level_color
from maskseg_nb.drawing.heatmaps import false_colors
from maskseg_nb.drawing.overlay import draw_tags
from maskseg_nb.drawing.panels import FOLLOWED, OUTCOME_COLORS, RIVAL, View
from maskseg_nb.drawing.stage_pictures import TAGGED, feature_pictures, stage_picture
from maskseg_nb.drawing.tags import text_tag
from maskseg_nb.mask_rcnn.follow import follow, lost
from maskseg_nb.mask_rcnn.outcomes import KEPT, OUTCOMES, SUPPRESSED
from maskseg_nb.mask_rcnn.trace import STAGES, trace
from street_levels import ANCHORS, CANDIDATES, CELLS, PROPOSALS, SIDE

CROSS = 9  # pixels, from a lost box's corner: as far as its cross reaches
SCALE = 800 / SIDE  # of the picture to the network's input


@pytest.fixture(scope="module")
def image(restaurant):
    return restaurant[1]


def picture(run, image, stage, journey=None, **view):
    return stage_picture(run, image, stage, journey or follow(run, detection=0), View(**view))


def numbers(text):
    """All numbers of a caption, in their order."""
    return [float(found.replace(",", "")) for found in re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)]


def touched(panel, image):
    return (panel != image).any(axis=-1)


def outlines(shape, boxes, reach=7, tag=(0, 0)):
    """The pixels along boxes' outlines, and of a tag (height, width) on each one's upper left corner."""
    near = np.zeros(shape[:2], np.uint8)
    for box in boxes:
        left, top, right, bottom = np.rint(box).astype(int).tolist()
        cv2.rectangle(near, (left, top), (right, bottom), 1, 2 * reach)
        top, left = min(max(top, tag[0]), shape[0]), min(left - 1, shape[1] - tag[1])
        near[top - tag[0] : top, max(left, 0) : left + tag[1]] = 1
    return near.astype(bool)


def has_line(panel, box, color, image):
    """Whether more than half of a box's visible outline was redrawn, part of it in a colour."""
    along = outlines(image.shape, [box], 1)
    return touched(panel, image)[along].mean() > 0.5 and (panel[along] == color).all(axis=-1).mean() > 0.05


# What came in.


def test_the_first_stage_shows_the_tensor_that_the_network_sees(street_trace, image):
    shown = picture(street_trace, image, "normalised")
    np.testing.assert_array_equal(shown.left, image)
    small = cv2.resize(image.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    values = (small - 127) / 128  # street's mean and deviation
    low, high = values.min(), values.max()
    middles = ((np.arange(SIDE) + 0.5) * SCALE).astype(int)
    seen = shown.right[np.ix_(middles, middles)]
    assert np.abs(seen - 255 * (values - low) / (high - low)).max() <= 1
    said = numbers(shown.caption)
    assert said[:4] == [800, 800, SIDE, SIDE] and said[-2:] == [SIDE, SIDE]
    assert said[4:6] == pytest.approx([low, high], abs=0.02)


def test_a_picture_of_other_proportions_is_shown_with_its_padding(street):
    tensor, image = preprocess(sample_photo("restaurant"), (300, 340))
    run = trace(street, tensor)
    shown = picture(run, image, "normalised", follow(run, anchor=0))
    height, width = run.normalised.size
    padded_height, padded_width = run.normalised.tensor.shape[-2:]
    assert (padded_height % 32, padded_width % 32) == (0, 0) and padded_width > width
    assert numbers(shown.caption)[:4] == [300, 340, height, width]
    assert numbers(shown.caption)[-2:] == [padded_height, padded_width]
    inner = (~(shown.right == DARK).all(axis=-1)).any(axis=0).sum()
    assert inner == pytest.approx(min(340, 300 * padded_width / padded_height), abs=2)
    left = (340 - inner) // 2
    padding = shown.right[50:250, left + round(inner * width / padded_width) + 2 : left + inner - 1]
    assert padding.size and (padding == padding[0, 0]).all()


# Feature maps.


@pytest.mark.parametrize("level", range(5))
def test_the_strongest_channels_of_a_level_are_shown_strongest_first(street_trace, image, level):
    shown = picture(street_trace, image, "features", level=level)
    values = list(street_trace.features.maps.values())[level][0].numpy()
    strongest = sorted(range(96), key=lambda channel: -np.abs(values[channel]).mean())[:16]
    cells = CELLS[level]
    said = numbers(shown.caption)
    assert shown.caption.startswith(f"P{level + 2} has 96 channels of {cells} x {cells} cells;")
    assert said[4:6] == [SIDE // cells, SIDE // cells]
    assert re.findall(r"Channels (.*), left to right", shown.caption) == [", ".join(map(str, strongest))]
    assert shown.titles == (f"The cells of P{level + 2}", f"P{level + 2}: its 16 strongest channels")
    first = values[strongest[0]]
    tile = 800 * cells / (4 * cells + 3)  # of the picture's pixels
    seen = cv2.resize(shown.right[: round(tile), : round(tile)], (cells, cells), interpolation=cv2.INTER_AREA)
    expected = false_colors((first - first.min()) / (first.max() - first.min())).astype(int)
    assert np.abs(seen - expected).mean() < (30 if level == 0 else 12)


@pytest.mark.parametrize("level", range(4))
def test_the_grid_shows_where_a_levels_cells_begin(street_trace, image, level):
    lined = touched(picture(street_trace, image, "features", level=level).left, image)
    stride = SIDE // CELLS[level] * SCALE
    begins = [int(stride * cell) for cell in range(CELLS[level])]
    off = np.setdiff1d(np.arange(800), begins)
    assert not lined[np.ix_(off, off)].any()
    assert lined[begins].mean() > 0.8 and lined[:, begins].mean() > 0.8


def test_one_channel_is_shown_cell_by_cell(street_trace, image):
    shown = picture(street_trace, image, "features", level=4, channel=7)
    values = list(street_trace.features.maps.values())[4][0, 7].numpy()
    assert numbers(shown.caption)[-2:] == pytest.approx([values.min(), values.max()], abs=0.005)
    expected = false_colors((values - values.min()) / (values.max() - values.min()))
    middles = ((np.arange(CELLS[4]) + 0.5) * 800 / CELLS[4]).astype(int)
    np.testing.assert_array_equal(shown.right[np.ix_(middles, middles)], expected)


# Anchors.


def test_the_anchors_of_all_levels_at_one_place_are_drawn_and_nothing_else(street_trace, image):
    journey = follow(street_trace, detection=1)
    shown = picture(street_trace, image, "anchors", journey)
    anchors, levels = street_trace.anchors.boxes, street_trace.anchors.levels
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    drawn = []
    for level in range(5):
        far = (centers - centers[journey.anchor.row]).norm(dim=1).masked_fill(levels != level, torch.inf)
        first = int(torch.where(far < far.min() + 1e-3)[0][0])  # of the nearest place's three
        boxes = SCALE * street_trace.anchors.boxes[first : first + 3].numpy()
        assert all(has_line(shown.left, box, level_color(level), image) for box in boxes)
        drawn += list(boxes)
    allowed = outlines(image.shape, drawn, tag=(30, 60))
    assert not (touched(shown.left, image) & ~allowed).any()
    assert (shown.left[outlines(image.shape, [journey.anchor.box], 2)] == FOLLOWED).all(axis=-1).mean() > 0.2


@pytest.mark.parametrize("level", [0, 2, 3])
def test_the_objectness_of_a_level_is_the_best_of_each_cell(street_trace, image, level):
    journey = follow(street_trace, anchor=len(street_trace.anchors.boxes) - 1)  # its level is another
    shown = picture(street_trace, image, "anchors", journey, level=level)
    cells = CELLS[level]
    own = street_trace.anchors.levels == level
    best = street_trace.anchors.objectness[own].reshape(cells, cells, 3).max(dim=-1).values
    heat = 1 / (1 + np.exp(-best.numpy()))
    for beside in (-0.3, 0, 0.3):  # cells from where the anchors' centres are
        places = ((np.arange(cells) + beside).clip(min=0) * 800 / cells + 1).astype(int)
        seen = shown.right[np.ix_(places, places)]
        grey = (image[np.ix_(places, places)] @ [0.299, 0.587, 0.114])[..., None]
        assert np.abs(seen - (0.4 * grey + 0.6 * false_colors(heat))).max() <= 3
    assert numbers(shown.caption)[0] == len(street_trace.anchors.boxes) == ANCHORS
    assert numbers(shown.caption)[1] == 3
    assert numbers(shown.caption)[-1] == pytest.approx(heat.max(), abs=0.0006)
    assert shown.titles[1] == f"Objectness on P{level + 2}"


def test_the_followed_anchor_is_drawn_on_its_own_levels_heat_only(street_trace, image):
    """The pink of the line is no colour of the heat."""
    journey = follow(street_trace, detection=1)
    assert journey.anchor.level == 4
    along = outlines(image.shape, [journey.anchor.box], 2)
    for level in range(5):
        right = picture(street_trace, image, "anchors", journey, level=level).right
        assert (right[along] == FOLLOWED).all(axis=-1).any() == (level == 4)


# Proposals.


@pytest.fixture(scope="module")
def strict(street_trace):
    """Knobs with which every outcome of a candidate occurs."""
    knobs = {"rpn_post_nms_top_n": 120, "rpn_min_size": 12.0, "rpn_score_threshold": 0.02}
    return street_trace.rerun(**knobs, box_score_threshold=0.02, box_detections_per_img=20)


def said_outcomes(caption):
    """Outcome -> how many, as a caption lists them."""
    listed = re.search(r": ((?:[\d,]+ [a-z ]+(?:, |\.))+) Drawn", caption)[1].rstrip(".").split(", ")
    return {
        outcome: int(count.replace(",", "")) for count, outcome in (entry.split(" ", 1) for entry in listed)
    }


def test_every_outcome_of_the_candidates_is_counted(strict, image):
    caption = picture(strict, image, "proposals").caption
    outcomes = strict.proposals.outcomes.tolist()
    assert said_outcomes(caption) == {name: outcomes.count(number) for number, name in enumerate(OUTCOMES)}
    assert numbers(caption)[0] == len(outcomes) == CANDIDATES
    assert numbers(caption)[-2:] == [15, 15]


def test_an_outcome_that_nothing_met_is_not_listed(street_trace, image):
    assert "too small" not in picture(street_trace, image, "proposals").caption


@pytest.mark.parametrize("shown", [1, 15, pytest.param(400, marks=pytest.mark.slow)])
def test_the_best_candidates_and_proposals_are_drawn_and_nothing_else(strict, image, shown):
    journey = follow(strict, detection=0)
    panels = picture(strict, image, "proposals", journey, shown=shown)
    best = strict.proposals.candidate_scores.argsort(descending=True, stable=True)[:shown]
    before = SCALE * strict.proposals.candidate_boxes[best].numpy()
    after = SCALE * strict.proposals.boxes[:shown].numpy()
    followed = [journey.proposal.box]
    for panel, boxes in ((panels.left, before), (panels.right, after)):
        assert not (touched(panel, image) & ~outlines(image.shape, [*boxes, *followed], CROSS)).any()
        assert has_line(panel, followed[0], FOLLOWED, image)
    outcomes = {int(outcome) for outcome in strict.proposals.outcomes[best]}
    assert [name for _, name in panels.legend] == [
        *(
            OUTCOMES[outcome] + (" (crossed)" if outcome else "")
            for outcome in OUTCOME_COLORS
            if outcome in outcomes
        ),
        "followed",
    ]
    if shown == 400:
        assert len(outcomes) > 3
        present = {tuple(color) for color in panels.left.reshape(-1, 3).tolist()}
        assert {OUTCOME_COLORS[outcome] for outcome in outcomes} < present
    np.testing.assert_allclose(np.concatenate([before, after]), panels.boxes, atol=1e-3)


def test_a_suppressed_candidate_is_drawn_with_its_rival(street_trace, image):
    run = street_trace.rerun(rpn_nms_threshold=0.3)
    best = run.proposals.candidates[run.proposals.outcomes == SUPPRESSED]
    journey = follow(run, anchor=int(best[0]))
    panels = picture(run, image, "proposals", journey, shown=1)
    assert has_line(panels.right, journey.proposal.verdict.rival.box, RIVAL, image)
    plain = picture(run, image, "proposals", follow(run, detection=0), shown=1)
    assert not (plain.right == RIVAL).all(axis=-1).any()


# Box scores.


def test_each_proposal_is_drawn_in_the_colour_of_its_level(street_trace, image):
    journey = follow(street_trace, detection=0)
    panels = picture(street_trace, image, "box_scores", journey, shown=PROPOSALS)
    boxes = street_trace.proposals.boxes.numpy()
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    levels = np.clip(np.floor(4 + np.log2(sides / 224)), 2, 5).astype(int) - 2
    used = sorted(set(levels.tolist()))
    assert len(used) == 3
    entries = [(level_color(level), f"read from P{level + 2}") for level in used]
    assert list(panels.legend) == [*entries, (FOLLOWED, "followed")]
    allowed = outlines(image.shape, [*(SCALE * boxes), journey.proposal.box])
    assert not (touched(panels.left, image) & ~allowed).any()
    one = picture(street_trace, image, "box_scores", journey, shown=1)
    assert has_line(one.left, SCALE * boxes[0], level_color(int(levels[0])), image)
    np.testing.assert_allclose(panels.boxes, SCALE * boxes, atol=1e-3)
    assert numbers(panels.caption)[:2] == [PROPOSALS, 5]


def test_the_best_categories_of_the_followed_proposal_are_drawn_where_they_move_it(strict, image):
    scores = strict.box_scores.scores[:, 1:]
    torn = int(scores.sort(dim=1, descending=True).values[:, 2].argmax())  # three categories are likely
    journey = follow(strict, anchor=int(strict.proposals.anchors[torn]))
    panels = picture(strict, image, "box_scores", journey)
    likely = sorted(range(1, 5), key=lambda label: -scores[torn, label - 1])[:3]
    assert scores[torn, likely[2] - 1] >= 0.01
    moved = [SCALE * strict.box_scores.boxes[torn, label].numpy() for label in likely]
    for box in moved:
        assert has_line(panels.right, box, FOLLOWED, image)
    allowed = outlines(image.shape, [*moved, journey.proposal.box], tag=(30, 200))
    assert not (touched(panels.right, image) & ~allowed).any()


def test_a_box_that_never_came_to_the_box_head_leaves_the_right_picture_plain(street_trace, image):
    dropped = int(street_trace.proposals.candidates[street_trace.proposals.outcomes == SUPPRESSED][0])
    shown = picture(street_trace, image, "box_scores", follow(street_trace, anchor=dropped))
    np.testing.assert_array_equal(shown.right, image)


# Detections.


def test_every_outcome_of_the_pairs_is_counted(strict, image):
    caption = picture(strict, image, "detections", score_threshold=0.1).caption
    outcomes = strict.detections.outcomes.tolist()
    counts = {name: outcomes.count(number) for number, name in enumerate(OUTCOMES)}
    assert said_outcomes(caption) == {name: count for name, count in counts.items() if count}
    assert numbers(caption)[:3] == [480, 120, 4]
    scores = strict.box_scores.scores[:, 1:].reshape(-1)
    kept = int((strict.prediction.scores >= 0.1).sum())
    assert numbers(caption)[-3:] == [min(15, int((scores >= 0.1).sum())), 0.1, min(15, kept)]


@pytest.mark.slow
def test_every_tag_of_a_detection_can_be_read_whole(street_trace, image):
    panels = picture(
        street_trace, image, "detections", follow(street_trace, detection=0), score_threshold=0.05
    )
    found = street_trace.prediction
    size = max(12, round(max(image.shape) / 45))
    for row in range(TAGGED):
        text = f"#{row + 1} {found.categories[found.labels[row]]} {found.scores[row]:.2f}"
        apart = cv2.matchTemplate(panels.right, text_tag(text, size, OUTCOME_COLORS[KEPT]), cv2.TM_SQDIFF)
        assert apart.min() < 1000, text  # a pixel that differs is 65,025


def test_each_detection_is_drawn_and_the_proposal_of_the_followed_one_and_nothing_else(strict, image):
    journey = follow(strict, detection=0)
    panels = picture(strict, image, "detections", journey, shown=3)
    found = strict.prediction
    assert found.scores[2] >= 0.5
    proposals = SCALE * strict.proposals.boxes[strict.detections.proposals[:1]].numpy()
    drawn = [*found.boxes[:3], *proposals]
    assert not (touched(panels.right, image) & ~outlines(image.shape, drawn, tag=(30, 200))).any()
    for box in found.boxes[1:3]:
        assert has_line(panels.right, box, OUTCOME_COLORS[KEPT], image)
    assert has_line(panels.right, found.boxes[0], FOLLOWED, image)
    assert touched(panels.right, image)[outlines(image.shape, proposals, 1)].mean() > 0.4


def test_a_detection_below_the_score_threshold_is_not_drawn(strict, image):
    found = strict.prediction
    threshold = float(found.scores[4])
    panels = picture(strict, image, "detections", shown=400, score_threshold=threshold)
    kept = found.boxes[found.scores >= threshold]
    np.testing.assert_array_equal(panels.boxes[: len(kept)], kept)
    assert 0 < len(kept) < len(found)
    assert (strict.box_scores.scores[:, 1:] >= threshold).sum() == len(panels.boxes) - len(kept)


def test_the_best_refined_boxes_above_the_score_floor_are_drawn_left(strict, image):
    panels = picture(strict, image, "detections", shown=10, score_threshold=0.0)
    scores = strict.box_scores.scores[:, 1:].reshape(-1)
    best = scores.argsort(descending=True, stable=True)[:10]
    refined = SCALE * strict.box_scores.boxes[:, 1:].reshape(-1, 4)[best].numpy()
    assert not (touched(panels.left, image) & ~outlines(image.shape, refined, CROSS)).any()
    np.testing.assert_allclose(panels.boxes[10:], refined, atol=1e-3)
    np.testing.assert_array_equal(panels.boxes[:10], strict.prediction.boxes[:10])
    many = picture(strict, image, "detections", shown=1000, score_threshold=0.0)
    above = int((scores > 0.02).sum())
    assert above < len(scores) and len(many.boxes) == above + len(strict.prediction)


def test_a_detection_that_was_suppressed_is_drawn_with_its_rival(street_trace, image):
    anchor, label = lost(street_trace)[0]
    journey = follow(street_trace, anchor=anchor, label=label)
    panels = picture(street_trace, image, "detections", journey)
    assert has_line(panels.right, journey.detection.verdict.rival.box, RIVAL, image)
    assert has_line(panels.right, journey.detection.box, FOLLOWED, image)
    assert not (picture(street_trace, image, "detections").right == RIVAL).all(axis=-1).any()


# Masks.


@pytest.mark.parametrize(("score", "mask"), [(0.5, 0.5), (0.2, 0.8), (1.0, 0.5)])
def test_the_pasted_masks_are_those_of_select(street_trace, image, score, mask):
    shown = picture(street_trace, image, "masks", score_threshold=score, mask_threshold=mask)
    kept = street_trace.prediction.select(score_threshold=score, mask_threshold=mask)
    expected = draw_instances(image, kept, 0.5, outline=True, labels=False)
    rows = zip(kept.indices, kept.names, kept.scores, strict=True)  # as on the left: rows of the tensors
    tags = [f"#{row + 1} {name} {score:.2f}" for row, name, score in rows]
    draw_tags(expected, kept, tags, instance_colors(kept))
    np.testing.assert_array_equal(shown.right, expected)
    assert numbers(shown.caption) == [len(street_trace.prediction), 28, 28, mask, len(kept), score]


def test_the_followed_mask_is_enlarged_and_its_line_moves_with_the_threshold(street_trace):
    image = np.zeros((800, 800, 3), np.uint8)  # nothing white but the line
    journey = follow(street_trace, detection=3)
    low, high = (picture(street_trace, image, "masks", journey, mask_threshold=t) for t in (0.2, 0.9))
    assert low.titles[0] == "The mask of #4 in its box"
    inside = []
    for shown in (low, high):
        line = np.ascontiguousarray((shown.left == 255).all(axis=-1), np.uint8)
        outer, _ = cv2.findContours(line, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        inside.append(sum(cv2.contourArea(contour) for contour in outer))
    assert inside[0] > inside[1] > 1000
    # Of the box's proportions, in the middle, at nine tenths of the picture's height or width.
    left, top, right, bottom = journey.detection.box
    share = 0.9 * min(1, (right - left) / (bottom - top)), 0.9 * min(1, (bottom - top) / (right - left))
    probs = street_trace.masks.probs[3].numpy()
    assert inside[0] / (800**2 * share[0] * share[1]) == pytest.approx((probs > 0.2).mean(), abs=0.06)


def test_a_box_without_a_mask_leaves_the_photograph_as_it_is(street_trace, image):
    anchor, label = lost(street_trace)[0]
    shown = picture(street_trace, image, "masks", follow(street_trace, anchor=anchor, label=label))
    np.testing.assert_array_equal(shown.left, image)
    assert shown.titles[0] == "No mask: this box was dropped"


# All stages.


@pytest.mark.parametrize("stage", ["proposals", "box_scores", "detections", "masks"])
def test_the_name_of_a_box_leads_follow_to_the_box_that_is_drawn(strict, image, stage):
    shown = picture(strict, image, stage, shown=40)
    assert len(shown.boxes) == len(shown.names) > 15
    for box, (anchor, label) in zip(shown.boxes, shown.names, strict=True):
        journey = follow(strict, anchor=anchor, label=label or None)
        step = journey.detection if stage in ("detections", "masks") else journey.proposal
        np.testing.assert_allclose(step.box, box, atol=1e-3)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_leaves_its_arguments_unchanged_and_gives_two_panels_of_the_pictures_size(
    street_trace, image, stage
):
    kept, tensors = image.copy(), street_trace.proposals.candidate_boxes.clone()
    shown = picture(street_trace, image, stage)
    np.testing.assert_array_equal(image, kept)
    assert torch.equal(street_trace.proposals.candidate_boxes, tensors)
    for panel in (shown.left, shown.right):
        assert (panel.shape, panel.dtype) == (image.shape, np.uint8)
    assert (shown.left != shown.right).any() and len(shown.titles) == 2


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("knobs", "proposals"), [({}, PROPOSALS), ({"rpn_score_threshold": 1.0}, 0), ({"rpn_min_size": 999.0}, 0)]
)
def test_a_stage_is_shown_where_nothing_was_detected(nothing_trace, nothing, stage, knobs, proposals):
    run = nothing_trace.rerun(**knobs)
    assert (len(run.proposals.boxes), len(run.prediction)) == (proposals, 0)
    journey = follow(run, anchor=int(run.anchors.objectness.argmax()))
    shown = picture(run, nothing[1], stage, journey)
    assert shown.left.shape == shown.right.shape == nothing[1].shape
    assert len(shown.boxes) == len(shown.names)
    if stage == "masks":
        np.testing.assert_array_equal(shown.right, nothing[1])


@pytest.mark.parametrize(
    ("stage", "view", "message"),
    [
        ("paste", {}, "stage must be one of normalised, features, anchors, .*, masks, got 'paste'"),
        ("", {}, "stage must be one of"),
        ("features", {"level": 5}, "level must be 0 to 4, got 5"),
        ("features", {"level": -1}, "level must be 0 to 4, got -1"),
        ("detections", {"level": 5}, "level must be 0 to 4, got 5"),
        ("features", {"channel": 96}, "channel must be 0 to 95, got 96"),
        ("features", {"channel": -1}, "channel must be 0 to 95, got -1"),
        ("masks", {"score_threshold": 1.5}, r"score_threshold must be in \[0, 1\], got 1.5"),
    ],
)
def test_what_does_not_exist_is_not_shown(street_trace, image, stage, view, message):
    with pytest.raises(ValueError, match=message):
        picture(street_trace, image, stage, **view)


def test_the_colours_of_outcomes_levels_and_the_followed_box_are_all_different():
    colors = [*OUTCOME_COLORS.values(), FOLLOWED, RIVAL]
    assert len(set(colors)) == len(colors) == len(OUTCOMES) + 2
    assert len({level_color(level) for level in range(6)}) == 6
    plain = np.zeros((50, 50, 3), np.uint8)
    assert (draw_boxes(plain, np.array([[9, 9, 40, 40]]), [level_color(0)]) == level_color(0)).all(-1).any()


def test_features_become_pictures_on_one_scale():
    weak, strong = np.zeros((2, 3, 4), np.float32), np.full((2, 3, 4), -2.0, np.float32)
    weak[0, 1, 2] = 2  # one channel of two: half as strong as both
    pictures = feature_pictures(weak, strong)
    assert [p.shape for p in pictures] == [(3, 4, 3)] * 2
    np.testing.assert_array_equal(pictures[0][1, 2], false_colors(np.array([[0.5]]))[0, 0])
    np.testing.assert_array_equal(pictures[0][0, 0], false_colors(np.array([[0.0]]))[0, 0])
    assert (pictures[1] == false_colors(np.array([[1.0]]))).all()
    assert (feature_pictures(np.zeros((1, 2, 2), np.float32))[0] == false_colors(np.zeros((1, 1)))).all()
