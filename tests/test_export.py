import errno
import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from maskseg_nb import ImageError, export
from maskseg_nb.export import encoded, save_png


def noise():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def pixels(path):
    return np.asarray(Image.open(path))


def test_a_png_holds_the_pictures_own_pixels_in_rgb(tmp_path):
    image = noise()
    path = save_png(image, tmp_path, "photo")
    assert path == tmp_path / "photo.png"
    assert np.array_equal(pixels(path), image)
    assert np.array_equal(image, noise())  # drawn from, not changed
    assert save_png(image, str(tmp_path), "text").is_file()


def test_a_file_is_never_overwritten(tmp_path):
    pictures = [np.full((2, 3, 3), level, np.uint8) for level in (10, 20, 30)]
    paths = [save_png(picture, tmp_path, "photo") for picture in pictures]
    assert [path.name for path in paths] == ["photo.png", "photo-2.png", "photo-3.png"]
    assert all(np.array_equal(pixels(path), picture) for path, picture in zip(paths, pictures, strict=True))


@pytest.mark.parametrize("kind", ["folder", "dangling link"])
def test_a_name_that_is_taken_by_something_else_is_left_alone(kind, tmp_path):
    if kind == "folder":
        (tmp_path / "photo.png").mkdir()
    else:
        (tmp_path / "photo.png").symlink_to(tmp_path / "elsewhere.png")
    assert save_png(noise(), tmp_path, "photo").name == "photo-2.png"
    assert not (tmp_path / "elsewhere.png").exists()


@pytest.mark.parametrize(
    "folder, reason", [("missing", "No such file or directory"), ("file", "Not a directory")]
)
def test_a_folder_that_cannot_be_written_to_is_an_image_error(folder, reason, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=f"photo.png' cannot be written: {reason}; choose another folder"):
        save_png(noise(), tmp_path / folder, "photo")
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_that_is_too_long_is_an_image_error_and_no_endless_search(tmp_path):
    with pytest.raises(ImageError, match="cannot be written: File name too long"):
        save_png(noise(), tmp_path, "x" * 300)


@pytest.mark.parametrize(
    "failure, expected",
    [
        (OSError(errno.ENOSPC, "No space left on device"), ImageError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_write_that_fails_half_way_leaves_no_file(failure, expected, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            super().write(data[:10])
            raise failure

    monkeypatch.setattr(export, "open", lambda path, mode: Full(path, mode.replace("b", "")), raising=False)
    with pytest.raises(expected):
        save_png(noise(), tmp_path, "photo")
    assert os.listdir(tmp_path) == []


def test_jpeg_options_reach_the_encoder():
    image = cv2.GaussianBlur(noise(), (0, 0), 3)
    fine = encoded(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 95))
    coarse = encoded(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 10))
    assert len(coarse) < len(fine)
    assert np.abs(pixels(io.BytesIO(fine)) - image.astype(int)).mean() < 3
