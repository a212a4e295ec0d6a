"""Fields of hand-made files in COCO's format, and the doubts that follow from them."""

import json

import numpy as np
import pytest
from PIL import Image

from maskseg_nb import CocoDataset, ShapesDataset
from maskseg_nb.data.rle import as_json, encode_masks
from maskseg_nb.data.truth import Truth
from maskseg_nb.errors import DatasetError
from maskseg_nb.training.partial_labels import PartialCoco, PartialTruth

NAMES = ("__background__", "cat", "dog", "car")
SIZE = (40, 60)
WHOLE = [0, 0, 60, 40]
CAT, DOG, CAR = 10, 20, 30


def guess(category, box, score, image=5, size=SIZE):
    mask = np.zeros((1, *size), bool)
    x1, y1, x2, y2 = box
    mask[0, y1:y2, x1:x2] = True
    (rle,) = encode_masks(mask)
    return {"image_id": image, "category_id": category, "score": score, "segmentation": as_json(rle)}


@pytest.fixture
def written(tmp_path):
    """Write one picture of 40 x 60 with a cat in it; the dataset that reads it."""

    def write(*guesses, groups=None, image=None, content=None, **fields):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.png")
        cat = {"id": 1, "image_id": 5, "category_id": CAT, "bbox": [1, 2, 10, 20], "area": 200}
        cat["segmentation"] = [[1, 2, 11, 2, 11, 22, 1, 22]]
        data = {
            "images": [{"id": 5, "file_name": "a.png", "width": 60, "height": 40, **fields}],
            "annotations": [cat],
            "categories": [{"id": 10 * n, "name": name} for n, name in enumerate(NAMES) if n],
        }
        (tmp_path / "a.json").write_text(json.dumps({**data, **(content or {})}))
        (tmp_path / "guesses.json").write_text(json.dumps(guesses))
        looked = tmp_path / "guesses.json" if guesses else None
        return PartialCoco(tmp_path, tmp_path / "a.json", guesses=looked, groups=groups)

    return write


def doubts(truth):
    """(box, names, limit) of each."""
    return [
        (box.tolist(), {truth.categories[label] for label in np.flatnonzero(row)}, limit)
        for box, row, limit in zip(truth.doubts, truth.doubted, truth.limits, strict=True)
    ]


@pytest.mark.parametrize("fields", [{}, {"annotated": "all"}, {"annotated": ["cat", "dog", "car"]}])
def test_a_complete_image_has_no_doubt(written, tmp_path, fields):
    dataset = written(**fields)
    image, truth = dataset[0]
    plain_image, plain = CocoDataset(tmp_path, tmp_path / "a.json")[0]
    assert np.array_equal(image, plain_image) and np.array_equal(truth.masks, plain.masks)
    assert doubts(truth) == [] and truth.trust.tolist() == [1]
    assert dataset.complete.tolist() == [[True] * 4] and len(dataset) == 1 and len(list(dataset)) == 1


@pytest.mark.parametrize("annotated", [["cat"], [CAT], ["cat", CAT]])
def test_what_nobody_looked_for_may_be_anywhere(written, annotated):
    dataset = written(annotated=annotated)
    assert doubts(dataset.truth(0)) == [(WHOLE, {"dog", "car"}, np.inf)]
    assert dataset.complete.tolist() == [[True, True, False, False]]


@pytest.mark.parametrize(
    ("fields", "doubted"),
    [
        ({"annotated": [], "positives_only": ["cat"]}, {"cat", "dog", "car"}),
        ({"annotated": ["dog"], "positives_only": "all"}, None),
        ({"positives_only": ["cat"]}, {"cat"}),  # and everything else is complete
    ],
)
def test_positives_only_are_learned_and_stay_doubted(written, fields, doubted):
    if doubted is None:
        with pytest.raises(DatasetError, match="'dog' is in 'annotated' and in 'positives_only'"):
            written(**fields)
        return
    truth = written(**fields).truth(0)
    assert truth.labels.tolist() == [1] and truth.trust.tolist() == [1]
    assert doubts(truth) == [(WHOLE, doubted, np.inf)]


def test_guesses_are_doubts_and_small_objects_may_be_anywhere(written):
    truth = written(guess(DOG, (30, 5, 50, 25), 0.5), annotated=["cat"]).truth(0)
    assert truth.labels.tolist() == [1]  # not sure enough to be learned from
    assert doubts(truth) == [([30, 5, 50, 25], {"dog"}, np.inf), (WHOLE, {"dog", "car"}, 40)]


def test_sure_guesses_are_learned_from_with_less_weight(written):
    truth = written(guess(DOG, (30, 5, 50, 25), 0.9), annotated=["cat"]).truth(0)
    assert truth.labels.tolist() == [1, 2] and truth.trust.tolist() == [1, 0.5]
    assert truth.masks[1, 5:25, 30:50].all() and truth.masks[1].sum() == 400 == truth.areas[1]
    assert truth.boxes[1].tolist() == [30, 5, 50, 25] and not truth.crowd.any()
    assert doubts(truth)[0] == ([30, 5, 50, 25], {"dog"}, np.inf)


def test_only_guesses_of_what_is_not_known_count_each_object_once(written):
    free = (30, 5, 50, 25)
    guesses = [
        guess(DOG, free, 0.6),
        guess(CAR, free, 0.8),  # the same place, with a higher score
        guess(CAT, (0, 30, 9, 39), 0.9),  # cats are complete
        guess(DOG, (1, 2, 11, 21), 0.9),  # the cat's outline is there
        guess(DOG, (20, 30, 25, 35), 0.1),  # hardly ever right
        guess(DOG, free, 0.9, image=6),  # no picture of this dataset
        guess(DOG, (0, 0, 0, 0), 0.9),  # a box in which no pixel was sure enough
    ]
    truth = written(*guesses, annotated=["cat"]).truth(0)
    assert doubts(truth) == [([30, 5, 50, 25], {"car"}, np.inf), (WHOLE, {"dog", "car"}, 40)]
    assert truth.labels.tolist() == [1]


def test_where_all_is_outlined_guesses_are_of_no_use(written):
    assert doubts(written(guess(DOG, (30, 5, 50, 25), 0.95)).truth(0)) == []


def test_a_group_is_complete_where_all_of_its_members_are_and_doubted_where_one_is(written):
    groups = {"dog": "other", "car": "other", "cow": "other"}
    dataset = written(guess(CAR, (30, 5, 50, 25), 0.9), groups=groups, annotated=["cat", "dog"])
    truth = dataset.truth(0)
    assert dataset.categories == truth.categories == ("__background__", "cat", "other")
    assert dataset.complete.tolist() == [[True, True, False]]
    assert truth.names == ("cat", "other")
    assert doubts(truth) == [([30, 5, 50, 25], {"other"}, np.inf), (WHOLE, {"other"}, 40)]
    assert written(groups={"cat": "animal", "dog": "animal"}).categories == (
        "__background__",
        "animal",
        "car",
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"annotated": ["cat", "cow"]}, "'a.json': image 5: 'annotated' names the unknown category 'cow'"),
        ({"annotated": [11]}, "unknown category '11'"),
        ({"annotated": [True]}, "unknown category 'True'"),
        ({"annotated": [["cat"]]}, "unknown category"),
        ({"positives_only": [0]}, "'positives_only' names the unknown category '0'"),
        ({"annotated": "cat"}, "'annotated' must be \"all\" or a list of categories, got 'cat'"),
        ({"annotated": None}, "must be \"all\" or a list of categories, got 'None'"),
        ({"positives_only": {"cat": 1}}, "'positives_only' must be"),
        ({"annotated": ["cat"], "positives_only": [CAT]}, "'cat' is in 'annotated' and in 'positives_only'"),
    ],
)
def test_fields_that_make_no_sense_are_one_clear_error(written, fields, said):
    with pytest.raises(DatasetError) as caught:
        written(**fields)
    assert said in str(caught.value) and str(caught.value).endswith("correct the file and load it again")


def test_fields_need_images_that_can_be_told_by_their_number(written):
    row = {"id": "one", "file_name": "a.png", "width": 60, "height": 40}
    with (
        pytest.warns(UserWarning, match="ids"),
        pytest.raises(DatasetError, match="with whole numbers as ids"),
    ):
        written(content={"images": [row | {"annotated": ["cat"]}], "annotations": []})
    with pytest.warns(UserWarning, match="ids"):
        assert written(content={"images": [row], "annotations": []}).complete.all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": 1.5}, {"score": "high"}, {"score": float("nan")}, {"category_id": 99}, {"category_id": 0},
        {"score": None},
    ],
)  # fmt: skip
def test_guesses_in_another_format_are_one_clear_error(written, wrong):
    with pytest.raises(DatasetError, match="'guesses.json' is not in COCO's format of results"):
        written(guess(DOG, (30, 5, 50, 25), 0.9) | wrong)


@pytest.mark.parametrize("content", ["no json", "{}", "[3]", '[{"image_id": 1}]', None])
def test_files_of_guesses_that_hold_none_are_one_clear_error(written, tmp_path, content):
    written()
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    if content == "{}":
        assert len(PartialCoco(tmp_path, tmp_path / "a.json", guesses=path)) == 1  # nothing found
        return
    said = "is not in COCO's format of results" if content else "'other.json' cannot be opened"
    with pytest.raises(DatasetError, match=said):
        PartialCoco(tmp_path, tmp_path / "a.json", guesses=path)


@pytest.mark.parametrize("segmentation", [None, {"size": [40, 60], "counts": "013"}, [[1, 2]]])
def test_a_guess_that_does_not_fit_its_picture_is_one_clear_error(written, segmentation):
    dataset = written(guess(DOG, (3, 5, 9, 9), 0.9) | {"segmentation": segmentation}, annotated=["cat"])
    with pytest.raises(DatasetError, match="'guesses.json': a mask does not fit image 5"):
        dataset.truth(0)
    with pytest.raises(DatasetError, match="does not fit image 5"):
        written(guess(DOG, (3, 5, 9, 9), 0.9, size=(40, 61)), annotated=["cat"])[0]


def test_any_ground_truth_is_one_without_doubts():
    _, truth = ShapesDataset(1)[0]
    known = PartialTruth.of(truth)
    assert known.trust.tolist() == [1] * len(truth) and len(known.doubts) == 0
    assert np.array_equal(known.masks, truth.masks) and PartialTruth.of(known) is known


def test_some_rows_keep_their_trust_and_all_doubts(written):
    truth = written(guess(DOG, (30, 5, 50, 25), 0.9), annotated=["cat"]).truth(0).only(["dog"])
    assert truth.trust.tolist() == [0.5] and len(truth.doubts) == 2 and isinstance(truth, Truth)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("trust", np.ones(9), ValueError),
        ("trust", np.ones(1, int), TypeError),
        ("doubts", np.zeros((2, 3)), ValueError),
        ("doubted", np.zeros((0, 2), bool), ValueError),
        ("doubted", np.zeros((0, 4)), TypeError),
        ("limits", np.ones(1), ValueError),
    ],
)
def test_arrays_of_another_shape_or_kind_are_refused(written, name, value, error):
    known = vars(written().truth(0))
    with pytest.raises(error, match=f"{name} must"):
        PartialTruth(**{**known, name: value})
