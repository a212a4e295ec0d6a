"""Small folders of empty files; where a name leads is worked out by hand."""

import os

import pytest

from maskseg_nb.data.findings import Fault
from maskseg_nb.data.picture_files import locate


@pytest.fixture
def folder(tmp_path):
    """Make a folder "data/images" with some files; a secret lies beside it."""
    (tmp_path / "data" / "secret").mkdir(parents=True)
    (tmp_path / "data" / "secret" / "s.png").touch()

    def made(*names):
        root = tmp_path / "data" / "images"
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        return root

    return made


def led_to(root, *names):
    """Each name -> the file's path within the folder, or the fault."""
    found = locate(root, names)
    return [
        found[name].fault if found[name].path is None else os.path.relpath(found[name].path, root)
        for name in names
    ]


def test_a_path_in_the_folder_is_that_file_whatever_else_has_its_name(folder):
    root = folder("a.png", "train/a.png", "val/a.png")
    assert led_to(root, "a.png", "train/a.png", "val/a.png") == ["a.png", "train/a.png", "val/a.png"]


def test_a_file_whose_name_looks_like_something_else_is_found_by_it(folder):
    odd = ["a%20b.png", "c?d=e.png", "f\\g.png", "12345678-h.png", "C:i.png", "j..k.png"]
    assert led_to(folder(*odd), *odd) == odd


@pytest.mark.parametrize(
    "name, file",
    [
        ("images/a.png", "a.png"),
        ("data/images/a.png", "a.png"),
        ("images\\sub\\a.png", "sub/a.png"),
        ("a.png", "sub/deep/a.png"),
        ("sub/a.png", "deep/sub/a.png"),
        ("/home/ann/sub/a.png", "sub/a.png"),
        ("D:\\x\\sub\\a.png", "sub/a.png"),
        ("https://host/x/y/a.png", "a.png"),
        ("a%20b.png", "a b.png"),
        ("https://host/a%20b.png?sig=%2F", "a b.png"),
        ("/data/local-files/?d=x%5Cy%5Ca%20b+c.png", "a b+c.png"),
        ("a.png?raw=true", "a.png"),
        ("A.PNG", "a.png"),
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("0123abcd-a.png", "a.png"),
        ("images/0123abcd-a.png", "sub/a.png"),
        ("../other/../a.png", "a.png"),
        (".//a.png", "a.png"),
    ],
)
def test_a_name_leads_to_the_one_file_that_it_can_mean(folder, name, file):
    if name.startswith("images/0123"):  # images/ is not sub/
        assert led_to(folder(file), name) == [Fault.NOT_FOUND]
    else:
        assert led_to(folder(file), name) == [file]


@pytest.mark.parametrize(
    "name, files",
    [
        ("/home/ann/a.png", ["sub/a.png", "other/a.png"]),
        ("/home/ann/a.png", ["a.png", "other/a.png"]),
        ("a.png", ["sub/a.png", "other/a.png"]),
        ("A.png", ["a.png", "sub/a.PNG"]),
        ("x/sub/a.png", ["one/sub/a.png", "two/sub/a.png"]),
    ],
)
def test_where_two_files_may_be_meant_none_is_taken(folder, name, files):
    assert led_to(folder(*files), name) == [Fault.IN_DOUBT]


@pytest.mark.parametrize(
    "name, files, meant",
    [
        ("/home/ann/sub/a.png", ["sub/a.png", "other/a.png"], "sub/a.png"),
        ("images/a.png", ["a.png", "other/a.png"], "a.png"),
        ("/x/data/images/a.png", ["a.png", "old/a.png"], "a.png"),
        ("A.png", ["x/a.png", "y/A.png"], "y/A.png"),
        ("x/1/a.png", ["1/a.png", "2/a.png", "x/2/a.png"], "1/a.png"),
    ],
)
def test_the_folders_in_a_name_tell_files_of_one_name_apart(folder, name, files, meant):
    assert led_to(folder(*files), name) == [meant]


def test_a_file_in_another_folder_than_stated_is_another_file(folder):
    assert led_to(folder("val/1.png"), "train/1.png", "set1/val/1.png") == [Fault.NOT_FOUND, "val/1.png"]
    assert led_to(folder("b/train/1.png"), "a/train/1.png") == [Fault.NOT_FOUND]


def test_a_file_found_by_its_name_alone_is_reported(folder):
    root = folder("a.png", "sub/b.png")
    found = locate(root, ["photos/a.png", "/home/ann/photos/b.png", "/home/ann/a2.png"])
    assert [located.fault for located in found.values()] == [Fault.BY_NAME, Fault.BY_NAME, Fault.NOT_FOUND]


def test_a_file_that_two_names_may_mean_goes_to_neither(folder):
    root = folder("1.png")
    assert led_to(root, "/x/one/1.png", "/x/two/1.png") == [Fault.IN_DOUBT] * 2
    assert led_to(root, "aaaaaaaa-1.png", "bbbbbbbb-1.png") == [Fault.IN_DOUBT] * 2
    assert led_to(root, "1.png", "bbbbbbbb-1.png") == ["1.png", Fault.IN_DOUBT]
    assert led_to(root, "images/1.png", "/x/1.png") == ["1.png", Fault.IN_DOUBT]


@pytest.mark.parametrize(
    "name",
    [
        "../secret/s.png",
        "..\\secret\\s.png",
        "sub/../../secret/s.png",
        "%2e%2e/secret/s.png",
        "file:///{root}/../secret/s.png",
        "{root}/../secret/s.png",
        "/data/local-files/?d=../secret/s.png",
        "..",
        "../",
        "/",
        ".",
        "",
        "sub",
        "a\0b",
        "\ud800.png",
        "x" * 300 + ".png",
        "http://[",
        "?d=",
        "s3://",
    ],
)
def test_nothing_outside_the_folder_is_found(folder, name):
    root = folder("sub/a.png")
    assert led_to(root, name.replace("{root}", str(root))) == [Fault.NOT_FOUND]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes in folders")
def test_pipes_folders_and_hidden_folders_are_not_pictures(folder):
    root = folder(".trash/a.png", "__MACOSX/b.png", "c.png/d")
    os.mkfifo(root / "e.png")
    names = ["/x/a.png", "/x/b.png", "c.png", "/x/c.png", "e.png", "/x/e.png"]
    assert led_to(root, *names) == [Fault.NOT_FOUND] * 6


def test_a_link_that_leads_in_a_circle_ends(folder):
    root = folder("sub/a.png")
    (root / "sub" / "again").symlink_to(root)
    assert led_to(root, "/x/a.png") == ["sub/a.png"]


def test_a_folder_may_be_given_by_a_relative_path(folder, monkeypatch):
    root = folder("a.png")
    monkeypatch.chdir(root.parent)
    assert locate(root.relative_to(root.parent), ["a.png"])["a.png"].path == os.path.join("images", "a.png")
    monkeypatch.chdir(root)
    assert led_to(".", "images/a.png", "a.png") == ["a.png", "a.png"]
