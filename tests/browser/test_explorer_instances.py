"""Instances in the hand: select, hide, compare, undo, cancel and download, in a real JupyterLab."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from lab import AppInPage, Lab, difference, wait_until_idle, write_notebook
from maskseg_nb import draw_instances, load_image, load_model, predict, preprocess, sample_photo

CODE = 'import maskseg_nb as ms\n\nexplorer = ms.Explorer("photos", model="street")\nexplorer'
RESTAURANT = "restaurant (sample)"


@pytest.fixture(scope="module")
def found() -> Any:
    """The sample's image, what the model finds in it, and what the default threshold keeps."""
    tensor, image = preprocess(sample_photo("restaurant"))
    prediction = predict(load_model("street"), tensor)
    return image, prediction, prediction.select()


@pytest.fixture(scope="module")
def page(open_notebook: Any, lab: Lab) -> Page:
    return open_notebook(write_notebook(lab, "instances.ipynb", CODE))


@pytest.fixture
def app(page: Page, found: Any, complaints: list[str]) -> Iterator[AppInPage]:
    app = AppInPage(page)
    app.choice("Picture").select_option(RESTAURANT)
    app.button("Reset").click()
    image, prediction, instances = found
    expect(app.root.get_by_text("detections shown")).to_contain_text(f"{len(instances)} of {len(prediction)}")
    app.wait_for_panels(image, draw_instances(image, instances, labels=False))
    app.picture.press("Escape")
    yield app
    said = complaints.copy()
    complaints.clear()
    assert said == []


def inside(mask: np.ndarray) -> tuple[float, float]:
    """The place in [0, 1] that lies deepest in a mask."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(depth.argmax(), mask.shape)
    return float((x + 0.5) / mask.shape[1]), float((y + 0.5) / mask.shape[0])


def selected_row(app: AppInPage):
    return app.root.locator("tr.maskseg-selected")


def test_a_click_on_a_mask_selects_its_row_and_a_row_selects_the_mask(app: AppInPage, found: Any):
    instances = found[2]
    alone = instances.masks.sum(axis=0) == 1
    for row in range(3):
        app.click_at(1, *inside(instances.masks[row] & alone))
        tag = re.compile(f"^{row + 1}{instances.names[row]}{instances.scores[row]:.2f}")
        expect(selected_row(app)).to_have_text(tag)
        expect(app.root.locator(".maskseg-spoken")).to_contain_text(f"Selected: {instances.tags[row]}")
    app.button("Select 5 person").click()
    expect(app.root.locator(".maskseg-spoken")).to_contain_text("Selected: 5 ")
    app.picture.press("Escape")
    expect(selected_row(app)).to_have_count(0)


def test_the_pointer_names_what_it_is_on_left_and_right(app: AppInPage, found: Any):
    instances = found[2]
    tip = app.root.locator(".maskseg-tip")
    for panel in (0, 1):
        app.page.mouse.move(*app.place(panel, *inside(instances.masks[0])), steps=3)
        expect(tip).to_have_text(re.compile(rf"^\d+ {instances.names[0]} \d\.\d\d, [\d,]+ pixels$"))
    app.page.mouse.move(*app.place(0, 0.99, 0.99), steps=3)
    expect(tip).to_be_hidden()


def test_a_second_click_takes_the_next_one_below(app: AppInPage, found: Any):
    instances = found[2]
    for low in (0.3, 0.2, 0.1, 0.06):
        kept = found[1].select(score_threshold=low)
        if (kept.masks.sum(axis=0) > 1).sum() > 60:
            break
    app.number("Score threshold").fill(f"{low}")
    app.number("Score threshold").press("Enter")
    expect(app.root.get_by_text("detections shown")).to_contain_text(f"{len(kept)} of ")
    x, y = inside(kept.masks.sum(axis=0) > 1)
    under = np.flatnonzero(kept.masks[:, int(y * 800), int(x * 800)])
    areas = (kept.boxes[:, 2:] - kept.boxes[:, :2]).prod(axis=1)
    order = [int(number) + 1 for number in under[areas[under].argsort()]]
    assert len(order) > 1 and len(kept) > len(instances)
    for number in [*order, order[0]]:
        app.click_at(1, x, y)
        expect(selected_row(app)).to_have_text(re.compile(f"^{number}(?!\\d)"))


def test_an_instance_is_hidden_by_its_button_and_by_a_key_and_keeps_its_number(app: AppInPage, found: Any):
    image, _, instances = found
    app.button(re.compile("^hide 2 ")).click()
    app.wait_for_panels(image, draw_instances(image, instances.without((2,)), labels=False))
    expect(app.root.locator("tr.maskseg-hidden")).to_have_text(re.compile("^2"))
    app.click_at(1, *inside(instances.masks[2]))
    app.picture.press("h")
    app.wait_for_panels(image, draw_instances(image, instances.without((2, 3)), labels=False))
    app.button("Undo").click()
    app.wait_for_panels(image, draw_instances(image, instances.without((2,)), labels=False))
    app.button(re.compile("^show 2 ")).click()
    app.wait_for_panels(image, draw_instances(image, instances, labels=False))


def test_undo_takes_back_one_control_after_the_other(app: AppInPage, found: Any):
    app.number("Blend alpha").fill("0.9")
    app.number("Blend alpha").press("Enter")
    expect(app.handle("Blend alpha")).to_have_attribute("aria-valuetext", "0.9")
    app.number("Mask threshold").fill("0.8")
    app.number("Mask threshold").press("Enter")
    expect(app.handle("Mask threshold")).to_have_attribute("aria-valuetext", "0.8")
    app.button("Undo").click()
    expect(app.number("Mask threshold")).to_have_value("0.5")
    expect(app.number("Blend alpha")).to_have_value("0.9")
    app.button("Undo").click()
    expect(app.number("Blend alpha")).to_have_value("0.5")


def test_compare_shows_the_pinned_picture_while_it_is_held(app: AppInPage, found: Any):
    app.root.get_by_text("Labels", exact=True).click()  # they are of the settings in force
    app.page.mouse.move(1, 1)
    app.page.wait_for_timeout(200)
    before = app.picture.screenshot()
    app.button(re.compile("^Pin$")).click()
    _, right = app.panels()
    app.number("Blend alpha").fill("1")
    app.number("Blend alpha").press("Enter")
    app.wait_for_another_picture(right)
    app.page.mouse.move(1, 1)
    now = app.picture.screenshot()
    frame = app.button(re.compile("^Compare$")).bounding_box()
    app.page.mouse.move(frame["x"] + 5, frame["y"] + 5)
    app.page.mouse.down()
    app.page.wait_for_timeout(100)
    held = app.picture.screenshot()
    app.page.mouse.up()
    app.page.mouse.move(1, 1)
    app.page.wait_for_timeout(100)
    first, second, third = (load_image(shot) for shot in (before, now, held))
    foot = slice(60, None)  # below the titles
    assert np.abs(third[foot].astype(int) - second[foot]).mean() > 3
    assert np.abs(third[foot].astype(int) - first[foot]).mean() < 2
    assert np.abs(load_image(app.picture.screenshot())[foot].astype(int) - second[foot]).mean() < 1
    app.button(re.compile("^Pin$")).click()
    app.root.get_by_text("Labels", exact=True).click()


def test_the_browser_downloads_what_is_chosen(app: AppInPage, found: Any):
    app.button("Save ...").click()
    with app.page.expect_download() as one:
        app.button("Download").click()
    photo = load_image(sample_photo("restaurant"))
    kept = found[1].to_size(photo.shape[:2]).select()
    assert one.value.suggested_filename == "restaurant-segmented.png"
    assert np.array_equal(load_image(one.value.path()), draw_instances(photo, kept))
    app.root.get_by_text("COCO", exact=True).click()
    with app.page.expect_download() as several:
        app.button("Download").click()
    with zipfile.ZipFile(io.BytesIO(several.value.path().read_bytes())) as archive:
        assert sorted(archive.namelist()) == ["restaurant-segmented.png", "restaurant.coco.json"]
        assert len(json.loads(archive.read("restaurant.coco.json"))["annotations"]) == len(kept)
    app.root.get_by_text("COCO", exact=True).click()
    app.button("Save ...").click()


def test_while_the_network_runs_the_picture_says_so_and_can_be_cancelled(
    app: AppInPage, lab: Lab, found: Any
):
    """The network is held up by a hook that a file releases; meanwhile the kernel is free to run a cell."""
    page = app.page
    slow = "\n".join(
        [
            "import pathlib, time",
            "def wait(*_):",
            "    while pathlib.Path('slow').exists(): time.sleep(0.02)",
            "hook = explorer.model.backbone.fpn.register_forward_pre_hook(wait)",
            "pathlib.Path('slow').touch()",
        ]
    )
    session = "jupyterapp.shell.currentWidget.context.sessionContext.session"
    run = f"code => {session}.kernel.requestExecute({{ code }}).done"
    page.evaluate(run, slow)
    app.choice("Picture").select_option("motorcycle_left.png")
    veil = app.root.locator(".maskseg-veil")
    expect(veil).to_contain_text("Running the network: Features")
    page.evaluate(run, "answer = 6 * 7")  # the kernel answers
    veil.get_by_role("button", name="Cancel").click()
    expect(veil).to_contain_text("Stopping")
    (lab.folder / "slow").unlink()
    expect(veil).to_be_hidden()
    expect(app.root.get_by_text("Cancelled; everything is as before")).to_be_visible()
    expect(app.choice("Picture")).to_have_value(RESTAURANT)
    image, _, instances = found
    app.wait_for_panels(image, draw_instances(image, instances, labels=False))
    page.evaluate(run, "hook.remove()")
    app.choice("Picture").select_option("motorcycle_left.png")  # the next good run
    tensor, image = preprocess(
        lab.folder / "photos" / "motorcycle_left.png", size=None
    )  # in its own proportions
    kept = predict(load_model("street"), tensor).select()
    app.wait_for_panels(image, draw_instances(image, kept, labels=False))
    assert difference(app.panels()[0], image) < 1


def test_a_cell_that_runs_again_keeps_settings_and_uploads(app: AppInPage, lab: Lab):
    part = cv2.imencode(".png", load_image(sample_photo("astronaut"))[:300, :300, ::-1])[1].tobytes()
    with app.page.expect_file_chooser() as chooser:
        app.button("Upload").click()
    chooser.value.set_files({"name": "part.png", "mimeType": "image/png", "buffer": part})
    expect(app.choice("Picture")).to_have_value("part.png (upload)")
    app.number("Blend alpha").fill("0.8")
    app.number("Blend alpha").press("Enter")
    expect(app.handle("Blend alpha")).to_have_attribute("aria-valuetext", "0.8")
    app.root.evaluate("root => { root.old = true }")
    app.page.get_by_role("menuitem", name="Run", exact=True).click()
    app.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    app.page.wait_for_function("() => document.querySelector('.maskseg')?.old === undefined")
    wait_until_idle(app.page)
    expect(app.choice("Picture")).to_have_value("part.png (upload)")
    expect(app.number("Blend alpha")).to_have_value("0.8")
