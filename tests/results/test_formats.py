"""Every file is read back by another program (Pillow, pycocotools, csv, supervision), or drawn again."""

import contextlib
import copy
import csv
import io
import json
import math
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely
import skimage.io
import supervision
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from skimage.measure import regionprops
from torchvision.io import read_image

from maskseg_nb import CocoDataset, draw_instances, evaluate, load_model, sample_photo, segment_pictures
from maskseg_nb.drawing import overlay
from maskseg_nb.drawing.colors import category_color, instance_colors
from maskseg_nb.errors import MasksegError
from maskseg_nb.mask_rcnn.instances import Instances
from maskseg_nb.results.export import contents, export
from maskseg_nb.results.formats import FORMATS, safe_name
from maskseg_nb.results.label_maps import OVERLAPS, instance_map, semantic_map
from maskseg_nb.results.measures import COLUMNS, measure
from predictions import made_up

SIZE = (60, 80)
NAMES = ("__background__", "cat", "lamp")


def instances_of(masks, labels=None, scores=None):
    """Instances of full masks, bool (H, W) each, highest score first."""
    crops, corners, boxes = [], [], []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        crops.append(mask[top:bottom, left:right])
        corners.append((top, left))
        boxes.append((left, top, right, bottom))
    count = len(masks)
    return Instances(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels or [1] * count, np.int64),
        np.array(scores or np.linspace(0.9, 0.6, count), np.float32),
        tuple(crops),
        np.array(corners, np.int64).reshape(-1, 2),
        np.arange(count),
        SIZE,
        NAMES,
    )


def rectangle(top, left, bottom, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def blank():
    return np.zeros((*SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def found(prediction, restaurant):
    """What `street` finds in the restaurant: image and instances."""
    return restaurant[1], prediction.select(score_threshold=0.3)


@pytest.fixture(scope="module")
def written(found, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    paths = export(*found, folder, "photo.jpg", tuple(FORMATS))
    return {path.name: path for path in paths}


def picture(written, name):
    return np.asarray(Image.open(written[name]))


# Each format, read back


def test_the_overlay_is_what_draw_instances_draws(found, written):
    assert np.array_equal(picture(written, "photo.jpg.overlay.png"), draw_instances(*found))


def test_label_maps_come_back_with_a_legend_for_every_number(found, written):
    _, instances = found
    shown = picture(written, "photo.jpg.instances.png")
    assert shown.dtype == np.uint8 and np.array_equal(shown, instance_map(instances))
    legend = json.loads(written["photo.jpg.instances.json"].read_text())
    assert [entry["value"] for entry in legend["values"]] == list(range(1, len(instances) + 1))
    assert [entry["category"] for entry in legend["values"]] == list(instances.names)
    assert legend["overlap"] == "where two overlap, the surest is on top"
    classes = picture(written, "photo.jpg.categories.png")
    assert np.array_equal(classes, semantic_map(instances))
    legend = json.loads(written["photo.jpg.categories.json"].read_text())
    assert {entry["value"]: entry["category"] for entry in legend["values"]} == {
        int(label): instances.categories[label] for label in np.unique(classes) if label
    }


def test_masks_come_back_one_per_instance(found, written):
    _, instances = found
    for number, mask in enumerate(instances.masks, 1):
        assert np.array_equal(picture(written, f"photo.jpg.mask-{number:03d}.png"), np.uint8(255) * mask)


def test_cut_outs_come_back_with_their_pixels_and_transparent_outside(found, written):
    image, instances = found
    for number, (window, crop) in enumerate(zip(instances.windows, instances.crops, strict=True), 1):
        cut = Image.open(written[f"photo.jpg.cut-out-{number:03d}.png"])
        assert cut.mode == "RGBA"
        pixels = np.asarray(cut)
        assert np.array_equal(pixels[..., 3] == 255, crop) and set(np.unique(pixels[..., 3])) <= {0, 255}
        assert np.array_equal(pixels[crop][:, :3], image[window][crop])


def test_the_measures_are_those_of_regionprops_to_the_bit():
    random = np.random.default_rng(0)
    masks = random.random((60, 40, 50)) < random.random((60, 1, 1))
    masks[:30] = [cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3) > 0.5 for mask in masks[:30]]
    instances = instances_of(masks[masks.any(axis=(1, 2))])
    rows = measure(instances)
    for row, crop, (top, left) in zip(rows, instances.crops, instances.corners.tolist(), strict=True):
        (expected,) = regionprops(crop.astype(np.uint8))
        y, x = expected.centroid
        assert (row["area"], row["perimeter"]) == (expected.area, expected.perimeter)
        assert (row["centroid_y"], row["centroid_x"]) == (top + y, left + x)


def test_the_table_is_what_measure_says(found, written):
    rows = list(csv.DictReader(io.StringIO(written["photo.jpg.csv"].read_text())))
    assert list(rows[0]) == ["file", *COLUMNS]
    for row, expected in zip(rows, measure(found[1]), strict=True):
        assert row["file"] == "photo.jpg" and row.pop("category") == expected.pop("category")
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value, abs=0.005, rel=0)


def test_the_table_has_no_more_digits_than_a_person_reads(written):
    for row in csv.DictReader(io.StringIO(written["photo.jpg.csv"].read_text())):
        for name in ("x1", "y1", "x2", "y2", "perimeter", "centroid_x", "centroid_y"):
            assert re.fullmatch(r"\d+\.\d{1,2}", row[name])
        for name in ("score", "percent", "circularity"):
            assert re.fullmatch(r"\d+\.\d{1,4}", row[name])
        assert row["instance"].isdecimal() and row["area"].isdecimal()


# One number per instance


@pytest.fixture(scope="module")
def one_hidden(found):
    """All but instance 2, as a person hides it."""
    image, instances = found
    left = instances.without((2,))
    assert left.numbers.tolist() == [1, *range(3, len(instances) + 1)]
    return image, left


@pytest.fixture(scope="module")
def numbered(one_hidden):
    return contents(*one_hidden, "photo.jpg", tuple(FORMATS))


def test_every_file_has_the_numbers_that_stand_in_the_picture(one_hidden, numbered, monkeypatch):
    """Tags, legend, pixels, file names, CSV, GeoJSON and COCO: the same number, the same mask."""
    image, instances = one_hidden
    tags = []
    monkeypatch.setattr(overlay, "paste_tags", lambda drawn, new, *_, **__: tags.extend(new))
    draw_instances(image, instances)
    masks = dict(zip(instances.numbers.tolist(), instances.masks, strict=True))
    named = {int(tag.text.split()[0]): tag.text.split()[1] for tag in tags}
    assert list(named) == list(masks) and 2 not in named
    shown = np.asarray(Image.open(io.BytesIO(numbered[".instances.png"])))
    legend = json.loads(numbered[".instances.json"])["values"]
    assert {entry["value"]: entry["category"] for entry in legend} == named
    assert set(np.unique(shown)) == {0, *named}
    for number in masks:
        assert masks[number][shown == number].all()
        mask = np.asarray(Image.open(io.BytesIO(numbered[f".mask-{number:03d}.png"])))
        assert np.array_equal(mask > 0, masks[number])
        cut = np.asarray(Image.open(io.BytesIO(numbered[f".cut-out-{number:03d}.png"])))
        assert np.count_nonzero(cut[..., 3]) == masks[number].sum()
    assert sum(name.startswith((".mask-", ".cut-out-")) for name in numbered) == 2 * len(masks)
    table = list(csv.DictReader(io.StringIO(numbered[".csv"].decode())))
    assert list(table[0])[:2] == ["file", "instance"]
    assert {int(row["instance"]): row["category"] for row in table} == named
    assert {int(row["instance"]): int(row["area"]) for row in table} == {
        number: mask.sum() for number, mask in masks.items()
    }
    for feature in json.loads(numbered[".geojson"])["features"]:
        own = masks[feature["properties"]["instance"]]
        assert np.array_equal(drawn(feature["geometry"]["coordinates"], own.shape), own)
    for ending in (".coco.json", ".coco-polygons.json"):
        rows = json.loads(numbered[ending])["annotations"]
        assert [row["id"] for row in rows] == list(range(1, len(masks) + 1))
        assert {row["instance"]: row["area"] for row in rows} == {n: m.sum() for n, m in masks.items()}


def test_a_label_map_has_a_number_s_own_value_and_its_colour_in_the_picture(one_hidden, numbered):
    """So that it can be looked at; as PASCAL VOC's own label maps."""
    _, instances = one_hidden
    label_map = Image.open(io.BytesIO(numbered[".instances.png"]))
    values, colors = np.asarray(label_map), np.asarray(label_map.convert("RGB"))
    assert label_map.mode == "P" and np.array_equal(values, instance_map(instances))
    assert not colors[values == 0].any()
    for number, color in zip(instances.numbers, instance_colors(instances), strict=True):
        assert (colors[values == number] == color).all()
    classes = Image.open(io.BytesIO(numbered[".categories.png"]))
    values, colors = np.asarray(classes), np.asarray(classes.convert("RGB"))
    assert np.array_equal(values, semantic_map(instances))
    for label in set(instances.labels.tolist()):
        assert (colors[values == label] == category_color(label)).all()


@pytest.mark.filterwarnings("ignore:.*TorchVision are deprecated")
def test_pillow_and_torchvision_read_a_label_map_s_values_and_opencv_its_colours(written):
    """As the docstring of `label_map_png` says."""
    path = written["photo.jpg.instances.png"]
    values, colors = np.asarray(Image.open(path)), np.asarray(Image.open(path).convert("RGB"))
    assert np.array_equal(read_image(str(path))[0].numpy(), values)
    assert np.array_equal(skimage.io.imread(path), colors)
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1], colors)


@pytest.mark.filterwarnings("ignore:.*TorchVision are deprecated")
def test_every_program_reads_the_values_of_a_map_of_more_than_255(tmp_path):
    found = replace(instances_of([rectangle(1, 1, 30, 30)]), indices=np.array([999]))
    (path, _) = export(blank(), found, tmp_path, "many", ["instances"])
    for values in (
        np.asarray(Image.open(path)),
        read_image(str(path))[0].numpy(),
        skimage.io.imread(path),
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED),
    ):
        assert set(np.unique(values).tolist()) == {0, 1000}


def test_a_number_too_high_for_16_bits_is_refused():
    found = replace(instances_of([rectangle(1, 1, 30, 30)]), indices=np.array([65_535]))
    with pytest.raises(ValueError, match="numbers up to 65,535, got instance 65536"):
        instance_map(found)


# Polygons and COCO


def test_polygons_drawn_by_pycocotools_are_the_masks(found, written):
    _, instances = found
    features = json.loads(written["photo.jpg.geojson"].read_text())["features"]
    assert [feature["properties"]["category"] for feature in features] == list(instances.names)
    for feature, mask in zip(features, instances.masks, strict=True):
        assert feature["geometry"]["type"] == "MultiPolygon"
        assert np.array_equal(drawn(feature["geometry"]["coordinates"], mask.shape), mask)


def drawn(multipolygon, size):
    """By pycocotools: the outer rings minus the holes."""
    picture = np.zeros(size, int)
    for outer, *holes in multipolygon:
        for sign, rings in ((1, [outer]), (-1, holes)):
            for ring in rings:
                assert ring[0] == ring[-1]
                (rle,) = coco_mask.frPyObjects([np.array(ring[:-1], float).ravel().tolist()], *size)
                picture += sign * coco_mask.decode(rle).astype(int)
    assert picture.min() >= 0 and picture.max() <= 1
    return picture.astype(bool)


def test_pycocotools_reads_the_same_areas_boxes_and_masks(found, written):
    _, instances = found
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(written["photo.jpg.coco.json"]))
    assert {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())} == dict(
        enumerate(instances.categories[1:], 1)
    )
    (image,) = coco.loadImgs(coco.getImgIds())
    assert (image["height"], image["width"], image["file_name"]) == (*instances.image_size, "photo.jpg")
    rows = coco.loadAnns(coco.getAnnIds())
    assert [row["id"] for row in rows] == list(range(1, len(instances) + 1))
    for index, row in enumerate(rows):
        assert np.array_equal(coco.annToMask(row).astype(bool), instances.masks[index])
        assert row["area"] == instances.areas[index] == coco_mask.area(coco.annToRLE(row))
        x1, y1, x2, y2 = instances.boxes[index].tolist()
        assert row["bbox"] == [x1, y1, x2 - x1, y2 - y1]
        assert row["score"] == float(instances.scores[index])
        assert coco.cats[row["category_id"]]["name"] == instances.names[index]


def test_polygons_in_cocos_format_are_the_masks_exactly(found, written):
    _, instances = found
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(written["photo.jpg.coco-polygons.json"]))
    for index, row in enumerate(coco.loadAnns(coco.getAnnIds())):
        assert isinstance(row["segmentation"], list)
        assert np.array_equal(coco.annToMask(row).astype(bool), instances.masks[index])
        assert row["area"] == instances.areas[index]


def test_cocos_polygons_have_no_holes_and_cover_the_same_pixels(tmp_path):
    ring, island = rectangle(10, 10, 50, 60), rectangle(25, 25, 30, 30)
    ring &= ~rectangle(20, 20, 40, 50)
    found = instances_of([ring | island])
    (path,) = export(blank(), found, tmp_path, "ring.png", ["coco_polygons"])
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    (row,) = coco.loadAnns(coco.getAnnIds())
    assert np.array_equal(coco.annToMask(row).astype(bool), ring | island)
    parts = [shapely.Polygon(np.reshape(part, (-1, 2))) for part in row["segmentation"]]
    assert all(part.is_valid for part in parts)
    assert sum(part.area for part in parts) == row["area"] == (ring | island).sum()


@pytest.mark.parametrize("file", ["photo.jpg.coco.json", "photo.jpg.coco-polygons.json"])
def test_pycocotools_takes_a_coco_file_whole_as_a_list_and_as_a_list_in_a_file(written, tmp_path, file):
    content = json.loads(written[file].read_text())
    assert content["info"]["description"] and content["licenses"] == []
    (tmp_path / "results.json").write_text(json.dumps(content["annotations"]))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        coco = COCO(str(written[file]))
        coco.info()
        for results in (copy.deepcopy(content["annotations"]), str(tmp_path / "results.json")):
            loaded = coco.loadRes(results)
            assert len(loaded.anns) == len(content["annotations"])
            for number, row in loaded.anns.items():
                assert np.array_equal(loaded.annToMask(row), coco.annToMask(coco.anns[number]))
    assert "written by maskseg_nb" in said.getvalue()


def test_an_export_evaluated_against_itself_has_an_average_precision_of_one(written):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(written["photo.jpg.coco.json"]))
        for kind in ("segm", "bbox"):
            program = COCOeval(coco, coco.loadRes(coco.loadAnns(coco.getAnnIds())), kind)
            program.evaluate()
            program.accumulate()
            program.summarize()
            assert program.stats[0] == pytest.approx(1, abs=1e-12)


def test_it_comes_back_as_a_dataset_of_this_package_and_of_supervision(found, tmp_path):
    image, instances = found
    (tmp_path / "images").mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "photo.png")
    (tmp_path / "instances.json").write_bytes(contents(image, instances, "photo.png", ["coco"])[".coco.json"])
    own = CocoDataset(tmp_path / "images", tmp_path / "instances.json")
    read, truth = own[0]
    assert np.array_equal(read, image) and np.array_equal(truth.masks, instances.masks)
    other = supervision.DetectionDataset.from_coco(
        str(tmp_path / "images"), str(tmp_path / "instances.json"), force_masks=True
    )
    assert other.classes == list(instances.categories[1:])
    (_, pixels, detections) = next(iter(other))
    assert np.array_equal(pixels[..., ::-1], image)
    assert np.array_equal(detections.mask, instances.masks)
    np.testing.assert_allclose(detections.xyxy, instances.boxes, atol=1e-3)
    assert [other.classes[label] for label in detections.class_id] == list(instances.names)


@pytest.mark.slow
def test_a_model_evaluated_on_its_own_export_has_an_average_precision_of_one(found, tmp_path):
    """Its own detections as the ground truth: all of them are right."""
    image, _ = found
    model = load_model("street")
    from maskseg_nb import predict, preprocess

    tensor, _ = preprocess(image, size=image.shape[:2])
    everything = predict(model, tensor).select(score_threshold=0.0)
    (tmp_path / "images").mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "photo.png")
    (tmp_path / "instances.json").write_bytes(
        contents(image, everything, "photo.png", ["coco"])[".coco.json"]
    )
    dataset = CocoDataset(tmp_path / "images", tmp_path / "instances.json")
    assert evaluate(model, dataset, progress=False).masks["AP"] == pytest.approx(1, abs=1e-12)


# Label maps


def test_the_overlap_rule_decides_which_is_on_top():
    large, small = rectangle(10, 10, 50, 60), rectangle(20, 20, 30, 30)
    found = instances_of([small, large], labels=[1, 2])  # the small one has the higher score
    both = small & large
    assert set(instance_map(found, "surest")[both]) == {1}
    assert set(instance_map(found, "smallest")[both]) == {1}
    assert set(instance_map(found, "largest")[both]) == {2}
    found = instances_of([large, small], labels=[2, 1])
    assert set(semantic_map(found, "surest")[both]) == {2}
    assert set(semantic_map(found, "smallest")[both]) == {1}
    assert set(OVERLAPS) == {"surest", "smallest", "largest"}


def test_more_than_255_instances_take_16_bits(tmp_path):
    masks = [rectangle(row, column, row + 1, column + 2) for row in range(10) for column in range(0, 60, 2)]
    found = instances_of(masks)
    (path, _) = export(blank(), found, tmp_path, "many", ["instances"])
    shown = np.asarray(Image.open(path))
    assert shown.max() == 300 and np.array_equal(shown, instance_map(found))
    assert instance_map(found).dtype == np.uint16


# Measures


def test_a_disc_is_round_and_a_bar_is_not():
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    disc = (y - 30) ** 2 + (x - 40) ** 2 <= 20**2
    bar = rectangle(2, 3, 5, 73)
    round_one, long_one = measure(instances_of([disc, bar]))
    assert round_one["circularity"] == pytest.approx(1, abs=0.1)
    assert round_one["perimeter"] == pytest.approx(2 * math.pi * 20, rel=0.05)
    assert (round_one["centroid_x"], round_one["centroid_y"]) == (40, 30)
    assert long_one["circularity"] < 0.2
    assert (long_one["centroid_x"], long_one["centroid_y"]) == (37.5, 3)
    assert (long_one["area"], long_one["percent"]) == (210, 100 * 210 / (60 * 80))


def test_an_empty_mask_has_no_centre():
    (row,) = measure(without_pixels(instances_of([rectangle(1, 1, 3, 3)]), 0))
    assert row["area"] == 0 and row["centroid_x"] is row["circularity"] is None


def without_pixels(instances, index, shape=(4, 5)):
    crops = [np.zeros(shape, bool) if row == index else crop for row, crop in enumerate(instances.crops)]
    return replace(instances, crops=tuple(crops))


@pytest.mark.parametrize("shape", [(0, 0), (4, 5)])
def test_an_instance_without_a_pixel_is_in_no_file(shape):
    masks = [rectangle(1, 1, 30, 30), rectangle(5, 40, 9, 50), rectangle(40, 40, 50, 50)]
    found = instances_of(masks, labels=[1, 2, 1])
    files = contents(blank(), without_pixels(found, 1, shape), "photo.jpg", tuple(FORMATS))
    seen = replace(instances_of([masks[0], masks[2]], scores=[0.9, 0.6]), indices=np.array([0, 2]))
    others = contents(blank(), seen, "photo.jpg", tuple(FORMATS))
    assert files == others
    assert [name for name in files if "mask" in name] == [".mask-001.png", ".mask-003.png"]
    assert len(json.loads(files[".coco.json"])["annotations"]) == 2
    assert len(json.loads(files[".geojson"])["features"]) == 2
    assert files[".csv"].count(b"\n") == 3


def test_a_folder_has_no_entry_without_a_pixel_either(tmp_path):
    """At a mask threshold of 1 no pixel is left of anything."""
    formats = ["masks", "coco", "coco_polygons", "csv"]
    segment_pictures(
        [sample_photo("restaurant")],
        tmp_path / "out",
        "street",
        mask_threshold=1.0,
        formats=formats,
        progress=False,
    )
    assert not list((tmp_path / "out").glob("*mask*"))
    for name in ("coco.json", "coco-polygons.json"):
        content = json.loads((tmp_path / "out" / name).read_text())
        assert content["annotations"] == [] and len(content["images"]) == 1 and content["info"]
    assert (tmp_path / "out" / "instances.csv").read_text().count("\n") == 1


def test_an_instance_under_others_is_not_in_the_legend():
    large, small = rectangle(10, 10, 50, 60), rectangle(20, 20, 30, 30)
    legend = json.loads(
        contents(blank(), instances_of([large, small]), "photo.jpg", ["instances"])[".instances.json"]
    )
    assert [entry["value"] for entry in legend["values"]] == [1]


# COCO's own


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(masks=st.lists(arrays(bool, (9, 12)), max_size=4))
def test_the_reader_of_this_package_reads_all_that_is_written(tmp_path_factory, masks):
    folder = tmp_path_factory.mktemp("any")
    image = np.zeros((9, 12, 3), np.uint8)
    Image.fromarray(image).save(folder / "photo.png")
    everything = replace(
        instances_of([np.ones((9, 12), bool)] * len(masks)), crops=tuple(masks), image_size=(9, 12)
    )
    left = [mask for mask in masks if mask.any()]
    for kind in ("coco", "coco_polygons"):
        (path,) = export(image, everything, folder, "photo.png", [kind])
        for row in json.loads(path.read_text())["annotations"]:
            for part in row["segmentation"] if kind == "coco_polygons" else ():
                points = list(zip(part[::2], part[1::2], strict=True))
                assert len(points) == len(set(points)) >= 4
        truth = CocoDataset(folder, path)[0][1]
        assert np.array_equal(truth.masks, np.array(left, bool).reshape(-1, 9, 12))
        assert truth.areas.tolist() == [mask.sum() for mask in left]


def test_the_categories_without_a_name_in_cocos_own_models_are_not_written():
    names = ("__background__", "cat", "N/A", "dog", "N/A")
    found = replace(instances_of([rectangle(1, 1, 5, 5)]), categories=names, labels=np.array([3]))
    written = json.loads(contents(blank(), found, "photo.jpg", ["coco"])[".coco.json"])
    assert written["categories"] == [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}]
    found = replace(found, labels=np.array([4]))
    written = json.loads(contents(blank(), found, "photo.jpg", ["coco"])[".coco.json"])
    assert [row["id"] for row in written["categories"]] == [1, 3, 4]  # a number that is used has its name


# Names and faults


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.jpg", "photo.jpg"),
        ("a/b\\c:d*e", "a_b_c_d_e"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("", "picture"),
        ("...", "picture"),
        ("new\nline\x00", "new_line_"),
        ("x" * 300, "x" * 50),
        ("😀" * 60, "_" * 50),
        ("\udcff.png", "_.png"),
        (".hidden", "hidden"),
    ],
)
def test_a_name_becomes_a_plain_file_name(name, expected, tmp_path):
    assert safe_name(name) == expected
    found = instances_of([rectangle(1, 1, 3, 3)])
    (path,) = export(blank(), found, tmp_path, name, ["csv"])
    assert path.parent == tmp_path and path.name == f"{expected}.csv"


def test_nothing_is_overwritten_unless_asked_for(tmp_path):
    image, found = blank(), instances_of([rectangle(1, 1, 3, 3)])
    (tmp_path / "photo.csv").write_text("mine")
    with pytest.raises(MasksegError, match="photo.csv' exists already; give another name, or overwrite=True"):
        export(image, found, tmp_path, "photo", ["overlay", "csv"])
    assert [path.name for path in tmp_path.iterdir()] == ["photo.csv"]  # not the overlay either
    export(image, found, tmp_path, "photo", ["csv"], overwrite=True)
    assert (tmp_path / "photo.csv").read_text().startswith("file,instance,category")


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MasksegError, match="cannot be written: .*; make room, or give another folder"):
        export(blank(), instances_of([rectangle(1, 1, 3, 3)]), tmp_path / "file", "photo")


def test_wrong_arguments_are_named():
    image, found = blank(), instances_of([rectangle(1, 1, 3, 3)])
    with pytest.raises(ValueError, match="formats must be among overlay, side_by_side, .*, got 'jpeg'"):
        contents(image, found, "photo", ["jpeg"])
    with pytest.raises(ValueError, match=r"got 'cutouts'; did you mean 'cut_outs'\?$"):
        contents(image, found, "photo", ["cutouts"])
    with pytest.raises(TypeError, match=r"such as \['csv'\], got a string"):
        contents(image, found, "photo", "csv")
    with pytest.raises(ValueError, match="overlap must be one of surest, smallest, largest, got 'first'"):
        contents(image, found, "photo", ["instances"], overlap="first")
    with pytest.raises(ValueError, match=r"\(3, 4\) and the instances are of \(60, 80\); prediction.to_size"):
        contents(np.zeros((3, 4, 3), np.uint8), found, "photo", ["csv"])
    with pytest.raises(TypeError, match="instances must be what"):
        contents(image, made_up(2), "photo", ["csv"])


def test_no_instances_still_give_whole_files(tmp_path):
    none = instances_of([])
    paths = export(blank(), none, tmp_path, "empty", tuple(FORMATS))
    names = {path.name for path in paths}
    assert {
        "empty.overlay.png",
        "empty.instances.png",
        "empty.coco.json",
        "empty.csv",
        "empty.geojson",
    } <= names
    assert (tmp_path / "empty.csv").read_text().count("\n") == 1
