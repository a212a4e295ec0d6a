import json
import os
import re
import shlex
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
import torch
from PIL import Image

import maskseg_nb
from maskseg_nb import MODELS, load_image, load_model, predict, preprocess, sample_photo
from maskseg_nb.__main__ import _parser, _pictures, main
from maskseg_nb.models.download import Download

ROOT = Path(__file__).parents[1]


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
        said = ", ".join(f"{n} {c}" for n, c in counts.items())
        assert line == f"{name}{sample_photo(name).suffix}: {said}"
    assert lines[2].startswith("2 pictures, 0 done before; 0 failed; ")
    assert lines[2].endswith("; the files are in segmented") and len(lines) == 3
    assert err == ""
    assert files("segmented") == [
        "coco.json",
        "failures.csv",
        "instances.csv",
        "motorcycle.png.overlay.png",
        "records/motorcycle.png.json",
        "records/restaurant.jpg.json",
        "restaurant.jpg.overlay.png",
    ]


@pytest.mark.slow
def test_files_and_folders_are_taken_together(folder, capsys):
    (folder / "some").mkdir()
    shutil.copy(sample_photo("cat"), folder / "some")
    Image.open(sample_photo("astronaut")).save(
        folder / "me $5 to $6.png"
    )  # $ would be mathematics to a title
    arguments = ["some", "me $5 to $6.png", "--out", "new/folder", "--formats", "side_by_side,csv", "-v"]
    assert main(arguments) == 0
    assert "me $5 to $6.png: person " in capsys.readouterr().out
    figures = [name for name in files("new/folder") if name.endswith("side-by-side.png")]
    assert len(figures) == 2
    height, width, _ = load_image(f"new/folder/{figures[0]}").shape
    assert width > 1.5 * height  # original and result side by side
    assert main(arguments) == 0
    assert "2 pictures, 2 done before" in capsys.readouterr().out
    assert main([*arguments, "--from-scratch"]) == 0
    assert "2 pictures, 0 done before" in capsys.readouterr().out


@pytest.mark.slow
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
    assert len(Path("masks/instances.csv").read_text().splitlines()) == 1  # no probability is greater than 1


@pytest.mark.slow
def test_only_the_named_categories_are_kept_and_spaces_around_them_are_nothing():
    photo = str(sample_photo("restaurant"))
    assert main([photo, "--categories", "car, person", "--out", "some", "--quiet"]) == 0
    assert main([photo, "--categories", "motorcycle", "--out", "none", "--quiet"]) == 0
    some, none = (Path(name, "instances.csv").read_text().splitlines()[1:] for name in ("some", "none"))
    assert {line.split(",")[2] for line in some} == {"person"} and none == []


@pytest.mark.slow
def test_the_limit_of_detections_is_named_with_its_knob(folder, capsys):
    photo = str(sample_photo("restaurant"))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([photo, "-v", "--detections-per-img", "2"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "restaurant.jpg: person 2; the limit of 2 detections is reached"
    assert "; 1 at the limit of detections; the files are in segmented" in out
    assert err.startswith("note: 1 picture ('restaurant.jpg') reached") and "(--detections-per-img)" in err
    assert err.count("\n") == 1
    assert main([photo, "-v", "--detections-per-img", "200"]) == 0
    assert "limit" not in "".join(capsys.readouterr())


@pytest.mark.slow
def test_what_is_passed_over_is_in_the_last_line(folder, capsys):
    for name in ("one", "two"):
        (folder / name).mkdir()
        Image.new("RGB", (60, 40), (128, 128, 128)).save(folder / name / "a.png")
        (folder / name / "a.dng").touch()
    (folder / "two" / "b.txt").touch()
    assert main(["one", "two", "-v"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["one/a.png: nothing found", "two/a.png: nothing found"]
    assert lines[2].startswith("2 pictures, ")
    assert lines[2].endswith("; 3 files passed over: 2 .dng, 1 .txt; the files are in segmented")


# Wildcards


@pytest.fixture
def tree(folder):
    for place in ("a.png", "b.png", "c.jpg", "day1/d.png", "day2/e.png", "[ab].png", "shots [1]/f.png"):
        (folder / place).parent.mkdir(exist_ok=True)
        Image.new("RGB", (60, 40), (128, 128, 128)).save(folder / place, "PNG")
    (folder / "day1" / "notes.txt").touch()
    return folder


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["*.png"], ["[ab].png", "a.png", "b.png"]),
        (["?.png", "c.jpg"], ["a.png", "b.png", "c.jpg"]),
        (["[ab].png"], ["[ab].png"]),  # a file of that very name
        (["[a-b].png"], ["a.png", "b.png"]),
        (["day*/*.png"], ["day1/d.png", "day2/e.png"]),
        (["day?"], ["day1/d.png", "day2/e.png"]),  # folders' pictures in their place
        (["shots [1]/*.png"], ["shots [1]/f.png"]),
        (["shots [1]"], ["shots [1]/f.png"]),
        (["./*.png", "a.png"], ["[ab].png", "a.png", "b.png", "a.png"]),
        (["**/e.png"], ["day2/e.png"]),
        (["*.gif"], ["*.gif"]),  # as a shell leaves it, to be reported as missing
    ],
)
def test_wildcards_are_expanded_as_by_a_shell(tree, given, expected):
    pictures = _pictures(given)
    assert pictures == list(map(Path, expected))
    absolute = _pictures([str(tree / text) for text in given])
    assert absolute == [tree / name for name in expected]


def test_a_home_folder_is_found_where_no_shell_has(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree))
    monkeypatch.setenv("USERPROFILE", str(tree))
    assert _pictures(["~/a.png"]) == [tree / "a.png"]
    assert _pictures(["~/day1"]) == [tree / "day1" / "d.png"]


def test_a_wildcard_without_a_file_is_named_and_the_others_are_done(tree, capsys):
    assert main(["*.gif", "a.png"]) == 1
    assert capsys.readouterr().err == "error: '*.gif' does not exist; check the path\n"


# make demo


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
@pytest.mark.parametrize(
    ("given", "got"),
    [
        ("a b.jpg", "a b.jpg"),
        ('it\'s "x".jpg', 'it\'s "x".jpg'),
        ("cost $5 ${HOME} $b.jpg", "cost $5 ${HOME} $b.jpg"),
        ("cost $$5.jpg", "cost $5.jpg"),  # as make itself wants a dollar written
        ("$(shell touch X)`touch X`;touch X", "$(shell touch X)`touch X`;touch X"),
        ("a#b\\c.jpg", "a#b\\c.jpg"),
        ("*.jpg", "*.jpg"),
        ("-v.jpg", "-v.jpg"),
        ("", None),
    ],
)
def test_make_demo_takes_a_photo_of_any_name_and_runs_nothing_of_it(folder, given, got):
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "installed").touch()
    spy = folder / ".venv" / "bin" / "python"
    spy.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    spy.chmod(0o755)
    for form in (["demo", f"PHOTO={given}"], ["demo"]):
        environment = {**os.environ, "PHOTO": given if form == ["demo"] else ""}
        environment.pop("MAKEFLAGS", None)
        done = subprocess.run(
            ["make", "--silent", *form],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        arguments = json.loads(done.stdout)
        assert arguments[arguments.index("--") + 1 :] == ([] if got is None else [got])
        assert _parser().parse_args(arguments[2:]).pictures == ([] if got is None else [got])
    assert not (folder / "X").exists()


@pytest.mark.slow
def test_quiet_says_nothing_and_still_says_errors(folder, capsys):
    assert main([str(sample_photo("cat")), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main([str(sample_photo("cat")), "no.jpg", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err == "error: 'no.jpg' does not exist; check the path\n"


def test_pictures_that_fail_are_named_the_others_are_done_and_the_status_is_1(folder, capsys):
    (folder / "text.png").write_text("no picture\n")
    assert main(["text.png", str(sample_photo("cat")), "no.jpg"]) == 1
    out, err = capsys.readouterr()
    assert [line.split("'")[:2] for line in err.splitlines()] == [
        ["error: ", "text.png"],
        ["error: ", "no.jpg"],
    ]
    assert "3 pictures, 0 done before; 2 failed" in out
    assert "cat.png.overlay.png" in files("segmented")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no.jpg", "text.png"])
def test_a_single_picture_that_fails_leaves_no_folder(folder, name, capsys):
    (folder / "text.png").write_text("no picture\n")
    assert main([name]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: '{name}' ") and err.count(name) == 1
    assert not Path("segmented").exists()
    assert main([str(sample_photo("cat")), "--quiet"]) == 0
    assert main([name]) == 1  # but takes nothing away from one that was there
    assert "cat.png.overlay.png" in files("segmented")


def test_an_address_in_the_web_is_to_be_downloaded_first(folder, capsys):
    assert main(["https://example.com/a.jpg"]) == 1
    assert capsys.readouterr().err == (
        "error: 'https://example.com/a.jpg' is an address in the web; download the picture first\n"
    )
    assert not os.listdir(folder)


def test_spaces_around_formats_are_nothing(folder):
    assert main([str(sample_photo("cat")), "--formats", " instances , csv", "--quiet"]) == 0
    assert {"cat.png.instances.png", "instances.csv"} < set(files("segmented"))


def test_the_version_is_the_package_s(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"maskseg-nb {maskseg_nb.__version__}\n"


def test_the_device_reaches_the_model(folder, monkeypatch, capsys):
    asked = []

    def loaded(name, **options):
        asked.append(options["device"])
        return load_model(name, **options)

    monkeypatch.setattr("maskseg_nb.__main__.load_model", loaded)
    assert main([str(sample_photo("cat")), "--device", "cpu", "--quiet"]) == 0
    assert main([str(sample_photo("cat")), "--device", "mps", "--quiet"]) == 1
    assert asked == ["cpu", "mps"]
    assert capsys.readouterr().err == "error: device 'mps' cannot be used here; there is cpu\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["empty"], "no pictures in 'empty'"),
        (["--model", "no-such-model"], "no model 'no-such-model'; give one of coco, coco_v2, street"),
        (["--model", "no.pth"], "'no.pth' is not a file"),
        (
            ["--categories", "person,dog"],
            "no category 'dog'; this model knows person, bicycle, car, motorcycle",
        ),
        (["--out", "text.png"], "'text.png' cannot be written"),
        (["--out", "a"], "'a' is neither empty nor of an earlier run"),
    ],
)
def test_what_the_user_can_fix_is_one_line_and_status_1(arguments, message, folder, capsys):
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
        (["--formats", "overlay,jpeg"], "argument --formats: formats must be among overlay, .*, got 'jpeg'"),
        (["--formats", "csv,cutouts"], r"got 'cutouts'; did you mean 'cut_outs'\?"),
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["-q", "-v"], "not allowed with argument"),
        (["--categories", " , "], "argument --categories: must name at least one category, got ' , '"),
        (
            ["--detections-per-img", "0"],
            "argument --detections-per-img: must be a whole number of at least 1",
        ),
        (
            ["--detections-per-img", "2.5"],
            "argument --detections-per-img: must be a whole number of at least 1",
        ),
    ],
)
def test_wrong_use_is_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_help_has_examples_that_work(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    examples = re.findall(r"^  maskseg-nb ?(.*?)(?:   .*)?$", out, re.MULTILINE)
    assert len(examples) == 7
    for example in examples:
        _parser().parse_args(shlex.split(example))


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


@pytest.mark.slow
def test_python_m_maskseg_nb_ends_with_mains_status(folder):
    environment = {**os.environ, "PYTHONPATH": str(Path(maskseg_nb.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "maskseg_nb", "no.jpg"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: 'no.jpg' does not exist; check the path\n"


def test_it_is_installed_as_maskseg_nb():
    (script,) = entry_points(group="console_scripts", name="maskseg-nb")
    assert script.load() is main


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_what_a_checkpoint_does_not_say_can_be_said(folder, capsys):
    torch.save(load_model("street").state_dict(), "streets.pth")
    photo = str(sample_photo("motorcycle"))
    arguments = [photo, "--model", "streets.pth", "--formats", "csv", "--out"]
    assert main([*arguments, "unsaid"]) == 0
    assert (
        "note: 'streets.pth' does not say how it was trained; assumed: min_size=576"
        in capsys.readouterr().err
    )
    told = ["--min-size", "320", "--max-size", "480", "--anchors", "16,32,64,128,256"]
    assert main([*arguments, "said", "--category-names", "human,bike,auto,motor", *told]) == 0
    assert capsys.readouterr().err == ""
    unsaid, said = (Path(out, "instances.csv").read_text() for out in ("unsaid", "said"))
    assert ",4,0.9" in unsaid and ",motor,0.9" in said

    image = load_image(photo)
    small = load_model("street", min_size=320, max_size=480)
    found = predict(small, preprocess(image, size=image.shape[:2])[0]).select(score_threshold=0.5)
    assert len(said.splitlines()) == 1 + len(found)

    assert main([*arguments, "wrong", "--category-names", "one,two"]) == 1
    assert "error: it names 2 categories and has weights for 5" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "wrong", "--anchors", "large"])
    assert "must be comma-separated numbers, got 'large'" in capsys.readouterr().err


def test_very_many_pictures_are_kept_in_shards(folder, capsys):
    for number in range(3):
        (folder / "in" / "deep").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (90 * number,) * 3).save(folder / "in" / "deep" / f"{number}.png")
    arguments = ["in", "--out", "shards", "--shards"]
    assert main([*arguments, "--formats", "csv"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("3 pictures, 0 done before; 0 failed; ")
    assert out.endswith("; the shards are in shards\n") and err == ""
    (shard,) = Path("shards", "shards").rglob("*.parquet")
    assert files("shards") == [
        "failures.csv",
        "instances.csv",
        "manifest.parquet",
        shard.relative_to("shards").as_posix(),
    ]
    (folder / "in" / "3.png").write_bytes(b"text")
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert "4 pictures, 3 done before; 1 failed" in out and err == "error: 1 failed; failures.csv says why\n"
    assert main([*arguments, "--from-scratch", "--quiet", "--score-threshold", "0.9"]) == 1
    assert main(["--out", "shards", "--shards"]) == 1
    assert "error: --shards needs a source" in capsys.readouterr().err
    assert main(["in/deep/0.png", "in/deep/1.png", "--out", "two", "--shards", "--quiet"]) == 0
    assert main(["in/deep/0.png", "--out", "two", "--shards"]) == 0
    assert "1 picture, 1 done before" in capsys.readouterr().out


def test_an_address_for_the_results_of_a_folder_run_is_refused(folder, capsys):
    assert main([str(sample_photo("cat")), "--out", "s3://bucket/out"]) == 1
    err = capsys.readouterr().err
    assert (
        err == "error: 's3://bucket/out' is an address; give a folder, or keep results in shards (--shards)\n"
    )
    assert files(".") == []
