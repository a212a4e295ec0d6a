"""The threshold explorer, and a training chart that moves while its cell runs, in a real
JupyterLab."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import nbformat
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from lab import (
    BUILD,
    MINUTE,
    AppInPage,
    Lab,
    choose_theme,
    contrast,
    from_address,
    name_of_the_focused,
    too_wide,
    wait_until_idle,
    write_notebook,
)
from maskseg_nb import load_image, load_model, match, predict, preprocess, trace, voc_photograph
from maskseg_nb.explain.post_mortem import examine

RED = (204, 51, 17)  # the dot's
TRAINING = """
import tempfile

import maskseg_nb as ms

image = ms.ShapesDataset(1)[0][0]
chart = ms.TrainingChart(image)
chart
"""
RUN = """
settings = ms.TrainingSettings(steps=14, batch_size=1, sizes=((64, 96),), rois=8)
model, folder = ms.load_model("street"), tempfile.mkdtemp()
trained = ms.train(model, ms.ShapesDataset(4), folder, settings, watch=chart.update)
"""


def by_hand(score: float, iou: float) -> str:
    """What the app has to show, from `match` on what `select` keeps."""
    model = load_model("street")
    image, truth = voc_photograph()[0]
    tensor, _ = preprocess(image, size=(image.shape[0], image.shape[1]))
    kept = predict(model, tensor).select(score_threshold=score)
    found = match(kept, truth.only(model.categories), iou)
    right, missed = found.outcomes.count("true positive"), int(found.missed.sum())
    wrong = len(kept) - right
    return f"{right} true positives {wrong} false positives (striped) {missed} false negatives (dashed)"


@pytest.fixture(scope="module")
def page(lab: Lab, open_notebook: Any) -> Page:
    code = 'import maskseg_nb as ms\n\nexplorer = ms.ThresholdExplorer("street")\nexplorer'
    return open_notebook(write_notebook(lab, "thresholds.ipynb", code))


@pytest.fixture
def app(page: Page, complaints: list[str]) -> Iterator[AppInPage]:
    app = AppInPage(page)
    app.button("Reset").click()
    must_say(app, by_hand(0.5, 0.5))
    yield app
    said = complaints.copy()
    complaints.clear()
    assert said == []


def must_say(app: AppInPage, text: str) -> None:
    expect(app.root).to_contain_text(re.compile(r"\s*".join(map(re.escape, text.split()))))


def dot(app: AppInPage) -> tuple[float, float]:
    """The middle of the dot on the curve, as the browser shows it."""
    _, right = app.panels()
    rows, columns = np.nonzero((np.abs(right.astype(int) - RED) < 40).all(axis=2))
    return float(columns.mean()), float(rows.mean())


def test_keys_on_the_score_threshold_move_numbers_picture_and_dot(app: AppInPage):
    (left, _), (x, y) = app.panels(), dot(app)
    app.number("Score threshold").fill("0.95")
    app.number("Score threshold").press("Enter")
    must_say(app, by_hand(0.95, 0.5))
    app.wait_for_another_picture(left, panel=0)
    new_x, new_y = dot(app)
    assert new_x < x and new_y < y  # lower recall, higher precision: to the left and up
    for _ in range(3):
        app.handle("Score threshold").press("ArrowLeft")
    expect(app.number("Score threshold")).to_have_value("0.92")
    must_say(app, by_hand(0.92, 0.5))


def test_the_iou_threshold_turns_green_masks_red(app: AppInPage):
    app.number("IoU threshold").fill("0.8")
    app.number("IoU threshold").press("Enter")
    assert by_hand(0.5, 0.8) != by_hand(0.5, 0.5)
    must_say(app, by_hand(0.5, 0.8))


def test_a_missed_object_says_under_the_pointer_where_it_was_lost_and_why(app: AppInPage):
    image, truth = voc_photograph()[0]
    run = trace(load_model("street"), preprocess(image, size=(image.shape[0], image.shape[1]))[0])
    app.number("IoU threshold").fill("0.9")
    app.number("IoU threshold").press("Enter")
    must_say(app, by_hand(0.5, 0.9))
    lost = examine(run, truth, 0.9).lost
    wanted = {f"{one.category}, missed at IoU 0.90, lost at {one.lost_at}: {one.reason}" for one in lost}
    app.picture.focus()
    said = set()
    for _ in range(60):  # all items in turn, as the keyboard selects them
        app.page.keyboard.press("n")
        said.add(app.root.locator(".maskseg-spoken").inner_text().removeprefix("Selected: "))
    assert wanted and wanted <= said
    app.page.keyboard.press("Escape")
    app.screenshot("thresholds-lost.png", height=760)


def test_every_control_is_reached_with_the_tab_key_and_has_a_name(app: AppInPage):
    wanted = [
        "Score threshold",
        "Score threshold, as a number",
        "IoU threshold",
        "IoU threshold, as a number",
        "Controls",
        "Present",
    ]
    app.handle("Score threshold").focus()
    reached = []
    for _ in wanted:
        reached.append(name_of_the_focused(app.page))
        app.page.keyboard.press("Tab")
    assert reached == wanted


def test_no_label_covers_another_where_there_is_room_for_all(app: AppInPage):
    app.page.set_viewport_size({"width": 1200, "height": 720})
    app.number("IoU threshold").fill("0.66")  # longer labels: a verdict names the threshold that it missed
    app.number("IoU threshold").press("Enter")
    expect(app.root.get_by_text("IoU threshold")).to_be_visible()
    app.page.wait_for_timeout(500)
    app.picture.evaluate(
        """picture => {
            window.labels = [];
            const context = picture.getContext("2d"), fill = context.fillRect;
            context.fillRect = function (...rectangle) {
                if (rectangle[0] === 0 && rectangle[1] === 0) window.labels = [];  // the next drawing begins
                if (rectangle[3] === 18) window.labels.push(rectangle);
                return fill.apply(this, rectangle);
            };
        }"""
    )
    app.picture.press("0")
    app.page.wait_for_function("window.labels.length")
    labels = app.page.evaluate("window.labels")
    assert len(labels) >= 7
    for (x, y, w, h), (left, top, width, height) in itertools.combinations(labels, 2):
        assert x + w <= left or left + width <= x or y + h <= top or top + height <= y


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_it_fits_and_is_readable_in_either_theme(app: AppInPage, theme: str):
    assert too_wide(app.root) == []
    choose_theme(app.page, f"JupyterLab {theme}")
    assert contrast(app.root.get_by_text("precision")) > 4.5  # WCAG's minimum
    app.screenshot(f"thresholds-{theme.lower()}.png", height=760)


def test_the_chart_moves_while_the_training_s_cell_runs(lab: Lab, page: Page, complaints: list[str]):
    page.goto(lab.url(write_notebook(lab, "training.ipynb", TRAINING, RUN)))
    wait_until_idle(page)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    chart = page.locator("img.maskseg-chart")
    chart.wait_for(timeout=5 * MINUTE)
    running = page.locator(".jp-CodeCell .jp-InputPrompt", has_text="[*]")
    sources = {chart.get_attribute("src")}
    while running.count():
        sources.add(chart.get_attribute("src"))
        page.wait_for_timeout(100)
    assert len(sources) > 2  # the empty one, and more than one with lines
    wait_until_idle(page)
    assert (load_image(chart.screenshot()).std(axis=2) > 20).mean() > 0.05  # coloured lines, and the picture
    page.screenshot(path=BUILD / "training.png")
    expect(chart).to_have_attribute("alt", re.compile("total loss"))
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    (output,) = nbformat.read(lab.folder / "training.ipynb", 4).cells[0].outputs
    assert set(output.data) == {"image/png", "text/plain"}  # tomorrow there is no widget, but the last chart
    assert (from_address(f"data:,{output.data['image/png']}").std(axis=2) > 20).mean() > 0.01
    assert complaints == []
