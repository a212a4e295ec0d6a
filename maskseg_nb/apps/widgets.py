"""What the apps have in common: their look, a slider with its number, a table of instances, an error line."""

import html
from collections.abc import Sequence
from urllib.parse import quote

import ipywidgets as widgets

from .._shared.text import as_html, visible
from ..errors import shortened
from ..mask_rcnn.instances import Instances

# ipywidgets draws the arrow of a Dropdown black, in the dark theme too.
_LIGHT_ARROW = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 18 18">'
    '<path d="M5.2 6.8 9 10.6l3.8-3.8L14 8l-5 5-5-5z" fill="#ddd"/></svg>'
)

# JupyterLab's own colour variables, so that an app follows the light and the dark theme.
STYLE_SHEET = """<style>
.maskseg { max-width: 1168px; }
.maskseg .widget-inline-hbox .widget-label { min-width: 106px; width: 106px; }
.maskseg .widget-toggle-button.mod-active { background: var(--jp-brand-color1);
  color: var(--jp-ui-inverse-font-color1); }
.maskseg .widget-image { border-radius: 4px; display: block; }
.maskseg .widget-html { margin: 2px; }
.maskseg .widget-html-content { line-height: 1.45; color: var(--jp-ui-font-color1); }
.maskseg-error { color: var(--jp-error-color1); font-weight: 600; }
.maskseg-muted { color: var(--jp-ui-font-color2); }
.maskseg table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.maskseg th { font-weight: 600; text-align: right; padding: 1px 10px; }
.maskseg td { text-align: right; padding: 1px 10px; border-top: 1px solid var(--jp-border-color2); }
.maskseg th:nth-child(2), .maskseg td:nth-child(2) { text-align: left; }
.maskseg-table { max-height: 250px; overflow-y: auto; }
.maskseg pre { background: var(--jp-layout-color2); color: var(--jp-ui-font-color1); padding: 8px;
  overflow-x: auto; user-select: text; }
.maskseg-swatch { display: inline-block; width: 14px; height: 14px; border: 1px solid #0008;
  vertical-align: -2px; }
.maskseg-inside .widget-inline-hbox .widget-label { min-width: 164px; width: 164px; }
.maskseg-inside .widget-dropdown .widget-label { min-width: 106px; width: 106px; }
.maskseg .maskseg-stage { white-space: pre; line-height: 1.35; padding: 4px 2px; height: auto;
  text-align: center; font-variant-numeric: tabular-nums; border-bottom: 3px solid transparent; }
.maskseg .maskseg-rerun { border-bottom-color: var(--jp-warn-color1); }
.maskseg-film { display: grid; grid-template-columns: repeat(6, 1fr); gap: 0 16px; padding: 0 16px; }
.maskseg-film b { display: block; }
.maskseg-scores { display: grid; grid-template-columns: max-content minmax(0, 300px) max-content;
  gap: 2px 10px; align-items: center; padding: 4px 16px; font-variant-numeric: tabular-nums; }
.maskseg-scores i { display: block; height: 12px; min-width: 1px; background: var(--jp-brand-color1); }
[data-jp-theme-light="false"] .maskseg select {
  background-image: url("data:image/svg+xml,ARROW") !important; }
</style>""".replace("ARROW", quote(_LIGHT_ARROW))


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
