"""Size and load: large pictures within bounds, impossible requests refused, nothing kept in the long run."""

from types import SimpleNamespace

import children
import numpy as np
import pytest

from maskseg_nb import MasksegError
from maskseg_nb._shared.memory import check_fits, free_bytes
from predictions import made_up

GIB = 2**30


@pytest.mark.expects("within 2 GiB above the model; full-size masks refused with their size")
def test_24_megapixels_with_100_detections(got):
    seen = children.result(children.start("large_picture"))
    assert seen["detections"] == 100 and seen["drawn"]
    assert seen["above"] < 2 * GIB
    assert seen["refusal"].startswith(
        "MasksegError: 100 masks of 4000 x 6000 pixels would take 8.9 GiB, more"
    )
    assert seen["above_after_refusal"] == seen["above"]  # refused before anything was taken
    got(f"{seen['above'] / GIB:.2f} GiB above the model; {seen['refusal']}")


@pytest.mark.expects("less than 1 MB per picture, no figure left open")
def test_200_pictures_in_a_loop(torture, got):
    count = 200 * min(torture, 3)
    seen = children.result(children.start("many_pictures", count), 600)
    assert seen["grown"] < count * 1_000_000
    assert seen["open"] == [] and seen["figures"] == 0
    got(f"{seen['grown'] / count / 1e6:.2f} MB a picture, 0 figures")


@pytest.mark.expects("MasksegError that names the size and what to do instead")
@pytest.mark.parametrize("kind", ["float masks", "bool masks"])
def test_full_size_masks_that_would_not_fit(kind, monkeypatch, got):
    prediction = made_up(200, (6000, 6000))[:: 2 if kind == "float masks" else 1]  # 14.4 and 7.2 GB
    instances = many_small(200)
    monkeypatch.setattr(np, "zeros", None)  # nobody may take memory
    with pytest.raises(MasksegError, match=r"would take \d+\.\d GiB, more than the limit of") as caught:
        prediction.masks() if kind == "float masks" else instances.masks
    assert "raise the score threshold, or use the crops of select()" in str(caught.value)
    assert len(str(caught.value)) <= 300
    got(caught.value)


def many_small(count):
    """Instances of a few pixels each in a picture of 36 megapixels."""
    found = made_up(count, (6000, 6000))
    boxes = np.tile(np.array([10, 10, 20, 20], np.float32), (count, 1))
    return type(found)(
        boxes, found.labels, found.scores, found.mask_probs, found.image_size, found.categories
    ).select(score_threshold=0)


@pytest.mark.expects("MasksegError that names the size")
def test_crops_that_would_not_fit(monkeypatch, got):
    boxes = np.tile(np.array([0, 0, 6000, 6000], np.float32), (200, 1))
    found = made_up(200, (6000, 6000))
    whole = type(found)(
        boxes, found.labels, found.scores, found.mask_probs, found.image_size, found.categories
    )
    with pytest.raises(MasksegError, match=r"masks of 200 large boxes would take 6\.7 GiB") as caught:
        whole.select(score_threshold=0)
    got(caught.value)


def test_what_is_free_is_the_limit_where_it_is_less_than_4_gib(monkeypatch):
    available = [8 * GIB]
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=available[0]))
    check_fits(4 * GIB, "these", "do that")
    with pytest.raises(MasksegError, match="4.5 GiB, more than the limit of 4.0 GiB"):
        check_fits(GIB * 9 // 2, "these", "do that")
    available[0] = GIB
    assert free_bytes() == GIB
    check_fits(GIB, "these", "do that")
    with pytest.raises(
        MasksegError, match="^these would take 1.5 GiB, more than the limit of 1.0 GiB; do that"
    ):
        check_fits(GIB * 3 // 2, "these", "do that")
    available[0] = 0
    check_fits(2**28, "these", "do that")  # as large as a classroom's pictures: never refused
