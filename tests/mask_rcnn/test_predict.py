"""`predict` and `segment_image` against torchvision's own forward."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN, fasterrcnn_mobilenet_v3_large_320_fpn

from maskseg_nb import load_image, load_model, predict, preprocess, sample_photo, segment_image
from maskseg_nb.mask_rcnn.predict import predict_at_own_size


def torchvision_says(model: MaskRCNN, tensor: torch.Tensor) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: value.numpy() for name, value in model(tensor)[0].items()}


@pytest.fixture(scope="module")
def expected(street, restaurant):
    return torchvision_says(street, restaurant[0])


@pytest.mark.parametrize("threshold", [pytest.param(0.05, marks=pytest.mark.slow), 0.5, 0.9])
def test_segment_image_returns_torchvisions_masks_at_or_above_the_threshold(
    street, restaurant, expected, threshold
):
    masks = segment_image(street, restaurant[0], threshold)
    assert masks.dtype == np.float32
    assert 0 < len(masks)
    np.testing.assert_allclose(masks, expected["masks"][expected["scores"] >= threshold], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_segment_image_returns_an_empty_stack_where_nothing_is_found(street, nothing):
    assert len(torchvision_says(street, nothing[0])["scores"]) == 0
    assert segment_image(street, nothing[0]).shape == (0, 1, 800, 800)


def test_segment_image_keeps_a_score_equal_to_the_threshold(street, restaurant, expected):
    assert len(segment_image(street, restaurant[0], float(expected["scores"][2]))) == 3


@pytest.mark.parametrize(
    "size",
    [(333, 517), *(pytest.param(size, marks=pytest.mark.slow) for size in ((800, 800), (64, 900), None))],
)
def test_predict_equals_torchvisions_forward_to_the_bit(street, size):
    tensor, _ = preprocess(sample_photo("motorcycle"), size)
    expected = torchvision_says(street, tensor)
    prediction = predict(street, tensor)
    assert prediction.image_size == tuple(tensor.shape[-2:])
    for name in ("boxes", "labels", "scores"):
        np.testing.assert_array_equal(getattr(prediction, name), expected[name])
    np.testing.assert_array_equal(prediction.masks(), expected["masks"])


def test_at_its_own_size_an_image_is_not_resized(street):
    image = load_image(sample_photo("motorcycle"))[:301, :203]
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255
    prediction, expected = predict_at_own_size(street, image), predict(street, tensor)
    assert prediction.image_size == (301, 203) and len(prediction)
    np.testing.assert_array_equal(prediction.boxes, expected.boxes)
    np.testing.assert_array_equal(prediction.mask_probs, expected.mask_probs)


def test_predict_leaves_no_gradients_and_its_input_unchanged(street, restaurant):
    tensor = restaurant[0].clone()
    predict(street, tensor)
    assert torch.equal(tensor, restaurant[0])
    assert all(parameter.grad is None for parameter in street.parameters())


def test_predict_numbers_the_categories_of_a_bare_model():
    model = load_model("street")
    del model.categories
    assert predict(model, torch.rand(1, 3, 64, 64)).categories == ("__background__", "1", "2", "3", "4")


def test_predict_refuses_a_model_without_a_mask_head_and_one_in_training():
    tensor = torch.zeros(1, 3, 32, 32)
    boxes_only = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None).eval()
    for model in (boxes_only, nn.Identity()):
        with pytest.raises(TypeError, match="must be a torchvision MaskRCNN"):
            predict(model, tensor)
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        predict(load_model("street").train(), tensor)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_segment_image_refuses_a_threshold_outside_0_to_1(street, restaurant, threshold):
    with pytest.raises(ValueError, match=r"threshold must be in \[0, 1\], got"):
        segment_image(street, restaurant[0], threshold)
