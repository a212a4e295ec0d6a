"""Pictures by the shard on Dask: workers and a scheduler are killed, and the rows are as on threads."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.dataset as ds
import pytest
from PIL import Image

from maskseg_nb.errors import MasksegError
from maskseg_nb.results import chunks, folder_worker, shards
from maskseg_nb.results.shards import segment_shards
from predictions import made_up

dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Dask's own, of its sockets and of tornado
]
SIZE = (48, 64)
KILLER = 250  # the grey of a picture that kills the process which segments it


def stub(model, image):
    """A prediction that depends on the picture alone, in place of the network's; it takes a moment."""
    if image[0, 0, 0] == KILLER:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return made_up(3, image.shape[:2], seed=int(image[0, 0, 0]))


class Stubbed(distributed.WorkerPlugin):
    """The stub in every worker, also in those that are started when others were killed."""

    def setup(self, worker):
        folder_worker.predict_at_own_size = stub


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(folder_worker, "predict_at_own_size", stub)
    monkeypatch.setattr(shards, "PER_CHUNK", 3)


def photos(folder, *greys):
    folder.mkdir(exist_ok=True)
    for number, grey in enumerate(greys):
        Image.new("RGB", SIZE[::-1], (grey,) * 3).save(folder / f"{number:02d}.png")
    return folder


def run(source, out, **options):
    return segment_shards(source, out, "street", **{"progress": False, **options})


def rows(out):
    table = ds.dataset(out / "shards", format="parquet").to_table()
    return sorted(table.to_pylist(), key=lambda row: (row["file"], row["instance"] or 0))


@pytest.fixture(scope="module")
def client():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            client.register_plugin(Stubbed())
            yield client


def test_a_cluster_finds_what_threads_find_and_a_worker_that_is_killed_loses_nothing(
    client, tmp_path, monkeypatch
):
    folder = photos(tmp_path / "in", *range(1, 31))
    (folder / "05.png").write_bytes(b"text")
    run(folder, tmp_path / "threads")
    run(folder, tmp_path / "dask", executor=client)
    assert rows(tmp_path / "dask") == rows(tmp_path / "threads")
    killed = []

    def kill_one(*arguments, work=folder_worker.segment_all):
        for done in work(*arguments):
            if not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)
            yield done

    monkeypatch.setattr(shards, "segment_all", kill_one)
    result = run(folder, tmp_path / "killed", executor=client.get_executor())
    assert killed and not psutil.pid_exists(killed[0])
    assert (result.done, result.failed) == (30, 1)
    assert rows(tmp_path / "killed") == rows(tmp_path / "threads")


def test_the_cluster_s_threads_are_asked_for_and_may_grow(client, monkeypatch):
    workers = chunks.workers_of(client)
    assert isinstance(workers, chunks.Cluster) and workers.threads() == 2
    assert isinstance(chunks.workers_of(client.get_executor()), chunks.Cluster)
    monkeypatch.setattr(chunks, "ASK_AGAIN", 0)
    monkeypatch.setattr(client, "nthreads", lambda: {"one": 5, "another": 2})
    assert workers.threads() == 7


def test_a_picture_that_kills_its_worker_is_a_failure_and_its_chunk_is_done(tmp_path):
    folder = photos(tmp_path / "in", 1, 2, 3, 4, KILLER, 6, 7)
    with contextlib.ExitStack() as stack:
        # Three deaths in place of twelve, of some seconds each: Dask forgives each task three of its own.
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
        cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
        client = stack.enter_context(distributed.Client(stack.enter_context(cluster)))
        client.register_plugin(Stubbed())
        result = run(folder, tmp_path / "out", executor=client)
    assert (result.done, result.failed) == (7, 1)
    (failed,) = (row for row in rows(tmp_path / "out") if row["error"])
    assert (
        Path(failed["file"]).name == "04.png"
        and "its worker died twice" in failed["error"]
        and failed["retry"]
    )


@contextlib.contextmanager
def subprocesses(folder, number):
    """A scheduler and a worker as on two machines; the scheduler's process, and its file."""
    file, preload = folder / f"scheduler-{number}.json", folder / "preload.py"
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    preload.write_text(
        f"import sys\nsys.path[:0] = {paths!r}\n"
        "from test_shards_dask import Stubbed\ndef dask_setup(worker):\n    Stubbed().setup(worker)\n"
    )
    common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    commands = (
        ["distributed.cli.dask_scheduler", "--port", "0", *common],
        ["distributed.cli.dask_worker", "--nthreads", "2", "--no-nanny", "--preload", str(preload), *common],
    )
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen([sys.executable, "-m", *command], **quiet) for command in commands]
    try:
        yield started[0], file
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_scheduler_that_is_killed_and_started_again_loses_nothing_and_doubles_nothing(
    tmp_path, monkeypatch
):
    folder = photos(tmp_path / "in", *range(1, 61))
    run(folder, tmp_path / "whole")
    out = tmp_path / "out"
    with subprocesses(tmp_path, 1) as (scheduler, file):
        with distributed.Client(scheduler_file=str(file)) as client, monkeypatch.context() as patch:

            def kill(*arguments, work=folder_worker.segment_all):
                for number, done in enumerate(work(*arguments)):
                    yield done
                    if number == 3:
                        scheduler.kill()

            patch.setattr(shards, "segment_all", kill)
            with pytest.raises(MasksegError, match="the cluster was lost; start it again"):
                run(folder, out, executor=client)
            client.close(timeout=2)
    with subprocesses(tmp_path, 2) as (_, file), distributed.Client(scheduler_file=str(file)) as client:
        result = run(folder, out, executor=client)
    assert result.skipped >= 12 and result.skipped + result.done == 60
    assert rows(out) == rows(tmp_path / "whole")
