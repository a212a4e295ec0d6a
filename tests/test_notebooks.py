"""What nbval does not look at: how the notebooks are stored, and that nbval can fail at all."""

import inspect
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torchvision import ops

import maskseg_nb
from maskseg_nb.lessons import answer, check, solutions
from maskseg_nb.lessons.answers import ANSWERS
from maskseg_nb.lessons.checking import EXERCISES
from maskseg_nb.models import loading

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_whole_small_and_executed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert len(code) <= 30
    assert path.stat().st_size < 3_000_000
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    assert "widgets" not in notebook.metadata
    for cell in code:
        assert "execution" not in cell.metadata
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr"
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebooks_links_lead_somewhere(path):
    text = path.read_text()
    for target in {part.split(")")[0] for part in text.split("](")[1:]}:
        if not target.startswith(("http", "#")):
            assert (FOLDER / target).exists(), target


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_called_by_its_number(path):
    """In its title, in links to it, and in the README's table."""
    number = path.stem[:2]
    assert nbformat.read(path, as_version=4).cells[0].source.startswith(f"# {number} ")
    for page in (*NOTEBOOKS, FOLDER.parent / "README.md"):
        for text, target in re.findall(r"\[([^][\n]+)\]\((?:notebooks/)?([^)]+)\)", page.read_text()):
            assert target != path.name or text.startswith(number), f"{page.name} calls {target} {text}"
    assert f"[{path.stem}](notebooks/{path.name})" in (FOLDER.parent / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # as in a kernel
def test_a_processor_without_bfloat16_is_told_of_in_the_text_and_not_in_red(
    street, restaurant, monkeypatch, capsys
):
    cells = nbformat.read(FOLDER / "02_inside_mask_rcnn.ipynb", as_version=4).cells
    (source,) = [
        cell.source for cell in cells if 'precision="bfloat16"' in cell.source and "code" in cell.cell_type
    ]
    monkeypatch.setattr(loading, "has_native_bfloat16", lambda device: False)
    tensor, _ = restaurant
    names = {"ms": maskseg_nb, "np": np, "torch": torch, "ops": ops, "warnings": warnings}
    exec(source, {**names, "model": street, "tensor": tensor, "run": maskseg_nb.trace(street, tensor)})
    out, red = capsys.readouterr()
    assert out.startswith(
        "note: this processor has no bfloat16 instructions: float32 is faster here\n8 against 8"
    )
    assert red == ""


# Exercises. A solution that no notebook holds does not run with it, and no export can show it.


def exercises(path):
    """The cells from the exercises on."""
    cells = nbformat.read(path, as_version=4).cells
    heads = ("## Exercises", "## Five things to try")
    start = next(number for number, cell in enumerate(cells) if cell.source.startswith(heads))
    return cells[start:]


def numbered(path):
    """The exercises without a function, as `answer` calls them: "02.5"."""
    text = "\n".join(cell.source for cell in exercises(path) if cell.cell_type == "markdown")
    return [f"{path.stem[:2]}.{number}" for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_solution(path):
    for cell in exercises(path):
        assert "jupyter" not in cell.metadata, "a hidden cell runs with all others, and exports show it"
        assert "right, in all" not in str(cell.get("outputs"))
        for name in EXERCISES:
            first, *lines = inspect.getsource(getattr(solutions, name)).splitlines()
            assert not any(line.strip() and line in cell.source for line in lines), name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_of_a_notebook_says_how_to_get_its_answer(path):
    code = [cell.source for cell in exercises(path) if cell.cell_type == "code"]
    for source in code:
        for name in re.findall(r'^check\("(\w+)"', source, re.MULTILINE):
            assert source.endswith(f'check("{name}", {name})\n# ms.answer("{name}")')
    names = numbered(path)
    line = f'ms.answer("{names[0]}")  # and so on, to "{names[-1]}"'
    assert [source for source in code if source.startswith("# ") and source.endswith(line)]


def test_every_answer_belongs_to_an_exercise_and_every_exercise_has_one():
    assert [name for path in NOTEBOOKS for name in numbered(path)] == list(ANSWERS)
    text = "".join(path.read_text() for path in NOTEBOOKS)
    assert re.findall(r'check\(\\"(\w+)\\", ', text) == list(EXERCISES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_printed_solution_needs_nothing_but_its_notebooks_imports(path, capsys):
    notebook, names = nbformat.read(path, as_version=4), {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for line in re.findall(r"^(?:import|from) .+$", cell.source, re.MULTILINE):
                exec(line, names)
        for name in re.findall(r'^check\("(\w+)"', cell.source, re.MULTILINE):
            answer(name)
            exec(capsys.readouterr().out, names)
            check(name, names[name])
            assert capsys.readouterr().out.startswith(f"{name}: right")


@pytest.mark.slow
def test_nbval_sees_a_corrupted_output(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("print(6 * 7)", execution_count=1)],
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    )
    results = {}
    for name, text in {"true": "42\n", "corrupted": "43\n"}.items():
        notebook.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(notebook, path)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", str(path)]
        results[name] = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert results["true"].returncode == 0, results["true"].stdout
    assert results["corrupted"].returncode == 1, results["corrupted"].stdout


@pytest.mark.slow
def test_nbval_compares_our_own_notebooks_not_only_runs_them(tmp_path):
    """One number of a stored output is changed: with the project's own options nbval must fail."""
    notebook = json.loads((FOLDER / "00_explore.ipynb").read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    printed = next(output for output in outputs if output.get("name") == "stdout")
    printed["text"] = [line.replace("person", "parson") for line in printed["text"]]
    path = tmp_path / "00_explore.ipynb"
    path.write_text(json.dumps(notebook))
    configuration = FOLDER.parent / "pyproject.toml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        str(configuration),
        "--rootdir",
        str(tmp_path),
        str(path),
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert "parson" in result.stdout and "1 failed" in result.stdout
