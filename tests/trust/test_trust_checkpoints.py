"""Checkpoints from anywhere: none runs code, and each that is not a Mask R-CNN says so in one line."""

import argparse
import functools
import json
import os
import pickle
import random
import resource
import struct
import warnings
import zipfile

import children
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from maskseg_nb import ModelError, load_model
from maskseg_nb.models.checkpoints import MAX_TENSORS, read_state
from maskseg_nb.models.download import MAX_WEIGHTS_BYTES
from maskseg_nb.models.street import street as build_street

SCORES = "roi_heads.box_predictor.cls_score.weight"
STATE = {"body.weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


class Poison:
    """Unpickled by an ordinary loader, it makes a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


def refusal(path, match):
    """Load in vain, and return the error: short, printable, with the file's name and a next step."""
    with pytest.raises(ModelError, match=match) as caught:
        load_model(path)
    message = str(caught.value)
    assert len(message) <= 300 and message.isprintable()
    assert message.startswith(ascii(path.name)[:20])
    return caught.value


@functools.cache
def _tuned():
    torch.manual_seed(0)
    return build_street(3).state_dict()


def tuned(**changes):
    """A good state dict, but for the changes; None takes a weight away."""
    state = {**_tuned(), **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


# Code


@pytest.mark.expects("ModelError; the canary never appears")
@pytest.mark.parametrize("legacy", [False, True])
def test_a_poisoned_pickle(legacy, tmp_path, got):
    live, canary = tmp_path / "live", tmp_path / "canary"
    pickle.loads(pickle.dumps(Poison(live)))
    assert live.exists()  # the poison works, so its absence below means something

    path = tmp_path / "w.pth"
    if legacy:
        path.write_bytes(pickle.dumps({"w": Poison(canary)}, protocol=2))
    else:
        torch.save({"w": Poison(canary)}, path)
    got(refusal(path, "refused, it holds more than tensors; give a file saved with torch.save"))
    assert not canary.exists()


@pytest.mark.expects("ModelError; nothing of what lies beside the weights runs")
@pytest.mark.parametrize("legacy", [False, True])
def test_poison_beside_good_weights(legacy, tmp_path, got):
    canary = tmp_path / "canary"
    bundle = {"model": tuned(), "args": argparse.Namespace(lr=0.1, hook=Poison(canary))}
    torch.save(bundle, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    got(refusal(tmp_path / "w.pth", "refused, it holds more than tensors"))
    assert not canary.exists()


class Named(argparse.Namespace):
    """Pickled under the name of what may be read, with a state that an ordinary loader would run."""

    def __reduce__(self):
        return argparse.Namespace, (), {"__class__": "x", "run": "y"}


@pytest.mark.expects("the weights; what has an allowed name is not made, nor its state set")
def test_what_lies_beside_the_weights_is_never_made(tmp_path, monkeypatch, got):
    made = []
    torch.save({"model": tuned(), "args": Named()}, tmp_path / "w.pth")
    monkeypatch.setattr(argparse.Namespace, "__init__", lambda self, **_: made.append(self))
    with pytest.warns(match="does not say how it was trained"):
        model = load_model(tmp_path / "w.pth")
    assert len(model.categories) == 3 and made == []
    got("3 categories, no Namespace made")


@pytest.mark.expects("ModelError that asks for a state dict")
def test_a_whole_pickled_module(tmp_path, got):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth")
    got(refusal(tmp_path / "w.pth", r"holds more than tensors; give .*model.state_dict\(\)"))


@pytest.mark.expects("ModelError that says TorchScript, without a warning")
def test_a_torchscript_archive(tmp_path, got):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its age
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "w.pth")
    got(refusal(tmp_path / "w.pth", "refused, it is a TorchScript program; give a file saved with"))


# Bombs


@pytest.mark.expects("ModelError before anything is unpacked")
def test_a_compressed_bomb(tmp_path, monkeypatch, got):
    plain, bomb = tmp_path / "w.pth", tmp_path / "bomb.pth"
    torch.save({"w": torch.zeros(2**24)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    assert bomb.stat().st_size < 100_000
    monkeypatch.setattr(torch, "load", None)  # nobody may call it
    got(refusal(bomb, r"unpacks to 67,\d+,\d+ bytes, far more than its own size: not opened"))


@pytest.mark.expects("ModelError, not petabytes")
def test_one_number_that_claims_to_be_many(tmp_path, got):
    path = tmp_path / "w.pth"
    torch.save({"w": torch.zeros(1).expand(10**15)}, path)  # stride 0
    assert path.stat().st_size < 2000
    got(refusal(path, "tensors of more than 2 GB|cannot be read"))


@pytest.mark.expects("ModelError before a model of that size is built")
@pytest.mark.parametrize("rows", [0, 1, 10_001, 10**8])
def test_scores_for_far_too_many_or_too_few_categories(rows, tmp_path, got):
    path = tmp_path / "w.pth"
    torch.save({SCORES: torch.zeros(1).expand(rows, 1)}, path)
    got(refusal(path, f"has scores for {rows:,} categories; use a Mask R-CNN's checkpoint"))


def test_scores_without_rows_are_refused(tmp_path):
    torch.save({SCORES: torch.tensor(1.0)}, tmp_path / "w.pth")
    refusal(tmp_path / "w.pth", "has scores for 0 categories")


@pytest.mark.expects("ModelError")
def test_a_file_larger_than_any_mask_rcnn(tmp_path, got):
    path = tmp_path / "w.pth"
    path.touch()
    os.truncate(path, MAX_WEIGHTS_BYTES + 1)  # sparse: takes no room on the disk
    got(refusal(path, "larger than 2 GB"))


def as_views(count):
    """So many tensors of one storage: a small file with a long list."""
    one = torch.zeros(count)
    return {f"layer.{number}": one[number : number + 1] for number in range(count)}


@pytest.mark.expects("ModelError before the list is read")
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "one file a tensor"])
def test_a_list_of_tensors_without_end(kind, tmp_path, monkeypatch, got):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file({name: tensor.clone() for name, tensor in as_views(40_000).items()}, path)
    elif kind == "one file a tensor":
        torch.save([torch.zeros(1) for _ in range(MAX_TENSORS + 1)], path)
    else:
        torch.save(as_views(40_000), path, _use_new_zipfile_serialization=kind == "zip")
    monkeypatch.setattr(torch, "load", None)  # nobody may call it
    got(refusal(path, "holds far more tensors than a Mask R-CNN, with some 300, needs: not opened"))


# Weights that do not belong to this network


@pytest.mark.expects("ModelError that counts and names the misfits")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rpn__head__bbox_pred__weight": None}, "1 weights missing, 0 unknown, 0 of another shape or kind"),
        ({"extra__weight": torch.zeros(2)}, "0 weights missing, 1 unknown, 0 of another"),
        ({"rpn__head__bbox_pred__weight": torch.zeros(2)}, "0 unknown, 1 of another shape or kind"),
        ({"rpn__head__bbox_pred__bias": torch.zeros(12, dtype=torch.int64)}, "1 of another shape or kind"),
        ({"<b>\n" + "x" * 900: torch.zeros(2)}, r"1 unknown, .* such as '<b>\\n"),
    ],
)
def test_weights_that_do_not_fit(change, said, tmp_path, got):
    torch.save(tuned(**change), tmp_path / "w.pth")
    got(refusal(tmp_path / "w.pth", f"'w.pth' does not fit: .*{said}.*; use the checkpoint of this"))


@pytest.mark.expects("ModelError")
def test_a_detector_without_masks(tmp_path, got):
    state = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None).state_dict()
    torch.save(state, tmp_path / "w.pth")
    got(refusal(tmp_path / "w.pth", "holds a detector without masks|does not fit"))


@pytest.mark.expects("ModelError")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_not_finite(suffix, value, tmp_path, got):
    path = tmp_path / f"w{suffix}"
    state = tuned(rpn__head__bbox_pred__bias=torch.tensor([value] + [0.0] * 11))
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    got(refusal(path, "weights that are not finite .NaN or infinite.; use an earlier checkpoint"))


@pytest.mark.expects("ModelError that asks for a state dict")
@pytest.mark.parametrize(
    "thing",
    [
        pytest.param(lambda: [torch.zeros(2)], id="list"),
        pytest.param(lambda: {}, id="empty dict"),
        pytest.param(lambda: {"model": {"w": torch.zeros(2)}}, id="nested dict"),
        pytest.param(lambda: {"w": 0.5}, id="number"),
        pytest.param(lambda: {1: torch.zeros(2)}, id="key that is no name"),
        pytest.param(lambda: {"w": torch.eye(3).to_sparse()}, id="sparse"),
        pytest.param(
            lambda: {"w": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])}, id="nested"
        ),
        pytest.param(lambda: {"w": torch.empty(3, device="meta")}, id="meta"),
        pytest.param(lambda: {"w": torch.zeros(3, dtype=torch.complex64)}, id="complex"),
        pytest.param(lambda: {"w": torch.empty(3, dtype=torch.bits8)}, id="bits8"),
        pytest.param(lambda: {"w": torch.empty(3, dtype=torch.float4_e2m1fn_x2)}, id="float4"),
    ],
)
def test_anything_but_a_flat_dict_of_ordinary_tensors(thing, tmp_path, got):
    path = tmp_path / "w.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of the sparse tensor
        torch.save(thing(), path)
    got(refusal(path, r"torch\.save"))


@pytest.mark.expects("ModelError")
@pytest.mark.parametrize(
    "categories", ["a,b", json.dumps(["a"]), '["unclosed', "[" * 100_000], ids=["2", "1", "unclosed", "deep"]
)
def test_category_names_that_do_not_fit(categories, tmp_path, got):
    save_file(_tuned(), tmp_path / "w.safetensors", metadata={"categories": categories})
    said = "names . categories and has weights for 3|unreadable category names; save it again"
    got(refusal(tmp_path / "w.safetensors", said))


# Files


@pytest.mark.expects("ModelError")
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no weights\n",
        b"<!doctype html>",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        b"\x80\x04N.",
        struct.pack("<Q", 2**60) + b"{}",
    ],
    ids=["empty", "text", "html", "png", "zip head", "empty zip", "pickled None", "long header"],
)
def test_a_file_of_another_kind(name, data, tmp_path, got):
    (tmp_path / name).write_bytes(data)
    got(refusal(tmp_path / name, f"'{name}'"))


@pytest.mark.expects("ModelError that says what may be given")
@pytest.mark.parametrize("name", ["no.pth", "no.safetensors", "folder", "pipe.pth", "loop.pth", "nul\0.pth"])
def test_what_is_not_a_file(name, tmp_path, got):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "loop.pth").symlink_to(tmp_path / "loop.pth")
    got(refusal(tmp_path / name, "is not a file; give the path of a .safetensors or .pth checkpoint"))


@pytest.mark.expects("ModelError")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
def test_a_name_that_is_too_long(suffix, tmp_path, got):
    got(refusal(tmp_path / ("w" * 300 + suffix), "cannot be opened: File name too long"))
    with pytest.raises(ModelError, match="cannot be opened|no model"):
        load_model("w" * 300 + suffix)


@pytest.mark.expects("ModelError with the name escaped")
def test_a_name_with_markup_and_newlines(tmp_path, got):
    path = tmp_path / "<img src=x>\n\u202e$x$.pth"
    path.write_bytes(b"bad")
    error = refusal(path, r"^'<img src=x>\\n\\u202e\$x\$.pth'")
    assert str(error).isascii()
    got(error)


@pytest.mark.expects("ModelError that gives the reason")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_may_not_be_read(suffix, tmp_path, monkeypatch, got):
    path = tmp_path / f"w{suffix}"
    torch.save(STATE, path) if suffix == ".pth" else save_file(STATE, path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")  # which root never meets

    monkeypatch.setattr("maskseg_nb.models.checkpoints.safe_open", refuse)
    monkeypatch.setattr(type(path), "open", refuse)
    got(refusal(path, "cannot be opened: Permission denied; choose a readable file"))


@pytest.mark.expects("ModelError that gives the reason, at each number of free descriptors")
def test_too_few_free_descriptors(tmp_path, got):
    path = tmp_path / "w.safetensors"
    save_file(STATE, path)
    _, most = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held, said = [], []
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, most))
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    try:
        for _ in range(5):
            try:
                read_state(path)
                break
            except ModelError as error:
                said.append(str(error))
            os.close(held.pop())
    finally:
        for handle in held:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert said and all("'w.safetensors' cannot be opened: Too many open files" in text for text in said)
    assert len(said) < 5  # in the end it was read
    got(f"{len(said)} refusals, then read")


@pytest.mark.expects("the file that was checked is read, or ModelError")
def test_a_bomb_put_in_place_of_a_checked_file(tmp_path, monkeypatch, got):
    path, other = tmp_path / "w.pth", tmp_path / "other.pth"
    torch.save(STATE, path)
    torch.save({"w": torch.zeros(2**20)}, other)
    real = zipfile.is_zipfile
    monkeypatch.setattr(zipfile, "is_zipfile", lambda file: os.replace(other, path) or real(file))
    state, _ = read_state(path)
    assert state.keys() == STATE.keys()  # not the other's
    got("the checked file")


@pytest.mark.expects("ModelError, or whole all the same")
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_damaged_files(kind, tmp_path, torture, got):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(STATE, path, metadata={"categories": "a,b"})
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    chance, refused = random.Random(0), 0
    for _ in range(300 * torture):
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
    assert refused > 100 * torture
    got(f"{refused} of {300 * torture} refused")


@pytest.mark.expects("memory within 100 MB, and the bits of a fresh process")
def test_after_many_bad_files_the_next_good_run(tmp_path, got):
    large = torch.zeros(30_000_000)  # 120 MB, which must be given back
    torch.save({"w": large}, tmp_path / "unknown.pth")
    torch.save({"w": large.fill_(torch.nan)}, tmp_path / "nan.pth")
    save_file({"w": large}, tmp_path / "nan.safetensors")
    torch.save({"w": [large]}, tmp_path / "nested.pth")
    torch.save({"w": Poison(tmp_path / "canary")}, tmp_path / "poison.pth")
    torch.save({SCORES: torch.zeros(1).expand(10**8, 1)}, tmp_path / "rows.pth")
    torch.save(tuned(extra__weight=torch.zeros(2)), tmp_path / "surplus.pth")
    (tmp_path / "text.pth").write_bytes(b"no weights\n")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "unknown.pth").read_bytes()[:60_000_000])
    used, fresh = children.start("after_bad_checkpoints", tmp_path), children.start("good_run")
    after, expected = children.result(used), children.result(fresh)
    assert after["refused"] == 9
    assert after["grown"] < 100 * 2**20
    assert {key: after[key] for key in expected} == expected
    assert not (tmp_path / "canary").exists()
    got(f"{after['grown'] / 2**20:.0f} MiB more, equal bits")
