"""The chart's lines are read back; the reference is a plain mean over a window."""

import cv2
import numpy as np
import pytest

from maskseg_nb import predict, preprocess
from maskseg_nb.apps.training_chart import TrainingChart
from maskseg_nb.data.samples import voc_photograph
from maskseg_nb.training.figures import show_training
from maskseg_nb.training.loop import LOSSES
from maskseg_nb.training.train import Progress

STEPS = np.random.default_rng(0).random((57, 5)).astype(np.float32)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that stand still unless a test moves them."""
    now = [100.0]
    monkeypatch.setattr("maskseg_nb.apps.training_chart.time.perf_counter", lambda: now[0])
    return now


def progress(step, steps=57, model=None):
    return Progress(step, steps, STEPS[:step], model)


def test_lines_are_means_over_the_last_twenty_steps():
    axis = show_training(STEPS, 100).axes[0]
    assert len(axis.lines) == len(LOSSES)
    for column, line in enumerate(axis.lines):
        expected = [STEPS[max(0, n - 19) : n + 1, column].mean() for n in range(57)]
        assert line.get_ydata() == pytest.approx(expected, rel=1e-5)
        assert line.get_label().startswith(f"{LOSSES[column]}: ")
    assert axis.get_title() == f"Step 57 of 100, total loss {STEPS[-20:].sum(axis=1).mean():.2f}"
    assert axis.get_xlim() == (0, 100) and axis.get_ylim()[0] == 0


def test_nothing_learned_yet_is_an_empty_chart():
    figure = show_training(STEPS[:0], 80)
    assert figure.axes[0].get_title() == "Step 0 of 80"
    assert len(figure.axes) == 1


@pytest.mark.slow
def test_the_picture_shows_what_the_model_says_now(street):
    image, _ = voc_photograph()[0]
    figure = show_training(STEPS, model=street, image=image, score_threshold=0.5)
    drawn = figure.axes[1].images[0].get_array()
    large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)  # 500 pixels are few
    assert drawn.shape == large.shape
    painted = (drawn != large).any(axis=-1)
    tensor, _ = preprocess(image, size=image.shape[:2])
    masks = predict(street, tensor).select(score_threshold=0.5).masks.any(axis=0)
    joined = cv2.resize(masks.astype(np.uint8), painted.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    assert 0.9 < (painted & joined).sum() / joined.sum() and painted.sum() < 1.3 * joined.sum()
    count = int(figure.axes[1].get_title().split(": ")[1])
    assert count > 3
    fewer = show_training(STEPS, model=street, image=image, score_threshold=0.95)
    assert int(fewer.axes[1].get_title().split(": ")[1]) < count
    assert show_training(STEPS, image=image).axes[1].get_title() == "Not tried yet"


def test_a_chart_is_drawn_seldom_and_at_the_end(clock):
    chart = TrainingChart()
    empty = chart.value
    chart.update(progress(1))
    first = chart.value
    assert first != empty and bytes(first).startswith(b"\x89PNG")
    chart.update(progress(2))
    assert chart.value == first
    clock[0] += 2.1
    chart.update(progress(3))
    third = chart.value
    assert third != first
    chart.update(progress(57))
    assert chart.value != third
    assert "57 of 57" in chart.figure.axes[0].get_title()


def test_drawing_takes_a_tenth_of_the_time_at_most(monkeypatch, clock):
    def slowly(*arguments, **options):
        clock[0] += 3.0
        return show_training(*arguments, **options)

    chart = TrainingChart()
    monkeypatch.setattr("maskseg_nb.apps.training_chart.show_training", slowly)
    chart.update(progress(1))
    before = chart.value
    clock[0] += 29.0
    chart.update(progress(2))
    assert chart.value == before
    clock[0] += 2.0
    chart.update(progress(3))
    assert chart.value != before


@pytest.fixture
def chart(monkeypatch):
    """One whose figures are made, and not drawn: a hundred drawings take a minute."""
    monkeypatch.setattr("maskseg_nb.apps.training_chart.figure_png", lambda figure: b"")
    return TrainingChart()


def said(chart, clock, seconds, step, steps=57):
    """What the title says after the total loss, `seconds` after the step before."""
    clock[0] += seconds
    chart.update(progress(step, steps))
    return chart.figure.axes[0].get_title().partition("total loss ")[2].partition(", ")[2]


@pytest.mark.slow
def test_the_remaining_time_follows_from_the_measured_steps_and_is_not_guessed_before_there_are_five(
    chart, clock
):
    assert [said(chart, clock, 9, step) for step in range(1, 6)] == [""] * 5  # four between five ends
    assert said(chart, clock, 9, 6) == "about 8 min left"  # 51 steps of 9 s are 459 s
    assert said(chart, clock, 33, 7) == "about 11 min left"  # 50 steps of (5 * 9 + 33) / 6 s are 650 s
    for step in range(8, 57):
        said(chart, clock, 9, step)
    assert said(chart, clock, 9, 57) == ""  # done


def test_only_the_last_fifty_steps_count(chart, clock):
    for step in range(1, 8):
        said(chart, clock, 60, step)
    for step in range(8, 57):
        said(chart, clock, 3, step)
    assert said(chart, clock, 3, 57, steps=67) == "about 30 s left"


def test_a_training_that_resumes_is_measured_from_scratch(chart, clock):
    for step in range(1, 21):
        said(chart, clock, 9, step)
    # Interrupted; minutes later it resumes from a checkpoint, on a busier machine.
    assert [said(chart, clock, wait, step) for wait, step in ((300, 11), (90, 12), (90, 13))] == [""] * 3
    assert [said(chart, clock, 90, step) for step in (14, 15, 16)][-1] == "about 62 min left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "10 s"),
        (31, "40 s"),
        (60, "60 s"),
        (61, "2 min"),
        (5400, "90 min"),
        (5401, "2 h"),
        (40000, "12 h"),
    ],
)
def test_a_remaining_time_is_rounded_up(seconds, text):
    assert (
        show_training(STEPS, 100, seconds_left=seconds).axes[0].get_title().endswith(f", about {text} left")
    )


def test_a_threshold_out_of_range_is_a_value_error():
    with pytest.raises(ValueError, match="score_threshold must be"):
        TrainingChart(score_threshold=1.5)
