import os
import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskseg_nb
from maskseg_nb import MODELS, load_image, predict, preprocess, sample_photo
from maskseg_nb.__main__ import _parser, main
from maskseg_nb.download import Download


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder; main() replaces warnings.showwarning, and here it is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    return tmp_path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_without_pictures_two_samples_are_segmented(street, folder, capsys):
    assert main(["--verbose"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    for line, name in zip(lines, ("restaurant", "motorcycle"), strict=False):
        image = load_image(sample_photo(name))
        found = predict(street, preprocess(image, size=image.shape[:2])[0]).select(score_threshold=0.5)
        counts = Counter(found.names)
        assert line == f"{sample_photo(name).name}: " + ", ".join(f"{n} {c}" for n, c in counts.items())
    assert lines[2].startswith("2 pictures, 0 done before; 0 failed; ")
    assert lines[2].endswith("; the files are in segmented") and len(lines) == 3
    assert err == ""
    assert files("segmented") == [
        "coco.json",
        "failures.csv",
        "instances.csv",
        "motorcycle_left.png.overlay.png",
        "records/motorcycle_left.png.json",
        "records/rgb.jpg.json",
        "rgb.jpg.overlay.png",
    ]


def test_files_and_folders_are_taken_together(folder, capsys):
    (folder / "some").mkdir()
    for name in ("cat", "coffee"):
        shutil.copy(sample_photo(name), folder / "some")
    Image.open(sample_photo("astronaut")).save(
        folder / "me $5 to $6.png"
    )  # $ would be mathematics to a title
    arguments = ["some", "me $5 to $6.png", "--out", "new/folder", "--formats", "side_by_side,csv", "-v"]
    assert main(arguments) == 0
    assert "me $5 to $6.png: person " in capsys.readouterr().out
    figures = [name for name in files("new/folder") if name.endswith("side-by-side.png")]
    assert len(figures) == 3
    height, width, _ = load_image(f"new/folder/{figures[0]}").shape
    assert width > 1.5 * height  # original and result side by side
    assert main(arguments) == 0
    assert "3 pictures, 3 done before" in capsys.readouterr().out
    assert main([*arguments, "--anew"]) == 0
    assert "3 pictures, 0 done before" in capsys.readouterr().out


def test_the_options_reach_the_result():
    photo = str(sample_photo("astronaut"))
    pictures = []
    for number, options in enumerate(
        (["--score-threshold", "0.5"], ["--score-threshold", "1"], ["--alpha", "0"])
    ):
        assert main([photo, *options, "--out", str(number), "--quiet"]) == 0
        pictures.append(load_image(f"{number}/astronaut.png.overlay.png"))
    found, nothing, faint = pictures
    image = load_image(photo)
    assert np.array_equal(nothing, image)
    assert not np.array_equal(found, nothing) and not np.array_equal(found, faint)
    assert main([photo, "--mask-threshold", "1", "--out", "masks", "--quiet"]) == 0
    assert ",0,0.0," in Path("masks/instances.csv").read_text()  # no pixel is surer than 1


def test_quiet_says_nothing_and_still_says_errors(folder, capsys):
    assert main([str(sample_photo("cat")), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main([str(sample_photo("cat")), "no.jpg", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err == "error: no.jpg: 'no.jpg' does not exist; check the path 'no.jpg'\n"


def test_pictures_that_fail_are_named_the_others_are_done_and_the_status_is_1(folder, capsys):
    (folder / "text.png").write_text("no picture\n")
    assert main(["text.png", str(sample_photo("cat")), "no.jpg"]) == 1
    out, err = capsys.readouterr()
    assert [line.split(":")[1] for line in err.splitlines()] == [" text.png", " no.jpg"]
    assert "3 pictures, 0 done before; 2 failed" in out
    assert "chelsea.png.overlay.png" in files("segmented")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["empty"], "no pictures in 'empty'"),
        (["a/cat.png", "b/cat.png"], "two pictures are called 'cat.png'"),
        (["--model", "no-such-model"], "no model 'no-such-model'; give one of coco, coco_v2, street"),
        (["--model", "no.pth"], "'no.pth' is not a file"),
        (["--out", "text.png"], "'text.png' cannot be written"),
        (["--out", "a"], "'a' is neither empty nor of an earlier run"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_1(arguments, message, folder, capsys):
    (folder / "text.png").write_text("no picture\n")
    (folder / "empty").mkdir()
    for name in ("a", "b"):
        (folder / name).mkdir()
        shutil.copy(sample_photo("cat"), folder / name / "cat.png")
    if "--out" in arguments:
        arguments = [str(sample_photo("cat")), *arguments]
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--formats", "overlay,jpeg"], "argument --formats: must be among overlay, .*, got 'jpeg'"),
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["-q", "-v"], "not allowed with argument"),
    ],
)
def test_wrong_use_is_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_help_has_examples_that_are_no_wrong_use(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    examples = re.findall(r"^  maskseg-nb ?(.*?)(?:   .*)?$", out, re.MULTILINE)
    assert len(examples) == 4
    for example in examples:
        _parser().parse_args(example.split())


@pytest.mark.skipif(os.name != "posix", reason="such a name exists on POSIX systems only")
def test_a_photo_whose_name_is_not_utf8_is_segmented(folder, capsys):
    photo = folder / os.fsdecode(b"\xff.png")
    Image.new("RGB", (60, 40), (128, 128, 128)).save(photo)
    assert main([str(photo), "-v"]) == 0
    assert r"'\udcff.png': nothing found" in capsys.readouterr().out


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
        assert main([str(sample_photo("cat"))]) == 0
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
    assert done.stdout.startswith("1 picture, 0 done before; 1 failed; ")
    assert done.stderr == "error: no.jpg: 'no.jpg' does not exist; check the path 'no.jpg'\n"


def test_it_is_installed_as_maskseg_nb():
    (script,) = entry_points(group="console_scripts", name="maskseg-nb")
    assert script.load() is main
