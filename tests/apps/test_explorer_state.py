"""The explorer's state, without a widget: when the network runs, and what threads do to it."""

import cv2
import numpy as np
import pytest

from maskseg_nb import (
    ImageError,
    draw_instances,
    draw_semantic_map,
    load_model,
    overlay_segmentation_mask,
    predict,
    preprocess,
    sample_photo,
    semantic_map,
)
from maskseg_nb.apps.explorer.state import STYLES, ExplorerState
from maskseg_nb.apps.picture_sources import PictureSources


@pytest.fixture
def state(tmp_path, street, prediction, monkeypatch):
    """A state that has been brought up to date once; `state.runs` are the forward passes since then."""
    cv2.imwrite(str(tmp_path / "small.png"), np.full((40, 60, 3), 90, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no more")
    state = ExplorerState(PictureSources(tmp_path), street)
    state.picture = "restaurant (sample)"
    with monkeypatch.context() as patch:  # its first run is the one that other tests have, too
        patch.setattr("maskseg_nb.apps.explorer.state.predict", lambda model, tensor: prediction)
        state.update()
    state.runs = []
    hook = street.backbone.register_forward_hook(lambda *_: state.runs.append(state.picture))
    yield state
    hook.remove()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("score_threshold", 0.9),
        ("mask_threshold", 0.1),
        ("alpha", 0.9),
        ("labels", False),
        ("hidden_categories", ("person",)),
        *(("style", style) for style in STYLES if style != "colour per instance"),
    ],
)
def test_a_knob_changes_the_picture_and_never_runs_the_network(state, setting, value):
    before = state.blended
    setattr(state, setting, value)
    state.update()
    assert (state.blended != before).any()
    assert state.runs == []


@pytest.mark.parametrize(("setting", "value"), [("picture", "small.png"), ("input_size", "proportions kept")])
def test_a_choice_runs_the_network_once(state, setting, value):
    setattr(state, setting, value)
    state.update()
    state.update()
    assert len(state.runs) == 1


@pytest.mark.slow
def test_another_model_is_loaded_once_and_kept(state):
    loaded = []
    state.runner.load_model = lambda name: loaded.append(name) or load_model("street")
    for name in ("coco", "street", "coco"):
        state.model_name = name
        state.update()
    assert loaded == ["coco"]


def test_each_style_is_the_public_function_on_the_same_instances(state, street):
    tensor, image = preprocess(sample_photo("restaurant"))
    instances = predict(street, tensor).select(score_threshold=0.4, mask_threshold=0.3)
    state.score_threshold, state.mask_threshold, state.alpha = 0.4, 0.3, 0.7
    expected = {
        "white, as documented": overlay_segmentation_mask(image, instances.masks, 0.7),
        "colour per instance": draw_instances(image, instances, 0.7),
        "colour per category": draw_instances(image, instances, 0.7, color_by="category"),
        "colour and outline": draw_instances(image, instances, 0.7, outline=True),
        "semantic map": draw_semantic_map(image, semantic_map(instances), 0.7),
    }
    assert list(expected) == list(STYLES)
    for style, blended in expected.items():
        state.style = style
        state.update()
        np.testing.assert_array_equal(state.blended, blended)


def test_reset_restores_the_knobs_and_keeps_the_picture(state):
    first = state.blended
    state.score_threshold, state.alpha, state.style, state.labels = 0.9, 0.1, "semantic map", False
    state.hidden_categories = ("person",)
    state.update()
    state.reset()
    state.update()
    np.testing.assert_array_equal(state.blended, first)
    assert state.runs == []


def test_an_unknown_style_is_refused(state):
    with pytest.raises(ValueError, match="style must be any of .*, got 'sepia'"):
        state.style = "sepia"


@pytest.mark.parametrize("wrong", ["broken.png", "no such picture"])
def test_a_picture_that_cannot_be_read_leaves_everything_as_it_was(state, wrong):
    before = state.blended
    state.picture = wrong
    with pytest.raises(ImageError):
        state.update()
    assert state.picture == "restaurant (sample)"
    state.update()
    assert state.blended is before
    state.picture = "small.png"
    state.update()
    assert state.image.shape == (40, 60, 3)  # a person's own picture keeps its proportions


def test_the_note_names_the_best_rejected_score(state):
    assert state.note() == ""
    state.score_threshold = 1.0
    state.update()
    best = state.prediction.scores.max()
    assert f"Nothing scores 1.00 or more. The best rejected is person {best:.2f}" in state.note()
    state.score_threshold, state.hidden_categories = 0.5, state.found_categories
    state.update()
    assert "Every category found is hidden" in state.note()
    state.picture = "small.png"
    state.update()
    assert "found nothing of its 4 categories" in state.note()


def test_the_counts_are_those_of_the_prediction(state):
    state.score_threshold = 0.3
    names = [state.prediction.categories[label] for label in state.prediction.labels]
    for name, (kept, found) in state.category_counts().items():
        assert found == names.count(name)
        assert kept == sum(
            n == name and s >= 0.3 for n, s in zip(names, state.prediction.scores, strict=True)
        )
    assert sum(found for _, found in state.category_counts().values()) == len(state.prediction)
