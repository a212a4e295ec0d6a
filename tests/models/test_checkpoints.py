"""Weights files where all is well: found or downloaded once, and read as they were saved.

What may go wrong with them is in tests/trust. The network is a server on this machine's loopback address.
"""

import hashlib
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from loopback import empty_cache, no_address, send, serving
from maskseg_nb.models.checkpoints import read_published, read_state
from maskseg_nb.models.download import Download, fetch

PUBLISHED = random.Random(0).randbytes(3_000_000)  # more than one piece of a download
DIGEST = hashlib.sha256(PUBLISHED).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """torch hub's folder, empty and the test's own."""
    return empty_cache(tmp_path, monkeypatch)


def at(address, digest=DIGEST):
    return Download.from_url(f"{address}/models/photo-{digest[:8]}.pth")


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


def test_a_file_is_downloaded_once_and_then_found(cache):
    with serving(lambda handler: send(handler, PUBLISHED)) as server:
        download = at(server.address)
        assert fetch(download) == PUBLISHED
        assert [path.name for path in cache.iterdir()] == [download.path.name]  # no temporary file stays
        assert download.path.read_bytes() == PUBLISHED
        assert fetch(download) == PUBLISHED
        assert server.requests == 1


def test_a_file_put_into_the_folder_by_hand_is_found_without_a_network(cache):
    download = at(no_address())
    cache.mkdir(parents=True)
    download.path.write_bytes(PUBLISHED)
    assert fetch(download) == PUBLISHED


# Reading

STATE = {"body.weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


def saved(path, state=STATE, **options):
    torch.save(state, path, **options)
    return path


def same(state):
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], STATE[key]) and state[key].dtype == STATE[key].dtype for key in STATE)


def test_a_published_file_is_read_as_it_was_saved(tmp_path):
    data = saved(tmp_path / "w.pth").read_bytes()
    with serving(lambda handler: send(handler, data)) as server:
        same(read_published(at(server.address, hashlib.sha256(data).hexdigest())))


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
