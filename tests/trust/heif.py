"""HEIC files, and the boxes of HEIC and AVIF put together by hand, as telephones and attackers do.

pillow-heif writes here what pi-heif, which only reads, has to read.
"""

import io
import struct
from collections.abc import Iterator

import numpy as np
import pillow_heif
from PIL import Image

Item = tuple[bytes, bytes, list[bytes]]  # kind, content, boxes of its properties


def heic(*pictures: np.ndarray | Image.Image, quality: int = 95, **options: object) -> bytes:
    """One HEIC of some pictures, in full colour."""
    file, whole = io.BytesIO(), pillow_heif.HeifFile()
    for picture in pictures:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        whole.add_from_pillow(image)
    whole.save(file, quality=quality, chroma=444, **options)
    return file.getvalue()


def deep_heic(levels: np.ndarray) -> bytes:
    """A HEIC of 10 bits a sample from uint16 (H, W), (H, W, 3) or (H, W, 4)."""
    mode = {2: "L;16"}.get(levels.ndim) or {3: "RGB;16", 4: "RGBA;16"}[levels.shape[2]]
    file = io.BytesIO()
    size = levels.shape[1], levels.shape[0]
    pillow_heif.encode(mode, size, levels.tobytes(), file, quality=95, chroma=444)
    return file.getvalue()


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", len(content) + 8, kind) + content


def full(kind: bytes, version: int, *parts: bytes) -> bytes:
    """A box that begins with its version."""
    return box(kind, struct.pack(">I", version << 24), *parts)


def ispe(width: int, height: int) -> bytes:
    """The property that says how large an item is."""
    return full(b"ispe", 0, struct.pack(">II", width, height))


def children(data: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    while start < len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, data[start : start + size]
        start += size


def coded(file: bytes) -> Item:
    """The one picture of a file."""
    top = dict(children(file))
    meta = dict(children(top[b"meta"], 12))
    properties = dict(children(dict(children(meta[b"iprp"], 8))[b"ipco"], 8))
    configuration = b"hvcC" if b"hvcC" in properties else b"av1C"
    kind = {b"hvcC": b"hvc1", b"av1C": b"av01"}[configuration]
    kept = [properties[name] for name in (configuration, b"colr", b"pixi", b"ispe") if name in properties]
    return kind, top[b"mdat"][8:], kept


def assembled(
    items: list[Item], main: int, references: list[tuple[bytes, int, list[int]]] | None = None
) -> bytes:
    """A file of items, numbered from 1. A reference is a kind, the item that refers, and those it means."""
    properties = list(dict.fromkeys(entry for _, _, own in items for entry in own))
    needed = (b"hvcC", b"av1C", b"irot", b"imir")
    hidden = {part for kind, _, meant in references or [] for part in meant if kind == b"dimg"}
    infe, ipma = [], []
    for number, (kind, _, own) in enumerate(items, 1):
        entry = struct.pack(">IHH4s", 2 << 24 | (number in hidden), number, 0, kind)
        infe.append(box(b"infe", entry, b"\0"))
        places = [(entry[4:8] in needed) << 7 | properties.index(entry) + 1 for entry in own]
        ipma.append(struct.pack(">HB", number, len(own)) + bytes(places))
    iref = [
        box(kind, struct.pack(f">HH{len(meant)}H", item, len(meant), *meant))
        for kind, item, meant in references or []
    ]

    def meta(start: int) -> bytes:
        places = []
        for number, (_, content, _) in enumerate(items, 1):
            places.append(struct.pack(">HHHII", number, 0, 1, start, len(content)))
            start += len(content)
        count = struct.pack(">H", len(items))
        return full(
            b"meta",
            0,
            full(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
            full(b"pitm", 0, struct.pack(">H", main)),
            full(b"iloc", 0, b"\x44\0", count, *places),
            full(b"iinf", 0, count, *infe),
            *([full(b"iref", 0, *iref)] if iref else []),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full(b"ipma", 0, struct.pack(">I", len(items)), *ipma),
            ),
        )

    brand = b"avif" if any(kind == b"av01" for kind, _, _ in items) else b"heic"
    ftyp = box(b"ftyp", brand, bytes(4), b"mif1", b"miaf", brand)
    start = len(ftyp) + len(meta(0)) + 8
    return ftyp + meta(start) + box(b"mdat", *(content for _, content, _ in items))


def grid(tiles: list[Item], columns: int, size: tuple[int, int], *properties: bytes) -> bytes:
    """Tiles beside each other, cut to (width, height): how telephones store a photograph."""
    rows = len(tiles) // columns
    content = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size)
    main = len(tiles) + 1
    whole = (
        b"grid",
        content,
        [ispe(*size), *(entry for entry in tiles[0][2] if entry[4:8] == b"pixi"), *properties],
    )
    return assembled([*tiles, whole], main, [(b"dimg", main, list(range(1, main)))])


def overlay(parts: list[Item], size: tuple[int, int]) -> bytes:
    """Pictures on top of each other, of which little may be seen."""
    content = struct.pack(">BB4HHH", 0, 0, 0, 0, 0, 65535, *size) + bytes(4 * len(parts))
    main = len(parts) + 1
    return assembled(
        [*parts, (b"iovl", content, [ispe(*size)])], main, [(b"dimg", main, list(range(1, main)))]
    )


def turned_heic(stored: np.ndarray, exif: bytes) -> bytes:
    """As a telephone saves a turned photograph: the container says how to turn it, and the EXIF once more."""
    file = io.BytesIO()
    size = stored.shape[1], stored.shape[0]
    pillow_heif.encode("RGB", size, stored.tobytes(), file, quality=95, chroma=444, exif=exif)
    return file.getvalue()


def with_exif(item: Item, exif: bytes) -> bytes:
    """One picture and an EXIF of which the container knows nothing."""
    return assembled([item, (b"Exif", struct.pack(">I", 6) + exif, [])], 1, [(b"cdsc", 2, [1])])


ALPHA = full(b"auxC", 0, b"urn:mpeg:hevc:2015:auxid:1\0")


def with_alphas(item: Item, alphas: list[Item]) -> bytes:
    """One picture that names others as its transparency."""
    others = [(kind, content, [*own, ALPHA]) for kind, content, own in alphas]
    references = [(b"auxl", number, [1]) for number in range(2, len(alphas) + 2)]
    return assembled([item, *others], 1, references)
