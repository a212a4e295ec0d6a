"""The reference is the documented OpenCV pipeline, or Pillow, called directly."""

import io
import warnings

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision import transforms

from maskseg_nb import SAMPLES, ImageError, load_image, preprocess, sample_photo
from maskseg_nb.data import samples


def noise(height=40, width=60, channels=3):
    """A picture without symmetry: no two of its eight orientations are alike."""
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def smooth(height=48, width=80):
    """A picture that JPEG keeps within a few levels, without symmetry."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x // width, 255 * y // height, 255 * x * y // (height * width)], -1).astype(
        np.uint8
    )


def encoded(image, kind, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


# The documented steps


@pytest.mark.parametrize("kind", ["as it comes", "jpg", "png"])
@pytest.mark.parametrize("name", SAMPLES)
def test_preprocess_gives_the_pixels_of_plain_opencv_and_torchvision(name, kind, tmp_path):
    path = sample_photo(name)
    if kind != "as it comes":
        path = tmp_path / f"photo.{kind}"
        cv2.imwrite(str(path), cv2.imread(str(sample_photo(name))))
    expected = cv2.resize(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), (800, 800))

    tensor, image = preprocess(path)

    assert image.dtype == np.uint8 and image.shape == (800, 800, 3)
    assert np.array_equal(image, expected)
    assert tensor.dtype == torch.float32 and tensor.shape == (1, 3, 800, 800)
    assert torch.equal(tensor, transforms.ToTensor()(expected)[None])
    assert 0 <= tensor.min() < tensor.max() <= 1


def test_size_is_height_then_width():
    image = noise()
    tensor, resized = preprocess(image, size=(24, 36))
    assert tensor.shape == (1, 3, 24, 36)
    assert np.array_equal(resized, cv2.resize(image, (36, 24)))
    assert np.array_equal(preprocess(image, size=[np.int64(24), 36])[1], resized)


@pytest.mark.parametrize("shape", [(2000, 1500), (1500, 2000), (1334, 10), (1, 4000)])
def test_without_a_size_a_large_picture_shrinks_to_1333_and_keeps_its_proportions(shape):
    tensor, image = preprocess(np.zeros((*shape, 3), np.uint8), size=None)
    height, width = image.shape[:2]
    scale = 1333 / max(shape)
    assert tensor.shape[-2:] == (height, width)
    assert max(height, width) == 1333
    # Half a pixel of rounding, and never less than one pixel.
    assert abs(height - shape[0] * scale) <= 0.5 or height == 1
    assert abs(width - shape[1] * scale) <= 0.5 or width == 1


@pytest.mark.parametrize("shape", [(1, 1), (40, 60), (1333, 5)])
def test_without_a_size_a_small_picture_is_never_enlarged(shape):
    picture = noise(*shape)
    assert np.array_equal(preprocess(picture, size=None)[1], picture)


@pytest.mark.parametrize(
    "size", [800, (800,), (0, 800), (-1, 800), (800.0, 800), (True, 800), "ab", (2**13, 2**13 + 1), (1, 2, 3)]
)
def test_a_size_that_is_not_two_whole_numbers_within_bounds_is_refused(size):
    with pytest.raises(ValueError, match=r"size must be \(height, width\) in pixels or None"):
        preprocess(noise(), size=size)


def test_a_size_of_small_numpy_integers_is_multiplied_without_overflow():
    assert preprocess(noise(), size=(np.uint8(200), np.uint8(200)))[1].shape == (200, 200, 3)
    with pytest.raises(ValueError, match="at most 67,108,864 pixels"):
        preprocess(noise(), size=(np.int16(9000), np.int16(9000)))


# Every kind of source


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF"])
def test_path_string_bytes_and_pillow_image_agree(kind, tmp_path):
    data = encoded(Image.fromarray(noise()).quantize() if kind == "GIF" else noise(), kind)
    path = tmp_path / f"photo.{kind.lower()}"
    path.write_bytes(data)
    with Image.open(path) as pillow:
        expected = np.asarray(pillow.convert("RGB")).astype(int)
        # Two decoders of a lossy format may round differently by a level or two.
        tolerance = 2 if kind in ("JPEG", "WEBP") else 0
        assert np.abs(load_image(pillow) - expected).max() == 0
    image = load_image(path)
    assert np.abs(image - expected).max() <= tolerance
    for source in (str(path), data, bytearray(data), memoryview(data), image):
        assert np.array_equal(load_image(source), image)


def test_a_picture_is_recognised_by_its_bytes_and_not_by_its_name(tmp_path):
    path = tmp_path / "photo.gif"
    path.write_bytes(encoded(noise(), "PNG"))
    assert np.array_equal(load_image(path), noise())


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a,
        lambda a: a[::-1, ::2],
        lambda a: np.asfortranarray(a),
        lambda a: a[..., 0],
        lambda a: np.dstack([a, np.full(a.shape[:2], 255, np.uint8)]),
    ],
)
def test_the_result_is_the_callers_own_and_the_argument_stays_as_it_was(view):
    array = view(noise())
    before = array.copy()
    image = load_image(array)
    assert image.flags.c_contiguous
    assert not np.shares_memory(image, array)
    _, resized = preprocess(array, size=None)
    assert not np.shares_memory(resized, array)
    image[:] = 0
    resized[:] = 0
    assert np.array_equal(array, before)


def test_a_read_only_source_gives_a_writable_picture():
    array = noise()
    array.flags.writeable = False
    load_image(array)[:] = 0
    load_image(Image.fromarray(array))[:] = 0
    load_image(encoded(array, "PNG"))[:] = 0


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone_as_pillow_does(kind, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo"
    path.write_bytes(encoded(smooth(), kind, exif=exif))
    with Image.open(path) as pillow:
        expected = np.asarray(ImageOps.exif_transpose(pillow).convert("RGB")).astype(int)
        assert np.array_equal(load_image(pillow), expected)
    image = load_image(path)
    assert image.shape == expected.shape
    assert image.flags.c_contiguous
    assert np.abs(image - expected).max() <= (3 if kind in ("JPEG", "WEBP") else 0)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_changes_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(load_image(encoded(noise(), "PNG", exif=exif)), noise())


# Pixels that are not plain RGB


@pytest.mark.parametrize("as_source", [lambda rgba: rgba, lambda rgba: encoded(rgba, "PNG"), Image.fromarray])
def test_transparency_is_laid_on_white(as_source):
    rgba = noise(channels=4)
    colour, alpha = rgba[..., :3].astype(float), rgba[..., 3:] / 255
    expected = alpha * colour + (1 - alpha) * 255
    assert np.abs(load_image(as_source(rgba)) - expected).max() <= 1  # 8-bit arithmetic


def test_a_palette_becomes_its_colours_and_its_transparent_entry_white():
    indices = np.random.default_rng(0).integers(0, 4, (20, 30), dtype=np.uint8)
    palette = np.array([[255, 0, 0], [0, 128, 0], [1, 2, 3], [9, 90, 200]], np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())  # turns mode L into mode P
    assert np.array_equal(load_image(encoded(picture, "PNG")), palette[indices])
    palette[2] = 255
    assert np.array_equal(load_image(encoded(picture, "PNG", transparency=2)), palette[indices])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_is_repeated_in_three_channels(kind):
    grey = noise()[..., 0]
    for source in (grey, encoded(grey, kind), Image.fromarray(grey)):
        assert np.array_equal(load_image(source), np.dstack([grey] * 3))


def test_black_and_white_of_one_bit_becomes_0_and_255():
    bits = noise()[..., 0] > 127
    expected = np.dstack([bits * np.uint8(255)] * 3)
    assert np.array_equal(load_image(encoded(Image.fromarray(bits), "PNG")), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_keep_their_brightness(kind):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30), dtype=np.uint16)
    image = load_image(encoded(deep, kind))  # Pillow alone would clip all above 255 to white
    assert np.abs(image - (deep / 257)[..., None]).max() <= 1


def test_sixteen_bits_of_colour_keep_their_brightness():
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    _, data = cv2.imencode(".png", deep)
    assert np.abs(load_image(data.tobytes()) - deep[..., ::-1] / 257).max() <= 1


def test_a_cmyk_jpeg_is_converted_as_pillow_does():
    ink = np.zeros((16, 64, 4), np.uint8)
    ink[:, :16, 0] = ink[:, 16:32, 1] = ink[:, 32:48, 2] = ink[:, 48:, 3] = 255
    data = encoded(Image.frombytes("CMYK", (64, 16), ink), "JPEG")
    image = load_image(data)
    assert np.array_equal(image, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    cyan, magenta, yellow, black = image[8, 8::16].astype(int)
    for pixel, expected in [(cyan, [0, 255, 255]), (magenta, [255, 0, 255]), (yellow, [255, 255, 0])]:
        assert np.abs(pixel - expected).max() <= 8
    assert black.max() <= 8


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame_and_warns(kind):
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "lime", "blue")]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
    with pytest.warns(UserWarning, match="has several frames or pages; the first is used") as caught:
        image = load_image(data)
    assert len(caught) == 1 and caught[0].filename == __file__  # points at the caller's own line
    assert (image == [255, 0, 0]).all()


def test_a_still_gif_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(encoded(Image.new("RGB", (3, 2), "red"), "GIF")).shape == (2, 3, 3)


# What is refused; files, paths and PIL images: tests/trust


@pytest.mark.parametrize("dtype", [bool, np.float32, np.float64, np.uint16, np.int64])
def test_an_array_of_another_dtype_is_a_type_error(dtype):
    with pytest.raises(TypeError, match=f"image must be uint8 in .0, 255., got {np.dtype(dtype)}"):
        load_image(np.zeros((4, 5, 3), dtype))


@pytest.mark.parametrize("shape", [(), (4,), (4, 5, 1), (4, 5, 2), (4, 5, 5), (1, 4, 5, 3), (0, 5, 3)])
def test_an_array_of_another_shape_is_a_value_error(shape):
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) RGB"):
        load_image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(2**13, 2**13 + 1, 3), (2**13, 2**13 + 1), (10**6, 10**6)])
def test_an_array_of_more_than_64_megapixels_is_a_value_error(shape):
    with pytest.raises(ValueError, match="at most 67,108,864 pixels"):
        load_image(np.broadcast_to(np.uint8(0), shape))  # one byte of memory


@pytest.mark.parametrize("source", [None, 7, [[1, 2]], io.BytesIO(), object])
def test_a_source_of_another_kind_is_a_type_error(source):
    with pytest.raises(TypeError, match="source must be a path, bytes, a uint8 array or a PIL image"):
        load_image(source)


# Samples


def test_every_sample_is_a_photograph_on_this_machine():
    for name in SAMPLES:
        assert min(load_image(sample_photo(name)).shape[:2]) >= 256
    assert {"astronaut", "motorcycle", "restaurant"} <= set(SAMPLES)  # what the notebooks open


def test_an_unknown_sample_is_a_value_error_that_lists_the_known():
    with pytest.raises(ValueError, match="name must be one of restaurant, .*, got 'dog'"):
        sample_photo("dog")


def test_a_sample_that_its_package_lacks_is_an_image_error(monkeypatch):
    monkeypatch.setitem(samples._SAMPLES, "cat", ("skimage", "data/no-such-file.png"))
    monkeypatch.setattr(samples, "_photo", samples._photo.__wrapped__)  # not from its cache
    with pytest.raises(ImageError, match="the installed skimage lacks data/no-such-file.png"):
        sample_photo("cat")
