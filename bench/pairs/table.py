"""table - whole epochs of tables: rows a second, and the end."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence

import lighterd
import torch

import peer
from bench import Bench
from data import KEYS, row_batches
from limits import copy_files, rename_file
from measure import LIMIT, OURS, Experiment, Figure, Side

BATCH = 4096
LOOP, COLUMNS = "csv.writer loop", "csv.writer, by columns"
BY_CSV, BY_PANDAS = "read and written by csv", "read and written by pandas"


def experiments(bench: Bench) -> Iterator[Experiment]:
    yield _rows(bench)
    yield _floats(bench)
    for n_ranks in (1, 4):
        yield _end(bench, n_ranks)


def _rows(bench: Bench) -> Experiment:
    n_batches = bench.size(245, 5)  # a million rows
    batches = row_batches(BATCH, n_batches)
    few = batches[: bench.size(25, 2)]

    def ours(directory: str) -> Dict[str, float]:
        writer = lighterd.csv(os.path.join(directory, "p.csv"), KEYS)
        epoch = bench.daemon.epoch([writer], batches)
        n_rows = BATCH * len(batches)
        return {"row": epoch["whole"] / n_rows, "cpu": epoch["cpu"] / n_rows}

    def loop(make: Any) -> Callable[[str], Dict[str, float]]:
        def run(directory: str) -> Dict[str, float]:
            start, cpu_s = perf_counter(), process_time()
            out = make(os.path.join(directory, "p.csv"), KEYS)
            for batch in few:
                out.write(batch)
            out.close()
            n_rows = BATCH * len(few)
            return {
                "row": (perf_counter() - start) / n_rows,
                "cpu": (process_time() - cpu_s) / n_rows,
            }

        return run

    return Experiment(
        f"a table of {BATCH * n_batches:,} rows in batches of {BATCH}",
        [
            Side(OURS, ours, OURS),
            Side(LOOP, loop(peer.CsvLoop)),
            Side(COLUMNS, loop(peer.CsvColumns)),
        ],
        [
            Figure("cpu", "rows a second of one core", "rate", {OURS: 1e-7, LOOP: 60}),
            Figure("row", "rows a second, the whole epoch", "rate"),
        ],
        check=_same_starts,
    )


def _same_starts(made: Mapping[str, str]) -> None:
    ours, loop = (Path(made[side], "p.csv").read_bytes() for side in (OURS, LOOP))
    if not ours.startswith(loop):
        raise SystemExit("lighterd and csv.writer did not write the same rows")


def _floats(bench: Bench) -> Experiment:
    """Eight columns of nothing but float32."""
    keys = [f"p{i}" for i in range(8)]
    batch = dict(zip(keys, torch.rand(len(keys), BATCH)))
    batches = [batch] * bench.size(50, 2)

    def ours(directory: str) -> Dict[str, float]:
        writer = lighterd.csv(os.path.join(directory, "p.csv"), keys)
        epoch = bench.daemon.epoch([writer], batches)
        return {"cpu": epoch["cpu"] / (len(keys) * BATCH * len(batches))}

    return Experiment(
        "a table of eight float32 columns",
        [Side(OURS, ours, OURS)],
        [Figure("cpu", "a float, of the daemon's processor time", goals={OURS: 30e-9})],
    )


def _end(bench: Bench, n_ranks: int) -> Experiment:
    batches = row_batches(BATCH, bench.size(244, 4) // n_ranks)
    n_rows = BATCH * len(batches) * n_ranks
    shards = _shards(bench, batches, n_ranks)

    def ours(directory: str) -> Dict[str, float]:
        writer = lighterd.csv(os.path.join(directory, "p.csv"), KEYS)
        with ExitStack() as stack:
            ranks = [
                stack.enter_context(closing(bench.daemon.open([writer], i, n_ranks)))
                for i in range(n_ranks)
            ]
            for rank in ranks:
                rank.write_all(batches)
            for rank in ranks:
                rank.flush()
            for rank in ranks[1:]:
                rank.end(wait=False)
            start = perf_counter()
            ranks[0].end()
            return {"end": perf_counter() - start}

    def join(how: Callable[[Sequence[str], str], Any]) -> Callable[[str], Any]:
        def run(directory: str) -> Dict[str, float]:
            start = perf_counter()
            how(shards, os.path.join(directory, "p.csv"))
            return {"end": perf_counter() - start}

        return run

    def limit(sync: bool, directory: str) -> Dict[str, float]:
        target = os.path.join(directory, "p.csv")
        if n_ranks == 1:
            return {"end": rename_file(shards[0], target, sync)}
        return {"end": copy_files(shards, target, sync)}

    act = "a rename" if n_ranks == 1 else "copying the bytes"
    peers = [Side(BY_CSV, join(peer.join_by_csv))]
    if find_spec("pandas"):
        peers.append(Side(BY_PANDAS, join(peer.join_by_pandas)))
    times = 1000 if n_ranks == 1 else 100
    return Experiment(
        f"the end of an epoch of {n_rows:,} rows, "
        + ("1 rank" if n_ranks == 1 else f"{n_ranks} ranks"),
        [
            Side(OURS, ours, OURS),
            *peers,
            Side(act, partial(limit, False), LIMIT),
            Side(f"{act}, with fsync", partial(limit, True), LIMIT),
        ],
        [Figure("end", "publishing", goals={BY_CSV: times, BY_PANDAS: times, act: 2})],
        check=_same_tables,
    )


def _shards(bench: Bench, batches: List[Any], n_ranks: int) -> List[str]:
    """What the ranks of the peer have written when the epoch ends."""
    shards = []
    for rank in range(n_ranks):
        shards.append(os.path.join(bench.directory, f"{n_ranks}.tmp_rank{rank}.csv"))
        out = peer.CsvColumns(shards[-1], KEYS)
        for batch in batches:
            out.write(batch)
        out.close()
    return shards


def _same_tables(made: Mapping[str, str]) -> None:
    ours, joined = (Path(made[side], "p.csv").read_bytes() for side in (OURS, BY_CSV))
    if ours != joined:
        raise SystemExit("lighterd and csv did not join the same table")
