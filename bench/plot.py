"""plot - blocking time and throughput against the size of a batch, as an SVG.

In: the results. Out: a picture of two panels, both axes logarithmic; a line is the
median, the band around it all rounds. Pure.
"""

from __future__ import annotations

from math import ceil, floor, log10
from typing import Any, Dict, List, NamedTuple, Tuple

COLOURS = {"lighterd": "#0b6e99"}
OTHER = "#b5502f"
WIDTH, HEIGHT = 380, 300  # of a panel
LEFT, TOP, RIGHT, BOTTOM = 64, 40, 16, 48  # around its axes

Point = Tuple[float, float, float, float]  # x, median, min, max


class Panel(NamedTuple):
    title: str
    unit: str
    lines: Dict[str, List[Point]]


def svg(results: Dict[str, Any]) -> str:
    panels = [
        Panel("A typical batch blocks the process", "us", _lines(results, "time", 1e6)),
        Panel("Rows a second, until written", "1/s", _lines(results, "rate", 1)),
    ]
    body = [_panel(panel, i * WIDTH) for i, panel in enumerate(panels)]
    total = WIDTH * len(panels)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {HEIGHT}" '
            f'width="{total}" height="{HEIGHT}" font-family="sans-serif" '
            'font-size="11" fill="#333">',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _lines(results: Dict[str, Any], unit: str, scale: float) -> Dict[str, List[Point]]:
    lines: Dict[str, List[Point]] = {}
    for figure in results["figures"]:
        size = results["sweep"].get(figure["experiment"])
        if size is None or figure["unit"] != unit:
            continue
        for side in figure["sides"]:
            values = [side[key] for key in ("median", "min", "max")]
            shown = [1 / v if unit == "rate" else v * scale for v in values]
            lines.setdefault(side["side"], []).append((size, *shown))
    return lines


class _Axis:
    """From a decade to a decade, on so many pixels."""

    def __init__(self, values: List[float], start: float, end: float) -> None:
        self.low = floor(log10(min(values)))
        self.high = max(ceil(log10(max(values))), self.low + 1)
        self._start, self._step = start, (end - start) / (self.high - self.low)

    def at(self, value: float) -> float:
        return round(self._start + (log10(value) - self.low) * self._step, 1)

    def decades(self) -> List[float]:
        return [10.0**e for e in range(self.low, self.high + 1)]


def _panel(panel: Panel, left: float) -> str:
    points = [point for line in panel.lines.values() for point in line]
    x = _Axis([p[0] for p in points], LEFT, WIDTH - RIGHT)
    y = _Axis([v for p in points for v in p[1:]], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<g transform="translate({left} 0)">',
        f'<text x="{LEFT}" y="20" font-size="13">{panel.title} ({panel.unit})</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" '
        'text-anchor="middle">rows in a batch</text>',
    ]
    for value in x.decades():
        parts.append(_rule(x.at(value), TOP, x.at(value), HEIGHT - BOTTOM))
        parts.append(_label(x.at(value), HEIGHT - BOTTOM + 16, value, "middle"))
    for value in y.decades():
        parts.append(_rule(LEFT, y.at(value), WIDTH - RIGHT, y.at(value)))
        parts.append(_label(LEFT - 6, y.at(value) + 4, value, "end"))
    for name, line in panel.lines.items():
        parts.append(_line(name, line, x, y))
    return "\n".join([*parts, "</g>"])


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="#ddd"/>'


def _label(x: float, y: float, value: float, anchor: str) -> str:
    for scale, letter in ((1e6, "M"), (1e3, "k")):
        if value >= scale:
            return _text(x, y, f"{value / scale:g}{letter}", anchor)
    return _text(x, y, f"{value:g}", anchor)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _line(name: str, line: List[Point], x: _Axis, y: _Axis) -> str:
    colour = COLOURS.get(name, OTHER)
    band = [(p[0], p[2]) for p in line] + [(p[0], p[3]) for p in reversed(line)]
    size, value = line[-1][:2]
    return "\n".join(
        [
            f'<path d="{_path(band, x, y)}Z" fill="{colour}" opacity="0.2"/>',
            f'<path d="{_path([p[:2] for p in line], x, y)}" fill="none" '
            f'stroke="{colour}" stroke-width="2"/>',
            f'<text x="{x.at(size)}" y="{y.at(value) - 8}" text-anchor="end" '
            f'fill="{colour}">{name}</text>',
        ]
    )


def _path(points: Any, x: _Axis, y: _Axis) -> str:
    return "M" + "L".join(f"{x.at(a)} {y.at(b)}" for a, b in points)
