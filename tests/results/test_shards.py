"""Pictures by the shard, read back by pyarrow alone: as the folder run finds them, as a run never stopped."""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskseg_nb import segment_folder
from maskseg_nb._shared import files as whole_files
from maskseg_nb.errors import MasksegError
from maskseg_nb.results import folder_worker, shards, sources
from maskseg_nb.results.shards import segment_shards
from predictions import CATEGORIES, made_up
from small_models import tiny_model

SIZE = (48, 64)


def stub(model, image):
    """A prediction that depends on the picture alone, in place of the network's; in every fifth nothing."""
    grey = int(image[0, 0, 0])
    return made_up(0 if grey % 5 == 0 else 3, image.shape[:2], seed=grey)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The network stubbed, and shards of four pictures."""
    monkeypatch.setattr(folder_worker, "predict_at_own_size", stub)
    monkeypatch.setattr(shards, "PER_CHUNK", 4)


@pytest.fixture(scope="module")
def model():
    return tiny_model(CATEGORIES)


def save(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1], (grey,) * 3).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Twenty-two pictures in three folders; one is broken."""
    folder = tmp_path / "photos"
    for number in range(21):
        save(folder / f"day{number % 3}" / f"{number:02d}.png", number)
    (folder / "day1" / "broken.png").write_bytes(b"this is a text")
    (folder / "notes.md").write_text("no picture by its name")
    (folder / "day1" / "._broken.png").write_bytes(b"what a Mac lays beside each file")
    return folder


def run(source, out, model, **options):
    return segment_shards(source, out, model, **{"progress": False, **options})


def rows(out):
    """All rows of all shards, sorted, as another program reads them."""
    table = ds.dataset(out / "shards", format="parquet").to_table()
    return sorted(table.to_pylist(), key=lambda row: (row["file"], row["instance"] or 0))


def files(out):
    return sorted(str(path.relative_to(out)) for path in Path(out).rglob("*") if path.is_file())


def test_the_shards_say_what_the_folder_run_says(photos, model, tmp_path):
    result = run(photos, tmp_path / "out", model, formats=["csv", "coco", "coco_polygons"])
    assert (result.pictures, result.done, result.skipped, result.failed) == (22, 22, 0, 1)
    assert str(result).startswith("22 pictures, 0 done before; 1 failed; ")
    pictures = sorted(path for path in photos.rglob("[!.]*.png"))
    for picture in pictures:
        one = tmp_path / "one"
        segment_folder_of(picture, one, model)
        record = json.loads((one / "records" / f"{picture.name}.json").read_bytes())
        own = [row for row in rows(tmp_path / "out") if row["file"] == str(picture)]
        if not record["rows"]:
            (row,) = own
            assert row["instance"] is None and (row["error"] or "") == record["error"]
            continue
        assert [row["height"] for row in own] == [SIZE[0]] * len(record["rows"])
        assert [{key: row[key] for key in record["rows"][0]} for row in own] == record["rows"]
        for row, entry in zip(own, record["entries"], strict=True):
            assert row["rle"] == entry["segmentation"]["counts"]
            mask = coco_mask.decode({"size": list(SIZE), "counts": row["rle"]})
            assert mask.sum() == row["area"]


def segment_folder_of(picture, out, model):
    from maskseg_nb.results.folder import segment_pictures

    return segment_pictures([picture], out, model, formats=["csv"], progress=False)


def test_the_tables_are_those_of_the_folder_run_but_for_the_names(tmp_path, model):
    folder = tmp_path / "photos"
    for number in range(12):
        save(folder / f"{number:02d}.png", number)
    (folder / "12.png").write_bytes(b"text")
    formats = ["csv", "coco", "coco_polygons"]
    run(folder, tmp_path / "shards", model, formats=formats)
    segment_folder(folder, tmp_path / "records", model, formats=formats, progress=False)
    for name in ("instances.csv", "coco.json", "coco-polygons.json", "failures.csv"):
        ours = (tmp_path / "shards" / name).read_text()
        assert ours.replace(f"{folder}/", "") == (tmp_path / "records" / name).read_text(), name


def test_a_second_call_does_nothing_and_one_with_more_pictures_does_those(photos, model, tmp_path):
    out = tmp_path / "out"
    run(photos, out, model)
    before = {name: (out / name).read_bytes() for name in files(out)}
    result = run(photos, out, model)
    assert (result.skipped, result.done) == (22, 0)
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    save(photos / "day0" / "00 new.png", 77)
    save(photos / "day1" / "broken.png", 78)
    os.utime(photos / "day2" / "02.png", ns=(1, 1))
    result = run(photos, out, model)
    assert (result.skipped, result.done, result.pictures, result.failed) == (20, 3, 23, 0)
    run(photos, tmp_path / "new", model)
    assert rows(out) == rows(tmp_path / "new")


def test_pictures_that_are_not_given_again_stay(photos, model, tmp_path):
    run(photos / "day0", tmp_path / "out", model)
    result = run(photos / "day1", tmp_path / "out", model)
    assert (result.skipped, result.done, result.pictures) == (0, 8, 15)


def test_tables_can_be_asked_for_later_and_other_options_are_refused(photos, model, tmp_path):
    out = tmp_path / "out"
    run(photos, out, model)
    assert not (out / "instances.csv").exists()
    assert run(photos, out, model, formats=["csv"]).skipped == 22 and (out / "instances.csv").exists()
    for other in ({"score_threshold": 0.7}, {"formats": ["overlay"]}):
        with pytest.raises(
            MasksegError, match="results of another model or other options; give another place"
        ):
            run(photos, out, model, **other)
    result = run(photos, out, model, score_threshold=0.7, resume=False)
    assert (result.skipped, result.done) == (0, 22)
    run(photos, tmp_path / "new", model, score_threshold=0.7)
    assert rows(out) == rows(tmp_path / "new")


def test_files_of_pictures_lie_in_folders_of_a_few_and_old_ones_go(photos, model, tmp_path):
    out = tmp_path / "out"
    run(photos, out, model, formats=["overlay", "masks"])
    written = [name for name in files(out) if name.startswith("files/")]
    assert len([name for name in written if name.endswith(".overlay.png")]) == 21
    assert all(name.count("/") == 3 for name in written)
    save(photos / "day1" / "01.png", 5)  # nothing is found in it
    run(photos, out, model, formats=["overlay", "masks"])
    run(photos, tmp_path / "new", model, formats=["overlay", "masks"])
    of = "files/"
    assert [n for n in files(out) if n.startswith(of)] == [
        n for n in files(tmp_path / "new") if n.startswith(of)
    ]


def test_a_picture_that_is_given_twice_is_done_once(photos, model, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MERGE_AFTER", 3)
    monkeypatch.setattr(shards, "BATCH", 5)
    every = [str(path) for path in sorted(photos.rglob("[!.]*.png"))]
    result = run([*every, *every[:7], *every], tmp_path / "out", model)
    assert result.done == 22 and len({row["file"] for row in rows(tmp_path / "out")}) == 22
    assert run([*every, *every], tmp_path / "out", model).done == 0


def test_a_picture_that_changes_while_it_is_listed_is_there_once_as_it_was_last(photos, model, tmp_path):
    picture = photos / "day0" / "00.png"

    def twice():
        for time in (10**18, 2 * 10**18):
            os.utime(picture, ns=(time, time))
            yield picture

    result = run(twice(), tmp_path / "out", model)
    assert result.pictures == 1 and [row["changed"] for row in rows(tmp_path / "out")] == [2 * 10**18]


# Sources


def test_a_source_is_a_folder_a_pattern_a_list_or_paths_themselves(photos, tmp_path):
    every = sorted(str(path) for path in photos.rglob("[!.]*.png"))
    (tmp_path / "list.txt").write_text("\n".join(every) + "\n\n")
    import pyarrow as pa

    pq.write_table(pa.table({"size": [1] * 22, "path": every}), tmp_path / "list.parquet")
    for source in (
        photos,
        f"{photos}/**/*.png",
        f"file://{photos}",
        tmp_path / "list.txt",
        tmp_path / "list.parquet",
        every,
    ):
        found = [picture.named() for picture in sources.listed(source)]
        assert sorted(picture.file for picture in found) == every, source
        for picture in found:
            status = os.stat(picture.file)
            assert abs(picture.seen[1] - status.st_mtime_ns) < 1000 and picture.seen[0] == status.st_size
        assert len({picture.stem for picture in found}) == 22
    assert [Path(p.place).name for p in sources.listed(f"{photos}/day1/0*.png")] == [
        "01.png",
        "04.png",
        "07.png",
    ]
    assert sorted(Path(p.place).name for p in sources.listed(f"{photos}/*/1[01].png")) == ["10.png", "11.png"]
    assert list(sources.listed(f"{photos}/*.png")) == []


def test_large_pictures_make_small_chunks(monkeypatch):
    from maskseg_nb.results.folder_names import Named

    pictures = [
        Named(str(n), str(n), str(n), (size, 0)) for n, size in enumerate([1, 1, 1, 60, 60, 200, 1, 1])
    ]
    monkeypatch.setattr(sources, "MAX_CHUNK_BYTES", 100)
    assert [len(chunk) for chunk in sources.chunks_of(pictures, 2)] == [2, 2, 1, 1, 2]
    assert list(sources.chunks_of([], 2)) == []


@pytest.mark.parametrize("source", ["missing", "missing/*.png", "missing.txt", "nosuch://x/*.jpg"])
def test_a_source_that_is_not_there_is_one_clear_error(model, tmp_path, source):
    with pytest.raises(MasksegError, match="does not exist, or nothing is in it; check|cannot be opened"):
        run(source if "://" in source else str(tmp_path / source), tmp_path / "out", model)


# Stopped, and resumed


def test_shards_that_no_manifest_names_are_found_and_a_damaged_manifest_is_made_again(
    photos, model, tmp_path
):
    out = tmp_path / "out"
    run(photos, out, model)
    whole, manifest = rows(out), out / "manifest.parquet"
    data, shard = manifest.read_bytes(), next((out / "shards").rglob("*.parquet")).read_bytes()
    half = data[: len(data) // 2] + bytes(20) + data[len(data) // 2 + 20 :]
    for damaged in (b"", b"PAR1", data[:-9], half, bytes(100) + data[100:], shard):
        manifest.write_bytes(damaged)
        assert run(photos, out, model).done == 0 and rows(out) == whole
    manifest.unlink()
    assert run(photos, out, model).done == 0 and rows(out) == whole
    gone = sorted((out / "shards").rglob("*.parquet"))[1]
    count = len({row["file"] for row in pq.read_table(gone).to_pylist()})
    gone.unlink()
    assert run(photos, out, model).done == count and rows(out) == whole
    gone.write_bytes(b"PAR1")
    with pytest.raises(MasksegError, match="is damaged, or no shard of a run; remove it, and the same call"):
        run(photos, out, model)
    gone.unlink()
    assert run(photos, out, model).done == 0 and rows(out) == whole


def test_an_interrupt_in_the_middle_loses_nothing_and_does_nothing_twice(
    photos, model, tmp_path, monkeypatch
):
    run(photos, tmp_path / "whole", model)

    def interrupt(*arguments, work=folder_worker.segment_all):
        for number, done in enumerate(work(*arguments)):
            yield done
            if number == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shards, "segment_all", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(photos, tmp_path / "out", model)
    assert pq.read_metadata(tmp_path / "out" / "manifest.parquet").num_rows >= 8  # not all is read again
    result = run(photos, tmp_path / "out", model)
    assert result.skipped >= 8 and result.skipped + result.done == 22
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


def test_relative_paths_mean_the_same_to_workers_elsewhere(photos, model, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    (listed,) = sources.listed(["day0/00.png"])
    assert listed.named().path == photos / "day0" / "00.png" and listed.named().file == "day0/00.png"
    result = run("day0", "../out", model)
    assert result.out == "../out" and len({row["file"] for row in rows(tmp_path / "out")}) == 7


def test_what_a_killed_process_left_half_written_goes(photos, model, tmp_path):
    out = tmp_path / "out"
    run(photos, out, model)
    folder = next((out / "shards").iterdir())
    for place in (out, folder):
        (place / f"{whole_files.PARTIAL}1").write_bytes(b"half")
    run(photos, out, model)
    assert not list(out.rglob(f"{whole_files.PARTIAL}*"))


def test_a_shard_that_comes_late_is_not_counted_twice(photos, model, tmp_path):
    """As of a worker that went on after its scheduler was given up."""
    out = tmp_path / "out"
    run(photos, out, model)
    whole = rows(out)
    late = sorted((out / "shards").rglob("*.parquet"))[2]
    (out / "shards" / "zz").mkdir()
    (out / "shards" / "zz" / "late.parquet").write_bytes(late.read_bytes())
    assert run(photos, out, model).done == 0
    assert rows(out) == whole
    manifest = pq.read_table(out / "manifest.parquet").to_pylist()
    assert len(manifest) == 22 == len({row["key"] for row in manifest})


def test_what_may_not_be_the_pictures_own_fault_is_tried_again(photos, model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run(photos, tmp_path / "whole", model)

    def fail(model, image):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(folder_worker, "predict_at_own_size", fail)
        for _ in range(2):
            result = run(photos, out, model)
            assert (result.failed, result.done + result.skipped) == (22, 22)
    assert "not enough memory to segment it" in (out / "failures.csv").read_text()
    assert run(photos, out, model).failed == 1
    assert all(pq.read_metadata(shard).num_rows for shard in (out / "shards").rglob("*.parquet"))
    assert rows(out) == rows(tmp_path / "whole")
    assert len(list(csv.reader(io.StringIO((out / "failures.csv").read_text())))) == 2


def test_a_chunk_whose_pictures_are_all_broken_is_a_shard_of_failures(model, tmp_path):
    for number in range(9):
        save(tmp_path / "photos" / f"{number}.png", number + 1)
    for number in range(4, 8):  # the second chunk
        (tmp_path / "photos" / f"{number}.png").write_bytes(b"text")
    result = run(tmp_path / "photos", tmp_path / "out", model, formats=["csv", "coco"])
    assert (result.done, result.failed) == (9, 4)
    failed = [row["file"] for row in rows(tmp_path / "out") if row["error"]]
    assert [Path(file).name for file in failed] == ["4.png", "5.png", "6.png", "7.png"]
    assert run(tmp_path / "photos", tmp_path / "out", model).skipped == 9


@pytest.mark.parametrize("room", range(0, 7, 2))
def test_a_full_disk_ends_the_run_and_with_more_room_it_ends_as_if_never_stopped(
    photos, model, tmp_path, monkeypatch, room
):
    written = []

    def full(handle):
        written.append(1)
        if len(written) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(whole_files.os, "fsync", full)
        with pytest.raises(MasksegError, match="cannot be written: No space left on device; make room"):
            run(photos, out, model)
    assert not list(out.rglob(f"{whole_files.PARTIAL}*"))
    result = run(photos, out, model)
    assert result.skipped + result.done == 22 and (not room or result.skipped >= 4)
    run(photos, tmp_path / "whole", model)
    assert rows(out) == rows(tmp_path / "whole")


@pytest.mark.slow
def test_killed_at_any_moment_a_run_resumes_to_the_same_rows(photos, model, tmp_path):
    """Killed as by a power cut, again and again, after a few shards each time."""
    out, tests = tmp_path / "out", str(Path(__file__).parents[1])
    code = (
        f"import sys; sys.path[:0] = [{tests!r}]; from results.test_shards import dies; dies(*sys.argv[1:])"
    )
    for after in range(1, 4):
        child = [sys.executable, "-c", code, photos, out, str(after)]
        assert subprocess.run(child, capture_output=True, timeout=300).returncode == -signal.SIGKILL
    result = run(photos, out, model)
    assert result.skipped >= 4 * 3 and result.skipped + result.done == 22
    run(photos, tmp_path / "whole", model)
    assert rows(out) == rows(tmp_path / "whole") and not (out / ".begun").exists()


def dies(photos, out, after):
    """A run that is killed when it has written so many shards."""
    folder_worker.predict_at_own_size, shards.PER_CHUNK = stub, 4
    kept = []

    def keep(self, pictures, records, real=shards.Shards.keep):
        kept.append(real(self, pictures, records))
        if len(kept) == int(after):
            os.kill(os.getpid(), signal.SIGKILL)
        return kept[-1]

    shards.Shards.keep = keep
    run(photos, out, tiny_model(CATEGORIES))


def test_two_runs_into_one_place_are_refused_and_the_first_goes_on(photos, model, tmp_path, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(*arguments):
        begun.set()
        assert go_on.wait(60)
        return stub(*arguments)

    monkeypatch.setattr(folder_worker, "predict_at_own_size", slow)
    first = threading.Thread(target=run, args=(photos, tmp_path / "out", model))
    first.start()
    try:
        assert begun.wait(60)
        with pytest.raises(MasksegError, match=rf"another run is writing into .*process {os.getpid()} on"):
            run(photos, tmp_path / "out", model)
    finally:
        go_on.set()
        first.join()
    assert len({row["file"] for row in rows(tmp_path / "out")}) == 22


def test_too_many_pictures_for_a_table_are_told_and_none_is_written(photos, model, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MOST_IN_TABLES", 21)
    with pytest.warns(UserWarning, match="no table of 22 pictures was written, as 21 are the most; read "):
        run(photos, tmp_path / "out", model, formats=["csv"])
    assert not (tmp_path / "out" / "instances.csv").exists() and (tmp_path / "out" / "failures.csv").exists()


def test_threads_and_one_thread_find_the_same(photos, model, tmp_path):
    run(photos, tmp_path / "one", model)
    with ThreadPoolExecutor(5) as executor:
        run(photos, tmp_path / "five", model, executor=executor)
    assert rows(tmp_path / "one") == rows(tmp_path / "five")


def test_no_picture_at_all_and_a_place_of_something_else_are_clear_errors(photos, model, tmp_path):
    with pytest.raises(MasksegError, match="no pictures to segment"):
        run([], tmp_path / "out", model)
    with pytest.raises(MasksegError, match="neither empty nor of an earlier run"):
        run(photos, photos, model)
    with pytest.raises(MasksegError, match="neither empty nor of an earlier run"):
        segment_folder(photos / "day0", tmp_path / "records", model, progress=False)
        run(photos, tmp_path / "records", model)


def test_a_version_is_64_bits_of_the_name_size_and_time():
    from maskseg_nb.results.shard_files import key_of, version_of

    numbers = {version_of(name, seen) for name in ("a", "b") for seen in ((1, 2), (1, 3), (12, 3))} | {
        key_of("a")
    }
    assert len(numbers) == 7 and all(0 <= number < 2**64 for number in numbers)
    assert np.array([max(numbers)], np.uint64)[0] == max(numbers)
