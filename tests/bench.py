"""How fast masks are drawn, here and elsewhere, and how fast the explorer follows a key: `make bench`."""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median

import cv2
import nbformat
import numpy as np
import supervision
import torch
import torchvision
from playwright.sync_api import Page, sync_playwright
from torchvision.utils import draw_segmentation_masks

from browser.lab import VIEWPORT, find_chromium, jupyter_lab, launch_chromium, open_and_run
from maskseg_nb import (
    Prediction,
    draw_instances,
    load_model,
    overlay_segmentation_mask,
    predict,
    preprocess,
    sample_photo,
)
from maskseg_nb.canvas import JPEG_QUALITY
from maskseg_nb.export import encoded

PHOTO = "restaurant"
COUNTS = (5, 20, 100)
RUNS, PRESSES = 15, 25

EXPLORER = f"""from maskseg_nb import Explorer

explorer = Explorer()
explorer.state.picture = "{PHOTO} (sample)"
explorer"""
# What one writes without this package, and a figure of the explorer's size: 1136 x 592 pixels.
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

# Milliseconds from a key's press to another picture in the cell's output.
PRESS_TO_PICTURE = """handle => new Promise(done => {
    const output = handle.closest('.jp-OutputArea');
    const source = () => output.querySelector('img')?.src;
    const before = source();
    const start = performance.now();
    const observer = new MutationObserver(() => {
        if (!source() || source() === before) return;
        observer.disconnect();
        done(performance.now() - start);
    });
    observer.observe(output, { subtree: true, childList: true, attributeFilter: ['src'] });
    handle.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
})"""


def main() -> None:
    print_machine()
    targets = [*bench_drawing(), *bench_browser()]
    print("\nTargets")
    for name, reached, measured in targets:
        print(f"  {name}: {'reached' if reached else 'MISSED'} ({measured})")


def print_machine() -> None:
    print(f"{datetime.now():%Y-%m-%d %H:%M}, {cpu_model()}, {os.cpu_count()} cores, {load()}")
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, OpenCV {cv2.__version__}, supervision {supervision.__version__}"
    )


def cpu_model() -> str:
    """The processor's name, where the system tells one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")


def load() -> str:
    """How busy the machine is with everything."""
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"


# Drawing.


def bench_drawing() -> list[tuple[str, bool, str]]:
    """Print the table of drawing times; return the targets as (name, reached, what was measured)."""
    tensor, image = preprocess(sample_photo(PHOTO))
    found = predict(load_model("street"), tensor)
    times = {count: drawing_times(image, with_rows(found, count)) for count in COUNTS}

    print(f"\nDrawing on {PHOTO}, {image.shape[1]} x {image.shape[0]}: median ms of {RUNS}, and instances")
    print(f"  {'':<46}" + "".join(f"{count:>9}" for count in COUNTS))
    for name in times[COUNTS[0]]:
        print(f"  {name:<46}" + "".join(f"{times[count][name]:>9.2f}" for count in COUNTS))
    ratios = {}
    for name in ("draw_instances, no labels", "draw_instances, labels"):
        ratios[name] = {count: t["supervision MaskAnnotator"] / t[name] for count, t in times.items()}
        title = f"supervision / {name}"
        print(f"  {title:<46}" + "".join(f"{ratios[name][count]:>8.1f}x" for count in COUNTS))

    hundred = with_rows(found, 100)
    held = sum(a.nbytes for a in (hundred.boxes, hundred.labels, hundred.scores, hundred.mask_probs))
    print(f"\nA Prediction of 100 holds {held:,} bytes; its masks() are {hundred.masks().nbytes:,}")
    ratio = ratios["draw_instances, no labels"][20]
    return [
        ("draw_instances at least 4 times as fast as supervision, 20 instances", ratio >= 4, f"{ratio:.1f}x"),
        ("a Prediction of 100 in less than 1 MB", held < 1e6, f"{held / 1e6:.2f} MB"),
    ]


def with_rows(found: Prediction, count: int) -> Prediction:
    """The model's own detections, from the best on and again from the front, each moved a little.

    All score 0.5 or more, so that the default threshold keeps every one.
    """
    random = np.random.default_rng(0)
    many = found[np.arange(count) % len(found)]
    moves = random.uniform(-20, 20, (count, 2)).astype(np.float32)  # pixels
    boxes = np.clip(many.boxes + np.tile(moves, 2), 0, min(found.image_size))
    scores = np.linspace(0.99, 0.5, count, dtype=np.float32)
    return Prediction(boxes, many.labels, scores, many.mask_probs, many.image_size, many.categories)


def drawing_times(image: np.ndarray, prediction: Prediction) -> dict[str, float]:
    """What is measured -> median milliseconds. Each drawer gets masks in the form that it takes."""
    instances = prediction.select()
    assert len(instances) == len(prediction)
    masks = instances.masks  # bool (N, H, W)
    image_tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous()  # (3, H, W)
    masks_tensor = torch.from_numpy(masks)
    detections = supervision.Detections(instances.boxes, mask=masks, class_id=instances.labels)
    annotator = supervision.MaskAnnotator(opacity=0.5, color_lookup=supervision.ColorLookup.INDEX)

    def select_draw_encode() -> bytes:
        drawn = draw_instances(image, prediction.select())
        return encoded(".jpg", drawn, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))

    return {
        "select + draw_instances (labels) + JPEG": median_ms(select_draw_encode),
        "Prediction.select": median_ms(prediction.select),
        "draw_instances, labels": median_ms(lambda: draw_instances(image, instances)),
        "draw_instances, no labels": median_ms(lambda: draw_instances(image, instances, labels=False)),
        "overlay_segmentation_mask": median_ms(lambda: overlay_segmentation_mask(image, masks)),
        "torchvision draw_segmentation_masks": median_ms(
            lambda: draw_segmentation_masks(image_tensor, masks_tensor, alpha=0.5)
        ),
        # It draws into the picture that it is given; all the others return a new one.
        "supervision MaskAnnotator": median_ms(lambda: annotator.annotate(image.copy(), detections)),
    }


def median_ms(action: Callable[[], object]) -> float:
    for _ in range(2):  # the first runs fill caches
        action()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


# The browser.


def bench_browser() -> list[tuple[str, bool, str]]:
    """Print the table of a key's press to the next picture; return the targets."""
    executable = find_chromium()
    if executable is None:
        print("\nNo Chromium on the PATH: the explorer in the browser is not measured")
        return []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        served, private = Path(folder, "notebooks"), Path(folder, "private")
        served.mkdir()
        private.mkdir()
        browser = launch_chromium(playwright, executable)
        with jupyter_lab(served, private) as lab:

            def times(name: str, code: str) -> list[float]:
                write_notebook(served / name, code)
                page = browser.new_page(viewport=VIEWPORT)
                open_and_run(page, lab, name)
                return press_times(page)

            explorer = times("explorer.ipynb", EXPLORER)
            twin = times("twin.ipynb", TWIN)
        browser.close()

    print(f"\nKey to picture, Blend alpha, {PHOTO}: ms of {PRESSES} presses, {load()}")
    print(f"  {'':<46}{'median':>9}{'best':>9}{'worst':>9}")
    for name, ms in (("Explorer", explorer), ("interactive_output + matplotlib inline", twin)):
        print(f"  {name:<46}{median(ms):>9.0f}{min(ms):>9.0f}{max(ms):>9.0f}")
    ratio = median(twin) / median(explorer)
    print(f"  {'interactive_output / Explorer':<46}{ratio:>8.1f}x")
    return [
        ("the Explorer at least 5 times as fast as interactive_output", ratio >= 5, f"{ratio:.1f}x"),
        ("key to picture within 60 ms", median(explorer) <= 60, f"{median(explorer):.0f} ms"),
    ]


def write_notebook(path: Path, code: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    # Without a kernel's name JupyterLab opens a dialog.
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def press_times(page: Page) -> list[float]:
    """Milliseconds of each press, after two that nobody counts."""
    page.locator(".jp-OutputArea img").first.wait_for()
    handle = page.locator(".widget-slider", has_text="Blend alpha").locator(".noUi-handle")
    times = []
    for _ in range(2 + PRESSES):
        page.wait_for_timeout(150)  # let everything of the press before arrive
        times.append(handle.evaluate(PRESS_TO_PICTURE))
    return times[2:]


if __name__ == "__main__":
    main()
