import io

import cv2
import numpy as np
from PIL import Image

from maskseg_nb.data.codec import encoded
from maskseg_nb.results.export import export_free, save_png
from predictions import made_up


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


def test_jpeg_options_reach_the_encoder():
    image = cv2.GaussianBlur(noise(), (0, 0), 3)
    fine = encoded(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 95))
    coarse = encoded(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 10))
    assert len(coarse) < len(fine)
    assert np.abs(pixels(io.BytesIO(fine)) - image.astype(int)).mean() < 3


def test_a_second_export_finds_a_free_name_however_long_the_first_is(tmp_path):
    found = made_up(2, (20, 30)).select(score_threshold=0)
    for ending in ("", "-2", "-3"):
        (path,) = export_free(noise(), found, tmp_path, "photo.jpg", ["csv"], stem="x" * 80)
        assert path.name == f"{'x' * 50}{ending}.csv"
        assert path.read_text().splitlines()[1].startswith("photo.jpg,")
