"""`make bench-scale`: what a run of very many pictures costs beside the network, which a stub replaces.

Each measurement is a process of its own, so that no memory of one is counted for another.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from bench.measure import Target, print_machine
from maskseg_nb import Prediction, load_model
from maskseg_nb.results import folder_worker
from maskseg_nb.results.chunks import Chunk
from maskseg_nb.results.folder_records import Record
from maskseg_nb.results.folder_worker import Job
from maskseg_nb.results.manifest import SHARDS, Kept
from maskseg_nb.results.shard_files import pictures_of, version_of
from maskseg_nb.results.shards import PER_CHUNK, segment_shards

SIZES = (1_000, 10_000, 100_000)
MANY = 1_000_000
THREADS, CHUNKS, SECONDS = 64, 2_560, 0.5  # of the cluster; each chunk sleeps so long


def bench_scale() -> list[Target]:
    """Print overhead, memory, resume and how busy a cluster is; return the targets."""
    print_machine()
    print("\nVery many pictures, without the network")
    costs = []
    for count in SIZES:
        (cost,) = _child("overhead", count)
        costs.append(cost)
        _row(f"{count:,} pictures of 64 x 64, tables only, one core", f"{cost:.2f} ms a picture")
    with tempfile.TemporaryDirectory() as folder:
        run_s, run_mb = _child("driver", MANY, folder)
        resume_s, resume_mb = _child("driver", MANY, folder)
    _row(f"the driver of {MANY:,} pictures, workers that do nothing", f"{run_s:.1f} s, {run_mb:.0f} MB")
    _row("the same resumed, all done", f"{resume_s:.1f} s, {resume_mb:.0f} MB")
    (busy,) = _child("busy", CHUNKS)
    _row(f"Dask, {THREADS} threads, {CHUNKS:,} chunks of {SECONDS} s", f"{busy:.0%} busy")
    memory, ratio = max(run_mb, resume_mb), max(costs) / min(costs)
    return [
        Target("overhead: at most 2 ms a picture on a core", max(costs) <= 2, f"{max(costs):.2f} ms"),
        Target("overhead: the same within 1.5x, however many", ratio <= 1.5, f"{ratio:.2f}x"),
        Target(f"driver: at most 300 MB for {MANY:,} pictures", memory <= 300, f"{memory:.0f} MB"),
        Target(f"resume: {MANY:,} pictures that are done within 30 s", resume_s <= 30, f"{resume_s:.1f} s"),
        Target(f"cluster: {THREADS} threads 90 % busy", busy >= 0.9, f"{busy:.0%}"),
    ]


def _row(what: str, measured: str) -> None:
    print(f"{what:<64}{measured:>24}", flush=True)


def _child(*arguments: object) -> list[float]:
    command = [sys.executable, "-m", "bench.scale", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


# In the child


def stub_network() -> None:
    """Three instances in every picture, in no time."""
    boxes = np.array([[2, 2, 30, 40], [20, 20, 60, 60], [5, 30, 40, 62]], np.float32)
    scores, labels = np.array([0.9, 0.8, 0.7], np.float32), np.array([1, 2, 3])
    probs = np.random.default_rng(0).random((3, 28, 28), np.float32)
    names = ("__background__", "person", "bicycle", "car", "motorcycle")
    found = Prediction(boxes, labels, scores, probs, (64, 64), names)
    folder_worker.predict_at_own_size = lambda model, image: found


def overhead(count: int) -> list[float]:
    """Milliseconds of a core for each picture: listed, read, measured, encoded, written."""
    stub_network()
    random = np.random.default_rng(0)
    content = cv2.imencode(".jpg", random.integers(0, 255, (64, 64, 3), np.uint8))[1].tobytes()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            path = Path(folder, "in", f"{number // 1000:03d}", f"{number:07d}.jpg")
            if number % 1000 == 0:
                path.parent.mkdir(parents=True)
            path.write_bytes(content)
        model = load_model("street")
        start = time.process_time()  # of all threads, and nothing of what other processes take
        with ThreadPoolExecutor(1) as one:
            segment_shards(f"{folder}/in", f"{folder}/out", model, executor=one, progress=False)
        return [1000 * (time.process_time() - start) / count]


def made_up(count: int) -> Iterator[str]:
    return (f"s3://bucket/photos/{number // 1000:06d}/IMG_{number:08d}.jpg" for number in range(count))


slept: list[tuple[float, float]] = []  # when each chunk of the cluster began and ended


def sleep(pictures: Chunk, job: Job) -> Kept:
    """`do_nothing`, slowly."""
    start = time.perf_counter()
    time.sleep(SECONDS)
    slept.append((start, time.perf_counter()))
    return do_nothing(pictures, job)


def do_nothing(pictures: Chunk, job: Job) -> Kept:
    """What a worker returns, and an empty shard in its place."""
    records = [Record(picture.file, [1, 1], "", "", [64, 64], [], []) for picture in pictures]
    rows = pictures_of(records)
    rows["version"] = [version_of(picture.file, picture.seen or (0, 0)) for picture in pictures]
    kept = Kept(f"{SHARDS}/{rows['key'][0] % 256:02x}/{rows['key'][0]:x}.parquet", rows)
    path = job.store.place.path / kept.name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return kept


def driver(count: int, folder: str) -> list[float]:
    """Seconds, and MB above its start, of a driver whose workers do nothing."""
    folder_worker.segment_chunk = do_nothing
    model = load_model("street")
    start, before = time.perf_counter(), _peak_mb()
    segment_shards(made_up(count), f"{folder}/out", model, progress=False)
    return [time.perf_counter() - start, _peak_mb() - before]


def busy(chunks: int) -> list[float]:
    """How much of the time from the first task to the last a cluster's threads work, in tasks that sleep."""
    from distributed import Client, LocalCluster

    folder_worker.segment_chunk = sleep
    threads = {"n_workers": 1, "threads_per_worker": THREADS, "processes": False}
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(**threads, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        made = made_up(chunks * PER_CHUNK)
        segment_shards(made, f"{folder}/out", "street", executor=client, progress=False)
    begun, ended = zip(*slept, strict=True)
    return [(sum(ended) - sum(begun)) / (max(ended) - min(begun)) / THREADS]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if sys.argv[1:]:
        import bench.scale  # by this name, Dask's workers find `slept`

        function, count, *more = sys.argv[1:]
        print(*getattr(bench.scale, function)(int(count), *more))
    else:
        targets = bench_scale()
        print("\nTargets")
        for target in targets:
            print(f"  {target}")
