"""What is asked about the followed box, against the functions of `explain` on the same run."""

import base64
import re
import shutil

import numpy as np
import pytest

from maskseg_nb import Inside, load_image, receipt, rescue, sample_photo, without
from maskseg_nb.apps.runner import Cancelled
from maskseg_nb.drawing.figures import figure_png
from maskseg_nb.explain.figures import show_receipt
from maskseg_nb.mask_rcnn.follow import follow, lost
from maskseg_nb.mask_rcnn.outcomes import SUPPRESSED


@pytest.fixture(scope="module")
def opened(tmp_path_factory, street, street_trace):
    folder = tmp_path_factory.mktemp("pictures")
    shutil.copy(sample_photo("restaurant"), folder / "a.jpg")
    with pytest.MonkeyPatch.context() as patch:  # its first run is the one that other tests have, too
        patch.setattr("maskseg_nb.apps.inside.state.trace", lambda model, tensor: street_trace)
        return Inside(folder, street, settings='{"input_size": "800 x 800, as documented"}')


@pytest.fixture
def app(opened):
    """One app for all, set back to how it was opened."""
    state = opened.state
    state.asked = None
    state.reset()
    state.stage, state.followed = "detections", ()
    opened.render()
    opened.history.begin()
    assert opened.message.value == ""
    return opened


def press(app, kind):
    """What a click does: the answer is computed in the app's thread."""
    app.why.buttons[kind].value = not app.why.buttons[kind].value
    app.wait()


def cells(app):
    return [row["cells"] for row in app.why.table.rows]


def pressed(app):
    return [kind for kind, button in app.why.buttons.items() if button.value]


def can_be_pressed(app):
    return [kind for kind, button in app.why.buttons.items() if not button.disabled]


@pytest.fixture(scope="module")
def lost_one(street_trace):
    """A box that class NMS suppressed, which a single knob brings back."""
    best = lost(street_trace, 60)
    found = (one for one in best if "suppressed" in follow(street_trace, anchor=one[0]).verdict.reason)
    return next(one for one in found if rescue(street_trace, *one).helpful)


def test_a_lost_box_can_be_brought_back_and_a_detection_struck_out(app, lost_one, street_trace):
    assert can_be_pressed(app) == ["without", "receipt"]
    app.state.followed = lost_one
    assert can_be_pressed(app) == ["rescue", "receipt"]
    proposals = street_trace.proposals
    app.state.followed = (int(proposals.candidates[proposals.outcomes == SUPPRESSED][0]), 0)
    assert can_be_pressed(app) == ["rescue"]  # the box head never saw it


def test_bring_it_back_lists_the_smallest_change_of_each_knob(app, lost_one, street_trace):
    app.state.followed = lost_one
    press(app, "rescue")
    expected = rescue(street_trace, *lost_one)
    assert pressed(app) == ["rescue"] and cells(app)
    shown = {knob: (now, needed, reason) for _, knob, now, needed, reason in cells(app)}
    assert shown == {
        one.knob: (f"{one.now:g}", "" if one.needed is None else f"{one.needed:g}", one.reason)
        for one in expected.remedies
    }
    helps = [bool(needed) for _, _, _, needed, _ in cells(app)]
    assert helps == sorted(helps, reverse=True) and sum(helps) == len(expected.helpful)
    press(app, "rescue")
    assert pressed(app) == [] and cells(app) == [] and app.why.words.value == "<b></b>"


def test_a_chosen_remedy_sets_its_knob_and_keeps_the_box_and_undo_takes_it_back(app, lost_one):
    app.state.followed = lost_one
    press(app, "rescue")
    assert app.journey.mask is None
    answer, before = cells(app), app.trace
    _, knob, _, needed, _ = answer[0]
    app.why.table.selected = 1
    app.wait()
    assert app.state.knobs == {knob: float(needed)}
    assert [f"{control.value:g}" for control in app.binding.ties[knob].controls] == [needed, needed]
    assert app.journey.mask is not None and app.state.followed == lost_one
    assert pressed(app) == [] and cells(app) == []  # it is not lost any more
    app.binding.undo.click()
    app.wait()
    assert app.state.knobs == {} and app.journey.mask is None
    assert (app.trace.prediction.scores == before.prediction.scores).all()
    assert cells(app) == answer and pressed(app) == ["rescue"]  # to try another one


def test_a_knob_that_does_not_help_says_why_and_stays(app, lost_one):
    app.state.followed = lost_one
    press(app, "rescue")
    number, knob, *_, reason = cells(app)[-1]
    app.why.table.selected = int(number)
    assert app.state.knobs == {} and app.message.value == f"{knob} stays: {reason}".replace("<", "&lt;")


def with_successors(run):
    """The first detection whose end makes another one rise."""
    return next(row for row in range(len(run.prediction)) if without(run, row).risen)


def test_without_this_one_lists_who_rises_and_falls_and_each_can_be_followed(app, street_trace):
    row = with_successors(street_trace)
    app.state.followed = list(app.state.offered().values())[row]
    struck = app.state.following
    press(app, "without")
    expected = without(street_trace, row)
    names = street_trace.prediction.categories
    ends = [("risen", one) for one in expected.risen] + [("fallen", one) for one in expected.fallen]
    assert [line[1:] for line in cells(app)] == [
        [names[one.label], f"{one.score:.3f}", word, one.verdict.reason] for word, one in ends
    ]
    assert f"{len(expected.risen)} risen, {len(expected.fallen)} fallen" in app.why.words.value
    shown = cells(app)
    app.why.table.selected = 1
    assert app.state.following == ends[0][1][:2] and app.why.table.selected == 1
    assert "suppressed by" in app.journey.verdict.reason  # as long as the winner is there
    assert cells(app) == shown and pressed(app) == ["without"]
    app.state.followed = struck
    assert cells(app) == shown and app.why.table.selected == 0


def test_an_answer_is_gone_with_another_box_and_with_another_setting(app):
    press(app, "without")
    assert pressed(app) == ["without"]
    app.state.knobs = {"box_nms_threshold": 0.4}
    assert pressed(app) == [] and cells(app) == []
    app.state.knobs = {}
    assert pressed(app) == ["without"]
    app.state.followed = (0, 1)
    assert pressed(app) == [] and cells(app) == []


def test_another_question_takes_the_place_of_the_first(app):
    press(app, "without")
    press(app, "receipt")
    assert pressed(app) == ["receipt"] and cells(app) == []


def test_the_receipt_stands_in_the_box_scores_stage_as_the_bill_of_the_followed_box(app, street_trace):
    assert app.controls.rows["receipt"].layout.display == "none"
    app.controls.strip["box_scores"].value = True
    assert app.controls.rows["receipt"].layout.display == ""
    press(app, "receipt")
    found = app.journey.detection
    rival = np.where(np.arange(len(found.scores)) == found.label, -1, found.scores).argmax()
    against = ("background", *street_trace.prediction.categories[1:])[rival]
    expected = receipt(street_trace, 0, against)
    (data,) = re.findall(r'src="data:image/png;base64,([^"]*)"', app.why.words.value)
    shown, drawn = (
        load_image(png) for png in (base64.b64decode(data), figure_png(show_receipt(expected, app.image)))
    )
    assert np.array_equal(shown, drawn)
    assert f"margin {expected.margin:+.3f}" in app.why.words.value


def test_another_picture_forgets_the_question(app):
    press(app, "without")
    app.state.picture = app.chooser.picture.options[1]
    assert app.state.asked is None and pressed(app) == []
    app.state.picture = "a.jpg"


def test_a_cancelled_question_is_forgotten_and_everything_stays(app, lost_one, monkeypatch):
    app.state.followed = lost_one
    way = app.way.value

    def cancelled(*arguments):
        app.state.cancel()
        app.trace.rerun(box_nms_threshold=0.9, rpn_nms_threshold=0.6)
        raise AssertionError("the network must have stopped")

    monkeypatch.setattr("maskseg_nb.apps.inside.state.answered", cancelled)
    press(app, "rescue")
    assert str(Cancelled(False)) in app.message.value
    assert app.state.asked is None and pressed(app) == [] and app.way.value == way
    monkeypatch.undo()
    press(app, "rescue")
    assert pressed(app) == ["rescue"] and app.message.value == ""


def test_settings_that_follow_a_box_can_begin_an_app(tmp_path, street, street_trace, monkeypatch):
    """They name an anchor of a run that is yet to come."""
    monkeypatch.setattr("maskseg_nb.apps.inside.state.trace", lambda model, tensor: street_trace)
    assert Inside(tmp_path, street, settings='{"followed": [30000, 1]}').state.followed == ()
