"""The recipe of `small`, a few steps of it, on a folder of shapes that is labelled in part."""

import json
import runpy
import sys

import numpy as np
import pytest
import torch

from maskseg_nb import ShapesDataset, load_model, write_coco
from maskseg_nb.data.checked_dataset import CheckedDataset
from maskseg_nb.data.datasets import Part
from maskseg_nb.errors import DatasetError
from maskseg_nb.training import small_recipe
from maskseg_nb.training.partial_labels import PartialCoco
from maskseg_nb.training.small_recipe import PHASES, main, numbered, opened, shares

STEPS = ("--steps", "1", "1", "1", "1")
SMALL = {
    "input_size": (96, 128),
    "sizes": ((64, 96),),
    "batch_size": 1,
    "rois": 8,
    "mask_rois": 4,
    "warm_up": 0,
}


@pytest.fixture
def folder(tmp_path):
    """Six pictures; circles are people, squares cars, and the first has cars that nobody has outlined."""
    write_coco(ShapesDataset(6, size=(96, 128)), tmp_path / "data", progress=False)
    path = tmp_path / "data" / "instances.json"
    content = json.loads(path.read_text())
    for row, name in zip(content["categories"], ("person", "car", "triangle", "star"), strict=True):
        row |= {"name": name, "supercategory": "animal" if name == "star" else "thing"}
    content["images"][0]["annotated"] = ["person"]
    path.write_text(json.dumps(content))
    ids = [row["id"] for row in content["images"][-2:]]
    (tmp_path / "held_out.txt").write_text("\n".join(map(str, ids)))
    return tmp_path / "data"


def rewrite(folder, change):
    path = folder / "instances.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def arguments(folder, tmp_path, monkeypatch):
    phases = tuple(small_recipe.replace(phase, **SMALL) for phase in PHASES)
    for name, phase in zip(("FIRST", "SECOND", "THIRD", "FOURTH"), phases, strict=True):
        monkeypatch.setattr(small_recipe, name, phase)
    monkeypatch.setattr(small_recipe, "PHASES", phases)
    held_out = ("--held-out", str(tmp_path / "held_out.txt"))
    return ["small", "--data", str(folder), "--out", str(tmp_path / "out"), *held_out, "--device", "cpu"]


@pytest.mark.slow
def test_it_trains_in_phases_folds_calibrates_and_says_how_good_it_is(arguments, tmp_path, capsys):
    assert main([*arguments, *STEPS]) == 0
    out = capsys.readouterr().out
    assert "out/model.safetensors" in out and "\nperson" in out and "\nall, mean AP50" in out
    last, phase = (load_model(tmp_path / "out" / name / "model.safetensors") for name in (".", "phase4"))
    assert phase.categories == ("__background__", "person", "car", "other thing", "other animal")
    assert last.categories == ("__background__", "person", "car")
    assert (last.transform.min_size, last.transform.max_size) == ((96,), 128)
    boxes = [model.roi_heads.box_predictor.bbox_pred.weight for model in (last, phase)]
    assert torch.equal(boxes[0], boxes[1][: len(boxes[0])])
    for number in (1, 2, 3, 4):
        card = (tmp_path / "out" / f"phase{number}" / "model.md").read_text()
        assert "4 pictures" in card and f"Phase {number} of 4, begun from street." in card


@pytest.mark.slow
def test_when_its_minutes_are_over_it_ends_and_resumes_to_the_same_weights(arguments, tmp_path, capsys):
    assert main([*arguments, *STEPS]) == 0
    whole = (tmp_path / "out" / "model.safetensors").read_bytes()
    other = [word.replace("/out", "/other") for word in arguments]
    steps = ("--steps", "2", "1", "1", "1")
    assert main([*other, *steps, "--minutes", "0"]) == 0
    assert "over after step 1 of 2" in capsys.readouterr().out
    assert not (tmp_path / "other" / "model.safetensors").exists()
    assert main([*other, *steps]) == 0
    third = [word.replace("/out", "/third") for word in arguments]
    assert main([*third, *steps]) == 0
    again = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("other", "third")]
    assert again[0] == again[1] != whole


def test_file_names_may_be_relative_to_the_folder_or_its_parent(folder):
    for before in ("images/", "data/images/"):
        rewrite(
            folder,
            lambda content, before=before: [
                row.update(file_name=before + row["file_name"].rsplit("/")[-1]) for row in content["images"]
            ],
        )
        assert len(opened(folder, None)) == 6


def test_categories_with_few_objects_are_grouped_by_their_supercategory(folder):
    assert opened(folder, None).categories == (
        "__background__", "person", "car", "other thing", "other animal",
    )  # fmt: skip
    rewrite(folder, lambda content: content["categories"][2].pop("supercategory"))
    assert opened(folder, None).categories[3:] == ("triangle", "other animal")


def test_data_without_anything_to_tell_is_refused_before_the_training(folder):
    rewrite(folder, lambda content: [row.pop("annotated", None) for row in content["images"]])
    rewrite(folder, lambda content: [row.update(name=f"x{row['id']}") for row in content["categories"]])
    with pytest.raises(DatasetError, match="has none of person, bicycle"):
        opened(folder, None)


def test_the_validation_set_is_never_learned_from(arguments, tmp_path, monkeypatch):
    seen = []

    def stop(model, pictures, *rest, **options):
        seen.extend(truth.image_id for _, truth in pictures)
        raise ValueError("enough")

    monkeypatch.setattr(small_recipe, "train", stop)
    assert main(arguments) == 1
    held_out = {int(line) for line in (tmp_path / "held_out.txt").read_text().split()}
    assert len(seen) == 4 and not held_out & set(seen)


def test_in_the_last_phase_complete_pictures_and_vehicles_are_drawn_more_often(folder):
    rewrite(folder, lambda content: content["images"][1].update(annotated=["person", "car"]))
    rewrite(folder, lambda content: content["images"][2].update(annotated=["car"], positives_only=["person"]))
    dataset = opened(folder, None)
    learned = Part(dataset, [4, 0, 1, 2])
    has_car = [2 in dataset.truth(index).labels for index in learned.indices]
    expected = np.array([3.0, 1.0, 2.5, 0.6]) * np.where(has_car, 1.3, 1.0)
    assert set(has_car) == {True, False}
    assert shares(dataset, learned, CheckedDataset.of(learned, progress=False)).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: (path / "held_out.txt").write_text("77"), "must hold ids of the dataset's images"),
        (lambda path: (path / "held_out.txt").write_text("x"), "must hold ids of the dataset's images"),
        (lambda path: (path / "held_out.txt").unlink(), "held_out.txt' cannot be opened"),
        (lambda path: (path / "data" / "instances.json").write_text("{"), "is not JSON"),
        (lambda path: (path / "data" / "instances.json").unlink(), "does not exist"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_1(arguments, tmp_path, capsys, change, said):
    change(tmp_path)
    assert main([*arguments, *STEPS]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("error: ") and said in err[-1]


def test_an_unknown_category_is_said_before_anything_is_written(arguments, folder, tmp_path, capsys):
    rewrite(folder, lambda content: content["images"][2].update(annotated=["unicorn"]))
    assert main(arguments) == 1
    assert "names the unknown category 'unicorn'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pictures_are_chosen_by_their_image_ids_in_the_order_of_the_file(folder, tmp_path):
    dataset = PartialCoco(folder / "images", folder / "instances.json")
    (tmp_path / "ids.txt").write_text(f"{dataset.image_ids[3]}\n{dataset.image_ids[1]}\n")
    assert numbered(dataset, tmp_path / "ids.txt") == [3, 1]


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "usage: .* street|small --data FOLDER"), (["large"], "usage: "), (["small", "--help"], "0")],
)
def test_the_command_knows_both_recipes(monkeypatch, capsys, words, said):
    monkeypatch.setattr(sys, "argv", ["training", *words])
    with pytest.raises(SystemExit, match=said):
        runpy.run_module("maskseg_nb.training", run_name="__main__")
    assert not words[1:] or "--guesses" in capsys.readouterr().out


def test_every_phase_learns_at_the_same_input_size():
    assert {phase.input_size for phase in PHASES} == {(576, 936)}
