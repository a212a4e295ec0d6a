"""Every file of the corpus through `load_image`: the right pixels, or a clear refusal."""

import io
import json
import os
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pi_heif
import pytest
from corpus import (
    AS_PILLOW,
    PIXELS,
    REFUSED,
    all_bombs,
    black_png,
    corpus,
    encoded,
    eps,
    noise,
    scans_jpeg,
    tile_tiff,
    zeros,
)
from heif import assembled, grid, heic, ispe, overlay, with_alphas
from pi_heif import HeifImageFile
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

import maskseg_nb
from maskseg_nb import ImageError, load_image
from maskseg_nb.apps.picture_sources import PictureSources
from maskseg_nb.data.codec import MAX_CODED_PIXELS, stored_size
from maskseg_nb.data.heif_boxes import coded_pixels

CHILD = Path(__file__).with_name("decode_child.py")
posix = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits are set as Linux does")


def names(expected):
    return [name for name, case in corpus().items() if case.expected == expected]


@pytest.mark.parametrize("name", [name for name in corpus() if name.startswith("exif-")])
def test_a_files_header_tells_the_size_that_its_decoded_pixels_have(name):
    """What outlines are laid on, without decoding: EXIF's turn is undone once, or was already."""
    data = corpus()[name].data
    (height, width), orientation = stored_size(io.BytesIO(data), name)
    if name.endswith("-HEIC"):
        assert orientation == 1
    turned = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    assert turned == load_image(data).shape[:2]


def strict(data):
    """Pillow's own decode, as strict as it can be; None where it refuses."""
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            heic = data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis")
            with HeifImageFile(io.BytesIO(data)) if heic else Image.open(io.BytesIO(data)) as image:
                upright = ImageOps.exif_transpose(image)
                if upright.has_transparency_data:
                    white = Image.new("RGBA", upright.size, "white")
                    upright = Image.alpha_composite(white, upright.convert("RGBA"))
                return np.asarray(upright.convert("RGB")).astype(int)
    except Exception:
        return None


def sources(data, folder):
    """The same file as a path, as bytes and as an upload; the upload is decoded when it is added."""
    path = folder / "photo.png"
    path.write_bytes(data)

    def upload():
        pictures = PictureSources(folder)
        return pictures.image(pictures.add_upload("photo.png", data))

    return [lambda: load_image(path), lambda: load_image(data), upload]


def child(task, path, **options):
    """decode_child.py's report, from a process with this very package."""
    done = subprocess.run(
        [sys.executable, CHILD, task, path],
        env={**os.environ, "PYTHONPATH": str(Path(maskseg_nb.__file__).parents[1]), **options.pop("env", {})},
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def assert_clear(error, *names):
    """The escaped name, the reason, the next step, in at most 300 characters."""
    message = str(error)
    assert len(message) <= 300
    assert message.isascii() and message.isprintable()
    assert message.startswith(names or ("'photo.png'", "the picture's bytes"))
    assert "; " in message


# The corpus


@pytest.mark.expects(PIXELS)
@pytest.mark.parametrize("name", names(PIXELS))
def test_a_picture_gives_its_right_pixels(name, tmp_path, got):
    case = corpus()[name]
    for load in sources(case.data, tmp_path):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            image = load()
        said = [str(warning.message) for warning in caught]
        assert bool(said) == bool(case.warns) and all(text.endswith(case.warns) for text in said)
        assert image.dtype == np.uint8 and image.flags.c_contiguous and image.flags.writeable
        if case.truth is not None:
            assert image.shape == case.truth.shape
            assert np.abs(image - case.truth.astype(float)).max() <= case.within
        if case.truth is None or case.within > 2:  # lossy: the known pixels alone would prove little
            assert np.abs(image - strict(case.data)).max() <= 2
    got(
        f"{image.shape[1]} x {image.shape[0]} pixels, as they should be{', and a warning' * bool(case.warns)}"
    )


@pytest.mark.expects(REFUSED)
@pytest.mark.parametrize("name", names(REFUSED))
def test_what_is_not_a_whole_picture_is_refused(name, tmp_path, got):
    for load in sources(corpus()[name].data, tmp_path):
        with pytest.raises(ImageError) as caught:
            load()
        assert_clear(caught.value)
    got(caught.value)


@pytest.mark.expects(AS_PILLOW)
@pytest.mark.parametrize("name", names(AS_PILLOW))
def test_damage_that_a_format_cannot_tell_is_decoded_as_pillow_does(name, tmp_path, got):
    case = corpus()[name]
    expected = strict(case.data)
    for load in sources(case.data, tmp_path):
        try:
            image = load()
        except ImageError as error:
            assert_clear(error)
            got(error)
        else:
            assert expected is not None, "Pillow refuses it"
            assert np.abs(image - expected).max() <= 2
            got("as Pillow's strict decode")


@posix
def test_after_the_whole_corpus_a_good_picture_is_as_in_a_fresh_process(tmp_path, got):
    folder, empty, work = tmp_path / "corpus", tmp_path / "temporary", tmp_path / "work"
    for each in (folder, empty, work):
        each.mkdir()
    for name, case in {**corpus(), **all_bombs()}.items():
        (folder / name).write_bytes(case.data)
    places = {"cwd": work, "env": {"TMPDIR": str(empty)}}
    fresh = child("survive", empty, **places)["first"]
    report = child("survive", folder, **places)
    wrong = {name: what for name, what in report["outcomes"].items() if what.startswith("wrong")}
    assert wrong == {}
    assert len(report["outcomes"]) == len(corpus()) + len(all_bombs())
    assert report["first"] == report["last"] == fresh
    assert report["grown"] <= 100
    assert list(empty.iterdir()) == list(work.iterdir()) == []
    got(f"{len(report['outcomes'])} files, memory {report['grown']:+.0f} MB, the next pictures bit-equal")


# Bombs


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """What each bomb did, in a process of its own; and a bomb that goes off, as a control."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, case in all_bombs().items():
        (folder / name).write_bytes(case.data)
    (folder / "eps.png").write_bytes(eps())
    (folder / "control").touch()
    return child("weigh", folder)


@posix
@pytest.mark.expects("refused in under 1 s and 100 MB")
@pytest.mark.parametrize("name", all_bombs())
def test_a_bomb_is_refused_in_under_a_second_and_100_megabytes(name, weights, got):
    case = weights[name]
    got(f"{case['outcome']} ({case.get('seconds', 0):.2f} s, {case.get('peak', 0):.0f} MB)")
    assert case["outcome"].startswith("refused: ")
    assert case["seconds"] < 1
    assert case["peak"] < 100
    assert case["started"] == []


@posix
def test_a_bomb_that_goes_off_is_seen_by_the_gauge(weights, got):
    assert weights["control"]["outcome"] == f"filled {200 * 2**20} bytes"
    assert weights["control"]["peak"] > 190
    got(f"{weights['control']['peak']:.0f} MB")


def test_the_bombs_are_small_and_mean_what_they_say():
    sizes = {name: len(case.data) for name, case in all_bombs().items()}
    assert 400_000 < sizes["bomb-144-megapixels-PNG"] < 440_000
    assert 105_000 < sizes["bomb-900-megapixels-PNG"] < 120_000
    assert max(sizes.values()) < 2_000_000
    for count in (0, 5, 2**20, 2**22 + 77):
        assert zlib.decompress(zeros(count)) == bytes(count)
    # The same builders, at a size that is allowed, make pictures.
    for data in (
        black_png(1200, 900),
        black_png(1500, 900, bits=1, colour=0),
        scans_jpeg(50),
        tile_tiff(1600),
    ):
        assert load_image(data).max() == 0


def test_a_photograph_of_64_megapixels_is_read():
    assert load_image(black_png(9248, 6936, bits=1, colour=0)).shape == (6936, 9248, 3)


def test_the_tiles_of_a_telephone_s_largest_photograph_are_not_too_many():
    tile = (b"hvc1", b"", [ispe(512, 512)])
    tiles = [tile] * (14 * 19)  # of 9248 x 6936 pixels, the last row and column cut
    data = grid(tiles, 19, (9248, 6936))
    assert coded_pixels(data) == len(tiles) * 512**2
    assert 2 * coded_pixels(data) < MAX_CODED_PIXELS  # with alpha, too


def test_what_a_container_s_main_picture_is_made_of_is_added_up():
    large, small = (b"hvc1", b"", [ispe(100, 70)]), (b"hvc1", b"", [ispe(3, 2), ispe(1, 1)])
    assert coded_pixels(assembled([large, small], 1)) == 7000
    assert coded_pixels(assembled([large, small], 2)) == 6
    assert coded_pixels(overlay([large, small, small], (9, 9))) == 7012
    assert coded_pixels(with_alphas(small, [large, large])) == 14_006
    circle = [(b"dimg", 1, [2]), (b"dimg", 2, [1, 3, 3])]
    assert coded_pixels(assembled([large, large, small], 1, circle)) == 12
    assert coded_pixels(encoded(noise(), "AVIF")) == 60 * 40
    assert coded_pixels(b"") == coded_pixels(encoded(noise(), "PNG")) == 0


def test_heic_is_opened_for_us_and_not_for_every_image_open_of_the_process():
    opened = Image.OPEN.copy()  # other packages register theirs: imageio does, for scikit-image
    load_image(heic(noise(64, 64)))
    assert Image.OPEN == opened


def test_other_settings_of_pi_heif_change_nothing(monkeypatch):
    seen = []

    def spy(file):
        seen.append(pi_heif.options.DISABLE_SECURITY_LIMITS)
        return HeifImageFile(file)

    monkeypatch.setattr(pi_heif, "HeifImageFile", spy)
    monkeypatch.setattr(pi_heif.options, "DISABLE_SECURITY_LIMITS", True)
    load_image(heic(noise(64, 64)))
    assert seen and not any(seen) and pi_heif.options.DISABLE_SECURITY_LIMITS


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("Memory allocation error: Memory could not be allocated"),  # libheif's words
        ValueError("Failed to decode frame 0: Out of memory"),  # libavif's
    ],
    ids=repr,
)
def test_a_lack_of_memory_is_not_called_damage(error, monkeypatch):
    def fail(file):
        raise error

    monkeypatch.setattr(pi_heif, "HeifImageFile", fail)
    with pytest.raises(ImageError, match="bytes needs more memory than is free; save it smaller"):
        load_image(heic(noise(64, 64)))


@posix
@pytest.mark.parametrize("kind", ["PNG", "HEIC", "AVIF"])
def test_a_picture_under_the_limit_that_does_not_fit_into_memory_is_an_image_error(kind, tmp_path, got):
    path = tmp_path / "photo.png"
    black = Image.new("RGB", (4000, 4000))
    path.write_bytes(
        {
            "PNG": lambda: black_png(8000, 8000),
            "HEIC": lambda: heic(black, quality=20, enc_params={"preset": "ultrafast"}),
            "AVIF": lambda: encoded(black, "AVIF", speed=10),
        }[kind]()
    )
    report = child("starve", path)
    got(report["bytes"])
    assert report["bytes"] == ("refused: the picture's bytes needs more memory than is free; save it smaller")
    assert report["path"] == "refused: 'photo.png' needs more memory than is free; save it smaller"
    assert report["then"] == "pixels"


# EPS


@posix
def test_an_eps_file_called_png_starts_no_process(weights, tmp_path, monkeypatch, got):
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    path = tmp_path / "photo.png"
    path.write_bytes(eps())
    with pytest.raises(ImageError, match="'photo.png' is not a picture that can be read") as caught:
        load_image(path)
    assert not (tmp_path / "started").exists()
    assert weights["eps.png"]["started"] == []  # nor anything else, as Python's audit sees it
    got(caught.value)
    # The trap works: Pillow by itself falls into it.
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    with pytest.raises(Exception), Image.open(path) as image:  # noqa: B017
        image.load()
    assert (tmp_path / "started").exists()


# Settings of other code in the same process


@pytest.mark.parametrize("name", [name for name in names(REFUSED) if name.startswith("cut-")])
def test_a_cut_file_is_refused_where_other_code_lets_pillow_load_truncated_files(name, monkeypatch, got):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageError) as caught:
        load_image(corpus()[name].data)
    assert ImageFile.LOAD_TRUNCATED_IMAGES  # and that code still has its way
    got(caught.value)


@pytest.mark.parametrize("limit", [None, 10, 10**12])
def test_another_limit_of_pixels_in_pillow_changes_nothing(limit, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert np.array_equal(load_image(encoded(noise(), "PNG")), noise())
    for name in ("bomb-144-megapixels-PNG", "bomb-lying-WEBP", "bomb-frame-beyond-GIF"):
        with pytest.raises(ImageError, match="more than 67,108,864"):
            load_image(all_bombs()[name].data)
    assert Image.MAX_IMAGE_PIXELS == limit


def test_other_limits_of_text_in_pillow_change_nothing(monkeypatch):
    for setting in ("MAX_TEXT_CHUNK", "MAX_TEXT_MEMORY"):
        monkeypatch.setattr(PngImagePlugin, setting, 2**40)
    for name in ("bomb-zTXt-PNG", "bomb-zTXt-60-times-PNG", "bomb-iTXt-PNG", "bomb-iCCP-PNG"):
        with pytest.raises(ImageError, match="is damaged: .*(too large|Too much memory)"):
            load_image(all_bombs()[name].data)
    assert PngImagePlugin.MAX_TEXT_CHUNK == PngImagePlugin.MAX_TEXT_MEMORY == 2**40


def test_threads_that_decode_at_once_leave_settings_and_warnings_as_they_were(torture):
    """warnings.catch_warnings and Pillow's settings belong to the process, not to a thread."""
    good, bad = encoded(noise(300, 400), "PNG"), encoded(noise(300, 400), "JPEG")[:-200]
    before, lenient = list(warnings.filters), ImageFile.LOAD_TRUNCATED_IMAGES
    mistakes = []

    def decode():
        for _ in range(20 * torture):
            if not np.array_equal(load_image(good), noise(300, 400)):
                mistakes.append("other pixels")
            try:
                load_image(bad)
                mistakes.append("accepted a cut file")
            except ImageError:
                pass

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mistakes == []
    assert warnings.filters == before and ImageFile.LOAD_TRUNCATED_IMAGES == lenient


def test_an_interrupt_passes_and_leaves_nothing_behind(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    before = list(warnings.filters)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_image(encoded(noise(), "PNG"))
    assert ImageFile.LOAD_TRUNCATED_IMAGES and warnings.filters == before
    decoded = []  # by another thread, as a lock that was not given back would stop it
    thread = threading.Thread(target=lambda: decoded.append(load_image(encoded(noise(), "PNG"))), daemon=True)
    thread.start()
    thread.join(300)
    assert np.array_equal(decoded, [noise()])


# PIL images, which may decode only now


def closed(image):
    image.close()
    return image


def verified(image):
    image.verify()
    return image


def opened(data):
    return Image.open(io.BytesIO(data))


@pytest.mark.expects(REFUSED)
@pytest.mark.parametrize(
    "image, message",
    [
        (lambda: opened(encoded(noise(200, 300), "JPEG")[:9999]), "damaged: image file is truncated"),
        (lambda: opened(corpus()["cut-50-PNG"].data), "is damaged"),
        (lambda: closed(opened(encoded(noise(), "PNG"))), "is damaged: Operation on closed image"),
        (lambda: closed(Image.fromarray(noise())), "is damaged: Operation on closed image"),
        (lambda: verified(opened(encoded(noise(), "PNG"))), "is damaged: AssertionError"),
        (lambda: opened(black_png(9000, 9000)), "9000 x 9000 pixels, more than 67,108,864; save it smaller"),
        (lambda: opened(tile_tiff(9000)), "has tiles of more than 67,108,864 pixels; save it without tiles"),
        (lambda: Image.new("1", (9000, 9000)), "9000 x 9000 pixels, more than 67,108,864; save it smaller"),
        (lambda: Image.new("RGB", (0, 4)), "is empty: 0 x 4 pixels; choose another picture"),
        (lambda: Image.new("F", (5, 4)), "pixels of kind 'F'"),
        (lambda: Image.new("LAB", (5, 4)), "pixels of kind 'LAB'"),
        (lambda: Image.new("HSV", (5, 4)), "pixels of kind 'HSV'"),
    ],
    ids="cut JPEG, cut PNG, closed file, closed, verified, bomb, tile, large, empty, F, LAB, HSV".split(", "),
)
def test_a_pillow_image_without_certain_pixels_is_refused(image, message, got):
    with pytest.raises(ImageError, match=f"^the PIL image .*{message}") as caught:
        load_image(image())
    assert_clear(caught.value, "the PIL image")
    got(caught.value)


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_a_pillow_image_with_alpha_of_any_kind_is_laid_on_white(mode):
    levels, alpha = np.moveaxis(noise(channels=2), -1, 0)
    image = Image.fromarray(np.dstack([levels, alpha]), "LA")
    if mode == "PA":
        image = Image.merge("PA", image.split())
        image.putpalette([level for level in range(256) for _ in "RGB"])
    for step in {"La": ["La"], "RGBA": ["RGBA"], "RGBa": ["RGBA", "RGBa"]}.get(mode, []):
        image = image.convert(step)
    expected = levels * (alpha / 255) + 255 - alpha
    assert image.mode == mode
    assert np.abs(load_image(image) - expected[..., None]).max() <= 2


def test_bytes_of_more_than_200_megabytes_are_not_decoded(got):
    with pytest.raises(
        ImageError, match="the picture's bytes is larger than 200 MB; save it smaller"
    ) as caught:
        load_image(bytes(200 * 2**20 + 1))
    got(caught.value)
