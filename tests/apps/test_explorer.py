"""The explorer as its users drive it: controls, errors, code that reproduces the picture, threads."""

import csv
import datetime
import io
import json
import os
import threading
from functools import partial

import cv2
import numpy as np
import pytest
import shapely
from PIL import Image

from maskseg_nb import (
    CocoDataset,
    Explorer,
    ImageError,
    draw_instances,
    draw_semantic_map,
    load_image,
    load_model,
    overlay_segmentation_mask,
    sample_photo,
    semantic_map,
)
from maskseg_nb.apps.explorer.state import STYLES
from maskseg_nb.apps.runner import INPUT_SIZES
from maskseg_nb.results.formats import FORMATS
from maskseg_nb.results.label_maps import instance_map


@pytest.fixture
def explorer(tmp_path, street, prediction, monkeypatch):
    """The app for the restaurant; its first run is the one that other tests have, too."""
    with monkeypatch.context() as patch:
        patch.setattr("maskseg_nb.apps.explorer.state.predict", lambda model, tensor: prediction)
        explorer = Explorer(tmp_path, street)
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((40, 60, 3), 90, np.uint8))
    explorer.chooser.refresh.click()
    return explorer


def upload(explorer, name, data):
    """What the front end's FileUpload sends."""
    file = {"name": name, "type": "image/png", "size": 3, "content": memoryview(data)}
    explorer.chooser.upload.value = ({**file, "last_modified": datetime.datetime.now()},)
    explorer.wait()


def sent(explorer):
    """The right panel as the browser decodes it, RGB."""
    return cv2.imdecode(np.frombuffer(explorer.canvas.right, np.uint8), cv2.IMREAD_COLOR_RGB)


@pytest.mark.slow
def test_a_control_moves_the_state_its_twin_and_the_picture(explorer):
    controls, before = explorer.controls, sent(explorer)
    for control, twin, setting, value in (
        (controls.score, controls.score_number, "score_threshold", 0.9),
        (controls.mask_number, controls.mask, "mask_threshold", 0.8),
        (controls.alpha, controls.alpha_number, "alpha", 0.8),
    ):
        control.value = value
        assert getattr(explorer.state, setting) == twin.value == value
        now = sent(explorer)
        assert (now != before).any()
        before = now


def test_the_state_moves_its_controls(explorer):
    explorer.state.alpha = 0.25
    explorer.state.style = "semantic map"
    assert explorer.controls.alpha.value == explorer.controls.alpha_number.value == 0.25
    assert explorer.controls.style.value == "semantic map"


def test_the_score_slider_begins_at_the_models_own_floor(tmp_path):
    model = load_model("street")
    model.roi_heads.score_thresh = 0.25
    assert Explorer(tmp_path, model).controls.score.min == 0.25


def test_hiding_and_showing_a_category_by_its_chip(explorer):
    shown = len(explorer.instances)
    explorer.state.score_threshold = 0.1  # low enough for something that is called otherwise
    names, chips = explorer.instances.names, explorer.controls.chips
    other, *_ = found = sorted(set(names), key="person".__eq__)
    assert found[-1] == "person" != other
    people = (explorer.prediction.labels == 1).sum()
    assert chips["person"].description == f"person: {names.count('person')} of {people}"
    chips[other].value = False
    assert set(explorer.instances.names) == set(found) - {other}
    chips[other].value = True
    assert set(explorer.instances.names) == set(found)
    explorer.state.hidden_categories = tuple(found)
    assert not any(chips[name].value for name in found) and len(explorer.instances) == 0
    explorer.binding.reset.click()
    assert chips["person"].value and len(explorer.instances) == shown


def test_the_table_and_the_status_agree_with_the_instances(explorer):
    explorer.state.score_threshold = 0.1
    rows = [row["cells"][:3] for row in explorer.table.rows]
    numbers = zip(
        explorer.instances.numbers, explorer.instances.names, explorer.instances.scores, strict=True
    )
    assert rows == [[str(number), name, f"{score:.2f}"] for number, name, score in numbers]
    shown, found = len(explorer.instances), len(explorer.prediction)
    assert f"<b>{shown} of {found}</b>" in explorer.status.value
    assert "street on cpu" in explorer.status.value


def test_nothing_above_the_threshold_is_said_on_the_picture(explorer):
    assert explorer.canvas.note == ""
    explorer.state.score_threshold = 1.0
    assert explorer.canvas.note == explorer.state.note() != ""
    assert (explorer.blended == explorer.image).all()  # the note is on the screen, not in the array


SQUASHED, PROPORTIONS_KEPT = INPUT_SIZES
slow = partial(pytest.param, marks=pytest.mark.slow)


# The code is put together from a picture, a size and a style: every style, and each picture at each size.
@pytest.mark.parametrize(
    ("picture", "input_size", "style"),
    [
        *(slow("restaurant (sample)", SQUASHED, style) for style in STYLES),
        ("gray.png", SQUASHED, "semantic map"),
        slow("restaurant (sample)", PROPORTIONS_KEPT, "colour and outline"),
        slow("gray.png", PROPORTIONS_KEPT, "white, as documented"),
    ],
)
def test_the_code_shown_gives_exactly_the_picture_on_screen(explorer, picture, input_size, style):
    state = explorer.state
    state.picture, state.input_size, state.style = picture, input_size, style
    state.score_threshold, state.mask_threshold, state.alpha = 0.21, 0.37, 0.64
    state.hidden_categories = ("car",)
    explorer.controls.show_code.value = True
    assert "load_model(&quot;street&quot;)" in explorer.code_shown.value
    namespace = {}
    exec(explorer.code(), namespace)  # no explorer in it: the code stands alone
    np.testing.assert_array_equal(namespace["image"], explorer.image)
    np.testing.assert_array_equal(namespace["blended"], explorer.blended)


@pytest.mark.slow
@pytest.mark.parametrize("input_size", INPUT_SIZES)
def test_the_code_for_an_upload_starts_from_the_explorers_image(explorer, input_size):
    upload(explorer, "mine.png", sample_photo("restaurant").read_bytes())
    explorer.state.input_size = input_size
    assert explorer.state.picture == "mine.png (upload)"
    namespace = {"explorer": explorer}
    exec(explorer.code(), namespace)
    np.testing.assert_array_equal(namespace["blended"], explorer.blended)


@pytest.mark.slow
def test_the_code_for_a_model_of_ones_own_starts_from_the_explorers_model(tmp_path):
    model = load_model("street")
    del model.name
    explorer = Explorer(tmp_path, model)
    namespace = {"explorer": explorer}
    exec(explorer.code(), namespace)
    np.testing.assert_array_equal(namespace["blended"], explorer.blended)


def test_a_fault_of_our_own_is_said_and_the_controls_come_back(explorer, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of <b>luck</b>")

    monkeypatch.setattr("maskseg_nb.apps.explorer.state.predict", fail)
    explorer.chooser.picture.value = "cat (sample)"
    explorer.wait()
    assert "unexpected RuntimeError: out of &lt;b&gt;luck" in explorer.message.value
    assert not explorer.controls.alpha.disabled
    assert explorer.chooser.picture.value == "restaurant (sample)"


@pytest.mark.slow
def test_the_controls_are_locked_while_the_network_runs(explorer):
    seen = []
    hook = explorer.model.backbone.register_forward_pre_hook(
        lambda *_: seen.append((explorer.controls.alpha.disabled, explorer.canvas.busy))
    )
    explorer.chooser.picture.value = "cat (sample)"
    explorer.wait()
    hook.remove()
    assert seen == [(True, "Running the network: Features")]
    assert not explorer.controls.alpha.disabled and explorer.canvas.busy == ""


def hold_up(model):
    """Let the model's next run wait in its pyramid: (has come there, may go on, the hook)."""
    reached, opened = threading.Event(), threading.Event()
    hook = model.backbone.fpn.register_forward_pre_hook(
        lambda *_: (reached.set(), opened.wait(300))[:0] or None
    )
    return reached, opened, hook


def test_what_is_no_other_choice_does_not_cancel_the_one_that_runs(explorer):
    reached, opened, hook = hold_up(explorer.model)
    explorer.chooser.picture.value = "cat (sample)"
    assert reached.wait(300)
    explorer.act(setattr, explorer.state, "hidden_categories", ("car",))  # as a chip does, which stays open
    opened.set()
    explorer.wait()
    hook.remove()
    assert explorer.state.picture == explorer.chooser.picture.value == "cat (sample)"
    assert explorer.state.runner.ran[0] == "cat (sample)" and explorer.state.hidden_categories == ("car",)


def test_cancel_goes_back_to_the_picture_on_screen_and_says_so(explorer):
    before, (reached, opened, hook) = sent(explorer), hold_up(explorer.model)
    explorer.chooser.picture.value = "cat (sample)"
    assert reached.wait(300)
    explorer.state.cancel()
    opened.set()
    explorer.wait()
    hook.remove()
    assert "Cancelled" in explorer.message.value and explorer.canvas.busy == ""
    assert explorer.state.picture == explorer.chooser.picture.value == "restaurant (sample)"
    assert (sent(explorer) == before).all()


def test_a_person_in_one_thread_makes_nobody_of_another(explorer):
    """A choice in code is on screen at once, whatever a control's callback did meanwhile elsewhere."""
    inside, leave = threading.Event(), threading.Event()
    callback = threading.Thread(target=explorer.act, args=(lambda: (inside.set(), leave.wait(300)),))
    explorer.act(lambda: (callback.start(), inside.wait(300)))  # begins earlier, and ends earlier
    leave.set()
    callback.join()
    explorer.state.picture = "gray.png"
    assert explorer.image.shape == (40, 60, 3)  # no wait()


def test_a_model_of_another_dtype_is_refused_while_it_is_watched(tmp_path):
    explorer = Explorer(tmp_path, load_model("street"))
    explorer.model.half()
    explorer.state.picture = "cat (sample)"
    assert "model must have float32 weights" in explorer.message.value


@pytest.mark.slow
def test_refresh_finds_a_new_picture_and_survives_a_lost_one(explorer, tmp_path):
    (tmp_path / "gray.png").rename(tmp_path / "new.png")
    explorer.chooser.refresh.click()
    assert "new.png" in explorer.chooser.picture.options
    explorer.chooser.picture.value = "new.png"
    explorer.wait()
    (tmp_path / "new.png").unlink()
    explorer.chooser.refresh.click()
    explorer.wait()
    assert "No pictures in" in explorer.message.value
    assert explorer.state.picture == explorer.chooser.picture.value == "restaurant (sample)"


def test_an_explorer_of_no_folder_says_so(tmp_path):
    with pytest.raises(ImageError, match="'.*missing' is not a folder"):
        Explorer(tmp_path / "missing", model="street")


def on_the_photograph(explorer, photo):
    """What is on screen, by hand, in the pixels of `photo`."""
    state = explorer.state
    return explorer.prediction.to_size(photo.shape[:2]).select(
        score_threshold=state.score_threshold,
        mask_threshold=state.mask_threshold,
        categories=state.shown_categories,
    )


def test_save_writes_the_picture_at_its_own_size_and_overwrites_nothing(explorer, tmp_path):
    for _ in range(2):
        explorer.controls.save.click()
    names = sorted(path.name for path in tmp_path.glob("restaurant*"))
    assert names == ["restaurant-segmented-2.png", "restaurant-segmented.png"]
    photo = load_image(sample_photo("restaurant"))
    expected = draw_instances(photo, on_the_photograph(explorer, photo))
    for name in names:
        written = cv2.imread(str(tmp_path / name), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(written, expected)
    assert "restaurant-segmented-2.png" in explorer.message.value


@pytest.mark.parametrize("style", STYLES)
def test_the_picture_is_saved_in_the_style_on_screen(explorer, tmp_path, style):
    state = explorer.state
    state.style, state.alpha, state.score_threshold, state.hidden_categories = style, 0.7, 0.2, ("car",)
    photo = load_image(sample_photo("restaurant"))
    found = on_the_photograph(explorer, photo)
    assert len(found) == len(explorer.instances) > 0 and "car" not in found.names
    expected = {
        "white, as documented": lambda: overlay_segmentation_mask(photo, found.masks, 0.7),
        "colour per instance": lambda: draw_instances(photo, found, 0.7),
        "colour per category": lambda: draw_instances(photo, found, 0.7, color_by="category"),
        "colour and outline": lambda: draw_instances(photo, found, 0.7, outline=True),
        "semantic map": lambda: draw_semantic_map(photo, semantic_map(found), 0.7),
    }[style]()
    (path,) = explorer.save(folder=tmp_path / "..")
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), expected)
    path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("input_size", INPUT_SIZES)
def test_every_file_lies_on_the_photograph_turned_as_its_exif_says(tmp_path, street, input_size):
    """A phone's photograph, stored lying down: 371 wide and 250 high on the disk, upright 250 x 371."""
    upright = Image.open(sample_photo("motorcycle")).convert("RGB").resize((250, 371))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "IMG 1.v2.jpeg", exif=exif, quality=95)
    explorer = Explorer(tmp_path, street)
    assert explorer.state.picture == "IMG 1.v2.jpeg"
    explorer.state.input_size, explorer.state.score_threshold = input_size, 0.1
    photo = load_image(tmp_path / "IMG 1.v2.jpeg")
    found = on_the_photograph(explorer, photo)
    assert photo.shape == (371, 250, 3) and len(found) == len(explorer.instances) > 0
    everything = [*FORMATS, "picture"]
    for _ in range(2):  # under the second name, too, it says which picture it is of
        paths = {path.name.split(".", 1)[1]: path for path in explorer.save(everything, tmp_path / "out")}
    assert paths["coco.json"].name == "IMG_1_v2-2.coco.json"
    for name in ("png", "overlay.png", "instances.png", "categories.png", "mask-001.png"):
        with Image.open(paths[name]) as picture:
            assert picture.size == (250, 371), name
    assert np.array_equal(np.asarray(Image.open(paths["instances.png"])), instance_map(found))
    numbers = [int(row["cells"][0]) for row in explorer.table.rows]  # as in the picture
    assert numbers == [item["id"] for item in explorer.canvas.items] == found.numbers.tolist()
    assert [item["label"] for item in explorer.canvas.items] == list(found.tags)
    for number, mask in zip(numbers, found.masks, strict=True):
        assert np.array_equal(np.asarray(Image.open(paths[f"mask-{number:03d}.png"])) > 0, mask)
        cut = np.asarray(Image.open(paths[f"cut-out-{number:03d}.png"]))
        assert (cut[..., 3] > 0).sum() == mask.sum()
        assert np.array_equal(cut[cut[..., 3] > 0][:, :3], photo[mask])
    for kind in ("coco.json", "coco-polygons.json"):
        (tmp_path / "found.json").write_bytes(paths[kind].read_bytes())
        image, truth = CocoDataset(tmp_path, paths[kind])[0]  # by the file name that it says
        assert np.array_equal(image, photo) and np.array_equal(truth.masks, found.masks)
        np.testing.assert_allclose(truth.boxes, found.boxes, atol=1e-3)
    rows = list(csv.DictReader(io.StringIO(paths["csv"].read_text())))
    assert [row["file"] for row in rows] == ["IMG 1.v2.jpeg"] * len(found)
    assert [int(row["area"]) for row in rows] == found.areas.tolist()
    np.testing.assert_allclose([float(row["x2"]) for row in rows], found.boxes[:, 2], rtol=0, atol=0.005)
    assert [int(row["instance"]) for row in rows] == numbers
    features = json.loads(paths["geojson"].read_text())["features"]
    for feature, mask in zip(features, found.masks, strict=True):
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid and shape.area == mask.sum()
        x, y = np.meshgrid(np.arange(250) + 0.5, np.arange(371) + 0.5)
        assert np.array_equal(shapely.contains_xy(shape, x, y), mask)


@pytest.mark.parametrize("name", ["restaurant", "motorcycle"])  # all of them: test_prediction.py
def test_masks_saved_of_a_sample_squashed_are_those_on_screen(explorer, tmp_path, name):
    explorer.state.picture = f"{name} (sample)"
    paths = explorer.save(["masks", "coco"], tmp_path / "out")
    written = json.loads(next(path for path in paths if path.name.endswith(".coco.json")).read_text())
    photo = load_image(sample_photo(name))
    (picture,) = written["images"]
    assert picture["file_name"] == name + sample_photo(name).suffix
    assert (picture["height"], picture["width"]) == photo.shape[:2]
    seen = explorer.instances
    saved = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths if "mask-" in path.name]
    for mask, shown, box, row in zip(saved, seen.masks, seen.boxes, written["annotations"], strict=True):
        assert mask.shape == photo.shape[:2]
        squashed = cv2.resize(mask, (800, 800)) > 127
        if shown.sum() >= 2000:
            assert (squashed & shown).sum() / (squashed | shown).sum() >= 0.95
        x, y, width, height = np.array(row["bbox"]) * 800 / np.tile(photo.shape[1::-1], 2)
        np.testing.assert_allclose((x, y, x + width, y + height), box, atol=0.5)


@pytest.mark.slow
def test_an_upload_is_saved_under_its_own_name(explorer, tmp_path):
    long = f"{'holiday ' * 9}.jpg"  # longer than a label
    for _ in range(2):
        upload(explorer, long, sample_photo("restaurant").read_bytes())
    (path,) = explorer.save(["csv"], tmp_path / "out")
    assert {row["file"] for row in csv.DictReader(io.StringIO(path.read_text()))} == {long}


def test_what_was_shown_is_saved_though_its_file_is_gone(explorer, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(sample_photo("restaurant").read_bytes())
    explorer.chooser.refresh.click()
    explorer.state.picture = "photo.jpg"
    (tmp_path / "photo.jpg").unlink()
    explorer.state.runner.pictures.refresh()
    (path,) = explorer.save(["coco"], tmp_path / "out")
    assert json.loads(path.read_text())["images"][0]["file_name"] == "photo.jpg"


def test_the_save_panel_is_closed_until_it_is_asked_for(explorer):
    panel = explorer.controls.save_panel
    assert panel.widget.layout.display == "none"
    panel.opener.value = True
    assert panel.widget.layout.display == "flex"
    assert set(panel.boxes) == {"picture", *FORMATS} - {"overlay"}
    assert panel.formats == ("picture",) and panel.folder.value == str(explorer.state.runner.pictures.folder)
    panel.opener.value = False
    assert panel.widget.layout.display == "none"


def test_chosen_formats_go_into_the_chosen_folder_and_overwrite_nothing(explorer, tmp_path):
    panel = explorer.controls.save_panel
    for name in ("csv", "instances", "cut_outs"):
        panel.boxes[name].value = True
    panel.boxes["picture"].value = False
    panel.folder.value = str(tmp_path / "new")
    for ending in ("", "-2"):
        explorer.controls.save.click()
        assert (tmp_path / "new" / f"restaurant{ending}.csv").exists()
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert len(names) == 2 * (3 + len(explorer.instances))
    assert "restaurant-2.instances.png" in explorer.message.value
    assert f"and {len(names) // 2 - 1} more" in explorer.message.value
    written = np.asarray(Image.open(tmp_path / "new" / "restaurant.instances.png"))
    found = on_the_photograph(explorer, load_image(sample_photo("restaurant")))
    np.testing.assert_array_equal(written, instance_map(found))


def test_nothing_chosen_and_a_folder_that_cannot_be_are_said(explorer, tmp_path):
    panel = explorer.controls.save_panel
    panel.boxes["picture"].value = False
    explorer.controls.save.click()
    assert "formats must name one or more" in explorer.message.value
    (tmp_path / "file").touch()
    panel.boxes["csv"].value = True
    panel.folder.value = str(tmp_path / "file")
    explorer.controls.save.click()
    assert "cannot be written" in explorer.message.value
    with pytest.raises(ValueError, match="formats must be among"):
        explorer.save(["jpeg"])


def test_an_empty_folder_is_said_and_the_samples_are_offered(tmp_path, street):
    explorer = Explorer(tmp_path, street)
    assert "No pictures in" in explorer.message.value
    assert explorer.state.picture == "restaurant (sample)"


def test_a_folder_begins_with_its_own_first_picture(tmp_path, street):
    cv2.imwrite(str(tmp_path / "b.png"), np.full((9, 9, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "a.png"), np.full((9, 9, 3), 90, np.uint8))
    assert Explorer(tmp_path, street).state.picture == "a.png"


@pytest.mark.slow
def test_it_shows_itself_with_a_picture_for_places_without_widgets(explorer):
    bundle = explorer._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.widget.model_id
    assert cv2.imdecode(np.frombuffer(bundle["image/png"], np.uint8), cv2.IMREAD_COLOR).shape[1] > 500
    assert bundle["text/plain"] == Explorer(model="street")._repr_mimebundle_()["text/plain"]


def test_figure_shows_the_same_two_panels(explorer):
    left, right = explorer.figure().axes
    np.testing.assert_array_equal(left.images[0].get_array(), explorer.image)
    np.testing.assert_array_equal(right.images[0].get_array(), explorer.blended)


def test_an_explorer_without_a_folder_offers_the_working_one(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "here.png"), np.zeros((9, 9, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    explorer = Explorer(model="street")
    assert explorer.chooser.picture.options[0] == "here.png"
    assert os.path.samefile(explorer.state.runner.pictures.folder, tmp_path)
