"""Workers that die, sleep and are lost; what they do is a few plain lines, without pictures."""

import os
import threading
import time
from collections import Counter, deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import pytest

from maskseg_nb.errors import MasksegError
from maskseg_nb.results import chunks
from maskseg_nb.results.chunks import PER_THREAD, run_chunks, workers_of
from maskseg_nb.results.folder_names import Named

# Forked, for speed: nothing here computes with torch. Python 3.12 and newer warn.
pytestmark = [
    pytest.mark.skipif("fork" not in get_all_start_methods(), reason="nobody forks here"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def pictures(count, *, killers=()):
    return [Named(Path(f"{n}.png"), f"{n}.png" + " kills" * (n in killers), str(n)) for n in range(count)]


def chunks_of(pictures, size):
    return [tuple(pictures[at : at + size]) for at in range(0, len(pictures), size)]


def names(chunk):
    time.sleep(0.002)
    if any("kills" in picture.file for picture in chunk):
        os._exit(9)
    return [picture.file for picture in chunk]


def died(chunk):
    assert len(chunk) == 1
    return [f"{chunk[0].file} died"]


def outcome(every, executor, last=()):
    """Each name that was returned, and how often."""
    done = run_chunks(every, names, workers_of(executor), died=died, last=deque(last))
    return Counter(name for _, returned in done for name in returned)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("killers", [(), (0,), (5, 6, 39)])
def test_pictures_that_kill_their_workers_are_told_and_all_others_are_done(size, killers):
    every = pictures(40, killers=killers)
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as executor:
        found = outcome(chunks_of(every, size), executor)
    expected = {p.file + " died" * ("kills" in p.file) for p in every}
    assert set(found) == expected and set(found.values()) == {1}


def test_a_picture_that_is_suspected_from_the_start_is_done_last_and_alone():
    every, order = pictures(6), []

    def note(chunk):
        order.append(("begins", chunk[0].file))
        time.sleep(0.01)
        order.append(("ends", chunk[0].file))

    with ThreadPoolExecutor(2) as executor:
        last = deque(chunks_of(every[:2], 1))
        list(run_chunks(chunks_of(every[2:], 1), note, workers_of(executor), died=died, last=last))
    assert order[-4:] == [(what, name) for name in ("0.png", "1.png") for what in ("begins", "ends")]


def fails_to_start():
    os._exit(3)


def test_workers_that_cannot_even_start_are_one_clear_error_and_not_a_failure_for_each_picture():
    with (
        ProcessPoolExecutor(2, mp_context=get_context("fork"), initializer=fails_to_start) as executor,
        pytest.raises(MasksegError, match="processes die before they do anything"),
    ):
        outcome(chunks_of(pictures(40), 1), executor)


def test_an_error_that_is_not_a_picture_s_ends_the_run_and_what_waits_is_taken_back(monkeypatch):
    monkeypatch.setattr(chunks, "PER_THREAD", 20)
    begun = []

    def fail(chunk):
        begun.append(chunk)
        time.sleep(0.05)
        raise MasksegError("the disk is full")

    with ThreadPoolExecutor(1) as executor, pytest.raises(MasksegError, match="the disk is full"):
        list(run_chunks(chunks_of(pictures(40), 1), fail, workers_of(executor), died=died, last=deque()))
    assert len(begun) < 10


@pytest.mark.parametrize("threads", [1, 3, 40])
def test_as_many_chunks_are_in_flight_as_keep_all_threads_busy_and_no_more(threads):
    taken, done, most_taken, busy, most_busy = [], [], [0], [], [0]
    lock = threading.Lock()

    def source():
        for chunk in chunks_of(pictures(200), 1):
            taken.append(chunk)
            most_taken[0] = max(most_taken[0], len(taken) - len(done))
            yield chunk

    def work(chunk):
        with lock:
            busy.append(chunk)
            most_busy[0] = max(most_busy[0], len(busy))
        time.sleep(0.005)
        with lock:
            busy.remove(chunk)

    with ThreadPoolExecutor(threads) as executor:
        for chunk, _ in run_chunks(source(), work, workers_of(executor), died=died, last=deque()):
            done.append(chunk)
    assert len(done) == 200
    assert most_busy[0] == threads and most_taken[0] <= PER_THREAD * threads + 1
