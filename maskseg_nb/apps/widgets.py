"""What the apps have in common: their look, a slider with its number, a table of instances, an error line."""

import html
from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets

from .._shared.text import as_html, visible
from ..errors import shortened
from ..mask_rcnn.instances import Instances

STYLE_SHEET = f"<style>\n{Path(__file__).with_name('style.css').read_text('utf-8')}</style>"


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
    number = number_class(tooltip=f"{name}, as a number", layout=widgets.Layout(width="72px"), **common)
    return slider, number


def button(description: str, icon: str, tooltip: str, kind: type = widgets.Button) -> widgets.DOMWidget:
    """A button as wide as its text; a `widgets.ToggleButton` where that is its `kind`."""
    layout = widgets.Layout(width="auto", flex="0 0 auto")
    return kind(description=description, icon=icon, tooltip=tooltip, layout=layout)


def page(*rows: widgets.Widget) -> widgets.VBox:
    """A whole app: its rows, and how they look."""
    app = widgets.VBox([widgets.HTML(STYLE_SHEET), *rows])
    app.add_class("maskseg")
    return app


def wrapping_row(*cells: widgets.Widget) -> widgets.HBox:
    """Widgets beside each other; the rest on a second line where the window is narrow."""
    return widgets.HBox(cells, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))


def swatch(color: tuple[int, int, int]) -> str:
    """A small square of an RGB colour, as HTML."""
    red, green, blue = color
    return f'<span class="maskseg-swatch" style="background: rgb({red}, {green}, {blue})"></span>'


def error_line(text: str) -> str:
    """An error as one line of safe HTML, at most 300 characters."""
    line = html.escape(shortened(visible(" ".join(text.split())), 300))
    return f'<span class="maskseg-error" role="alert">{line}</span>'


def instances_table(instances: Instances, colors: Sequence[tuple[int, int, int]]) -> str:
    """`instances.table()` as HTML with a colour swatch a row; empty for no instances."""
    if not len(instances):
        return ""
    head = ("", "category", "score", "box: x1, y1, x2, y2", "pixels", "of the picture")
    rows = ["".join(f"<th>{title}</th>" for title in head)]
    for row, color in zip(instances.table(), colors, strict=True):
        cells = (
            swatch(color),
            as_html(row["category"]),
            f"{row['score']:.2f}",
            ", ".join(map(str, row["box"])),
            f"{row['area']:,}",
            f"{row['percent']:.1f} %",
        )
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
