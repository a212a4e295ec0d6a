"""What commit 4efb143 left half done, when all modules still lay in one folder, can be finished today.

`former/` holds what it wrote with `small_models`: a folder run that was stopped after one of two pictures,
an evaluation's cache after two of four, and a training's checkpoint after two of four steps.
`former/folder` is what a folder run wrote before its pictures were handled in chunks (commit 7995c51).
"""

import json
import lzma
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from maskseg_nb import ShapesDataset, TrainingSettings, evaluate, segment_folder, train
from maskseg_nb.data.shapes import CATEGORIES
from maskseg_nb.errors import TrainingError
from predictions import CATEGORIES as NAMES
from predictions import made_up
from small_models import even_model, tiny_model

FORMER = Path(__file__).parent / "former"
DATA = ShapesDataset(4, size=(64, 64))


@pytest.fixture
def former(tmp_path):
    """A copy of the files; of a checkout, git alone decides when they were changed."""
    shutil.copytree(FORMER, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "pictures").iterdir():
        os.utime(path, ns=(10**18, 10**18))
    return tmp_path


def segmented(former, out):
    formats, categories = ("overlay", "instances", "coco", "csv"), ["square", "circle"]
    model = tiny_model(CATEGORIES)
    return segment_folder(
        former / "pictures", out, model, formats=formats, categories=categories, progress=False
    )


def contents(folder):
    """Every file below a folder and its bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore:.*limit of 5 detections")
def test_a_folder_that_was_stopped_half_way_ends_as_one_that_never_was(former):
    """It numbered the instances in another way, so that even the picture that was done is done again."""
    out, whole = former / "results", segmented(former, former / "whole").out
    assert segmented(former, out).skipped == 0
    assert contents(out) == contents(whole)
    assert segmented(former, out).skipped == 2


def greys(folder):
    """Three pictures, whose files have the same bytes whatever wrote them, and a broken one."""
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.ppm").write_bytes(b"P6 64 48 255\n" + bytes([40 * number]) * (64 * 48 * 3))
    (folder / "=broken.png").write_bytes(b"this is a text")
    for path in folder.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    return folder


def test_a_folder_run_writes_the_bytes_that_it_wrote_before(tmp_path, monkeypatch):
    """But for a name that a spreadsheet would take for a formula."""
    from maskseg_nb.results import folder_worker

    def stub(model, image):
        return made_up(image[0, 0, 0] // 40, image.shape[:2], seed=7)

    monkeypatch.setattr(folder_worker, "predict_at_own_size", stub)
    out, formats = tmp_path / "out", ("csv", "coco", "coco_polygons", "contours")
    segment_folder(greys(tmp_path / "in"), out, tiny_model(NAMES), formats=formats, progress=False)
    now, before = contents(out), contents(FORMER / "folder")
    failures = now.pop(Path("failures.csv")).decode()
    assert failures.replace("'=broken.png,", "=broken.png,").encode() == before.pop(Path("failures.csv"))
    assert now == before


def test_an_evaluation_runs_the_network_only_for_what_is_not_in_the_cache(former, monkeypatch):
    from maskseg_nb.evaluation import detections

    asked = []

    def counted(*arguments, predict=detections.predict_at_own_size):
        asked.append(arguments)
        return predict(*arguments)

    monkeypatch.setattr(detections, "predict_at_own_size", counted)
    model, cache = tiny_model(CATEGORIES), former / "evaluation"
    (kept,) = cache.iterdir()
    lines = kept.read_bytes().splitlines()
    resumed = evaluate(model, DATA, cache=cache, progress=False)
    assert len(asked) == 2 and list(cache.iterdir()) == [kept]
    assert len(lines) == 2 and kept.read_bytes().splitlines()[:2] == lines
    assert json.loads(lines[0]).keys() == json.loads(kept.read_bytes().splitlines()[3]).keys()
    whole = evaluate(model, DATA, progress=False)
    assert resumed.masks == pytest.approx(whole.masks, abs=1e-3, nan_ok=True)
    assert resumed.boxes == pytest.approx(whole.boxes, abs=1e-3, nan_ok=True)
    assert [p.match.outcomes for p in resumed.pictures] == [p.match.outcomes for p in whole.pictures]


def trained(folder, monkeypatch, **changed):
    monkeypatch.setattr("maskseg_nb.training.loop.has_native_bfloat16", lambda device: False)
    small = {"steps": 4, "batch_size": 2, "sizes": ((64, 64),), "rois": 8, "save_every": 2, "warm_up": 2}
    settings = TrainingSettings(**small, freeze=("stem", "C2"), **changed)
    steps = []
    result = train(even_model(CATEGORIES), DATA, folder, settings, watch=lambda p: steps.append(p.step))
    return result, steps


@pytest.fixture
def checkpoint(former):
    """118 MB, for which 34 kB are enough: nearly all of its numbers are the same."""
    path = former / "training" / "checkpoint.safetensors"
    path.write_bytes(lzma.decompress(path.with_suffix(".safetensors.xz").read_bytes()))
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")  # nearly all scores are equal: their order depends on the threads
def test_a_training_resumes_after_the_checkpoint_to_the_same_losses(checkpoint, tmp_path, monkeypatch):
    resumed, steps = trained(checkpoint.parent, monkeypatch)
    whole, all_steps = trained(tmp_path / "whole", monkeypatch)
    assert (steps, all_steps) == ([3, 4], [1, 2, 3, 4])
    np.testing.assert_allclose(resumed.losses, whole.losses, rtol=1e-3)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_allclose(resumed.model.state_dict()[name], value, rtol=1e-2, atol=1e-5)


def test_a_checkpoint_of_other_settings_is_refused_with_what_differs(checkpoint, monkeypatch):
    before = checkpoint.stat().st_mtime_ns
    with pytest.raises(TrainingError, match="with 'settings.seed 0 instead of 1'; give another folder"):
        trained(checkpoint.parent, monkeypatch, seed=1)
    assert checkpoint.stat().st_mtime_ns == before
