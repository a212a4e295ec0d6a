"""A file with a script for a name, in a real browser: its name is text, and the script never runs."""

import shutil
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from lab import Lab, write_notebook
from maskseg_nb import sample_photo

CODE = """from maskseg_nb import {app}

app = {app}("hostile", model="street")
app"""
SCRIPT = "<img src=x onerror=hurt=1>"


@pytest.mark.parametrize("app", ["Explorer", "Inside"])
def test_a_file_name_with_a_script_is_text(
    app: str, lab: Lab, open_notebook: Callable[[str], Page], complaints: list[str]
):
    folder = lab.folder / "hostile"
    folder.mkdir(exist_ok=True)
    shutil.copy(sample_photo("coffee"), folder / f"{SCRIPT}.png")
    (folder / f"{SCRIPT} damaged.png").write_bytes(b"no picture")
    page = open_notebook(write_notebook(lab, f"hostile_{app}.ipynb", CODE.format(app=app)))

    root = page.locator(".maskseg")
    picture = root.get_by_label("Picture", exact=True)
    picture.select_option(f"{SCRIPT}.png")
    picture.select_option(f"{SCRIPT} damaged.png")
    expect(root.get_by_role("alert")).to_contain_text(SCRIPT)  # the error names the file, as text
    expect(picture.locator("option:checked")).to_have_text(f"{SCRIPT}.png")
    page.wait_for_timeout(500)  # an onerror would have had its time
    assert page.locator("img[onerror]").count() == 0
    assert page.evaluate("window.hurt") is None
    assert complaints == []
    # What this rests on: read as HTML, the same name does what it says.
    page.evaluate("name => document.body.insertAdjacentHTML('beforeend', name)", SCRIPT)
    page.wait_for_function("window.hurt === 1")
    complaints.clear()  # there is no picture x
