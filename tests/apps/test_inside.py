"""The stage explorer as its users drive it: knobs, stages, clicks, errors, threads, hostile names."""

import base64
import html
import inspect
import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.detection import MaskRCNN, fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn

from maskseg_nb import ImageError, Inside, load_model, sample_photo
from maskseg_nb.apps.inside.controls import ROWS
from maskseg_nb.drawing.figures import figure_png
from maskseg_nb.drawing.film_strip import FRAMES
from maskseg_nb.mask_rcnn.follow import cell_of, follow
from maskseg_nb.mask_rcnn.knobs import Knobs
from maskseg_nb.mask_rcnn.outcomes import SUPPRESSED
from maskseg_nb.mask_rcnn.trace import STAGES
from street_levels import ANCHORS, CELLS, PER_LEVEL, PROPOSALS

BEHIND_BOX = "Detections, Masks"
BEHIND_RPN = "Proposals, Box scores, Detections, Masks"


@pytest.fixture(scope="module")
def opened(tmp_path_factory, street, street_trace):
    """The app for the restaurant; its first run is the one that other tests have, too."""
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copy(sample_photo("restaurant"), folder / "a.jpg")
    (folder / "broken.png").write_bytes(b"\x89PNG no more")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskseg_nb.apps.inside.state.trace", lambda model, tensor: street_trace)
        return Inside(folder, street, settings='{"input_size": "800 x 800, as documented"}')


@pytest.fixture
def app(opened):
    """One app for all, set back to how it was opened."""
    state = opened.state
    with state.hold_trait_notifications():  # what is shown is drawn once
        state.reset()
        state.picture, state.stage, state.followed = "a.jpg", "detections", ()
    opened.render()
    return opened


def sent(app):
    """Both panels as the browser decodes them, RGB."""
    return np.hstack([decoded(app.canvas.left), decoded(app.canvas.right)])


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def sent_film(app):
    """The film strip's pictures as the browser decodes them, RGB."""
    pictures = re.findall(
        r'src="data:image/jpeg;base64,([^"]*)" alt="(\w[\w ]*) of the followed box"', app.way.value
    )
    assert [name for _, name in pictures] == list(FRAMES)
    return np.hstack([decoded(base64.b64decode(data)) for data, _ in pictures])


def message(widget, content):
    """What the front end sends: a custom message, where the kernel takes it in."""
    widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


def click(app, panel, x, y):
    """What the browser does at a click: it selects the smallest box there, or tells the place."""
    items = (
        [item for item in app.canvas.items if inside(item["box"], x, y)] if app.canvas.mapped[panel] else []
    )
    rows, columns = app.image.shape[:2]
    if items:
        app.canvas.selected = min(items, key=lambda item: area(item["box"]))["id"]
    elif app.canvas.clickable:
        message(app.canvas, {"panel": panel, "x": x / columns, "y": y / rows})
    else:
        app.canvas.selected = 0


def inside(box, x, y):
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def text_of(widget):
    """What an HTML widget shows, without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", " ", widget.value))


def tree(widget):
    """A widget and all below it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from tree(child)


# Knobs.


@pytest.mark.parametrize(
    ("knob", "value", "ran"),
    [
        ("box_detections_per_img", 3, BEHIND_BOX),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("rpn_pre_nms_top_n", 40, BEHIND_RPN),
                ("rpn_post_nms_top_n", 30, BEHIND_RPN),
                ("rpn_nms_threshold", 0.3, BEHIND_RPN),
                ("rpn_score_threshold", 0.9, BEHIND_RPN),
                ("rpn_min_size", 60.0, BEHIND_RPN),
                ("box_score_threshold", 0.6, BEHIND_BOX),
                ("box_nms_threshold", 0.2, BEHIND_BOX),
            )
        ),
    ],
)
def test_a_knobs_control_moves_state_twin_and_picture_and_the_strip_says_what_ran(app, knob, value, ran):
    app.controls.strip["proposals" if knob.startswith("rpn") else "detections"].value = True
    app.state.shown = PROPOSALS
    before, status = sent(app), app.status.value
    slider, twin = app.binding.ties[knob].controls
    for control, other in ((slider, twin), (twin, slider)):
        control.value = value
        assert app.state.knobs == {knob: value} and other.value == value
        assert getattr(app.trace.knobs, knob) == value
        assert app.status.value.startswith(f"<b>{ran}</b> ran in ") and app.status.value != status
        marked = [s for s, button in app.controls.strip.items() if "maskseg-rerun" in button._dom_classes]
        assert tuple(marked) == app.trace.rerun_stages and len(marked) == len(ran.split(", "))
        assert (sent(app) != before).any()
        app.binding.reset.click()
        app.state.shown = PROPOSALS
        assert app.state.knobs == {} and slider.value == twin.value == getattr(Knobs.of(app.model), knob)
        assert (sent(app) == before).all()


@pytest.mark.parametrize(
    ("stage", "setting", "value"),
    [
        ("proposals", "shown", 2),
        ("masks", "score_threshold", 0.99),
        ("masks", "mask_threshold", 0.95),
        ("features", "level", 4),
        ("features", "channel", 3),
    ],
)
def test_a_control_of_what_is_looked_at_moves_the_picture_and_nothing_runs(app, stage, setting, value):
    app.controls.strip[stage].value = True
    before, run = sent(app), app.trace
    app.binding.ties[setting].controls[0].value = value
    assert getattr(app.state, setting) == value
    assert (sent(app) != before).any() and app.trace is run


def test_the_state_moves_its_controls(app):
    state, controls, ties = app.state, app.controls, app.binding.ties
    state.knobs = {"box_nms_threshold": 0.35}
    state.stage, state.level, state.channel, state.shown = "features", 1, 8, 33
    state.mask_threshold = 0.25
    assert [control.value for control in ties["box_nms_threshold"].controls] == [0.35, 0.35]
    assert (controls.level.value, controls.channel.value) == (1, 8)
    assert [control.value for control in ties["shown"].controls] == [33, 33]
    assert [control.value for control in ties["mask_threshold"].controls] == [0.25, 0.25]
    assert [stage for stage, button in controls.strip.items() if button.value] == ["features"]


def test_a_stage_shows_the_controls_that_are_of_use_there(app):
    knobs = set(app.state.own_knobs)
    for stage in STAGES:
        app.controls.strip[stage].value = True
        visible = [name for name, row in app.controls.rows.items() if row.layout.display != "none"]
        assert sorted(visible) == sorted(ROWS[stage])
        assert knobs & set(visible) == {
            "proposals": {name for name in knobs if name.startswith("rpn_")},
            "detections": {name for name in knobs if name.startswith("box_")},
        }.get(stage, set())


def test_beside_each_knob_stands_the_models_own_number(app):
    own = {name: label.value for name, label in app.controls.defaults.items()}
    assert own == {
        "rpn_pre_nms_top_n": f"default {PER_LEVEL}",
        "rpn_post_nms_top_n": f"default {PROPOSALS}",
        "rpn_nms_threshold": "default 0.7",
        "rpn_score_threshold": "default 0",
        "rpn_min_size": "default 0.001",
        "box_score_threshold": "default 0.05",
        "box_nms_threshold": "default 0.5",
        "box_detections_per_img": "default 50",
    }
    app.binding.ties["box_nms_threshold"].controls[0].value = 0.2
    assert app.controls.defaults["box_nms_threshold"].value == "default 0.5"


@pytest.fixture(scope="module")
def torchvisions_own():
    torch.manual_seed(0)
    return maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=64).eval()


@pytest.mark.slow
def test_for_a_model_as_torchvision_builds_it_they_are_torchvisions_defaults(tmp_path, torchvisions_own):
    app = Inside(tmp_path, torchvisions_own)
    signature = inspect.signature(MaskRCNN.__init__).parameters
    argument = {
        "rpn_pre_nms_top_n": "rpn_pre_nms_top_n_test",
        "rpn_post_nms_top_n": "rpn_post_nms_top_n_test",
        "rpn_nms_threshold": "rpn_nms_thresh",
        "rpn_score_threshold": "rpn_score_thresh",
        "box_score_threshold": "box_score_thresh",
        "box_nms_threshold": "box_nms_thresh",
        "box_detections_per_img": "box_detections_per_img",
    }
    for name, label in app.controls.defaults.items():
        default = signature[argument[name]].default if name in argument else torchvisions_own.rpn.min_size
        assert label.value == f"default {default:g}"
        assert [control.value for control in app.binding.ties[name].controls] == [default, default]
    assert app.state.model_name == "your model" and "your model on cpu" in app.status.value


def test_a_front_end_that_rounds_a_knob_to_its_steps_changes_nothing(app):
    run = app.trace
    slider, number = app.binding.ties["rpn_min_size"].controls
    slider.set_state({"value": 0.0})  # the default is 0.001, a step 0.01
    assert app.state.knobs == {} and app.trace is run
    app.binding.ties["box_score_threshold"].controls[0].set_state({"value": 0.05000000000000001})
    assert app.state.knobs == {} and app.trace is run
    app.binding.ties["box_score_threshold"].controls[0].set_state({"value": 0.060000000000000005})
    assert app.state.knobs == {"box_score_threshold": 0.06}
    assert slider.value == 0.001
    number.set_state({"value": 0.0})  # a field rounds nothing: what stands there was typed
    assert app.state.knobs["rpn_min_size"] == slider.value == 0.0


# Stages.


def test_each_button_of_the_strip_shows_its_stage_with_its_count_and_time(app):
    for stage, button in app.controls.strip.items():
        before = sent(app)
        changed = stage != app.state.stage
        button.value = True
        assert app.state.stage == stage
        assert [name for name, other in app.controls.strip.items() if other.value] == [stage]
        title, count, time = button.description.split("\n")
        assert count == app.state.counts()[stage] and re.fullmatch(r"\d+\.\d ms", time)
        assert float(time.split()[0]) == pytest.approx(app.trace.milliseconds[stage], abs=0.051)
        assert (sent(app) != before).any() == changed
        assert app.canvas.description.startswith(", ".join(app.state.pair.titles))
        assert app.state.pair.caption in text_of(app.caption)
        assert all(name in text_of(app.caption) for _, name in app.state.pair.legend)


def test_the_stage_on_screen_cannot_be_switched_off(app):
    before = sent(app)
    for stage in ("detections", "anchors"):
        app.controls.strip[stage].value = True
        app.controls.strip[stage].value = False
        assert app.controls.strip[stage].value and app.state.stage == stage
        assert [name for name, other in app.controls.strip.items() if other.value] == [stage]
    app.controls.strip["detections"].value = True
    np.testing.assert_array_equal(sent(app), before)


def test_the_panels_and_the_film_are_the_states_as_far_as_a_jpeg_can(app):
    app.controls.strip["proposals"].value = True
    app.binding.ties["rpn_nms_threshold"].controls[0].value = 0.3
    pair = app.state.pair
    assert np.abs(sent(app).astype(int) - np.hstack([pair.left, pair.right])).mean() < 3
    film = np.hstack([frame.picture for frame in app.state.frames])
    assert np.abs(sent_film(app).astype(int) - film).mean() < 3


def test_each_box_on_screen_says_what_it_is_and_what_became_of_it(app):
    """Against the verdicts of `follow`, box by box."""
    for stage, most in (("proposals", 30), ("detections", 30)):
        app.controls.strip[stage].value = True
        assert 0 < len(app.canvas.items) <= most
        for item, (anchor, label) in zip(app.canvas.items, app.state.pair.names, strict=True):
            journey = follow(app.trace, anchor=anchor, label=label or None)
            step = journey.detection if stage == "detections" else journey.proposal
            np.testing.assert_allclose(item["box"], step.box, atol=0.051)
            ending = (
                f"proposal #{step.verdict.row + 1}"
                if item["text"].startswith("proposal")
                else step.verdict.outcome
            )
            assert item["text"].endswith(ending)


# The followed box.


def test_the_text_under_the_film_tells_the_journey_and_its_scores(app):
    text = text_of(app.way)
    for frame in app.state.frames:
        assert all(line in text for line in frame.lines)
    scores = app.journey.detection.scores
    bars = re.findall(r"<span>([^<]*)</span><i style=\"width: ([\d.]+)%\"></i><span>([\d.]+)", app.way.value)
    categories = ("background", *app.trace.prediction.categories[1:])
    assert [name for name, _, _ in bars] == [categories[label] for label in scores.argsort()[::-1]]
    for name, width, number in bars:
        score = scores[categories.index(name)]
        assert float(width) == pytest.approx(100 * score, abs=0.006)
        assert float(number) == pytest.approx(score, abs=0.0006)
    assert sum(float(width) for _, width, _ in bars) == pytest.approx(100, abs=0.1)
    assert sent_film(app).shape[:2] == (176, len(FRAMES) * 176)


def test_the_dropdown_offers_detections_and_lost_ones_and_follows_what_is_chosen(app):
    follow = app.controls.follow
    found = len(app.trace.prediction)
    names = [name for name, _ in follow.options]
    assert len(names) == found + 20 and names[0].startswith("#1 person 0.9")
    assert all(name.startswith("lost: ") for name in names[found:])
    before = sent(app), sent_film(app)
    follow.index = found  # the best of the lost ones
    assert re.search(r"suppressed by detection #\d+, IoU 0\.\d\d > 0\.50", text_of(app.way))
    assert app.journey.detection.verdict.row is None and app.state.followed == follow.value
    assert (sent(app) != before[0]).any() and (sent_film(app) != before[1]).any()
    follow.index = 3
    assert f"kept: detection #4 of {found}" in text_of(app.way)


def test_what_is_followed_and_not_offered_is_added_to_the_dropdown(app):
    proposals = app.trace.proposals
    dropped = int(proposals.candidates[proposals.outcomes == SUPPRESSED][0])
    app.state.followed = (dropped, 0)
    assert app.controls.follow.options[0][1] == app.controls.follow.value == (dropped, 0)
    assert app.controls.follow.options[0][0] == f"anchor {dropped} on {app.journey.anchor.level_name}"
    assert "suppressed by" in text_of(app.way)
    app.controls.follow.index = 1
    assert app.journey.detection.verdict.row == 0
    assert not any(name.startswith("anchor") for name, _ in app.controls.follow.options)


@pytest.mark.slow
def test_the_followed_box_is_the_same_one_after_a_knob_lets_it_through(app):
    app.controls.follow.index = len(app.trace.prediction)
    anchor = app.journey.anchor.row
    app.binding.ties["box_nms_threshold"].controls[1].value = 1.0
    assert app.journey.anchor.row == anchor and app.journey.detection.verdict.outcome == "kept"
    assert app.controls.follow.label.startswith(f"#{app.journey.detection.verdict.row + 1} ")
    app.binding.reset.click()
    assert app.journey.anchor.row == anchor and app.journey.detection.verdict.outcome == "suppressed"
    app.state.picture = "astronaut (sample)"
    assert app.state.followed == () and app.journey.detection.verdict.row == 0


def test_a_click_follows_what_the_stage_shows_there(app):
    for stage in ("normalised", "features", "anchors"):
        app.controls.strip[stage].value = True
        x, y = {"normalised": (110, 310), "features": (510, 200), "anchors": (710, 710)}[stage]
        click(app, 0, x, y)
        level, row, column, _ = cell_of(app.trace, app.journey.anchor.row)
        assert (level, row, column) == (2, int(y / 800 * CELLS[2] + 0.5), int(x / 800 * CELLS[2] + 0.5))
    click(app, 1, 60, 410)  # the heat map, too
    assert cell_of(app.trace, app.journey.anchor.row)[1:3] == (
        int(410 / 800 * CELLS[2] + 0.5),
        int(60 / 800 * CELLS[2] + 0.5),
    )
    for stage in ("proposals", "box_scores", "detections", "masks"):
        app.controls.strip[stage].value = True
        box = app.state.pair.boxes[0]
        followed = []
        for share in np.linspace(0.1, 0.9, 5):
            x, y = box[:2] + share * (box[2:] - box[:2])
            click(app, 1, x, y)
            left, top, right, bottom = (
                app.journey.detection if stage in ("detections", "masks") else app.journey.proposal
            ).box
            assert left <= x <= right and top <= y <= bottom
            assert str(app.journey.anchor.row) and app.message.value == ""
            followed.append(app.state.followed)
        assert set(followed) <= {(a, n) for a, n in app.state.pair.names}


def test_a_click_beside_every_box_changes_nothing(app):
    app.state.shown = 1
    before, followed = sent(app), app.state.followed
    click(app, 1, 799, 10)
    assert app.message.value == ""
    assert app.state.followed == followed and (sent(app) == before).all()


@pytest.mark.parametrize(("stage", "panel"), [("normalised", 1), ("features", 1), ("masks", 0)])
def test_a_click_on_what_is_no_photograph_does_nothing(app, stage, panel):
    app.controls.strip[stage].value = True
    before = app.journey
    click(app, panel, 300, 300)
    assert app.journey is before and app.message.value == ""


NAN = float("nan")


def test_a_hostile_click_changes_nothing_and_the_next_one_is_heard(app):
    before, journey = sent(app), app.journey
    places = ({"x": NAN, "y": NAN}, {"x": "0.3", "y": "0.5"}, {"x": 0.3}, {"y": None}, {"x": 0.5, "y": 0.5})
    for content in (*places, {"x": 0.5, "y": 0.5, "panel": [2]}, {}, None):
        message(app.canvas, content)
        assert app.journey is journey and (sent(app) == before).all(), content
        assert app.message.value == "", content
    click(app, 1, 700, 300)
    assert app.journey is not journey


# Errors.


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("knobs", {"box_nms_threshold": 1.5}, "box_nms_threshold must be a number in [0, 1], got 1.5"),
        ("knobs", {"box_detections_per_img": "<b>"}, "box_detections_per_img must be a whole number"),
        ("knobs", {"<img src=x>": 1}, "<img src=x>"),
        ("knobs", "<img src=x>", "knobs must be a dict, got '<img src=x>'"),
        ("stage", "<img src=x>", "<img src=x>"),
        ("level", 9, "level must be 0 to 4"),
        ("channel", 96, "channel must be 0 to 95"),
        ("shown", 0, "shown must be 1 to 1000, got 0"),
        ("mask_threshold", NAN, "mask_threshold must be in [0, 1], got nan"),
        ("followed", (10**9, 0), f"there is no anchor 1000000000: they are 0 to {ANCHORS - 1}"),
        ("picture", "broken.png", "'broken.png' is not a picture that can be read"),
        ("picture", "<img src=x>", "no picture '<img src=x>' in the list"),
    ],
    ids=repr,
)
def test_an_error_is_one_escaped_line_and_the_app_goes_on(app, setting, value, said):
    before, kept = sent(app), {name: getattr(app.state, name) for name in app.state.SETTINGS}
    app.guarded(setattr, app.state, setting, value)
    assert said in text_of(app.message)
    assert app.message.value.count("<") == 2 and 'role="alert"' in app.message.value
    assert "\n" not in app.message.value and len(text_of(app.message)) <= 302
    assert {name: getattr(app.state, name) for name in app.state.SETTINGS} == kept
    assert app.chooser.picture.value == "a.jpg" and (sent(app) == before).all()
    app.binding.ties["box_nms_threshold"].controls[0].value = 0.2
    assert app.message.value == "" and (sent(app) != before).any()


@pytest.mark.parametrize("name", ["box_nms_threshold", "rpn_min_size"])
def test_a_number_that_is_none_is_refused_and_the_control_goes_back(app, name):
    slider, twin = app.binding.ties[name].controls
    slider.value = NAN
    assert f"{name} must be a number" in text_of(app.message)
    assert slider.value == twin.value == app.state.own_knobs[name]
    assert app.state.knobs == {}


def test_a_fault_of_our_own_is_said_and_the_controls_come_back(app, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("out of <b>luck</b>")

    before = sent(app)
    monkeypatch.setattr("maskseg_nb.apps.inside.state.trace", fail)
    app.chooser.picture.value = "cat (sample)"
    app.wait()
    assert "unexpected RuntimeError: out of &lt;b&gt;luck" in app.message.value
    assert app.chooser.picture.value == "a.jpg" and (sent(app) == before).all()
    assert not app.binding.ties["shown"].controls[0].disabled


def test_the_controls_say_so_while_the_network_runs(app):
    seen = []
    hook = app.model.backbone.register_forward_pre_hook(
        lambda *_: seen.append((app.binding.ties["shown"].controls[0].disabled, app.canvas.busy))
    )
    app.chooser.picture.value = "cat (sample)"
    app.wait()
    hook.remove()
    assert seen == [(True, "Running the network: Features")]
    assert not app.binding.ties["shown"].controls[0].disabled
    assert app.status.value.startswith("<b>all stages</b> ran in ")


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval(),
            TypeError,
            "model must be a torchvision MaskRCNN, got FasterRCNN",
        ),
        (lambda: torch.nn.Linear(1, 1), TypeError, "model must be a torchvision MaskRCNN, got Linear"),
        (lambda: 3, TypeError, "model must be a torchvision MaskRCNN, got int"),
        (lambda: load_model("street").train(), ValueError, r"in training mode; call model.eval\(\) first"),
    ],
)
def test_what_is_no_mask_rcnn_cannot_be_looked_into(tmp_path, build, error, message):
    with pytest.raises(error, match=message):
        Inside(tmp_path, build())


def test_a_model_whose_mask_head_was_taken_away_is_refused(tmp_path):
    model = load_model("street")
    model.roi_heads.mask_predictor = None
    with pytest.raises(TypeError, match="model must be a torchvision MaskRCNN"):
        Inside(tmp_path, model)


def test_an_app_of_no_folder_says_so(tmp_path, street):
    with pytest.raises(ImageError, match="'.*missing' is not a folder"):
        Inside(tmp_path / "missing", street)


@pytest.mark.slow
def test_it_shows_itself_with_a_picture_for_places_without_widgets(app):
    bundle = app._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == app.widget.model_id
    assert bundle["image/png"] == figure_png(app.figure())
    assert bundle["text/plain"] == "Inside: run this cell in JupyterLab to move its controls"
    app.controls.strip["anchors"].value = True
    later = app._repr_mimebundle_()
    assert later["image/png"] != bundle["image/png"] and later["text/plain"] == bundle["text/plain"]


def test_figure_shows_the_stages_two_panels(app):
    left, right = app.figure().axes
    np.testing.assert_array_equal(left.images[0].get_array(), app.state.pair.left)
    np.testing.assert_array_equal(right.images[0].get_array(), app.state.pair.right)
    assert (left.get_title(), right.get_title()) == app.state.pair.titles
