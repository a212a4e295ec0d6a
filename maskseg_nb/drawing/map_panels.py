"""The panels of the network's map, as SVG: a panel per stage, the pyramid above what reads it.

The pyramid is read three times: by the region proposal network, by the box head and by the mask head. Between
these stand two stages that have nothing to learn. That is what the drawing is meant to show.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from .._shared.text import as_html
from ..mask_rcnn.trace import STAGES
from .colors import level_color

WIDTH, HEIGHT = 1080, 676
# Light and dark as JupyterLab's pages. "here" and "rerun" are what `Inside`'s strip has for the pressed stage
# and for those that ran again; white letters would be hard to read on the dark theme's lighter blue.
_STYLE = """
svg { --paper: #fff; --panel: #f2f4f7; --ink: #1f2328; --line: #6a7280; --map: #d5d9e0; --here: #1976d2;
  --rerun: #f57c00; --kept: #00805c; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14171b; --panel: #22262c; --ink: #eceff2; --line: #9aa3af; --map: #414954; --rerun: #ff9800;
    --kept: #00c88c; }
}
text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
.line { stroke: var(--line); stroke-width: 1.6; fill: none; }
.kept { stroke: var(--kept); stroke-width: 4; fill: none; }
.head { fill: var(--line); }
.arrow { marker-end: url(#head); }
.dim { opacity: 0.7; }
"""
_MARKER = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
)
# Left, top, width and height of each panel.
_PLACES = {"normalised": (16, 16, 200, 318), "features": (250, 16, 814, 318)}
_PLACES |= {name: (16 + 211 * n, 386, 204, 274) for n, name in enumerate(list(STAGES)[2:])}
_ROW, _BAR, _SHORTER = 40, 28, 26  # pixels: from level to level, a bar's height, what a coarser one lacks
# What each stage makes, in a square of 64.
_ICONS = {
    "normalised": (
        '<path d="M0 16h46v46h-46z" fill="#d55e00"/><path d="M9 8h46v46h-46z" fill="#009e73"/>'
        '<path d="M18 0h46v46h-46z" fill="#0072b2"/>'
    ),
    "anchors": (
        '<path class="line" d="M0 0H64V64H0ZM0 16H64M0 32H64M0 48H64M16 0V64M32 0V64M48 0V64" opacity="0.5"/>'
        '<path class="line" stroke-dasharray="5 3" d="M20 20H44V44H20ZM15 24H49V40H15ZM24 15H40V49H24Z"/>'
    ),
    "proposals": (
        '<path class="line" stroke-dasharray="5 3" d="M2 8H36V50H2ZM9 2H45V48H9ZM32 30H63V58H32Z"/>'
        '<path class="kept" d="M5 5H41V54H5Z"/>'
    ),
    "box_scores": (
        '<path class="line" d="M0 0H44V44H0ZM0 11H44M0 22H44M0 33H44M11 0V44M22 0V44M33 0V44" opacity="0.7"/>'
        '<path class="head" d="M0 50H62V55H0ZM0 59H20V64H0Z"/>'
    ),
    "detections": '<path class="kept" d="M8 16H56V62H8Z"/><path d="M6 0H48V16H6Z" fill="var(--kept)"/>',
    "masks": (
        '<path d="M24 2h16v12h12v20H42v12h8v16H14V46h8V34H12V14h12z" fill="var(--kept)"/>'
        '<path class="line" d="M2 0H62V64H2ZM2 16H62M2 32H62M2 48H62M17 0V64M32 0V64M47 0V64" opacity="0.8"/>'
    ),
}


class Level(NamedTuple):
    """A level of the pyramid: what to write on the backbone's map, if there is one, and on its own."""

    body: str
    pyramid: str


def draw_map(
    alt: str,
    notes: tuple[str, str],
    levels: Sequence[Level],
    texts: Mapping[str, Sequence[str]],
    learned: Mapping[str, str],
    reads: Mapping[str, str],
    here: str | None,
    rerun: Collection[str],
) -> str:
    """The whole SVG.

    Args:
        alt: All of it in words.
        notes: What to write above the backbone and above the pyramid.
        levels: The finest first.
        texts, learned: Stage -> its lines, and the last one: what it has learned.
        reads: The stages that read the pyramid -> which levels.
        here: The stage to light; the others are dimmed.
        rerun: The stages to underline, as `Inside`'s strip does.
    """
    bodies = {name: _lines(name, texts[name]) for name in STAGES if name != "features"}
    bodies["features"] = _features(notes, levels)
    panels = [_panel(name, bodies[name], learned[name], here, name in rerun) for name in STAGES]
    arrows = [_arrow(216, 175, 250, 175)]
    lower = list(STAGES)[2:]
    arrows += [
        _arrow(_PLACES[a][0] + 204, 500, _PLACES[b][0], 500) for a, b in zip(lower, lower[1:], strict=False)
    ]
    for name, which in reads.items():
        middle = _PLACES[name][0] + 102
        # The first panel stands left of the pyramid: its arrow goes around the corner.
        start = f"M{max(middle, 300)} 334V{360 if middle < 300 else 386}"
        bend = f"H{middle}V386" if middle < 300 else ""
        arrows.append(f'<path class="line arrow" d="{start}{bend}"/>')
        arrows.append(_text(max(middle, 290) - 8, 355, f"reads {which}", 15, 'text-anchor="end"'))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label="{as_html(alt)}"><style>{_STYLE}</style>{_MARKER}'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="var(--paper)"/>'
        f"{''.join(panels + arrows)}</svg>\n"
    )


def _text(x: float, y: float, text: str, size: float = 15, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" {more}>{as_html(text)}</text>'


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="line arrow" d="M{x1:g} {y1:g}L{x2:g} {y2:g}"/>'


def _panel(name: str, body: str, learned: str, here: str | None, rerun: bool) -> str:
    """A stage: its title as in `Inside`'s strip, what is in it, and whether it has learned anything."""
    left, top, width, height = _PLACES[name]
    lit = name == here
    frame = 'stroke="var(--here)" stroke-width="3"' if lit else 'stroke="var(--line)" stroke-width="1"'
    white = ' style="fill: #fff"' * lit
    bar = (
        f'<path d="M{left} {top + 34}v-28a6 6 0 0 1 6 -6h{width - 12}a6 6 0 0 1 6 6v28z" fill="var(--here)"/>'
    )
    place = _text(left + width - 10, top + 23, "here", 15, f'text-anchor="end"{white}')
    under = f'<rect x="{left}" y="{top + 33}" width="{width}" height="4" fill="var(--rerun)"/>'
    title = _text(left + 12, top + 24, STAGES[name].title, 18, f'font-weight="600"{white}')
    foot = _text(left + 12, top + height - 13, learned, 15, 'font-style="italic"')
    dim = ' class="dim"' if here not in (None, name) else ""
    return (
        f'<g id="{name}"{dim}><rect x="{left}" y="{top}" width="{width}" height="{height}" rx="6" '
        f'fill="var(--panel)" {frame}/>{(bar + place) * lit}{title}{under * rerun}{foot}{body}</g>'
    )


def _lines(name: str, texts: Sequence[str]) -> str:
    left, top, _, _ = _PLACES[name]
    icon = f'<g transform="translate({left + 70} {top + 52})">{_ICONS[name]}</g>'
    return icon + "".join(_text(left + 12, top + 144 + 24 * n, text, 15.5) for n, text in enumerate(texts))


def _features(notes: tuple[str, str], levels: Sequence[Level]) -> str:
    """Backbone and pyramid, a row per level, the coarsest above; a bar is the longer, the finer the map."""
    left, top, width, _ = _PLACES["features"]
    middle, bottom = left + 430, top + 268 - _BAR
    row = min(_ROW, 172 / max(len(levels) - 1, 1))  # pixels from level to level: there may be more than five
    drawn = [_text(left + 12, top + 58, notes[0]), _text(middle, top + 58, notes[1])]
    for number, level in enumerate(levels):
        y, shorter = bottom - row * number, _SHORTER * number
        drawn.append(_bar(middle, y, 372 - shorter, level.pyramid, number))
        below = f"M{middle + 60} {y + row}V{y + _BAR + 2}"  # every second cell
        if level.body:
            end = left + 12 + 270 - shorter
            drawn.append(_bar(left + 12, y, 270 - shorter, level.body, None))
            drawn.append(_arrow(end + 4, y + 14, middle - 3, y + 14))
            drawn.append(_text((end + middle) / 2, y + 9, "1 x 1", 12.5, 'text-anchor="middle"'))
            if number:
                drawn.append(_arrow(left + 60, y + row - 1, left + 60, y + _BAR + 2))
                below = f"M{middle + 60} {y + _BAR}V{y + row - 2}"  # from coarse to fine
        if number and (level.body or levels[0].body):
            drawn.append(f'<path class="line arrow" d="{below}"/>')
    return "".join(drawn)


def _bar(x: float, y: float, width: float, label: str, level: int | None) -> str:
    """A map as a bar: in its level's colour, as in all pictures, or grey for the backbone's own."""
    fill, ink = "var(--map)", ""
    if level is not None:
        red, green, blue = level_color(level)
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 128
        fill, ink = f"rgb({red}, {green}, {blue})", f'style="fill: {"#000" if light else "#fff"}"'
    bar = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{_BAR}" rx="3" fill="{fill}"/>'
    return bar + _text(x + 10, y + 20, label, 15, ink)
