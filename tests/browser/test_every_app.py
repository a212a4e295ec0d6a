"""What all apps have in common, each in a real JupyterLab: one screen, zoom, keyboard, names, tomorrow."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import nbformat
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import CDPSession, Page, expect

from lab import BUILD, MINUTE, VIEWPORT, AppInPage, Lab, choose_theme, from_address, write_notebook

APPS = {
    "Explorer": 'Explorer(model="street")',
    "Inside": 'Inside(model="street")',
    "ThresholdExplorer": 'ThresholdExplorer("street")',
    "Compare": """Compare(model="street", settings='{"picture": "restaurant (sample)"}')""",
}
# Width and height in CSS pixels, and how many of the screen's make one: a narrow window, a projector, the
# same at a zoom of 150 %, a large screen of double density.
WINDOWS = {
    "900": (900, 800, 1),
    "1280": (1280, 720, 1),
    "1280-at-150": (853, 480, 1.5),
    "1920": (1920, 1080, 2),
}


@pytest.fixture(scope="module", params=APPS)
def page(request: pytest.FixtureRequest, open_notebook: Any, lab: Lab) -> Page:
    code = f"import maskseg_nb as ms\n\napp = ms.{APPS[request.param]}\napp"
    page = open_notebook(write_notebook(lab, f"every_{request.param}.ipynb", code))
    page.evaluate("() => void jupyterapp.commands.execute('application:toggle-left-area')")
    return page


@pytest.fixture
def app(page: Page, complaints: list[str]) -> Iterator[AppInPage]:
    """An app with nothing zoomed, selected or folded; its console must stay silent."""
    app = AppInPage(page)
    expect(app.root).to_have_count(1)
    app.panels()
    for key in ("Escape", "0"):
        app.picture.press(key)
    yield app
    page.set_viewport_size(VIEWPORT)
    said = complaints.copy()
    complaints.clear()
    assert said == []


@pytest.fixture
def messages(app: AppInPage) -> list[str]:
    """What the page sends to the server over its sockets from now on, pings aside."""
    app.page.evaluate(
        """() => {
            window.sent = [];
            const send = WebSocket.prototype.send;
            if (!window.original) window.original = send;
            WebSocket.prototype.send = function (data) {
                window.sent.push(1);
                return window.original.call(this, data);
            };
        }"""
    )
    return []


def sent(page: Page) -> int:
    return page.evaluate("window.sent.length")


def on_canvas(app: AppInPage) -> np.ndarray:
    """What the page shows of the picture, zoom and labels included: uint8 (H, W, 3), RGB."""
    app.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return from_address(app.picture.evaluate("picture => picture.toDataURL('image/png')"))


def emulate(chromium: CDPSession, width: int, height: int, density: float) -> None:
    """Give the page a window of so many CSS pixels, on a screen of such a density."""
    screen = {"width": width, "height": height, "deviceScaleFactor": density, "mobile": False}
    chromium.send("Emulation.setDeviceMetricsOverride", screen)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("window", WINDOWS)
def test_picture_sliders_and_message_are_on_one_screen(
    app: AppInPage, window: str, theme: str, request: pytest.FixtureRequest
):
    choose_theme(app.page, f"JupyterLab {theme}")
    width, height, density = WINDOWS[window]
    chromium = app.page.context.new_cdp_session(app.page)  # Playwright cannot change a page's density
    request.addfinalizer(lambda: emulate(chromium, VIEWPORT["width"], VIEWPORT["height"], 1))
    emulate(chromium, width, height, density)
    app.page.wait_for_function(
        "([picture, density]) => Math.abs(picture.width / picture.clientWidth - density) < 0.01",
        arg=[app.picture.element_handle(), density],
    )  # sharp
    if height < 620 and app.root.locator(".maskseg-folding").is_visible():  # a low window's first sight of it
        app.button("Controls").click()
    app.page.wait_for_timeout(300)
    app.root.evaluate("root => root.scrollIntoView()")
    app.page.wait_for_timeout(100)
    floor = app.page.locator(".jp-WindowedPanel-outer").first.bounding_box()
    assert floor is not None
    bottom = floor["y"] + floor["height"] + 1
    sliders = [slider for slider in app.root.locator(".widget-slider").all() if slider.is_visible()]
    for part in (app.picture, app.root.locator(".maskseg-line"), *sliders):
        box = part.bounding_box()
        assert box is not None and floor["y"] - 1 <= box["y"] and box["y"] + box["height"] <= bottom
    assert app.picture.bounding_box()["height"] >= 140
    BUILD.mkdir(exist_ok=True)
    name = app.page.evaluate("() => jupyterapp.shell.currentWidget.title.label").removesuffix(".ipynb")
    shot = chromium.send("Page.captureScreenshot")["data"]
    (BUILD / f"{name}-{window}-{theme.lower()}.png").write_bytes(base64.b64decode(shot))
    if not app.root.locator(".maskseg-folding").is_visible():
        app.button("Controls").click()


def test_zooming_panning_and_hovering_ask_the_kernel_nothing(app: AppInPage, messages: list[str]):
    before = on_canvas(app)
    app.button("Zoom in").click()
    app.button("Zoom in").click()
    zoomed = on_canvas(app)
    assert (zoomed != before).mean() > 0.1
    app.picture.press("ArrowRight")
    assert (on_canvas(app) != zoomed).mean() > 0.05
    x, y = app.place(0, 0.5, 0.5)
    app.page.mouse.move(x, y)
    app.page.mouse.down()
    app.page.mouse.move(x + 60, y + 20, steps=4)
    app.page.mouse.up()
    app.page.mouse.move(*app.place(0, 0.3, 0.6), steps=5)
    app.picture.press("0")
    app.page.mouse.move(1, 1)
    assert np.array_equal(on_canvas(app), before)
    assert sent(app.page) == 0


def test_the_wheel_zooms_with_ctrl_around_the_pointer_and_scrolls_without(app: AppInPage):
    before = on_canvas(app)
    app.page.mouse.move(*app.place(0, 0.6, 0.95))
    app.page.keyboard.down("Control")
    app.page.mouse.wheel(0, -300)
    app.page.keyboard.up("Control")
    zoomed = on_canvas(app)
    assert (zoomed != before).mean() > 0.1
    frame = app.picture.evaluate("picture => picture.frames()[0]")
    x, y = round(frame["x"] + 0.6 * frame["w"]), round(frame["y"] + 0.95 * frame["h"])
    near = (slice(y - 2, y + 3), slice(x - 2, x + 3))
    assert np.abs(zoomed[near].astype(int).mean() - before[near].mean()) < 25  # that place has stayed


def test_hovering_names_a_box_and_keys_step_through_all(app: AppInPage):
    app.picture.press("n")
    spoken = app.root.locator(".maskseg-spoken")
    expect(spoken).to_contain_text(re.compile(r"Selected: .*\d\.\d\d"))
    first = spoken.inner_text()
    app.picture.press("n")
    expect(spoken).not_to_have_text(first)
    app.picture.press("p")
    expect(spoken).to_have_text(first)


def test_there_is_nothing_that_axe_core_objects_to(app: AppInPage):
    for theme in ("Light", "Dark"):
        choose_theme(app.page, f"JupyterLab {theme}")
        found = Axe().run(app.page, context=".maskseg").response["violations"]
        listed = [
            (each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]]) for each in found
        ]
        assert listed == []


def test_sliders_say_two_digits_and_no_tooltip_says_null(app: AppInPage):
    said = [handle.get_attribute("aria-valuetext") or "" for handle in app.root.locator(".noUi-handle").all()]
    assert said and all(re.fullmatch(r"\d+(\.\d{1,2})?", text) for text in said)
    assert app.root.locator('[title="null"]').count() == 0
    assert all(handle.get_attribute("aria-label") for handle in app.root.locator(".noUi-handle").all())


def test_the_presenting_layout_shows_picture_and_sliders_alone(app: AppInPage):
    app.button("Present").click()
    expect(app.root).to_have_class(re.compile("maskseg-presenting"))
    app.page.wait_for_timeout(300)
    assert app.picture.is_visible() and app.root.locator(".maskseg-sliders").is_visible()
    assert not app.root.locator(".maskseg-folding").is_visible()
    frame = app.picture.bounding_box()
    assert frame is not None and frame["width"] > 0.9 * VIEWPORT["width"]
    assert frame["y"] + frame["height"] <= VIEWPORT["height"]
    name = app.page.evaluate("() => jupyterapp.shell.currentWidget.title.label").removesuffix(".ipynb")
    app.page.screenshot(path=BUILD / f"{name}-presenting.png")
    app.page.evaluate("() => document.exitFullscreen()")
    expect(app.root).not_to_have_class(re.compile("maskseg-presenting"))


def test_large_letters_are_not_cut(app: AppInPage):
    app.page.evaluate("() => document.documentElement.style.setProperty('--jp-widgets-font-size', '20px')")
    cut = app.root.locator(".widget-label:visible").evaluate_all(
        "labels => labels.filter(l => l.scrollWidth > l.clientWidth + 1).map(l => l.textContent)"
    )
    app.page.evaluate("() => document.documentElement.style.removeProperty('--jp-widgets-font-size')")
    assert cut == []


def test_tomorrow_the_saved_notebook_shows_the_last_picture_here_and_exported(app: AppInPage, lab: Lab):
    """Saved, closed, its kernel stopped, opened again; and as an HTML page without a network."""
    page, name = app.page, app.page.evaluate("() => jupyterapp.shell.currentWidget.context.path")
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    saved = nbformat.read(lab.folder / name, 4)
    (output,) = saved.cells[0].outputs
    assert set(output.data) == {"image/jpeg", "text/plain"}
    picture = from_address(f"data:,{output.data['image/jpeg']}")
    assert picture.shape[1] == 1168 and picture.std() > 20
    expect(app.root).to_have_count(1)  # the page's own app lives on
    page.evaluate("() => jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    expect(app.root.get_by_role("alert")).to_have_text("The kernel is gone: run this cell again")
    page.goto(lab.url(name))
    again = page.locator(".jp-OutputArea-output img")
    again.wait_for(timeout=MINUTE)
    assert page.get_by_text("model not found").count() == 0 and page.locator(".maskseg").count() == 0
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--log-level=ERROR", str(lab.folder / name)]
    subprocess.run(command, check=True)
    html = (lab.folder / name).with_suffix(".html").read_text()
    assert "data:image/jpeg;base64," in html and "widget-view+json" not in html
