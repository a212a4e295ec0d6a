"""What the README says, done."""

import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from maskseg_nb import CocoDataset, load_image, sample_photo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_readmes_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    shutil.copy(sample_photo("restaurant"), tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, namespace)
    plt.close("all")
    assert len(shown) == 1  # plt.show() found the figure
    assert namespace["blended"].shape == namespace["colored"].shape == (800, 800, 3)
    assert namespace["masks"].dtype == np.float32
    dataset = CocoDataset(tmp_path, tmp_path / "results" / "photo.jpg.coco.json")
    photo, truth = dataset[0]  # the file that the JSON names has the size that it says
    assert np.array_equal(photo, load_image("photo.jpg")) and len(truth) == len(namespace["found"]) > 0


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("maskseg_nb/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    for target in targets:
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_commands_of_the_readme_and_the_guide_are_in_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README + guide, re.MULTILINE))
    assert {"lab", "demo", "check", "test", "torture", "bench", "verify-models"} <= named <= targets


def test_the_readmes_pictures_are_small():
    for picture in (ROOT / "docs").iterdir():
        assert picture.stat().st_size < 500_000
