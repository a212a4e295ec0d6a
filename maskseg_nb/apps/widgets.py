"""What the apps' controls are made of: a slider with its number, a button, a row, an error line."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from .._shared.text import visible
from ..drawing.colors import Color
from ..errors import shortened
from .app_bar import AppBar

STYLE_SHEET = f"<style>\n{Path(__file__).with_name('style.css').read_text('utf-8')}</style>"


def browser_code(*names: str) -> str:
    """The JavaScript of a view: the .js files of these names, one after the other."""
    return "\n".join(Path(__file__).with_name(f"{name}.js").read_text("utf-8") for name in names)


def knob(
    name: str, value: float, least: float, most: float = 1.0
) -> tuple[widgets.DOMWidget, widgets.DOMWidget]:
    """A slider for a number in [least, most], and a field beside it in which the number can be typed.

    Whole numbers where `value` is one; else in steps of 0.01.
    """
    whole = isinstance(value, int)
    slider_class = widgets.IntSlider if whole else widgets.FloatSlider
    number_class = widgets.BoundedIntText if whole else widgets.BoundedFloatText
    common = {"min": least, "max": most, "step": 1 if whole else 0.01, "value": value}
    slider = slider_class(
        description=name,
        tooltip=name,
        readout=False,
        layout=widgets.Layout(width="auto", flex="1 1 auto"),
        **common,
    )
    number = number_class(tooltip=f"{name}, as a number", layout=widgets.Layout(width="5.5em"), **common)
    return slider, number


def knob_row(*cells: widgets.Widget) -> widgets.HBox:
    """A knob's widgets; several such rows share a line where there is room."""
    row = widgets.HBox(cells)
    row.add_class("maskseg-knob")
    return row


def button(description: str, icon: str, tooltip: str, kind: type = widgets.Button) -> widgets.DOMWidget:
    """A button as wide as its text; a `widgets.ToggleButton` where that is its `kind`."""
    layout = widgets.Layout(width="auto", flex="0 0 auto")
    return kind(description=description, icon=icon, tooltip=tooltip, layout=layout)


def page(
    folding: widgets.Widget, sliders: widgets.Widget, line: widgets.Widget, *below: widgets.Widget
) -> widgets.VBox:
    """A whole app and how it looks, all that a person needs above the picture.

    Args:
        folding: Controls that can be folded away.
        sliders: Controls that stay, in the presenting layout as well.
        line: Message and status.
        below: The picture, and what can be scrolled to.
    """
    bar = widgets.HBox([AppBar(), line])
    for widget, name in ((folding, "folding"), (sliders, "sliders"), (bar, "line")):
        widget.add_class(f"maskseg-{name}")
    app = widgets.VBox([widgets.HTML(STYLE_SHEET), folding, sliders, bar, *below])
    app.add_class("maskseg")
    return app


def wrapping_row(*cells: widgets.Widget) -> widgets.HBox:
    """Widgets beside each other; the rest on a second line where the window is narrow."""
    return widgets.HBox(cells, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))


def css_color(color: Color) -> str:
    """An RGB colour as CSS writes it."""
    return "rgb({}, {}, {})".format(*color)


def swatch(color: Color) -> str:
    """A small square of an RGB colour, as HTML."""
    return f'<span class="maskseg-swatch" style="background: {css_color(color)}"></span>'


def error_line(text: str) -> str:
    """An error as one line of safe HTML, at most 300 characters."""
    line = html.escape(shortened(visible(" ".join(text.split())), 300))
    return f'<span class="maskseg-error" role="alert">{line}</span>'


def on_message(view: widgets.Widget, key: str, callback: Callable[[dict[str, Any]], None]) -> None:
    """Call `callback(content)` for each message of a browser that has `key`. What it holds is not trusted."""

    def receive(_: Any, content: Any, buffers: Any) -> None:
        if isinstance(content, dict) and key in content:
            callback(content)

    view.on_msg(receive)


def whole_number(value: Any) -> int:
    """A number that a browser sent; a ValueError where it is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"an item must be named by its number, got {shortened(ascii(value), 80)}")
    return value
