"""Every kind of picture file that a classroom may meet, made in memory, each with its right pixels.

Bombs are built from zlib streams of zeros that repeat one compressed block: no pixel ever exists.
"""

import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from bitmaps import ALPHABITFIELDS, BITFIELDS, bmp, word_rows
from heif import coded, deep_heic, grid, heic, ispe, overlay, turned_heic, with_alphas, with_exif
from PIL import Image

REFUSED, PIXELS, AS_PILLOW = "refused", "right pixels", "refused, or as Pillow's strict decode"
SEVERAL, STRETCHED = "several frames or pages; the first is used", "are stretched to 0 to 255"
Tags = dict[int, tuple[int, int, int]]  # of a TIFF: {tag: (type, count, value)}
SHARES = (10, 50, 90, 99)  # per cent of a file that is left of it


@dataclass(frozen=True)
class Case:
    """A file, its required outcome, and for pixels the right ones, to `within` so many levels.

    `warns`: how the warning ends, where there is one.
    """

    data: bytes
    expected: str = PIXELS
    truth: np.ndarray | None = None
    within: int = 2
    warns: str = ""


def smooth(height: int = 48, width: int = 80) -> np.ndarray:
    """A picture that JPEG keeps within a few levels, and no two of whose eight orientations are alike."""
    y, x = np.mgrid[:height, :width]
    red, green, blue = 255 * x // width, 255 * y // height, 255 * x * y // (height * width)
    return np.stack([red, green, blue], -1).astype(np.uint8)


def noise(height: int = 40, width: int = 60, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG file with any header; colour 0 is grey, 2 RGB, 3 a palette, 4 and 6 with alpha."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """What zlib.compress(bytes(count)) means, without ever holding `count` bytes."""
    block = 2**20
    packer = zlib.compressobj(9)
    head = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(count % block)) + packer.flush()
    blocks = count // block
    adler = struct.pack(">I", ((count % 65521) << 16) | 1)
    if blocks == 0:
        return zlib.compress(bytes(count), 9)
    return head + again * (blocks - 1) + rest[:-4] + adler


def black_png(width: int, height: int, *, bits: int = 8, colour: int = 2) -> bytes:
    samples = {0: 1, 2: 3}[colour]
    row = 1 + -(-width * bits * samples // 8)
    return png(width, height, chunk(b"IDAT", zeros(row * height)), bits=bits, colour=colour)


def tiff(tags: Tags, payload: bytes = b"") -> bytes:
    """A little-endian TIFF; a value of -1 is where `payload` begins."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, kind, count, start if value == -1 else value)
        for tag, (kind, count, value) in sorted(tags.items())
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + payload


def grey_tiff(width: int, height: int, payload: bytes, others: Tags | None = None) -> bytes:
    """A plain grey TIFF but for other tags; a count of 0 leaves a tag out."""
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    tags |= {273: (4, 1, -1), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, len(payload))}
    kept = {tag: value for tag, value in (tags | (others or {})).items() if value[1]}
    return tiff(kept, payload)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def turned(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores, so that a viewer who obeys the EXIF orientation sees `upright`."""
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright)
    return np.ascontiguousarray(stored)


def without_segment(jpeg: bytes, marker: int) -> bytes:
    """A JPEG without its first segment of that marker."""
    start = jpeg.index(bytes([0xFF, marker]))
    (length,) = struct.unpack(">H", jpeg[start + 2 : start + 4])
    return jpeg[:start] + jpeg[start + 2 + length :]


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data + jpeg[2:]


def spoiled(data: bytes, place: int, length: int = 1) -> bytes:
    """Some bytes in the middle of a file changed."""
    changed = bytes(byte ^ 0x55 for byte in data[place : place + length])
    return data[:place] + changed + data[place + length :]


def on_white(rgba: np.ndarray) -> np.ndarray:
    colour, alpha = rgba[..., :3].astype(float), rgba[..., 3:] / 255
    return alpha * colour + (1 - alpha) * 255


def grey(levels: np.ndarray) -> np.ndarray:
    return np.stack([levels] * 3, axis=-1)


# Ordinary and odd pictures


def oriented() -> Iterator[tuple[str, Case]]:
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}, "PNG": {}, "TIFF": {}}
    options["AVIF"] = {"quality": 95, "subsampling": "4:4:4"}
    for kind, orientation in itertools.product(options, range(1, 9)):
        stored = turned(smooth(), orientation)
        data = encoded(stored, kind, exif=exif(orientation), **options[kind])
        lossy = kind in ("JPEG", "AVIF")
        yield f"exif-{orientation}-{kind}", Case(data, truth=smooth(), within=8 if lossy else 2)
    # Damaged metadata turns nothing, and the pixels are sound.
    for kind in ("JPEG", "PNG", "WEBP"):
        for name, tags in (("text", b"Exif\0\0<garbage>"), ("nowhere", b"Exif\0\0II*\0\xff\xff\xff\x7f")):
            data = encoded(smooth(), kind, exif=tags, **options[kind])
            yield f"exif-{name}-{kind}", Case(data, truth=smooth(), within=8 if kind == "JPEG" else 2)


def kinds() -> Iterator[tuple[str, Case]]:
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        yield f"plain-{kind}", Case(encoded(noise(), kind), truth=noise())
    yield "plain-JPEG", Case(encoded(smooth(), "JPEG", quality=95), truth=smooth(), within=16)
    yield "progressive-JPEG", Case(encoded(smooth(), "JPEG", progressive=True), truth=smooth(), within=16)
    yield "noise-JPEG", Case(encoded(noise(), "JPEG"))
    yield "plain-WEBP", Case(encoded(smooth(), "WEBP", quality=95), truth=smooth(), within=16)
    yield "lossless-WEBP", Case(encoded(noise(), "WEBP", lossless=True), truth=noise())
    yield "plain-HEIC", Case(heic(smooth()), truth=smooth(), within=8)
    yield "plain-AVIF", Case(encoded(smooth(), "AVIF", quality=95), truth=smooth(), within=16)
    for packed in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield f"{packed}-TIFF", Case(encoded(noise(), "TIFF", compression=packed), truth=noise())
    few = Image.fromarray(smooth()).quantize(16)
    truth = np.asarray(few.convert("RGB"))
    for kind in ("GIF", "PNG", "TIFF", "BMP"):
        yield f"palette-{kind}", Case(encoded(few, kind), truth=truth)
    bits = noise()[..., 0] > 127
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        yield f"1-bit-{kind}", Case(encoded(Image.fromarray(bits), kind), truth=grey(bits * 255))
    yield (
        "1-bit-G4-TIFF",
        Case(encoded(Image.fromarray(bits), "TIFF", compression="group4"), truth=grey(bits * 255)),
    )
    nibbles = noise(channels=1)[..., 0] >> 4  # (40, 60) of 0..15
    rows = b"".join(b"\0" + bytes(row[::2] << 4 | row[1::2]) for row in nibbles)
    data = png(60, 40, chunk(b"IDAT", zlib.compress(rows)), bits=4, colour=0)
    yield "4-bit-PNG", Case(data, truth=grey(nibbles * 17))


def deep() -> Iterator[tuple[str, Case]]:
    """16 bits a sample, integers and floats."""
    levels = np.random.default_rng(0).integers(0, 65536, (20, 30, 4), dtype=np.uint16)
    one, colour, alpha = levels[..., 0], levels[..., :3] / 257, levels[..., 3:] / 65535
    for kind in ("PNG", "TIFF"):
        yield f"16-bit-grey-{kind}", Case(encoded(one, kind), truth=grey(one / 257))
    yield "16-bit-grey-PPM", Case(b"P5 30 20 65535\n" + one.astype(">u2").tobytes(), truth=grey(one / 257))
    swapped = one.astype(">u2").tobytes()
    big = {
        256: (4, 1, 30),
        257: (4, 1, 20),
        258: (4, 1, 16),
        259: (4, 1, 1),
        262: (4, 1, 1),
        273: (4, 1, 122),
    }
    big |= {277: (4, 1, 1), 278: (4, 1, 20), 279: (4, 1, len(swapped))}
    entries = b"".join(struct.pack(">HHII", tag, *value) for tag, value in sorted(big.items()))
    head = b"MM\0*\0\0\0\x08" + struct.pack(">H", len(big)) + entries + b"\0\0\0\0"
    yield "16-bit-big-endian-TIFF", Case(head + swapped, truth=grey(one / 257))
    for name, colour_type, samples, truth in (
        ("RGB", 2, levels[..., :3], colour),
        ("RGBA", 6, levels, alpha * colour + (1 - alpha) * 255),
        ("grey-alpha", 4, levels[..., [0, 3]], alpha * colour[..., :1] + (1 - alpha) * 255),
    ):
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
        data = png(30, 20, chunk(b"IDAT", zlib.compress(rows)), bits=16, colour=colour_type)
        yield f"16-bit-{name}-PNG", Case(data, truth=np.broadcast_to(truth, (20, 30, 3)))
    little = levels[..., :3].astype("<u2").tobytes()
    rgb = {258: (3, 1, 16), 262: (3, 1, 2), 277: (3, 1, 3)}
    plain = grey_tiff(30, 20, little, rgb)
    start = len(plain)  # three bit depths do not fit into an entry: they stand behind the pixels
    rgb[258] = (3, 3, start)
    data = grey_tiff(30, 20, little, rgb) + struct.pack("<HHH", 16, 16, 16)
    yield "16-bit-RGB-TIFF", Case(data, truth=colour)
    grey16 = one.astype("<u2").tobytes()
    yield (
        "16-bit-white-is-0-TIFF",
        Case(grey_tiff(30, 20, grey16, {258: (3, 1, 16), 262: (3, 1, 0)}), REFUSED, grey(255 - one / 257)),
    )
    yield "12-bit-TIFF", Case(grey_tiff(30, 20, bytes(30 * 20 * 3 // 2), {258: (3, 1, 12)}), REFUSED)
    apart = {258: (3, 3, 0), 262: (3, 1, 2), 273: (4, 3, 0), 277: (3, 1, 3), 279: (4, 3, 0), 284: (3, 1, 2)}
    first = len(grey_tiff(30, 20, b"", apart))
    apart |= {258: (3, 3, first), 273: (4, 3, first + 6), 279: (4, 3, first + 18)}
    head = struct.pack("<3H3I3I", 16, 16, 16, *(first + 30 + 1200 * plane for plane in range(3)), *[1200] * 3)
    planes = np.moveaxis(levels[..., :3], -1, 0).astype("<u2").tobytes()
    yield "16-bit-planes-TIFF", Case(grey_tiff(30, 20, head + planes, apart), REFUSED, colour)
    yield "float-TIFF", Case(encoded(np.full((4, 5), 0.5, np.float32), "TIFF"), REFUSED)
    yield "32-bit-TIFF", Case(encoded(np.full((4, 5), 70_000, np.int32), "TIFF"), REFUSED)
    yield "float-PFM", Case(b"Pf\n5 4\n-1.0\n" + np.ones(20, np.float32).tobytes(), REFUSED)
    lab = Image.merge("LAB", [Image.new("L", (9, 7), level) for level in (128, 150, 100)])
    yield "LAB-TIFF", Case(encoded(lab, "TIFF"), REFUSED)


def half_deep() -> Iterator[tuple[str, Case]]:
    """Fewer bits in 16, whose upper 8 would be nearly black: stretched, with a warning."""
    for bits in (1, 8, 10, 12, 14):
        levels = np.random.default_rng(0).integers(0, 2**bits, (20, 30, 4), dtype=np.uint16)
        levels[0, 0] = 2**bits - 1
        one, alpha = levels[..., :1], levels[..., 3:] % 2 * np.uint16(65535)
        shown = levels[..., :3] * (255 / (2**bits - 1))
        for kind in ("PNG", "TIFF"):
            data = encoded(one[..., 0], kind)
            yield f"{bits}-in-16-bits-grey-{kind}", Case(data, truth=grey(shown[..., 0]), warns=STRETCHED)
        data = b"P5 # a comment\n30 20 65535\n" + one.astype(">u2").tobytes()
        yield f"{bits}-in-16-bits-grey-PPM", Case(data, truth=grey(shown[..., 0]), warns=STRETCHED)
        data = b"P6 30 20 65535\n" + levels[..., :3].astype(">u2").tobytes()
        yield f"{bits}-in-16-bits-RGB-PPM", Case(data, truth=shown, warns=STRETCHED)
        for name, colour_type, samples, truth in (
            ("RGB", 2, levels[..., :3], shown),
            ("RGBA", 6, np.dstack([levels[..., :3], alpha]), np.where(alpha, shown, 255)),
            ("grey-alpha", 4, np.dstack([one, alpha]), np.where(alpha, shown[..., [0, 0, 0]], 255)),
        ):
            rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
            data = png(30, 20, chunk(b"IDAT", zlib.compress(rows)), bits=16, colour=colour_type)
            yield f"{bits}-in-16-bits-{name}-PNG", Case(data, truth=truth, warns=STRETCHED)
    black, dim = np.zeros((20, 30), np.uint16), np.full((20, 30), 2**14, np.uint16)
    yield "black-16-bit-PNG", Case(encoded(black, "PNG"), truth=grey(black))
    yield "dim-16-bit-PNG", Case(encoded(dim, "PNG"), truth=grey(dim >> 8))
    stated = np.random.default_rng(0).integers(0, 500, (20, 30))  # dark, and the header says what white is
    data = b"P5 30 20 4095\n" + stated.astype(">u2").tobytes()
    yield "dark-12-bit-PPM", Case(data, truth=grey(stated * (255 / 4095)))


def masks() -> Iterator[tuple[str, Case]]:
    """For the fuzz; every kind of BMP is in test_trust_bitmaps.py."""
    words = np.random.default_rng(0).integers(0, 2**32, (40, 60))
    places = (0xFF000000, 0xFF0000, 0xFF00)
    truth = np.stack([words >> shift & 255 for shift in (24, 16, 8)], -1)
    for header in (40, 52, 56, 124):
        data = bmp(word_rows(words, 32), 60, 32, header, compression=BITFIELDS, masks=places)
        yield f"masks-{header}-BMP", Case(data, truth=truth)
    data = bmp(word_rows(words, 32), 60, 32, compression=ALPHABITFIELDS, masks=(*places, 0xFF))
    yield "alpha-masks-BMP", Case(data, REFUSED)
    data = bmp(word_rows(words % 2**16, 16), 60, 16, top_down=True)
    truth = np.stack([(words >> shift & 31) * (255 / 31) for shift in (10, 5, 0)], -1)
    yield "16-bit-BMP", Case(data, truth=truth)


def containers() -> Iterator[tuple[str, Case]]:
    """HEIC and AVIF: turned once, in tiles, with alpha, of 10 bits."""
    for orientation in range(1, 9):
        data = turned_heic(turned(smooth(), orientation), exif(orientation).tobytes())
        yield f"exif-{orientation}-HEIC", Case(data, truth=smooth(), within=8)
    data = with_exif(coded(heic(smooth(64, 96))), exif(6).tobytes())  # in a HEIC only the container counts
    yield "exif-alone-HEIC", Case(data, truth=smooth(64, 96), within=8)
    picture = smooth(128, 192)
    parts = [picture[row : row + 64, column : column + 64] for row in (0, 64) for column in (0, 64, 128)]
    turn = b"\0\0\0\x09irot\1"  # a quarter, against the clock
    for kind, tiles in (
        ("HEIC", [coded(heic(np.ascontiguousarray(part))) for part in parts]),
        ("AVIF", [coded(encoded(part, "AVIF", quality=95, subsampling="4:4:4")) for part in parts]),
    ):
        yield f"tiles-{kind}", Case(grid(tiles, 3, (192, 128)), truth=picture, within=8)
        yield f"cut-tiles-{kind}", Case(grid(tiles, 3, (180, 120)), truth=picture[:120, :180], within=8)
        data = grid(tiles, 3, (192, 128), turn)
        yield f"turned-tiles-{kind}", Case(data, truth=np.rot90(picture), within=8)
    rgba = np.dstack([smooth(), np.full((48, 80), 255, np.uint8)])
    rgba[:20, :, 3], rgba[20:30, :, 3] = 0, 128
    yield "alpha-HEIC", Case(heic(rgba), truth=on_white(rgba), within=8)
    data = encoded(rgba, "AVIF", quality=98, subsampling="4:4:4")
    yield "alpha-AVIF", Case(data, truth=on_white(rgba), within=8)
    level = smooth()[..., 0]
    yield "grey-HEIC", Case(heic(level), truth=grey(level), within=8)
    yield "grey-AVIF", Case(encoded(level, "AVIF", quality=98), truth=grey(level), within=8)
    for name, levels in (("RGB", smooth()), ("grey", level), ("RGBA", rgba)):
        truth = {"RGB": levels, "grey": grey(level), "RGBA": on_white(rgba)}[name]
        yield f"10-bit-{name}-HEIC", Case(deep_heic(levels * np.uint16(257)), truth=truth)
    dark = level // 20
    yield "dark-10-bit-HEIC", Case(deep_heic(dark * np.uint16(257)), truth=grey(dark), within=2)


def inks() -> Iterator[tuple[str, Case]]:
    ink = np.zeros((16, 64, 4), np.uint8)
    ink[:, :16, 0] = ink[:, 16:32, 1] = ink[:, 32:48, 2] = 255
    ink[:, 48:, 3] = 128
    truth = (255 - ink[..., :3].astype(float)) * (255 - ink[..., 3:]) / 255
    cmyk = Image.frombytes("CMYK", (64, 16), ink.tobytes())
    yield "CMYK-TIFF", Case(encoded(cmyk, "TIFF"), truth=truth)
    adobe = encoded(cmyk, "JPEG", quality=95)
    yield "CMYK-Adobe-JPEG", Case(adobe, truth=truth, within=12)
    # The marker says that the inks are stored inverted; Pillow takes that for granted without it too.
    yield "CMYK-no-Adobe-JPEG", Case(without_segment(adobe, 0xEE), truth=truth, within=12)


def transparent() -> Iterator[tuple[str, Case]]:
    """A colour under alpha 0 must not come through."""
    rgba = noise(channels=4)
    rgba[:20, :, 3], rgba[20:30, :, 3] = 0, 255
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        yield f"alpha-{kind}", Case(encoded(rgba, kind, **options), truth=on_white(rgba))
    both = rgba[..., [0, 3]]
    yield (
        "grey-alpha-PNG",
        Case(encoded(Image.fromarray(both, "LA"), "PNG"), truth=on_white(rgba[..., [0, 0, 0, 3]])),
    )
    indices = noise(channels=1)[..., 0] % 4
    palette = np.array([[255, 0, 0], [0, 128, 0], [1, 2, 3], [9, 90, 200]], np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())  # turns mode L into mode P
    shown = palette.copy()
    shown[2] = 255
    for kind in ("PNG", "GIF"):
        yield f"palette-alpha-{kind}", Case(encoded(picture, kind, transparency=2), truth=shown[indices])
    red = np.array([200, 10, 10], np.uint8)
    flat = np.full((8, 9, 3), red)
    flat[2:4] = 77
    truth = np.where((flat == red).all(-1, keepdims=True), 255, flat)
    data = encoded(flat, "PNG", transparency=tuple(int(level) for level in red))
    yield "key-colour-PNG", Case(data, truth=truth)


def several() -> Iterator[tuple[str, Case]]:
    """Animations and stacks of pages: the first frame, and a warning that says so."""
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "lime", "blue")]
    truth = np.asarray(frames[0])
    for kind, options in (
        ("GIF", {}),
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("MPO", {}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        yield f"several-{kind}", Case(data, truth=truth, warns=SEVERAL)
    yield "several-HEIC", Case(heic(*frames), truth=truth, within=4, warns=SEVERAL)
    still = encoded(frames[0], "GIF")
    frame = still[still.rindex(b",\0\0\0\0\x1e\0\x14\0") : -1]  # 30 x 20 from (0, 0)
    many = still[:-1] + frame * 300_000 + b";"
    yield "300,000-frames-GIF", Case(many, truth=truth, warns=SEVERAL)


# Broken pictures


def whole() -> dict[str, bytes]:
    """Eleven formats, of one picture that is hard to compress."""
    picture = noise(60, 90)
    return {
        "JPEG": encoded(picture, "JPEG"),
        "PNG": encoded(picture, "PNG"),
        "WEBP": encoded(picture, "WEBP"),
        "lossless-WEBP": encoded(picture, "WEBP", lossless=True),
        "TIFF": encoded(picture, "TIFF"),
        "LZW-TIFF": encoded(picture, "TIFF", compression="tiff_lzw"),
        "BMP": encoded(picture, "BMP"),
        "GIF": encoded(Image.fromarray(picture).quantize(), "GIF"),
        "PPM": encoded(picture, "PPM"),
        "HEIC": heic(picture),
        "AVIF": encoded(picture, "AVIF"),
    }


def cut() -> Iterator[tuple[str, Case]]:
    for (kind, data), share in itertools.product(whole().items(), SHARES):
        yield f"cut-{share}-{kind}", Case(data[: len(data) * share // 100], REFUSED)


def damaged() -> Iterator[tuple[str, Case]]:
    """Where a format has no checksum, damage to its pixels cannot be told from other pixels."""
    for kind, data in whole().items():
        for share in (30, 50, 70):
            place = len(data) * share // 100
            expected = REFUSED if kind == "PNG" else AS_PILLOW
            yield f"damaged-{share}-{kind}", Case(spoiled(data, place, 32), expected)


def wrong_sums() -> Iterator[tuple[str, Case]]:
    rows = b"".join(b"\0" + row.tobytes() for row in noise())
    packed = zlib.compress(rows)
    text = chunk(b"tEXt", b"Comment\0a picture")
    data = png(60, 40, text, chunk(b"IDAT", packed))
    for kind in (b"IHDR", b"tEXt", b"IDAT"):
        start = data.index(kind)
        length = int.from_bytes(data[start - 4 : start], "big")
        yield f"wrong-CRC-{kind.decode()}", Case(spoiled(data, start + 4 + length), REFUSED)
    yield "wrong-CRC-IEND", Case(spoiled(data, len(data) - 4), AS_PILLOW, noise())
    adler = packed[:-1] + bytes([packed[-1] ^ 1])
    yield "wrong-Adler", Case(png(60, 40, text, chunk(b"IDAT", adler)), AS_PILLOW, noise())


# What is not a picture, or is more than one thing


def strangers() -> Iterator[tuple[str, Case]]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("photo.png", encoded(noise(), "PNG"))
    for name, data in {
        "empty": b"",
        "one-byte": b"\xff",
        "text": b"no picture\n" * 9,
        "HTML": b"<!DOCTYPE html><html><body><h1>404</h1></body></html>",
        "ZIP": archive.getvalue(),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "EPS": eps(),
        "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
        "pickle": b"cos\nsystem\n(S'true'\ntR.",
        "PPM-with-markup": b"P6 9 <i>\xe9\x1b\x07</i> 255\n",  # Pillow quotes it in its message
        "other-ICO": encoded(noise(32, 32), "ICO"),
    }.items():
        yield f"{name}", Case(data, REFUSED)


def eps() -> bytes:
    """What Pillow alone hands to Ghostscript, whatever the file is called."""
    return (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
        b"%%BeginPreview\n%%EndPreview\n0 0 9 9 rectfill\nshowpage\n%%EOF\n"
    )


def polyglots() -> Iterator[tuple[str, Case]]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.html", "<script>alert(1)</script>")
    yield "PNG-and-ZIP", Case(encoded(noise(), "PNG") + archive.getvalue(), truth=noise())
    jpeg = encoded(smooth(), "JPEG", quality=95)
    html = b"<html><script>alert(1)</script></html>"
    yield "JPEG-and-HTML", Case(jpeg + html, truth=smooth(), within=16)
    yield "HTML-in-JPEG", Case(with_segment(jpeg, 0xFE, html), truth=smooth(), within=16)
    strip = Image.new("P", (0x2A2F, 1))  # the width's two bytes are /*
    strip.putpalette([7, 8, 9] + [0] * 765)
    data = encoded(strip, "GIF") + b"*/=1;alert(1)"
    yield "GIF-and-JavaScript", Case(data, truth=np.full((1, 0x2A2F, 3), [7, 8, 9]))
    yield "ZIP-before-PNG", Case(archive.getvalue() + encoded(noise(), "PNG"), REFUSED)


# Small files that mean gigabytes, or hours


def bombs() -> Iterator[tuple[str, Case]]:
    files = {
        "144-megapixels-PNG": black_png(12_000, 12_000),
        "900-megapixels-PNG": black_png(30_000, 30_000, bits=1, colour=0),
        "80-megapixels-PNG": black_png(10_000, 8_000, bits=1, colour=0),
        "just-over-the-limit-PNG": png(2**13, 2**13 + 1, chunk(b"IDAT", zeros(100))),
        "lying-PNG": png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", zeros(100))),
        "lying-64-megapixels-PNG": png(8000, 8000, chunk(b"IDAT", zeros(100))),
        "more-pixels-than-said-PNG": png(5, 5, chunk(b"IDAT", zeros(2**30)))[:-20],
        "zTXt-PNG": png(9, 9, chunk(b"zTXt", b"a\0\0" + zeros(2**30)), chunk(b"IDAT", zeros(252))),
        "zTXt-60-times-PNG": png(
            9, 9, chunk(b"zTXt", b"a\0\0" + zeros(2**20 - 9)) * 60, chunk(b"IDAT", zeros(252))
        ),
        "iTXt-PNG": png(9, 9, chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(2**30)), chunk(b"IDAT", zeros(252))),
        "iCCP-PNG": png(9, 9, chunk(b"iCCP", b"a\0\0" + zeros(2**30)), chunk(b"IDAT", zeros(252))),
        "lying-JPEG": lying_jpeg(),
        "5,000-scans-JPEG": scans_jpeg(5000),
        "lying-BMP": b"BM"
        + struct.pack("<IIIIiiHHIIIIII", 99, 0, 54, 40, 40_000, 40_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "lying-GIF": one_frame_gif((65535, 65535), (1, 1)),
        "frame-beyond-GIF": one_frame_gif((9, 9), (65535, 65535)),
        "lying-PPM": b"P6 60000 60000 255\n" + bytes(99),
        "lying-WEBP": lying_webp(),
        "lying-TIFF": grey_tiff(2**31, 2**31, bytes(99)),
        "lying-64-megapixels-TIFF": grey_tiff(8000, 8000, bytes(99)),
        "tile-TIFF": tile_tiff(20_000),
        "lying-AVIF": encoded(noise(), "AVIF").replace(ispe(60, 40), ispe(60_000, 40_000)),
        **heic_bombs(),
    }
    for name, data in files.items():
        yield f"bomb-{name}", Case(data, REFUSED)


def heic_bombs() -> dict[str, bytes]:
    """Many large pictures of which little is seen: all of them would be decoded."""
    large = Image.new("RGB", (6000, 6000))
    black_file = heic(large, quality=20, enc_params={"preset": "ultrafast"})
    black = coded(black_file)
    small = coded(heic(Image.new("RGB", (64, 64))))
    return {
        "lying-HEIC": heic(smooth(64, 96)).replace(ispe(96, 64), ispe(60_000, 40_000)),
        "larger-than-said-HEIC": black_file.replace(ispe(6000, 6000), ispe(64, 64)),
        "hidden-tiles-HEIC": grid([black] * 6, 3, (100, 100)),
        "overlays-HEIC": overlay([black] * 6, (100, 100)),
        "alphas-HEIC": with_alphas(small, [black] * 6),
    }


def one_frame_gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    """A GIF of one black pixel that claims other sizes."""
    data = bytearray(encoded(Image.new("P", (1, 1)), "GIF"))
    start = data.rindex(b",\0\0\0\0\x01\0\x01\0")
    data[6:10], data[start + 5 : start + 9] = struct.pack("<HH", *screen), struct.pack("<HH", *frame)
    return bytes(data)


def lying_jpeg() -> bytes:
    data = bytearray(encoded(noise(), "JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = b"\xff\xff\xff\xff"  # 65535 x 65535
    return bytes(data)


def scans_jpeg(count: int, side: int = 2000) -> bytes:
    """A progressive JPEG whose last scan comes again and again: a pass over all pixels for 10 bytes."""
    data = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    return data[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00" * count + data[-2:]


def lying_webp() -> bytes:
    data = bytearray(encoded(noise(), "WEBP", exif=exif(1)))
    data[24:30] = b"\xfe\x3f\x00\xfe\x3f\x00"  # a canvas of 16383 x 16383
    return bytes(data)


def tile_tiff(side: int) -> bytes:
    """A picture of 100 x 100 pixels in one tile of side x side, deflated."""
    packed = zeros(side * side)
    tile = {259: (3, 1, 8), 273: (4, 0, 0), 278: (4, 0, 0), 279: (4, 0, 0)}
    tile |= {322: (4, 1, side), 323: (4, 1, side), 324: (4, 1, -1), 325: (4, 1, len(packed))}
    return grey_tiff(100, 100, packed, tile)


@cache
def corpus() -> dict[str, Case]:
    """Every case but the bombs, by name."""
    groups = (
        oriented,
        kinds,
        deep,
        half_deep,
        masks,
        containers,
        inks,
        transparent,
        several,
        cut,
        damaged,
        wrong_sums,
        strangers,
        polyglots,
    )
    return {name: case for group in groups for name, case in group()}


@cache
def all_bombs() -> dict[str, Case]:
    return dict(bombs())
