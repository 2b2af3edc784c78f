"""ranks - many connections at once."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from time import perf_counter
from typing import Dict, Iterator

import lighterd

from bench import Bench
from data import KEYS, row_batches
from measure import OURS, Experiment, Figure, Side, calls, time_each

N_ROWS = 256


def experiments(bench: Bench) -> Iterator[Experiment]:
    for n_ranks in bench.size((1, 4, 16, 64), (1, 4)):
        yield _at_once(bench, n_ranks)


def _at_once(bench: Bench, n_ranks: int) -> Experiment:
    """All ranks in this process, in turns: what grows is the daemon's work, not ours."""
    n_batches = bench.size(1024, 64)
    batches = row_batches(N_ROWS, n_batches)

    def ours(directory: str) -> Dict[str, float]:
        writer = lighterd.csv(os.path.join(directory, "p.csv"), KEYS)
        cpu_s = bench.daemon.cpu_s()
        with ExitStack() as stack:
            ranks = [
                stack.enter_context(closing(bench.daemon.open([writer], i, n_ranks)))
                for i in range(n_ranks)
            ]
            turns = [rank.write for rank in ranks] * (n_batches // n_ranks)
            start = perf_counter()
            seconds = time_each(lambda turn: turn[0](turn[1]), zip(turns, batches))
            for rank in ranks:
                rank.flush()
            written = perf_counter() - start
            cpu_s = bench.daemon.cpu_s() - cpu_s
            for rank in ranks[1:]:
                rank.end(wait=False)
            ranks[0].end()
        return {
            **calls(seconds),
            "row": written / (N_ROWS * n_batches),
            "cpu": cpu_s / n_batches,
        }

    return Experiment(
        f"{n_ranks} rank{'s' * (n_ranks > 1)} of a table at once",
        [Side(OURS, ours, OURS)],
        [
            Figure("typical", "blocks the process, a typical batch"),
            Figure("row", "rows a second of all, until they are written", "rate"),
            Figure("cpu", "a batch, of the daemon's processor time"),
        ],
    )
