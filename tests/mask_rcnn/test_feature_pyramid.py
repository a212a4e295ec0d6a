"""The pyramid against torchvision's, to the bit; and backbones that have none."""

import pytest
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from maskseg_nb.mask_rcnn.feature_pyramid import merges, pyramid
from maskseg_nb.mask_rcnn.trace import trace, without_top_down
from maskseg_nb.models.backbones import has_pyramid
from maskseg_nb.models.bfloat16 import to_bfloat16
from small_models import tiny_model


@torch.no_grad()
def test_the_pyramid_equals_torchvisions_and_leaves_the_bodys_maps_alone():
    torch.manual_seed(0)
    fpn = FeaturePyramidNetwork([8, 16, 32], 4, extra_blocks=LastLevelP6P7(4, 4))
    body = {
        name: torch.rand(1, channels, side, side + 3)
        for name, channels, side in (("a", 8, 33), ("b", 16, 17), ("c", 32, 9))
    }
    before = {name: values.clone() for name, values in body.items()}
    got, expected = pyramid(fpn, body), fpn(dict(body))
    assert list(got) == list(expected) == ["a", "b", "c", "p6", "p7"]
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert all(torch.equal(body[name], before[name]) for name in before)


@pytest.mark.slow
def test_the_bodys_maps_are_c2_to_c5_of_a_resnet():
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=256).eval()
    features = trace(model, torch.rand(1, 3, 256, 256)).features
    shapes = [tuple(values.shape[1:]) for values in features.body.values()]
    assert shapes == [(256, 64, 64), (512, 32, 32), (1024, 16, 16), (2048, 8, 8)]
    assert features.names == ("P2", "P3", "P4", "P5", "P6")


class OneMap(nn.Sequential):
    """A backbone that returns a single map, as torchvision's documentation builds one."""

    out_channels = 8

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 7, stride=16, padding=3), nn.ReLU())


@pytest.fixture
def single() -> MaskRCNN:
    torch.manual_seed(0)
    return MaskRCNN(
        OneMap(),
        num_classes=3,
        min_size=128,
        box_score_thresh=0.0,
        rpn_anchor_generator=AnchorGenerator(((32, 64),), ((0.5, 1.0, 2.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2),
        mask_roi_pool=MultiScaleRoIAlign(["0"], 14, 2),
    ).eval()


@pytest.mark.slow
@torch.no_grad()
def test_a_backbone_of_one_map_runs_too_and_equals_torchvision(single):
    tensor = torch.rand(1, 3, 160, 128)
    expected, run = single(tensor)[0], trace(single, tensor)
    assert not has_pyramid(single.backbone) and run.features.body == {}
    assert len(expected["scores"]) == 100
    assert torch.equal(run.detections.scores, expected["scores"])
    torch.testing.assert_close(torch.from_numpy(run.prediction.masks()), expected["masks"], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_backbone_of_one_map_runs_in_bfloat16_too(single):
    exact = trace(single, torch.full((1, 3, 128, 128), 0.5)).features.maps["0"]
    half = trace(to_bfloat16(single), torch.full((1, 3, 128, 128), 0.5)).features.maps["0"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=0.05, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["backbone", "backbone.fpn"])
def test_a_hook_on_the_backbone_or_its_pyramid_is_called_as_by_torchvision(street, part, restaurant):
    expected, heard = trace(street, restaurant[0]).features, []
    hook = street.get_submodule(part).register_forward_hook(lambda *called: heard.append(called[0]))
    got = trace(street, restaurant[0]).features
    hook.remove()
    assert heard == [street.get_submodule(part)]
    assert all(torch.equal(got.maps[name], expected.maps[name]) for name in expected.maps)


@torch.no_grad()
def test_the_merges_are_the_pyramids_steps():
    torch.manual_seed(0)
    fpn = FeaturePyramidNetwork([8, 16, 32], 4)
    body = {str(n): torch.rand(1, 8 * 2**n, 32 // 2**n, 32 // 2**n) for n in range(3)}
    steps, levels = merges(fpn, body), list(pyramid(fpn, body).values())
    assert len(steps) == 3 and not steps[2].above.any()
    for number, (step, level) in enumerate(zip(steps, levels, strict=True)):
        assert torch.equal(step.lateral, fpn.inner_blocks[number](body[str(number)]))
        assert torch.equal(step.level, level)
        if number < 2:  # nearest neighbour: each coarse cell four times
            above = steps[number + 1].merged.repeat_interleave(2, 2).repeat_interleave(2, 3)
            assert torch.equal(step.above, above) and torch.equal(step.merged, step.lateral + above)


def test_without_the_top_down_path_a_level_knows_its_own_map_alone(street, street_trace):
    cut = without_top_down(street_trace)
    fpn, body = street.backbone.fpn, list(street_trace.features.body.values())
    maps = list(cut.features.maps.values())
    with torch.no_grad():
        for number, values in enumerate(body):
            alone = fpn.layer_blocks[number](fpn.inner_blocks[number](values))
            torch.testing.assert_close(maps[number], alone, rtol=0, atol=0)
    whole = list(street_trace.features.maps.values())
    assert torch.equal(maps[3], whole[3]) and not torch.equal(maps[0], whole[0])  # P5 has nothing above it
    assert cut.normalised is street_trace.normalised and "features" in cut.rerun_stages
    assert cut.rerun_stages[1:] == ("anchors", "proposals", "box_scores", "detections", "masks")
    assert not torch.equal(cut.anchors.objectness, street_trace.anchors.objectness)


def test_without_a_pyramid_there_is_nothing_to_cut():
    model = tiny_model(("__background__", "a"))
    with pytest.raises(ValueError, match="no feature pyramid that could be cut"):
        without_top_down(trace(model, torch.rand(1, 3, 64, 64)))
