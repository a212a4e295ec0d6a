"""What was found wrong with a dataset: how many of each kind, which came first, and what to do."""

import warnings
from enum import StrEnum

from .._shared.checks import MAX_NAME
from ..errors import MAX_MESSAGE, DatasetError


class Fault(StrEnum):
    """A kind of fault, in the plural, as messages name it."""

    # Pictures
    NO_ENTRY = "entries that are no objects"
    NO_ID = "entries without an id of their own"
    NO_FILE_NAME = "pictures without a file name"
    NOT_FOUND = "pictures not in the folder"
    IN_DOUBT = "pictures whose file is in doubt"
    UNREADABLE = "pictures that cannot be read"
    OTHER_SIZE = "pictures of another size than stated"
    TOO_THIN = "pictures too thin for the network"
    CONTRADICTORY = "pictures that contradict their ground truth"
    TOO_LARGE = "pictures with more masks than memory"
    # Categories
    NO_NAME = "categories without a name"
    ODD_NAME = "categories with names too long or unprintable"
    # Annotations
    BOX_ONLY = "boxes without outline"
    NO_OUTLINE = "annotations without outline or box"
    FEW_POINTS = "outlines of fewer than three points"
    NO_AREA = "outlines without area"
    NOT_IN_PIXELS = "outlines not in pixels"
    OUTSIDE = "outlines outside their picture"
    NOT_POINTS = "outlines that are not x, y pairs"
    RLE_SIZE = "run lengths of another size"
    RLE_DAMAGED = "run lengths that do not decode"
    NO_IMAGE = "annotations of unknown pictures"
    NO_CATEGORY = "annotations of unknown categories"
    # Read nevertheless
    RENUMBERED = "ids missing, repeated or not whole"
    ONE_NAME = "categories of one name"
    UNSEEN = "category names with invisible characters"
    LISTED_TWICE = "pictures listed twice"
    BY_NAME = "pictures found by name alone"
    STRAY_POINTS = "outlines with stray clicks beside them"
    SWAPPED = "pictures with height and width swapped"
    TURNED = "pictures whose EXIF turn leaves outlines in doubt"


# What was done about those that are read nevertheless; every other kind is left out.
READ = {
    Fault.RENUMBERED: "that list is numbered from 1",
    Fault.ONE_NAME: "joined",
    Fault.UNSEEN: "read without them",
    Fault.LISTED_TWICE: "their annotations joined",
    Fault.BY_NAME: "their folder has another name than the file says",
    Fault.STRAY_POINTS: "read without them",
    Fault.SWAPPED: "EXIF turns them; taken as their outlines tell",
    Fault.TURNED: "taken as drawn on the upright picture; if they lie askew, save the pictures upright",
}

REMEDIES = {
    Fault.NOT_FOUND: "give the folder that holds them",
    Fault.IN_DOUBT: "several files or entries claim one name: rename them, or give the folder that is meant",
    Fault.ODD_NAME: f"give names of 1 to {MAX_NAME} printable characters",
    Fault.BOX_ONLY: "masks need outlines: draw polygons, or take boxes as masks with boxes_only='fill'",
    Fault.NO_OUTLINE: "export polygons or masks",
    Fault.NOT_IN_PIXELS: "coordinates are fractions of width and height: multiply them",
    Fault.OTHER_SIZE: "annotate the very files, or scale width, height and outlines with them",
    Fault.OUTSIDE: "the pictures may have been scaled, and their outlines not",
    Fault.NO_CATEGORY: "list every category_id under categories",
    Fault.NO_IMAGE: "list every image_id under images",
}


class Findings:
    """Faults as they are found, told in one message at the end, which begins with the dataset's name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: dict[Fault, int] = {}
        self._first: dict[Fault, str] = {}

    def add(self, fault: Fault, where: str) -> None:
        """Count a fault; the first of its kind is named."""
        self.counts[fault] = self.counts.get(fault, 0) + 1
        self._first.setdefault(fault, where)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def warn(self, used: str, stacklevel: int) -> None:
        """One warning about all of them, if there are any; `used` says what remains."""
        if self:
            warnings.warn(f"{self.name}: {used}. {self._in_full()}", stacklevel=stacklevel + 1)

    def refuse(self, what: str) -> DatasetError:
        """An error with every kind and its count; its note says which came first, and what to do."""
        error = DatasetError(self._in_brief(what))
        if self:
            error.add_note(self._in_full())
        return error

    def _ordered(self) -> list[Fault]:
        """What is left out before what is read nevertheless, the most frequent first."""
        return sorted(self.counts, key=lambda fault: (fault in READ, -self.counts[fault]))

    def _in_full(self) -> str:
        parts: dict[bool, list[str]] = {False: [], True: []}
        for fault in self._ordered():
            done = READ.get(fault) or REMEDIES.get(fault)
            about = f"first: {self._first[fault]}" + (f"; {done}" if done else "")
            parts[fault in READ].append(f"{fault}: {self.counts[fault]} ({about})")
        titles = {False: "Left out: ", True: "Read with a change: "}
        return " ".join(titles[read] + ", ".join(found) + "." for read, found in parts.items() if found)

    def _in_brief(self, what: str) -> str:
        """Every kind with its count; the first and a remedy of the most frequent one, if there is room."""
        if not self:
            return f"{self.name}: {what}"
        kinds = self._ordered()
        counted = [f"{kind}: {self.counts[kind]}" for kind in kinds]
        remedy = f"; {REMEDIES[kinds[0]]}" if kinds[0] in REMEDIES else ""
        first = f" (first: {self._first[kinds[0]]})"
        others = "".join(f", {text}" for text in counted[1:])
        texts = [f"{self.name}: {what}: {counted[0]}{part}{others}" for part in (first, "")]
        texts = [texts[0] + remedy, texts[1] + remedy, texts[1], texts[1].replace("that are ", "")]
        return next((text for text in texts if len(text) <= MAX_MESSAGE), texts[-1])
