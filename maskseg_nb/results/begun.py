"""Which pictures this process has in work: who finds the note later knows what it died of."""

import contextlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from .._shared.files import PARTIAL
from .chunks import Chunk
from .folder_names import Named

NOTE = ".begun"  # the file's name


class Begun:
    """A note in a folder, of the pictures in work: file -> whether it is the only one.

    A system that kills a process for its memory kills the whole run where the workers are its own threads.
    The next run reads here which pictures were in work, does these last and alone, and does not begin with
    one for which the process died even so.

    Attributes:
        left: The note of a run that died.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NOTE
        self.left: dict[str, bool] = self._read()
        self.now: dict[str, bool] = {}

    def begin(self, chunk: Iterable[Named], alone: bool) -> None:
        self.now |= {picture.file: alone for picture in chunk}
        self._write(self.left | self.now)

    def end(self, chunk: Iterable[Named]) -> None:
        for picture in chunk:
            self.now.pop(picture.file, None)
            self.left.pop(picture.file, None)

    def sorted_out(
        self, chunks: Iterable[Chunk], last: deque[Chunk], killers: deque[Chunk]
    ) -> Iterator[Chunk]:
        """The chunks without the pictures that the process had in work when it died: these go, each by
        itself, to `killers` if they were the only one, else to `last`.
        """
        for chunk in chunks:
            for picture in chunk:
                if picture.file in self.left:
                    (killers if self.left[picture.file] else last).append((picture,))
            if rest := tuple(picture for picture in chunk if picture.file not in self.left):
                yield rest

    @contextlib.contextmanager
    def kept(self) -> Iterator["Begun"]:
        """When the block has ended, in whatever way, this process has not died: the note is gone, but for
        what an earlier one left and this one did not get to.
        """
        try:
            yield self
            self.left = {}
        finally:
            if self.left:
                self._write(self.left)
            else:
                with contextlib.suppress(OSError):
                    self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, bool]:
        try:
            values = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return {file: alone is True for file, alone in values.items()} if isinstance(values, dict) else {}

    def _write(self, values: dict[str, bool]) -> None:
        partial = self.path.with_name(f"{PARTIAL}begun")  # a thread may kill the process right now
        with contextlib.suppress(OSError):  # a help, not a result; nothing waits for the disk
            partial.write_text(json.dumps(values), "ascii")
            os.replace(partial, self.path)
