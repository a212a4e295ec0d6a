"""`make verify-models` on stand-ins: it sees what is wrong, and says where it cannot look."""

import re
from dataclasses import replace

import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

import verify_models
from loopback import empty_cache, no_address
from maskseg_nb import MODELS, load_model, preprocess, sample_photo
from maskseg_nb.models.download import Download


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    return empty_cache(tmp_path, monkeypatch)


def test_without_a_network_it_is_one_line_and_status_2(monkeypatch, capsys):
    for name in verify_models.OFFICIAL:
        file = MODELS[name].download.path.name
        download = Download.from_url(f"{no_address()}/{file}")
        monkeypatch.setitem(MODELS, name, replace(MODELS[name], download=download))
    assert verify_models.main() == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert re.match(
        "coco cannot be verified here: maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth cannot be down", line
    )


@pytest.fixture
def tiny(monkeypatch):
    """`street` in both places of the table, and as torchvision's own: quick, and equal."""
    monkeypatch.setattr(verify_models, "OFFICIAL", {"coco": lambda **_: load_model("street")})
    monkeypatch.setattr(verify_models, "fetch", lambda download: b"")
    monkeypatch.setattr(verify_models, "load_model", lambda name, device: load_model("street"))
    monkeypatch.setattr(verify_models, "SAMPLES", ("motorcycle", "astronaut"))
    return monkeypatch


@pytest.mark.slow
def test_equal_models_and_facts_that_hold_are_status_0(tiny, capsys):
    assert verify_models.main() == 0
    said = capsys.readouterr().out
    assert re.search(r"coco on motorcycle: motorcycle 0\.9\d\d", said)
    assert said.endswith("All equal to torchvision's own loading, to the bit.\n")


@pytest.mark.slow
def test_a_fact_that_does_not_hold_is_named_with_its_score(tiny, capsys):
    tiny.setattr(verify_models, "FACTS", {"astronaut": "car"})
    assert verify_models.main() == 1
    assert "WRONG: coco on astronaut: car 0.000, expected 0.9 or more (a guess)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_weight_an_eps_and_a_result_that_differ_are_named(street):
    other = load_model("street")
    assert verify_models.differences(street, other) == []
    tensor, _ = preprocess(sample_photo("motorcycle"), size=(160, 240))
    assert verify_models.different_results(street, other, tensor) == []
    with torch.no_grad():
        other.roi_heads.box_predictor.cls_score.bias[1] -= 0.1
    assert verify_models.differences(street, other) == ["roi_heads.box_predictor.cls_score.bias differs"]
    assert "scores differ" in verify_models.different_results(street, other, tensor)

    one, two = (maskrcnn_resnet50_fpn(weights=None, weights_backbone=None) for _ in range(2))
    two.load_state_dict(one.state_dict())
    two.backbone.body.bn1.eps = 0.0
    assert verify_models.differences(one, two) == ["the eps of norms differs"]
