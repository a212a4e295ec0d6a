"""The reference is `match` on what `select` keeps at each threshold: what one would do by hand."""

import re

import cv2
import numpy as np
import pytest

from maskseg_nb import predict, preprocess, trace
from maskseg_nb.apps.thresholds.app import DOT, ThresholdExplorer
from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.samples import voc_photograph
from maskseg_nb.data.shapes import ShapesDataset
from maskseg_nb.data.truth import Truth
from maskseg_nb.errors import DatasetError
from maskseg_nb.evaluation.match_pictures import draw_match
from maskseg_nb.evaluation.matching import match
from maskseg_nb.explain.post_mortem import examine


@pytest.fixture(scope="module")
def opened(street):
    return ThresholdExplorer(street)


@pytest.fixture
def app(opened):
    """One app for all, set back to how it was opened."""
    opened.binding.reset.click()
    return opened


@pytest.fixture(scope="module")
def by_hand(street):
    image, truth = voc_photograph()[0]
    tensor, _ = preprocess(image, size=image.shape[:2])
    prediction = predict(street, tensor)
    return image, truth, prediction


def two_pictures():
    image, truth = voc_photograph()[0]
    masks = np.ascontiguousarray(truth.masks[:, :, ::-1])
    mirrored = Truth.from_masks(masks, truth.labels, truth.categories, image_id=1)
    return PictureList([(image, truth), (np.ascontiguousarray(image[:, ::-1]), mirrored)])


def numbers(app):
    """True and false positives, false negatives, precision and recall, as the app shows them."""
    words = re.sub("<[^>]+>", " ", app.status.value).split(" redraw ")[0]
    return [float(word) for word in re.findall(r"[\d.]+", words)]


@pytest.mark.parametrize(
    "score, iou",
    [
        *((0.5, 0.5), (0.5, 0.75)),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((0.05, 0.5), (0.8, 0.5), (0.99, 0.3), (1.0, 0.5))
        ),
    ],
)
def test_it_shows_what_matching_by_hand_gives(app, street, by_hand, score, iou):
    app.state.score_threshold, app.state.iou = score, iou
    image, truth, prediction = by_hand
    kept = prediction.select(score_threshold=score)
    expected = match(kept, truth.only(street.categories), iou)
    assert app.state.match.outcomes == expected.outcomes
    assert app.state.match.missed.tolist() == expected.missed.tolist()
    right, found = expected.outcomes.count("true positive"), len(kept)
    shown = numbers(app)
    assert shown[:3] == [right, found - right, expected.missed.sum()]
    if found:
        assert shown[5] == pytest.approx(right / found, abs=0.0051)
    assert shown[-1] == pytest.approx(right / expected.counted.sum(), abs=0.0051)


def test_the_drawn_picture_is_that_of_the_match(app, street, by_hand):
    app.state.score_threshold = 0.6
    image, truth, _ = by_hand
    state = app.state
    judged = truth.only(street.categories)
    expected = draw_match(image, state.instances, judged, state.match, tags=False)  # the view writes them
    assert np.array_equal(state.drawn, expected)
    panel = cv2.imdecode(np.frombuffer(app.canvas.left, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert panel.shape == expected.shape and np.abs(panel.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("score", [0.3, 0.5, 0.9])
def test_the_dot_is_where_precision_and_recall_are(app, score):
    app.state.score_threshold = score
    plot = app.plot_with_dot()
    rows, columns = np.nonzero((plot == DOT).all(axis=2))
    match = app.state.match
    x, y = app.plot()[1] @ [match.recall, match.precision, 1]
    assert (columns.mean(), rows.mean()) == (pytest.approx(x, abs=1), pytest.approx(y, abs=1))
    assert len(rows) > 60


def test_the_dot_lies_on_the_drawn_curve(app):
    """The curve's own pixels around the dot's middle: the axes and the dot agree."""
    blue = np.array([31, 119, 180])
    for score in (0.3, 0.7, 0.95):
        app.state.score_threshold = score
        match = app.state.match
        plot, place = app.plot()
        x, y = np.round(place @ [match.recall, match.precision, 1]).astype(int)
        around = plot[y - 4 : y + 5, x - 4 : x + 5].astype(int)
        assert (np.abs(around - blue).sum(axis=2) < 60).any()


def test_a_moved_threshold_runs_no_network_and_draws_no_axes(app, monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("must not run")

    monkeypatch.setattr("maskseg_nb.apps.thresholds.state.trace_at_own_size", fail)
    monkeypatch.setattr("maskseg_nb.apps.thresholds.curve_axes.draw_curve", fail)
    monkeypatch.setattr("maskseg_nb.apps.thresholds.curve_axes.Figure", fail)
    before = app.canvas.left
    app.controls.score.value = 0.95
    assert app.message.value == ""
    assert app.canvas.left != before
    assert app.state.score_threshold == app.controls.score_number.value == 0.95


def test_controls_and_state_move_each_other_and_reset_sets_back(app):
    app.state.iou = 0.9
    assert app.controls.iou.value == app.controls.iou_number.value == 0.9
    app.controls.iou_number.value = 0.6
    assert app.state.iou == 0.6
    app.binding.reset.click()
    assert (app.state.iou, app.state.score_threshold) == (0.5, 0.5)
    assert app.controls.iou.value == 0.5


@pytest.mark.parametrize(("score", "iou"), [(0.5, 0.5), (0.9, 0.5), (0.5, 0.85)])
def test_every_missed_object_says_where_it_was_lost_and_why(app, street, by_hand, score, iou):
    image, truth, _ = by_hand
    run = trace(street, preprocess(image, size=image.shape[:2])[0])
    app.state.score_threshold, app.state.iou = score, iou
    lost = examine(run, truth, iou, score).lost
    shown = app.canvas.items[len(app.canvas.items) - len(lost) :]
    assert [one["label"] for one in shown] == [f"{one.category}: lost at {one.lost_at}" for one in lost]
    for item, one in zip(shown, lost, strict=True):
        assert item["text"].endswith(f"lost at {one.lost_at}: {one.reason}")
        np.testing.assert_allclose(item["box"], truth.boxes[one.row], atol=0.051)
    assert len(lost) == numbers(app)[2]


def test_a_moved_threshold_seeks_no_survivor_again(app, monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("must not run")

    monkeypatch.setattr("maskseg_nb.explain.post_mortem.Survivors", fail)
    monkeypatch.setattr("maskseg_nb.explain.survival.follow", fail)
    app.controls.iou.value = 1.0
    app.controls.score.value = 0.9
    assert app.message.value == ""
    missed = [item for item in app.canvas.items if ", missed at IoU 1.00, lost at " in item["text"]]
    assert len(missed) == len(app.state.post_mortem.lost) > 0


@pytest.mark.slow
def test_another_picture_is_read_and_its_network_runs_once(street, monkeypatch):
    app = ThresholdExplorer(street, two_pictures())
    first = app.state.drawn.copy()
    app.controls.picture.value = 1
    assert app.state.index == 1 and not np.array_equal(app.state.drawn, first)
    assert app.state.image[0, 0].tolist() == two_pictures()[1][0][0, 0].tolist()
    monkeypatch.setattr("maskseg_nb.apps.thresholds.state.trace_at_own_size", None)
    app.controls.picture.value = 0
    assert np.array_equal(app.state.drawn, first)


def test_one_picture_needs_no_choice(app, street):
    def shown(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from shown(child)

    assert app.controls.picture not in list(shown(app.widget))
    other = ThresholdExplorer(street, two_pictures())
    assert other.controls.picture in list(shown(other.widget))


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("score_threshold", 1.2, ValueError),
        ("score_threshold", float("nan"), ValueError),
        ("score_threshold", "0.5", TypeError),
        ("iou", 0.0, ValueError),
        ("index", 1, ValueError),
        ("index", "0", TypeError),
    ],
)
def test_a_wrong_setting_is_refused_and_changes_nothing(app, name, value, error):
    before = app.state.drawn
    with pytest.raises(error, match=name):
        setattr(app.state, name, value)
    assert app.state.drawn is before and getattr(app.state, name) in (0, 0.5)


def test_it_shows_without_a_page_too(app):
    bundle = app._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert len(app.figure().axes) == 2


def test_no_common_category_and_no_picture_are_clear_errors(street):
    for dataset in (ShapesDataset(2), ShapesDataset(0)):
        with pytest.raises(DatasetError, match="no picture, or no category that the model knows"):
            ThresholdExplorer(street, dataset)


def test_another_class_of_model_is_a_type_error():
    with pytest.raises(TypeError, match="MaskRCNN"):
        ThresholdExplorer(3)


def test_an_iou_that_changes_no_outcome_paints_and_measures_nothing_again(app):
    state = app.state
    drawn, curve, shown = state.drawn, state.curve, app.canvas.right
    state.iou = 0.501
    assert state.match.least_iou == 0.501
    assert state.drawn is drawn and state.curve is curve and app.canvas.right is shown
    state.iou = 1.0  # nothing is found
    assert state.drawn is not drawn and state.curve is not curve and app.canvas.right != shown


@pytest.mark.parametrize("dataset", ["photos", ["a.jpg"], 3])
def test_what_is_no_dataset_is_one_clear_error(street, dataset):
    with pytest.raises(TypeError, match="dataset must have categories, len.* got (str|list|int)"):
        ThresholdExplorer(street, dataset)
