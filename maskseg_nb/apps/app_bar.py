"""The bar over an app: fold the controls, present, and names for what assistive technology reads."""

from pathlib import Path

import anywidget


class AppBar(anywidget.AnyWidget):
    """Two buttons that work in the browser alone, and the line that says when the kernel is gone.

    It also names what ipywidgets leaves without a name, such as a slider's handle and a number's field.
    """

    _esm = Path(__file__).with_name("app_bar.js")
