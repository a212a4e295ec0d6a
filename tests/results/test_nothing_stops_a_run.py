"""A picture may kill its worker, a record may be damaged, a second run may come: the tables are made."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskseg_nb import segment_folder
from maskseg_nb.errors import MasksegError
from maskseg_nb.results import folder_worker
from maskseg_nb.results.folder import segment_pictures
from maskseg_nb.results.formats import ENDINGS, FORMATS, Exported, write_csv
from predictions import CATEGORIES, made_up
from small_models import tiny_model

SIZE = (48, 64)
KILLER = 250  # the grey of a picture that kills the process which segments it
EVERY = tuple(FORMATS)


def stub(model, image):
    """A prediction that depends on the picture alone, in place of the network's."""
    if image[0, 0, 0] == KILLER:
        os.kill(os.getpid(), signal.SIGKILL)
    return made_up(4, image.shape[:2], seed=int(image[0, 0, 0]))


def install_stub():
    folder_worker.predict_at_own_size = stub


@pytest.fixture
def stubbed(monkeypatch):
    monkeypatch.setattr(folder_worker, "predict_at_own_size", stub)


@pytest.fixture(scope="module")
def model():
    return tiny_model(CATEGORIES)


def photos(folder: Path, *greys: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number, grey in enumerate(greys):
        Image.new("RGB", SIZE[::-1], (grey,) * 3).save(folder / f"{number:02d}.png")
    return folder


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def failures(out):
    return dict(list(csv.reader(io.StringIO((out / "failures.csv").read_text())))[1:])


# What kills a worker


@pytest.mark.slow
def test_a_picture_that_kills_its_process_is_a_failure_and_the_run_ends_with_its_tables(tmp_path):
    folder, out = photos(tmp_path / "in", 1, KILLER, 2, 3, 4, 5), tmp_path / "out"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=install_stub) as executor:
        result = segment_folder(folder, out, "street", formats=["csv"], executor=executor, progress=False)
    assert list(result.failures) == ["01.png"] == list(failures(out))
    assert "its worker died twice" in result.failures["01.png"]
    rows = list(csv.DictReader(io.StringIO((out / "instances.csv").read_text())))
    assert {row["file"] for row in rows} == {f"{n:02d}.png" for n in (0, 2, 3, 4, 5)}


CHILD = """
import sys
sys.path[:0] = {path!r}
from results.test_nothing_stops_a_run import CATEGORIES, install_stub, segment_folder, tiny_model
install_stub()
model = tiny_model(CATEGORIES)
print(segment_folder(sys.argv[1], sys.argv[2], model, formats=["csv"], progress=False))
"""


@pytest.mark.slow
def test_a_picture_that_kills_the_whole_run_is_a_failure_after_two_runs(stubbed, model, tmp_path):
    """As the system kills a process for its memory, where the workers are threads of that very process."""
    folder, out = photos(tmp_path / "in", 1, KILLER, 2, 3), tmp_path / "out"
    child = [sys.executable, "-c", CHILD.format(path=[str(Path(__file__).parents[1])]), folder, out]
    for _ in range(2):
        assert subprocess.run(child, capture_output=True, timeout=300).returncode == -signal.SIGKILL
    result = segment_folder(folder, out, model, formats=["csv"], progress=False)
    assert list(result.failures) == ["01.png"] and "its worker died twice" in result.failures["01.png"]
    assert {record.file for record in result.records() if record.rows} == {"00.png", "02.png", "03.png"}
    assert not (out / ".begun").exists()
    (folder / "01.png").unlink()
    photos(folder, 1, 7, 2, 3)  # a failure that may not be the picture's own is tried again
    assert segment_folder(folder, out, model, formats=["csv"], progress=False).failures == {}


@pytest.mark.parametrize("note", [b"", b"[" * 100_000, b"[1]", b'{"00.png": 5, "nobody": true}', b"\xff"])
def test_a_damaged_note_of_what_was_begun_stops_nothing(stubbed, model, tmp_path, note):
    folder, out = photos(tmp_path / "in", 1, 2), tmp_path / "out"
    (out / "records").mkdir(parents=True)
    (out / ".begun").write_bytes(note)
    assert segment_folder(folder, out, model, formats=["csv"], progress=False).failures == {}
    assert segment_folder(folder, out, model, formats=["csv"], progress=False).skipped == 2


# Somebody else in the folder


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_is_not_disturbed(
    stubbed, model, tmp_path, monkeypatch
):
    folder, out = photos(tmp_path / "in", 1, 2, 3), tmp_path / "out"
    begun, go_on = threading.Event(), threading.Event()

    def slow(*arguments, real=stub):
        begun.set()
        assert go_on.wait(60)
        return real(*arguments)

    monkeypatch.setattr(folder_worker, "predict_at_own_size", slow)
    results = []
    options = {"formats": EVERY, "progress": False}
    first = threading.Thread(target=lambda: results.append(segment_folder(folder, out, model, **options)))
    first.start()
    try:
        assert begun.wait(60)
        said = rf"another run is writing into .*out' \(process {os.getpid()} on .*\); wait for it"
        with pytest.raises(MasksegError, match=said):
            segment_folder(folder, out, model, **options)
    finally:
        go_on.set()
        first.join()
    segment_folder(folder, tmp_path / "alone", model, **options)
    assert tree(out) == tree(tmp_path / "alone") and results[0].failures == {}


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
def test_a_link_inside_the_folder_leads_nowhere(stubbed, model, tmp_path):
    folder, out, elsewhere = photos(tmp_path / "in", 1), tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir()
    for name in (".partial-1", "00.png.json", "thesis.tex"):
        (elsewhere / name).write_text("years of work")
    before = tree(elsewhere)
    (out / "records").symlink_to(elsewhere)
    with pytest.raises(
        MasksegError, match="records' is a link, which could lead anywhere; give a new folder"
    ):
        segment_folder(folder, out, model, progress=False)
    (out / "records").unlink()
    (out / "records").mkdir()
    for name in ("instances.csv", ".begun", ".partial-2", "00.png.overlay.png", "records/00.png.json"):
        (out / name).symlink_to(elsewhere / "thesis.tex")
    assert segment_folder(folder, out, model, progress=False).failures == {}
    assert tree(elsewhere) == before
    segment_folder(folder, tmp_path / "new", model, progress=False)
    assert tree(out) == tree(tmp_path / "new")


def test_a_folder_of_the_name_of_a_partial_file_is_left_alone(stubbed, model, tmp_path):
    folder, out = photos(tmp_path / "in", 1), tmp_path / "out"
    (out / "records").mkdir(parents=True)
    (out / ".partial-mine").mkdir()
    assert segment_folder(folder, out, model, progress=False).failures == {}
    assert (out / ".partial-mine").is_dir()


# Files of an earlier result


def test_a_picture_that_is_broken_now_has_no_files_of_what_it_was(stubbed, model, tmp_path):
    folder, out = photos(tmp_path / "in", 1, 2), tmp_path / "out"
    segment_folder(folder, out, model, formats=EVERY, progress=False)
    assert len(list(out.glob("00.png.*"))) > len(ENDINGS)
    (folder / "00.png").write_bytes(b"this is a text")
    assert list(segment_folder(folder, out, model, formats=EVERY, progress=False).failures) == ["00.png"]
    assert list(out.glob("00.png.*")) == [] and list(out.glob("01.png.*"))
    segment_folder(folder, tmp_path / "new", model, formats=EVERY, progress=False)
    assert tree(out) == tree(tmp_path / "new")


def test_a_picture_that_is_not_given_again_keeps_its_files_but_is_in_no_table(stubbed, model, tmp_path):
    """The next call into the same folder may be about other pictures: nobody asked for these to go."""
    folder, out = photos(tmp_path / "in", 1, 2), tmp_path / "out"
    segment_folder(folder, out, model, progress=False)
    segment_pictures([folder / "01.png"], out, model, progress=False)
    assert (out / "00.png.overlay.png").exists()
    assert "00.png" not in (out / "instances.csv").read_text() + (out / "coco.json").read_text()


def test_the_endings_are_those_of_the_files_that_the_formats_write():
    image, instances = (
        np.zeros((*SIZE, 3), np.uint8),
        made_up(3, SIZE).select(score_threshold=0).with_pixels(),
    )
    for name, endings in ENDINGS.items():
        assert tuple(FORMATS[name](Exported(image, instances, "a", 0.5, "surest"))) == endings


# Damaged records, and what a spreadsheet makes of a table


@pytest.fixture
def one(stubbed, model, tmp_path):
    """A run of one picture, and its record as a dictionary."""
    folder, out = photos(tmp_path / "in", 1), tmp_path / "out"
    segment_folder(folder, out, model, formats=EVERY, progress=False)
    record = out / "records" / "00.png.json"
    return folder, out, record, json.loads(record.read_bytes())


WRONG = [5, "x", None, [5], {"a": 1}, [[]], [{}], [None], 1e400, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["error", "image_size", "rows", "entries", "limit", "retry", "settings", "stamp", "file"]
)
def test_a_record_of_wrong_kinds_is_made_again(one, model, name):
    folder, out, record, good = one
    whole = tree(out)
    for wrong in WRONG:
        if (name, wrong) in (("error", "x"), ("limit", 5), ("retry", None)):
            continue  # what a record may well hold
        record.write_text(json.dumps(good | {name: wrong}))
        segment_folder(folder, out, model, formats=EVERY, progress=False)
        assert tree(out) == whole, (name, wrong)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["rows", "entries"])
def test_a_record_whose_rows_or_entries_are_damaged_is_made_again(one, model, part):
    folder, out, record, good = one
    whole = tree(out)
    for key in good[part][0]:
        if key in ("score", "bbox", "area", "iscrowd") and part == "entries":
            continue  # any JSON of theirs can be written into coco.json
        for wrong in ({}, {key: "x" if key != "category" else 5}, {key: [1]}):
            damaged = json.loads(json.dumps(good))
            damaged[part][0] = {k: v for k, v in damaged[part][0].items() if k != key} | wrong
            record.write_text(json.dumps(damaged))
            segment_folder(folder, out, model, formats=EVERY, progress=False)
            assert tree(out) == whole, (key, wrong)
    for content in (b"[" * 200_000, b"", b"null", b"\xff\xfe", b'{"file": "00.png"}'):
        record.write_bytes(content)
        segment_folder(folder, out, model, formats=EVERY, progress=False)
        assert tree(out) == whole


@pytest.mark.parametrize("counts", ["", "0", "~~~~", "P" * 50, "o" * 3000, "\u00e9"])
def test_run_lengths_that_are_none_reach_no_decoder(one, model, counts):
    folder, out, record, good = one
    whole = tree(out)
    good["entries"][0]["segmentation"]["counts"] = counts
    record.write_text(json.dumps(good))
    segment_folder(folder, out, model, formats=EVERY, progress=False)
    assert tree(out) == whole


FORMULAS = ["=HYPERLINK(1).png", "+1.png", "-2+3.png", "@SUM(1).png", "\t=1.png"]


@pytest.mark.skipif(os.name != "posix", reason="no such names on Windows")
def test_no_cell_of_a_table_is_a_formula(stubbed, model, tmp_path):
    (tmp_path / "in").mkdir()
    for number, name in enumerate([*FORMULAS, "plain=1.png", "a\r=1.png"]):
        Image.new("RGB", SIZE[::-1], (number,) * 3).save(tmp_path / "in" / name)
        (tmp_path / "in" / f"{name[:-4]} broken.png").write_bytes(b"text")
    out = tmp_path / "out"
    segment_folder(tmp_path / "in", out, model, formats=["csv", "coco"], progress=False)
    cells = []
    for table in ("instances.csv", "failures.csv"):
        with open(out / table, newline="") as file:
            cells += [cell for row in csv.reader(file) for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []
    assert {f"'{name}" for name in FORMULAS} | {"plain=1.png", "a\\r=1.png"} <= set(cells)
    names = {image["file_name"] for image in json.loads((out / "coco.json").read_text())["images"]}
    assert names == {
        *FORMULAS,
        "plain=1.png",
        "a\r=1.png",
    }  # where nothing takes it for a formula, it is as it is


def test_a_category_is_no_formula_either_and_a_negative_number_stays_one():
    text = io.StringIO()
    write_csv(text, [{"file": "a.png", "category": "=1+1", "x1": -3.5}])
    assert text.getvalue().splitlines()[1].startswith("a.png,,'=1+1,,-3.5,")
