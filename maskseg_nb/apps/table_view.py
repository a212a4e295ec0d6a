"""A table in the browser whose rows can be selected, hidden and paged."""

from collections.abc import Callable
from pathlib import Path

import anywidget
from traitlets import Bool, Dict, Int, List, Unicode

from .widgets import on_message, whole_number


class TableView(anywidget.AnyWidget):
    """Rows with a number each.

    Attributes:
        columns: Their titles; the first column holds the row's own button.
        rows: Dicts with `id` (a whole number from 1 on), `cells` (texts), and, where of use, `color` (CSS),
            `hidden` (whether it is hidden in the picture) and `group` (by which rows can be filtered).
        selected: The `id` of the selected row; 0 for none.
        can_hide: Whether each row has a button to hide it.
        page_size: Rows on a page.
    """

    _esm = Path(__file__).with_name("table_view.js")
    columns = List(Unicode()).tag(sync=True)
    rows = List(Dict()).tag(sync=True)
    selected = Int(0).tag(sync=True)
    can_hide = Bool(False).tag(sync=True)
    page_size = Int(100).tag(sync=True)

    def on_hide(self, callback: Callable[[int], None]) -> None:
        """Call `callback(id)` where a person hides a row's instance, or shows it again."""
        on_message(self, "hide", lambda content: callback(whole_number(content["hide"])))
