"""The stage explorer as a user meets it: a notebook of one cell in a real JupyterLab.

What is asserted is what the browser decoded and wrote, against what the same settings give in this process.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from lab import AppInPage, Lab, choose_theme, contrast, too_wide, write_notebook
from maskseg_nb import load_model, rescue, without
from maskseg_nb.apps.inside.state import InsideState
from maskseg_nb.apps.picture_sources import PictureSources
from street_levels import PROPOSALS

CELL = 'from maskseg_nb import Inside\n\ninside = Inside(model="street")\ninside'
RESTAURANT = "restaurant (sample)"


class App(AppInPage):
    """The stage explorer in an open page."""

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.strip = self.root.locator(".maskseg-stage")
        self.way = self.root.locator(".maskseg-film")
        self.status = self.root.get_by_text(re.compile(r"ran in \d+ ms"))

    def stage(self, title: str):
        return self.strip.filter(has_text=re.compile(f"^{title}"))

    def show_stage(self, title: str) -> None:
        """Click a stage's button, once the kernel has followed the last click: until then two are pressed."""
        expect(self.root.locator(".maskseg-stage.mod-active")).to_have_count(1)
        self.stage(title).click()

    def must_show(self, state: InsideState) -> None:
        """Wait for the panels, the caption and the followed box's path of a state in this process."""
        state.update()
        caption = state.pair.caption
        expect(self.root.get_by_text(caption)).to_be_visible()
        for frame in state.frames:
            for line in frame.lines:
                expect(self.way).to_contain_text(line)
        expect(self.picture).to_have_attribute("aria-label", f"{', '.join(state.pair.titles)}. {caption}")
        self.wait_for_panels(state.pair.left, state.pair.right)


@pytest.fixture(scope="module")
def page(open_notebook: Callable[[str], Page], lab: Lab) -> Page:
    return open_notebook(write_notebook(lab, "inside.ipynb", CELL))


@pytest.fixture
def state(tmp_path) -> InsideState:
    """The app's state with the restaurant, every knob at its default, in this process."""
    state = InsideState(PictureSources(tmp_path), load_model("street"))
    state.picture = RESTAURANT
    state.update()
    return state


@pytest.fixture
def app(page: Page, state: InsideState, complaints: list[str]) -> Iterator[App]:
    """The app in that state; its console must stay silent."""
    app = App(page)
    app.choice("Picture").select_option(RESTAURANT)
    app.show_stage("Detections")
    app.button("Reset").click()
    first = next(iter(state.offered()))
    expect(app.choice("Follow").locator("option", has_text=first)).to_have_count(1)
    app.choice("Follow").select_option(first)
    app.must_show(state)
    yield app
    said = complaints.copy()
    complaints.clear()
    assert said == []


def smallest(state: InsideState, x: float, y: float) -> tuple[int, int]:
    """What names the smallest of the boxes on screen at a place, in pixels of the image."""
    boxes = state.pair.boxes
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    hit = ((boxes[:, :2] <= (x, y)) & (boxes[:, 2:] >= (x, y))).all(axis=1)
    return state.pair.names[int(np.where(hit, area, np.inf).argmin())]


def test_each_stage_has_its_button_with_its_count(app: App, state: InsideState):
    counts = list(state.counts().values())
    for number, count in enumerate(counts):
        expect(app.strip.nth(number)).to_contain_text(count)
    expect(app.strip).to_have_count(len(counts))


def test_a_stages_button_changes_picture_and_caption(app: App, state: InsideState):
    for title, stage in (("Anchors", "anchors"), ("Proposals", "proposals"), ("Masks", "masks")):
        _, right = app.panels()
        app.show_stage(title)
        app.wait_for_another_picture(right)
        state.stage = stage
        app.must_show(state)
        expect(app.root.locator(".maskseg-stage.mod-active")).to_have_text(re.compile(f"^{title}"))
    app.show_stage("Masks")  # it cannot be switched off
    expect(app.root.locator(".maskseg-stage.mod-active")).to_have_text(re.compile("^Masks"))


def test_keys_on_a_knob_run_what_depends_on_it_and_change_the_picture(app: App, state: InsideState):
    left, right = app.panels()
    for _ in range(20):
        app.handle("box_nms_threshold").press("ArrowRight")
    expect(app.number("box_nms_threshold")).to_have_value("0.7")
    state.knobs = {"box_nms_threshold": 0.7}
    app.must_show(state)
    expect(app.status).to_have_text(re.compile("^Detections, Masks ran in"))
    expect(app.root.locator(".maskseg-rerun")).to_have_text([re.compile("^Detections"), re.compile("^Masks")])
    new_left, new_right = app.panels()
    assert (new_left == left).all() and (new_right != right).any()  # the best refined boxes stay
    app.button("Reset").click()
    expect(app.number("box_nms_threshold")).to_have_value("0.5")
    state.knobs = {}
    app.must_show(state)
    assert all((new == old).all() for new, old in zip(app.panels(), (left, right), strict=True))


def test_a_knob_of_the_region_proposals_runs_four_stages(app: App, state: InsideState):
    app.show_stage("Proposals")
    app.number("rpn_post_nms_top_n").fill("40")
    app.number("rpn_post_nms_top_n").press("Enter")
    expect(app.status).to_have_text(re.compile("^Proposals, Box scores, Detections, Masks ran in"))
    state.stage, state.knobs = "proposals", {"rpn_post_nms_top_n": 40}
    app.must_show(state)
    expect(app.root.get_by_text(f"default {PROPOSALS}")).to_be_visible()


def test_a_click_into_the_picture_follows_the_box_there(app: App, state: InsideState):
    film = app.way.locator("img").evaluate_all("pictures => pictures.map(picture => picture.src)")
    box = state.trace.prediction.boxes[1]
    x, y = ((box[:2] + box[2:]) / 2).tolist()
    app.click_at(1, x / 800, y / 800)
    state.followed = smallest(state, x, y)
    app.must_show(state)
    assert state.journey.detection.verdict.row != 0
    assert app.way.locator("img").evaluate_all("pictures => pictures.map(picture => picture.src)") != film


def test_a_lost_box_says_which_detection_suppressed_it(app: App, state: InsideState):
    options = app.choice("Follow").locator("option").evaluate_all("options => options.map(o => o.value)")
    assert options == list(state.offered())
    lost = next(name for name in options if name.startswith("lost: "))
    app.choice("Follow").select_option(lost)
    state.followed = state.offered()[lost]
    app.must_show(state)
    rival = state.journey.detection.verdict.rival
    assert rival is not None
    expect(app.way).to_contain_text(f"suppressed by detection #{rival.row + 1}, IoU {rival.iou:.2f} > 0.50")
    expect(app.way).to_contain_text("not reached")


def test_a_table_holds_every_box_by_outcome_and_page_and_a_row_is_followed(app: App, state: InsideState):
    app.button("Every box").click()
    table, endings = app.root.locator(".maskseg-table").last, state.endings
    expect(table).to_contain_text(f"{len(endings):,} rows, page 1 of {-(-len(endings) // 100)}")
    lost = [number for number, ending in enumerate(endings, 1) if ending.verdict.outcome == "suppressed"]
    table.get_by_label("Show which rows").select_option("suppressed")
    expect(table).to_contain_text(f"{len(lost):,} rows, page 1 of {-(-len(lost) // 100)}")
    expect(table.locator("tr")).to_have_count(1 + min(100, len(lost)))
    assert len(lost) > 100
    table.get_by_label("Next page").click()
    number = lost[100]
    expect(table.locator("tr").nth(1)).to_have_text(re.compile(rf"^{number}(?!\d)"))
    table.get_by_role("button", name=re.compile(f"^Select {number} ")).click()
    state.followed = endings[number - 1][:2]
    app.must_show(state)
    expect(table.locator("tr.maskseg-selected")).to_have_text(re.compile(rf"^{number}(?!\d)"))
    selected = app.choice("Follow").locator("option:checked").inner_text()
    assert selected.startswith("lost:") and endings[number - 1].verdict.outcome == "suppressed"
    app.button("Every box").click()
    expect(table.locator("tr")).to_have_count(0)


def test_a_click_on_a_detection_selects_it_in_the_table_and_in_follow_alike(app: App, state: InsideState):
    app.button("Every box").click()
    table = app.root.locator(".maskseg-table").last
    box = state.pair.boxes[0]
    app.click_at(1, *((box[:2] + box[2:]) / 1600).tolist())
    state.followed = smallest(state, *((box[:2] + box[2:]) / 2).tolist())
    app.must_show(state)
    number = [ending[:2] for ending in state.endings].index(state.followed) + 1
    expect(table.locator("tr.maskseg-selected")).to_have_text(re.compile(rf"^{number}(?!\d)"))
    app.button("Every box").click()


def test_a_lost_box_is_brought_back_by_a_row_and_lost_again_by_undo(app: App, state: InsideState):
    helped = {name: rescue(state.trace, *box) for name, box in list(state.offered().items())[-20:]}
    name = next(name for name, answer in helped.items() if answer.helpful)
    app.choice("Follow").select_option(name)
    state.followed = state.offered()[name]
    app.must_show(state)
    app.button("Bring it back").click()
    table, (remedy, *_) = app.root.locator(".maskseg-table"), helped[name].helpful
    row = table.get_by_role("button", name=re.compile(f"^Select 1 {remedy.knob}"))
    expect(row).to_be_visible()
    expect(table.locator("tr:visible")).to_have_count(1 + len(helped[name].remedies))
    assert too_wide(app.root) == []
    app.screenshot("inside-rescue.png", height=1100)
    row.click()
    state.knobs = {remedy.knob: remedy.needed}
    app.must_show(state)
    expect(app.way).to_contain_text("kept: detection")
    expect(app.number(remedy.knob)).to_have_value(f"{remedy.needed:g}")
    app.button("Undo").click()
    state.knobs = {}
    app.must_show(state)
    expect(row).to_be_visible()  # to try another one
    app.button("Bring it back").click()
    expect(row).to_have_count(0)


def test_without_a_detection_another_rises_and_is_followed(app: App, state: InsideState):
    detection = next(d for d in range(len(state.trace.prediction)) if without(state.trace, d).risen)
    app.choice("Follow").select_option(list(state.offered())[detection])
    state.followed = list(state.offered().values())[detection]
    app.must_show(state)
    app.button("Without this one").click()
    row = app.root.locator(".maskseg-table").get_by_role("button", name=re.compile("^Select 1 "))
    row.click()
    state.followed = without(state.trace, detection).risen[0][:2]
    app.must_show(state)
    expect(row).to_have_attribute("aria-pressed", "true")
    app.screenshot("inside-without.png", height=1100)
    app.button("Without this one").click()
    expect(row).to_have_count(0)


def test_the_box_scores_stage_has_the_receipt_of_the_followed_box(app: App, state: InsideState):
    expect(app.button("Receipt")).to_be_hidden()
    app.show_stage("Box scores")
    state.stage = "box_scores"
    app.must_show(state)
    app.button("Receipt").click()
    bill = app.root.locator(".maskseg-bill")
    expect(bill).to_be_visible()
    assert bill.get_attribute("alt").startswith("Receipt(")
    assert too_wide(app.root) == []
    app.screenshot("inside-receipt.png", height=1400)
    app.button("Receipt").click()
    expect(bill).to_have_count(0)


def test_everything_fits_into_a_window_1280_wide_at_every_stage(app: App):
    for button in app.strip.all():
        button.click()
        expect(button).to_have_class(re.compile("mod-active"))
        expect(app.root.locator(".maskseg-stage.mod-active")).to_have_count(1)
        assert too_wide(app.root) == []


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_text_is_readable_in_either_theme(app: App, theme: str, state: InsideState):
    app.show_stage("Proposals")
    state.stage = "proposals"
    app.must_show(state)
    choose_theme(app.page, f"JupyterLab {theme}")
    for text in (app.status.locator("b"), app.way, app.stage("Proposals"), app.stage("Masks")):
        assert contrast(text) > 4.5  # WCAG's minimum
    app.screenshot(f"inside-{theme.lower()}.png", height=1400)
