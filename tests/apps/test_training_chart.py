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


def progress(step, steps=57, model=None):
    return Progress(step, steps, STEPS[:step], model)


def test_lines_are_means_over_the_last_twenty_steps():
    axis = show_training(STEPS, 100).axes[0]
    assert len(axis.lines) == len(LOSSES)
    for column, line in enumerate(axis.lines):
        expected = [STEPS[max(0, n - 19) : n + 1, column].mean() for n in range(57)]
        assert line.get_ydata() == pytest.approx(expected, rel=1e-5)
        assert line.get_label().startswith(f"{LOSSES[column]}: ")
    assert axis.get_title() == f"Step 57 of 100, {STEPS[-20:].sum(axis=1).mean():.2f} in all"
    assert axis.get_xlim() == (0, 100) and axis.get_ylim()[0] == 0


def test_nothing_learned_yet_is_an_empty_chart():
    figure = show_training(STEPS[:0], 80)
    assert figure.axes[0].get_title() == "Step 0 of 80"
    assert len(figure.axes) == 1


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


def test_a_chart_is_drawn_seldom_and_at_the_end(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("maskseg_nb.apps.training_chart.time.perf_counter", lambda: clock[0])
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


def test_drawing_takes_a_tenth_of_the_time_at_most(monkeypatch):
    clock = [100.0]

    def slowly(*arguments, **options):
        clock[0] += 3.0
        return show_training(*arguments, **options)

    monkeypatch.setattr("maskseg_nb.apps.training_chart.time.perf_counter", lambda: clock[0])
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


def test_a_threshold_out_of_range_is_a_value_error():
    with pytest.raises(ValueError, match="score_threshold must be"):
        TrainingChart(score_threshold=1.5)
