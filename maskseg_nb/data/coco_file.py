"""A JSON file in COCO's format: opened, its three lists, and its categories."""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._shared.checks import is_name
from .._shared.json_values import Key, key, named, text
from ..errors import DatasetError, cannot_open, quoted
from .findings import Fault, Findings

LISTS = ("images", "annotations", "categories")
BACKGROUND = "__background__"
_NOTHING = {"background", "ignore"}  # categories of no object, with _ around them (labelme) or without
# What tells other tools' files: a key, and whose it is.
_OTHERS = {
    "shapes": "labelme's own",
    "_via_img_metadata": "VIA's own project",
    "regions": "VIA's own",
    "score": "COCO's results",
    "predictions": "Label Studio's own",
    "completions": "Label Studio's own",
    "data": "Label Studio's own",
}


@dataclass(frozen=True)
class Categories:
    """The categories of a file, without those of no object.

    Attributes:
        names: Indexed by label, [0] the background.
        ids: The file's own number of each label; [0] is 0.
        labels: What an annotation may state as its category_id -> label; None where that was left out.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]
    labels: dict[Key, int | None]


@dataclass
class _Category:
    key: Key
    name: str
    above: str | None  # its supercategory
    used: bool


def read_json(path: Path, name: str) -> dict[str, list[Any]]:
    """The three lists of a file, entries as they stand; `name` stands for the file in messages.

    Raises:
        DatasetError: The file cannot be read, or is not in COCO's format.
    """
    try:
        content = json.loads(path.read_bytes())  # in UTF-8, 16 or 32, with a mark at the beginning or without
    except FileNotFoundError:
        raise DatasetError(f"{name} does not exist; check the path {quoted(path)}") from None
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
    """Every id that the entries of a list state under a name, such as all category_id of annotations."""
    return {key(row.get(name)) for row in rows if isinstance(row, dict)}


def read_categories(rows: list[Any], used: set[Key | None], findings: Findings) -> Categories:
    """Labels for a file's categories, in the order of their numbers.

    Left out without a word are those that name no object: the background, and the root that Roboflow writes,
    where no annotation is of them; and of two of one name the one without annotations.

    Args:
        rows: The file's list.
        used: Every category_id of an annotation.
        findings: What is wrong is added here.

    Raises:
        DatasetError: None is left, or two of one name are of different kinds.
    """
    labels: dict[Key, int | None] = {}
    listed = [_Category(*entry, used=entry[0] in used) for entry in _entries(rows, findings, labels)]
    roots = {category.above for category in listed}
    by_name: dict[str, list[_Category]] = defaultdict(list)
    for category in listed:
        no_object = category.name.strip("_").lower() in _NOTHING
        is_root = category.above is None and category.name in roots
        if category.used or not (no_object or is_root):
            by_name[category.name].append(category)
    for category in by_name.pop(BACKGROUND, []):
        del labels[category.key]  # an annotation of it is of no category
    for name, namesakes in by_name.items():
        _join(name, namesakes, findings)
    if not by_name:
        raise findings.refuse("no category is left")
    groups = list(by_name.values())
    numbers = [namesakes[0].key for namesakes in groups]
    if all(isinstance(number, int) for number in numbers):
        groups.sort(key=lambda namesakes: int(namesakes[0].key))
        ids = [int(namesakes[0].key) for namesakes in groups]
    else:
        ids = list(range(1, len(groups) + 1))
        for namesakes in groups:
            findings.add(Fault.RENUMBERED, f"category {named(namesakes[0].key)}")
    return Categories(
        (BACKGROUND, *(namesakes[0].name for namesakes in groups)),
        (0, *ids),
        labels | {category.key: label for label, group in enumerate(groups, 1) for category in group},
    )


def _entries(
    rows: list[Any], findings: Findings, known: dict[Key, int | None]
) -> Iterator[tuple[Key, str, str | None]]:
    """Id, name and supercategory of each entry with an id of its own and a name; all ids are made known."""
    found: dict[Key, tuple[Key, str, str | None]] = {}
    doubtful = set()
    for position, row in enumerate(rows):
        where = f"categories[{position}]"
        if not isinstance(row, dict):
            findings.add(Fault.NO_ENTRY, where)
            continue
        number, stated = key(row.get("id")), text(row.get("name"))
        name, above = _seen(stated), _seen(text(row.get("supercategory")))
        entry = (number, name, None if (above or "none").lower() == "none" else above)
        if number is None:
            findings.add(Fault.NO_ID, where)
            continue
        known[number] = None
        if name is None:
            findings.add(Fault.NO_NAME, f"category {named(number)}")
        elif not is_name(name):
            findings.add(Fault.ODD_NAME, f"category {named(number)}, {quoted(name, 40)}")
        elif number in found and found[number] != entry:
            findings.add(Fault.NO_ID, f"{where}: the id {named(number)} is taken already")
            doubtful.add(number)
        else:
            found[number] = (number, name, entry[2])
            if name != stated:
                findings.add(Fault.UNSEEN, f"category {named(number)}, {quoted(stated, 40)}")
    return (entry for number, entry in found.items() if number not in doubtful)


def _seen(name: str | None) -> str | None:
    """A name without what nobody sees in it: tabs, no-break spaces, marks of direction and of no width."""
    if name is None or name.isprintable():
        return name
    return " ".join("".join(c for c in name if unicodedata.category(c) != "Cf").split()) or None


def _join(name: str, namesakes: list[_Category], findings: Findings) -> None:
    """Of categories of one name keep those with annotations; several are one, if nothing tells them apart."""
    if any(category.used for category in namesakes):
        namesakes[:] = [category for category in namesakes if category.used]
    if len(namesakes) == 1:
        return
    numbers = " and ".join(named(category.key) for category in namesakes[:3])
    if len({category.above for category in namesakes} - {None, name}) > 1:
        raise DatasetError(
            f"{findings.name}: categories {numbers} are both called {quoted(name, 60)}, of "
            "different supercategories; rename one of them, or give both the same one"
        )
    if namesakes[0].used:
        findings.add(Fault.ONE_NAME, f"{numbers}, {quoted(name, 60)}")
