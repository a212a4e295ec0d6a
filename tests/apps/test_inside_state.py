"""The stage explorer's state, without a widget: what runs again, what is followed, and what is refused."""

import shutil
import threading
from collections import OrderedDict

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from maskseg_nb import ImageError, load_model, predict, preprocess, sample_photo
from maskseg_nb.apps.inside.state import InsideState
from maskseg_nb.apps.picture_sources import PictureSources
from maskseg_nb.drawing.film_strip import film
from maskseg_nb.drawing.panels import View
from maskseg_nb.drawing.stage_pictures import stage_picture
from maskseg_nb.mask_rcnn.follow import anchor_at, cell_of, follow
from maskseg_nb.mask_rcnn.trace import STAGES, trace
from street_levels import ANCHORS, CANDIDATES, CELLS, PER_LEVEL, PROPOSALS, SIDE

PARTS = ("backbone", "rpn.head", "roi_heads.box_head", "roi_heads.mask_head")
OWN = {
    "rpn_pre_nms_top_n": PER_LEVEL,
    "rpn_post_nms_top_n": PROPOSALS,
    "rpn_nms_threshold": 0.7,
    "rpn_score_threshold": 0.0,
    "rpn_min_size": 0.001,
    "box_score_threshold": 0.05,
    "box_nms_threshold": 0.5,
    "box_detections_per_img": 50,
}


@pytest.fixture
def state(tmp_path, street, street_trace, monkeypatch):
    """A state that has been brought up to date once; `state.calls` are the parts that ran since then."""
    shutil.copy(sample_photo("restaurant"), tmp_path / "a.jpg")
    cv2.imwrite(str(tmp_path / "small.png"), np.full((40, 60, 3), 90, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no more")
    state = InsideState(PictureSources(tmp_path), street)
    state.input_size = "800 x 800, as documented"
    with monkeypatch.context() as patch:  # its first run is shared with other tests
        patch.setattr("maskseg_nb.apps.inside.state.trace", lambda model, tensor: street_trace)
        state.update()
    state.calls = []
    hooks = [
        street.get_submodule(part).register_forward_hook(lambda *_, part=part: state.calls.append(part))
        for part in PARTS
    ]
    yield state
    for hook in hooks:
        hook.remove()


def shown(state):
    """The pixels of everything on screen, as bytes."""
    pictures = [state.pair.left, state.pair.right, *(frame.picture for frame in state.frames)]
    return b"".join(picture.tobytes() for picture in pictures)


def changed(state, **settings):
    """Set, update, and return whether anything on screen changed; every update redraws it all."""
    before = shown(state)
    for name, value in settings.items():
        setattr(state, name, value)
    state.update()
    return shown(state) != before


# What runs again.


@pytest.mark.parametrize(
    ("knob", "value", "parts"),
    [
        ("rpn_nms_threshold", 0.2, PARTS[2:]),
        ("box_nms_threshold", 0.1, PARTS[3:]),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("rpn_pre_nms_top_n", 40, PARTS[2:]),
                ("rpn_post_nms_top_n", 30, PARTS[2:]),
                ("rpn_score_threshold", 0.5, PARTS[2:]),
                ("rpn_min_size", 60.0, PARTS[2:]),
                ("box_score_threshold", 0.6, PARTS[3:]),
                ("box_detections_per_img", 3, PARTS[3:]),
            )
        ),
    ],
)
def test_a_knob_runs_only_what_depends_on_it(state, knob, value, parts):
    before = state.trace
    state.stage = "proposals" if knob.startswith("rpn") else "detections"
    assert changed(state, knobs={knob: value})
    assert tuple(state.calls) == parts
    behind = list(STAGES)[list(STAGES).index(state.stage) :]
    assert state.trace.rerun_stages == tuple(behind)
    for stage in STAGES:
        assert (getattr(state.trace, stage) is getattr(before, stage)) == (stage not in behind)
    fresh = trace(state.model, preprocess(sample_photo("restaurant"))[0], **{knob: value})
    np.testing.assert_array_equal(state.trace.prediction.boxes, fresh.prediction.boxes)
    np.testing.assert_array_equal(state.trace.prediction.mask_probs, fresh.prediction.mask_probs)
    assert state.knob_values == {**OWN, knob: value}


@pytest.mark.parametrize(
    ("stage", "setting", "value"),
    [
        *(("box_scores", "stage", stage) for stage in STAGES if stage != "box_scores"),
        ("features", "level", 4),
        ("anchors", "level", 1),
        ("features", "channel", 5),
        ("proposals", "shown", 40),
        ("detections", "shown", 3),
        ("masks", "score_threshold", 0.99),
        ("masks", "mask_threshold", 0.9),
        ("detections", "followed", (30_000, 0)),
    ],
)
def test_changing_the_view_runs_no_part_of_the_network(state, stage, setting, value):
    state.stage = stage
    state.update()
    before = state.trace
    assert changed(state, **{setting: value})
    assert state.calls == [] and state.trace is before


def test_a_knob_set_to_what_it_is_runs_nothing(state):
    before = state.trace
    assert not changed(state, knobs=dict(OWN))
    assert state.calls == [] and state.trace is before


@pytest.mark.parametrize(("setting", "value"), [("picture", "small.png"), ("input_size", "proportions kept")])
def test_a_choice_runs_every_part_once(state, setting, value):
    assert changed(state, **{setting: value})
    state.update()
    assert tuple(state.calls) == PARTS
    assert state.trace.rerun_stages == tuple(STAGES)


def test_what_is_shown_is_what_the_functions_give_for_the_settings(state):
    state.stage, state.knobs, state.shown = "detections", {"box_nms_threshold": 0.3}, 7
    state.mask_threshold = 0.7
    state.update()
    tensor, image = preprocess(sample_photo("restaurant"))
    run = trace(state.model, tensor, box_nms_threshold=0.3)
    journey = follow(run, detection=0)
    pair = stage_picture(run, image, "detections", journey, View(shown=7, mask_threshold=0.7))
    np.testing.assert_array_equal(state.image, image)
    np.testing.assert_array_equal(state.pair.left, pair.left)
    np.testing.assert_array_equal(state.pair.right, pair.right)
    assert (state.pair.caption, state.pair.names) == (pair.caption, pair.names)
    for frame, expected in zip(state.frames, film(image, journey, 0.7), strict=True):
        np.testing.assert_array_equal(frame.picture, expected.picture)
        assert frame.lines == expected.lines
    assert str(state.journey) == str(journey)


def test_reset_sets_every_knob_back_and_keeps_stage_picture_and_followed_box(state):
    state.stage, state.followed = "proposals", (30_000, 0)
    state.update()
    before, run = shown(state), state.trace.prediction
    state.knobs = {"rpn_nms_threshold": 0.3, "box_nms_threshold": 0.3}
    state.level, state.channel, state.shown = 0, 3, 50
    state.score_threshold = state.mask_threshold = 0.9
    state.update()
    assert shown(state) != before
    state.reset()
    state.update()
    assert (state.stage, state.followed, state.knobs) == ("proposals", (30_000, 0), {})
    assert state.view == View() and shown(state) == before
    np.testing.assert_array_equal(state.trace.prediction.boxes, run.boxes)
    assert "backbone" not in state.calls


def test_knobs_stay_when_the_picture_changes(state):
    state.knobs = {"box_detections_per_img": 4, "rpn_post_nms_top_n": 60}
    state.picture = "astronaut (sample)"
    state.update()
    assert state.knobs == {"box_detections_per_img": 4, "rpn_post_nms_top_n": 60}
    assert len(state.trace.prediction) == 4 and len(state.trace.proposals.boxes) == 60
    assert state.trace.rerun_stages == tuple(STAGES)


def test_a_knob_is_named_where_it_is_not_the_models_own(state):
    assert state.own_knobs == state.knob_values == OWN
    state.knobs = state.with_knob("box_nms_threshold", 0.3)
    assert state.knobs == {"box_nms_threshold": 0.3}
    state.knobs = state.with_knob("rpn_min_size", 5.0)
    assert state.knobs == {"box_nms_threshold": 0.3, "rpn_min_size": 5.0}
    state.knobs = state.with_knob("box_nms_threshold", 0.5)
    assert state.knobs == {"rpn_min_size": 5.0}
    assert state.knob_values == {**OWN, "rpn_min_size": 5.0}


# What is followed.


def test_without_a_choice_the_best_detection_is_followed_whatever_the_knobs(state):
    for knobs in ({}, {"box_score_threshold": 0.97}, {"rpn_nms_threshold": 0.2}):
        state.knobs = knobs
        state.update()
        assert state.journey.detection.verdict.row == 0
        assert state.following == (state.journey.anchor.row, state.trace.detections.labels[0])


def test_a_followed_box_is_kept_over_a_knob_and_tells_what_becomes_of_it(state):
    anchor, label = list(state.offered().values())[2]  # the third detection
    state.followed = anchor, label
    state.update()
    assert state.journey.detection.verdict.row == 2
    ends = []
    for knobs in (
        {"box_detections_per_img": 1},
        {"box_score_threshold": 0.999},
        {"rpn_post_nms_top_n": 1},
        {},
    ):
        state.knobs = knobs
        state.update()
        assert state.followed == (anchor, label) and state.journey.anchor.row == anchor
        ends.append(state.journey.verdict.reason.split(" of ")[0].split(":")[0])
    assert ends == ["over the limit", "score too low", "over the limit", "kept"]


@pytest.mark.parametrize(
    ("choice", "value"),
    [("picture", "small.png"), ("input_size", "proportions kept"), ("model_name", "coco")],
)
def test_a_followed_box_is_forgotten_where_there_are_other_anchors(state, choice, value):
    state.runner.load_model = lambda name: load_model("street")
    state.followed = (30_000, 1)
    state.update()
    setattr(state, choice, value)
    state.update()
    assert state.followed == ()
    assert state.journey.anchor.row != 30_000


def test_where_nothing_is_found_the_best_proposal_is_followed_and_without_one_the_best_anchor(state):
    state.picture = "small.png"
    state.update()
    assert len(state.trace.prediction) == 0
    assert state.journey.proposal.verdict.row == 0
    state.knobs = {"rpn_min_size": 900.0}
    state.update()
    assert len(state.trace.proposals.boxes) == 0
    assert state.journey.anchor.row == state.trace.anchors.objectness.argmax()
    assert state.journey.verdict.reason.startswith("too small") and state.following[1] == 0


def test_every_stage_is_shown_where_nothing_is_found(state):
    state.picture, state.knobs = "small.png", {"rpn_score_threshold": 1.0}
    for stage in STAGES:
        state.stage = stage
        state.update()
        assert state.pair.left.shape == state.pair.right.shape == (800, 800, 3)
    assert set(state.offered().values()) == set()


@pytest.mark.parametrize("stage", ["normalised", "features", "anchors"])
@pytest.mark.parametrize("level", [0, 2, 3])
def test_a_place_before_the_proposals_is_the_best_of_the_nearest_anchors(state, stage, level):
    state.stage, state.level = stage, level
    state.update()
    stride = (4, 8, 16, 32)[level] * 800 / SIDE
    for x, y in ((0, 0), (333.3, 611.1), (799.9, 799.9), (9 * stride + 0.1, 3 * stride - 0.1)):
        state.follow_at(x, y)
        anchor, label = state.followed
        at, row, column, which = cell_of(state.trace, anchor)
        last = CELLS[level] - 1
        nearest = [min(int(place / stride + 0.5), last) for place in (y, x)]
        assert (at, [row, column], label) == (level, nearest, 0)
        objectness = [
            state.trace.anchors.objectness[anchor_at(state.trace, at, row, column, n)] for n in range(3)
        ]
        assert which == int(np.argmax(objectness))
        state.update()
        assert state.journey.anchor.row == anchor


@pytest.mark.parametrize("stage", ["proposals", "box_scores", "detections", "masks"])
def test_a_place_beside_the_boxes_of_a_later_stage_names_none(state, stage):
    """Inside one the browser names it by its number."""
    state.stage = stage
    state.update()
    before = state.followed
    with pytest.raises(ValueError, match="no box is drawn there; click inside one"):
        state.follow_at(799, 1)
    assert state.followed == before


def test_a_place_without_any_box_on_the_stage_is_refused(state):
    state.picture = "small.png"
    state.stage = "masks"
    state.update()
    with pytest.raises(ValueError, match="no box is drawn there"):
        state.follow_at(400, 400)


def test_a_place_of_a_picture_with_its_proportions_kept_is_found(state):
    state.input_size, state.stage, state.level = "proportions kept", "anchors", 1
    state.update()
    rows, columns = state.image.shape[:2]
    height, width = state.trace.normalised.size
    assert rows != columns
    state.follow_at(columns * 0.75, rows * 0.25)
    _, row, column, _ = cell_of(state.trace, state.followed[0])
    assert (row, column) == (int(height * 0.25 / 8 + 0.5), int(width * 0.75 / 8 + 0.5))


def test_all_detections_are_offered_and_then_the_best_of_the_lost(state):
    offered, found = list(state.offered(12).items()), state.trace.prediction
    assert len(offered) == len(found) + 12
    for row, (name, (anchor, label)) in enumerate(offered[: len(found)]):
        assert name == f"#{row + 1} {found.categories[found.labels[row]]} {found.scores[row]:.2f}"
        assert follow(state.trace, anchor=anchor, label=label).detection.verdict.row == row
    scores = []
    for name, (anchor, label) in offered[len(found) :]:
        journey = follow(state.trace, anchor=anchor, label=label)
        score = journey.detection.scores[label]
        assert journey.detection.verdict.row is None and label == 1 + journey.detection.scores[1:].argmax()
        assert (
            name
            == f"lost: {found.categories[label]} {score:.2f} (proposal #{journey.proposal.verdict.row + 1})"
        )
        scores.append(score)
    assert scores == sorted(scores, reverse=True)


def test_the_counts_are_those_of_the_stages(state):
    state.knobs = {"rpn_post_nms_top_n": 77, "box_detections_per_img": 5}
    state.update()
    assert state.counts() == {
        "normalised": f"{SIDE} x {SIDE}",
        "features": "P2 to P6",
        "anchors": f"{ANCHORS:,} anchors",
        "proposals": f"{CANDIDATES:,} to 77",
        "box_scores": "77 x 5",
        "detections": f"{77 * 4} to 5",
        "masks": "5 of 28 x 28",
    }


# A model with a single feature map.


class OneMap(torch.nn.Sequential):
    out_channels = 8


@pytest.fixture(scope="module")
def one_map():
    torch.manual_seed(0)
    model = MaskRCNN(
        OneMap(torch.nn.Conv2d(3, 8, 16, 16)),
        num_classes=3,
        min_size=160,
        rpn_anchor_generator=AnchorGenerator(((32, 64),), ((1.0,),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2),
        mask_roi_pool=MultiScaleRoIAlign(["0"], 14, 2),
    ).eval()
    assert isinstance(model.backbone(torch.zeros(1, 3, 32, 32)), torch.Tensor)
    return model


@pytest.mark.slow
def test_a_model_with_one_map_is_shown_at_its_nearest_level_and_channel(state, one_map):
    state.runner.load_model = lambda name: one_map
    state.level, state.channel = 4, 90
    state.model_name = "coco"
    for stage in STAGES:
        state.stage = stage
        state.update()
    assert (state.view.level, state.view.channel) == (0, None)
    assert state.counts()["features"] == "P4 to P4"
    assert state.trace.prediction.categories == ("__background__", "1", "2")
    np.testing.assert_array_equal(
        state.trace.prediction.boxes, predict(one_map, preprocess(sample_photo("restaurant"))[0]).boxes
    )
    state.model_name = "street"
    state.update()
    assert (state.view.level, state.view.channel) == (4, 90)


@pytest.mark.slow
def test_knobs_are_asked_of_the_model_behind_the_picture(state, one_map):
    state.runner.load_model = lambda name: one_map
    state.model_name = "coco"
    state.update()
    assert state.own_knobs["rpn_pre_nms_top_n"] == 1000
    assert state.with_knob("rpn_pre_nms_top_n", 400) == {"rpn_pre_nms_top_n": 400}


@pytest.mark.slow
def test_a_backbone_with_two_maps_has_two_levels(one_map):
    class TwoMaps(torch.nn.Module):
        out_channels = 8

        def __init__(self):
            super().__init__()
            self.fine = torch.nn.Conv2d(3, 8, 8, 8)

        def forward(self, x):
            fine = self.fine(x)
            return OrderedDict([("0", fine), ("pool", fine[..., ::2, ::2])])

    torch.manual_seed(0)
    model = MaskRCNN(
        TwoMaps(),
        num_classes=3,
        min_size=160,
        rpn_anchor_generator=AnchorGenerator(((32,), (64,)), ((1.0,),) * 2),
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2),
        mask_roi_pool=MultiScaleRoIAlign(["pool"], 14, 2),
        box_score_thresh=0.0,
    ).eval()
    run = trace(model, preprocess(sample_photo("restaurant"))[0])
    journey = follow(run, detection=0)
    assert run.features.names == ("P3", "P4")
    assert (journey.detection.level_name, journey.mask.level_name) == ("P3", "P4")


# What is refused.


@pytest.mark.parametrize(
    ("setting", "value", "error", "message"),
    [
        ("knobs", {"box_nms_threshold": 1.5}, ValueError, r"box_nms_threshold must be a number in \[0, 1\]"),
        ("knobs", {"box_nms_threshold": float("nan")}, ValueError, "box_nms_threshold must be a number"),
        ("knobs", {"box_nms_threshold": "0.5"}, ValueError, "box_nms_threshold must be .* got '0.5'"),
        ("knobs", {"rpn_pre_nms_top_n": 0}, ValueError, "rpn_pre_nms_top_n must be a whole number"),
        ("knobs", {"rpn_pre_nms_top_n": 10.0}, ValueError, "rpn_pre_nms_top_n must be a whole number"),
        ("knobs", {"rpn_pre_nms_top_n": True}, ValueError, "rpn_pre_nms_top_n must be a whole number"),
        ("knobs", {"box_nms": 0.5}, TypeError, "box_nms"),
        ("knobs", [0.5], TypeError, "knobs must be a dict, got"),
        ("stage", "paste", ValueError, "stage must be any of .*, got 'paste'"),
        ("level", 5, ValueError, "level must be 0 to 4"),
        ("level", -1, ValueError, "level must be 0 to 4"),
        ("channel", 96, ValueError, "channel must be 0 to 95, or -1 for the strongest"),
        ("channel", -2, ValueError, "channel must be 0 to 95"),
        ("shown", 0, ValueError, "shown must be 1 to 1000, got 0"),
        ("shown", 1001, ValueError, "shown must be 1 to 1000, got 1001"),
        ("shown", 2.5, TypeError, "shown must be an int, got 2.5"),
        ("score_threshold", 1.01, ValueError, r"score_threshold must be in \[0, 1\], got 1.01"),
        ("mask_threshold", float("nan"), ValueError, "mask_threshold must be"),
        ("mask_threshold", None, TypeError, "mask_threshold must be"),
        ("followed", (ANCHORS, 1), ValueError, f"there is no anchor {ANCHORS}: they are 0 to {ANCHORS - 1}"),
        ("followed", (-1, 0), ValueError, "there is no anchor -1"),
        ("followed", (5, 5), ValueError, "label must be 1 to 4, got 5"),
        ("followed", (5.0, 1), TypeError, "anchor must be a whole number, got float"),
        ("followed", ("5", 1), TypeError, "anchor must be a whole number, got str"),
        ("followed", (5,), ValueError, r"followed must be \(anchor, label\) or \(\), got \(5,\)"),
        ("input_size", "1 x 1", ValueError, "input_size must be any of"),
    ],
)
def test_a_wrong_setting_is_refused_and_the_old_one_stays(state, setting, value, error, message):
    state.knobs, state.followed = {"box_nms_threshold": 0.4}, (30_000, 1)
    state.update()
    before, on_screen = getattr(state, setting), shown(state)
    with pytest.raises(error, match=message):
        setattr(state, setting, value)
    assert getattr(state, setting) == before
    state.update()
    assert shown(state) == on_screen


@pytest.mark.parametrize("wrong", ["broken.png", "no such picture"])
def test_a_picture_that_cannot_be_read_leaves_everything_as_it_was(state, wrong):
    state.knobs = {"box_nms_threshold": 0.3}
    state.update()
    run, on_screen = state.trace, shown(state)
    state.picture = wrong
    with pytest.raises(ImageError):
        state.update()
    assert (state.picture, state.knobs) == ("a.jpg", {"box_nms_threshold": 0.3})
    state.update()
    assert state.trace is run and shown(state) == on_screen


@pytest.mark.slow
def test_a_knob_moved_while_the_network_is_busy_counts_for_the_new_picture(state):
    busy, go_on = threading.Event(), threading.Event()

    def wait(*_):
        busy.set()
        assert go_on.wait(300)

    hook = state.model.backbone.register_forward_pre_hook(wait)
    state.picture = "astronaut (sample)"
    first = threading.Thread(target=state.update)
    first.start()
    assert busy.wait(300)
    state.knobs = {"box_detections_per_img": 2}
    second = threading.Thread(target=state.update)
    second.start()
    hook.remove()
    go_on.set()
    for thread in (first, second):
        thread.join(300)
        assert not thread.is_alive()
    assert state.calls.count("backbone") == 1
    expected, _ = preprocess(sample_photo("astronaut"))
    run = trace(state.model, expected, box_detections_per_img=2)
    np.testing.assert_array_equal(state.trace.prediction.boxes, run.prediction.boxes)
    assert len(state.trace.prediction) == 2
