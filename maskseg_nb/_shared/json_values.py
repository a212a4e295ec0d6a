"""JSON values as tools write them: whole numbers as 4, 4.0 or "4", and what is missing as null, NaN or ""."""

import math
import re
from typing import Any

from ..errors import quoted

_WHOLE = re.compile(r"\s*[+-]?\d{1,18}(?:\.0{1,18})?\s*", re.ASCII)
Key = int | str


def whole(value: Any) -> int | None:
    """A whole number within 64 bits; None where the value is none."""
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


def named(value: Key, limit: int = 40) -> str:
    """A key as it may stand in a message."""
    return str(value) if isinstance(value, int) else quoted(value, limit)


def number(value: Any) -> float | None:
    """A finite number, also where it is written as a text; None where the value is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        converted = float(value)
    except (ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) else None


def text(value: Any) -> str | None:
    """A text without the blanks around it, also where a number stands for it; None where there is none."""
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
