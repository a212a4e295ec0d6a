"""What is written is read back by the package and by pycocotools, and must be the same."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from maskseg_nb.data.coco import CocoDataset
from maskseg_nb.data.coco_writer import coco_annotations, coco_categories, write_coco
from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.samples import voc_photograph
from maskseg_nb.data.shapes import ShapesDataset
from maskseg_nb.data.truth import Truth
from maskseg_nb.errors import DatasetError

CATEGORIES = ("__background__", "cat", "lamp")


def shapes(count=3):
    return ShapesDataset(count, seed=5, size=(48, 64))


def with_a_crowd():
    """A picture with a crowd, one without instances, and one of another size; stated areas and boxes."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in [(20, 30), (20, 30), (7, 5)]]
    masks = random.random((3, 20, 30)) < 0.3
    crowded = Truth(
        boxes=np.array([[1.5, 2, 9.25, 11], [0, 0, 30, 20], [4, 4, 5, 6]]),
        labels=np.array([2, 1, 2]),
        masks=masks,
        crowd=np.array([False, True, False]),
        areas=np.array([63.5, 500, 2]),
        ids=np.array([44, 2, 17]),
        categories=CATEGORIES,
        image_id=900,
    )
    empty = Truth.from_masks(np.zeros((0, 20, 30), bool), [], CATEGORIES, image_id=30)
    small = Truth.from_masks(np.ones((1, 7, 5), bool), [1], CATEGORIES, image_id=31)
    return PictureList(list(zip(images, [crowded, empty, small], strict=True)))


class Breaking:
    """Two pictures, then an error."""

    categories = ShapesDataset.categories

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            raise self.error
        return shapes()[index]


# There and back


@pytest.mark.parametrize("make", [shapes, voc_photograph, with_a_crowd])
def test_what_is_written_is_read_back_to_the_bit(make, tmp_path):
    dataset = make()
    stored = write_coco(dataset, tmp_path / "new", progress=False)
    assert isinstance(stored, CocoDataset)
    assert len(stored) == len(dataset)
    assert stored.categories == dataset.categories
    number = 1
    for (image, truth), (read, told) in zip(dataset, stored, strict=True):
        assert read.dtype == np.uint8 and np.array_equal(read, image)
        for name in ("boxes", "labels", "masks", "crowd", "areas"):
            expected, found = getattr(truth, name), getattr(told, name)
            assert found.dtype == expected.dtype and np.array_equal(found, expected), name
        assert told.image_id == truth.image_id
        assert told.ids.tolist() == list(range(number, number + len(truth)))
        number += len(truth)
    assert number > 1


def test_pycocotools_reads_what_is_written(tmp_path):
    dataset = with_a_crowd()
    write_coco(dataset, tmp_path / "new", progress=False)
    coco = COCO(tmp_path / "new" / "instances.json")
    assert coco.getImgIds() == [900, 30, 31]
    assert [coco.imgs[number]["file_name"] for number in coco.getImgIds()] == [
        "000000.png",
        "000001.png",
        "000002.png",
    ]
    assert [(cat["id"], cat["name"]) for cat in coco.loadCats(coco.getCatIds())] == [(1, "cat"), (2, "lamp")]
    for _, truth in dataset:
        entries = coco.loadAnns(coco.getAnnIds(truth.image_id))
        assert [entry["category_id"] for entry in entries] == truth.labels.tolist()
        assert [entry["iscrowd"] for entry in entries] == truth.crowd.tolist()
        for entry, mask in zip(entries, truth.masks, strict=True):
            assert np.array_equal(coco.annToMask(entry), mask)
    assert coco.getAnnIds(iscrowd=True) == [2]


def test_the_folder_holds_pictures_and_one_file_and_nothing_else(tmp_path):
    write_coco(shapes(), str(tmp_path / "new"), progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    found = sorted(str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*.*"))
    assert found == ["images/000000.png", "images/000001.png", "images/000002.png", "instances.json"]
    content = json.loads((tmp_path / "new" / "instances.json").read_text())
    assert set(content) == {"info", "licenses", "images", "annotations", "categories"}
    assert content["info"]["description"].endswith("written by maskseg_nb")


def test_who_may_open_the_folder_is_the_users_own_setting(tmp_path):
    before = os.umask(0o027)
    try:
        write_coco(shapes(1), tmp_path / "new", progress=False)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750


def test_progress_is_shown_unless_it_is_not_wanted(tmp_path, capsys):
    write_coco(shapes(1), tmp_path / "silent", progress=False)
    assert capsys.readouterr().err == ""
    write_coco(shapes(1), tmp_path / "loud")
    assert "Writing" in capsys.readouterr().err


def test_entries_are_cocos():
    truth = with_a_crowd()[0][1]
    entries = json.loads(json.dumps(list(coco_annotations(truth))))
    assert [entry["bbox"] for entry in entries] == [[1.5, 2, 7.75, 9], [0, 0, 30, 20], [4, 4, 1, 2]]
    assert [entry["area"] for entry in entries] == [63.5, 500, 2]
    assert [entry["iscrowd"] for entry in entries] == [0, 1, 0]
    assert all(entry["segmentation"]["size"] == [20, 30] for entry in entries)
    assert coco_categories(CATEGORIES) == [{"id": 1, "name": "cat"}, {"id": 2, "name": "lamp"}]


def test_an_annotation_without_a_pixel_is_left_out_with_a_warning(tmp_path):
    image, truth = with_a_crowd()[0]
    truth.masks[1] = False
    with pytest.warns(UserWarning, match="left out 1 annotations without a pixel in their mask"):
        stored = write_coco(PictureList([(image, truth)]), tmp_path / "new", progress=False)
    assert stored.truth(0).labels.tolist() == [2, 2] and stored.truth(0).masks.any(axis=(1, 2)).all()


def test_pictures_of_one_number_get_numbers_of_their_own(tmp_path):
    """Truth.from_masks numbers every picture 0."""
    pairs = [shapes()[index] for index in range(3)]
    pairs = [
        (image, replace(truth, image_id=number))
        for (image, truth), number in zip(pairs, (0, 0, 1), strict=True)
    ]
    stored = write_coco(PictureList(pairs), tmp_path / "new", progress=False)
    assert stored.image_ids == (0, 1, 2)
    for (_, truth), (_, told) in zip(pairs, stored, strict=True):
        assert np.array_equal(truth.masks, told.masks)


# What is refused, and what stays behind


@pytest.mark.parametrize("name", ["x" * 101, "a\tb", "", "lamp"])
def test_category_names_that_would_not_be_read_again_are_refused(name, tmp_path):
    truth = Truth.from_masks(np.ones((1, 7, 5), bool), [1], ("__background__", name, "lamp"))
    with pytest.raises(DatasetError, match="the dataset's categories must have"):
        write_coco(PictureList([(np.zeros((7, 5, 3), np.uint8), truth)]), tmp_path / "out", progress=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file"])
def test_what_exists_already_is_refused_and_left_alone(kind, tmp_path):
    target = tmp_path / "old"
    if kind == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        if kind == "folder":
            (target / "instances.json").write_text("mine")
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DatasetError, match="old' exists already; give a new folder"):
        write_coco(shapes(), target, progress=False)
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), DatasetError("bad picture")])
def test_an_error_in_the_middle_comes_through_and_leaves_nothing_behind(error, tmp_path):
    with pytest.raises(type(error)) as caught:
        write_coco(Breaking(error), tmp_path / "new", progress=False)
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["write_bytes", "write_text", "rename"])
def test_a_full_disk_is_a_dataset_error_and_leaves_nothing_behind(method, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, method, full)
    with pytest.raises(DatasetError, match="new' cannot be written: No space left on device") as caught:
        write_coco(shapes(), tmp_path / "new", progress=False)
    assert len(str(caught.value)) <= 300
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_at_the_place_until_all_is_written(tmp_path):
    class Watching:
        categories = ShapesDataset.categories

        def __len__(self):
            return 2

        def __getitem__(self, index):
            seen.append((tmp_path / "new").exists())
            return shapes()[index]

    seen = []
    write_coco(Watching(), tmp_path / "new", progress=False)
    assert seen == [False, False]
    assert (tmp_path / "new").exists()


def test_a_folder_whose_parent_is_missing_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="new' cannot be written: No such file or directory"):
        write_coco(shapes(), tmp_path / "none" / "new", progress=False)
    assert list(tmp_path.iterdir()) == []
