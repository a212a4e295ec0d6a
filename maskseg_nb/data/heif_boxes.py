"""What a HEIC or AVIF file asks of its decoder, as its boxes say before a pixel is decoded.

Both are containers (ISO/IEC 23008-12): one picture may be made of a thousand tiles or overlays, each of any
size, of which little or nothing is seen, and all of them are decoded.
"""

import struct
from collections.abc import Iterator

HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF = {b"avif", b"avis"}

HEAD = 1000  # bytes in which the kinds are listed

Box = tuple[bytes, int, int]  # kind, where its content begins and ends


def brands(data: bytes) -> set[bytes]:
    """The kinds that a file says it is of; none where it is not such a container."""
    if data[4:8] != b"ftyp":
        return set()
    listed = data[16 : min(int.from_bytes(data[:4], "big"), HEAD)]
    return {data[8:12], *(listed[place : place + 4] for place in range(0, len(listed), 4))}


def coded_pixels(data: bytes) -> int:
    """Width x height, added up, of the coded pictures that the main one is made of; 0 where there is none.

    Raises:
        ValueError, struct.error, IndexError: The boxes contradict themselves.
    """
    meta = next(((start, end) for kind, start, end in _boxes(data, 0, len(data)) if kind == b"meta"), None)
    if meta is None:  # a sequence without a still picture
        return 0
    boxes = list(_boxes(data, meta[0] + 4, meta[1]))
    parts, main, sizes = _parts(data, boxes), _main(data, boxes), _sizes(data, boxes)
    known: dict[int, int] = {}

    def pixels(item: int) -> int:
        if item not in known:
            known[item] = 0  # while it is looked at: a circle adds nothing
            own = 0 if any(kind == b"dimg" for kind, _ in parts.get(item, [])) else sizes.get(item, 0)
            known[item] = own + sum(pixels(part) for _, part in parts.get(item, []))
        return known[item]

    return pixels(main)


def _boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            head, size = 16, struct.unpack_from(">Q", data, start + 8)[0]
        elif size == 0:  # to the end
            size = end - start
        if size < head:
            raise ValueError(f"a box of {size} bytes")
        yield kind, start + head, min(start + size, end)
        start += size


def _within(data: bytes, boxes: list[Box], kind: bytes, skip: int) -> Iterator[Box]:
    """The boxes inside those of a kind; `skip` bytes stand before them."""
    for found, start, end in boxes:
        if found == kind:
            yield from _boxes(data, start + skip, end)


def _main(data: bytes, boxes: list[Box]) -> int:
    start = next((start for kind, start, _ in boxes if kind == b"pitm"), None)
    if start is None:
        return 0
    return struct.unpack_from(">I" if data[start] else ">H", data, start + 4)[0]


def _parts(data: bytes, boxes: list[Box]) -> dict[int, list[tuple[bytes, int]]]:
    """Item -> the items that it is made of ("dimg"), and those that add to it, such as alpha ("auxl")."""
    parts: dict[int, list[tuple[bytes, int]]] = {}
    number = next((">I" if data[start] else ">H" for kind, start, _ in boxes if kind == b"iref"), ">H")
    width = struct.calcsize(number)
    for kind, start, _ in _within(data, boxes, b"iref", 4):
        if kind not in (b"dimg", b"auxl"):
            continue
        (whole,) = struct.unpack_from(number, data, start)
        (count,) = struct.unpack_from(">H", data, start + width)
        for place in range(count):
            (part,) = struct.unpack_from(number, data, start + width + 2 + place * width)
            item, other = (whole, part) if kind == b"dimg" else (part, whole)
            parts.setdefault(item, []).append((kind, other))
    return parts


def _sizes(data: bytes, boxes: list[Box]) -> dict[int, int]:
    """Item -> width x height, as the largest "ispe" among its properties says."""
    inside = list(_within(data, boxes, b"iprp", 0))
    areas = [
        width * height if kind == b"ispe" else 0
        for kind, start, end in _within(data, inside, b"ipco", 0)
        for width, height in [struct.unpack_from(">II", data, start + 4) if kind == b"ispe" else (0, 0)]
    ]
    sizes: dict[int, int] = {}
    for kind, start, _ in inside:
        if kind != b"ipma":
            continue
        number, long = ">I" if data[start] else ">H", data[start + 3] & 1
        (count,) = struct.unpack_from(">I", data, start + 4)
        place = start + 8
        for _ in range(count):
            (item,) = struct.unpack_from(number, data, place)
            place += struct.calcsize(number)
            properties = data[place]
            place += 1
            for _ in range(properties):
                index = int.from_bytes(data[place : place + 1 + long], "big")
                index &= 0x7FFF if long else 0x7F  # the upper bit says that the property is essential
                place += 1 + long
                if 0 < index <= len(areas):
                    sizes[item] = max(sizes.get(item, 0), areas[index - 1])
    return sizes
