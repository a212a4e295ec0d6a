"""What was stored is what was evaluated; what ships is what the model card says."""

import re

import numpy as np
import pytest

from maskseg_nb import evaluate, reliability
from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.samples import voc_photograph
from maskseg_nb.errors import DatasetError
from maskseg_nb.evaluation.stored import SHIPPED, store_evaluation, stored_evaluation
from maskseg_nb.models.zoo import shipped_weights


@pytest.fixture(scope="module")
def shipped():
    return stored_evaluation()


def test_a_stored_evaluation_is_the_same_when_it_is_read(street, tmp_path):
    image, truth = voc_photograph()[0]
    crowd = np.arange(len(truth)) == truth.names.index("person")
    one = truth.__class__(**{**vars(truth), "crowd": crowd, "image_id": 7})
    dataset = PictureList([(image, one), (image[:200], cropped(one, 200))])
    evaluation = evaluate(street, dataset, progress=False)
    store_evaluation(evaluation, tmp_path / "one.json.gz")
    again = stored_evaluation(tmp_path / "one.json.gz")
    assert repr(again.masks) == repr(evaluation.masks) and repr(again.boxes) == repr(evaluation.boxes)
    assert np.array_equal(again.confusion(0.3), evaluation.confusion(0.3))
    np.testing.assert_equal(again.per_category, evaluation.per_category)
    for one, other in zip(again.pictures, evaluation.pictures, strict=True):
        for part, same in ((one, other), (one.match, other.match), (one.detections, other.detections)):
            np.testing.assert_equal(plain(part), plain(same))
    assert [one.image_id for one in again.pictures] == [7, 8]
    first = (tmp_path / "one.json.gz").read_bytes()
    store_evaluation(again, tmp_path / "one.json.gz")
    assert (tmp_path / "one.json.gz").read_bytes() == first and first[4:8] == bytes(4)  # no time stamp


def plain(part):
    """The fields that are no objects themselves; boxes as they are stored."""
    fields = {name: value for name, value in vars(part).items() if name not in ("match", "detections")}
    return {**fields, "boxes": fields["boxes"].round(3)} if "boxes" in fields else fields


def cropped(truth, height):
    kept = truth.masks[:, :height].any(axis=(1, 2))
    masks = truth.masks[kept, :height]
    return truth.__class__.from_masks(masks, truth.labels[kept], truth.categories, image_id=8)


@pytest.mark.slow
def test_what_ships_is_what_the_model_card_says(shipped):
    card = shipped_weights("street").with_suffix(".md").read_text()
    (row,) = re.findall(r"^\| `street` \| (.+) \|$", card, re.MULTILINE)
    *categories, mean, boxes = map(float, row.split(" | "))
    measured = [scores["AP50"] for scores in shipped.per_category.values()]
    assert measured == pytest.approx(categories, abs=0.0006)
    assert [shipped.masks["AP50"], shipped.boxes["AP50"]] == pytest.approx([mean, boxes], abs=0.0006)
    scores, right, _ = shipped.judgements()
    bins = re.findall(r"^\| ([\d.]+) to ([\d.]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", card, re.MULTILINE)
    assert len(bins) >= 5
    for low, high, count, mean, share in ([*map(float, row)] for row in bins):
        rows = (scores >= low) & ((scores < high) | (high == 1))
        assert rows.sum() == count
        assert [scores[rows].mean(), right[rows].mean()] == pytest.approx([mean, share], abs=0.006)


@pytest.mark.slow
def test_it_is_many_photographs_and_small(shipped):
    assert len(shipped.pictures) > 50 and reliability(shipped).counts.min() > 20
    assert SHIPPED.stat().st_size < 400_000


@pytest.mark.parametrize("content", [b"", b"no gzip", None], ids=["empty", "text", "missing"])
def test_another_file_is_a_dataset_error(content, tmp_path):
    path = tmp_path / "other.json.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match="'other.json.gz' (holds no evaluation|cannot be opened)"):
        stored_evaluation(path)


def test_half_a_file_is_a_dataset_error(tmp_path):
    path = tmp_path / "half.json.gz"
    path.write_bytes(SHIPPED.read_bytes()[: SHIPPED.stat().st_size // 2])
    with pytest.raises(DatasetError, match="'half.json.gz' holds no evaluation"):
        stored_evaluation(path)
