"""BMP files of every kind, legal and odd, and their pixels worked out by hand."""

import struct

import numpy as np

RGB, BITFIELDS, ALPHABITFIELDS = 0, 3, 6  # compressions
HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes: OS/2 1, Windows 3, with masks, with alpha, OS/2 2, 4, 5


def bmp(
    rows: list[bytes],
    width: int,
    bits: int,
    header: int = 40,
    *,
    compression: int = RGB,
    masks: tuple[int, ...] = (),
    palette: np.ndarray | None = None,
    used: int = 0,
    top_down: bool = False,
    data: bytes | None = None,
) -> bytes:
    """A BMP file.

    Args:
        rows: From the top, each as it stands in the file but for the padding to 4 bytes.
        width: In pixels.
        bits: Of a pixel.
        header: Its size in bytes.
        compression: As in the header.
        masks: Of red, green, blue and perhaps alpha: inside the header, or behind one of 40 bytes.
        palette: uint8 (N, 3), RGB.
        used: How many of its entries the header says there are; 0 means 2^bits.
        top_down: The first row comes first, and the height is negative.
        data: In the place of the rows.
    """
    if data is None:
        padded = [row + bytes(-len(row) % 4) for row in rows]
        data = b"".join(padded if top_down else padded[::-1])
    height, words = len(rows), struct.pack(f"<{len(masks)}I", *masks)
    colours = b""
    for red, green, blue in [] if palette is None else palette.tolist():
        colours += bytes([blue, green, red] if header == 12 else [blue, green, red, 0])
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        height = -height if top_down else height
        info = struct.pack("<IiiHH", header, width, height, 1, bits)
        info += struct.pack("<IIiiII", compression, len(data), 2835, 2835, used, 0)
        info += words if header == 40 else words.ljust(header - 40, b"\0")[: header - 40]
    start = 14 + len(info) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + colours + data


def index_rows(indices: np.ndarray, bits: int) -> list[bytes]:
    """Rows of a palette's indices, the first pixel in the upper bits."""
    rows = []
    for row in indices:
        text = "".join(f"{index:0{bits}b}" for index in row)
        text += "0" * (-len(text) % 8)
        rows.append(bytes(int(text[place : place + 8], 2) for place in range(0, len(text), 8)))
    return rows


def word_rows(words: np.ndarray, bits: int) -> list[bytes]:
    """Rows of pixels of whole bytes."""
    return [b"".join(int(word).to_bytes(bits // 8, "little") for word in row) for row in words]


def channel(words: np.ndarray, mask: int) -> np.ndarray:
    """What lies under a mask, [0, 255], float."""
    shift = (mask & -mask).bit_length() - 1
    return ((words & mask) >> shift) * (255 / (mask >> shift))


def rle(indices: np.ndarray, bits: int, random: np.random.Generator) -> bytes:
    """Rows of indices as runs and literals in turn, by BMP's run-length coding of 8 or 4 bits."""
    data = b""
    for row in indices[::-1].tolist():
        place = 0
        while place < len(row):
            literal = row[place : place + int(random.integers(3, 9))]
            if random.random() < 0.5 and len(literal) >= 3:
                packed = index_rows(np.array([literal]), bits)[0]
                data += bytes([0, len(literal)]) + packed + bytes(len(packed) % 2)
                place += len(literal)
                continue
            end = place
            while end < len(row) and row[end] == row[place] and end - place < 255:
                end += 1
            data += bytes([end - place, row[place] * (17 if bits == 4 else 1)])
            place = end
        data += b"\0\0"  # end of the row
    return data + b"\0\1"  # end of the picture
