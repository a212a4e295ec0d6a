"""How fast the apps follow a key in a real browser; the Explorer, against the same without this package."""

import tempfile
from pathlib import Path
from statistics import median

import nbformat
from playwright.sync_api import Page, sync_playwright

from browser.lab import VIEWPORT, find_chromium, jupyter_lab, launch_chromium, open_and_run

from .measure import PHOTO, Target, load

PRESSES = 25
TARGETS = (
    "the Explorer at least 6 times as fast as interactive_output",
    "key to picture of the Explorer within 40 ms",
    "key to picture of ThresholdExplorer within 60 ms",
)

EXPLORER = f"""from maskseg_nb import Explorer

explorer = Explorer()
explorer.state.picture = "{PHOTO} (sample)"
explorer"""
# From 0.65 on a verdict names the threshold (person 0.99, IoU 0.63 < 0.66): each press changes the picture.
THRESHOLDS = """from maskseg_nb import ThresholdExplorer

app = ThresholdExplorer()
app.state.iou = 0.65
app"""
# What one would write without this package, with a figure of about the explorer's size: 1136 x 592 pixels.
TWIN = f"""%matplotlib inline
import matplotlib.pyplot as plt
from ipywidgets import FloatSlider, VBox, interactive_output
from maskseg_nb import draw_instances, load_model, predict, preprocess, sample_photo

tensor, image = preprocess(sample_photo("{PHOTO}"))
prediction = predict(load_model("street"), tensor)

def show(score_threshold, alpha):
    instances = prediction.select(score_threshold=score_threshold)
    figure, axes = plt.subplots(1, 2, figsize=(11.36, 5.92), dpi=100)
    axes[0].imshow(image)
    axes[1].imshow(draw_instances(image, instances, alpha))
    plt.show()

sliders = dict(score_threshold=FloatSlider(0.5, max=1, step=0.01, description="Score threshold"),
               alpha=FloatSlider(0.5, max=1, step=0.01, description="Blend alpha"))
VBox([*sliders.values(), interactive_output(show, sliders)])"""

# Milliseconds from a key press to the next picture, or other labels on it, in the cell's output.
PRESS_TO_PICTURE = """handle => new Promise(done => {
    const output = handle.closest('.jp-OutputArea');
    const source = () => output.querySelector('canvas')?.dataset.turns ?? output.querySelector('img')?.src;
    const before = source();
    const start = performance.now();
    const observer = new MutationObserver(() => {
        if (!source() || source() === before) return;
        observer.disconnect();
        done(performance.now() - start);
    });
    observer.observe(output, { subtree: true, childList: true, attributeFilter: ['src', 'data-turns'] });
    handle.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
})"""


def bench_explorer() -> list[Target]:
    """Print the table of times from a key press to the next picture; return the targets."""
    executable = find_chromium()
    if executable is None:
        return [Target(name, None, "the PATH lacks a Chromium") for name in TARGETS]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        served, private = Path(folder, "notebooks"), Path(folder, "private")
        served.mkdir()
        private.mkdir()
        browser = launch_chromium(playwright, executable)
        with jupyter_lab(served, private) as lab:

            def times(name: str, code: str, slider: str = "Blend alpha") -> list[float]:
                write_notebook(served / name, code)
                page = browser.new_page(viewport=VIEWPORT)
                open_and_run(page, lab, name)
                return press_times(page, slider)

            explorer = times("explorer.ipynb", EXPLORER)
            twin = times("twin.ipynb", TWIN)
            thresholds = times("thresholds.ipynb", THRESHOLDS, "IoU")
        browser.close()

    print(f"\nKey to picture: ms of {PRESSES} presses, {load()}")
    print(f"  {'':<50}{'median':>9}{'best':>9}{'worst':>9}")
    for name, ms in (
        (f"Explorer, Blend alpha, {PHOTO}", explorer),
        ("the same with interactive_output, inline figures", twin),
        ("ThresholdExplorer, IoU", thresholds),
    ):
        print(f"  {name:<50}{median(ms):>9.0f}{min(ms):>9.0f}{max(ms):>9.0f}")
    ratio = median(twin) / median(explorer)
    print(f"  {'interactive_output / Explorer':<50}{ratio:>8.1f}x")
    reached = (
        (ratio >= 6, f"{ratio:.1f}x"),
        (median(explorer) <= 40, f"{median(explorer):.0f} ms"),
        (median(thresholds) <= 60, f"{median(thresholds):.0f} ms"),
    )
    return [Target(name, *outcome) for name, outcome in zip(TARGETS, reached, strict=True)]


def write_notebook(path: Path, code: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    # Without a kernel's name JupyterLab opens a dialog.
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def press_times(page: Page, slider: str) -> list[float]:
    """Milliseconds of each press, after two warm-up presses."""
    page.locator(".jp-OutputArea img, .jp-OutputArea canvas").first.wait_for()
    handle = page.locator(".widget-slider", has_text=slider).locator(".noUi-handle")
    times = []
    for _ in range(2 + PRESSES):
        page.wait_for_timeout(150)  # let everything from the previous press arrive
        times.append(handle.evaluate(PRESS_TO_PICTURE))
    return times[2:]
