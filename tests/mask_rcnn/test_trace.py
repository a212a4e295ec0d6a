"""A trace keeps its stages; a second run repeats only what its knobs touch."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from maskseg_nb import predict, preprocess, sample_photo
from maskseg_nb.mask_rcnn.knobs import Knobs
from maskseg_nb.mask_rcnn.trace import STAGES, trace
from street_levels import PER_LEVEL, PROPOSALS


@pytest.fixture(scope="module")
def tensor():
    return preprocess(sample_photo("restaurant"), (300, 400))[0]


@pytest.fixture(scope="module")
def first(street, tensor):
    return trace(street, tensor)


def same(one, other):
    a, b = one.prediction, other.prediction
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("boxes", "labels", "scores", "mask_probs")
    )


@pytest.mark.parametrize(
    ("knobs", "rerun"),
    [
        ({}, ()),
        ({"box_nms_threshold": 0.3}, ("detections", "masks")),
        ({"rpn_nms_threshold": 0.3}, ("proposals", "box_scores", "detections", "masks")),
        (
            {"box_score_threshold": 0.3, "rpn_min_size": 20.0},
            ("proposals", "box_scores", "detections", "masks"),
        ),
    ],
)
def test_rerun_shares_every_untouched_stage_and_equals_a_run_from_scratch(
    street, tensor, first, knobs, rerun
):
    again = first.rerun(**knobs)
    assert again.rerun_stages == rerun
    for stage in STAGES:
        assert (getattr(again, stage) is getattr(first, stage)) == (stage not in rerun)
    assert same(again, trace(street, tensor, **knobs))
    assert list(again.milliseconds) == list(STAGES)


def test_a_knob_set_to_what_it_is_runs_nothing(first):
    assert first.rerun(box_nms_threshold=first.knobs.box_nms_threshold).rerun_stages == ()


def test_the_first_run_computes_every_stage(first):
    assert first.rerun_stages == tuple(STAGES)


def test_a_stage_has_one_name_and_reads_only_what_comes_before_it(first):
    known = ["model", "tensor"]
    for name, stage in STAGES.items():
        assert stage.compute.__name__ == name == stage.title.lower().replace(" ", "_")
        assert type(getattr(first, name)).__name__ == stage.title.title().replace(" ", "")
        parameters = inspect.signature(stage.compute).parameters.values()
        assert [p.name for p in parameters if p.kind is p.KEYWORD_ONLY] == list(stage.knobs)
        assert len(parameters) == len(stage.reads) + len(stage.knobs)
        assert set(stage.reads) <= set(known)
        known.append(name)


def test_each_knob_belongs_to_one_stage():
    heeded = [knob for stage in STAGES.values() for knob in stage.knobs]
    assert heeded == [field.name for field in fields(Knobs)]


def test_predict_names_the_stages_in_order():
    described = [line.split()[0] for line in predict.__doc__.splitlines() if line.startswith(" " * 8)]
    assert [word for word in described if word in STAGES] == list(STAGES)


def test_a_trace_says_in_a_line_what_is_in_it(first):
    counts = first.anchors.boxes, first.proposals.boxes, first.prediction
    anchors, proposals, detections = (f"{len(rows):,}" for rows in counts)
    assert repr(first) == (
        f"Trace(300 x 400: {anchors} anchors, {proposals} proposals, {detections} detections)"
    )


def test_the_default_knobs_are_the_models_own(street):
    knobs = Knobs.of(street)
    assert (knobs.rpn_pre_nms_top_n, knobs.rpn_post_nms_top_n) == (PER_LEVEL, PROPOSALS)
    assert (knobs.box_score_threshold, knobs.box_detections_per_img) == (0.05, 50)


@pytest.mark.parametrize(
    ("knobs", "error", "message"),
    [
        ({"box_nms": 0.3}, TypeError, "no knob 'box_nms'; there are rpn_pre_nms_top_n"),
        ({"box_nms_threshold": 1.5}, ValueError, r"box_nms_threshold must be a number in \[0, 1\], got 1.5"),
        ({"rpn_score_threshold": float("nan")}, ValueError, "rpn_score_threshold must be a number"),
        (
            {"rpn_pre_nms_top_n": 0},
            ValueError,
            "rpn_pre_nms_top_n must be a whole number of at least 1, got 0",
        ),
        ({"box_detections_per_img": 2.5}, ValueError, "box_detections_per_img must be a whole number"),
        ({"rpn_min_size": -1.0}, ValueError, "rpn_min_size must be a number of at least 0"),
        ({"rpn_post_nms_top_n": True}, ValueError, "rpn_post_nms_top_n must be a whole number"),
        ({"box_score_threshold": "0.5"}, ValueError, "box_score_threshold must be a number in"),
    ],
)
def test_a_wrong_knob_is_refused(street, tensor, first, knobs, error, message):
    for run in (lambda: trace(street, tensor, **knobs), lambda: first.rerun(**knobs)):
        with pytest.raises(error, match=message):
            run()


def test_every_knob_is_checked(first):
    for field in fields(Knobs):
        with pytest.raises(ValueError, match=f"{field.name} must be"):
            first.knobs.changed({field.name: -1})
