"""What a cell keeps that runs again: the settings and the uploads of the app that it showed."""

import sys
from collections.abc import Hashable
from typing import Any

from ..errors import MasksegError
from .settings import Settings

Uploads = dict[str, tuple[str, bytes]]  # as `PictureSources.uploads`
_kept: dict[str, tuple[Hashable, str, Uploads]] = {}  # a cell's id -> what its app was


def cell_id() -> str | None:
    """The id of the notebook cell that is running, where the front end tells it, as JupyterLab does."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    kernel = getattr(shell, "kernel", None)
    parent: Any = kernel.get_parent("shell") if kernel else None
    return parent.get("metadata", {}).get("cellId") if isinstance(parent, dict) else None


class Kept:
    """The place of one app in its cell.

    Args:
        call: What the app was made with: for another call nothing is taken over.
        settings: Of the app.
        pictures: With `uploads`; None where nothing can be uploaded.
    """

    def __init__(self, call: Hashable, settings: Settings, pictures: Any = None) -> None:
        self._cell, self._call = cell_id(), call
        self._settings, self._pictures = settings, pictures

    def begin(self, text: str, keep: bool) -> None:
        """Begin as the cell's app before this one, where that is wanted, then with the settings of a text.

        Raises:
            ValueError, TypeError: It is no such text.
        """
        if keep:
            self._take_over()
        self._settings.take(text)

    def _take_over(self) -> None:
        """Set what the former app was set to, as far as it still can be had."""
        call, text, uploads = _kept.get(self._cell or "", (None, "", {}))
        if call != self._call:
            return
        if self._pictures:
            self._pictures.uploads = uploads
        try:
            self._settings.take(text)
        except (MasksegError, ValueError, TypeError):
            pass  # of a dataset that has become smaller, for example

    def keep(self) -> None:
        """Note what the app is set to now."""
        if self._cell:
            uploads = self._pictures.uploads if self._pictures else {}
            _kept[self._cell] = self._call, self._settings.text, uploads
