"""Checkpoints as people save them. The wrappers and bundles are torch's own, not imitated names."""

import argparse
import collections
import json
import pathlib
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from maskseg_nb import ModelError, load_model, predict, preprocess, sample_photo
from maskseg_nb.mask_rcnn.knobs import fingerprint
from maskseg_nb.models.details import metadata_of
from maskseg_nb.models.street import street as build_street
from maskseg_nb.models.zoo import categories_of
from published_models import as_in_2019

ASSUMED = "does not say how it was trained; assumed: "


pytestmark = pytest.mark.usefixtures("one_thread")
slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def tuned():
    torch.manual_seed(0)
    return build_street(3).eval()


def loaded(path, **told):
    """The model, and the warnings about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = load_model(path, **told)
    assert all(warning.filename == __file__ for warning in caught)  # points at the caller's own line
    return model, [str(warning.message) for warning in caught]


def equal(model, other):
    one, two = model.state_dict(), other.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


# Names


@pytest.mark.parametrize(
    "file_name, categories, expected",
    [
        ("mine.pth", None, ("__background__", "1", "2")),
        ("mine.safetensors", None, ("__background__", "1", "2")),
        ("mine.safetensors", "__background__,cat,dog", ("__background__", "cat", "dog")),
        (
            "mine.safetensors",
            json.dumps(["__background__", "salt, pepper", "ħ"]),
            ("__background__", "salt, pepper", "ħ"),
        ),
    ],
)
@pytest.mark.parametrize("as_name", [str, lambda path: path])
def test_a_fine_tuned_street_has_its_own_categories(
    file_name, categories, expected, as_name, tuned, tmp_path
):
    path = tmp_path / file_name
    if path.suffix == ".pth":
        torch.save(tuned.state_dict(), path)
    else:
        save_file(tuned.state_dict(), path, metadata={"categories": categories} if categories else None)
    model, _ = loaded(as_name(path))
    assert model.categories == categories_of(model) == expected
    assert model.name == file_name and not model.training
    assert equal(model, tuned)


@pytest.mark.parametrize("names", [["weed", "crop"], ("__background__", "weed", "crop")])
def test_the_user_knows_the_names_of_the_categories(names, tuned, tmp_path):
    save_file(tuned.state_dict(), tmp_path / "w.safetensors", metadata={"categories": "__background__,a,b"})
    model, _ = loaded(tmp_path / "w.safetensors", categories=names)
    assert model.categories == ("__background__", "weed", "crop")


@pytest.mark.parametrize(
    "names, error, match",
    [
        (["weed"], ValueError, "names 1 categories and has weights for 3, the background among them"),
        (["a", "b", "c", "d"], ValueError, "names 4 categories and has weights for 3"),
        ("weed,crop", TypeError, "categories must be a list of names, got 'weed,crop'"),
        (["weed", None], TypeError, "categories must be a list of names"),
        (["weed", "weed"], ValueError, "different names, got 'weed' twice"),
        (["weed", ""], ValueError, "names of 1 to 100 printable characters, got ''"),
        (["weed", "x" * 10**6], ValueError, "printable characters, got 'xxx"),
        (["weed", "cr\nop"], ValueError, r"printable characters, got 'cr\\nop'"),
    ],
)
def test_names_that_cannot_be_are_refused(names, error, match, tuned, tmp_path):
    torch.save(tuned.state_dict(), tmp_path / "w.pth")
    with pytest.raises(error, match=match):
        loaded(tmp_path / "w.pth", categories=names)
    if isinstance(names, list):
        save_file(tuned.state_dict(), tmp_path / "w.safetensors", metadata={"categories": json.dumps(names)})
        with pytest.raises(ModelError, match="'w.safetensors' has unusable metadata: ") as caught:
            loaded(tmp_path / "w.safetensors")
        assert len(str(caught.value)) <= 300


# Wrappers and bundles


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, of wrappers on a CPU
@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        AveragedModel,
        torch.compile,
        lambda model: torch.compile(nn.DataParallel(model)),
        lambda model: nn.ModuleDict({"net": nn.DataParallel(model), "loss": nn.Linear(2, 2)}),
        lambda model: nn.Sequential(nn.Identity(), torch.compile(model)),
    ],
    ids=["DataParallel", "AveragedModel", "compiled", "both", "beside a loss", "in a Sequential"],
)
@pytest.mark.parametrize("suffix", [".pth", slow(".safetensors")])
def test_weights_of_a_wrapped_model_are_those_of_the_model(wrap, suffix, tuned, tmp_path):
    state, path = wrap(tuned).state_dict(), tmp_path / f"w{suffix}"
    assert not state.keys() & tuned.state_dict().keys()  # every name is longer
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    assert equal(loaded(path)[0], tuned)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_part_that_was_compiled_has_longer_names_in_the_middle(tuned, tmp_path):
    wrapped = build_street(3)
    wrapped.load_state_dict(tuned.state_dict())
    wrapped.backbone = torch.compile(wrapped.backbone)
    wrapped.rpn = nn.DataParallel(wrapped.rpn)
    state = wrapped.state_dict()
    assert any(key.startswith("backbone._orig_mod.") for key in state)
    assert any(key.startswith("rpn.module.") for key in state)
    torch.save(state, tmp_path / "w.pth")
    assert equal(loaded(tmp_path / "w.pth")[0], tuned)


def optimizer_of(model):
    """A real optimiser's memory: two tensors and a number for each weight."""
    optimizer = torch.optim.AdamW(model.parameters())
    sum(parameter.sum() for parameter in model.parameters() if parameter.requires_grad).backward()
    optimizer.step()
    return optimizer


def training_loop(state, key):
    """What is saved at the end of an epoch, with all that may lie beside the weights."""
    torch.manual_seed(1)
    other = build_street(2)
    optimizer = optimizer_of(other)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    return {
        "epoch": 7,
        "args": argparse.Namespace(lr=0.02, output_dir=pathlib.PurePosixPath("runs/1"), milestones=[3, 5]),
        "best_map": np.float64(0.41),
        "history": collections.defaultdict(list, {"loss": [1.0, 0.5]}),
        "last": collections.deque([1, 2], maxlen=5),
        "matrix": np.eye(3),
        "seen": {1, 2},
        "shape": torch.Size((1, 3)),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": schedule.state_dict(),
        "scaler": {"scale": 65536.0},
        key: state,
    }


@pytest.mark.parametrize(
    "key, legacy",
    [
        ("model", False),
        ("state_dict", True),
        *(slow(key, False) for key in ("model_state_dict", "weights", "net")),
        *(slow(key, True) for key in ("ema", "model_ema", "student")),
    ],
)
def test_a_training_loops_bundle(key, legacy, tuned, tmp_path):
    bundle = training_loop(tuned.state_dict(), key)
    torch.save(bundle, tmp_path / "last.pth.tar", _use_new_zipfile_serialization=not legacy)
    allowed = torch.serialization.get_safe_globals()
    model, said = loaded(tmp_path / "last.pth.tar", categories=["cat", "dog"])
    assert equal(model, tuned) and model.categories == ("__background__", "cat", "dog")
    assert len(said) == 1 and ASSUMED in said[0]
    assert set(torch.serialization.get_safe_globals()) == set(allowed)  # nothing was added for good


@pytest.mark.slow
def test_a_bundle_in_a_bundle_with_a_prefix(tuned, tmp_path):
    state = {f"model.module.{key}": weight for key, weight in tuned.state_dict().items()}
    torch.save({"checkpoint": {"state_dict": state, "n": 3}}, tmp_path / "w.ckpt")
    assert equal(loaded(tmp_path / "w.ckpt")[0], tuned)


def test_numbers_beside_the_weights_are_left_out(tuned, tmp_path):
    state = {
        **tuned.state_dict(),
        "epoch": 7,
        "lr": 0.1,
        "name": "x",
        "global_step": torch.tensor(40),
        3: "y",
    }
    torch.save(state, tmp_path / "w.pth")
    assert equal(loaded(tmp_path / "w.pth")[0], tuned)


def test_of_several_models_the_first_is_taken_and_named(tuned, tmp_path):
    torch.manual_seed(2)
    other = build_street(3)
    averaged = {f"module.{key}": weight for key, weight in other.state_dict().items()}
    torch.save({"model": tuned.state_dict(), "ema": averaged}, tmp_path / "w.pth")
    model, said = loaded(tmp_path / "w.pth")
    assert equal(model, tuned)
    assert "holds several Mask R-CNNs; 'model/' is used. To use 'ema/', save it alone" in said[0]


def test_two_models_in_one_state_dict_do_not_mix(tuned, tmp_path):
    torch.manual_seed(2)
    pair = nn.ModuleDict({"net": tuned, "net_ema": build_street(3)})
    torch.save(pair.state_dict(), tmp_path / "w.pth")
    model, said = loaded(tmp_path / "w.pth")
    assert equal(model, tuned) and "'net.' is used" in said[0]


def test_a_bundle_that_holds_itself_is_no_endless_search(tuned, tmp_path):
    bundle = {"w": torch.zeros(2)}
    bundle["again"] = bundle
    torch.save(bundle, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="holds no state dict"):
        load_model(tmp_path / "w.pth")


# Other releases, half precision, norms


@pytest.mark.slow
def test_a_checkpoint_of_before_torchvision_0_13_has_other_names_and_is_loaded_by_path(tmp_path):
    state = as_in_2019(tmp_path / "mine.pth", categories=3)
    model, said = loaded(tmp_path / "mine.pth")
    assert len(model.categories) == 3 and model.state_dict().keys() == state.keys()
    assert all(torch.equal(weight, state[key]) for key, weight in model.state_dict().items())
    assert said[0].endswith(
        f"{ASSUMED}min_size=800, max_size=1333, anchors=(32, 64, 128, 256, 512), norm_eps=0. "
        "If it was trained with others, give them to load_model"
    )


@pytest.mark.slow
@pytest.mark.parametrize("build", [maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2])
def test_batch_norms_that_were_trained_keep_their_eps(build, tmp_path):
    trained = build(weights=None, weights_backbone=None, num_classes=3)
    torch.save(trained.state_dict(), tmp_path / "mine.pth")
    model, said = loaded(tmp_path / "mine.pth")
    norms = [module for module in model.modules() if "BatchNorm" in type(module).__name__]
    assert norms and all(type(norm) is nn.BatchNorm2d and norm.eps == 1e-5 for norm in norms)
    assert "norm_eps" not in said[0]


def frozen_resnet(eps=1e-5, **options):
    """As torchvision builds it from a backbone's weights: eps 1e-5."""
    torch.manual_seed(0)
    model = MaskRCNN(resnet_fpn_backbone(backbone_name="resnet50", weights=None), 2, **options).eval()
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = eps
            module.running_var[:3], module.weight[:3] = 1e-9, 1e-4  # channels that hardly vary
    return model


def eps_of(model):
    (eps,) = {module.eps for module in model.modules() if isinstance(module, FrozenBatchNorm2d)}
    return eps


@pytest.mark.slow
def test_half_precision_makes_variances_zero_and_eps_is_chosen_so_that_they_do_no_harm(tmp_path):
    original = frozen_resnet()
    half = {key: weight.half() for key, weight in original.state_dict().items()}
    torch.save(half, tmp_path / "half.pth")
    expected = frozen_resnet()
    expected.load_state_dict({key: weight.float() for key, weight in half.items()})

    model, said = loaded(tmp_path / "half.pth")
    assert "norm_eps=1e-05 (a variance is 0)" in said[0]
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        (theirs,) = expected(picture)
    found = predict(model, picture)
    assert len(found) and np.array_equal(found.scores, theirs["scores"].numpy())

    with pytest.raises(ValueError, match="norm_eps must be above 0: a variance is 0"):
        load_model(tmp_path / "half.pth", norm_eps=0)


@pytest.mark.slow
def test_the_eps_of_frozen_norms_is_0_unless_said(tmp_path):
    torch.save(frozen_resnet().state_dict(), tmp_path / "w.pth")
    model, said = loaded(tmp_path / "w.pth")
    assert eps_of(model) == 0 and "norm_eps=0. " in said[0]
    model, said = loaded(tmp_path / "w.pth", norm_eps=1e-5)
    assert eps_of(model) == 1e-5 and "norm_eps" not in said[0]
    for wrong in (-1, 1, float("nan"), "0", True):
        with pytest.raises(ValueError, match=r"norm_eps must be a number in \[0, 1\)"):
            load_model(tmp_path / "w.pth", norm_eps=wrong)


def test_norm_eps_is_for_frozen_norms_only(tuned, tmp_path):
    torch.save(tuned.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="this checkpoint has none"):
        load_model(tmp_path / "w.pth", norm_eps=0)


# Input size and anchors

SMALL = AnchorGenerator(tuple((side,) for side in (8, 16, 32, 64, 128)), ((0.5, 1.0, 2.0),) * 5)
MANY = AnchorGenerator(((8, 12), (16, 24), (32, 48), (64, 96), (128, 192)), ((0.3, 1.0),) * 5)


@pytest.mark.parametrize("told", [(8, 16, 32, 64, 128), [[8], [16], [32], [64], [128]], SMALL], ids=repr)
def test_input_size_and_anchors_are_those_that_are_said(told, tuned, tmp_path):
    torch.save(tuned.state_dict(), tmp_path / "w.pth")
    model, said = loaded(tmp_path / "w.pth", min_size=96, max_size=128, anchors=told)
    assert said == []
    assert model.transform.min_size == (96,) and model.transform.max_size == 128
    for ours, theirs in zip(model.rpn.anchor_generator.cell_anchors, SMALL.cell_anchors, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("trained_with, told", [(SMALL, (8, 16, 32, 64, 128)), (MANY, MANY)])
def test_what_is_said_of_input_size_and_anchors_gives_what_the_trained_model_gives(
    trained_with, told, tmp_path
):
    options = {"min_size": 96, "max_size": 128, "rpn_anchor_generator": trained_with}
    original = frozen_resnet(0.0, **options)
    torch.save(original.state_dict(), tmp_path / "cells.pth")
    model, said = loaded(tmp_path / "cells.pth", min_size=96, max_size=128, anchors=told, norm_eps=0)
    assert said == []
    tensor, _ = preprocess(sample_photo("cat"), size=(96, 120))
    with torch.no_grad():
        (theirs,) = original(tensor)
    found = predict(model, tensor)
    assert len(found) and np.array_equal(found.boxes, theirs["boxes"].numpy())
    assert np.array_equal(found.scores, theirs["scores"].numpy())


@pytest.mark.slow
def test_as_many_anchors_as_the_weights_have_must_be_said(tmp_path):
    torch.save(frozen_resnet(rpn_anchor_generator=MANY).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"with 4 anchors per cell, not 3; give .*anchors"):
        load_model(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "anchors, error, match",
    [
        ((8, 16), ValueError, "anchors must have sizes for 5 levels, got 2"),
        ((8, 16, 32, 64, 0), ValueError, "numbers above 0, at most 4096, got"),
        ((8, 16, 32, 64, float("nan")), ValueError, "numbers above 0"),
        ((8, 16, 32, 64, (64, 128)), ValueError, "the same number on each level"),
        ("8,16,32,64,128", TypeError, "one for each level, got '8,16"),
        (8, TypeError, "one for each level, got '8'"),
        ((), TypeError, "one for each level, got '\\(\\)'"),
    ],
)
def test_anchors_that_cannot_be_are_refused(anchors, error, match, tuned, tmp_path):
    torch.save(tuned.state_dict(), tmp_path / "w.pth")
    with pytest.raises(error, match=match):
        load_model(tmp_path / "w.pth", anchors=anchors)


# Metadata: what our own files say


@pytest.mark.slow
def test_a_file_that_says_everything_needs_no_telling(tmp_path):
    original = frozen_resnet(1e-5, min_size=96, max_size=128, rpn_anchor_generator=MANY)
    original.categories = ("__background__", "cell")
    save_file(original.state_dict(), tmp_path / "w.safetensors", metadata_of(original))
    model, said = loaded(tmp_path / "w.safetensors")
    assert said == [] and model.categories == original.categories and eps_of(model) == 1e-5
    assert model.transform.min_size == (96,) and model.transform.max_size == 128
    for ours, theirs in zip(model.rpn.anchor_generator.cell_anchors, MANY.cell_anchors, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "metadata",
    [
        {"min_size": "96"},
        {"min_size": "96", "max_size": "x"},
        {"min_size": "96", "max_size": "95"},
        {"min_size": "1", "max_size": "95"},
        {"min_size": "96", "max_size": "1" * 5000},
        {"anchors": "8,16"},
        {"anchors": "[[[8]], [[1]]]"},
        {"anchors": "[8, 1]"},
        {"anchors": "[" * 100_000},
        {"anchors": '[[["8"],[8],[8],[8],[8]], [[1],[1],[1],[1],[1]]]'},
        {"norm_eps": "0"},  # street has no frozen norms
        {"categories": "[1, 2, 3]"},
        {"categories": '["__background__", "a", null]'},
    ],
)
def test_metadata_that_cannot_be_is_a_model_error(metadata, tuned, tmp_path):
    save_file(tuned.state_dict(), tmp_path / "w.safetensors", metadata)
    with pytest.raises(ModelError, match="'w.safetensors' ") as caught:
        load_model(tmp_path / "w.safetensors")
    assert len(str(caught.value)) <= 300


@pytest.mark.slow
def test_a_run_with_another_eps_is_another_run(tmp_path):
    torch.save(frozen_resnet().state_dict(), tmp_path / "w.pth")
    prints = {fingerprint(loaded(tmp_path / "w.pth", norm_eps=eps)[0]) for eps in (0, 1e-5, 1e-3)}
    assert len(prints) == 3
