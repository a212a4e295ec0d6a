"""One JupyterLab for all browser tests, one Chromium per test file, and `open_notebook` to use them."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from lab import (
    BROWSERS,
    MINUTE,
    VIEWPORT,
    Lab,
    copy_notebooks,
    find_chromium,
    jupyter_lab,
    launch_chromium,
    open_and_run,
)
from maskseg_nb import sample_photo

OpenNotebook = Callable[[str], Page]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab with copies of the notebooks, and the folder "photos" beside them."""
    folder = copy_notebooks(tmp_path_factory.mktemp("lab") / "notebooks")
    (folder / "photos").mkdir()
    for name in ("motorcycle", "coffee"):
        shutil.copy(sample_photo(name), folder / "photos")
    with jupyter_lab(folder, tmp_path_factory.mktemp("private")) as running:
        yield running


@pytest.fixture(scope="module")  # Playwright keeps an event loop running, and other tests bring their own
def chromium() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        missing = f"no Chromium: none of {', '.join(BROWSERS)} is on the PATH"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    expect.set_options(timeout=MINUTE / 2)  # a busy machine is slow, not wrong
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright, executable)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    """What the pages' consoles reported as an error; a test that has looked at it clears it."""
    return []


@pytest.fixture(scope="module")
def open_notebook(chromium: Browser, request: pytest.FixtureRequest, complaints: list[str]) -> OpenNotebook:
    """A function that takes a notebook's name and returns a page in which all of it has run."""
    lab = request.getfixturevalue("lab")  # after the browser: without one, no server need start

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"{message.text} ({message.location.get('url')})")

    def open_page(notebook: str) -> Page:
        page = chromium.new_page(viewport=VIEWPORT)
        page.set_default_timeout(MINUTE / 2)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        open_and_run(page, lab, notebook)
        return page

    return open_page
