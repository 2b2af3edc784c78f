"""growth - whether a batch and a job cost at the end what they cost at the beginning."""

from __future__ import annotations

import os
from contextlib import closing
from statistics import median
from typing import Dict, Iterator, List

import lighterd

from bench import Bench
from daemon import Daemon
from data import KEYS, row_batches
from measure import OURS, Experiment, Figure, Side, time_each

N_ROWS = 256
MIB = 1 << 20


def experiments(bench: Bench) -> Iterator[Experiment]:
    yield _over_batches(bench)
    yield _over_jobs(bench)


def _over_batches(bench: Bench) -> Experiment:
    n_batches = bench.size(20_000, 100)
    batches = row_batches(N_ROWS, n_batches)

    def ours(directory: str) -> Dict[str, float]:
        writer = lighterd.csv(os.path.join(directory, "p.csv"), KEYS)
        with closing(bench.daemon.open([writer])) as rank:
            seconds = time_each(rank.write, batches)
            rank.end()
        return _first_and_last(seconds)

    return Experiment(
        f"an epoch of {n_batches:,} batches of {N_ROWS} rows",
        [Side(OURS, ours, OURS)],
        [
            Figure("first", "blocks the process, a typical batch of the first tenth"),
            Figure("last", "blocks the process, a typical batch of the last tenth"),
        ],
        n_rounds=1,
    )


def _over_jobs(bench: Bench) -> Experiment:
    """One epoch after another, as a training has them: connect, open, write, end."""
    n_jobs = bench.size(5_000, 50)
    batches = row_batches(N_ROWS, 2)

    def ours(directory: str) -> Dict[str, float]:
        with Daemon() as daemon:

            def epoch(number: int) -> None:
                path = os.path.join(directory, f"{number}.csv")
                with closing(daemon.open([lighterd.csv(path, KEYS)])) as rank:
                    rank.write_all(batches)
                    rank.end()

            seconds, resident = [], []
            for start in range(0, n_jobs, n_jobs // 10):
                seconds += time_each(epoch, range(start, start + n_jobs // 10))
                resident.append(daemon.memory("VmRSS") - daemon.memory("RssShmem"))
        return {**_first_and_last(seconds), "growth": resident[-1] - resident[0]}

    return Experiment(
        f"{n_jobs:,} jobs, one after another",
        [Side(OURS, ours, OURS)],
        [
            Figure("first", "from open to published, a typical job of the first tenth"),
            Figure("last", "from open to published, a typical job of the last tenth"),
            Figure("growth", "memory, first tenth to the last", "size", {OURS: MIB}),
        ],
        n_rounds=1,
    )


def _first_and_last(seconds: List[float]) -> Dict[str, float]:
    tenth = len(seconds) // 10
    return {"first": median(seconds[:tenth]), "last": median(seconds[-tenth:])}
