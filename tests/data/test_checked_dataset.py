"""Datasets with one fault each. The references are `load_image`, and pictures known by hand."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from maskseg_nb import CocoDataset, evaluate, load_image
from maskseg_nb.data.checked_dataset import CheckedDataset
from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.shapes import CATEGORIES, ShapesDataset
from maskseg_nb.data.truth import Truth
from maskseg_nb.errors import DatasetError, ImageError, MasksegError
from maskseg_nb.evaluation.evaluate import to_judge

IMAGE, TRUTH = ShapesDataset(1, size=(64, 96))[0]


class Made:
    """A dataset of what it is given: pairs, or errors to be raised."""

    def __init__(self, *items, categories=CATEGORIES):
        self.items, self.categories, self.asked = items, categories, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked.append(index)
        item = self.items[index]
        if isinstance(item, Exception):
            raise type(item)(*item.args)
        return item


def truth(**changed):
    return Truth(**{**vars(TRUTH), **changed})


def checked(*items, **options):
    return CheckedDataset(Made(*items, **options), progress=False)


def test_valid_pictures_come_unchanged():
    dataset = checked((IMAGE, TRUTH), (IMAGE, truth(image_id=4)))
    assert len(dataset) == 2 and dataset.categories == CATEGORIES
    for image, told in dataset:
        assert image is IMAGE and np.array_equal(told.masks, TRUTH.masks)
    assert [seen.image_id for seen in dataset.seen] == [TRUTH.image_id, 4]
    assert dataset.seen[0].pixels.tolist() == TRUTH.masks.sum(axis=(1, 2)).tolist()
    assert dataset.seen[0].labels.tolist() == TRUTH.labels.tolist()


def test_a_dataset_is_looked_through_once():
    made = Made((IMAGE, TRUTH), (IMAGE, TRUTH))
    dataset = CheckedDataset.of(made, progress=False)
    assert made.asked == [0, 1]
    assert CheckedDataset.of(dataset) is dataset and made.asked == [0, 1]


@pytest.mark.parametrize(
    "other",
    [
        IMAGE[..., 0],
        IMAGE[..., :1],
        np.dstack([IMAGE, np.arange(64 * 96, dtype=np.uint8).reshape(64, 96)]),
        Image.fromarray(IMAGE),
        Image.fromarray(IMAGE).convert("P"),
    ],
    ids=["grey", "grey in three dimensions", "RGBA", "PIL", "palette"],
)
def test_other_pictures_become_rgb_as_load_image_makes_them(other):
    ((image, _),) = checked((other, TRUTH))
    grey = isinstance(other, np.ndarray) and other.shape[-1] == 1
    assert image.dtype == np.uint8 and np.array_equal(image, load_image(other[..., 0] if grey else other))


@pytest.mark.parametrize(
    "image, error, said",
    [
        (IMAGE.astype(np.float32) / 255, TypeError, "image must be uint8 in .0, 255., got float32"),
        (IMAGE.astype(np.float64), TypeError, "got float64"),
        (IMAGE.astype(np.uint16), TypeError, "got uint16"),
        (IMAGE > 5, TypeError, "got bool"),
        (torch.from_numpy(IMAGE).permute(2, 0, 1), TypeError, r"uint8 \(H, W, 3\) RGB, got Tensor"),
        (IMAGE.tolist(), TypeError, "got list"),
        (None, TypeError, "got NoneType"),
        (IMAGE.transpose(2, 0, 1), ValueError, r"image must be \(H, W, 3\) RGB"),
        (IMAGE[..., :2], ValueError, r"image must be \(H, W, 3\) RGB"),
        (IMAGE[None], ValueError, r"image must be \(H, W, 3\) RGB"),
        (IMAGE[:0], ValueError, "not empty"),
        (IMAGE[:-2], DatasetError, "has 96 x 62 pixels, its masks 96 x 64; resize or crop both alike"),
        (IMAGE[:, :-2, 0], DatasetError, "has 94 x 64 pixels, its masks 96 x 64"),
        (IMAGE.transpose(1, 0, 2), DatasetError, "has 64 x 96 pixels, its masks 96 x 64"),
    ],
)
def test_an_image_that_does_not_fit_its_masks_is_an_error_that_names_the_index(image, error, said):
    with pytest.raises(error, match=f"picture 1:? .*{said}"):
        checked((IMAGE, TRUTH), (image, TRUTH))


SCALED = {
    "twice as large": TRUTH.boxes * 2,
    "shares": TRUTH.boxes / [96, 64, 96, 64],
    "x, y, width, height": np.concatenate(
        [TRUTH.boxes[:, :2], TRUTH.boxes[:, 2:] - TRUTH.boxes[:, :2]], axis=1
    ),
    "y first": TRUTH.boxes[:, [1, 0, 3, 2]],
    "turned round": TRUTH.boxes[:, [2, 3, 0, 1]],
    "another row's": np.roll(TRUTH.boxes, 1, axis=0),
}


@pytest.mark.parametrize("boxes", SCALED.values(), ids=SCALED)
def test_boxes_that_do_not_lie_on_their_masks_are_an_error_that_names_index_and_box(boxes):
    with pytest.raises(
        DatasetError, match=r"picture 1: box \d, \[.*\], does not lie on its mask in a picture of 96"
    ):
        checked((IMAGE, TRUTH), (IMAGE, truth(boxes=boxes)))


def test_boxes_may_be_wider_or_narrower_than_their_masks():
    middle = (TRUTH.boxes[:, :2] + TRUTH.boxes[:, 2:]) / 2
    for boxes in (
        TRUTH.boxes + [-3, -3, 3, 3],
        np.tile([0.0, 0, 96, 64], (len(TRUTH), 1)),
        np.concatenate([middle, middle + 1], axis=1),
    ):
        assert len(checked((IMAGE, truth(boxes=boxes)))) == 1


def test_an_instance_without_pixels_may_have_any_box():
    masks = TRUTH.masks.copy()
    masks[0] = False
    assert checked((IMAGE, truth(masks=masks))).seen[0].pixels[0] == 0


@pytest.mark.parametrize(
    "pair, got",
    [
        (IMAGE, "ndarray"),
        ((IMAGE,), "(ndarray)"),
        ((IMAGE, {"boxes": 0, "labels": 0}), "(ndarray, dict)"),
        ((IMAGE, TRUTH, 5), "(ndarray, Truth, int)"),
        (None, "NoneType"),
        ({"image": IMAGE}, "dict"),
    ],
)
def test_what_is_not_a_pair_is_a_type_error_that_names_the_index(pair, got):
    with pytest.raises(TypeError) as caught:
        checked((IMAGE, TRUTH), pair)
    assert f"picture 1: dataset[i] must be (image, Truth), got {got}; Truth.from_masks" in str(caught.value)


def test_categories_must_be_the_datasets():
    other = truth(categories=("__background__", "star", "triangle", "square", "circle"))
    with pytest.raises(
        DatasetError, match="picture 1 has the categories 'star, tri.*the dataset 'circle, sq"
    ):
        checked((IMAGE, TRUTH), (IMAGE, other))


def test_categories_may_be_a_list():
    assert (
        checked((IMAGE, truth(categories=list(CATEGORIES))), categories=list(CATEGORIES)).categories
        == CATEGORIES
    )


def test_categories_must_be_names_that_differ():
    twice = ("__background__", "star", "square", "star", "circle")
    with pytest.raises(
        DatasetError, match="dataset's categories must have different names, got 'star' twice"
    ):
        checked((IMAGE, truth(categories=twice)), categories=twice)
    for names in (("__background__", 5), "abcde", b"abcde", 5, None, {1: "star"}, {"star"}):
        with pytest.raises(TypeError, match="dataset.categories must be a list of names, got "):
            checked((IMAGE, TRUTH), categories=names)


# What nobody can read, or no label can show; the last has 101 letters.
@pytest.mark.parametrize(
    "name",
    ["", " ", "a\nb", "a\tb", "a\0b", "a\u00a0b", "a\u200bb", "\u202eb", "\ud800", "\ue000", "x" * 101],
)
def test_categories_must_have_the_names_that_a_checkpoint_can_hold(street, name):
    names = (*CATEGORIES[:4], name)
    said = "categories must have names of 1 to 100 printable characters, got "
    pair = IMAGE, truth(categories=names)
    with pytest.raises(DatasetError, match=f"the dataset's {said}.*; rename them"):
        checked(pair, categories=names)
    with pytest.raises(DatasetError, match=f"the dataset's {said}"):
        evaluate(street, PictureList([pair]), progress=False)


def test_categories_may_have_any_name_that_a_person_can_read():
    names = ("__background__", "x" * 100, "Straße 7", "自転車", "\U0001f6b2 <b>&amp;|")
    assert checked((IMAGE, truth(categories=names)), categories=np.array(names)).categories == names


@pytest.mark.parametrize("count, letters", [(10_001, 5), (10_000, 60), (8_000, 70)])
def test_categories_must_be_as_few_as_a_checkpoint_can_hold(count, letters):
    names = ["__background__", *(f"{number:0{letters}}" for number in range(count - 1))]
    with pytest.raises(
        DatasetError, match=f"at most 10,000, with names of 512 KB together, got {count:,} with"
    ):
        checked((IMAGE, truth(categories=names)), categories=names)


def test_what_is_not_a_dataset_is_a_type_error():
    for nothing in ([(IMAGE, TRUTH)], None, "folder"):
        with pytest.raises(TypeError, match="dataset must have categories, len.* got (list|NoneType|str)"):
            CheckedDataset(nothing, progress=False)


def test_pictures_that_cannot_be_read_are_left_out_with_one_warning():
    strip = np.zeros((1, 2000, 3), np.uint8), Truth.from_masks(np.ones((1, 1, 2000), bool), [1], CATEGORIES)
    items = [
        (IMAGE, TRUTH),
        ImageError("'b.png' is damaged"),
        strip,
        ImageError("'d.png' is empty"),
        DatasetError("'x': image 9"),
        MasksegError("9 masks"),
        (IMAGE, truth(image_id=6)),
    ]
    with pytest.warns(UserWarning) as caught:
        dataset = checked(*items)
    (warning,) = caught
    for part in (
        "the dataset: 2 of 7 pictures are used. Left out: ",
        "pictures that cannot be read: 2 (first: picture 1: 'b.png' is damaged)",
        "pictures too thin for the network: 1 (first: picture 2, 2000 x 1)",
        "pictures that contradict their ground truth: 1 (first: picture 4: 'x': image 9)",
        "pictures with more masks than memory: 1 (first: picture 5: 9 masks)",
    ):
        assert part in str(warning.message)
    assert [seen.index for seen in dataset.seen] == [0, 6]
    assert dataset[1][1].image_id == 6 and len(list(dataset)) == 2


def test_where_none_can_be_read_it_is_an_error():
    with pytest.raises(
        DatasetError, match="no picture is left: pictures that cannot be read: 2 .first: picture 0"
    ):
        checked(ImageError("'a.png' is damaged"), ImageError("'b.png' is damaged"))
    with pytest.raises(DatasetError, match="the dataset has no pictures"):
        checked()


def test_an_exception_in_a_users_dataset_comes_through_and_names_the_picture():
    for mistake in (KeyError("x"), IndexError("y"), RuntimeError("z")):
        with pytest.raises(type(mistake)) as caught:
            checked((IMAGE, TRUTH), mistake)
        assert caught.value.__notes__ == ["while picture 1 of the dataset was read"]


# What a model can be evaluated on


def test_a_model_is_evaluated_on_the_categories_that_both_know():
    judged, pictures = to_judge(
        Made((IMAGE, TRUTH)), ("__background__", "dog", *CATEGORIES[:0:-1]), progress=False
    )
    assert judged == CATEGORIES[1:] and isinstance(pictures, CheckedDataset)


@pytest.mark.parametrize(
    "items, known, said",
    [
        ([(IMAGE, TRUTH)], ("__background__", "dog"), "no category of the model"),
        ([], CATEGORIES, "no pictures"),
        ([(IMAGE, TRUTH)] * 3, CATEGORIES, "3 pictures have the number 0; give each an image_id of its own"),
        ([(IMAGE, truth(crowd=np.ones(len(TRUTH), bool)))], CATEGORIES, "nothing in the dataset counts"),
        ([(IMAGE, TRUTH.only([]))], CATEGORIES, "nothing in the dataset counts"),
    ],
)
def test_where_nothing_can_be_evaluated_it_is_one_clear_error(items, known, said):
    with pytest.raises(DatasetError, match=said):
        to_judge(Made(*items), known, progress=False)


def test_evaluate_says_so_before_the_network_runs(street, monkeypatch):
    def run(*arguments):
        raise AssertionError("the network runs")

    monkeypatch.setattr("maskseg_nb.evaluation.detections.predict_at_own_size", run)
    names = street.categories
    good = (IMAGE, truth(categories=names, labels=np.ones(len(TRUTH), np.int64)))
    floats = (IMAGE / 255, truth(categories=names, labels=np.ones(len(TRUTH), np.int64), image_id=1))
    with pytest.raises(TypeError, match="picture 1: image must be uint8"):
        evaluate(street, Made(good, floats, categories=names), progress=False)
    twice = PictureList([good, good])
    with pytest.raises(DatasetError, match="2 pictures have the number 0"):
        evaluate(street, twice, progress=False)


def test_a_damaged_file_in_a_folder_is_left_out_of_an_evaluation(street, tmp_path):
    people = np.zeros((64, 96), bool)
    people[10:40, 10:40] = True
    for name in ("a.png", "b.png"):
        Image.fromarray(IMAGE).save(tmp_path / name)
    data = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[: len(data) // 2])  # its header is intact
    polygon = [10, 10, 40, 10, 40, 40, 10, 40]
    content = {
        "images": [{"id": n, "file_name": f"{'ab'[n]}.png", "height": 64, "width": 96} for n in (0, 1)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": [polygon]} for n in (0, 1)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    dataset = CocoDataset(tmp_path, tmp_path / "labels.json")
    with pytest.warns(
        UserWarning, match="1 of 2 pictures are used.*cannot be read: 1 .first: picture 1: 'b.png'"
    ):
        evaluation = evaluate(street, dataset, progress=False)
    assert [picture.index for picture in evaluation.pictures] == [0]
