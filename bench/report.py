"""report - results in words: a table for a terminal or in Markdown, and JSON.

In: the plain data that run.py collects. Out: text. Pure, but for the files it is told
to write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

BEGIN, END = "<!-- results: written by bench/run.py --markdown -->", "<!-- /results -->"
FAST = " as fast"
HEADER = ("", "median (min .. max)", "lighterd against it", "to reach", "")

Results = Dict[str, Any]
Row = Tuple[str, str, str, str, str]


def table(results: Results) -> str:
    """For a terminal."""
    blocks = [[("", [HEADER])]] + [[block] for block in _blocks(results)]
    rows = [row for ((_, rows),) in blocks for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = [machine(results)]
    for ((title, rows),) in blocks:
        lines += ["", title] if title else [""]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths))
            lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join([*lines, "", verdict(results)])


def markdown(results: Results) -> str:
    lines = [machine(results), ""]
    for title, rows in _blocks(results):
        lines += [f"**{title}**", ""]
        lines += [f"| {' | '.join(row)} |" for row in (HEADER, ("---",) * 5, *rows)]
        lines.append("")
    return "\n".join([*lines, verdict(results)])


def write_json(path: str, results: Results) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(results, indent=1) + "\n")


def write_markdown(path: str, results: Results) -> None:
    """Put the results between the two comments of a file."""
    text = Path(path).read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no '{BEGIN}' ... '{END}'")
    filled = f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}"
    Path(path).write_text(filled)


def machine(results: Results) -> str:
    about = results["machine"]
    text = (
        f"{results['lighterd']}, {results['date']}: {about['cores']} cores of "
        f"{about['processor']}, {about['memory_gib']:.0f} GiB of memory, "
        f"{about['filesystem']}, Linux {about['kernel']}, Python {about['python']}, "
        f"torch {about['torch']}; load before the run {about['load']:.2f}; "
        f"rounds: {results['rounds']}; torch has all cores but one."
    )
    if results["quick"]:
        text += " A smoke run: its figures mean nothing."
    if about["load"] > 0.5:
        text += " The machine was not quiet."
    if results["instrumented"]:
        text += " lighterd was built with sanitizers: its figures mean nothing."
    return text


def verdict(results: Results) -> str:
    """How many goals are reached, each one that is not, and where a peer is faster."""
    sides = [
        (f"{each['experiment']}: {each['what']}", side, _row(side, each["unit"]))
        for each in results["figures"]
        for side in each["sides"]
    ]
    judged = [each for each in sides if each[1]["goal"] is not None]
    missed = [
        f"- {what}: {row[2] + ' against ' + row[0] if row[2] else row[1]}; {row[3]}"
        for what, side, row in judged
        if not side["reached"]
    ]
    slower = [
        f"- {what}: {row[2]} against {row[0]}"
        for what, side, row in sides
        if row[2].endswith(FAST) and side["ratio"]["median"] < 1
    ]
    lines = [f"{len(judged) - len(missed)} of {len(judged)} goals are reached."]
    if missed:
        lines += ["", "Not reached:", "", *missed]
    if slower:
        lines += ["", "Slower than what it is compared with:", "", *slower]
    return "\n".join(lines)


def _blocks(results: Results) -> Iterator[Tuple[str, List[Row]]]:
    """A title and its rows for each figure, but for those that the plot shows."""
    for figure in results["figures"]:
        if figure["experiment"] not in results["sweep"]:
            title = f"{figure['experiment']}: {figure['what']}"
            yield title, [_row(side, figure["unit"]) for side in figure["sides"]]


def _row(side: Dict[str, Any], unit: str) -> Row:
    limit = "limit: " if side["kind"] == "limit" else ""
    ratio = _times(side["ratio"]) + _word(side, unit) if "ratio" in side else ""
    goal = reached = ""
    if side["goal"] is not None:
        goal, at_least = f"{side['goal']:g} x", side["at_least"]
        if "ratio" not in side:
            goal, at_least = _one(side["goal"], unit), unit == "rate"
        goal = f"at {'least' if at_least else 'most'} {goal}"
        reached = "reached" if side["reached"] else "MISSED"
    return limit + side["side"], _spread(side, unit), ratio, goal, reached


def _spread(side: Dict[str, Any], unit: str) -> str:
    ends = sorted((side["min"], side["max"]), reverse=unit == "rate")
    median = _one(side["median"], unit)
    if len(side["values"]) == 1 or side["min"] == side["max"]:
        return median
    return f"{median} ({_one(ends[0], unit)} .. {_one(ends[1], unit)})"


def _word(side: Dict[str, Any], unit: str) -> str:
    if unit == "size":
        return " the size"
    return " as long" if side["kind"] == "limit" else FAST


def _times(ratio: Dict[str, Any]) -> str:
    if len(ratio["values"]) == 1:
        return f"{_digits(ratio['median'])} x"
    ends = f"{_digits(ratio['min'])} .. {_digits(ratio['max'])}"
    return f"{_digits(ratio['median'])} ({ends}) x"


def _one(value: float, unit: str) -> str:
    if unit == "rate":
        return _scaled(1 / value, ((1e6, "M/s"), (1e3, "k/s"), (1, "/s")))
    if unit == "size":
        return _scaled(value, ((1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")))
    return _scaled(value, ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")))


def _scaled(value: float, units: Tuple[Tuple[float, str], ...]) -> str:
    scale, name = next((u for u in units if abs(value) >= u[0]), units[-1])
    return f"{_digits(value / scale)} {name}"


def _digits(value: float) -> str:
    """Three of them."""
    size = abs(value)
    return f"{value:.{0 if size >= 99.95 else 1 if size >= 9.995 else 2}f}"
