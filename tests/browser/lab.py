"""A JupyterLab of its own and a Chromium to look at it with: for the browser tests and the benchmarks."""

import base64
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import nbformat
import numpy as np
from playwright.sync_api import Browser, Locator, Page, Playwright

from maskseg_nb import load_image
from maskseg_nb.apps.picture_view import JPEG_OPTIONS
from maskseg_nb.data.codec import encoded

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
BUILD = Path(__file__).parents[2] / "build"
BROWSERS = ("chromium", "google-chrome", "chromium-browser")
# No sandbox: with one it does not start as root. The others keep it off the network and from asking.
BROWSER_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
VIEWPORT = {"width": 1280, "height": 900}
MINUTE = 60_000  # milliseconds, as Playwright counts
DECODERS = 0.2  # levels, on average: what the browser's JPEG decoder and Pillow's may differ


def find_chromium() -> str | None:
    """The path of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def launch_chromium(playwright: Playwright, executable: str) -> Browser:
    """A browser with a fresh profile, without a window."""
    return playwright.chromium.launch(executable_path=executable, args=list(BROWSER_OPTIONS))


def copy_notebooks(folder: Path) -> Path:
    """Copy the repository's notebooks, so that whatever a test saves stays out of the repository."""
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return folder


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, its token and the folder that it serves."""

    address: str
    token: str
    folder: Path

    def url(self, notebook: str) -> str:
        """The address where a notebook opens alone, whatever was open before."""
        name = Path(notebook).stem
        return f"{self.address}/lab/workspaces/{name}/tree/{notebook}?reset&token={self.token}"


@contextmanager
def jupyter_lab(folder: Path, private: Path) -> Iterator[Lab]:
    """Serve a folder with a JupyterLab that knows nothing of the user's settings, until the block ends.

    Args:
        folder: What it serves.
        private: An existing empty folder for its settings and its log.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16), folder)
    # The kernelspec comes from this Python's own prefix, which JUPYTER_DATA_DIR does not hide.
    places = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    environment = {
        **os.environ,
        **{f"JUPYTER_{place}": str(private / place.lower()) for place in places},
        "JUPYTERLAB_SETTINGS_DIR": str(private / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(private / "workspaces"),
        "IPYTHONDIR": str(private / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "MASKSEG_NB_MODEL": "street",
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={lab.token}",
        "--LabApp.expose_app_in_browser=True",  # window.jupyterapp: a test chooses the theme with it
    ]
    notifications = private / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    notifications.parent.mkdir(parents=True)
    # Else it asks, over the notebook, whether it may look for news.
    notifications.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with open(private / "jupyter.log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for_answer(lab, server, private / "jupyter.log")
        yield lab
    finally:
        server.terminate()  # it stops its kernels first
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for_answer(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{lab.address}/api/status?token={lab.token}", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab does not answer; its log ends\n{log.read_text()[-2000:]}")


def write_notebook(lab: Lab, name: str, *codes: str) -> str:
    """Put a notebook of these code cells into the lab's folder; returns its name."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code.strip()) for code in codes])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, lab.folder / name)
    return name


def open_and_run(page: Page, lab: Lab, notebook: str) -> None:
    """Open a notebook and run all of it from the menu; return when the kernel has nothing left to do."""
    page.goto(lab.url(notebook))
    # The kernel takes longer than the page: a run that is asked for earlier is lost.
    wait_until_idle(page)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    # A code cell's prompt is [ ] before it ran, [*] while it waits or runs, then a number.
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
            return prompts.length && prompts.every(prompt => /^\\[\\d+\\]:$/.test(prompt.textContent));
        }""",
        timeout=5 * MINUTE,
    )
    wait_until_idle(page)


def wait_until_idle(page: Page) -> None:
    """Wait until the open notebook's kernel has started and is idle."""
    # Before there is a kernel, JupyterLab calls it idle, too, and by the name "No Kernel".
    page.locator(".jp-KernelName", has_text="Python").wait_for(timeout=5 * MINUTE)
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=5 * MINUTE)


def choose_theme(page: Page, theme: str) -> None:
    """Switch to "JupyterLab Light" or "JupyterLab Dark", and wait until the page has its colours."""
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    page.locator(f'body[data-jp-theme-name="{theme}"]').wait_for(state="attached")
    page.locator("#jupyterlab-splash").wait_for(state="detached")  # lies over the page meanwhile


# What a page shows.


class AppInPage:
    """One of the package's apps in an open page.

    Args:
        page: With the notebook that shows it.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.root = page.locator(".maskseg")
        self.picture = self.root.locator(".maskseg-picture")

    def choice(self, label: str) -> Locator:
        return self.root.get_by_label(label, exact=True)

    def button(self, text: str | re.Pattern[str]) -> Locator:
        return self.root.get_by_role("button", name=text)

    def handle(self, label: str) -> Locator:
        return self.root.locator(".widget-slider", has_text=label).locator(".noUi-handle")

    def number(self, label: str) -> Locator:
        return self.root.locator(f'.widget-text:has(label[title^="{label}"]) input')

    def panels(self) -> tuple[np.ndarray, np.ndarray]:
        """Both panels as the browser decoded them, uint8 (H, W, 3), RGB; before labels and zoom."""
        addresses = self.picture.evaluate(
            """async picture => {
                while (picture.panels.some(panel => !panel)) await new Promise(requestAnimationFrame);
                return picture.panels.map(panel => {
                    const canvas = document.createElement('canvas');
                    [canvas.width, canvas.height] = [panel.width, panel.height];
                    canvas.getContext('2d').drawImage(panel, 0, 0);
                    return canvas.toDataURL('image/png');
                });
            }"""
        )
        left, right = (from_address(address) for address in addresses)
        return left, right

    def wait_for_panels(self, *pictures: np.ndarray) -> None:
        """Wait until the panels show these, as far as a JPEG can."""
        deadline = time.monotonic() + MINUTE / 1000
        while True:
            levels = [difference(*pair) for pair in zip(self.panels(), pictures, strict=True)]
            if max(levels) < DECODERS:
                return
            assert time.monotonic() < deadline, f"the panels are {levels} levels from what they should be"
            time.sleep(0.05)

    def wait_for_another_picture(self, former: np.ndarray, panel: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Wait until a panel shows another picture than the former; returns both panels."""
        deadline = time.monotonic() + MINUTE / 2000
        while np.array_equal((panels := self.panels())[panel], former):
            assert time.monotonic() < deadline, "the picture stays as it is"
            time.sleep(0.05)
        return panels

    def place(self, panel: int, x: float, y: float) -> tuple[float, float]:
        """Where on the page a place in a panel is, in [0, 1] from its upper left corner, at zoom 1."""
        frame, frames = self.picture.bounding_box(), self.picture.evaluate("picture => picture.frames()")
        assert frame is not None
        return (
            frame["x"] + frames[panel]["x"] + x * frames[panel]["w"],
            frame["y"] + frames[panel]["y"] + y * frames[panel]["h"],
        )

    def click_at(self, panel: int, x: float, y: float) -> None:
        self.picture.scroll_into_view_if_needed()
        self.page.mouse.click(*self.place(panel, x, y))

    def screenshot(self, name: str, height: int = VIEWPORT["height"]) -> None:
        """Save to `build` what a window of this height shows, from the app's upper edge down."""
        self.page.set_viewport_size({**VIEWPORT, "height": height})
        self.root.evaluate("root => root.scrollIntoView()")
        BUILD.mkdir(exist_ok=True)
        self.page.screenshot(path=BUILD / name)
        self.page.set_viewport_size(VIEWPORT)


def difference(panel: np.ndarray, picture: np.ndarray) -> float:
    """Levels, on average, between a panel and a picture that went through the same JPEG."""
    if panel.shape != picture.shape:
        return 255.0
    sent = load_image(encoded(".jpg", picture, JPEG_OPTIONS))
    return float(np.abs(panel.astype(int) - sent).mean())


def from_address(address: str) -> np.ndarray:
    """The picture in a data URL, uint8 (H, W, 3), RGB."""
    data = np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


def name_of_the_focused(page: Page) -> str:
    """The focused widget's label, tooltip or text, without a count that follows it."""
    return page.evaluate(
        """() => {
            const focused = document.activeElement;
            if (focused.matches('.noUi-handle'))
                return focused.closest('.widget-slider').querySelector('label').textContent;
            const label = focused.labels?.[0];
            const name = label?.textContent.trim() || label?.title || focused.textContent;
            return name.replace(/ \\(\\d+\\)$|:.*/, '');
        }"""
    )


def too_wide(app: Locator) -> list[str]:
    """What scrolls sideways, in an app or around it up to the page: its content is wider than itself."""
    return app.evaluate(
        """app => {
            const around = [];
            for (let element = app; element; element = element.parentElement) around.push(element);
            return [...app.querySelectorAll('*'), ...around]
                .filter(e => !e.matches('.maskseg-spoken'))  // read aloud, not seen
                .filter(e => !e.matches('.noUi-origin'))  // a slider's handle reaches over its track's end
                .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth)
                .map(e => `${e.className}: ${e.scrollWidth} in ${e.clientWidth}`);
        }"""
    )


def contrast(text: Locator) -> float:
    """WCAG's ratio between a text's colour and the first opaque background behind it."""
    ink, ground = text.evaluate(
        """text => {
            let behind = text;
            const colour = () => getComputedStyle(behind).backgroundColor;
            while (colour() === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
            return [getComputedStyle(text).color, colour()];
        }"""
    )
    darker, lighter = sorted((_luminance(ink), _luminance(ground)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(css: str) -> float:
    """Relative luminance of "rgb(r, g, b)" or "rgba(r, g, b, a)"; the a is not looked at."""
    red, green, blue = (float(number) / 255 for number in re.findall(r"[\d.]+", css)[:3])
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
