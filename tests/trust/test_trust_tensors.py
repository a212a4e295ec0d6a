"""Arrays and tensors of every wrong kind: a result or a clear error, and never silently nothing."""

from dataclasses import replace
from fractions import Fraction

import children
import numpy as np
import pytest
import torch
from torch import nn

from maskseg_nb import (
    Instances,
    MasksegError,
    ModelError,
    Prediction,
    draw_instances,
    draw_semantic_map,
    load_model,
    overlay_segmentation_mask,
    predict,
    preprocess,
    sample_photo,
    segment_image,
    semantic_map,
    trace,
)
from predictions import made_up

SIZE = (120, 90)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def photo():
    """A photograph in which there is something: float32 (1, 3, 256, 320)."""
    return preprocess(sample_photo("restaurant"), children.PHOTO_SIZE)[0]


@pytest.fixture(scope="module")
def found(street, photo):
    return children.digest(predict(street, photo))


def refusal(action, kinds, match):
    with pytest.raises(kinds, match=match) as caught:
        action()
    assert isinstance(caught.value, (MasksegError, TypeError, ValueError))
    assert len(str(caught.value)) <= 300 and str(caught.value).isprintable()
    return caught.value


# preprocess


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.expects("TypeError or ValueError that says what it got")
@pytest.mark.parametrize(
    ("array", "said"),
    [
        (noise(5), r"got \(5,\)"),
        (noise(1, 5, 5, 3), r"got \(1, 5, 5, 3\)"),
        (noise(5, 5, 2), r"got \(5, 5, 2\)"),
        (noise(5, 5, 5), r"got \(5, 5, 5\)"),
        (noise(0, 5, 3), r"got \(0, 5, 3\)"),
        (np.zeros((1,) * 60, np.uint8), r"got \(1, 1"),
        (np.zeros((5, 5, 3), np.float32), "must be uint8 in .0, 255., got float32"),
        (np.full((5, 5, 3), np.nan), "got float64"),
        (np.full((5, 5, 3), np.inf, np.float16), "got float16"),
        (np.zeros((5, 5, 3), bool), "got bool"),
        (np.zeros((5, 5, 3), np.int64), "got int64"),
        (np.array([[None]]), "got object"),
        (np.broadcast_to(np.uint8(3), (30_000, 30_000, 3)), "at most 67,108,864 pixels"),
        (torch.zeros(3, 5, 5), "source must be .*got Tensor"),
        ([[1, 2]], "got list"),
        (None, "got NoneType"),
    ],
)
def test_preprocess_refuses(array, said, got):
    got(refusal(lambda: preprocess(array), (TypeError, ValueError), said))


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


@pytest.mark.expects("the same pixels as from a plain copy")
@pytest.mark.parametrize(
    "array",
    [
        pytest.param(noise(1, 1, 3), id="1 x 1"),
        pytest.param(noise(1, 1400, 3), id="1 x 1400"),
        pytest.param(read_only(noise(9, 8, 3)), id="read-only"),
        pytest.param(noise(9, 8, 3)[::-1, ::-1, ::-1], id="negative strides"),
        pytest.param(noise(3, 9, 8).transpose(1, 2, 0), id="transposed"),
        pytest.param(noise(18, 16, 6)[::2, ::2, ::2], id="every other"),
        pytest.param(np.broadcast_to(np.uint8(3), (9, 8, 3)), id="one number"),
    ],
)
@pytest.mark.parametrize("size", [(32, 48), None])
def test_preprocess_takes(array, size):
    kept = array.copy()
    tensor, image = preprocess(array, size)
    expected, same = preprocess(np.array(array, order="C"), size)
    assert torch.equal(tensor, expected) and tensor.isfinite().all()
    np.testing.assert_array_equal(image, same)
    np.testing.assert_array_equal(array, kept)


# predict, segment_image, trace


@pytest.mark.expects("TypeError or ValueError that says what it got")
@pytest.mark.parametrize("run", [predict, segment_image, trace])
@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (np.zeros((1, 3, 8, 8), np.float32), "must be a float32 torch.Tensor, got ndarray"),
        (None, "got NoneType"),
        ([torch.zeros(3, 8, 8)], "got list"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "got torch.uint8"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.float16), "got torch.float16"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.bfloat16), "got torch.bfloat16"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.float64), "got torch.float64"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.complex64), "got torch.complex64"),
        (torch.zeros(1, 3, 8, 8).to_sparse(), "got torch.sparse_coo"),
        (torch.zeros(1, 3, 8, 8).to_mkldnn(), "got torch._mkldnn"),
        (torch.zeros(1, 3, 8, 8, device="meta"), 'on the device "meta", which holds no numbers'),
        (torch.zeros(3, 8, 8), r"shape \(1, 3, H, W\), got \(3, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8), r"got \(2, 3, 8, 8\)"),
        (torch.zeros(1, 1, 8, 8), r"got \(1, 1, 8, 8\)"),
        (torch.zeros(1, 4, 8, 8), r"got \(1, 4, 8, 8\)"),
        (torch.zeros(1, 8, 8, 3), r"got \(1, 8, 8, 3\)"),
        (torch.zeros((1,) * 60), r"got \(1, 1"),
        (torch.zeros(1, 3, 0, 8), r"got \(1, 3, 0, 8\)"),
        (torch.full((1, 3, 8, 8), 255.0), r"got \[255, 255\]; divide pixels by 255"),
        (torch.full((1, 3, 8, 8), -0.1), r"got \[-0.1, -0.1\]"),
        (torch.tensor([0.0, float("nan")]).expand(1, 3, 4, 2), "must be finite"),
        (torch.tensor([0.0, float("inf")]).expand(1, 3, 4, 2), "must be finite"),
        (torch.zeros(1, 3, 1, 1400), "strip thinner than 1:500, got 1 x 1400 pixels; cut it shorter"),
        (torch.zeros(1, 3, 900, 1), "strip thinner than 1:500, got 900 x 1"),
    ],
)
def test_the_network_refuses(run, tensor, said, street, got):
    got(refusal(lambda: run(street, tensor), (TypeError, ValueError), said))


@pytest.mark.expects("a result")
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 1000)])
def test_the_network_takes_the_smallest_and_the_thinnest(shape, street):
    prediction = predict(street, torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(0)))
    assert prediction.image_size == shape
    instances = prediction.select(score_threshold=0)
    assert draw_instances(np.zeros((*shape, 3), np.uint8), instances, outline=True).shape == (*shape, 3)


@pytest.mark.expects("the same detections as from a plain copy")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t.clone().requires_grad_(), id="requires grad"),
        pytest.param(lambda t: nn.Parameter(t.clone()), id="a parameter"),
        pytest.param(lambda t: t.transpose(2, 3).contiguous().transpose(2, 3), id="transposed"),
        pytest.param(lambda t: t.contiguous(memory_format=torch.channels_last), id="channels last"),
        pytest.param(lambda t: torch.cat([1 - t, t])[1:], id="a view"),
    ],
)
def test_the_network_takes(change, street, photo, found):
    tensor = change(photo)
    kept = tensor.detach().clone()
    prediction = predict(street, tensor)
    assert children.digest(prediction) == found
    assert torch.equal(tensor.detach(), kept)
    assert not trace(street, tensor).masks.probs.requires_grad


def parts_in_training(model):
    model.backbone.train()
    return model


def spoilt(name):
    def spoil(model):
        with torch.no_grad():
            model.get_parameter(name).flatten()[0] = torch.nan
        return model

    return spoil


@pytest.mark.expects("an error that says what to do")
@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (nn.Module.train, ValueError, r"in training mode; call model\.eval\(\) first"),
        (parts_in_training, ValueError, r"in training mode; call model\.eval\(\) first"),
        (nn.Module.half, ValueError, r"float32 weights, got torch.float16; call model\.float\(\)"),
        (nn.Module.double, ValueError, "got torch.float64"),
        (nn.Module.bfloat16, ValueError, r"got torch.bfloat16.*load_model\(\) with precision="),
        (lambda model: model.to("meta"), ValueError, 'on the device "meta", which holds no numbers'),
        (lambda model: model.backbone, TypeError, "must be a torchvision MaskRCNN, got LiteFPN"),
        (lambda model: None, TypeError, "got NoneType"),
        (spoilt("backbone.body.stem.weight"), ModelError, "not finite .* its weights are spoilt"),
        (spoilt("rpn.head.bbox_pred.bias"), ModelError, "not finite"),
        (spoilt("roi_heads.box_predictor.cls_score.bias"), ModelError, "not finite"),
        (spoilt("roi_heads.box_predictor.bbox_pred.weight"), ModelError, "not finite"),
        (spoilt("roi_heads.mask_head.0.0.bias"), ModelError, "not finite"),
    ],
)
def test_a_model_that_cannot_run(change, kind, said, photo, got):
    model = change(load_model("street"))
    got(refusal(lambda: predict(model, photo), kind, said))


@pytest.mark.expects("ValueError")
@pytest.mark.parametrize("device", ["meta", "mps", "cuda:99", "gpu9"])
def test_a_device_that_cannot_be_used(device, got):
    said = f".{device}.* cannot be used here; there is .*cpu|.meta. holds no numbers"
    got(refusal(lambda: load_model("street", device=device), ValueError, said))


@pytest.mark.expects("the bits of a fresh process, from predict and from torchvision's own forward")
@pytest.mark.parametrize("strip", [(4, 1000), (1000, 4), (1, 400), (10, 200)])
def test_a_strip_first_and_then_a_normal_picture(strip, fresh, got):
    model = load_model("street")
    tensor = torch.rand(1, 3, *strip, generator=torch.Generator().manual_seed(0))
    predict(model, tensor)
    with torch.no_grad():
        model(tensor)
    assert children.digests(model) == fresh
    got("equal bits")


@pytest.mark.expects("the bits of a fresh process")
def test_refusals_first_and_then_a_normal_picture(street, fresh, got):
    model = load_model("street")
    for tensor in (torch.zeros(1, 3, 1, 1400), torch.full((1, 3, 8, 8), torch.nan), torch.zeros(3, 8, 8)):
        refusal(lambda tensor=tensor: predict(model, tensor), ValueError, "tensor must")
    assert children.digests(model) == fresh
    got("equal bits")


@pytest.fixture(scope="module")
def fresh():
    """What a process gives that has seen nothing else."""
    return children.result(children.start("good_run"))


# Prediction


def changed(**fields):
    return replace(made_up(5, SIZE), **fields)


GOOD = made_up(5, SIZE)


@pytest.mark.expects("TypeError or ValueError at once, not later and not silently nothing")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"boxes": GOOD.boxes * np.float32(np.nan)}, "boxes must be finite"),
        ({"boxes": GOOD.boxes + np.float32(np.inf)}, "boxes must be finite"),
        ({"boxes": GOOD.boxes * np.float32(1e9)}, "boxes must be pixels in or beside the image"),
        ({"boxes": GOOD.boxes + np.float32(5000)}, "in or beside the image, got 5"),
        ({"boxes": GOOD.boxes[:, ::-1]}, "boxes must be x1 y1 x2 y2"),
        ({"boxes": GOOD.boxes.astype(int)}, "boxes must be an array of floats, got int64"),
        ({"boxes": GOOD.boxes[:3]}, r"boxes must have shape \(5, 4\), got \(3, 4\)"),
        ({"boxes": torch.from_numpy(GOOD.boxes)}, "boxes must be an array of floats, got Tensor"),
        ({"scores": GOOD.scores * np.float32(np.nan)}, "scores must be finite"),
        ({"scores": [1.0] * 5}, "scores must be an array of floats, got list"),
        ({"scores": GOOD.scores[:, None]}, r"scores must have shape \(5,\), got \(5, 1\)"),
        ({"labels": GOOD.labels + 50}, "labels must be indices of the 4 categories, got 5"),
        ({"labels": GOOD.labels - 9}, "labels must be indices of the 4 categories, got -"),
        ({"labels": GOOD.labels.astype(float)}, "labels must be an array of integers, got float64"),
        ({"mask_probs": GOOD.mask_probs * np.float32(np.nan)}, "mask_probs must be finite"),
        ({"mask_probs": GOOD.mask_probs > 0.5}, "mask_probs must be an array of floats, got bool"),
        ({"mask_probs": GOOD.mask_probs[:, :0, :0]}, r"shape \(5, M, M\), got \(5, 0, 0\)"),
        ({"mask_probs": GOOD.mask_probs[:, :9]}, r"shape \(5, M, M\), got \(5, 9, 28\)"),
        ({"mask_probs": np.full((), 0.5, np.float32)}, r"shape \(5, M, M\), got \(\)"),
        ({"image_size": (0, 5)}, r"image_size must be \(height, width\) in pixels, got '\(0, 5\)'"),
        ({"image_size": (2.5, 3)}, "image_size must be"),
        ({"image_size": 5}, "image_size must be"),
        ({"categories": ()}, "labels must be indices of the 0 categories"),
        ({"categories": None}, "NoneType"),
    ],
)
def test_a_prediction_refuses(fields, said, got):
    got(refusal(lambda: changed(**fields), (TypeError, ValueError), said))


@pytest.mark.expects("the same masks as from plain arrays")
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"mask_probs": GOOD.mask_probs[:, ::-1].copy()[:, ::-1]}, id="negative strides"),
        pytest.param({"mask_probs": read_only(GOOD.mask_probs)}, id="read-only"),
        pytest.param({"mask_probs": np.asfortranarray(GOOD.mask_probs)}, id="Fortran order"),
        pytest.param({"mask_probs": GOOD.mask_probs.astype(np.float64)}, id="float64"),
        pytest.param({"boxes": read_only(GOOD.boxes), "scores": read_only(GOOD.scores)}, id="all read-only"),
    ],
)
def test_a_prediction_takes(fields):
    prediction = changed(**fields)
    np.testing.assert_array_equal(prediction.masks(), GOOD.masks())
    selected, expected = (p.select(score_threshold=0.3).masks for p in (prediction, GOOD))
    assert expected.any()
    np.testing.assert_array_equal(selected, expected)


@pytest.mark.expects("TypeError or ValueError")
@pytest.mark.parametrize(
    "value", [None, "0.5", True, 1.5, float("nan"), 10**400, np.array(0.5), torch.tensor(0.5)]
)
@pytest.mark.parametrize("name", ["score_threshold", "mask_threshold"])
def test_select_refuses_a_threshold(name, value, got):
    got(refusal(lambda: GOOD.select(**{name: value}), (TypeError, ValueError), f"{name} must be"))


@pytest.mark.expects("TypeError or ValueError")
@pytest.mark.parametrize("categories", ["person", ["zebra"], [None], ["x" * 10**4], 5])
def test_select_refuses_categories(categories, got):
    got(refusal(lambda: GOOD.select(categories=categories), (TypeError, ValueError), "categor|iterable"))


# Drawing

INSTANCES = GOOD.select(score_threshold=0)
CLASS_MAP = semantic_map(INSTANCES)
IMAGE = noise(*SIZE, 3)
DRAWINGS = {
    "overlay_segmentation_mask": lambda image: overlay_segmentation_mask(image, GOOD.masks()),
    "draw_instances": lambda image: draw_instances(image, INSTANCES, outline=True),
    "draw_semantic_map": lambda image: draw_semantic_map(image, CLASS_MAP),
}


@pytest.mark.expects("TypeError or ValueError that says what it got")
@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize(
    ("image", "said"),
    [
        (IMAGE[..., 0], r"shape \(H, W, 3\), got \(120, 90\)"),
        (noise(*SIZE, 4), r"got \(120, 90, 4\)"),
        (IMAGE[None], r"got \(1, 120, 90, 3\)"),
        (IMAGE[:0], r"got \(0, 90, 3\)"),
        (IMAGE[:-1], r"119, 90"),
        (IMAGE / 255, "must be a uint8 array, got float64"),
        (np.full((*SIZE, 3), np.nan, np.float32), "got float32"),
        (IMAGE > 0, "got bool"),
        (torch.from_numpy(IMAGE), "got Tensor"),
        ([[1]], "got list"),
        (None, "got NoneType"),
    ],
)
def test_drawings_refuse_an_image(draw, image, said, got):
    got(refusal(lambda: DRAWINGS[draw](image), (TypeError, ValueError), said))


@pytest.mark.expects("the same pixels as from a plain copy")
@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize(
    "image",
    [
        pytest.param(read_only(IMAGE), id="read-only"),
        pytest.param(IMAGE[::-1, ::-1], id="negative strides"),
        pytest.param(IMAGE[:, :, ::-1], id="BGR view"),
        pytest.param(noise(3, *SIZE).transpose(1, 2, 0), id="transposed"),
        pytest.param(np.broadcast_to(np.uint8(3), (*SIZE, 3)), id="one number"),
    ],
)
def test_drawings_take(draw, image):
    kept = image.copy()
    expected = DRAWINGS[draw](np.array(image, order="C"))
    np.testing.assert_array_equal(DRAWINGS[draw](image), expected)
    np.testing.assert_array_equal(image, kept)
    assert (expected != kept).any()


MASKS = GOOD.masks()


@pytest.mark.expects("TypeError or ValueError that says what it got")
@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (MASKS.astype(complex), "must be a float or bool array, got complex128"),
        (MASKS.astype(object), "got object"),
        ((MASKS * 255).astype(np.uint8), "got uint8"),
        (torch.from_numpy(MASKS), "got Tensor"),
        (None, "got NoneType"),
        (MASKS * 255, r"probabilities in \[0, 1\]"),
        (MASKS + np.float32(np.nan), "must be finite"),
        (MASKS + np.float32(np.inf), "must be finite"),
        (MASKS[0, 0], r"as the image, got \(120, 90\)"),
        (MASKS[None], r"got \(1, 5, 1, 120, 90\)"),
        (np.repeat(MASKS, 2, axis=1), r"got \(5, 2, 120, 90\)"),
        (MASKS[..., :-1], r"got \(5, 1, 120, 89\)"),
        (np.zeros(0, np.float32), r"got \(0,\)"),
    ],
)
def test_the_overlay_refuses_masks(masks, said, got):
    got(refusal(lambda: overlay_segmentation_mask(IMAGE, masks), (TypeError, ValueError), said))


@pytest.mark.expects("the same pixels as from a plain copy")
@pytest.mark.parametrize(
    "masks",
    [
        pytest.param(np.broadcast_to(np.float32(0.6), (3, 1, *SIZE)), id="one number"),
        pytest.param(MASKS[:, :, ::-1, ::-1], id="negative strides"),
        pytest.param(np.asfortranarray(MASKS), id="Fortran order"),
        pytest.param(MASKS.astype(">f8"), id="big-endian"),
        pytest.param(read_only(MASKS), id="read-only"),
    ],
)
def test_the_overlay_takes(masks):
    expected = overlay_segmentation_mask(IMAGE, np.array(masks, np.float64, order="C"))
    np.testing.assert_array_equal(overlay_segmentation_mask(IMAGE, masks), expected)
    assert (expected != IMAGE).any()


@pytest.mark.expects("TypeError that says what it got")
@pytest.mark.parametrize("thing", [None, GOOD, MASKS, "instances"])
def test_drawing_what_are_not_instances(thing, got):
    got(refusal(lambda: draw_instances(IMAGE, thing), TypeError, r"what Prediction.select\(\) returns, got"))
    refusal(lambda: semantic_map(thing), TypeError, "instances must be what")


@pytest.mark.expects("TypeError or ValueError")
@pytest.mark.parametrize(
    ("class_map", "said"),
    [
        (None, "class_map must be uint8 category ids, got NoneType"),
        ([[1]], "got list"),
        (torch.from_numpy(CLASS_MAP), "got Tensor"),
        (CLASS_MAP.astype(float), "got float64"),
        (CLASS_MAP > 0, "got bool"),
        (CLASS_MAP[..., None], r"the masks are \(120, 90, 1\)"),
        (CLASS_MAP[:0], r"the masks are \(0, 90\)"),
    ],
)
def test_drawing_what_is_not_a_class_map(class_map, said, got):
    got(refusal(lambda: draw_semantic_map(IMAGE, class_map), (TypeError, ValueError), said))


@pytest.mark.expects("TypeError or ValueError")
@pytest.mark.parametrize(
    "alpha", [None, "a", True, -1, 2, float("nan"), Fraction(10**60, 3), torch.tensor(0.5)]
)
def test_drawings_refuse_an_alpha(alpha, got):
    for draw in (
        lambda: overlay_segmentation_mask(IMAGE, MASKS, alpha),
        lambda: draw_instances(IMAGE, INSTANCES, alpha),
        lambda: draw_semantic_map(IMAGE, CLASS_MAP, alpha),
    ):
        got(refusal(draw, (TypeError, ValueError), "alpha must be"))


@pytest.mark.expects("ValueError")
@pytest.mark.parametrize("color_by", [None, 5, ["instance"], "mood" * 1000])
def test_drawing_by_an_unknown_colouring(color_by, got):
    got(
        refusal(
            lambda: draw_instances(IMAGE, INSTANCES, color_by=color_by), ValueError, "color_by must be one of"
        )
    )


@pytest.mark.expects("TypeError or ValueError")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"crops": INSTANCES.crops[:2]}, "crops must have one entry per score, got 2 for 5"),
        ({"crops": tuple(crop.astype(float) for crop in INSTANCES.crops)}, "crops must be bool arrays"),
        ({"crops": (None,) * 5}, "crops must be bool arrays"),
        ({"labels": INSTANCES.labels + 50}, "labels must be indices of the 4 categories"),
        ({"scores": INSTANCES.scores * np.float32(np.nan)}, "scores must be finite"),
        ({"image_size": None}, "image_size must be"),
    ],
)
def test_instances_refuse(fields, said, got):
    got(refusal(lambda: replace(INSTANCES, **fields), (TypeError, ValueError), said))


def test_no_detections_are_a_result_everywhere():
    none = made_up(0, SIZE)
    instances = none.select()
    assert isinstance(none, Prediction) and isinstance(instances, Instances) and len(instances) == 0
    assert none.masks().shape == (0, 1, *SIZE) and instances.masks.shape == (0, *SIZE)
    np.testing.assert_array_equal(draw_instances(IMAGE, instances), IMAGE)
    np.testing.assert_array_equal(draw_semantic_map(IMAGE, semantic_map(instances)), IMAGE)
