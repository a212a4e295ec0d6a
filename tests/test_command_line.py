import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskseg_nb
from maskseg_nb import MODELS, load_image, predict, preprocess, sample_photo
from maskseg_nb.__main__ import main
from maskseg_nb.checkpoints import Download


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder; main() replaces warnings.showwarning, and here it is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    return tmp_path


def test_without_photos_two_samples_are_segmented_into_the_default_figure(street, folder, capsys):
    assert main([]) == 0
    out, err = capsys.readouterr()
    expected = []
    for name in ("astronaut", "motorcycle"):
        path = sample_photo(name)
        instances = predict(street, preprocess(path)[0]).select(score_threshold=0.5)
        expected.append(f"{path.name}: {instances}")
    assert (
        out.splitlines() == "\n".join([*expected, f"The figure is in {Path('build/demo.png')}"]).splitlines()
    )
    assert err == ""
    assert min(load_image(folder / "build" / "demo.png").shape[:2]) > 300


def test_photos_and_the_figures_name_are_arguments(folder, capsys):
    Image.open(sample_photo("astronaut")).save(
        folder / "me $5 to $6.png"
    )  # $ would be mathematics to a title
    assert main(["me $5 to $6.png", "--out", "new/folder/figure.png"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("me $5 to $6.png: Instances(")
    assert out.endswith(f"The figure is in {Path('new/folder/figure.png')}\n")
    height, width, _ = load_image("new/folder/figure.png").shape
    assert width > 1.5 * height  # original and result side by side


def test_the_thresholds_reach_the_result(capsys):
    photo = str(sample_photo("astronaut"))
    figures = []
    for options in (["--score-threshold", "0.5"], ["--score-threshold", "1"], ["--alpha", "0"]):
        assert main([photo, *options, "--out", "figure.png"]) == 0
        figures.append(load_image("figure.png").astype(int))
    assert "astronaut.png: Instances(0 in 800 x 800)" in capsys.readouterr().out
    found, nothing, faint = figures
    left = found.shape[1] // 2 - 10
    assert np.array_equal(found[40:, :left], nothing[40:, :left])  # the original, below the titles
    assert not np.array_equal(found[40:, left:], nothing[40:, left:])
    assert not np.array_equal(found[40:, left:], faint[40:, left:])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["no.jpg"], "'no.jpg' does not exist"),
        (["text.png"], "'text.png' is not a picture"),
        (["."], "'.' is not a file"),
        (["--model", "no-such-model"], "no model 'no-such-model'; give one of coco, coco_v2, street"),
        (["--model", "no.pth"], "'no.pth' is not a file"),
        (["--out", "text.png/figure.png"], "text.png"),
        (["--out", "figure.docx"], "docx"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_1(arguments, message, folder, capsys):
    (folder / "text.png").write_text("no picture\n")
    if "--out" in arguments:
        arguments = [str(sample_photo("cat")), *arguments]
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err


def test_a_figure_without_a_suffix_is_where_the_last_line_says(capsys):
    assert main([str(sample_photo("cat")), "--out", "figure"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert load_image(last.removeprefix("The figure is in ")).ndim == 3


@pytest.mark.skipif(os.name != "posix", reason="such a name exists on POSIX systems only")
def test_a_photo_whose_name_is_not_utf8_is_segmented(folder, capsys):
    photo = folder / os.fsdecode(b"\xff.png")
    photo.write_bytes(sample_photo("cat").read_bytes())
    assert main([str(photo), "--out", "figure.png"]) == 0
    assert "Instances(" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--score-threshold", "--alpha"])
@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "inf", "half", ""])
def test_a_number_outside_0_to_1_is_refused_before_anything_else(option, value, capsys):
    with pytest.raises(SystemExit) as caught:
        main([f"{option}={value}"])
    assert caught.value.code == 2
    assert f"argument {option}: must be a number in [0, 1], got {value!r}" in capsys.readouterr().err


def test_without_coco_a_note_says_that_street_is_used(folder, monkeypatch, capsys):
    monkeypatch.delenv("MASKSEG_NB_MODEL")
    monkeypatch.setenv("TORCH_HOME", str(folder))
    # Port 1 of this machine: nothing listens there.
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    download = Download("http://127.0.0.1:1/weights-00000000.pth", "00000000")
    monkeypatch.setitem(MODELS, "coco", replace(MODELS["coco"], download=download))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([str(sample_photo("cat")), "--out", "figure.png"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("note: Using the shipped model street instead of coco: ") and err.count("\n") == 1


def test_python_m_maskseg_nb_ends_with_mains_status(folder):
    environment = {**os.environ, "PYTHONPATH": str(Path(maskseg_nb.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "maskseg_nb", "no.jpg"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: 'no.jpg' does not exist; check the path 'no.jpg'\n"
