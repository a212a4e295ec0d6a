"""Two panels side by side in the browser: zoom, pan, hover, select and compare, without asking the kernel."""

from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import cv2
import numpy as np
from traitlets import Bool, Bytes, Dict, Int, List, Tuple, Unicode

from .._shared.text import visible
from ..data.codec import encoded
from ..drawing.colors import Color
from ..drawing.overlay import highest_point
from ..mask_rcnn.instances import Instances
from .link import Link
from .widgets import browser_code, css_color, on_message, whole_number

JPEG_OPTIONS = (
    *(cv2.IMWRITE_JPEG_QUALITY, 90),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),  # a mask's edge is all colour
)
Item = dict[str, Any]


class PictureView(anywidget.AnyWidget):
    """A picture of two panels, and the items that can be hovered and selected in it.

    Attributes:
        left, right: JPEG files' bytes.
        size: (height, width) of the image: the items' pixels.
        items: See `item`; the first ones lie on top.
        selected: The `id` of the selected item; 0 for none.
        titles: Over the panels.
        mapped: For each panel, whether the items are on it.
        fixed: For each panel, whether it stays as it is when the others are zoomed.
        clickable: Whether a click beside all items is of use.
        labels: Whether each item's label is written at it, on the last panel that has items.
        note: Across the foot of the right panel.
        caption: The settings in short: the title of this picture, where another is compared with it.
        busy: What is computed, while the picture is not up to date; empty where it is.
        cancellable: Whether that can be cancelled.
        description: Read aloud in the picture's place.
        app_id: The model id of the app's outermost widget.
    """

    _esm = browser_code("saved_notebook", "picture_view")
    left, right = Bytes(b"").tag(sync=True), Bytes(b"").tag(sync=True)
    size = Tuple(Int(), Int(), default_value=(1, 1)).tag(sync=True)
    items = List(Dict()).tag(sync=True)
    selected = Int(0).tag(sync=True)
    titles = Tuple(Unicode(), Unicode(), default_value=("", "")).tag(sync=True)
    mapped = Tuple(Bool(), Bool(), default_value=(True, True)).tag(sync=True)
    fixed = Tuple(Bool(), Bool(), default_value=(False, False)).tag(sync=True)
    clickable, labels, cancellable = (Bool(default).tag(sync=True) for default in (False, True, False))
    note, caption, busy = (Unicode("").tag(sync=True) for _ in range(3))
    description, app_id = (Unicode("").tag(sync=True) for _ in range(2))

    def __init__(self) -> None:
        super().__init__()
        self._jpegs = Link(_jpeg), Link(_jpeg)

    def show(self, left: np.ndarray, right: np.ndarray, titles: Sequence[str], **others: Any) -> None:
        """Show two pictures; all goes to the browser in one message, and only what has changed.

        Args:
            left, right: uint8 (H, W, 3), RGB, of one shape. Nobody writes into them: one that is shown
                already is not encoded again.
            titles: Over the panels; plain text.
            others: Attributes to be set.
        """
        with self.hold_sync():
            self.left, self.right = self._jpegs[0](left), self._jpegs[1](right)
            self.titles = tuple(map(visible, titles))
            for name, value in {"size": left.shape[:2], **others}.items():
                setattr(self, name, value)

    def on_click(self, callback: Callable[[int, float, float], None]) -> None:
        """Call `callback(panel, x, y)` at a click beside all items; x and y in [0, 1] of the panel."""
        on_message(self, "x", lambda content: callback(*_place(content)))

    def on_hide(self, callback: Callable[[int], None]) -> None:
        """Call `callback(id)` where a person hides an item, or shows it again."""
        on_message(self, "hide", lambda content: callback(whole_number(content["hide"])))

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call `callback()` where a person does not want to wait for what is `busy`."""
        on_message(self, "cancel", lambda content: callback())

    def download(self, name: str, data: bytes) -> None:
        """Let the browser save a file."""
        self.send({"download": visible(name)}, [data])


def item(
    number: int,
    box: Sequence[float],
    text: str,
    *,
    label: str = "",
    color: Color = (255, 255, 255),
    outline: Sequence[np.ndarray] = (),
    at: Sequence[float] | None = None,
) -> Item:
    """Something in the picture that can be selected, as the browser wants it.

    Args:
        number: From 1 on; an id that no other item has.
        box: x1, y1, x2, y2 in pixels of the image.
        text: What is said of it under the pointer.
        label: Written at it; empty for none.
        color: RGB, behind the label.
        outline: int (K, 2) or (K, 1, 2) each, x and y of pixels: a hole is a ring of its own. None: the box.
        at: x and y of what the label stands on; None is the middle of the box's upper edge.
    """
    x1, y1, x2, y2 = (round(float(side), 1) for side in box)
    return {
        "id": number,
        "box": [x1, y1, x2, y2],
        "text": visible(text),
        "label": visible(label),
        "color": css_color(color),
        "outline": [ring.ravel().tolist() for ring in outline],
        "at": [(x1 + x2) / 2, y1] if at is None else list(map(float, at)),
    }


def instance_items(
    instances: Instances, colors: Sequence[Color], texts: Sequence[str] | None = None
) -> list[Item]:
    """An item for each instance, named by its number: its mask is what can be pointed at.

    Args:
        instances: M of them.
        colors: M, RGB.
        texts: M; None takes number, category and score.
    """
    items = []
    texts = instances.tags if texts is None else texts
    rows = zip(instances.numbers.tolist(), texts, instances.areas.tolist(), colors, strict=True)
    for row, (number, name, area, color) in enumerate(rows):
        outline, at = _rings(instances, row) if area else (), highest_point(instances, row)
        text = f"{name}, {area:,} pixels"
        items.append(
            item(number, instances.boxes[row], text, label=name, color=color, outline=outline, at=at)
        )
    return items


def _rings(instances: Instances, row: int) -> Sequence[np.ndarray]:
    """The edges of a mask, those of its holes too, through the middles of its outermost pixels."""
    top, left = instances.corners[row].tolist()
    mask = instances.crops[row].astype(np.uint8)
    return cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))[0]


def _jpeg(picture: np.ndarray) -> bytes:
    return encoded(".jpg", picture, JPEG_OPTIONS)


def _place(content: dict[str, Any]) -> tuple[int, float, float]:
    """The browser's numbers: not trusted."""
    panel, x, y = (content.get(name) for name in ("panel", "x", "y"))
    places = [number for number in (x, y) if isinstance(number, (int, float)) and 0 <= number <= 1]
    if panel not in (0, 1) or len(places) != 2:
        raise ValueError(f"a click must be in panel 0 or 1, at x and y in [0, 1], got {content!r}")
    return int(panel), float(places[0]), float(places[1])
