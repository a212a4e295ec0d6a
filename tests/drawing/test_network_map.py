"""The map is read back as XML and compared with the model: its own modules, hooks and a run."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from maskseg_nb import network_map
from maskseg_nb.mask_rcnn.trace import STAGES
from maskseg_nb.models.zoo import MODELS
from small_models import even_model, tiny_model

SVG = "{http://www.w3.org/2000/svg}"
CATEGORIES = ("__background__", "cat", "dog")


def panels(drawn):
    """Stage -> the texts of its panel, in order."""
    root = ElementTree.fromstring(drawn.svg)
    groups = {group.get("id"): group for group in root.iter(f"{SVG}g")}
    return {name: [text.text for text in groups[name].iter(f"{SVG}text")] for name in STAGES}


def numbers(text):
    return [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", text)]


@pytest.fixture(scope="module")
def model():
    return even_model(CATEGORIES)


def test_every_stage_has_a_panel_under_its_title(model):
    drawn = panels(network_map(model))
    assert [texts[0] for texts in drawn.values()] == [stage.title for stage in STAGES.values()]


def test_channels_and_strides_are_those_that_hooks_see(model):
    seen = {}
    hooks = [
        part.register_forward_hook(lambda _, inputs, out, name=name: seen.update({name: out}))
        for name, part in (("C", model.backbone.body), ("P", model.backbone.fpn))
    ]
    with torch.no_grad():
        model.backbone.fpn(model.backbone.body(torch.zeros(1, 3, 128, 128)))
    for hook in hooks:
        hook.remove()
    said = {
        text[:2]: numbers(text[3:]) for text in panels(network_map(model))["features"] if text[1:2].isdigit()
    }
    said.pop("1 ", None)  # the 1 x 1 convolutions
    for kind in "CP":
        for number, values in enumerate(seen[kind].values(), 2):
            expected = values.shape[1] if kind == "C" else 128 // values.shape[-1]
            assert said.pop(f"{kind}{number}") == [expected]
    assert said == {}


def test_a_run_gives_its_own_counts(street, street_trace):
    drawn = panels(network_map(street, street_trace))
    run = street_trace
    found = len(run.prediction)
    assert numbers(drawn["normalised"][-1]) == [*run.normalised.size]
    assert f"{len(run.anchors.boxes):,} anchors" in drawn["anchors"]
    assert numbers(drawn["proposals"][-1]) == [len(run.proposals.boxes)]
    assert f"from {len(run.detections.outcomes):,} pairs" in drawn["detections"]
    assert f"to {found:,} detections" in drawn["detections"] and f"{found:,} boxes read" in drawn["masks"]


def test_only_what_has_parameters_has_weights(model):
    drawn = panels(network_map(model))
    learned = {name: texts.count("nothing to learn") == 0 for name, texts in drawn.items()}
    assert [name for name, learns in learned.items() if learns] == [
        "features",
        "anchors",
        "box_scores",
        "masks",
    ]
    text = " ".join(text for texts in drawn.values() for text in texts if text.endswith(" weights"))
    total = sum(float(number) for number in re.findall(r"([\d.]+) million", text))
    assert total == pytest.approx(sum(p.numel() for p in model.parameters()) / 1e6, abs=0.2)


def test_one_stage_is_lit_and_the_others_are_dimmed(model):
    drawn = network_map(model, here="masks")
    root = ElementTree.fromstring(drawn.svg)
    dim = {group.get("id") for group in root.iter(f"{SVG}g") if group.get("class") == "dim"}
    assert dim == set(STAGES) - {"masks"}
    assert [name for name, texts in panels(drawn).items() if "here" in texts] == ["masks"]
    assert drawn.alt.endswith("You are here: Masks.")


def test_what_ran_again_is_underlined_as_in_the_strip(street, street_trace):
    turned = street_trace.rerun(box_nms_threshold=0.123)
    root = ElementTree.fromstring(network_map(street, turned).svg)
    again = {
        group.get("id")
        for group in root.iter(f"{SVG}g")
        if any(bar.get("fill") == "var(--rerun)" for bar in group.iter(f"{SVG}rect"))
    }
    assert again == set(turned.rerun_stages)
    assert 'fill="var(--rerun)"' not in network_map(street, street_trace).svg  # the first run: all stages


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coco", "coco_v2"])
def test_torchvision_s_own_models_are_drawn(name):
    model = MODELS[name].build(num_classes=91).eval()
    drawn = panels(network_map(model))
    assert "backbone: ResNet" in drawn["features"] and "C5: 2048 channels" in drawn["features"]
    convolutions = sum(isinstance(m, nn.Conv2d) for m in model.roi_heads.box_head.modules())
    dense = "2 dense layers" if name == "coco" else f"{convolutions} convolutions, 1 dense"
    assert dense in drawn["box_scores"] and "91 masks of 28 x 28" in drawn["masks"]


def test_of_another_backbone_the_map_says_that_its_inside_is_not_drawn():
    drawn = panels(network_map(tiny_model(CATEGORIES)))
    assert "TinyBackbone: its inside is not drawn" in drawn["features"]
    assert [text[:3] for text in drawn["features"] if text[0] in "CP"] == ["P2:", "P4:"]
    assert "RoIAlign: 4 x 4 cells" in drawn["box_scores"] and "3 masks of 16 x 16" in drawn["masks"]


def test_a_notebook_shows_it_with_alternative_text(model):
    drawn = network_map(model)
    bundle = drawn._repr_mimebundle_()
    assert bundle["text/plain"] == drawn.alt == str(drawn)
    assert bundle["text/html"].startswith('<img alt="Map of a Mask R-CNN. Normalised: ')
    assert all(stage.title in drawn.alt for stage in STAGES.values())


def test_it_brings_a_background_for_a_light_and_for_a_dark_page(model):
    svg = network_map(model).svg
    assert "prefers-color-scheme: dark" in svg
    used, light, dark = (
        set(re.findall(pattern, part))
        for pattern, part in (
            (r"var\(--(\w+)\)", svg),
            (r"--(\w+):", svg.split("@media")[0]),
            (r"--(\w+):", svg.split("@media")[1]),
        )
    )
    assert used <= light
    assert light - dark == {"here"}  # white on this blue reads well on both


def test_another_stage_another_run_and_what_is_no_mask_r_cnn_are_refused(model, street_trace):
    with pytest.raises(ValueError, match="here must be one of normalised, .*, got 'rpn'"):
        network_map(model, here="rpn")
    with pytest.raises(ValueError, match="trace must be a run of this model"):
        network_map(model, street_trace)
    with pytest.raises(TypeError, match="model must be a torchvision MaskRCNN, got Linear"):
        network_map(nn.Linear(1, 1))


def test_drawing_leaves_the_model_as_it_was(model):
    before = [p.clone() for p in model.parameters()]
    pool = model.roi_heads.box_roi_pool.scales
    network_map(model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model.roi_heads.box_roi_pool.scales == pool and not model.training


def test_the_readme_s_map_is_of_the_model_in_the_box(street):
    # Else: python -c "import maskseg_nb as m; print(m.network_map(m.load_model('street')).svg, end='')"
    page = Path(__file__).parents[2] / "docs" / "network.svg"
    assert page.read_text() == network_map(street).svg
