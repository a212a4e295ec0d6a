"""Whatever network, disk and cache do, `load_model` ends in the published weights or in a clear error.

A model of the table is published again: `street` under the name of `coco`, from a server on this machine.
"""

import ast
import errno
import functools
import gc
import hashlib
import io
import os
import pickle
import resource
import signal
import tempfile
import threading
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import children
import pytest
import torch

import maskseg_nb
from loopback import empty_cache, no_address, send, serving
from maskseg_nb import MODELS, ModelError, load_model
from maskseg_nb.models.checkpoints import read_state
from maskseg_nb.models.download import Download, fetch
from maskseg_nb.models.street import street as build_street
from maskseg_nb.models.zoo import shipped_weights

HTML = b"<!doctype html><title>Log in</title><p>Please accept the terms."


@functools.cache
def published():
    """The bytes of a weights file of 15 MB, and its SHA-256."""
    buffer = io.BytesIO()
    torch.save(read_state(shipped_weights("street"))[0], buffer)
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def send_published(handler):
    send(handler, published()[0])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    return empty_cache(tmp_path, monkeypatch)


@pytest.fixture
def publish(monkeypatch):
    """A function: from now on "coco" comes from an address; returns its Download."""

    def at(address):
        download = Download.from_url(f"{address}/models/photo-{published()[1][:8]}.pth")
        row = replace(MODELS["street"], build=build_street, download=download)
        monkeypatch.setitem(MODELS, "coco", row)
        return download

    return at


def loads_whole():
    """Whether `load_model` gives the published weights."""
    state, expected = load_model("coco").state_dict(), read_state(shipped_weights("street"))[0]
    return all(torch.equal(state[key], expected[key]) for key in expected)


def refusal(match):
    """Load in vain, and return the error: short, and of the one kind."""
    with pytest.raises(ModelError, match=match) as caught:
        load_model("coco")
    message = str(caught.value)
    assert len(message) <= 300 and message.isprintable()
    assert 'or use load_model("street")' in message  # the next step
    return caught.value


def names_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# The network


def not_found(handler):
    handler.send_error(404, "{0} %s not <here>")


def cut_at_half(handler):
    data, _ = published()
    send(handler, data[: len(data) // 2], value=str(len(data)))


def cut_in_chunks(handler):
    send(handler, b"100\r\n" + published()[0][:50], header="Transfer-Encoding", value="chunked")


def proxys_page(handler):
    send(handler, HTML, kind="text/html; charset=utf-8")


def page_without_a_kind(handler):
    send(handler, HTML)


def wrong_hash(handler):
    send(handler, published()[0][::-1])


def no_http(handler):
    handler.wfile.write(b"220 mail.example.org ESMTP\r\n")


def redirect(handler, location):
    handler.send_response(302)
    handler.send_header("Location", location)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def round_and_round(handler):
    redirect(handler, handler.path)


def redirect_nowhere(handler):
    redirect(handler, "http://[half")


def redirect_to_a_file(handler):
    redirect(handler, "file:///etc/hostname")


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.release.is_set():
        handler.wfile.write(bytes(2**20))


def stall_at_once(handler):
    handler.server.release.wait(300)


def stall_at_half(handler):
    cut_at_half(handler)
    handler.server.release.wait(300)


@pytest.mark.expects("ModelError with the reason; no file stays; the next try succeeds")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (not_found, "not <here>"),
        (cut_at_half, r"the connection ended after [\d,]+ of [\d,]+ bytes"),
        (cut_in_chunks, "the connection ended too early"),
        (proxys_page, "a web page came instead, from a proxy or a log-in"),
        (page_without_a_kind, "its SHA-256 differs"),
        (wrong_hash, "its SHA-256 differs"),
        (no_http, "no proper HTTP answer"),
        (round_and_round, "redirect"),
        (redirect_nowhere, "no proper HTTP answer"),
        (redirect_to_a_file, "Found|redirect"),
        (endless, "more than any known weights file holds"),
        (stall_at_once, "timed out"),
        (stall_at_half, "timed out"),
    ],
)
def test_a_failed_download_is_reported_and_the_next_works(answer, reason, publish, cache, monkeypatch, got):
    if answer in (stall_at_once, stall_at_half):
        monkeypatch.setattr("maskseg_nb.models.download.READ_SECONDS", 0.5)
    if answer is endless:
        monkeypatch.setattr("maskseg_nb.models.download.MAX_WEIGHTS_BYTES", 2**25)
    with serving(answer) as server:
        publish(server.address)
        got(refusal(rf"^photo-\w+\.pth cannot be downloaded \(.*(?:{reason})"))
        assert names_in(cache) == []
        with warnings.catch_warnings():
            if answer is redirect_nowhere:  # there urllib itself leaves its connection open
                warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # one that the package left open is an error here, and not in a later test
    monkeypatch.undo()  # the network is there again
    empty_cache(cache.parents[1], monkeypatch)
    with serving(send_published) as server:
        download = Download.from_url(f"{server.address}/photo-{published()[1][:8]}.pth")
        assert fetch(download) == published()[0]


@pytest.mark.expects("ModelError that names the folder for the file")
def test_no_network(publish, cache, got):
    publish(no_address())
    error = refusal(r"cannot be downloaded \(.*refused.*\); put the file into '.*' by hand")
    assert ascii(str(cache))[1:60] in str(error)
    assert names_in(cache) == []
    got(error)


def test_a_name_that_is_looked_up_for_too_long_is_given_up(publish, cache, monkeypatch):
    monkeypatch.setattr("maskseg_nb.models.download.CONNECT_SECONDS", 0.2)
    waiting = threading.Event()

    def slow(*_, **__):
        waiting.wait(300)
        raise OSError("too late")

    monkeypatch.setattr("maskseg_nb.models.download.urllib.request.urlopen", slow)
    publish("http://example.invalid")
    try:
        refusal("no answer within 0 s")
    finally:
        waiting.set()
    assert names_in(cache) == []


def test_a_length_that_is_not_a_number_does_no_harm(publish):
    with serving(lambda handler: send(handler, published()[0], value="many")) as server:
        publish(server.address)
        assert loads_whole()


def test_progress_is_shown(publish, capsys):
    with serving(send_published) as server:
        download = publish(server.address)
        fetch(download)
    shown = capsys.readouterr().err
    assert download.path.name in shown and "100%" in shown


@pytest.fixture
def interruptible():
    """Python's own handler of SIGINT: what a shell starts with `&` ignores it, and so would this process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.expects("KeyboardInterrupt at once, no file; the next try succeeds")
def test_an_interrupt_in_the_middle_of_a_download(publish, cache, interruptible):
    def interrupt_at_half(handler):
        cut_at_half(handler)
        while not names_in(cache):  # until the reader has begun to write
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        handler.server.release.wait(300)

    with serving(interrupt_at_half) as server:
        publish(server.address)
        with pytest.raises(KeyboardInterrupt):
            load_model("coco")
        assert names_in(cache) == []
        server.answer = send_published
        assert loads_whole()


# The disk


@pytest.mark.expects("ModelError that asks for room; no file stays")
def test_a_full_disk(publish, cache, monkeypatch, got):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with serving(send_published) as server:
        publish(server.address)
        monkeypatch.setattr("maskseg_nb.models.download.os.fsync", full)
        got(refusal("No space left on device.*; make room on the disk of '"))
    assert names_in(cache) == []


@pytest.mark.expects("ModelError that asks for room; no file stays")
def test_a_file_that_may_not_grow_is_a_full_disk(publish, cache, got):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(send_published) as server:
        publish(server.address)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**22, limits[1]))
        try:
            got(refusal("File too large.*; make room on the disk of '"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names_in(cache) == []


@pytest.fixture
def readable_cache(monkeypatch):
    """A cache that every user may read and only its owner may write to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = empty_cache(folder, monkeypatch)
        cache.mkdir(parents=True)
        for path in (folder, folder / "hub"):
            path.chmod(0o755)
        yield cache
        cache.chmod(0o755)


@pytest.mark.expects("a good file is read; without one, ModelError that names TORCH_HOME")
def test_a_read_only_cache(publish, readable_cache, got):
    with serving(send_published) as server:
        urls = [publish(f"{server.address}/{kind}").url for kind in ("good", "damaged", "missing")]
        urls = [
            url.replace("photo", kind) for url, kind in zip(urls, ("good", "damaged", "missing"), strict=True)
        ]
        data, digest = published()
        Download.from_url(urls[0]).path.write_bytes(data)
        Download.from_url(urls[1]).path.write_bytes(data[:-1])
        readable_cache.chmod(0o555)
        before = names_in(readable_cache)
        good, *refused = children.result(children.start("unprivileged", *urls))
        assert names_in(readable_cache) == before
    assert good == {"digest": digest}
    for came in refused:
        assert "Permission denied" in came["error"] and len(came["error"]) <= 300
        assert "set TORCH_HOME to a folder that you may write to" in came["error"]
    got(refused[1]["error"])


def test_a_cache_that_cannot_be_a_folder_is_a_model_error(publish, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    publish(no_address())
    refusal("Not a directory|File exists")


# Several processes, and dead ones


@pytest.mark.expects("both succeed; one whole file, and the damaged one set aside once")
def test_two_processes_at_once(publish, cache):
    both = threading.Barrier(2, timeout=300)

    def together(handler):
        both.wait()  # neither gets a byte before the other has asked, too
        send_published(handler)

    with serving(together) as server:
        url = publish(server.address).url
        urls = [url, url.replace("photo", "damaged")]  # the first is missing
        cache.mkdir(parents=True)
        damaged = Download.from_url(urls[1]).path
        damaged.write_bytes(published()[0][:-1])
        started = [children.start("outcomes", *urls) for _ in range(2)]
        came = [children.result(process) for process in started]
        assert server.requests == 4
    assert came == [[{"digest": published()[1]}] * 2] * 2
    assert all(Download.from_url(url).path.read_bytes() == published()[0] for url in urls)
    names = [Download.from_url(url).path.name for url in urls]
    assert names_in(cache) == sorted([*names, damaged.name + ".bad"])


def test_a_bad_file_that_another_process_has_just_set_aside_is_no_error(publish, cache, monkeypatch):
    with serving(send_published) as server:
        download = publish(server.address)
        cache.mkdir(parents=True)
        download.path.write_bytes(b"bad")
        real = Path.replace

        def late(path, target):
            real(path, target)
            return real(path, target)  # what the slower of two meets: FileNotFoundError

        monkeypatch.setattr(Path, "replace", late)
        assert fetch(download) == published()[0]


@pytest.mark.expects("the next try succeeds; what the dead one left is deleted once it is certainly dead")
def test_a_download_killed_in_the_middle_then_again(publish, cache):
    half_sent = threading.Event()

    def half(handler):
        cut_at_half(handler)
        half_sent.set()
        handler.server.release.wait(300)

    with serving(half) as server:
        download = publish(server.address)
        process = children.start("outcomes", download.url)
        assert half_sent.wait(300)
        while not names_in(cache):
            time.sleep(0.01)
        process.kill()
        process.communicate()
        (left,) = cache.iterdir()
        assert left.suffix == ".partial"
        server.answer = send_published
        assert fetch(download) == published()[0]
        assert left.exists()  # it might still have been another's
        hour_ago = time.time() - 3600
        os.utime(left, (hour_ago, hour_ago))
        assert fetch(download) == published()[0]
    assert names_in(cache) == [download.path.name]


# The cache


class Poison:
    """Unpickled by an ordinary loader, it makes a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


def flipped():
    data = bytearray(published()[0])
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(byte ^ 0xFF for byte in data[middle : middle + 4096])
    return bytes(data)


def another_models():
    buffer = io.BytesIO()
    torch.save(build_street(3).state_dict(), buffer)
    return buffer.getvalue()


CACHED = {
    "empty": lambda canary: b"",
    "half": lambda canary: published()[0][: len(published()[0]) // 2],
    "4 KiB flipped": lambda canary: flipped(),
    "another model's": lambda canary: another_models(),
    "HTML": lambda canary: HTML,
    "poisoned": lambda canary: pickle.dumps(Poison(canary)),
}


@pytest.mark.expects("set aside as *.bad, unopened, and downloaded once more")
@pytest.mark.parametrize("kind", CACHED)
def test_a_bad_cached_file(kind, publish, cache, tmp_path, monkeypatch):
    canary, loaded = tmp_path / "canary", []
    data = CACHED[kind](canary)
    real = torch.load
    monkeypatch.setattr(torch, "load", lambda file, **k: loaded.append(file.getvalue()) or real(file, **k))
    with serving(send_published) as server:
        download = publish(server.address)
        cache.mkdir(parents=True)
        download.path.write_bytes(data)
        assert loads_whole()
        assert server.requests == 1
    assert [hashlib.sha256(seen).hexdigest() for seen in loaded] == [published()[1]]
    assert names_in(cache) == [download.path.name, download.path.name + ".bad"]
    assert (cache / (download.path.name + ".bad")).read_bytes() == data
    assert not canary.exists()


@pytest.mark.expects("ModelError that tells of the damage; set aside, never opened")
@pytest.mark.parametrize("kind", CACHED)
def test_a_bad_cached_file_without_a_network(kind, publish, cache, tmp_path, monkeypatch, got):
    canary = tmp_path / "canary"
    data = CACHED[kind](canary)
    download = publish(no_address())
    cache.mkdir(parents=True)
    download.path.write_bytes(data)
    monkeypatch.setattr(torch, "load", None)  # nobody may call it
    got(refusal(r"cannot be downloaded \(.*\); the cached file was damaged and is now \*\.bad; put the file"))
    assert names_in(cache) == [download.path.name + ".bad"]
    assert not canary.exists()
    pickle.loads(pickle.dumps(Poison(canary)))
    assert canary.exists()  # the poison works: its absence above meant something


@pytest.mark.expects("ModelError")
def test_a_bad_cached_file_that_cannot_be_renamed(publish, cache, got):
    download = publish(no_address())
    cache.mkdir(parents=True)
    download.path.write_bytes(b"bad")
    (cache / (download.path.name + ".bad")).mkdir()
    got(refusal("Is a directory"))


@pytest.mark.expects("downloaded again in its place")
def test_a_pipe_in_the_cache_is_not_waited_for(publish, cache):
    with serving(send_published) as server:
        download = publish(server.address)
        cache.mkdir(parents=True)
        os.mkfifo(download.path)
        assert fetch(download) == published()[0]
    assert download.path.is_file()


@pytest.mark.expects("the checked bytes are read, not those that came after")
def test_a_file_that_is_swapped_between_check_and_reading(publish, cache, tmp_path, monkeypatch):
    canary, real = tmp_path / "canary", hashlib.sha256
    with serving(send_published) as server:
        download = publish(server.address)
        fetch(download)

        def swap_after(*data):
            download.path.write_bytes(pickle.dumps(Poison(canary), protocol=2))
            return real(*data)

        monkeypatch.setattr("maskseg_nb.models.download.hashlib.sha256", swap_after)
        assert loads_whole()
    assert not canary.exists()


def test_nothing_is_ever_unpickled_without_weights_only(publish, tmp_path, monkeypatch):
    calls, real = [], torch.load

    def watched(*arguments, **options):
        calls.append(options.get("weights_only"))
        return real(*arguments, **options)

    monkeypatch.setattr(torch, "load", watched)
    with serving(send_published) as server:
        publish(server.address)
        assert loads_whole()
    (tmp_path / "mine.pth").write_bytes(published()[0])
    with pytest.warns(match="does not say how it was trained"):
        load_model(tmp_path / "mine.pth")
    assert calls == [True, True]


LOADERS = ("load", "loads", "load_url", "load_state_dict_from_url", "Unpickler")


def test_the_package_has_one_call_that_unpickles():
    """And none of the ways around it: pickle, torch.hub, torch.jit, NumPy's allow_pickle."""
    calls = Counter()
    for module in Path(maskseg_nb.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name.split(".")[-1] in (
                    "load",
                    "loads",
                    "load_url",
                    "load_state_dict_from_url",
                    "Unpickler",
                ):
                    options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                    calls[name, options.get("weights_only"), options.get("allow_pickle")] += 1
    calls = {
        key: count for key, count in calls.items() if key[0] not in ("json.load", "json.loads", "image.load")
    }
    assert calls == {("torch.load", "True", None): 1}
