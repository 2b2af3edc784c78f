"""blocking - how long a batch of a table holds the process up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional

import lighterd
from lighterd import native

import peer
from bench import Bench
from data import KEYS, Work, row_batches
from limits import Copy
from measure import LIMIT, OURS, Experiment, Figure, Side, calls, time_each

N_ROWS = 256
LOOP, COLUMNS = "csv.writer loop", "csv.writer, by columns"
HOOK = "lighter's whole hook"
COPY = "one copy and one wake-up"
PURE = "lighterd, its client all in Python"


def experiments(bench: Bench) -> Iterator[Experiment]:
    yield _experiment(bench, "tight loop", None, {LOOP: 40, HOOK: 400, COPY: 2})
    yield _experiment(bench, "after model work", Work(), {LOOP: 10, COPY: 2})


def _experiment(
    bench: Bench,
    where: str,
    before: Optional[Callable[[], Any]],
    goals: Dict[str, float],
) -> Experiment:
    batches = row_batches(N_ROWS, bench.size(100, 10))
    few = batches[: bench.size(20, 2)]  # the hook is slow
    copy = Copy(_n_bytes(batches[0]))

    def ours(directory: str) -> Dict[str, float]:
        writer = lighterd.csv(os.path.join(directory, "p.csv"), KEYS)
        return bench.daemon.epoch([writer], batches, before)

    def pure(directory: str) -> Dict[str, float]:
        native.use(None)
        try:
            return ours(directory)
        finally:
            native.use(native.module)

    def loop(make: Any, batches: List[Any]) -> Callable[[str], Dict[str, float]]:
        def run(directory: str) -> Dict[str, float]:
            out = make(os.path.join(directory, "p.csv"), KEYS)
            seconds = time_each(out.write, batches, before)
            out.close()
            return calls(seconds)

        return run

    def copy_and_wake(_: Any) -> None:
        copy()
        bench.neighbour.wake()

    def limit(_: str) -> Dict[str, float]:
        return calls(time_each(copy_and_wake, batches, before))

    return Experiment(
        f"a CSV batch of {N_ROWS} rows, {where}",
        [
            Side(OURS, ours, OURS),
            Side(PURE, pure),
            Side(LOOP, loop(peer.CsvLoop, batches)),
            Side(HOOK, loop(peer.CsvHook, few)),
            Side(COLUMNS, loop(peer.CsvColumns, batches)),
            Side(COPY, limit, LIMIT),
        ],
        [
            Figure("typical", "blocks the process, a typical batch", goals=goals),
            Figure("blocks", "blocks the process, on average"),
        ],
        check=_same_tables,
    )


def _n_bytes(batch: Mapping[str, Any]) -> int:
    numbers = batch["pred"].nbytes + batch["target"].nbytes
    return numbers + sum(map(len, batch["id"]))


def _same_tables(made: Mapping[str, str]) -> None:
    ours, loop = (Path(made[side], "p.csv").read_bytes() for side in (OURS, LOOP))
    if ours != loop:
        raise SystemExit("lighterd and csv.writer did not write the same bytes")
