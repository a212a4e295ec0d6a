import io

import numpy as np
import pytest
from PIL import Image

from maskseg_nb import SAMPLES, ImageError, load_image, sample_photo
from maskseg_nb.apps.picture_sources import PictureSources


def png(level):
    file = io.BytesIO()
    Image.new("L", (3, 2), level).save(file, "PNG")
    return file.getvalue()


def level(pictures, label):
    """The grey of a picture that `png` made."""
    image = pictures.image(label)
    assert image.shape == (2, 3, 3) and image.min() == image.max()
    return image.max()


SAMPLE_LABELS = tuple(f"{name} (sample)" for name in SAMPLES)


def files(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"a picture, as far as the list is concerned")


def test_uploads_come_first_then_the_folders_pictures_by_name_then_the_samples(tmp_path):
    files(tmp_path, "b.png", "a.JPG", "c.webp", "notes.txt", "no-suffix", "png")
    (tmp_path / "folder.png").mkdir()
    pictures = PictureSources(tmp_path)
    assert pictures.labels == ("a.JPG", "b.png", "c.webp", *SAMPLE_LABELS)
    assert pictures.file_count == 3
    first, second = pictures.add_upload("z.png", png(1)), pictures.add_upload("y.png", png(2))
    assert pictures.labels == (second, first, "a.JPG", "b.png", "c.webp", *SAMPLE_LABELS)
    assert pictures.file_count == 3


def test_an_empty_folder_still_offers_the_samples(tmp_path):
    assert PictureSources(tmp_path).labels == SAMPLE_LABELS


def test_no_folder_is_the_working_folder(tmp_path, monkeypatch):
    files(tmp_path, "a.png")
    monkeypatch.chdir(tmp_path)
    assert PictureSources().labels == ("a.png", *SAMPLE_LABELS)
    assert PictureSources().code("a.png") == repr(str(tmp_path / "a.png"))


def test_refresh_sees_what_came_and_what_went(tmp_path):
    files(tmp_path, "a.png", "b.png")
    pictures = PictureSources(tmp_path)
    (tmp_path / "a.png").unlink()
    files(tmp_path, "c.png")
    assert pictures.labels[:2] == ("a.png", "b.png")  # not before it is asked
    pictures.refresh()
    assert pictures.labels == ("b.png", "c.png", *SAMPLE_LABELS)


def test_a_folder_that_is_gone_cannot_be_refreshed(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pictures = PictureSources(folder)
    folder.rmdir()
    with pytest.raises(ImageError, match="photos' cannot be read: No such file"):
        pictures.refresh()


def test_each_label_leads_to_its_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(png(7))
    pictures = PictureSources(tmp_path)
    upload = pictures.add_upload("a.png", png(1))
    assert level(pictures, "a.png") == 7
    assert level(pictures, upload) == 1
    np.testing.assert_array_equal(pictures.image("cat (sample)"), load_image(sample_photo("cat")))
    with pytest.raises(ImageError, match="no picture 'b.png' in the list; press Refresh and choose again"):
        pictures.image("b.png")


def test_two_uploads_of_one_name_are_two_pictures(tmp_path):
    pictures = PictureSources(tmp_path)
    labels = [pictures.add_upload("a.png", data) for data in (png(1), png(2), png(3))]
    assert len(set(labels)) == 3
    assert [level(pictures, label) for label in labels] == [1, 2, 3]


# Code and file names


def test_the_code_of_a_picture_evaluates_to_its_source(tmp_path):
    files(tmp_path, 'it\'s "so" \\ odd.png')
    pictures = PictureSources(tmp_path)
    label = pictures.labels[0]
    assert eval(pictures.code(label)) == str(tmp_path / 'it\'s "so" \\ odd.png')
    assert pictures.code("cat (sample)") == 'sample_photo("cat")'
    assert eval(pictures.code("cat (sample)")) == sample_photo("cat")
    assert load_image(eval(pictures.code("cat (sample)"))).ndim == 3


def test_an_upload_has_no_code(tmp_path):
    pictures = PictureSources(tmp_path)
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
        ("x" * 200 + ".png", "x" * 50),
        ("", "picture"),
    ],
)
def test_the_stem_of_a_label_is_fit_for_a_file_name(label, expected, tmp_path):
    assert PictureSources(tmp_path).stem(label) == expected


def test_a_model_in_the_folder_s_place_is_told_apart(street):
    with pytest.raises(TypeError, match="folder must be the path of a folder, got MaskRCNN; give .* model="):
        PictureSources(street)
    with pytest.raises(ImageError, match="'street' is not a folder; .*, or model=\"street\""):
        PictureSources("street")


def test_the_file_name_of_a_sample_is_the_sample_s(tmp_path):
    assert PictureSources(tmp_path).file_name("restaurant (sample)") == "restaurant.jpg"
    assert PictureSources(tmp_path).file_name("cat (sample)") == "cat.png"
