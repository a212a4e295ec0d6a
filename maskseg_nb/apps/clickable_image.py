"""A picture that tells where it was clicked. ipywidgets' own Image has no events and no alternative text."""

from collections.abc import Callable
from typing import Any

import anywidget
from traitlets import Bytes, Unicode

_VIEW = """
function render({ model, el }) {
  const picture = document.createElement("img");
  picture.className = "maskseg-picture";
  const show = () => {
    const address = URL.createObjectURL(new Blob([model.get("value")], { type: "image/jpeg" }));
    picture.onload = () => URL.revokeObjectURL(address);
    picture.src = address;
  };
  const describe = () => { picture.alt = model.get("description"); };
  picture.addEventListener("click", (event) => {
    const frame = picture.getBoundingClientRect();
    model.send({
      x: (event.clientX - frame.left) / frame.width,
      y: (event.clientY - frame.top) / frame.height,
    });
  });
  model.on("change:value", show);
  model.on("change:description", describe);
  show();
  describe();
  el.append(picture);
  return () => { model.off("change:value", show); model.off("change:description", describe); };
}
export default { render };
"""


class ClickableImage(anywidget.AnyWidget):
    """A JPEG picture.

    Attributes:
        value: The file's bytes.
        description: Read aloud in its place, where somebody cannot see it.
    """

    _esm = _VIEW
    _css = ".maskseg-picture { display: block; width: 100%; border-radius: 4px; cursor: crosshair; }"
    value = Bytes(b"").tag(sync=True)
    description = Unicode("").tag(sync=True)

    def on_click(self, callback: Callable[[float, float], None]) -> None:
        """Call `callback(x, y)` at a click, both in [0, 1] from the upper left corner.

        Raises:
            ValueError: In the callback's place, where the browser sent no such numbers.
        """
        self.on_msg(lambda _, content, buffers: callback(*_place(content)))


def _place(content: Any) -> tuple[float, float]:
    """The browser's numbers: not trusted."""
    place = [content.get(name) for name in ("x", "y")] if isinstance(content, dict) else []
    x, y = (number if isinstance(number, (int, float)) else -1 for number in (*place, None, None)[:2])
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"a click must be at x and y in [0, 1], got {content!r}")
    return float(x), float(y)
