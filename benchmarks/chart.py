"""
Charts as SVG, on a card of their own that follows the reader's choice of light or dark.

Written by hand: a bar is a rectangle, and no package is needed to draw one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

STYLE = """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif;
         fill: #1f2933 }
  .card { fill: #ffffff; stroke: #e3e7ec }
  .title { font-size: 16px; font-weight: 600 }
  .head { font-weight: 600 }
  .soft { fill: #5b6875; font-size: 12px }
  .grid { stroke: #e3e7ec; stroke-width: 1 }
  .ours { fill: #0f766e } .ours.light { fill: #5fb8ae }
  .peer { fill: #7b8794 } .peer.light { fill: #bcc5ce }
  .line { fill: none; stroke-width: 2.25; stroke-linejoin: round }
  .a { stroke: #0f766e } .b { stroke: #b45309 } .c { stroke: #6d4fc4 } .d { stroke: #c0362c }
  .e { stroke: #2563a8 } .f { stroke: #a3327a } .g { stroke: #5b6875 }
  .fa { fill: #0f766e } .fb { fill: #b45309 } .fc { fill: #6d4fc4 } .fd { fill: #c0362c }
  .fe { fill: #2563a8 } .ff { fill: #a3327a } .fg { fill: #5b6875 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaee } .card { fill: #171c22; stroke: #2b333c } .soft { fill: #9aa7b4 }
    .grid { stroke: #2b333c }
    .ours { fill: #2cb5a5 } .ours.light { fill: #1a6d64 }
    .peer { fill: #8592a0 } .peer.light { fill: #4b5763 }
    .a { stroke: #2cb5a5 } .b { stroke: #e09b3d } .c { stroke: #a58bf0 } .d { stroke: #f0786e }
    .e { stroke: #6aa9ee } .f { stroke: #e583c2 } .g { stroke: #9aa7b4 }
    .fa { fill: #2cb5a5 } .fb { fill: #e09b3d } .fc { fill: #a58bf0 } .fd { fill: #f0786e }
    .fe { fill: #6aa9ee } .ff { fill: #e583c2 } .fg { fill: #9aa7b4 }
  }
"""

COLOURS = "abcdefg"
"""Of lines; one that has none is not drawn."""

WIDTH = 760
MARGIN = 24


@dataclass(frozen=True)
class Entry:
    """A pair of bars: what reading adds, and what reading and writing adds."""

    name: str
    read: float
    write: float
    ours: bool


@dataclass(frozen=True)
class Panel:
    """Bars of one scale, under a heading."""

    name: str
    entries: Sequence[Entry]


@dataclass(frozen=True)
class Line:
    """One line: a name, and its points."""

    name: str
    points: Sequence[tuple[float, float]]


def document(title: str, subtitle: str, height: float, parts: Sequence[str]) -> str:
    """Return a whole SVG with a card, a title and *parts*."""
    size = f'width="{WIDTH - 1}" height="{height - 1:.0f}"'
    parts = [
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" {size} rx="10"/>',
        _text(MARGIN, 34, title, "title"),
        _text(MARGIN, 54, subtitle, "soft"),
        *parts,
    ]
    box, label = f"0 0 {WIDTH} {height:.0f}", escape(title)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{label}">'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def bars(title: str, subtitle: str, panels: Sequence[Panel]) -> str:
    """Return a chart of pairs of bars; each panel has a scale of its own."""
    names, end, row = 240, WIDTH - MARGIN - 52, 34
    parts = [
        _box(WIDTH - 300, 76, 14, "ours light"),
        _text(WIDTH - 280, 86, "reads one key", "soft"),
        _box(WIDTH - 180, 76, 14, "ours"),
        _text(WIDTH - 160, 86, "reads one, sets one", "soft"),
    ]
    y = 88.0
    for panel in panels:
        parts.append(_text(MARGIN, y, panel.name, "head"))
        y += 12
        most = max(max(entry.read, entry.write) for entry in panel.entries)
        for entry in panel.entries:
            kind = "ours" if entry.ours else "peer"
            parts.append(_text(names - 12, y + 19, entry.name, "", "end"))
            for place, value, shade in ((3, entry.read, f"{kind} light"), (16, entry.write, kind)):
                length = max(2.0, (end - names) * value / most)
                parts.append(
                    f'<rect class="{shade}" x="{names}" y="{y + place:.1f}" '
                    f'width="{length:.1f}" height="11" rx="2"/>'
                )
                label = _text(names + length + 6, y + place + 10, microseconds(value), "soft")
                parts.append(label)
            y += row
        y += 30
    return document(title, subtitle, y - 14, parts)


def lines(title: str, subtitle: str, panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """Return panels of lines beside each other; both axes count in powers of ten."""
    height, top, bottom = 400, 100, 356
    width = (WIDTH - 2 * MARGIN) / len(panels)
    values = [y for _, drawn in panels for line in drawn for _, y in line.points]
    numbers = [x for _, drawn in panels for line in drawn for x, _ in line.points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(min(numbers)), math.log10(max(numbers))
    parts = []
    for number, (name, drawn) in enumerate(panels):
        left = MARGIN + number * width + 44
        right = MARGIN + (number + 1) * width - 112

        def across(x: float, left: float = left, right: float = right) -> float:
            return left + (right - left) * (math.log10(x) - first) / max(last - first, 1)

        def up(y: float) -> float:
            return bottom - (bottom - top) * (math.log10(y) - low) / max(high - low, 1)

        parts.append(_text(left, top - 16, name, "head"))
        for power in range(low, high + 1):
            y = up(10.0**power)
            parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(_text(left - 8, y + 4, microseconds(10.0**power), "soft", "end"))
        parts += [
            _text(across(10.0**power), bottom + 20, f"{10**power:,}", "soft", "middle")
            for power in range(math.ceil(first), math.floor(last) + 1)
        ]
        ends = _apart([up(line.points[-1][1]) for line in drawn])
        for line, colour, end in zip(drawn, COLOURS, ends, strict=False):
            path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
            parts.append(f'<polyline class="line {colour}" points="{path}"/>')
            parts += [
                f'<circle class="f{colour}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="3"/>'
                for x, y in line.points
            ]
            parts.append(f'<circle class="f{colour}" cx="{right + 15:.1f}" cy="{end:.1f}" r="4"/>')
            parts.append(_text(right + 24, end + 4, line.name, ""))
    return document(title, subtitle, height, parts)


def microseconds(value: float) -> str:
    """Return a time as a reader would say it."""
    if value >= 1000:
        return f"{value / 1000:g} ms" if value % 1000 == 0 else f"{value / 1000:.1f} ms"
    return f"{value:.0f} µs" if value >= 10 else f"{value:.1f} µs"


def _apart(places: Sequence[float], gap: float = 16) -> list[float]:
    """Return where labels go, so that none covers another."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    found = list(places)
    for before, after in pairwise(order):
        found[after] = max(found[after], found[before] + gap)
    return found


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{style}{place}>{escape(text)}</text>'


def _box(x: float, y: float, side: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{side}" height="{side - 3}" rx="2"/>'
