"""The reference is the pipeline by hand for every picture, and a run that was never stopped."""

import csv
import errno
import gc
import io
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from maskseg_nb import (
    draw_instances,
    files,
    folder_work,
    load_image,
    load_model,
    predict,
    preprocess,
    sample_photo,
)
from maskseg_nb.errors import ImageError, MasksegError
from maskseg_nb.folder import segment_folder
from maskseg_nb.folder_records import unique_name
from maskseg_nb.measures import COLUMNS

FORMATS = ("overlay", "instances", "coco", "coco_polygons", "csv")
BAD = "broken.jpg"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Ten small pictures with people and without, one under a strange name, one that is no picture."""
    folder = tmp_path_factory.mktemp("photos")
    restaurant = load_image(sample_photo("restaurant"))
    coffee = load_image(sample_photo("coffee"))
    for number in range(6):
        Image.fromarray(restaurant[:, 40 * number :][:300, :280]).save(folder / f"people {number}.png")
    for number in range(2):
        Image.fromarray(coffee[::2, ::2]).save(folder / f"coffee{number}.jpg")
    Image.fromarray(restaurant[:, ::-1]).save(folder / "line\nbreak.png")
    (folder / BAD).write_bytes(b"this is a text")
    (folder / "notes.txt").write_text("no picture by its name")
    (folder / "album.png").mkdir()
    return folder


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return segment_folder(photos, out, "street", formats=FORMATS, progress=False)


def tree(folder):
    """Every file below a folder and its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def by_hand(path):
    image = load_image(path)
    tensor, _ = preprocess(image, size=image.shape[:2])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return image, predict(load_model("street"), tensor).select(score_threshold=0.5)
    finally:
        torch.set_num_threads(threads)


# What comes out


def test_every_picture_is_segmented_as_by_hand(photos, whole):
    names = sorted(path.name for path in photos.iterdir() if path.is_file() and path.suffix != ".txt")
    assert [path.name for path in whole.paths] == names and len(names) == 10
    assert (whole.skipped, list(whole.failures)) == (0, [BAD])
    assert "'broken.jpg' is not a picture that can be read" in whole.failures[BAD]
    rows = list(csv.DictReader(io.StringIO((whole.out / "instances.csv").read_text())))
    coco = json.loads((whole.out / "coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [name for name in names if name != BAD]
    found = 0
    for image_id, name in enumerate((name for name in names if name != BAD), 1):
        image, instances = by_hand(photos / name)
        overlay = np.asarray(Image.open(whole.out / f"{unique_name(name)}.overlay.png"))
        assert np.array_equal(overlay, draw_instances(image, instances))
        own = [row for row in rows if row["file"] == name]
        assert [(row["category"], float(row["score"])) for row in own] == [
            (category, float(score))
            for category, score in zip(instances.names, instances.scores, strict=True)
        ]
        entries = [entry for entry in coco["annotations"] if entry["image_id"] == image_id]
        for entry, mask in zip(entries, instances.masks, strict=True):
            assert np.array_equal(coco_mask.decode(entry["segmentation"]).astype(bool), mask)
        found += len(instances)
    assert found > 20
    outlined = json.loads((whole.out / "coco-polygons.json").read_text())
    assert outlined["images"] == coco["images"] and len(outlined["annotations"]) == found
    for entry, same in zip(coco["annotations"], outlined["annotations"], strict=True):
        height, width = entry["segmentation"]["size"]
        rings = coco_mask.frPyObjects(same["segmentation"], height, width)
        drawn = coco_mask.decode(coco_mask.merge(rings)).sum()
        mask = np.ascontiguousarray(coco_mask.decode(entry["segmentation"]))
        edges, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        filled = cv2.drawContours(np.zeros_like(mask), edges, -1, 1, cv2.FILLED)  # polygons have no holes
        assert mask.sum() <= drawn <= 1.02 * filled.sum()
    assert [entry["id"] for entry in coco["annotations"]] == list(range(1, found + 1))
    assert {category["name"] for category in coco["categories"]} == {"person", "bicycle", "car", "motorcycle"}


def test_a_bad_picture_is_a_row_of_failures(whole):
    rows = list(csv.reader(io.StringIO((whole.out / "failures.csv").read_text())))
    assert rows == [["file", "error"], [BAD, whole.failures[BAD]]]
    assert not list(whole.out.glob("broken*"))


def test_a_name_that_is_not_plain_gets_one_that_is_and_is_its_own(photos, whole):
    assert unique_name("people 0.png") != unique_name("people_0.png") == "people_0.png"
    assert unique_name("line\nbreak.png").startswith("line_break.png-")
    written = {path.name for path in whole.out.iterdir()}
    assert all(name.isprintable() and " " not in name for name in written)


def test_only_what_was_asked_for_is_written(photos, tmp_path):
    segment_folder(photos, tmp_path / "out", "street", formats=["csv"], progress=False)
    assert sorted(os.listdir(tmp_path / "out")) == ["failures.csv", "instances.csv", "records"]
    header = (tmp_path / "out" / "instances.csv").read_text().split("\n")[0]
    assert header == ",".join(("file", *COLUMNS))


def test_it_says_what_it_did(whole):
    assert str(whole).startswith("10 pictures, 0 done before; 1 failed; ")
    assert [record.file for record in whole.records()] == [path.name for path in whole.paths]


# The same whoever does the work


def test_threads_give_the_same_bytes_with_a_model_of_ones_own(photos, whole, street, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        segment_folder(photos, tmp_path / "out", street, formats=FORMATS, executor=executor, progress=False)
    assert tree(tmp_path / "out") == tree(whole.out)


def test_processes_give_the_same_bytes(photos, whole, tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        segment_folder(photos, tmp_path / "out", "street", formats=FORMATS, executor=executor, progress=False)
    assert tree(tmp_path / "out") == tree(whole.out)


@pytest.fixture(scope="module")
def dask():
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        with Client(cluster) as client:
            yield client


@pytest.mark.filterwarnings("ignore")  # Dask's own, of its sockets and of tornado
def test_a_dask_cluster_gives_the_same_bytes(photos, whole, dask, tmp_path):
    out, executor = tmp_path / "out", dask.get_executor()
    segment_folder(photos, out, "street", formats=FORMATS, executor=executor, progress=False)
    assert tree(out) == tree(whole.out)


@pytest.mark.filterwarnings("ignore")
def test_a_dask_worker_that_is_killed_loses_nothing(photos, whole, dask, tmp_path, monkeypatch):
    killed = []

    def kill_one(paths, *arguments, work=folder_work.run):
        for path in work(paths, *arguments):
            if not killed:
                pid = dask.run(os.getpid)
                killed.append(next(iter(pid.values())))
                os.kill(killed[0], signal.SIGKILL)
            yield path

    monkeypatch.setattr("maskseg_nb.folder.run", kill_one)
    out, executor = tmp_path / "out", dask.get_executor()
    result = segment_folder(photos, out, "street", formats=FORMATS, executor=executor, progress=False)
    assert killed and not psutil.pid_exists(killed[0])
    assert list(result.failures) == [BAD]
    assert tree(out) == tree(whole.out)


def test_a_model_object_cannot_go_to_other_processes(photos, street, tmp_path):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        with pytest.raises(TypeError, match="model must be a name or path"):
            segment_folder(photos, tmp_path / "out", street, executor=executor)


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="nobody forks here")
def test_forked_processes_are_refused_instead_of_waiting_for_ever(photos, tmp_path):
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as executor:
        with pytest.raises(ValueError, match="executor must spawn its processes"):
            segment_folder(photos, tmp_path / "out", "street", executor=executor)
    assert not (tmp_path / "out").exists()


def test_the_network_has_as_many_threads_afterwards_as_before(photos, whole, tmp_path):
    def in_a_new_thread():
        with ThreadPoolExecutor(1) as other:
            return other.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    assert in_a_new_thread() == before > 1 or os.cpu_count() == 1
    segment_folder(photos, tmp_path / "out", "street", formats=["csv"], progress=False)
    assert torch.get_num_threads() == in_a_new_thread() == before


def test_memory_does_not_grow_with_the_number_of_pictures(photos, street, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    data = (photos / "people 0.png").read_bytes()
    for number in range(30):
        (many / f"{number:03d}.png").write_bytes(data)
    tracemalloc.start()
    try:
        held = []
        for run in range(2):  # the first fills caches
            segment_folder(many, tmp_path / str(run), street, formats=["csv"], progress=False)
            gc.collect()
            tensors = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
            dense = [tensor.nbytes for tensor in tensors if tensor.layout == torch.strided]
            held.append(sum(dense) + tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert (held[1] - held[0]) / 30 < 20_000  # bytes a picture; the picture has 252,000


def test_only_so_many_pictures_are_in_hand(photos, street, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_work, "IN_FLIGHT", 3)
    waiting = []

    class Counting(ThreadPoolExecutor):
        def submit(self, *arguments, **options):
            future = super().submit(*arguments, **options)
            waiting.append(sum(not other.done() for other in [*futures, future]))
            futures.append(future)
            return future

    futures = []
    with Counting(1) as executor:
        segment_folder(photos, tmp_path / "out", street, formats=["csv"], executor=executor, progress=False)
    assert len(futures) == 10 and max(waiting) <= 3


# Stopped, and gone on with

CHILD = """
import sys
from maskseg_nb.folder import segment_folder
segment_folder(sys.argv[1], sys.argv[2], "street", formats={formats!r}, progress=False)
"""


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_a_run_that_goes_on_ends_with_the_same_bytes(photos, whole, tmp_path, seed):
    out = tmp_path / "out"
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(formats=FORMATS), photos, out])
    random = np.random.default_rng(seed)
    records = out / "records"
    enough = int(random.integers(1, 9))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (records.is_dir() and len(os.listdir(records)) >= enough):
        assert child.poll() is None
        time.sleep(0.002)
    time.sleep(float(random.uniform(0, 0.15)))
    child.kill()
    child.wait()
    kept = len([path for path in records.iterdir() if path.suffix == ".json"])
    result = segment_folder(photos, out, "street", formats=FORMATS, progress=False)
    assert kept - 1 <= result.skipped <= kept  # the last one may have been a partial file
    assert tree(out) == tree(whole.out)


def test_an_interrupt_leaves_whole_files_and_a_run_that_goes_on(photos, whole, street, tmp_path, monkeypatch):
    def interrupt(*arguments, work=folder_work.run):
        for number, path in enumerate(work(*arguments)):
            yield path
            if number == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr("maskseg_nb.folder.run", interrupt)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        segment_folder(photos, out, street, formats=FORMATS, progress=False)
    assert not list(out.rglob(f"{files.PARTIAL}*"))
    for name, data in tree(out).items():
        assert tree(whole.out)[name] == data
    monkeypatch.undo()
    result = segment_folder(photos, out, street, formats=FORMATS, progress=False)
    assert result.skipped >= 4
    assert tree(out) == tree(whole.out)


def test_what_is_done_is_not_done_again_until_something_changes(photos, whole, street, tmp_path, monkeypatch):
    out, seen = tmp_path / "out", []

    def counted(path, *arguments, work=folder_work.segment_one):
        seen.append(path.name)
        work(path, *arguments)

    monkeypatch.setattr(folder_work, "segment_one", counted)

    def again(**options):
        seen.clear()
        segment_folder(photos, out, street, **{"formats": ["csv"], "progress": False, **options})
        return len(seen)

    assert again() == 10
    assert again() == 0
    assert again(score_threshold=0.6) == 10
    assert again(score_threshold=0.6) == 0
    assert again(score_threshold=0.6, resume=False) == 10
    os.utime(photos / "coffee0.jpg", ns=(1, 1))
    assert again(score_threshold=0.6) == 1 and seen == ["coffee0.jpg"]
    record = out / "records" / "coffee1.jpg.json"
    record.write_bytes(record.read_bytes()[:40])
    assert again(score_threshold=0.6) == 1 and seen == ["coffee1.jpg"]


# What can go wrong


def test_a_full_disk_stops_the_run_and_is_no_picture_s_fault(photos, street, tmp_path, monkeypatch):
    written = []

    def full(handle):
        written.append(1)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(ImageError, match="cannot be written: No space left on device"):
            segment_folder(photos, out, street, formats=FORMATS, progress=False)
    assert not list(out.rglob(f"{files.PARTIAL}*"))
    result = segment_folder(photos, out, street, formats=FORMATS, progress=False)
    assert list(result.failures) == [BAD]


def test_no_memory_for_a_picture_is_a_row_of_failures(photos, street, tmp_path, monkeypatch):
    def fail(model, tensor, predict=predict):
        if tensor.shape[-1] == 500:
            raise MemoryError
        return predict(model, tensor)

    monkeypatch.setattr(folder_work, "predict", fail)
    result = segment_folder(photos, tmp_path / "out", street, formats=["csv"], progress=False)
    assert result.failures["line\nbreak.png"] == "not enough memory to segment it; make it smaller"
    assert len(result.failures) == 2


def test_an_unexpected_error_is_not_hidden(photos, street, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_work, "predict", lambda model, tensor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        segment_folder(photos, tmp_path / "out", street, progress=False)


@pytest.mark.parametrize("folder", ["missing", "file", "empty"])
def test_no_folder_and_no_picture_are_clear_errors(tmp_path, street, folder):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(MasksegError, match="give a folder of pictures|no pictures in"):
        segment_folder(tmp_path / folder, tmp_path / "out", street)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_in_it_is_not_written_to(photos, street, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(MasksegError, match="neither empty nor of an earlier run; give a new folder"):
        segment_folder(photos, tmp_path, street)
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"score_threshold": 2}, ValueError),
        ({"mask_threshold": "0.5"}, TypeError),
        ({"alpha": float("nan")}, ValueError),
        ({"overlap": "first"}, ValueError),
        ({"formats": ["jpeg"]}, ValueError),
        ({"formats": "csv"}, TypeError),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(photos, street, tmp_path, option, error):
    (name,) = option
    with pytest.raises(error, match=name):
        segment_folder(photos, tmp_path / "out", street, **option)
    assert not (tmp_path / "out").exists()
