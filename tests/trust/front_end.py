"""What a front end does to the apps: messages as the browser sends them, and all that the page shows."""

import io
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

from ipywidgets import DOMWidget, Widget
from PIL import Image

from maskseg_nb.apps.app import THREAD, App


def settle() -> None:
    """Wait until the apps have run the network for all that was chosen."""
    while any(thread.name == THREAD for thread in threading.enumerate()):
        time.sleep(0.002)


def send(widget: Widget, **state: Any) -> None:
    """New values for a widget's state, where the kernel takes the message in; returns when all is shown."""
    data = {"method": "update", "state": state, "buffer_paths": []}
    widget._handle_msg({"content": {"data": data}, "buffers": []})
    settle()


def send_custom(widget: Widget, content: Any) -> None:
    """What a button sends when it is clicked, and a picture with the place of the click."""
    widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    settle()


def click(button: Widget) -> None:
    send_custom(button, {"event": "click"})


def file(name: str, content: bytes, size: int | None = None) -> dict[str, Any]:
    """What the browser says of a file that it uploads."""
    size = len(content) if size is None else size
    return {"name": name, "type": "image/png", "size": size, "last_modified": 0, "content": content}


def upload(app: App, *files: dict[str, Any]) -> None:
    """Send files as the browser does, their bytes beside the message."""
    buffers = [memoryview(file["content"]) for file in files if isinstance(file["content"], bytes)]
    paths = [["value", i, "content"] for i, file in enumerate(files) if isinstance(file["content"], bytes)]
    data = {"method": "update", "state": {"value": [dict(file) for file in files]}, "buffer_paths": paths}
    app.chooser.upload._handle_msg({"content": {"data": data}, "buffers": buffers})
    settle()


def png(level: int, size: tuple[int, int] = (3, 2)) -> bytes:
    """A grey picture as a PNG file."""
    stream = io.BytesIO()
    Image.new("L", size, level).save(stream, "PNG")
    return stream.getvalue()


def tree(widget: Widget) -> Iterator[Widget]:
    """A widget and all below it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from tree(child)


def strings(value: Any) -> Iterator[str]:
    """All texts in a widget's state, or in a part of it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from strings(part)


def settings(app: App) -> dict[str, Any]:
    return {name: getattr(app.state, name) for name in app.state.SETTINGS}


def screen(app: App) -> dict[str, Any]:
    """All that the page shows, pixels and texts; not how long it took, nor what ran last."""
    shown: dict[str, Any] = {}
    for place, widget in enumerate(tree(app.widget)):
        if isinstance(widget, DOMWidget):
            state = widget.get_state()
            kept = {name: state[name] for name in state if name in _SHOWN}
            shown[f"{place} {type(widget).__name__}"] = {
                name: _HISTORY.sub("... ms", value) if isinstance(value, str) else value
                for name, value in kept.items()
            }
    return shown


_HISTORY = re.compile(r"(<b>[^<]*</b> ran in )?\d+(\.\d+)? ms")
_SHOWN = (
    *("value", "index", "_options_labels", "description", "disabled", "min", "max", "tooltip"),
    *("left", "right", "titles", "items", "selected", "note", "caption", "busy", "rows"),
)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two screens are equal; prints what differs."""
    differing = [
        (name, first.get(name), second.get(name))
        for name in first.keys() | second.keys()
        if first.get(name) != second.get(name)
    ]
    print(*differing, sep="\n")
    return not differing
