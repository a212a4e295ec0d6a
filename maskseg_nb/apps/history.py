"""Undo: the settings as they were before each change."""

import time

from .settings import Settings

PAUSE = 1.0  # seconds: changes of one number that follow each other faster are one, as a dragged slider's
MOST = 100


class History:
    """What the settings were, oldest first.

    Args:
        settings: Watched from `begin` on, whenever `keep` is called.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._past: list[dict[str, object]] = []
        self._now: dict[str, object] = {}
        self._changed: set[str] = set()
        self._when = -PAUSE

    def begin(self) -> None:
        """Forget what was before."""
        self._now, self._past = self._values(), []

    def keep(self) -> None:
        """Note what the settings are, where they have changed."""
        values, now = self._values(), time.monotonic()
        changed = {name for name, value in values.items() if value != self._now.get(name)}
        if not changed or not self._now:
            return
        dragged = all(type(values[name]) in (int, float) for name in changed)
        if not dragged or changed != self._changed or now - self._when > PAUSE:
            self._past = [*self._past, self._now][-MOST:]
        self._now, self._changed, self._when = values, changed, now

    def undo(self) -> None:
        """Set all back to what it was before the last change.

        Raises:
            ValueError: There was none.
        """
        if not self._past:
            raise ValueError("there is nothing to undo")
        *self._past, before = self._past
        self._now, self._changed = before, set()
        self._settings.assign(before)

    def _values(self) -> dict[str, object]:
        return {name: getattr(self._settings, name) for name in self._settings.SETTINGS}
