"""Changed images against plain arithmetic; a step against a score lowers it."""

import cv2
import numpy as np
import pytest
import torch

from maskseg_nb.explain.pixels import box_logits
from maskseg_nb.explain.twins import CHANGES, pushed, twin, with_patch


@pytest.fixture(scope="module")
def photo(restaurant):
    return restaurant[1][200:400, 100:300]


@pytest.mark.parametrize("change", CHANGES)
def test_the_neutral_amount_changes_nothing_and_no_amount_the_original(photo, change):
    before, how = photo.copy(), CHANGES[change]
    assert how.least <= how.neutral <= how.most
    same = twin(photo, change, how.neutral)
    assert (same == photo).all() and not np.shares_memory(same, photo)
    for amount in (how.least, how.most):
        changed = twin(photo, change, amount)
        assert (changed.shape, changed.dtype) == (photo.shape, np.uint8)
        assert amount == how.neutral or (changed != photo).any()
    assert (photo == before).all()


def test_each_change_is_what_its_unit_says(photo):
    assert (twin(photo, "blur", 3) == cv2.GaussianBlur(photo, (0, 0), 3)).all()
    assert (twin(photo, "darkness", 0) == 0).all()
    assert np.abs(twin(photo, "darkness", 0.5) - photo / 2).max() <= 0.5
    assert (twin(photo, "BGR", 1) == photo[..., [2, 1, 0]]).all()
    assert (twin(photo, "rotation", 90) == np.rot90(photo)).all()
    assert (twin(photo, "rotation", -180) == photo[::-1, ::-1]).all()
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = twin(grey, "noise", 10)
    assert noisy.std() == pytest.approx(10, rel=0.02) and noisy.mean() == pytest.approx(128, abs=0.1)
    assert (noisy == twin(grey, "noise", 10)).all()
    losses = [float(np.abs(twin(photo, "JPEG", q).astype(float) - photo).mean()) for q in (90, 50, 5)]
    assert 0 < losses[0] < losses[1] < losses[2] and losses[0] < 3


def test_a_patch_lies_around_its_middle_and_may_reach_over_the_edge(photo):
    covered = with_patch(photo, 50, 30, 20)
    expected = photo.copy()
    expected[20:40, 40:60] = 128
    assert (covered == expected).all()
    corner = with_patch(photo, 0, 0, 20)
    expected = photo.copy()
    expected[:10, :10] = 128
    assert (corner == expected).all()
    assert (with_patch(photo, -100, -100, 20) == photo).all()


def test_one_step_against_a_score_lowers_its_margin_and_hardly_shows(noise):
    tensor, found = noise
    moved = pushed(found, tensor, 2)
    assert float((moved - tensor).abs().max()) <= 2 / 255 + 1e-6
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1
    with torch.no_grad():
        before, after = box_logits(found, tensor), box_logits(found, moved)
    assert after[found.label] - after[found.against] < before[found.label] - before[found.against]
    assert torch.equal(pushed(found, tensor, 0), tensor)


# Bad input


@pytest.mark.parametrize(
    ("change", "amount", "message"),
    [
        ("blurr", 1, "change must be one of blur, noise, .* did you mean 'blur'"),
        ("blur", -1, "blur must be 0 to 20 pixels, standard deviation, got '-1'"),
        ("darkness", "half", "darkness must be 0 to 1 of the light, got 'half'"),
    ],
)
def test_an_unknown_change_or_amount_is_refused(photo, change, amount, message):
    with pytest.raises(ValueError, match=message):
        twin(photo, change, amount)


def test_a_step_that_everybody_sees_is_refused(noise):
    with pytest.raises(ValueError, match="levels must be 0 to 8, got '9'"):
        pushed(noise[1], noise[0], 9)
