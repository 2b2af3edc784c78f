"""measure - what stands against what, run in turns.

In: experiments, each with several sides that do the same work. Out: their figures as
plain data (lists, dicts, numbers), ready for JSON: all values, medians, and the ratio
of lighterd to each other side, taken round by round. One thread.
"""

from __future__ import annotations

import os
from statistics import median
from time import perf_counter
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional

Values = Mapping[str, float]  # by a figure's key; seconds or bytes: less is better

OURS, PEER, LIMIT = "lighterd", "peer", "limit"


class Side(NamedTuple):
    """One way to do the work; `run` is given a new, empty directory each time."""

    name: str
    run: Callable[[str], Values]
    kind: str = PEER


class Figure(NamedTuple):
    """One thing that is measured of all sides.

    `unit` is "time" (seconds), "rate" (seconds apiece, shown as so many a second) or
    "size" (bytes). `goals` has, for the name of a side, how many times better than a
    peer lighterd is to be, or how many times as much as a limit, or as a size, it may
    take; and for OURS an absolute value.
    """

    key: str
    what: str
    unit: str = "time"
    goals: Mapping[str, float] = {}


class Experiment(NamedTuple):
    name: str
    sides: List[Side]  # lighterd's first
    figures: List[Figure]
    # Given each side's directory of the warm-up; raises where they did not do the same.
    check: Optional[Callable[[Mapping[str, str]], None]] = None
    n_rounds: Optional[int] = None  # of its own; where one is enough, none warms up


def time_each(
    call: Callable[[Any], Any],
    items: Iterable[Any],
    before: Optional[Callable[[], Any]] = None,
) -> List[float]:
    """How long `call` holds the caller up, for each item; `before` is not counted."""
    seconds = []
    for item in items:
        if before:
            before()
        start = perf_counter()
        call(item)
        seconds.append(perf_counter() - start)
    return seconds


def calls(seconds: List[float]) -> Dict[str, float]:
    """What calls that took so long are to the process: in sum, and mostly."""
    return {"blocks": sum(seconds) / len(seconds), "typical": median(seconds)}


def alternate(
    experiment: Experiment, n_rounds: int, new_directory: Callable[[], str]
) -> List[Dict[str, Any]]:
    """A B A B ... for `n_rounds`, after a round that warms up and is checked."""
    values: Dict[str, List[Values]] = {side.name: [] for side in experiment.sides}
    if experiment.n_rounds != 1:
        made = _round(experiment, new_directory, values)
        if experiment.check:
            experiment.check(made)
        for each in values.values():
            each.clear()
    for _ in range(experiment.n_rounds or n_rounds):
        _round(experiment, new_directory, values)
    return [_summary(experiment, figure, values) for figure in experiment.figures]


def _round(
    experiment: Experiment,
    new_directory: Callable[[], str],
    values: Dict[str, List[Values]],
) -> Dict[str, str]:
    made = {}
    for side in experiment.sides:
        made[side.name] = new_directory()
        os.sync()  # what the side before left dirty is not for this one to write
        values[side.name].append(side.run(made[side.name]))
    return made


def _summary(
    experiment: Experiment, figure: Figure, values: Mapping[str, List[Values]]
) -> Dict[str, Any]:
    found = {
        side: [each[figure.key] for each in values[side.name]]
        for side in experiment.sides
        if figure.key in values[side.name][0]
    }
    ours = found[experiment.sides[0]]
    return {
        "experiment": experiment.name,
        "what": figure.what,
        "unit": figure.unit,
        "sides": [_compare(side, figure, ours, found[side]) for side in found],
    }


def _compare(
    side: Side, figure: Figure, ours: List[float], theirs: List[float]
) -> Dict[str, Any]:
    # Of a peer: how many times better lighterd is. Else: how many times as much.
    at_least = side.kind == PEER and figure.unit != "size"
    row = {"side": side.name, "kind": side.kind, "at_least": at_least, **spread(theirs)}
    judged = row["median"]
    if side.kind != OURS:
        both = zip(ours, theirs)
        row["ratio"] = spread([(b / a if at_least else a / b) for a, b in both])
        judged = row["ratio"]["median"]
    goal = row["goal"] = figure.goals.get(side.name)
    if goal is not None:
        row["reached"] = judged >= goal if at_least else judged <= goal
    return row


def spread(values: List[float]) -> Dict[str, Any]:
    return {
        "median": median(values),
        "min": min(values),
        "max": max(values),
        "values": values,
    }
