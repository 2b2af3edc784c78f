"""service - the daemon itself: how soon it answers, and what memory it takes."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any, Callable, Dict, Iterator, Sequence

import lighterd
import numpy as np
import torch

from bench import Bench
from daemon import Daemon, connect
from data import KEYS, row_batches
from measure import LIMIT, OURS, Experiment, Figure, Side, time_each

MIB = 1 << 20
BUDGET = 64 * MIB  # of the daemon whose memory is watched
ECHO = "another process that echoes a byte"


def experiments(bench: Bench) -> Iterator[Experiment]:
    yield _ping(bench)
    yield _memory(
        f"memory over {bench.size(10_000_000, 100_000):,} rows",
        lambda directory: lighterd.csv(os.path.join(directory, "p.csv"), KEYS),
        row_batches(4096, bench.size(2442, 25)),
    )
    yield _memory(
        f"memory over {bench.size(100_000, 2_000):,} files",
        lambda directory: lighterd.file(directory, "value", "tensor"),
        [{"value": torch.rand(250, 10)}] * bench.size(400, 8),
    )


def _ping(bench: Bench) -> Experiment:
    n = bench.size(3000, 300)

    def ours(_: str) -> Dict[str, float]:
        with closing(connect(bench.daemon.socket)) as connection:
            return _quantiles(lambda _: connection.call("ping", {}), n)

    def echo(_: str) -> Dict[str, float]:
        return _quantiles(lambda _: bench.neighbour.ask(), n)

    return Experiment(
        "the round trip of a ping",
        [Side(OURS, ours, OURS), Side(ECHO, echo, LIMIT)],
        [
            Figure("p50", "median", goals={OURS: 15e-6}),
            Figure("p99", "99 of 100 within", goals={OURS: 50e-6}),
        ],
    )


def _quantiles(call: Callable[[int], Any], n: int) -> Dict[str, float]:
    seconds = time_each(call, range(n))
    return {f"p{p}": float(np.percentile(seconds, p)) for p in (50, 99)}


def _memory(name: str, writer: Any, batches: Sequence[Any]) -> Experiment:
    """Of a daemon of its own, looked at ten times while nothing waits in it.

    What it merely maps is its clients' memory, and counts in the peak alone.
    """

    def ours(directory: str) -> Dict[str, float]:
        limits = ("daemon", "client", "frame")
        resident = []
        with Daemon(*(f"--max-{each}-bytes={BUDGET}" for each in limits)) as daemon:
            with closing(daemon.open([writer(directory)])) as rank:
                step = -(-len(batches) // 10)
                for start in range(0, len(batches), step):
                    rank.write_all(batches[start : start + step])
                    rank.flush()
                    resident.append(daemon.memory("VmRSS") - daemon.memory("RssShmem"))
                rank.end()
            return {
                "rest": max(resident),
                "growth": resident[-1] - resident[0],
                "peak": daemon.memory("VmHWM"),
            }

    return Experiment(
        name,
        [Side(OURS, ours, OURS)],
        [
            Figure("rest", "resident, nothing waiting, at most", "size"),
            Figure("growth", "from the first tenth to the last", "size", {OURS: MIB}),
            Figure(
                "peak",
                f"peak, with a budget of {BUDGET // MIB} MiB",
                "size",
                {OURS: 64 * MIB + BUDGET},
            ),
        ],
        n_rounds=1,
    )
