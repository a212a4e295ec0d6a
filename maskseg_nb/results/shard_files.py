"""A chunk's results as one Parquet file: a row per instance, and one for each picture without any."""

import hashlib
import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise ImportError("results in shards need pyarrow; pip install 'maskseg-nb[scale]'") from error

from ..data.rle import x_y_sides
from .folder_records import Record
from .measures import COLUMNS

FAILED, RETRY, AT_LIMIT = 1, 2, 4  # flags of a picture
SETTINGS = b"maskseg_nb.settings"  # in each file's metadata: the `fingerprint` of model and options

# What is known of a picture without its instances. `key` stands for its name, `version` for the name, size
# and time of change: 64 bits, of which no two are expected to be equal among a hundred million pictures.
PICTURE = np.dtype([("key", np.uint64), ("version", np.uint64), ("flags", np.uint8)])

_INTEGERS = ("instance", "area")
SCHEMA = pa.schema(
    [
        ("file", pa.string()),  # the picture's path or URL
        ("height", pa.int32()),  # pixels; null where the picture failed
        ("width", pa.int32()),
        ("error", pa.string()),  # why there is no result; null where there is one
        ("retry", pa.bool_()),  # whether the next run tries again
        ("limit", pa.int32()),  # the model's limit of detections, where it may have cut off some; else 0
        ("size", pa.int64()),  # bytes of the picture's file
        ("changed", pa.int64()),  # when it was changed, in nanoseconds since 1970
        ("key", pa.uint64()),
        ("version", pa.uint64()),
        ("flags", pa.uint8()),
        # Of the instance, null where a picture has none: `measure`'s columns, and the mask.
        *(
            (name, pa.int64() if name in _INTEGERS else pa.float64())
            for name in COLUMNS
            if name != "category"
        ),
        ("category", pa.dictionary(pa.int32(), pa.string())),
        ("category_id", pa.int32()),
        ("rle", pa.string()),  # the mask as COCO's compressed run lengths, of [height, width]
    ]
)


def key_of(file: str) -> int:
    """A number that stands for a picture's name."""
    return _hashed(file)


def version_of(file: str, seen: Sequence[int]) -> int:
    """A number that stands for a picture as it was at a time."""
    return _hashed(f"{file}\0{seen[0]}\0{seen[1]}")


def _hashed(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    number: int = struct.unpack("<Q", digest)[0]
    return number


def pictures_of(records: Sequence[Record]) -> np.ndarray:
    """Records as `PICTURE`s."""
    return np.array(
        [(key_of(r.file), version_of(r.file, r.stamp), _flags(r)) for r in records], dtype=PICTURE
    )


def _flags(record: Record) -> int:
    return FAILED * bool(record.error) | RETRY * record.retry | AT_LIMIT * bool(record.limit)


def as_parquet(records: Sequence[Record], pictures: np.ndarray, settings: str) -> bytes:
    """A chunk's records and their `pictures_of` as the bytes of a Parquet file."""
    rows: list[dict[str, Any]] = []
    for record, (key, version, flags) in zip(records, pictures.tolist(), strict=True):
        height, width = record.image_size if not record.error else (None, None)
        of_picture = {
            "file": _writable(record.file),
            "height": height,
            "width": width,
            "error": _writable(record.error) or None,
            "retry": record.retry,
            "limit": record.limit,
            "size": record.stamp[0],
            "changed": record.stamp[1],
            "key": key,
            "version": version,
            "flags": flags,
        }
        for row, entry in zip(record.rows, record.entries, strict=True):
            mask = {"category_id": entry["category_id"], "rle": entry["segmentation"]["counts"]}
            rows.append(of_picture | row | mask)
        if not record.rows:
            rows.append(of_picture)
    return to_bytes(pa.Table.from_pylist(rows, SCHEMA), settings)


def to_bytes(table: pa.Table, settings: str) -> bytes:
    """A table as the bytes of a Parquet file that says of which settings it is."""
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({SETTINGS: settings.encode()})
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_table(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in the bytes of a Parquet file."""
    return pq.read_table(pa.BufferReader(data), columns=columns)


def settings_of(table: pa.Table) -> str:
    """Of which settings a table is; empty where it does not say."""
    return (table.schema.metadata or {}).get(SETTINGS, b"").decode("ascii", "replace")


def pictures_in_table(table: pa.Table) -> np.ndarray:
    """The `PICTURE`s of a shard."""
    columns = [table.column(name).to_numpy() for name in PICTURE.names or ()]
    rows = np.empty(len(table), PICTURE)
    for name, values in zip(PICTURE.names or (), columns, strict=True):
        rows[name] = values
    first = np.ones(len(rows), bool)
    first[1:] = rows["key"][1:] != rows["key"][:-1]  # a picture's rows follow each other
    return rows[first]


def records_in(table: pa.Table) -> Iterator[Record]:
    """A shard's records, as they were when it was written."""
    settings = settings_of(table)
    for _, group in itertools.groupby(table.to_pylist(), lambda row: row["file"]):
        rows = list(group)
        first = rows[0]
        size = [first["height"] or 0, first["width"] or 0]
        found = [row for row in rows if row["instance"] is not None]
        yield Record(
            first["file"],
            [first["size"], first["changed"]],
            settings,
            first["error"] or "",
            size,
            [{name: row[name] for name in COLUMNS} for row in found],
            [_entry(row, size) for row in found],
            first["limit"],
            first["retry"],
        )


def _entry(row: dict[str, Any], size: list[int]) -> dict[str, Any]:
    """The instance as `coco_entries` had it, its keys in the order in which a record keeps them."""
    (box,) = x_y_sides(np.array([[row["x1"], row["y1"], row["x2"], row["y2"]]])).tolist()
    return {
        "area": row["area"],
        "bbox": box,
        "category_id": row["category_id"],
        "instance": row["instance"],
        "iscrowd": 0,
        "score": row["score"],
        "segmentation": {"counts": row["rle"], "size": size},
    }


def _writable(text: str) -> str:
    """A text as UTF-8 can hold it: names on a disk are bytes."""
    return text.encode("utf-8", "backslashreplace").decode()
