"""What annotation tools write into their COCO files, one after the other. Each is the plain file below with
changes that are known of the tool, and must give what pycocotools makes of the plain one."""

import copy
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from maskseg_nb import evaluate
from maskseg_nb.data.coco import CocoDataset
from maskseg_nb.errors import DatasetError

SQUARE, TRIANGLE = [10, 10, 40, 10, 40, 40, 10, 40], [50, 5, 70, 5, 60, 50]
SIZE = (60, 80)


def plain():
    """Two pictures, two categories, three annotations."""
    images = [
        {"id": 1, "file_name": "a.png", "width": 80, "height": 60},
        {"id": 2, "file_name": "b.png", "width": 80, "height": 60},
    ]
    rows = [(1, 1, 1, SQUARE), (2, 1, 2, TRIANGLE), (3, 2, 2, SQUARE)]
    annotations = [
        {
            "id": number,
            "image_id": image,
            "category_id": category,
            "segmentation": [polygon],
            "bbox": bounds(polygon),
            "area": 900,
            "iscrowd": 0,
        }
        for number, image, category, polygon in rows
    ]
    categories = [{"id": 1, "name": "leaf"}, {"id": 2, "name": "stem"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def bounds(polygon):
    x, y = polygon[::2], polygon[1::2]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "images"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (80, 60), (number, 50, 90)).save(folder / name)
    return folder


@pytest.fixture
def opened(pictures, tmp_path):
    def open_it(content, folder=pictures, **options):
        path = tmp_path / "labels.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return CocoDataset(folder, path, **options)

    return open_it


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The plain file's masks and boxes by picture and annotation, by pycocotools."""
    path = tmp_path_factory.mktemp("plain") / "plain.json"
    path.write_text(json.dumps(plain()))
    coco = COCO(path)
    names = {row["id"]: row["name"] for row in coco.dataset["categories"]}
    return {
        image: [
            (number, names[row["category_id"]], row["bbox"], coco.annToMask(row).astype(bool))
            for number, row in coco.anns.items()
            if row["image_id"] == image
        ]
        for image in coco.imgs
    }


def is_as_expected(dataset, expected, numbers=(1, 2)):
    assert dataset.image_ids == numbers
    for number, (image, truth) in zip(expected, dataset, strict=True):
        assert image[0, 0].tolist() == [number - 1, 50, 90]
        assert truth.names == tuple(name for _, name, _, _ in expected[number])
        assert np.array_equal(truth.masks, [mask for _, _, _, mask in expected[number]])
        sides = truth.boxes.copy()
        sides[:, 2:] -= sides[:, :2]
        assert sides.tolist() == [box for _, _, box, _ in expected[number]]


def with_rows(change, *lists):
    """The plain file with every entry of some lists changed."""
    content = plain()
    for name in lists or ("annotations",):
        content[name] = [{**row, **change(row)} for row in content[name]]
    return content


def test_the_plain_file_is_as_pycocotools_reads_it(opened, expected):
    is_as_expected(opened(plain(), strict=True), expected)


# Numbers


@pytest.mark.parametrize("written", [str, float, lambda number: f" {number}.0 ", lambda number: f"0{number}"])
def test_numbers_may_be_written_as_text_or_with_a_point(opened, expected, written):
    content = plain()
    for name in content:
        for row in content[name]:
            for key in ("id", "image_id", "category_id", "width", "height", "iscrowd", "area"):
                if key in row:
                    row[key] = written(row[key])
    is_as_expected(opened(content, strict=True), expected)


def test_coordinates_may_be_written_as_text(opened, expected):
    content = with_rows(lambda row: {"segmentation": [[str(value) for value in row["segmentation"][0]]]})
    is_as_expected(opened(content, strict=True), expected)


def test_a_pandas_table_writes_nan_where_nothing_is(opened, expected):
    nan = float("nan")
    content = with_rows(lambda row: {"area": nan, "iscrowd": nan, "image_id": float(row["image_id"])})
    is_as_expected(opened(content, strict=True), expected)


def test_ids_may_be_texts_and_are_numbered(opened, expected):
    """Open Images has such ids."""
    names = {1: "000a1249af2bc5f0", 2: "ffee"}
    content = with_rows(lambda row: {"id": names[row["id"]]}, "images")
    content["annotations"] = [{**row, "image_id": names[row["image_id"]]} for row in content["annotations"]]
    with pytest.warns(
        UserWarning, match="ids missing, repeated or not whole: 2 .first: image '000a1249af2bc5f0'"
    ):
        dataset = opened(content)
    is_as_expected(dataset, expected)
    categories = with_rows(lambda row: {"id": row["name"]}, "categories")
    for row in categories["annotations"]:
        row["category_id"] = ["leaf", "stem"][row["category_id"] - 1]
    with pytest.warns(UserWarning, match="not whole: 2 .first: category 'leaf'"):
        dataset = opened(categories)
    is_as_expected(dataset, expected)
    assert dataset.category_ids == (0, 1, 2)


@pytest.mark.parametrize(
    "ids", [[1, 2, 1], [1, 1, 1], [None, 2, 3], ["x", "y", "z"], [1.5, 2, 3], [2**70, 2, 3]]
)
def test_annotation_ids_that_restart_or_are_missing_are_numbered(opened, expected, ids):
    """CVAT's older exports and synthetic-data generators restart in every picture."""
    content = plain()
    for row, number in zip(content["annotations"], ids, strict=True):
        row["id"] = number
    with pytest.warns(
        UserWarning, match="Read with a change: ids missing, repeated or not whole: .*numbered from 1"
    ):
        dataset = opened(content)
    is_as_expected(dataset, expected)
    assert [truth.ids.tolist() for _, truth in dataset] == [[1, 2], [3]]
    with pytest.raises(DatasetError, match="strict=True: ids missing, repeated or not whole: "):
        opened(content, strict=True)


def test_an_annotation_that_is_listed_twice_is_one(opened, expected):
    content = plain()
    for name in content:
        content[name] += copy.deepcopy(content[name])
    is_as_expected(opened(content, strict=True), expected)


def test_two_pictures_with_one_number_are_left_out_with_their_annotations(opened):
    content = plain()
    content["images"].append({**content["images"][0], "file_name": "c.png"})
    with pytest.warns(
        UserWarning, match=r"1 of 3 annotations and 1 of 3 pictures .*id of their own: 1 \(first: ima"
    ):
        assert opened(content).image_ids == (2,)


# Outlines


@pytest.mark.parametrize(
    "written",
    [
        lambda polygon: polygon,  # VIA
        lambda polygon: list(zip(polygon[::2], polygon[1::2], strict=True)),  # corners as pairs
        lambda polygon: [list(zip(polygon[::2], polygon[1::2], strict=True))],
        lambda polygon: [polygon, []],
        lambda polygon: [[], polygon, None],
        lambda polygon: [[float(value) for value in polygon]],
    ],
)
def test_a_polygon_may_be_written_in_many_ways(opened, expected, written):
    content = with_rows(lambda row: {"segmentation": written(row["segmentation"][0])})
    is_as_expected(opened(content, strict=True), expected)


def in_runs(mask):
    """Run lengths by hand: column by column, starting with the outside."""
    values = mask.T.ravel()
    changes = np.flatnonzero(np.diff(values)) + 1
    runs = np.diff([0, *changes, len(values)]).tolist()
    return [0, *runs] if values[0] else runs


@pytest.mark.parametrize(
    "written",
    [
        lambda runs, coded: {"size": list(SIZE), "counts": runs},
        lambda runs, coded: {"size": list(SIZE), "counts": coded},
        lambda runs, coded: {"size": [60.0, "80"], "counts": coded},
        lambda runs, coded: {"counts": runs},
        lambda runs, coded: {"size": None, "counts": coded},
        lambda runs, coded: {"size": list(SIZE), "counts": [float(run) for run in runs]},
        lambda runs, coded: {"size": list(SIZE), "counts": [str(run) for run in runs]},
        lambda runs, coded: {"size": list(SIZE), "counts": str(coded.encode())},  # b'...'
        lambda runs, coded: [{"size": list(SIZE), "counts": coded}],
    ],
)
def test_run_lengths_may_be_written_in_many_ways(opened, expected, written):
    from pycocotools import mask as coco_mask

    content = plain()
    masks = [mask for rows in expected.values() for _, _, _, mask in rows]
    for row, mask in zip(content["annotations"], masks, strict=True):
        coded = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        row["segmentation"] = written(in_runs(mask), coded)
    is_as_expected(opened(content, strict=True), expected)


def test_fields_that_a_tool_leaves_out_are_made_of_the_outline(opened, expected):
    content = plain()
    for row in content["annotations"]:
        for key in ("bbox", "area", "iscrowd"):
            del row[key]
    dataset = opened(content, strict=True)
    is_as_expected(dataset, expected)
    for _, truth in dataset:
        assert truth.areas.tolist() == truth.masks.sum(axis=(1, 2)).tolist()
        assert not truth.crowd.any()


def test_an_annotation_that_was_begun_and_never_drawn_is_counted_apart(opened):
    """COCO Annotator writes these."""
    content = plain()
    content["annotations"][0] |= {"segmentation": [], "bbox": [0, 0, 0, 0], "area": 0, "isbbox": False}
    with pytest.warns(UserWarning, match="annotations without outline or box: 1 .first: annotation 1"):
        assert opened(content).counts() == {"leaf": 0, "stem": 2}


# Categories


def test_the_root_that_roboflow_writes_is_no_category(opened, expected):
    content = plain()
    content["categories"] = [
        {"id": 0, "name": "plants", "supercategory": "none"},
        {"id": 1, "name": "leaf", "supercategory": "plants"},
        {"id": 2, "name": "stem", "supercategory": "plants"},
    ]
    dataset = opened(content, strict=True)
    is_as_expected(dataset, expected)
    assert dataset.categories == ("__background__", "leaf", "stem") and dataset.category_ids == (0, 1, 2)
    content["annotations"][0]["category_id"] = 0  # used: it is one
    assert opened(content, strict=True).categories == ("__background__", "plants", "leaf", "stem")


@pytest.mark.parametrize("name", ["_background_", "background", "__background__", "__ignore__"])
def test_a_background_without_annotations_is_no_category(opened, expected, name):
    """labelme's own script writes one."""
    content = plain()
    content["categories"].insert(0, {"id": 0, "name": name, "supercategory": None})
    dataset = opened(content, strict=True)
    is_as_expected(dataset, expected)
    assert dataset.categories == ("__background__", "leaf", "stem")


def test_annotations_of_the_background_itself_are_of_no_category(opened):
    content = plain()
    content["categories"][0]["name"] = "__background__"
    with pytest.warns(UserWarning, match="annotations of unknown categories: 1 .first: annotation 1"):
        assert opened(content).categories == ("__background__", "stem")


@pytest.mark.parametrize(
    "stated, read",
    [
        ("young\u00a0leaf", "young leaf"),
        ("young\tleaf", "young leaf"),
        ("young\r\n  leaf", "young leaf"),
        ("\ufeffle\u00adaf\u200b", "leaf"),
        ("\u200fعلم\u202c", "علم"),
        ("leaf\u3000\n", "leaf"),  # blanks at the end are no change
    ],
)
def test_invisible_letters_are_removed_from_names_with_a_warning(opened, expected, stated, read):
    content = plain()
    content["categories"][0]["name"] = stated
    if stated.rstrip() == read:
        dataset = opened(content, strict=True)
    else:
        with pytest.warns(
            UserWarning, match="Read with a change: category names with invisible characters: 1"
        ):
            dataset = opened(content)
        with pytest.raises(
            DatasetError, match="category names with invisible characters: 1 .first: category 1, "
        ):
            opened(content, strict=True)
    assert dataset.categories == ("__background__", read, "stem")
    assert dataset.counts() == {read: 1, "stem": 2}


def test_a_name_of_a_hundred_letters_is_read_as_it_stands(opened):
    content = plain()
    content["categories"][0]["name"] = name = "blatt " * 16 + "äöüß"
    assert opened(content, strict=True).categories == ("__background__", name, "stem")


@pytest.mark.parametrize("above", ["none", None, "", "leaf"])
def test_of_two_categories_of_one_name_the_one_without_annotations_is_left_out(opened, expected, above):
    content = plain()
    content["categories"] += [{"id": 0, "name": "leaf", "supercategory": above}, {"id": 9, "name": " stem "}]
    content["categories"][0]["supercategory"] = "leaf"
    is_as_expected(opened(content, strict=True), expected)


def test_two_categories_of_one_name_that_are_used_are_joined_with_a_warning(opened, expected):
    content = plain()
    content["categories"].append({"id": 7, "name": "stem", "supercategory": "none"})
    content["annotations"][2]["category_id"] = 7
    with pytest.warns(UserWarning, match="categories of one name: 1 .first: 2 and 7, 'stem'; joined"):
        dataset = opened(content)
    is_as_expected(dataset, expected)
    assert dataset.categories == ("__background__", "leaf", "stem") and dataset.category_ids == (0, 1, 2)


def test_two_categories_of_one_name_and_different_kinds_are_an_error(opened):
    content = plain()
    content["categories"][1]["supercategory"] = "organ"
    content["categories"].append({"id": 7, "name": "stem", "supercategory": "watch"})
    content["annotations"][2]["category_id"] = 7
    with pytest.raises(
        DatasetError, match="categories 2 and 7 are both called 'stem', of different .*; rename one"
    ):
        opened(content)


def test_two_categories_with_one_number_are_left_out(opened):
    content = plain()
    content["categories"].append({"id": 1, "name": "root"})
    with pytest.warns(
        UserWarning, match=r"entries without an id of their own: 1 \(first: categories\[2\]: the id 1"
    ):
        assert opened(content).categories == ("__background__", "stem")


def test_a_category_may_be_called_by_a_number(opened):
    content = plain()
    content["categories"][0]["name"], content["categories"][1]["name"] = 7, 8.5
    assert opened(content, strict=True).categories == ("__background__", "7", "8.5")


@pytest.mark.slow
def test_a_model_is_evaluated_on_a_dataset_with_a_root_of_the_same_name(opened, street):
    """Roboflow, where the project has the name of its class."""
    content = plain()
    content["categories"] = [
        {"id": 0, "name": "person", "supercategory": "none"},
        {"id": 1, "name": "person", "supercategory": "person"},
        {"id": 2, "name": "stem", "supercategory": "person"},
    ]
    dataset = opened(content)
    assert dataset.counts() == {"person": 1, "stem": 2}
    assert evaluate(street, dataset, progress=False).judged == ("person",)


# Sizes


@pytest.mark.parametrize("size", [None, 0, "", "wide", -80, float("nan"), [80], True])
@pytest.mark.parametrize("sides", [("width",), ("height",), ("width", "height")])
def test_a_size_that_is_not_stated_is_the_files(opened, expected, size, sides):
    """makesense writes 0 for pictures that were not opened yet."""
    content = with_rows(lambda row: dict.fromkeys(sides, size), "images")
    is_as_expected(opened(content, strict=True), expected)


def test_a_picture_of_another_size_is_left_out_and_both_sizes_are_named(opened):
    content = plain()
    content["images"][1]["width"] = 160
    with pytest.warns(UserWarning, match=r"image 2, 'b.png': 160 x 60 stated, the file has 80 x 60"):
        assert opened(content).image_ids == (1,)


# File names


NAMES = {
    "labelme2coco": "JPEGImages/{}",
    "Label Studio": "images/{}",
    "Label Studio on Windows": "images\\{}",
    "Label Studio, local files": "/data/local-files/?d=projects/leaves/images/{}",
    "Label Studio, uploads": "../../label-studio/data/media/upload/1/1a2b3c4d-{}",
    "S3": "s3://bucket/leaves/{}",
    "a server": "https://example.org/leaves/{}?token=abc%2Fdef&x=1",
    "somebody's Linux": "/home/ann/leaves/{}",
    "somebody's Windows": "C:\\Users\\Ann\\leaves\\{}",
    "a share": "\\\\server\\share\\{}",
    "a file URL": "file:///C:/Users/Ann/{}",
    "here": "./{}",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_file_is_found_by_the_name_that_a_tool_gives_it(opened, expected, name):
    content = with_rows(lambda row: {"file_name": name.format(row["file_name"])}, "images")
    if name.startswith("JPEG"):  # a folder other than the one given
        with pytest.warns(
            UserWarning, match="found by name alone: 2 .first: image 1, 'JPEGImages/a.png' as 'a.png'"
        ):
            dataset = opened(content)
    else:
        dataset = opened(content, strict=True)
    is_as_expected(dataset, expected)


def test_the_folder_above_may_be_given(opened, expected, pictures):
    is_as_expected(opened(plain(), pictures.parent, strict=True), expected)


def test_coco_annotators_path_stands_in_for_a_file_name(opened, expected):
    content = with_rows(
        lambda row: {"path": f"/datasets/leaves/{row['file_name']}", "file_name": None}, "images"
    )
    is_as_expected(opened(content, strict=True), expected)
    content = with_rows(
        lambda row: {"path": f"/datasets/x/{row['file_name']}", "file_name": "gone.png"}, "images"
    )
    is_as_expected(opened(content, strict=True), expected)


def test_lvis_has_addresses_and_no_file_names(opened, expected):
    content = plain()
    for row in content["images"]:
        row["coco_url"] = "http://images.cocodataset.org/train2017/" + row.pop("file_name")
    is_as_expected(opened(content, strict=True), expected)


def test_a_picture_that_is_listed_twice_is_one_with_all_annotations(opened, expected):
    """As written by scripts that make an image entry for every annotation."""
    content = plain()
    content["images"].insert(1, {**content["images"][0], "id": 5})
    content["annotations"][1]["image_id"] = 5
    with pytest.warns(
        UserWarning, match="pictures listed twice: 1 .first: image 5, 'a.png'; their annotations joined"
    ):
        dataset = opened(content)
    is_as_expected(dataset, expected)
