"""What a cell keeps that runs again: with the cell's id as JupyterLab tells it."""

import pytest

from maskseg_nb import Explorer, ThresholdExplorer, sample_photo
from maskseg_nb.apps import kept

PART = sample_photo("cat").read_bytes()


@pytest.fixture
def cell(monkeypatch):
    """A function: from now on this cell runs."""
    monkeypatch.setattr(kept, "_kept", {})

    def run(name):
        monkeypatch.setattr(kept, "cell_id", lambda: name)

    return run


@pytest.mark.slow
def test_settings_and_uploads_survive_in_their_own_cell_alone(cell, tmp_path, street):
    cell("first")
    app = Explorer(tmp_path, street)
    app.state.picture = app.state.runner.pictures.add_upload("mine.png", PART)
    app.state.alpha = 0.8
    again = Explorer(tmp_path, street)
    assert (again.state.picture, again.state.alpha) == ("mine.png (upload)", 0.8)
    assert again.settings == app.settings
    fresh = Explorer(tmp_path, street, keep=False)
    assert fresh.state.alpha == 0.5 and "mine.png (upload)" not in fresh.chooser.picture.options
    cell("second")
    assert Explorer(tmp_path, street).state.alpha == 0.5


@pytest.mark.slow
def test_what_the_cell_asks_for_goes_before_what_it_kept(cell, tmp_path, street):
    cell("first")
    Explorer(tmp_path, street).settings = '{"alpha": 0.8, "mask_threshold": 0.7}'
    app = Explorer(tmp_path, street, settings='{"alpha": 0.3}')
    assert (app.state.alpha, app.state.mask_threshold) == (0.3, 0.7)
    (tmp_path / "other").mkdir()
    assert Explorer(tmp_path / "other", street).state.alpha == 0.5  # another call
    assert ThresholdExplorer(street).state.score_threshold == 0.5


@pytest.mark.slow
def test_what_cannot_be_had_any_more_is_left(cell, tmp_path, street):
    cell("first")
    (tmp_path / "a.jpg").write_bytes(PART)
    app = Explorer(tmp_path, street)
    assert app.state.picture == "a.jpg"
    app.state.alpha = 0.8
    (tmp_path / "a.jpg").unlink()
    again = Explorer(tmp_path, street)
    assert again.state.picture == "restaurant (sample)" and again.state.alpha == 0.8


def test_settings_that_are_none_are_refused(tmp_path, street):
    with pytest.raises(ValueError, match="settings must be JSON"):
        Explorer(tmp_path, street, settings="alpha=0.3")


def test_outside_of_a_notebook_no_cell_runs():
    assert kept.cell_id() is None
