"""Undo: settings as they were before each change."""

import itertools

import pytest
from traitlets import Float, Unicode

from maskseg_nb.apps.history import History
from maskseg_nb.apps.settings import Settings


class Two(Settings):
    score = Float(0.5)
    style = Unicode("plain")
    SETTINGS = KNOBS = ("score", "style")


@pytest.fixture
def settings():
    return Two()


@pytest.fixture
def history(settings, monkeypatch):
    """Its clock goes on by ten seconds at each look."""
    clock = itertools.count(0, 10)
    monkeypatch.setattr("maskseg_nb.apps.history.time.monotonic", lambda: next(clock))
    history = History(settings)
    history.begin()
    return history


def change(settings, history, **values):
    for name, value in values.items():
        setattr(settings, name, value)
    history.keep()


def test_undo_goes_back_change_by_change(settings, history):
    change(settings, history, score=0.7)
    change(settings, history, style="bold")
    history.undo()
    assert (settings.score, settings.style) == (0.7, "plain")
    history.keep()  # as the app does when it has drawn that
    history.undo()
    assert (settings.score, settings.style) == (0.5, "plain")
    with pytest.raises(ValueError, match="there is nothing to undo"):
        history.undo()


def test_a_dragged_sliders_changes_are_one(settings, history, monkeypatch):
    clock = itertools.count(1000.0, 0.03)
    monkeypatch.setattr("maskseg_nb.apps.history.time.monotonic", lambda: next(clock))
    for step in range(1, 20):
        change(settings, history, score=0.5 + step / 100)
    change(settings, history, style="bold")  # of another setting: one of its own, however fast
    history.undo()
    history.keep()
    assert (settings.score, settings.style) == (0.69, "plain")
    history.undo()
    assert settings.score == 0.5


def test_every_choice_is_one_change_however_fast(settings, history, monkeypatch):
    clock = itertools.count(1000.0, 0.03)
    monkeypatch.setattr("maskseg_nb.apps.history.time.monotonic", lambda: next(clock))
    for style in ("bold", "light"):
        change(settings, history, style=style)
    history.undo()
    assert settings.style == "bold"


def test_reset_is_one_change(settings, history):
    change(settings, history, score=0.7, style="bold")
    settings.reset()
    history.keep()
    history.undo()
    assert (settings.score, settings.style) == (0.7, "bold")
