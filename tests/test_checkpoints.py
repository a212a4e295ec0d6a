"""The network is a server on this machine's loopback address; what it serves are a few bytes."""

import contextlib
import gc
import hashlib
import http.server
import os
import pickle
import random
import socket
import threading
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from maskseg_nb import ModelError, checkpoints
from maskseg_nb.checkpoints import Download, fetch, read_state

PUBLISHED = random.Random(0).randbytes(3_000_000)  # more than one piece of a download
DIGEST = hashlib.sha256(PUBLISHED).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers each request with `answer(handler)`, and counts them."""

    daemon_threads = True

    def __init__(self, answer):
        self.answer, self.requests, self.release = answer, 0, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests += 1
        with contextlib.suppress(ConnectionError):  # a client that gave up
            self.server.answer(self)
        self.close_connection = True

    def log_message(self, *_):
        pass


def send(handler, body, header="Content-Length", value=None):
    handler.send_response(200)
    handler.send_header(header, str(len(body)) if value is None else value)
    handler.end_headers()
    handler.wfile.write(body)


def send_published(handler):
    send(handler, PUBLISHED)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """torch hub's folder, empty and the test's own; no proxy on the way to the loopback address."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def serve():
    """A function: answer -> (server, the Download of what it serves)."""
    with contextlib.ExitStack() as stack:

        def start(answer=send_published):
            server = stack.enter_context(Server(answer))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            stack.callback(server.release.set)
            address = f"http://127.0.0.1:{server.server_port}/models/photo-{DIGEST[:8]}.pth"
            return server, Download.from_url(address)

        yield start


def unreachable():
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Download.from_url(f"http://127.0.0.1:{probe.getsockname()[1]}/photo-{DIGEST[:8]}.pth")


def names_in(folder):
    return sorted(path.name for path in folder.glob("*"))


# Downloads


def test_a_download_knows_its_digest_and_torch_hubs_place_for_it(cache):
    download = Download.from_url("https://example.org/a/name-bf2d0c1e.pth")
    assert download.sha256_prefix == "bf2d0c1e"
    assert download.path == cache / "name-bf2d0c1e.pth"
    assert cache == Path(torch.hub.get_dir()) / "checkpoints"


@pytest.mark.parametrize("url", ["https://x.org/name.pth", "https://x.org/name-bf2d.pth", "n-bf2d0c1e.zip"])
def test_a_url_without_a_digest_in_its_name_is_a_value_error(url):
    with pytest.raises(ValueError, match="url must end in -<sha256 prefix>.pth"):
        Download.from_url(url)


def test_a_file_is_downloaded_once_and_then_found(serve, cache):
    server, download = serve()
    path = fetch(download)
    assert path.read_bytes() == PUBLISHED
    assert names_in(cache) == [download.path.name]  # no temporary file stays
    assert fetch(download) == path
    assert server.requests == 1


def test_a_file_put_into_the_folder_by_hand_is_found_without_a_network(cache):
    download = unreachable()
    cache.mkdir(parents=True)
    download.path.write_bytes(PUBLISHED)
    assert fetch(download) == download.path


def test_a_cached_file_with_another_digest_is_set_aside_and_fetched_again(serve, cache):
    server, download = serve()
    cache.mkdir(parents=True)
    download.path.write_bytes(PUBLISHED[:-1])
    assert fetch(download).read_bytes() == PUBLISHED
    assert names_in(cache) == [download.path.name, download.path.name + ".bad"]
    assert (cache / (download.path.name + ".bad")).read_bytes() == PUBLISHED[:-1]
    assert server.requests == 1


def test_a_poisoned_file_in_the_cache_is_set_aside_and_never_opened(tmp_path, cache):
    download, canary = unreachable(), tmp_path / "canary"
    cache.mkdir(parents=True)
    download.path.write_bytes(pickle.dumps(Poison(canary)))
    with pytest.raises(ModelError, match="cannot be downloaded"):
        fetch(download)
    assert names_in(cache) == [download.path.name + ".bad"]
    assert not canary.exists()


def not_found(handler):
    handler.send_error(404)


def cut(handler):
    send(handler, PUBLISHED[:2_000_000], value=str(len(PUBLISHED)))


def cut_in_chunks(handler):
    send(handler, b"100\r\n" + PUBLISHED[:50], header="Transfer-Encoding", value="chunked")


def another_file(handler):
    send(handler, PUBLISHED[::-1])


def no_http(handler):
    handler.wfile.write(b"220 mail.example.org ESMTP\r\n")


def round_and_round(handler):
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize(
    "answer, reason",
    [
        (not_found, "Not Found"),
        (cut, "the connection ended after 2,000,000 of 3,000,000 bytes"),
        (cut_in_chunks, ""),
        (another_file, "its SHA-256 differs"),
        (no_http, "no proper HTTP answer"),
        (round_and_round, "redirect"),
    ],
)
def test_a_failed_download_names_the_folder_and_leaves_no_file(answer, reason, serve, cache):
    _, download = serve(answer)
    with pytest.raises(ModelError, match=rf"^photo-\w+\.pth cannot be downloaded \(.*{reason}") as caught:
        fetch(download)
    assert f"put the file into {cache}" in str(caught.value)
    assert 'load_model("street"), which needs no download' in str(caught.value)
    assert len(str(caught.value)) <= 300
    assert names_in(cache) == []
    del caught
    gc.collect()  # a connection that was left open is an error here, and not in a later test


def stall_at_once(handler):
    handler.server.release.wait(30)


def stall_half_way(handler):
    send(handler, PUBLISHED[:2_000_000], value=str(len(PUBLISHED)))
    handler.server.release.wait(30)


@pytest.mark.parametrize("answer", [stall_at_once, stall_half_way])
def test_a_server_that_stalls_is_given_up(answer, serve, cache, monkeypatch):
    monkeypatch.setattr(checkpoints, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(checkpoints, "READ_SECONDS", 0.4)
    _, download = serve(answer)
    start = time.monotonic()
    with pytest.raises(ModelError, match="cannot be downloaded"):
        fetch(download)
    assert time.monotonic() - start < 5
    assert names_in(cache) == []


def test_a_name_that_is_looked_up_for_too_long_is_given_up(monkeypatch, cache):
    monkeypatch.setattr(checkpoints, "CONNECT_SECONDS", 0.2)
    waiting = threading.Event()

    def slow(*_, **__):
        waiting.wait(5)
        raise OSError("too late")

    monkeypatch.setattr(checkpoints.urllib.request, "urlopen", slow)
    try:
        with pytest.raises(ModelError, match="no answer within 0 s"):
            fetch(unreachable())
    finally:
        waiting.set()
    assert names_in(cache) == []


def test_a_server_that_sends_without_end_is_given_up(serve, cache, monkeypatch):
    monkeypatch.setattr(checkpoints, "MAX_BYTES", 1_000_000)
    _, download = serve()
    with pytest.raises(ModelError, match="more than any known weights file holds"):
        fetch(download)
    assert names_in(cache) == []


def test_a_length_that_is_no_number_does_no_harm(serve):
    _, download = serve(lambda handler: send(handler, PUBLISHED, value="many"))
    assert fetch(download).read_bytes() == PUBLISHED


def test_nothing_listening_is_a_model_error(cache):
    with pytest.raises(ModelError, match="cannot be downloaded"):
        fetch(unreachable())
    assert names_in(cache) == []


def test_an_interrupted_download_leaves_no_file(serve, cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.os, "fsync", interrupt)
    _, download = serve()
    with pytest.raises(KeyboardInterrupt):
        fetch(download)
    assert names_in(cache) == []


def test_a_cache_that_cannot_be_a_folder_is_a_model_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be downloaded"):
        fetch(unreachable())


def test_a_bad_cached_file_that_cannot_be_renamed_is_a_model_error(cache):
    download = unreachable()
    cache.mkdir(parents=True)
    download.path.write_bytes(b"bad")
    (cache / (download.path.name + ".bad")).mkdir()  # stands for a folder without write permission
    with pytest.raises(ModelError, match=r"photo-\w+\.pth"):
        fetch(download)


# Reading


class Poison:
    """Unpickled by an ordinary loader, it makes a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


STATE = {"body.weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


def saved(path, state=STATE, **options):
    torch.save(state, path, **options)
    return path


def same(state):
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], STATE[key]) and state[key].dtype == STATE[key].dtype for key in STATE)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_is_read_as_it_was_saved(zipped, tmp_path):
    state, metadata = read_state(saved(tmp_path / "w.pth", _use_new_zipfile_serialization=zipped))
    same(state)
    assert metadata == {}


def test_a_safetensors_file_is_read_with_its_metadata(tmp_path):
    save_file(STATE, tmp_path / "w.safetensors", metadata={"categories": "a,b"})
    state, metadata = read_state(tmp_path / "w.safetensors")
    same(state)
    assert metadata == {"categories": "a,b"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_float32(dtype, tmp_path):
    state, _ = read_state(saved(tmp_path / "w.pth", {"w": torch.tensor([0.5, -2.0], dtype=dtype)}))
    assert torch.equal(state["w"], torch.tensor([0.5, -2.0]))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_poisoned_checkpoint_is_refused_and_its_code_never_runs(legacy, tmp_path):
    live, canary = tmp_path / "live", tmp_path / "canary"
    pickle.loads(pickle.dumps(Poison(live)))
    assert live.exists()  # the poison works, so its absence below means something

    path = tmp_path / "w.pth"
    if legacy:
        path.write_bytes(pickle.dumps({"w": Poison(canary)}, protocol=2))
    else:
        torch.save({"w": Poison(canary)}, path)
    with pytest.raises(ModelError, match="refused, it holds more than tensors"):
        read_state(path)
    assert not canary.exists()


def test_a_file_that_unpacks_to_far_more_than_it_weighs_is_not_opened(tmp_path):
    plain, bomb = saved(tmp_path / "w.pth", {"w": torch.zeros(2**24)}), tmp_path / "bomb.pth"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ModelError, match=r"unpacks to 67,\d+,\d+ bytes, far more than it weighs: not opened"):
        read_state(bomb)


def test_a_tensor_that_repeats_one_number_without_end_is_refused(tmp_path):
    # One stored number with stride 0: a few hundred bytes that any arithmetic would make petabytes of.
    path = saved(tmp_path / "w.pth", {"w": torch.zeros(1).expand(10**15)})
    assert path.stat().st_size < 2000
    with pytest.raises(ModelError, match="w.pth"):
        read_state(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_not_finite_are_refused(suffix, value, tmp_path):
    path = tmp_path / f"w{suffix}"
    state = {"good": torch.zeros(3), "bad": torch.tensor([0.0, value])}
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    with pytest.raises(ModelError, match="weights that are not finite .NaN or infinite."):
        read_state(path)


@pytest.mark.parametrize(
    "thing",
    [
        pytest.param([torch.zeros(2)], id="list"),
        pytest.param({}, id="empty dict"),
        pytest.param({"model": {"w": torch.zeros(2)}}, id="nested dict"),
        pytest.param({"w": 0.5}, id="number"),
        pytest.param({1: torch.zeros(2)}, id="key that is no name"),
        pytest.param(torch.nn.Linear(2, 2), id="whole model"),
    ],
)
def test_anything_but_a_flat_dict_of_tensors_is_refused(thing, tmp_path):
    with pytest.raises(ModelError, match=r"torch.save|state_dict"):
        read_state(saved(tmp_path / "w.pth", thing))


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param(lambda: torch.eye(3).to_sparse(), id="sparse"),
        pytest.param(lambda: torch.empty(3, device="meta"), id="meta"),
    ],
)
def test_tensors_that_are_not_plain_arrays_are_refused(tensor, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of the sparse tensor
        path = saved(tmp_path / "w.pth", {"w": tensor()})
        with pytest.raises(ModelError, match="w.pth"):
            read_state(path)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("data", [b"", b"no weights\n", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x80\x04N."])
def test_a_file_of_another_kind_is_refused(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError, match=f"'{name}'"):
        read_state(tmp_path / name)


@pytest.mark.parametrize("path", ["no.pth", "no.safetensors", "."])
def test_a_missing_file_or_a_folder_is_refused(path, tmp_path):
    with pytest.raises(ModelError, match="is not a file; give the path of a .safetensors or .pth checkpoint"):
        read_state(tmp_path / path)


def test_a_file_larger_than_any_mask_rcnn_is_not_read(tmp_path):
    path = tmp_path / "w.pth"
    path.touch()
    os.truncate(path, 2 * 2**30 + 1)  # sparse: takes no room on the disk
    with pytest.raises(ModelError, match="larger than 2 GB"):
        read_state(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_damaged_file_is_a_model_error_or_still_whole(kind, tmp_path):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(STATE, path, metadata={"categories": "a,b"})
    else:
        saved(path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    chance, refused = random.Random(0), 0
    for _ in range(300):
        data = bytearray(whole)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(chance.choice((1, 3, 20))):
                data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            read_state(path)  # no other kind of exception may come out
        except ModelError as error:
            assert len(str(error)) <= 300
            refused += 1
    assert refused > 100
