"""The categories of a COCO file: labels for those that name an object."""

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from .._shared.checks import is_name
from ..errors import DatasetError, quoted
from .coco_json import Key, entries_by_id, named, text
from .findings import Fault, Findings

BACKGROUND = "__background__"
_NOTHING = {"background", "ignore"}  # categories of no object, with _ around them (labelme) or without


@dataclass(frozen=True)
class Categories:
    """The categories of a file, without those of no object."""

    names: tuple[str, ...]  # indexed by label, [0] the background
    ids: tuple[int, ...]  # the file's own number of each label; [0] is 0
    labels: dict[Key, int | None]  # of each category_id that an annotation may state; None: left out


@dataclass
class _Category:
    key: Key
    name: str
    above: str | None  # its supercategory
    used: bool = False  # by an annotation


def read_categories(rows: list[Any], used: set[Key | None], findings: Findings) -> Categories:
    """Labels for a file's categories, in the order of their numbers.

    Those that no annotation uses (`used` holds every category_id) are left out silently if they name no
    object, as the background and the root that Roboflow writes, or if one in use has the same name. What is
    wrong is added to `findings`.

    Raises:
        DatasetError: None is left, or two of one name are of different kinds.
    """
    listed, ids = entries_by_id(rows, "categories", _category, findings)
    for category in listed:
        category.used = category.key in used
    labels: dict[Key, int | None] = dict.fromkeys(ids)
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
    if all(isinstance(namesakes[0].key, int) for namesakes in groups):
        groups.sort(key=lambda namesakes: int(namesakes[0].key))
        numbers = [int(namesakes[0].key) for namesakes in groups]
    else:
        numbers = [*range(1, len(groups) + 1)]
        for namesakes in groups:
            findings.add(Fault.RENUMBERED, f"category {named(namesakes[0].key)}")
    return Categories(
        (BACKGROUND, *(namesakes[0].name for namesakes in groups)),
        (0, *numbers),
        labels | {category.key: label for label, group in enumerate(groups, 1) for category in group},
    )


def _category(own_id: Key, row: dict[str, Any], _: str, findings: Findings) -> _Category | None:
    stated, where = text(row.get("name")), f"category {named(own_id)}"
    name, above = _seen(stated), _seen(text(row.get("supercategory")))
    if name is None:
        findings.add(Fault.NO_NAME, where)
        return None
    if not is_name(name):
        findings.add(Fault.ODD_NAME, f"{where}, {quoted(name, 40)}")
        return None
    if name != stated:
        findings.add(Fault.UNSEEN, f"{where}, {quoted(stated, 40)}")
    return _Category(own_id, name, None if (above or "none").lower() == "none" else above)


def _seen(name: str | None) -> str | None:
    """A name without its invisible characters: tabs, no-break spaces, marks of direction and of no width."""
    if name is None or name.isprintable():
        return name
    return " ".join("".join(c for c in name if unicodedata.category(c) != "Cf").split()) or None


def _join(name: str, namesakes: list[_Category], findings: Findings) -> None:
    """Of categories of one name, keep those with annotations; join several if nothing tells them apart."""
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
