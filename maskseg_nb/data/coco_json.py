"""A JSON file in COCO's format as tools write it: its three lists, and the values that stand in them.

Whole numbers come as 4, 4.0 or "4", and what is missing as null, NaN or "".
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..errors import DatasetError, cannot_open, quoted
from .findings import Fault, Findings

Entry = TypeVar("Entry")
Key = int | str  # what an entry is known by

LISTS = ("images", "annotations", "categories")
# What gives away another tool's file: a key, and whose it is.
_OTHERS = {
    "shapes": "labelme's own",
    "_via_img_metadata": "VIA's own project",
    "regions": "VIA's own",
    "score": "COCO's results",
    "predictions": "Label Studio's own",
    "completions": "Label Studio's own",
    "data": "Label Studio's own",
}
_WHOLE = re.compile(r"\s*[+-]?\d{1,18}(?:\.0{1,18})?\s*", re.ASCII)


def read_json(path: Path, name: str) -> dict[str, list[Any]]:
    """The three lists of a file, entries as they stand; `name` stands for the file in messages.

    Raises:
        DatasetError: The file cannot be read, or is not in COCO's format.
    """
    try:
        content = json.loads(path.read_bytes())  # in UTF-8, 16 or 32, with a mark at the beginning or without
    except FileNotFoundError:
        raise DatasetError(f"{quoted(path, 200)} does not exist; check the path") from None
    except OSError as error:
        raise DatasetError(cannot_open(path, error)) from None
    except UnicodeDecodeError:
        raise DatasetError(f"{name} is not JSON in UTF-8; save it in UTF-8, or export it again") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{name} is not JSON: {error}; export it again in COCO format") from None
    if not isinstance(content, dict) or not any(key in content for key in LISTS):
        raise DatasetError(
            f"{name} is not in COCO format: it holds no images, annotations and categories"
            f"{_whose(content)}; export it in COCO format"
        )
    for kind in LISTS:
        if not isinstance(content.get(kind), list):
            raise DatasetError(f"{name}: {kind!r}: the list is missing; export it again in COCO format")
        if not content[kind] and kind != "annotations":
            raise DatasetError(f"{name}: {kind!r}: the list is empty; export it again in COCO format")
    return {kind: content[kind] for kind in LISTS}


def _whose(content: Any) -> str:
    """A guess at the tool whose own format this is."""
    within = list(content.values()) if isinstance(content, dict) else content
    first = within[0] if isinstance(within, list) and within else None
    for entry in (content, first):
        if isinstance(entry, dict):
            for mark, owner in _OTHERS.items():
                if mark in entry:
                    return f" (it looks like {owner} format)"
    return ""


def stated_keys(rows: list[Any], name: str) -> set[Key | None]:
    """Every id that a list's entries state under a name, such as all category_id of annotations."""
    return {key(row.get(name)) for row in rows if isinstance(row, dict)}


def entries_by_id(
    rows: list[Any],
    kind: str,
    read: Callable[[Key, dict[str, Any], str, Findings], Entry | None],
    findings: Findings,
) -> tuple[list[Entry], list[Key]]:
    """The entries of a list that have an id of their own, and all ids that are stated.

    `read` makes an entry of its id, its object and its place in messages, such as `kind`[3]; or it returns
    None, and adds to `findings` why.
    """
    found: dict[Key, Entry] = {}
    doubtful, ids = set(), set()
    for position, row in enumerate(rows):
        where = f"{kind}[{position}]"
        if not isinstance(row, dict):
            findings.add(Fault.NO_ENTRY, where)
            continue
        own_id = key(row.get("id"))
        if own_id is None:
            findings.add(Fault.NO_ID, where)
            continue
        ids.add(own_id)
        entry = read(own_id, row, where, findings)
        if entry is not None and found.setdefault(own_id, entry) != entry:
            findings.add(Fault.NO_ID, f"{where}: the id {named(own_id)} is taken already")
            doubtful.add(own_id)
    return [entry for own_id, entry in found.items() if own_id not in doubtful], list(ids)


def whole(value: Any) -> int | None:
    """A whole number within 64 bits; None where the value is not one."""
    if type(value) is int:  # and no bool
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**63 else None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.split(".")[0])
    return None


def key(value: Any) -> Key | None:
    """What an entry is known by: a whole number, else a text as it stands; None if it is neither."""
    number = whole(value)
    if number is not None:
        return number
    return value if isinstance(value, str) and value.strip() else None


def named(value: Key) -> str:
    """A key as it may stand in a message."""
    return str(value) if isinstance(value, int) else quoted(value, 40)


def number(value: Any) -> float | None:
    """A finite number, also one written as text; None where the value is not one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        converted = float(value)
    except (ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) else None


def text(value: Any) -> str | None:
    """A text, or a number as one, without the blanks around it; None where there is none."""
    if isinstance(value, (int, float)) and number(value) is not None:
        value = str(value)
    return value.strip() or None if isinstance(value, str) else None


def is_blank(value: Any) -> bool:
    """Whether nothing stands there: null, NaN, an empty text, list or object, or a list of such."""
    if not isinstance(value, list):
        return value != value or value in (None, "", {})
    if value and isinstance(value[0], list) and value[0]:  # polygons, most often
        return False
    return all(part != part or part in (None, "", [], {}) for part in value)  # NaN is not itself
