"""The comparison as a user meets it: a notebook of one cell in a real JupyterLab."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from lab import AppInPage, Lab, choose_theme, contrast, too_wide, write_notebook
from maskseg_nb import load_model
from maskseg_nb.apps.compare.state import CompareState
from maskseg_nb.apps.picture_sources import PictureSources

RESTAURANT = "restaurant (sample)"


@pytest.fixture(scope="module")
def page(lab: Lab, open_notebook: Any) -> Page:
    code = 'import maskseg_nb as ms\n\napp = ms.Compare(model="street")\napp'
    return open_notebook(write_notebook(lab, "compare.ipynb", code))


@pytest.fixture
def app(page: Page, complaints: list[str]) -> Iterator[AppInPage]:
    app = AppInPage(page)
    app.choice("Picture").select_option(RESTAURANT)
    app.button("Reset").click()
    expect(app.root.get_by_text("are the same to the bit")).to_be_visible()
    yield app
    said = complaints.copy()
    complaints.clear()
    assert said == []


def test_a_blurred_twin_parts_at_once_and_its_lost_ones_are_listed(app: AppInPage, tmp_path):
    state = CompareState(PictureSources(tmp_path), load_model("street"))
    state.picture = RESTAURANT
    app.choice("Change").select_option("blur")
    app.number("Amount").fill("12")
    app.number("Amount").press("Enter")
    state.assign({"change": "blur", "amount": 12.0})
    state.update()
    app.wait_for_panels(*state.panels)
    for one in state.comparison.stages:
        expect(app.root.locator(".maskseg-parting")).to_contain_text(one.text)
    expect(app.root.locator(".maskseg-parting")).to_contain_text("Normalised: the runs part")
    table, lost = app.root.locator(".maskseg-table"), state.comparison.lost
    table.get_by_label("Show which rows").select_option("lost")
    expect(table.locator("tr")).to_have_count(1 + len(lost))
    expect(table).to_contain_text(f"lost; the second run dropped it at {lost[0].lost_at}: {lost[0].reason}")
    table.get_by_role("button", name=re.compile("^Select")).first.click()
    expect(table.locator("tr.maskseg-selected")).to_have_count(1)
    assert too_wide(app.root) == []
    for theme in ("Dark", "Light"):
        choose_theme(app.page, f"JupyterLab {theme}")
        assert contrast(app.root.locator(".maskseg-parting .maskseg-apart").first) > 4.5  # WCAG's minimum
        app.screenshot(f"compare-{theme.lower()}.png", height=1000)
    table.get_by_role("button", name=re.compile("^Select")).first.click()
