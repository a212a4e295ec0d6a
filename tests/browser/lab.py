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
import numpy as np
from playwright.sync_api import Browser, Locator, Page, Playwright

from maskseg_nb import load_image
from maskseg_nb.apps.canvas import BLOCK, JPEG_QUALITY, TITLE_HEIGHT
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
SIDE = 34 * BLOCK  # pixels of a picture of 800 x 800 in either app
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
        picture: A CSS selector for the <img> with the two panels.
        column: The width of a panel's place, in pixels of that picture.
    """

    def __init__(self, page: Page, picture: str, column: int) -> None:
        self.page = page
        self.root = page.locator(".maskseg")
        self.picture = self.root.locator(picture)
        self.lefts = BLOCK, BLOCK + column + BLOCK  # of the two panels

    def choice(self, label: str) -> Locator:
        return self.root.get_by_label(label, exact=True)

    def button(self, text: str | re.Pattern[str]) -> Locator:
        return self.root.get_by_role("button", name=text)

    def handle(self, label: str) -> Locator:
        return self.root.locator(".widget-slider", has_text=label).locator(".noUi-handle")

    def number(self, label: str) -> Locator:
        return self.root.locator(f'.widget-text:has(label[title^="{label}"]) input')

    def panels(self) -> tuple[np.ndarray, np.ndarray]:
        """Both panels of a square picture as the browser shows them, uint8 (SIDE, SIDE, 3), RGB."""
        pixels = shown_pixels(self.picture)[TITLE_HEIGHT : TITLE_HEIGHT + SIDE]
        left, right = (pixels[:, x : x + SIDE] for x in self.lefts)
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

    def screenshot(self, name: str, height: int = VIEWPORT["height"]) -> None:
        """Save to `build` what a window of this height shows, from the app's upper edge down."""
        self.page.set_viewport_size({**VIEWPORT, "height": height})
        self.root.evaluate("root => root.scrollIntoView()")
        BUILD.mkdir(exist_ok=True)
        self.page.screenshot(path=BUILD / name)
        self.page.set_viewport_size(VIEWPORT)


def difference(panel: np.ndarray, picture: np.ndarray) -> float:
    """Levels, on average, between a panel and a picture of any size that went through the same JPEG."""
    scaled = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    sent = load_image(encoded(".jpg", scaled, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)))
    return float(np.abs(panel.astype(int) - sent).mean())


def shown_pixels(picture: Locator) -> np.ndarray:
    """What the browser decoded of an <img>, whatever its file says: uint8 (H, W, 3), RGB."""
    address = picture.evaluate(
        """async picture => {
            for (let source; source !== picture.src; ) {
                source = picture.src;
                await picture.decode().catch(error => {
                    if (source === picture.src) throw error;  // else another picture came while it decoded
                });
            }
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
            canvas.getContext('2d').drawImage(picture, 0, 0);
            return canvas.toDataURL('image/png');
        }"""
    )
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
