import io
import os

import pytest
from PIL import Image

from maskseg_nb import SAMPLES, ImageError, load_image, sample_photo
from maskseg_nb.pictures import Pictures


def png(level):
    file = io.BytesIO()
    Image.new("L", (3, 2), level).save(file, "PNG")
    return file.getvalue()


SAMPLE_LABELS = tuple(f"{name} (sample)" for name in SAMPLES)


def files(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"a picture, as far as the list is concerned")


def test_uploads_come_first_then_the_folders_pictures_by_name_then_the_samples(tmp_path):
    files(tmp_path, "b.png", "a.JPG", "c.webp", "notes.txt", "no-suffix", "png")
    (tmp_path / "folder.png").mkdir()
    pictures = Pictures(tmp_path)
    assert pictures.labels == ("a.JPG", "b.png", "c.webp", *SAMPLE_LABELS)
    assert pictures.file_count == 3
    first, second = pictures.add_upload("z.png", png(1)), pictures.add_upload("y.png", png(2))
    assert pictures.labels == (second, first, "a.JPG", "b.png", "c.webp", *SAMPLE_LABELS)
    assert pictures.file_count == 3


def test_an_empty_folder_still_offers_the_samples(tmp_path):
    assert Pictures(tmp_path).labels == SAMPLE_LABELS


def test_no_folder_is_the_working_folder(tmp_path, monkeypatch):
    files(tmp_path, "a.png")
    monkeypatch.chdir(tmp_path)
    assert Pictures().labels == ("a.png", *SAMPLE_LABELS)
    assert Pictures().source("a.png") == tmp_path / "a.png"


@pytest.mark.parametrize("name", ["no-such-folder", "a.png"])
def test_what_is_no_folder_is_refused(name, tmp_path):
    files(tmp_path, "a.png")
    with pytest.raises(ImageError, match=f"{name}' is not a folder; give the path of a folder of pictures"):
        Pictures(tmp_path / name)


def test_refresh_sees_what_came_and_what_went(tmp_path):
    files(tmp_path, "a.png", "b.png")
    pictures = Pictures(tmp_path)
    (tmp_path / "a.png").unlink()
    files(tmp_path, "c.png")
    assert pictures.labels[:2] == ("a.png", "b.png")  # not before it is asked
    pictures.refresh()
    assert pictures.labels == ("b.png", "c.png", *SAMPLE_LABELS)


def test_a_folder_that_is_gone_cannot_be_refreshed(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pictures = Pictures(folder)
    folder.rmdir()
    with pytest.raises(ImageError, match="photos' cannot be read: No such file"):
        pictures.refresh()


def test_each_label_leads_to_its_picture(tmp_path):
    files(tmp_path, "a.png")
    pictures = Pictures(tmp_path)
    upload = pictures.add_upload("a.png", png(1))
    assert pictures.source("a.png") == tmp_path / "a.png"
    assert pictures.source(upload) == png(1)
    assert pictures.source("cat (sample)") == sample_photo("cat")
    with pytest.raises(ImageError, match="no picture 'b.png' in the list; press Refresh and choose again"):
        pictures.source("b.png")


def test_two_uploads_of_one_name_are_two_pictures(tmp_path):
    pictures = Pictures(tmp_path)
    labels = [pictures.add_upload("a.png", data) for data in (png(1), png(2), png(3))]
    assert len(set(labels)) == 3
    assert [pictures.source(label) for label in labels] == [png(1), png(2), png(3)]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("photo.png", "photo.png"),
        ("../../etc/passwd.png", "passwd.png"),
        (r"C:\Users\me\photo.png", "photo.png"),
        ("", "picture"),
        ("/", "picture"),
        ("a\nb\0c\u202e.png", "a_b_c_.png"),
        ("x" * 500, "x" * 60),
    ],
)
def test_an_uploads_name_is_a_short_plain_name(name, expected, tmp_path):
    assert Pictures(tmp_path).add_upload(name, png(1)) == f"{expected} (upload)"


@pytest.mark.parametrize("data", [b"", b"<svg/>", png(1)[:40]])
def test_an_upload_that_is_no_picture_is_refused_by_its_name_and_not_added(data, tmp_path):
    pictures = Pictures(tmp_path)
    with pytest.raises(ImageError, match="^'a.png'"):
        pictures.add_upload("folder/a.png", data)
    assert pictures.labels == SAMPLE_LABELS


# Links


def test_a_link_out_of_the_folder_is_not_offered_and_one_inside_it_is(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    files(tmp_path, "outside.png")
    files(folder, "a.png")
    (folder / "out.png").symlink_to(tmp_path / "outside.png")
    (folder / "in.png").symlink_to(folder / "a.png")
    (folder / "dangling.png").symlink_to(folder / "nothing.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    assert Pictures(folder).labels == ("a.png", "in.png", *SAMPLE_LABELS)


def test_a_picture_that_became_a_link_out_of_the_folder_is_refused_when_it_is_used(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    files(tmp_path, "outside.png")
    files(folder, "a.png")
    pictures = Pictures(folder)
    (folder / "a.png").unlink()
    (folder / "a.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(ImageError, match="'a.png' leads out of the folder; copy the picture into it"):
        pictures.source("a.png")


def test_a_folder_that_is_itself_a_link_works(tmp_path):
    (tmp_path / "photos").mkdir()
    files(tmp_path / "photos", "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    pictures = Pictures(tmp_path / "link")
    assert pictures.source("a.png").read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_fifo_is_not_offered(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert Pictures(tmp_path).labels == SAMPLE_LABELS


@pytest.mark.skipif(os.name != "posix", reason="such a name exists on POSIX systems only")
def test_a_file_name_that_is_not_utf8_has_a_label_that_can_be_sent_to_a_browser(tmp_path):
    files(tmp_path, os.fsdecode(b"\xff.png"))
    pictures = Pictures(tmp_path)
    label = pictures.labels[0]
    assert label.encode("utf-8") == b"?.png"
    assert os.fsencode(pictures.source(label).name) == b"\xff.png"


# Code and file names


def test_the_code_of_a_picture_evaluates_to_its_source(tmp_path):
    files(tmp_path, 'it\'s "so" \\ odd.png')
    pictures = Pictures(tmp_path)
    label = pictures.labels[0]
    assert eval(pictures.code(label)) == str(pictures.source(label))
    assert pictures.code("cat (sample)") == 'sample_photo("cat")'
    assert eval(pictures.code("cat (sample)")) == pictures.source("cat (sample)")
    assert load_image(eval(pictures.code("cat (sample)"))).ndim == 3


def test_an_upload_has_no_code(tmp_path):
    pictures = Pictures(tmp_path)
    assert pictures.code(pictures.add_upload("a.png", png(1))) is None


@pytest.mark.parametrize(
    "label, expected",
    [
        ("cat (sample)", "cat"),
        ("holiday-2_b.png", "holiday-2_b"),
        ("a b/c$d.png", "c_d"),
        ("a.png (upload)", "a"),
        ("a.png 2 (upload)", "a"),
        ("é.png", "é"),
        ("x" * 200 + ".png", "x" * 60),
        ("", "picture"),
    ],
)
def test_the_stem_of_a_label_is_fit_for_a_file_name(label, expected, tmp_path):
    assert Pictures(tmp_path).stem(label) == expected
