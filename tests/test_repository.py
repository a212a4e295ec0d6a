"""The files around the package: they parse, and what they say about each other holds."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import maskseg_nb

ROOT = Path(__file__).parents[1]
YAML = sorted(
    {*ROOT.glob("*.yml"), *ROOT.glob("*.yaml"), *ROOT.glob(".*.yaml"), *ROOT.glob(".github/**/*.yml")}
)


@pytest.mark.parametrize("path", [*YAML, ROOT / "CITATION.cff"], ids=lambda path: path.name)
def test_yaml_parses(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_the_workflow_calls_what_a_person_calls_and_says_that_it_never_ran():
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "has never run here" in text.splitlines()[0]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    runs = [
        step["run"] for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"] if "run" in step
    ]
    called = {target for run in runs for target in re.findall(r"\bmake ([a-z-]+)", run)}
    assert called == {"check", "verify-models"} <= targets
    assert any(".ci/run" in run for run in runs) and "\nmake test\n" in (ROOT / ".ci/run").read_text()


def test_the_citation_names_this_version_and_the_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["version"] == maskseg_nb.__version__
    titles = " ".join(reference["title"] for reference in citation["references"])
    for name in ("Mask R-CNN", "Feature Pyramid", "Faster R-CNN", "EfficientNet", "COCO"):
        assert name in titles


def test_the_glossary_is_in_order_and_names_each_module_as_its_link_does():
    rows = re.findall(
        r"^\| (.+?) \| .+ \| \[(.+)\]\((.+)\) \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE
    )
    assert len(rows) >= 25
    words = [word.lower() for word, *_ in rows]
    assert words == sorted(words)
    assert [link for _, _, link in rows] == [f"../maskseg_nb/{module}.py" for _, module, _ in rows]


def test_blame_looks_past_the_commit_that_moved_the_files():
    (commit,) = re.findall(r"^[0-9a-f]{40}$", (ROOT / ".git-blame-ignore-revs").read_text(), re.MULTILINE)
    shown = subprocess.run(
        ["git", "show", "-s", "--format=%s", commit], cwd=ROOT, capture_output=True, text=True
    )
    if shown.returncode:
        pytest.skip("no git, or not the whole history")
    assert shown.stdout.startswith("The package moves into rooms")


def test_the_guide_to_the_code_names_what_there_is():
    page = ROOT / "docs" / "reading_the_code.md"
    links = set(re.findall(r"\]\(([^)]+\.py)\)", page.read_text()))
    code = "".join((page.parent / link).read_text() for link in links)
    names = [
        name for name in re.findall(r"`([A-Za-z_][\w.]*)`", page.read_text()) if not name.endswith(".py")
    ]
    assert len(links) > 25 and len(names) > 30
    for name in names:
        for part in name.split("."):
            defined = rf"\b(def|class) {part}\b|^ *(self\.)?{part}\b.* = "
            assert re.search(defined, code, re.MULTILINE), name


def test_from_a_moved_slider_to_pixels_it_is_at_most_12_steps_through_6_files():
    page = (ROOT / "docs" / "reading_the_code.md").read_text()
    _, way = page.split("## From a moved slider to pixels")
    assert 5 < len(re.findall(r"^\d+\. ", way, re.MULTILINE)) <= 12
    assert len(set(re.findall(r"\]\(([^)]+\.py)\)", way))) <= 6
