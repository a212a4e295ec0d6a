"""References: torchvision's own module tree, and the original's outputs where nothing may have changed."""

import copy

import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.ops import MultiScaleRoIAlign

from maskseg_nb.models.backbones import BODY_PARTS, parts
from maskseg_nb.training.fine_tuning import freeze, learning_parts, with_categories

NAMES = ("__background__", "person", "lamp", "car")


@pytest.fixture(scope="module")
def resnet():
    return maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3).eval()


def test_parts_hold_every_parameter_once(street, resnet):
    for model in (street, resnet):
        held = [id(p) for modules in parts(model).values() for module in modules for p in module.parameters()]
        assert len(held) == len(set(held))
        assert set(held) == {id(p) for p in model.parameters()}
        assert tuple(parts(model)) == (*BODY_PARTS, "pyramid", "rpn", "box", "mask")


def test_parts_of_the_body_end_at_their_strides(street, resnet):
    for model in (street, resnet):
        x, sides = torch.zeros(1, 3, 64, 64), []
        for name in BODY_PARTS:
            for module in parts(model)[name]:
                x = module(x)
            sides.append(x.shape[-1])
        if model is resnet:  # its stem ends before the pooling, which has no parameters
            assert sides == [32, 32, 16, 8, 4]
        else:
            assert sides == [32, 16, 8, 4, 2]
        maps = [tuple(m.shape[1:2]) for m in model.backbone.body(torch.zeros(1, 3, 64, 64)).values()]
        assert maps[-1] == (x.shape[1],)


def test_a_backbone_of_another_kind_is_one_part(street):
    class Other(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out_channels = torch.nn.Conv2d(3, 8, 3), 8

    model = copy.deepcopy(street)
    model.backbone = Other()
    assert tuple(parts(model)) == ("backbone", "rpn", "box", "mask")
    body, others = learning_parts(model)
    assert {id(p) for p in body} == {id(p) for p in model.backbone.parameters()}
    assert len(body) + len(others) == len(list(model.parameters()))


def test_what_is_frozen_gets_no_gradient_and_everything_else_does(street):
    model = copy.deepcopy(street).train()
    freeze(model, ("stem", "C2", "box"))
    frozen = {id(p) for name in ("stem", "C2", "box") for m in parts(model)[name] for p in m.parameters()}
    assert {id(p) for p in model.parameters() if not p.requires_grad} == frozen
    body, others = learning_parts(model)
    assert {id(p) for p in body + others} == {id(p) for p in model.parameters()} - frozen
    freeze(model, ())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("names", [["C9"], ["stem", "Box"], [""]])
def test_freezing_an_unknown_part_names_the_known_ones(street, names):
    with pytest.raises(
        ValueError, match="freeze must name parts among stem, C2, C3, C4, C5, pyramid, rpn, box"
    ):
        freeze(street, names)


def test_freezing_everything_is_a_value_error(street):
    with pytest.raises(ValueError, match="freeze must leave a part that learns"):
        freeze(street, [*BODY_PARTS, "pyramid", "rpn", "box", "mask"])


def test_a_single_string_is_a_type_error(street):
    with pytest.raises(TypeError, match=r"such as \['stem'\]"):
        freeze(street, "stem")


def test_the_same_categories_keep_the_model_as_it_is(street):
    same = with_categories(street, street.categories)
    assert same is not street
    before, after = street.state_dict(), same.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    with torch.no_grad():
        next(same.parameters()).add_(1)
    assert not torch.equal(next(same.parameters()), next(street.parameters()))


def test_shared_categories_keep_their_rows_and_new_ones_are_new(street):
    model = with_categories(street, NAMES)
    assert model.categories == NAMES
    assert not any(module.training for module in model.modules())
    features = torch.randn(7, street.roi_heads.box_predictor.cls_score.in_features)
    maps = torch.randn(2, street.roi_heads.mask_predictor.conv5_mask.in_channels, 14, 14)
    old, new = (m.roi_heads for m in (street, model))
    scores, deltas = new.box_predictor(features)
    old_scores, old_deltas = old.box_predictor(features)
    masks, old_masks = new.mask_predictor(maps), old.mask_predictor(maps)
    assert scores.shape == (7, 4) and deltas.shape == (7, 16) and masks.shape == (2, 4, 28, 28)
    for label, before in ((0, 0), (1, 1), (3, 3)):  # background, person, car
        torch.testing.assert_close(scores[:, label], old_scores[:, before])
        torch.testing.assert_close(deltas.view(7, 4, 4)[:, label], old_deltas.view(7, -1, 4)[:, before])
        torch.testing.assert_close(masks[:, label], old_masks[:, before])
    assert not torch.allclose(scores[:, 2], old_scores[:, 2])
    assert torch.equal(model.backbone.body.stem.weight, street.backbone.body.stem.weight)


@pytest.mark.slow
def test_more_categories_than_before(resnet):
    names = ("__background__", *(f"thing {n}" for n in range(20)))
    model = with_categories(resnet, names)
    assert model.roi_heads.box_predictor.cls_score.out_features == 21
    model.transform.min_size, model.transform.max_size = (64,), 96
    with torch.no_grad():
        (found,) = model([torch.rand(3, 64, 96)])
    assert set(found["labels"].tolist()) <= set(range(1, 21))
    assert isinstance(model.roi_heads.box_roi_pool, MultiScaleRoIAlign)
    assert resnet.roi_heads.box_predictor.cls_score.out_features == 3
