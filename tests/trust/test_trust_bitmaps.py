"""Every kind of BMP: its right pixels, worked out by hand, or a clear refusal."""

import io
import itertools
import warnings

import cv2
import numpy as np
import pytest
from bitmaps import ALPHABITFIELDS, BITFIELDS, HEADERS, bmp, channel, index_rows, rle, word_rows
from PIL import Image

from maskseg_nb import ImageError, load_image

MASKS = {  # bits -> where red, green, blue, alpha stand
    16: [
        (0x7C00, 0x03E0, 0x001F),
        (0xF800, 0x07E0, 0x001F),
        (0x0F00, 0x00F0, 0x000F),
        (0x001F, 0x07E0, 0xF800),
        (0x0F00, 0x00F0, 0x000F, 0xF000),
        (0x7C00, 0x03E0, 0x001F, 0x8000),
    ],
    24: [(0xFF0000, 0x00FF00, 0x0000FF), (0x0000FF, 0x00FF00, 0xFF0000)],
    32: [
        *(
            tuple(0xFF << 8 * place for place in places)
            for count in (3, 4)
            for places in itertools.permutations(range(4), count)
        ),
        (0x3FF00000, 0x000FFC00, 0x000003FF),
        (0xFFE00000, 0x001FFC00, 0x000003FF),
        (0xFE000000, 0x01FE0000, 0x0001FC00),
        (0x1F, 0x07E0, 0xF800),
    ],
}
PALETTES = {
    "colours": lambda count: np.random.default_rng(1).integers(0, 256, (count, 3), dtype=np.uint8),
    "greys": lambda count: np.linspace(255, 0, count).astype(np.uint8)[:, None].repeat(3, 1),
    "indices as greys": lambda count: np.arange(count, dtype=np.uint8)[:, None].repeat(3, 1),
    "black, white": lambda count: (
        np.uint8(255) * (np.arange(count, dtype=np.uint8)[:, None] % 2).repeat(3, 1)
    ),
    "white, black": lambda count: (
        np.uint8(255) * (1 - np.arange(count, dtype=np.uint8)[:, None] % 2).repeat(3, 1)
    ),
}


def outcome(data: bytes, truth: np.ndarray, within: float) -> str:
    """ "pixels" or "refused"; anything else is a failure."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = load_image(data)
    except ImageError as error:
        assert len(str(error)) <= 300 and "; " in str(error)
        return "refused"
    assert image.shape == truth.shape
    assert np.abs(image - truth).max() <= within
    return "pixels"


def ways() -> list[tuple[int, bool]]:
    """Headers, and whether the first row comes first."""
    return [(12, False), *itertools.product(HEADERS[1:], (False, True))]


@pytest.mark.expects("the right pixels")
@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_s_colours_are_the_pixels(bits, palette, got):
    outcomes = []
    for used in (0, 2, min(2**bits, 100)):
        colours = PALETTES[palette](used or 2**bits)
        for width, (header, top_down) in itertools.product((1, 13), ways()):
            if header == 12 and used:
                continue
            indices = np.random.default_rng(0).integers(0, len(colours), (5, width), dtype=np.uint8)
            rows = index_rows(indices, bits)
            data = bmp(rows, width, bits, header, palette=colours, used=used, top_down=top_down)
            outcomes.append(outcome(data, colours[indices], 0))
    # Not legal in 2 bits; and Pillow, the guard, stumbles over 16 greys that are their own indices.
    refusals = bits == 2 or (bits == 4 and palette == "indices as greys")
    assert set(outcomes) <= ({"refused", "pixels"} if refusals else {"pixels"})
    got(f"{outcomes.count('pixels')} of {len(outcomes)} read, the others refused")


@pytest.mark.expects("the right pixels")
@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("bits", [4, 8])
def test_a_run_length_coded_bmp_is_unpacked(bits, palette, got):
    random = np.random.default_rng(0)
    for _ in range(20):
        colours = PALETTES[palette](2**bits)
        height, width = (int(side) for side in random.integers(1, 30, 2))
        indices = random.integers(0, len(colours), (height, width), dtype=np.uint8).repeat(3, axis=1)
        data = bmp(
            [b""] * height,
            3 * width,
            bits,
            compression={8: 1, 4: 2}[bits],
            palette=colours,
            data=rle(indices, bits, random),
        )
        assert outcome(data, colours[indices], 0) == "pixels"
    got("20 of 20 unpacked")


@pytest.mark.expects("the right pixels, or refused")
@pytest.mark.parametrize("bits", MASKS)
def test_colours_are_where_the_masks_say(bits, got):
    words = np.random.default_rng(0).integers(0, 2**bits, (5, 13))
    rows = word_rows(words, bits)
    outcomes: dict[tuple[int, ...], set[str]] = {}
    for masks, (header, top_down), compression in itertools.product(
        MASKS[bits], ways(), (BITFIELDS, ALPHABITFIELDS)
    ):
        inside = {40: 3 + (compression == ALPHABITFIELDS), 52: 3}.get(header, 4)  # masks that are looked at
        if header in (12, 64) or (len(masks) == 4 > inside):
            continue
        truth = np.stack([channel(words, mask) for mask in masks[:3]], -1)
        if len(masks) == 4:
            alpha = channel(words, masks[3])[..., None] / 255
            truth = truth * alpha + 255 * (1 - alpha)
        data = bmp(rows, 13, bits, header, compression=compression, masks=masks, top_down=top_down)
        outcomes.setdefault(masks, set()).add(outcome(data, truth, 1))
    usual = {
        16: MASKS[16][:2],
        24: MASKS[24][:1],
        32: [(0xFF0000, 0xFF00, 0xFF), (0xFF000000, 0xFF0000, 0xFF00)],
    }
    assert all("pixels" in outcomes[masks] for masks in usual[bits])
    got(f"{sum('pixels' in kinds for kinds in outcomes.values())} of {len(outcomes)} layouts read")


@pytest.mark.expects("the right pixels")
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_without_masks_the_colours_are_where_the_format_says(bits):
    words = np.random.default_rng(0).integers(0, 2**bits, (5, 13))
    masks = {16: (0x7C00, 0x03E0, 0x001F)}.get(bits, (0xFF0000, 0xFF00, 0xFF))
    truth = np.stack([channel(words, mask) for mask in masks], -1)
    for header, top_down in ways():
        data = bmp(word_rows(words, bits), 13, bits, header, top_down=top_down)
        assert outcome(data, truth, 1 if bits == 16 else 0) == "pixels"


@pytest.mark.parametrize("bits", [16, 32])
def test_white_is_white_and_black_is_black(bits):
    words = np.array([[0, 2**bits - 1]])
    image = load_image(bmp(word_rows(words, bits), 2, bits))
    assert image.tolist() == [[[0, 0, 0], [255, 255, 255]]]  # cv2's white of 16 bits is 248


def test_an_ordinary_bmp_has_cv2_s_and_pillow_s_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (40, 61, 3), dtype=np.uint8)
    _, data = cv2.imencode(".bmp", picture)
    image = load_image(data.tobytes())
    assert np.array_equal(image, cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
    assert np.array_equal(image, np.asarray(Image.open(io.BytesIO(data))))


def test_alpha_is_laid_on_white_unless_the_byte_is_empty_everywhere():
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    words = np.array([[0x00C80A0A, 0x00000000], [0x00FFFFFF, 0x00010203]])
    colours = np.stack([channel(words, mask) for mask in masks[:3]], -1)
    options = {"compression": BITFIELDS, "masks": masks}
    assert outcome(bmp(word_rows(words, 32), 2, 32, 124, **options), colours, 0) == "pixels"
    words[0, 0] |= 0xFF000000
    seen = np.full((2, 2, 3), 255)
    seen[0, 0] = 200, 10, 10
    assert outcome(bmp(word_rows(words, 32), 2, 32, 124, **options), seen, 0) == "pixels"


def test_a_layout_that_cannot_be_read_is_not_called_damage():
    data = bmp([bytes(8)], 2, 32, compression=BITFIELDS, masks=(0xFF00, 0xFF0000, 0xFF000000))
    with pytest.raises(ImageError, match="cannot be read: Unsupported BMP.*; save it as a JPEG or PNG"):
        load_image(data)
