"""The comparison of two runs, against `compare` on runs made by hand."""

import re
import shutil
import threading

import cv2
import numpy as np
import pytest

from maskseg_nb import Compare, compare, preprocess, sample_photo, trace
from maskseg_nb.apps.compare.controls import START
from maskseg_nb.apps.compare.state import SAME, UNCHANGED
from maskseg_nb.data.images import load_image
from maskseg_nb.explain.comparison_pictures import draw_comparison
from maskseg_nb.explain.twins import CHANGES, twin
from maskseg_nb.mask_rcnn.trace import STAGES


@pytest.fixture(scope="module")
def photo():
    return cv2.resize(load_image(sample_photo("restaurant")), (320, 240), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def opened(tmp_path_factory, street, photo):
    folder = tmp_path_factory.mktemp("pictures")
    cv2.imwrite(str(folder / "a.png"), photo[..., ::-1])
    shutil.copy(folder / "a.png", folder / "b.png")
    return Compare(folder, street)


@pytest.fixture
def app(opened):
    """One app for all, set back to how it was opened."""
    opened.state.reset()
    opened.state.picture = "a.png"
    opened.render()
    opened.history.begin()
    assert opened.message.value == ""
    return opened


def by_hand(street, photo, change, amount, score_threshold=0.5):
    first, image = preprocess(photo, None)
    second, other = preprocess(twin(photo, change, amount), None)
    runs = trace(street, first), trace(street, second)
    return compare(*runs, score_threshold=score_threshold), image, other


def text(widget):
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", widget.value))


def test_it_begins_with_one_run_that_is_the_same_as_itself(app):
    assert app.comparison.parting is None and not app.comparison.lost and not app.comparison.gained
    assert "are the same to the bit" in text(app.status)
    assert np.array_equal(*app.state.panels)
    assert app.strip.value.count("maskseg-same") == len(STAGES)


@pytest.mark.parametrize("change", [name for name, how in CHANGES.items() if name != "BGR"])
def test_a_twin_at_its_neutral_amount_shows_no_difference_to_the_bit(app, change):
    app.state.assign({"change": change, "amount": float(CHANGES[change].neutral)})
    assert app.state.run is not app.state.other  # the network did run
    assert app.comparison.parting is None and "are the same to the bit" in text(app.status)


def test_a_changed_twin_shows_what_compare_says_of_the_two_runs(app, street, photo):
    app.controls.change.value = "blur"
    app.wait()
    assert app.state.amount == app.controls.amount.value == START["blur"]
    app.controls.amount.value = 6.0
    app.wait()
    expected, image, other = by_hand(street, photo, "blur", 6.0)
    assert str(app.comparison) == str(expected)
    for panel, drawn in zip(app.state.panels, draw_comparison(expected, image, other), strict=True):
        np.testing.assert_array_equal(panel, drawn)
    shown = text(app.strip)
    assert all(one.text in shown for one in expected.stages)
    assert f"{STAGES[expected.parting].title}: the runs part" in shown
    assert app.canvas.titles == ("First: street", "Second: blur 6")


@pytest.mark.slow
def test_table_and_picture_tell_of_pairs_lost_and_gained(app, street, photo):
    app.state.assign({"change": "rotation", "amount": 10.0, "score_threshold": 0.4})
    expected, *_ = by_hand(street, photo, "rotation", 10.0, 0.4)
    groups = {
        group: [row["cells"] for row in app.table.rows if row["group"] == group]
        for group in ("in both", "lost", "gained")
    }
    assert [cells[1:5] for cells in groups["in both"]] == [
        [one.category, f"{one.score:.3f}", f"{one.other_score:.3f}", f"{one.iou:.2f}"]
        for one in expected.shared
    ]
    assert expected.lost or expected.gained
    for group, side in (("lost", expected.lost), ("gained", expected.gained)):
        for cells, one in zip(groups[group], side, strict=True):
            assert cells[1] == one.category and f"{one.score:.3f}" in cells
            assert one.reason in cells[-1] and (one.lost_at or "") in cells[-1]
    items = app.canvas.items
    assert [one["id"] for one in items] == [row["id"] for row in app.table.rows]
    lost = items[len(expected.shared) : len(expected.shared) + len(expected.lost)]
    for item, one in zip(lost, expected.lost, strict=True):
        np.testing.assert_allclose(item["box"], expected.run.prediction.boxes[one.row], atol=0.051)
    app.canvas.selected = items[-1]["id"]
    assert app.table.selected == items[-1]["id"]
    app.canvas.selected = 0


def test_another_size_is_shown_at_the_first_ones_and_parts_at_the_first_stage(app):
    app.controls.other_size.value = "800 x 800, as documented"
    app.wait()
    assert app.comparison.parting == "normalised"
    assert app.state.other_image.shape == (800, 800, 3)
    assert app.state.panels[0].shape == app.state.panels[1].shape == app.image.shape


@pytest.mark.slow
def test_another_model_is_loaded_once_and_named(app, street, monkeypatch):
    asked = []
    monkeypatch.setattr(app.state.runner, "load_model", lambda name: asked.append(name) or street)
    for other in ("coco", SAME, "coco"):
        app.state.other_model = other
    assert asked == ["coco"] and app.canvas.titles[1] == "Second: coco"
    assert app.comparison.parting is None  # it is the same network


@pytest.mark.slow
def test_only_the_second_network_runs_for_another_amount(app, street):
    app.state.assign({"change": "noise", "amount": 10.0})
    first, ran = app.state.run, []
    hook = street.backbone.register_forward_hook(lambda *_: ran.append(1))
    try:
        app.state.amount = 20.0
        assert ran == [1] and app.state.run is first
        app.state.score_threshold = 0.7
        assert ran == [1]
    finally:
        hook.remove()


def test_of_several_choices_made_meanwhile_the_last_one_counts(app, street):
    begun, go_on = threading.Event(), threading.Event()

    def wait(*_):
        begun.set()
        go_on.wait(30)

    hook = street.backbone.register_forward_hook(wait)
    try:
        app.controls.change.value = "blur"
        assert begun.wait(30)
        for amount in (4.0, 5.0, 7.0):
            app.controls.amount.value = amount
    finally:
        hook.remove()
        go_on.set()
    app.wait()
    assert (app.state.change, app.state.amount) == ("blur", 7.0)
    assert app.canvas.titles[1] == "Second: blur 7" and app.message.value == ""


def test_a_cancelled_choice_is_taken_back(app, street):
    def cancel(*_):
        app.state.cancel()

    before = app.state.panels
    hook = street.backbone.register_forward_hook(cancel)
    try:
        app.controls.change.value = "noise"
        app.wait()
    finally:
        hook.remove()
    assert "Cancelled" in app.message.value
    assert (app.state.change, app.controls.change.value, app.state.amount) == (UNCHANGED, UNCHANGED, 0.0)
    assert app.state.panels is before


@pytest.mark.slow
def test_undo_and_reset_take_a_change_back(app):
    for back in (app.binding.undo, app.binding.reset):
        app.controls.change.value = "darkness"
        app.wait()
        assert app.comparison.parting == "normalised"
        back.click()
        app.wait()
        assert app.state.change == UNCHANGED and app.comparison.parting is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"change": "blur", "amount": 21.0}, "blur must be 0 to 20"), ({"change": "fog"}, "change must be")],
)
def test_a_wrong_setting_is_one_clear_line_and_changes_nothing(app, settings, message):
    before = app.state.panels
    app.guarded(app.state.assign, settings)
    assert message in app.message.value
    assert app.state.change == UNCHANGED and app.state.amount == 0.0 and app.state.panels is before


@pytest.mark.slow
def test_the_amount_is_asked_for_where_there_is_a_change_and_in_its_own_range(app):
    assert app.controls.amount_row.layout.display == "none"
    for change, how in CHANGES.items():
        app.controls.change.value = change
        app.wait()
        assert app.controls.amount_row.layout.display == ""
        for control in (app.controls.amount, app.controls.amount_number):
            assert (control.min, control.max, control.value) == (how.least, how.most, START[change])
        assert how.unit.startswith(app.controls.unit.value) and how.unit in app.controls.amount_number.tooltip
        assert app.controls.unit.value and app.message.value == ""


def test_it_shows_without_a_page_too(app):
    assert app._repr_mimebundle_()["image/png"].startswith(b"\x89PNG")
