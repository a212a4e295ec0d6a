"""What is done in a place of many shards: one file says it, and the shards themselves where it is behind."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from ..errors import MasksegError, quoted
from .places import Place
from .shard_files import (
    PICTURE,
    RETRY,
    pa,
    pictures_in_table,
    read_table,
    records_in,
    settings_of,
    to_bytes,
)

SHARDS = "shards"  # the folder of the Parquet files
NAME = "manifest.parquet"
READERS = 16  # shards that are read at a time, where the manifest does not know them
LATE = 256  # shards that the manifest may be behind: a run that dies has to read so many again
UNREADABLE = (pa.ArrowException, OSError, KeyError, ValueError)  # what pyarrow raises about damaged bytes
_ROW = np.dtype([("shard", np.uint32), *((name, PICTURE[name]) for name in PICTURE.names or ())])


class Kept(NamedTuple):
    """A shard that was written: its name, and its `PICTURE`s."""

    name: str
    pictures: np.ndarray


class Manifest:
    """The pictures of a place, each with its shard: 21 bytes for each in memory.

    The shards are what counts, and a manifest that is behind or lost is made up for by reading those that it
    does not name. A picture can be in two shards: it has changed since, is tried again, or a worker of an
    earlier run was late. Then the later one counts, and `tidy` takes it out of the other.

    Raises:
        MasksegError: The place has shards of other settings.
    """

    def __init__(self, place: Place, settings: str, *, resume: bool) -> None:
        self.place, self.settings = place, settings
        self.names: list[str] = []
        self.rows: list[np.ndarray] = []
        self.saved = 0
        if resume:
            self._read()
            self.catch_up()
        else:
            for name in (NAME, *(file.name for file in place.files(SHARDS))):
                place.remove(name)

    def __len__(self) -> int:
        return sum(map(len, self.rows))

    def add(self, kept: Kept) -> None:
        """Note a shard that was not noted yet."""
        rows = np.empty(len(kept.pictures), _ROW)
        rows["shard"] = len(self.names)
        for name in PICTURE.names or ():
            rows[name] = kept.pictures[name]
        self.names.append(kept.name)
        self.rows.append(rows)

    def save(self, *, if_late: bool = False) -> None:
        """Write the manifest; with `if_late` only if it is far behind: all of it is written each time."""
        behind = len(self.names) - self.saved
        if behind == 0 or (if_late and behind < max(LATE, self.saved // 8)):
            return
        rows = self.all_rows()
        shard = pa.DictionaryArray.from_arrays(pa.array(rows["shard"].astype(np.int32)), pa.array(self.names))
        columns = {name: pa.array(rows[name]) for name in PICTURE.names or ()}
        self.place.write(NAME, to_bytes(pa.table({"shard": shard, **columns}), self.settings))
        self.saved = len(self.names)

    def all_rows(self) -> np.ndarray:
        """All rows, the later shards after the earlier ones: `_ROW`s."""
        self.rows = [np.concatenate([np.empty(0, _ROW), *self.rows])]
        return self.rows[0]

    def counted(self) -> np.ndarray:
        """Which of `all_rows` count: for each picture the last one."""
        keys = self.all_rows()["key"][::-1]
        _, first = np.unique(keys, return_index=True)
        last = np.zeros(len(keys), bool)
        last[len(keys) - 1 - first] = True
        return last

    def done(self) -> np.ndarray:
        """The versions of the pictures that need not be done again: uint64, sorted."""
        rows = self.all_rows()[self.counted()]
        return np.sort(rows["version"][rows["flags"] & RETRY == 0])

    def catch_up(self) -> None:
        """Note the shards that are there and not noted, and forget those that are gone."""
        there = {
            file.name: file.seen[1] for file in self.place.files(SHARDS) if file.name.endswith(".parquet")
        }
        gone = [number for number, name in enumerate(self.names) if name not in there]
        if gone:
            self._forget(gone)
        new = sorted(there.keys() - set(self.names), key=lambda name: (there[name], name))
        with ThreadPoolExecutor(READERS) as readers:
            for kept in readers.map(self._kept, new):
                self.add(kept)

    def tidy(self) -> None:
        """Take pictures out of shards where they do not count, as a later shard has them."""
        rows, counted = self.all_rows(), self.counted()
        stale = rows[~counted]
        for shard in np.unique(stale["shard"]).tolist():
            name, versions = self.names[shard], stale["version"][stale["shard"] == shard]
            table = self._table(name)
            kept = table.filter(pa.array(~np.isin(table.column("version").to_numpy(), versions)))
            if len(kept):
                self.place.write(name, to_bytes(kept, self.settings))
            else:
                self.place.remove(name)
        if len(stale):
            self.rows = [rows[counted]]
            used = set(np.unique(self.rows[0]["shard"]).tolist())
            self._forget([number for number in range(len(self.names)) if number not in used])
            self.saved = -1
            self.save()

    def records(self, flags: int = 0) -> Iterator[Any]:
        """The records of all pictures, sorted by name; with `flags`, of those that have any of them.

        The pictures of a shard follow each other nearly always, so that each is read once or a few times.
        """
        rows = self.all_rows()[self.counted()]
        if flags:
            rows = rows[rows["flags"] & flags != 0]
        place: list[tuple[str, int]] = []
        for shard in np.unique(rows["shard"]).tolist():
            keys = set(rows["key"][rows["shard"] == shard].tolist())
            table = self._table(self.names[shard], ["file", "key"])
            files = dict(zip(table.column("key").to_pylist(), table.column("file").to_pylist(), strict=True))
            place += [(files[key], shard) for key in keys]
        read: dict[int, dict[str, Any]] = {}
        for file, shard in sorted(place):
            if shard not in read:
                if len(read) >= READERS:
                    read.pop(next(iter(read)))
                read[shard] = {record.file: record for record in records_in(self._table(self.names[shard]))}
            yield read[shard][file]

    def _table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        data = self.place.read(name) or b""
        try:
            return read_table(data, columns)
        except UNREADABLE:
            raise MasksegError(
                f"{quoted(name)} is damaged, or no shard of a run; remove it, and the same call does it again"
            ) from None

    def _kept(self, name: str) -> Kept:
        table = self._table(name, list(PICTURE.names or ()))
        self._check(table)
        return Kept(name, pictures_in_table(table))

    def _read(self) -> None:
        data = self.place.read(NAME)
        if data is None:
            return
        try:
            table = read_table(data)
            rows = np.empty(len(table), _ROW)
            shard = table.column("shard").combine_chunks().dictionary_encode()
            for name in PICTURE.names or ():
                rows[name] = table.column(name).to_numpy()
        except (*UNREADABLE, TypeError, AttributeError):
            return  # damaged: the shards say it all once more
        self._check(table)
        rows["shard"] = shard.indices.to_numpy()
        self.names, self.rows = shard.dictionary.to_pylist(), [rows]
        self.saved = len(self.names)

    def _check(self, table: pa.Table) -> None:
        if settings_of(table) != self.settings:
            raise MasksegError(
                f"{quoted(self.place.url)} holds results of another model or other options; "
                "give another place, or resume=False (--from-scratch), which removes them"
            )

    def _forget(self, shards: list[int]) -> None:
        """Drop shards and their rows, and number the others again."""
        rows, gone = self.all_rows(), np.zeros(len(self.names), bool)
        gone[shards] = True
        rows = rows[~gone[rows["shard"]]]
        rows["shard"] = (np.cumsum(~gone) - 1)[rows["shard"]]
        self.names, self.rows = [name for number, name in enumerate(self.names) if not gone[number]], [rows]
        self.saved = -1
