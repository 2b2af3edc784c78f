"""sweep - tables of equal length in batches of all sizes: what the plot shows."""

from __future__ import annotations

import os
from time import perf_counter
from typing import Dict, Iterator

import lighterd

import peer
from bench import Bench
from data import KEYS, row_batches
from measure import OURS, Experiment, Figure, Side, calls, time_each

NAME = "a table in batches of "  # and a number
LOOP = "csv.writer loop"
N_ROUNDS = 3


def experiments(bench: Bench) -> Iterator[Experiment]:
    n_rows = bench.size(1 << 16, 1 << 10)
    for size in bench.size((1, 4, 16, 64, 256, 1024, 4096), (16, 256)):
        yield _experiment(bench, size, n_rows)


def _experiment(bench: Bench, size: int, n_rows: int) -> Experiment:
    batches = row_batches(size, n_rows // size)

    def ours(directory: str) -> Dict[str, float]:
        writer = lighterd.csv(os.path.join(directory, "p.csv"), KEYS)
        epoch = bench.daemon.epoch([writer], batches)
        return {"typical": epoch["typical"], "a row": epoch["written"] / n_rows}

    def loop(directory: str) -> Dict[str, float]:
        start = perf_counter()
        out = peer.CsvLoop(os.path.join(directory, "p.csv"), KEYS)
        blocked = time_each(out.write, batches)
        out.close()
        return {**calls(blocked), "a row": (perf_counter() - start) / n_rows}

    return Experiment(
        f"{NAME}{size}",
        [Side(OURS, ours, OURS), Side(LOOP, loop)],
        [
            Figure("typical", "blocks the process, a typical batch"),
            Figure("a row", "rows a second, until all are written", "rate"),
        ],
        n_rounds=bench.size(N_ROUNDS, 1),
    )
