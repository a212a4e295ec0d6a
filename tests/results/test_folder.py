"""The reference is the pipeline by hand for every picture, and a run that was never stopped."""

import copy
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
from safetensors.torch import save_file
from torchvision.models.detection import MaskRCNN

from maskseg_nb import (
    draw_instances,
    load_image,
    load_model,
    predict,
    preprocess,
    sample_photo,
)
from maskseg_nb._shared import files
from maskseg_nb.errors import ImageError, MasksegError
from maskseg_nb.mask_rcnn.predict import predict_at_own_size
from maskseg_nb.models.details import metadata_of
from maskseg_nb.results import chunks, folder_worker
from maskseg_nb.results.folder import pictures_in, segment_folder, segment_pictures
from maskseg_nb.results.folder_contents import said
from maskseg_nb.results.folder_names import named, unique_name
from maskseg_nb.results.folder_worker import Options
from maskseg_nb.results.measures import COLUMNS

FORMATS = ("overlay", "instances", "coco", "coco_polygons", "csv")
BAD = "broken.jpg"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Ten small pictures with people and without, one under a strange name, one that is not a picture."""
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
def model_file(street, tmp_path_factory) -> Path:
    """The shipped model, at a third of its resolution: a picture takes half of the time."""
    model = copy.deepcopy(street)
    model.transform.min_size, model.transform.max_size = (192,), 384
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_file(model.state_dict(), path, metadata_of(model))
    return path


@pytest.fixture(scope="module")
def small(model_file) -> MaskRCNN:
    return load_model(model_file)


@pytest.fixture(scope="module")
def whole(photos, model_file, tmp_path_factory):
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return segment_folder(photos, out, model_file, formats=FORMATS, progress=False)


def tree(folder):
    """Every file below a folder and its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def by_hand(path, model):
    image = load_image(path)
    tensor, _ = preprocess(image, size=image.shape[:2])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return image, predict(model, tensor).select(score_threshold=0.5)
    finally:
        torch.set_num_threads(threads)


# What comes out


def test_every_picture_is_segmented_as_by_hand(photos, whole, small):
    names = sorted(path.name for path in photos.iterdir() if path.is_file() and path.suffix != ".txt")
    assert [path.name for path in whole.paths] == names and len(names) == 10
    assert (whole.skipped, list(whole.failures)) == (0, [BAD])
    assert "'broken.jpg' is not a picture that can be read" in whole.failures[BAD]
    rows = list(csv.DictReader(io.StringIO((whole.out / "instances.csv").read_text())))
    coco = json.loads((whole.out / "coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [name for name in names if name != BAD]
    found = 0
    for image_id, name in enumerate((name for name in names if name != BAD), 1):
        image, instances = by_hand(photos / name, small)
        overlay = np.asarray(Image.open(whole.out / f"{unique_name(name)}.overlay.png"))
        assert np.array_equal(overlay, draw_instances(image, instances))
        own = [row for row in rows if row["file"] == name]
        numbers = instances.numbers.tolist()
        assert [(int(row["instance"]), row["category"], row["score"]) for row in own] == [
            (number, category, str(round(float(score), 4)))
            for number, category, score in zip(numbers, instances.names, instances.scores, strict=True)
        ]
        entries = [entry for entry in coco["annotations"] if entry["image_id"] == image_id]
        assert [entry["instance"] for entry in entries] == numbers
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


@pytest.mark.slow
def test_only_what_was_asked_for_is_written(few, tmp_path):
    segment_folder(few, tmp_path / "out", "street", formats=["csv"], progress=False)
    assert sorted(os.listdir(tmp_path / "out")) == ["failures.csv", "instances.csv", "records"]
    header = (tmp_path / "out" / "instances.csv").read_text().split("\n")[0]
    assert header == ",".join(("file", *COLUMNS))


def test_it_reports_what_it_did(whole):
    assert str(whole).startswith("10 pictures, 0 done before; 1 failed; ")
    assert str(whole).endswith(" a second; 1 file passed over: 1 .txt; 1 folder inside not entered")
    assert [record.file for record in whole.records()] == [path.name for path in whole.paths]


# The same bytes whoever does the work


@pytest.mark.slow
def test_threads_give_the_same_bytes_with_a_loaded_model(photos, whole, small, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        segment_folder(photos, tmp_path / "out", small, formats=FORMATS, executor=executor, progress=False)
    assert tree(tmp_path / "out") == tree(whole.out)


@pytest.mark.slow
def test_processes_give_the_same_bytes(photos, whole, model_file, tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        segment_folder(
            photos, tmp_path / "out", model_file, formats=FORMATS, executor=executor, progress=False
        )
    assert tree(tmp_path / "out") == tree(whole.out)


@pytest.mark.slow
def test_a_worker_process_ends_without_one_more_look_through_all_of_pytorch(photos, tmp_path):
    """What is frozen, the collection at the end passes over; Dask kills a worker that takes four seconds."""
    one = pictures_in(photos)[:1]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        segment_pictures(one, tmp_path / "process", "street", executor=executor, progress=False)
        assert executor.submit(gc.get_freeze_count).result() > 100_000
    with ThreadPoolExecutor(1) as executor:
        segment_pictures(one, tmp_path / "thread", "street", executor=executor, progress=False)
    assert gc.get_freeze_count() == 0  # the user's own process goes on and collects its garbage


@pytest.fixture(scope="module")
def dask():
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        with Client(cluster) as client:
            yield client


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Dask's own, of its sockets and of tornado
def test_a_dask_cluster_gives_the_same_bytes(photos, whole, model_file, dask, tmp_path):
    out, executor = tmp_path / "out", dask.get_executor()
    segment_folder(photos, out, model_file, formats=FORMATS, executor=executor, progress=False)
    assert tree(out) == tree(whole.out)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dask_worker_that_is_killed_loses_nothing(photos, whole, model_file, dask, tmp_path, monkeypatch):
    killed = []

    def kill_one(paths, *arguments, work=folder_worker.segment_all):
        for done in work(paths, *arguments):
            if not killed:
                pid = dask.run(os.getpid)
                killed.append(next(iter(pid.values())))
                os.kill(killed[0], signal.SIGKILL)
            yield done

    monkeypatch.setattr("maskseg_nb.results.folder.segment_all", kill_one)
    out, executor = tmp_path / "out", dask.get_executor()
    result = segment_folder(photos, out, model_file, formats=FORMATS, executor=executor, progress=False)
    assert killed and not psutil.pid_exists(killed[0])
    assert list(result.failures) == [BAD]
    assert tree(out) == tree(whole.out)


def test_a_model_object_cannot_go_to_other_processes(photos, small, tmp_path):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        with pytest.raises(TypeError, match="model must be a name or path"):
            segment_folder(photos, tmp_path / "out", small, executor=executor)


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="nobody forks here")
def test_forked_processes_are_refused_instead_of_waiting_forever(photos, model_file, tmp_path):
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as executor:
        with pytest.raises(ValueError, match="executor must spawn its processes"):
            segment_folder(photos, tmp_path / "out", model_file, executor=executor)
    assert not (tmp_path / "out").exists()


def test_the_network_has_as_many_threads_afterwards_as_before(few, model_file, tmp_path):
    def in_a_new_thread():
        with ThreadPoolExecutor(1) as other:
            return other.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert in_a_new_thread() == 3
        segment_folder(few, tmp_path / "out", model_file, formats=["csv"], progress=False)
        assert torch.get_num_threads() == in_a_new_thread() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(photos, small, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    data = (photos / "people 0.png").read_bytes()
    for number in range(30):
        (many / f"{number:03d}.png").write_bytes(data)
    tracemalloc.start()
    try:
        held = []
        for run in range(2):  # the first fills caches
            segment_folder(many, tmp_path / str(run), small, formats=["csv"], progress=False)
            gc.collect()
            tensors = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
            dense = [tensor.nbytes for tensor in tensors if tensor.layout == torch.strided]
            held.append(sum(dense) + tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert (held[1] - held[0]) / 30 < 20_000  # bytes per picture; the picture has 252,000


@pytest.mark.slow
def test_only_a_few_pictures_are_in_flight(photos, small, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "PER_THREAD", 3)
    waiting = []

    class Counting(ThreadPoolExecutor):
        def submit(self, *arguments, **options):
            future = super().submit(*arguments, **options)
            waiting.append(sum(not other.done() for other in [*futures, future]))
            futures.append(future)
            return future

    futures = []
    with Counting(1) as executor:
        segment_folder(photos, tmp_path / "out", small, formats=["csv"], executor=executor, progress=False)
    assert len(futures) == 10 and max(waiting) <= 3


# Stopped, and resumed

CHILD = """
import sys
from maskseg_nb.results import chunks, folder_worker
from maskseg_nb.results.folder import segment_folder
segment_folder(sys.argv[1], sys.argv[2], sys.argv[3], formats={formats!r}, progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_a_run_resumes_to_the_same_bytes(photos, whole, model_file, tmp_path, seed):
    out = tmp_path / "out"
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(formats=FORMATS), photos, out, model_file])
    random = np.random.default_rng(seed)
    records = out / "records"
    enough = int(random.integers(1, 9))
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not (records.is_dir() and len(os.listdir(records)) >= enough):
        assert child.poll() is None
        time.sleep(0.002)
    time.sleep(float(random.uniform(0, 0.15)))
    child.kill()
    child.wait()
    kept = len([path for path in records.iterdir() if path.suffix == ".json"])
    result = segment_folder(photos, out, model_file, formats=FORMATS, progress=False)
    assert kept - 1 <= result.skipped <= kept  # the last one may have been a partial file
    assert tree(out) == tree(whole.out)


@pytest.mark.slow
def test_an_interrupt_leaves_whole_files_and_a_run_that_resumes(photos, whole, small, tmp_path, monkeypatch):
    def interrupt(*arguments, work=folder_worker.segment_all):
        for number, done in enumerate(work(*arguments)):
            yield done
            if number == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr("maskseg_nb.results.folder.segment_all", interrupt)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        segment_folder(photos, out, small, formats=FORMATS, progress=False)
    assert not list(out.rglob(f"{files.PARTIAL}*"))
    for name, data in tree(out).items():
        assert tree(whole.out)[name] == data
    monkeypatch.undo()
    result = segment_folder(photos, out, small, formats=FORMATS, progress=False)
    assert result.skipped >= 4
    assert tree(out) == tree(whole.out)


def test_what_is_done_is_not_done_again_until_something_changes(few, small, tmp_path, monkeypatch):
    out, seen = tmp_path / "out", []

    def counted(pictures, job, work=folder_worker.segment_chunk):
        seen.extend(picture.file for picture in pictures)
        return work(pictures, job)

    monkeypatch.setattr(folder_worker, "segment_chunk", counted)

    def again(**options):
        seen.clear()
        segment_folder(few, out, small, **{"formats": ["csv"], "progress": False, **options})
        return len(seen)

    assert again() == 3
    assert again() == 0
    assert again(score_threshold=0.6) == 3
    assert again(score_threshold=0.6) == 0
    assert again(score_threshold=0.6, resume=False) == 3
    os.utime(few / "1.png", ns=(1, 1))
    assert again(score_threshold=0.6) == 1 and seen == ["1.png"]
    record = out / "records" / "2.png.json"
    record.write_bytes(record.read_bytes()[:40])
    assert again(score_threshold=0.6) == 1 and seen == ["2.png"]


# What can go wrong


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_is_not_a_picture_s_failure(photos, small, tmp_path, monkeypatch):
    written = []

    def full(handle):
        written.append(1)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(ImageError, match="cannot be written: No space left on device"):
            segment_folder(photos, out, small, formats=FORMATS, progress=False)
    assert not list(out.rglob(f"{files.PARTIAL}*"))
    result = segment_folder(photos, out, small, formats=FORMATS, progress=False)
    assert list(result.failures) == [BAD]


@pytest.mark.slow
def test_no_memory_for_a_picture_is_a_row_of_failures(photos, small, tmp_path, monkeypatch):
    def fail(model, image):
        if image.shape[1] == 500:
            raise MemoryError
        return predict_at_own_size(model, image)

    monkeypatch.setattr(folder_worker, "predict_at_own_size", fail)
    result = segment_folder(photos, tmp_path / "out", small, formats=["csv"], progress=False)
    assert result.failures["line\nbreak.png"] == "not enough memory to segment it; make it smaller"
    assert len(result.failures) == 2


@pytest.fixture
def few(tmp_path) -> Path:
    """Two small pictures, and one file that is not a picture."""
    days(tmp_path / "few", "1.png", "2.png")
    (tmp_path / "few" / BAD).write_bytes(b"this is a text")
    return tmp_path / "few"


ODD = [
    ZeroDivisionError("by\nzero"),
    ValueError("x"),
    KeyError("x"),
    RecursionError(),
    UserWarning("w"),
    AssertionError(),
]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["image_of", "predict_at_own_size", "contents", "measure"])
def test_whatever_goes_wrong_with_a_picture_is_its_failure_and_is_tried_again(
    few, small, tmp_path, monkeypatch, place
):
    out = tmp_path / "out"
    real = getattr(folder_worker, place)
    for error in ODD if place == "predict_at_own_size" else ODD[:1]:
        calls = []

        def fail_once(*arguments, calls=calls, error=error, **options):
            calls.append(1)
            if len(calls) == 1:
                raise error
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(folder_worker, place, fail_once)
            result = segment_folder(few, out, small, resume=False, progress=False)
        (text,) = (text for name, text in result.failures.items() if name != BAD)
        assert f"ing it failed unexpectedly: {type(error).__name__}" in text and "\n" not in text
    result = segment_folder(few, out, small, progress=False)
    assert result.skipped == 2 and list(result.failures) == [BAD]


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (3, 20_000), (1, 501)])
def test_a_strip_is_a_failure_of_its_own_and_the_other_pictures_are_done(small, tmp_path, size):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        Image.new("RGB", (64, 48), (number, 90, 90)).save(pictures / f"{number}.png")
    Image.new("RGB", size, "grey").save(pictures / "1.png")
    result = segment_folder(pictures, tmp_path / "out", small, progress=False)
    assert (
        list(result.failures) == ["1.png"]
        and "'1.png' is a strip thinner than 1:500, " in result.failures["1.png"]
    )
    assert len(list((tmp_path / "out").glob("*.overlay.png"))) == 2
    assert segment_folder(pictures, tmp_path / "out", small, progress=False).skipped == 3


def test_a_disk_that_takes_small_files_only_stops_the_run_too(few, small, tmp_path, monkeypatch):
    def full(handle):
        if os.fstat(handle).st_size > 5000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(
            MasksegError, match="side-by-side.png' cannot be written: No space left on device"
        ):
            segment_folder(few, out, small, formats=["side_by_side"], progress=False)
    result = segment_folder(few, out, small, formats=["side_by_side"], progress=False)
    assert list(result.failures) == [BAD] and len(list(out.glob("*.png"))) == 2


SHORTAGES = [
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    OSError(errno.EIO, os.strerror(errno.EIO)),
    PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    ImageError(f"'x' cannot be opened: {os.strerror(errno.EMFILE)}; choose a readable file"),
    ImageError(f"'x' cannot be opened: {os.strerror(errno.EACCES)}; choose a readable file"),
    ImageError("'x' needs more memory than is free; save it smaller"),
    RuntimeError("can't start new thread"),
]


@pytest.mark.parametrize(
    "place", ["image_of", "predict_at_own_size", "contents"]
)  # the network runs before the last
def test_a_shortage_is_no_failure_for_ever(few, small, tmp_path, monkeypatch, place):
    out, done = tmp_path / "out", 0 if place == "image_of" else 1  # the file that is not a picture
    for error in SHORTAGES if place == "image_of" else SHORTAGES[:2]:

        def fail(*arguments, error=error, **options):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(folder_worker, place, fail)
            assert len(segment_folder(few, out, small, resume=False, progress=False).failures) == 3
            assert segment_folder(few, out, small, progress=False).skipped == done
    result = segment_folder(few, out, small, progress=False)
    assert result.skipped == done and list(result.failures) == [BAD]
    assert len(list(out.glob("*.overlay.png"))) == 2


def test_a_shortage_that_an_earlier_version_recorded_for_good_is_tried_again(few, small, tmp_path):
    out = tmp_path / "out"
    segment_folder(few, out, small, formats=["csv"], progress=False)
    record = out / "records" / "1.png.json"
    values = json.loads(record.read_bytes())
    values |= {"error": "not enough memory to segment it; make it smaller", "rows": [], "entries": []}
    record.write_text(json.dumps(values))
    result = segment_folder(few, out, small, formats=["csv"], progress=False)
    assert result.skipped == 2 and list(result.failures) == [BAD]


def test_a_file_that_cannot_be_written_is_one_picture_s_failure(few, small, tmp_path):
    out = tmp_path / "out"
    segment_folder(few, out, small, formats=["csv"], progress=False)
    (out / "1.png.overlay.png").mkdir()
    result = segment_folder(few, out, small, formats=FORMATS, progress=False)
    assert set(result.failures) == {BAD, "1.png"}
    assert "cannot be written: Is a directory" in result.failures["1.png"]
    (out / "1.png.overlay.png").rmdir()
    assert list(segment_folder(few, out, small, formats=FORMATS, progress=False).failures) == [BAD]


def test_no_more_threads_is_one_clear_line(few, small, tmp_path, monkeypatch):
    class Poor(ThreadPoolExecutor):
        def submit(self, *arguments, **options):
            raise RuntimeError("can't start new thread")

    with Poor(1) as executor, pytest.raises(MasksegError, match="^the run stopped: can't start new thread; "):
        segment_folder(few, tmp_path / "out", small, executor=executor, progress=False)
    with ThreadPoolExecutor(1) as closed:
        pass
    with pytest.raises(RuntimeError, match="after shutdown"):  # a mistake in a program stays what it is
        segment_folder(few, tmp_path / "out", small, executor=closed, progress=False)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))], ids=repr)
def test_a_shortage_while_the_tables_are_written_is_one_clear_line(few, small, tmp_path, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("maskseg_nb.results.folder_records.write_csv", fail)
    with pytest.raises(MasksegError, match="resumes$|cannot be written: No space left on device; "):
        segment_folder(few, tmp_path / "out", small, progress=False)
    assert not list((tmp_path / "out").rglob(f"{files.PARTIAL}*"))
    monkeypatch.undo()
    assert segment_folder(few, tmp_path / "out", small, progress=False).skipped == 3


# Which pictures, and what they are called


def days(folder: Path, *places: str) -> list[Path]:
    """Small pictures, all different, in folders."""
    for number, place in enumerate(places):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (20 * number, 90, 90)).save(folder / place, "PNG")
    return [folder / place for place in places]


def test_folders_with_equal_names_are_done_under_names_that_tell_them_apart(small, tmp_path):
    pictures = days(tmp_path, "day1/IMG_1.png", "day2/IMG_1.png", "day2/late/IMG_2.png")
    result = segment_pictures(pictures, tmp_path / "out", small, progress=False)
    names = ["day1/IMG_1.png", "day2/IMG_1.png", "day2/late/IMG_2.png"]
    assert [record.file for record in result.records()] == names
    coco = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == names  # found from the common folder on
    for picture, path in zip(result.pictures, pictures, strict=True):
        overlay = load_image(tmp_path / "out" / f"{picture.stem}.overlay.png")
        assert np.array_equal(overlay, load_image(path))  # nothing is found in plain grey
        assert picture.stem.startswith(picture.file.replace("/", "_"))
    assert segment_pictures(pictures, tmp_path / "out", small, progress=False).skipped == 3


def test_folders_without_equal_names_keep_the_names_alone(tmp_path):
    pictures = days(tmp_path, "day1/a.png", "day2/b.png")
    assert [(p.file, p.stem) for p in named(pictures)] == [("a.png", "a.png"), ("b.png", "b.png")]


def test_names_that_differ_only_in_case_or_composition_get_files_of_their_own(tmp_path):
    pictures = [Path(name) for name in ("a.jpg", "A.jpg", "a.JPG", "b.jpg", "\uac00.png", "\u1100\u1161.png")]
    stems = [picture.stem for picture in named(pictures)]
    assert len({stem.casefold() for stem in stems}) == 6 and stems[3] == "b.jpg"
    assert [picture.file for picture in named(pictures)] == [path.name for path in pictures]
    assert [picture.file for picture in named([Path("x/a.jpg"), Path("y/A.jpg")])] == ["x/a.jpg", "y/A.jpg"]


def test_a_long_place_keeps_its_end_which_is_the_name(tmp_path):
    places = [Path("p" * 60, str(number), "IMG_0001.jpg") for number in range(2)]
    stems = [picture.stem for picture in named([path / "x" / places[0].name for path in places])]
    assert all("IMG_0001.jpg-" in stem and len(stem) <= 60 for stem in stems) and len(set(stems)) == 2


def test_a_picture_that_is_given_twice_is_done_once(small, tmp_path, monkeypatch):
    (path,) = days(tmp_path, "a.png")
    monkeypatch.chdir(tmp_path)
    result = segment_pictures([path, path, "a.png", "./a.png"], "out", small, progress=False)
    assert [picture.file for picture in result.pictures] == ["a.png"]


@pytest.mark.parametrize("name", ["half\ud800.png", "nul\0.png"])
def test_a_name_that_no_file_can_have_is_a_failure(small, tmp_path, name):
    good = days(tmp_path, "a.png")
    result = segment_pictures([*good, name], tmp_path / "out", small, progress=False)
    assert list(result.failures) == [name]


def test_what_is_passed_over_is_counted_by_kind_and_what_a_system_hides_is_not(small, tmp_path):
    folder = tmp_path / "phone"
    days(folder, "a.jpg", "b.HEIC", "c.avif", "d.JFIF", ".own.png")
    for name in ("e.dng", "f.DNG", "g.txt", "noending", "._a.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    for name in ("more", ".git"):
        (folder / name).mkdir()
    pictures = pictures_in(folder)
    assert [path.name for path in pictures] == [".own.png", "a.jpg", "b.HEIC", "c.avif", "d.JFIF"]
    text = "4 files passed over: 2 .dng, 1 .txt, 1 without an ending; 1 folder inside not entered"
    assert said(pictures.passed_over, pictures.not_entered) == text
    result = segment_folder(folder, folder / "more" / "out", small, progress=False)
    assert str(result).endswith(f"; {text}") and not result.failures
    assert [path.name for path in result.passed_over] == ["e.dng", "f.DNG", "g.txt", "noending"]
    for number in range(9):
        (folder / f"x.{number}").touch()
    assert said(pictures_in(folder).passed_over).startswith(
        "13 files passed over: 2 .dng, 1 .0, 1 .1, 1 .2, 1 .3, 7"
    )


def test_the_folder_of_the_results_is_not_reported_as_passed_over(small, tmp_path):
    days(tmp_path, "a.png")
    for _ in range(2):
        result = segment_folder(tmp_path, tmp_path / "out", small, progress=False)
        assert str(result).endswith(" a second")


def test_a_folder_of_nothing_but_other_files_says_which(tmp_path):
    (tmp_path / "a.dng").touch()
    (tmp_path / "inner").mkdir()
    with pytest.raises(
        MasksegError, match=r"\(1 file passed over: 1 .dng; 1 folder inside not entered\); it needs"
    ):
        pictures_in(tmp_path)


# Categories, and the limit of detections


@pytest.mark.slow
def test_only_the_categories_that_are_named_are_kept(photos, whole, small, tmp_path):
    def rows(out):
        return list(csv.DictReader(io.StringIO((out / "instances.csv").read_text())))

    chosen = [row for row in rows(whole.out) if row["category"] in ("person", "car")]
    assert 0 < len(chosen)
    out = tmp_path / "out"
    segment_folder(photos, out, small, categories=["person", "car"], formats=["csv"], progress=False)
    assert rows(out) == chosen
    for categories, skipped in ((("car", "person", "car"), 10), (["bicycle"], 0), (None, 0)):
        result = segment_folder(photos, out, small, categories=categories, formats=["csv"], progress=False)
        assert result.skipped == skipped
    assert rows(out) == rows(whole.out)


@pytest.mark.parametrize(
    ("categories", "error", "message"),
    [
        (
            ["person", "dog"],
            ValueError,
            "no category 'dog'; this model knows person, bicycle, car, motorcycle",
        ),
        (["Persons"], ValueError, r"car, motorcycle; did you mean 'person'\?"),
        (["__background__"], ValueError, "no category '__background__'"),
        ("person", TypeError, "must be a collection of names"),
        ([], ValueError, "must name one or more"),
    ],
)
def test_a_category_that_the_model_does_not_know_is_refused_at_once(
    photos, small, tmp_path, categories, error, message
):
    with pytest.raises(error, match=message):
        segment_folder(photos, tmp_path / "out", small, categories=categories)
    assert not (tmp_path / "out").exists()


def crowded(small, tmp_path, **options):
    """A folder run on a picture with more people than `limit`, and on one without any."""
    photo = load_image(sample_photo("restaurant"))
    if not (tmp_path / "in").exists():
        (tmp_path / "in").mkdir()
        Image.fromarray(photo).save(tmp_path / "in" / "crowd.png")
        Image.new("RGB", (64, 48), "grey").save(tmp_path / "in" / "none.png")
    return segment_folder(
        tmp_path / "in", tmp_path / "out", small, formats=["csv"], progress=False, **options
    )


@pytest.mark.slow
def test_the_limit_of_detections_is_reported_where_it_may_have_cut_off_something(small, tmp_path):
    own = small.roi_heads.detections_per_img
    found = len((crowded(small, tmp_path).out / "instances.csv").read_text().splitlines()) - 1
    assert found > 3
    with pytest.warns(
        UserWarning, match=r"^1 picture \('crowd.png'\) reached the model's limit of 3 "
    ) as caught:
        result = crowded(small, tmp_path, detections_per_img=3)
    assert len(caught) == 1 and "raise detections_per_img" in str(caught[0].message)
    assert result.at_limit == ("crowd.png",) and "; 1 at the limit of detections" in str(result)
    assert len((result.out / "instances.csv").read_text().splitlines()) == 1 + 3
    with pytest.warns(UserWarning, match="limit of 3"):  # told again, though all is done
        assert crowded(small, tmp_path, detections_per_img=3).skipped == 2
    assert small.roi_heads.detections_per_img == own  # the caller's model is as it was
    # What the limit cut off has lower scores than what the threshold drops: nothing is missing.
    assert crowded(small, tmp_path, detections_per_img=found + 1).at_limit == ()
    assert crowded(small, tmp_path, detections_per_img=500).at_limit == ()


def test_another_limit_is_another_result_and_the_model_s_own_is_the_same(small, tmp_path):
    assert crowded(small, tmp_path).skipped == 0
    assert crowded(small, tmp_path, detections_per_img=small.roi_heads.detections_per_img).skipped == 2
    assert crowded(small, tmp_path, detections_per_img=200).skipped == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*limit of 3")
def test_processes_heed_the_limit_and_the_categories(small, model_file, tmp_path):
    here = crowded(small, tmp_path, detections_per_img=3, categories=["person"])
    expected = tree(here.out)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        there = segment_folder(
            tmp_path / "in",
            tmp_path / "there",
            model_file,
            detections_per_img=3,
            categories=["person"],
            formats=["csv"],
            executor=executor,
            progress=False,
        )
    assert tree(there.out) == expected and there.at_limit == here.at_limit


@pytest.mark.slow
def test_a_second_run_leaves_no_mask_or_cut_out_of_what_it_did_not_find(street, tmp_path):
    """All numbers in the folder are those of the table, as after a first run; other formats' files stay."""

    def run(out, score, *formats):
        pictures, options = [sample_photo("restaurant")], {"formats": formats, "progress": False}
        segment_pictures(pictures, tmp_path / out, street, score_threshold=score, **options)
        return tree(tmp_path / out)

    many, few = (run("out", score, "masks", "cut_outs", "csv") for score in (0.1, 0.9))
    assert few == run("new", 0.9, "masks", "cut_outs", "csv") and set(few) < set(many)
    assert set(run("out", 0.95, "csv")) == set(few)


def test_folders_of_earlier_versions_are_resumed():
    """What a record's settings stand for, letter by letter, and what a record holds."""
    options = Options(0.5, 0.5, 0.5, "surest", ("csv",))
    text = "Options(score_threshold=0.5, mask_threshold=0.5, alpha=0.5, overlap='surest', formats=('csv',))"
    assert repr(options.parts()) == f"('instances by their row of the prediction, from 1', {text})"
    record = folder_worker.Record("a.png", [1, 2], "f" * 16, "", [3, 4], [], [])
    keys = ["entries", "error", "file", "image_size", "rows", "settings", "stamp"]
    assert list(json.loads(record.json())) == keys


@pytest.mark.parametrize("folder", ["missing", "file", "empty"])
def test_no_folder_and_no_picture_are_clear_errors(tmp_path, small, folder):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(MasksegError, match="give a folder of pictures|no pictures in"):
        segment_folder(tmp_path / folder, tmp_path / "out", small)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_in_it_is_not_written_to(photos, small, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(MasksegError, match="neither empty nor of an earlier run; give a new folder"):
        segment_folder(photos, tmp_path, small)
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
        ({"detections_per_img": 0}, ValueError),
        ({"detections_per_img": 2.5}, ValueError),
        ({"detections_per_img": True}, ValueError),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(photos, small, tmp_path, option, error):
    (name,) = option
    with pytest.raises(error, match=name):
        segment_folder(photos, tmp_path / "out", small, **option)
    assert not (tmp_path / "out").exists()


def test_a_model_in_the_folder_s_place_is_told_apart(street, tmp_path):
    with pytest.raises(TypeError, match="folder must be the path of a folder, got MaskRCNN; give .* model="):
        segment_folder(street, tmp_path / "out")
    with pytest.raises(TypeError, match="pictures must be a collection of paths, got MaskRCNN"):
        segment_pictures(street, tmp_path / "out")
    with pytest.raises(TypeError, match=r"a collection of paths, got str; segment_folder\(\) takes a folder"):
        segment_pictures(str(tmp_path), tmp_path / "out", street)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_samples_have_their_sample_s_name(street, tmp_path):
    """Not that of the file in the package which they come from, which the apps never show."""
    pictures = [sample_photo("restaurant"), sample_photo("cat")]
    result = segment_pictures(pictures, tmp_path / "out", street, formats=["csv"], progress=False)
    assert [picture.file for picture in result.pictures] == ["restaurant.jpg", "cat.png"]
    assert named([Path("rgb.jpg"), tmp_path / "restaurant.jpg", pictures[0]])[0].file.endswith("rgb.jpg")
    both = named([tmp_path / "restaurant.jpg", pictures[0]])
    assert len({picture.file for picture in both}) == len({picture.stem for picture in both}) == 2
