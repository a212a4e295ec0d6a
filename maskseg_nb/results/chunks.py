"""Chunks of pictures by anybody's workers: enough in flight to keep them busy, and nobody who dies stops it.

A chunk is what a worker is given at a time. Who does the work, and in which order, is the executor's affair
(Python's own, or Dask's); here is only how much it is given, and what becomes of a chunk whose worker died.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from queue import SimpleQueue
from typing import Any, TypeVar

from ..errors import MasksegError
from .folder_names import Named

Chunk = tuple[Named, ...]
Result = TypeVar("Result")
PER_THREAD = 2  # chunks in flight for each of the workers' threads: one in work, and one that waits for it
UNKNOWN_THREADS = 16  # of an executor that does not say how many it has
ASK_AGAIN = 5.0  # seconds after which a cluster is asked how large it is: it may grow and shrink
LAST_SECONDS = 60.0  # for chunks that are in work when a run is interrupted


class Pool:
    """An executor of `concurrent.futures`, and its futures in the order in which they end.

    A pool of processes breaks for good when one of them dies: a new one of the same kind takes its place.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor, self.own = executor, False
        self.ended: SimpleQueue[Future[Any]] = SimpleQueue()

    def threads(self) -> int:
        """How many chunks can be in work at a time."""
        return getattr(self.executor, "_max_workers", None) or UNKNOWN_THREADS

    def submit(self, work: Callable[[Chunk], Result], chunk: Chunk) -> Future[Result]:
        try:
            future = self.executor.submit(work, chunk)
        except BrokenExecutor:
            self._replace()
            future = self.executor.submit(work, chunk)
        future.add_done_callback(self.ended.put)
        return future

    def next_ended(self) -> Future[Any]:
        """Wait until one of the futures that were not returned yet has ended."""
        return self.ended.get()

    def alive(self) -> bool:
        """Whether a future that was cancelled may be tried again: not where the executor was shut down."""
        return False

    def close(self, running: Iterable[Future[Any]]) -> None:
        """Take back what has not begun, and wait for what has."""
        futures = list(running)
        for future in futures:
            future.cancel()
        wait(futures, timeout=LAST_SECONDS)
        if self.own:
            self.executor.shutdown()

    def _replace(self) -> None:
        """A new pool, tried at once: where no worker can even start, it is no picture's fault."""
        old, self.own = self.executor, True
        if not isinstance(old, ProcessPoolExecutor):
            raise MasksegError("the executor is broken; make a new one, and the same call resumes")
        self.executor = ProcessPoolExecutor(
            old._max_workers,  # type: ignore[attr-defined]
            old._mp_context,
            old._initializer,
            old._initargs,
            max_tasks_per_child=old._max_tasks_per_child,  # type: ignore[attr-defined]
        )
        try:
            self.executor.submit(int).result()
        except BrokenExecutor:
            raise MasksegError(
                "the executor's processes die before they do anything; call this in a module under "
                '`if __name__ == "__main__":`, or give fewer of them'
            ) from None


class Cluster:
    """A Dask client, with Dask's own `as_completed`: chunks of workers that die go to others first."""

    def __init__(self, client: Any) -> None:
        from distributed import as_completed

        self.client, self.ended = client, as_completed()
        self.asked, self.count = 0.0, 1

    def threads(self) -> int:
        """How many chunks can be in work at a time, of the workers that are there now."""
        if time.monotonic() > self.asked + ASK_AGAIN or not self.count:
            with _scheduler():
                self.asked, self.count = time.monotonic(), sum(self.client.nthreads().values())
        return max(1, self.count)

    def submit(self, work: Callable[[Chunk], Result], chunk: Chunk) -> Any:
        # Not pure: a result is not remembered. Retried: what a disk or a network refused once.
        with _scheduler():
            future = self.client.submit(work, chunk, pure=False, retries=2)
            self.ended.add(future)
        return future

    def next_ended(self) -> Any:
        return next(self.ended)

    def alive(self) -> bool:
        """Whether the scheduler is there."""
        return bool(self.client.status == "running")

    def close(self, running: Iterable[Any]) -> None:
        with contextlib.suppress(Exception):  # where the scheduler is gone, there is nothing to take back
            self.client.cancel(list(running), force=True)


def workers_of(executor: Any) -> Pool | Cluster:
    """The workers behind an executor; behind Dask's, or its client, the cluster."""
    client = getattr(executor, "_client", executor)
    return Cluster(client) if hasattr(client, "scheduler_info") else Pool(executor)


def run_chunks(
    chunks: Iterable[Chunk],
    work: Callable[[Chunk], Result],
    workers: Pool | Cluster,
    *,
    died: Callable[[Chunk], Result],
    last: deque[Chunk],
    begin: Callable[[Chunk, bool], None] = lambda chunk, alone: None,
) -> Iterator[tuple[Chunk, Result]]:
    """Let workers do all chunks, and yield each one that is done and what `work` returned.

    A chunk whose worker died (as the system kills one that takes too much memory) is done once more, each
    picture by itself. A picture whose worker dies again waits until nothing else is left, and is then the
    only one in work: if even then its worker dies, it is that picture, and `died` says what is returned.

    Args:
        chunks: Taken one by one, when there is room for them.
        work: Raises only what has to end the run.
        workers: As `workers_of` returns.
        died: Takes a chunk of one picture.
        last: Chunks of one picture that are done last and alone; `chunks` may add to it while it is read.
        begin: Called before a chunk is handed over, with whether it is the only one in work.
    """
    first, singles = iter(chunks), deque[Chunk]()
    running: dict[Any, Chunk] = {}

    def hand_over(chunk: Chunk, alone: bool) -> None:
        begin(chunk, alone)
        running[workers.submit(work, chunk)] = chunk

    try:
        while True:
            while len(running) < PER_THREAD * workers.threads():
                chunk = next(first, None) or (singles.popleft() if singles else None)
                if chunk is None:
                    break
                hand_over(chunk, alone=False)
            alone = not running
            if alone:
                if not last:
                    return
                hand_over(last.popleft(), alone=True)
            future = workers.next_ended()
            chunk = running.pop(future)
            try:
                result = future.result()
            except Exception as error:
                # Cancelled, not by us: its scheduler is gone, or a result died with its worker.
                if isinstance(error, CancelledError) and not workers.alive():
                    raise _lost() from error
                if not _worker_died(error):
                    raise
                if not alone:
                    each = [(picture,) for picture in chunk]
                    (singles if len(chunk) > 1 else last).extend(each)
                    continue
                result = died(chunk)
            yield chunk, result
    finally:  # after an error or an interrupt
        workers.close(running)


def _worker_died(error: Exception) -> bool:
    return (
        isinstance(error, (BrokenExecutor, CancelledError)) or type(error).__name__ == "KilledWorker"
    )  # the latter is Dask's


@contextlib.contextmanager
def _scheduler() -> Iterator[None]:
    """Whatever goes wrong in talking to a scheduler, it is gone."""
    try:
        yield
    except Exception as error:
        raise _lost() from error


def _lost() -> MasksegError:
    return MasksegError("the cluster was lost; start it again, and the same call resumes")
