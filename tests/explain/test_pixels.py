"""Gradients against finite differences, and patches against a run on the patched image."""

import numpy as np
import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from maskseg_nb.explain import pixels
from maskseg_nb.explain.pixels import occlude, pixel_gradient


def scores_of(found, tensor):
    """The softmax of the receipt's box, fixed, by torchvision's own parts."""
    model, heads = found.run.model, found.run.model.roi_heads
    with torch.no_grad():
        images, _ = model.transform([tensor[0]])
        maps = model.backbone(images.tensors)
        pool = heads.box_roi_pool
        fresh = MultiScaleRoIAlign(pool.featmap_names, pool.output_size, pool.sampling_ratio)
        boxes = found.run.proposals.boxes[[found.proposal]]
        # All of them: torchvision infers a level from each box, its scales from the picture.
        logits, _ = heads.box_predictor(heads.box_head(fresh(maps, [boxes], images.image_sizes)))
    return logits[0].double().softmax(0)


def margin_of(found, tensor):
    scores = scores_of(found, tensor).log()
    return float(scores[found.label] - scores[found.against])


def test_the_gradient_is_a_finite_difference(noise):
    tensor, found = noise
    gradient = pixel_gradient(found, tensor).gradient
    assert gradient.shape == tensor.shape[1:]
    flat = np.abs(gradient).ravel().argsort()[::-1]
    step = 2e-3
    for place in (flat[0], flat[5], flat[50]):
        index = (0, *(int(i) for i in np.unravel_index(place, gradient.shape)))
        up, down = tensor.clone(), tensor.clone()
        up[index] += step
        down[index] -= step
        change = (margin_of(found, up) - margin_of(found, down)) / (2 * step)
        assert change == pytest.approx(float(gradient[index[1:]]), rel=0.05)


def test_the_share_inside_is_a_plain_sum(noise):
    tensor, found = noise
    result = pixel_gradient(found, tensor)
    x1, y1, x2, y2 = (round(float(side)) for side in found.box)
    inside = sum(
        abs(result.gradient[c, y, x]) for c in range(3) for y in range(y1, y2) for x in range(x1, x2)
    )
    assert result.share_inside == pytest.approx(inside / np.abs(result.gradient).sum(), rel=1e-4)
    assert 0 < result.share_inside < 1


def test_the_tensor_and_the_model_are_left_as_they_were(noise):
    tensor, found = noise
    before = tensor.clone()
    pixel_gradient(found, tensor)
    occlude(found, tensor, patch=64, progress=False)
    assert torch.equal(tensor, before) and not tensor.requires_grad
    assert all(parameter.grad is None for parameter in found.run.model.parameters())


def test_every_place_of_a_patch_is_a_run_on_the_patched_image(noise):
    tensor, found = noise
    result = occlude(found, tensor, patch=30, stride=20, progress=False)
    assert result.scores.shape == (4, 5)
    for (row, column), score in np.ndenumerate(result.scores):
        patched = tensor.clone()
        patched[..., 20 * row : 20 * row + 30, 20 * column : 20 * column + 30] = 0.5
        assert score == pytest.approx(float(scores_of(found, patched)[found.label]), abs=1e-5)
    assert result.scores[result.lowest] == result.scores.min()
    assert result.before == pytest.approx(float(scores_of(found, tensor)[found.label]), abs=1e-5)


def test_without_a_size_eight_patches_cover_the_longer_side(noise):
    result = occlude(noise[1], noise[0], progress=False)
    assert (result.patch, result.stride, result.scores.shape) == (12, 12, (6, 8))


def test_an_interrupt_returns_what_was_tried(noise, monkeypatch):
    tensor, found = noise
    whole = occlude(found, tensor, patch=32, progress=False)

    def stopped(*arguments):
        real = occlusions(*arguments)
        yield next(real)
        yield next(real)
        raise KeyboardInterrupt

    occlusions = pixels.occlusions
    monkeypatch.setattr(pixels, "occlusions", stopped)
    part = occlude(found, tensor, patch=32, progress=False)
    assert np.isfinite(part.scores).ravel().tolist() == [True, True, False, False, False, False]
    assert part.scores.ravel()[:2].tolist() == whole.scores.ravel()[:2].tolist()
    assert repr(part).startswith("Occlusion(2 of 6 places: ")


# Bad input


def test_another_image_s_tensor_is_refused(noise):
    tensor, found = noise
    for ask in (pixel_gradient, occlude):
        with pytest.raises(ValueError, match="give the tensor that was traced"):
            ask(found, tensor[..., :50])


@pytest.mark.parametrize("size", [{"patch": 0}, {"stride": 1.5}])
def test_a_patch_needs_whole_pixels(noise, size):
    with pytest.raises(ValueError, match=f"{next(iter(size))} must be a whole number of pixels"):
        occlude(noise[1], noise[0], **size, progress=False)
