"""files - tensors to .pt files: few that are big, and many that are small."""

from __future__ import annotations

import os
from time import perf_counter
from typing import Dict, Iterator, List, Mapping

import lighterd
import torch

import peer
from bench import Bench
from limits import Copy, create_files
from measure import LIMIT, OURS, Experiment, Figure, Side, calls, time_each

SAVE, SYNCED = "torch.save, cloned rows", "the same, then sync"
COPY = "memcpy"
CREATE, WRITE = "creating empty files", "creating and writing the files"
BLOCKS = Figure("typical", "blocks the process, a typical batch")


def experiments(bench: Bench) -> Iterator[Experiment]:
    yield _experiment(
        bench,
        "32 x [3,224,224] float32 to .pt",
        [torch.rand(32, 3, 224, 224)] * bench.size(3, 1),
        WRITE,
        [
            BLOCKS._replace(goals={SAVE: 9, COPY: 1.3}),
            Figure("written", "a file, until all are written"),
            Figure("whole", "a file, the whole epoch"),
        ],
    )
    yield _experiment(
        bench,
        "256 x [10] float32 to .pt",
        [torch.rand(256, 10)] * bench.size(8, 1),
        CREATE,
        [
            BLOCKS._replace(goals={SAVE: 100}),
            Figure("written", "files a second, until all are written", "rate"),
            Figure(
                "whole",
                "files a second, the whole epoch",
                "rate",
                {SAVE: 5, CREATE: 1.7},
            ),
        ],
    )


def _experiment(
    bench: Bench,
    name: str,
    batches: List[torch.Tensor],
    limit: str,
    figures: List[Figure],
) -> Experiment:
    n_files = sum(map(len, batches))
    copy = Copy(batches[0].nbytes)
    content = batches[0][0].numpy() if limit == WRITE else None

    def ours(directory: str) -> Dict[str, float]:
        writer = lighterd.file(directory, "value", "tensor")
        epoch = bench.daemon.epoch([writer], [{"value": b} for b in batches])
        epoch["written"] /= n_files
        epoch["whole"] /= n_files
        return epoch

    def save(directory: str) -> Dict[str, float]:
        seconds = time_each(peer.Files(directory, peer.save_tensor).write, batches)
        a_file = sum(seconds) / n_files
        return {**calls(seconds), "written": a_file, "whole": a_file}

    def save_and_sync(directory: str) -> Dict[str, float]:
        start = perf_counter()
        save(directory)
        os.sync()
        return {"whole": (perf_counter() - start) / n_files}

    def memcpy(_: str) -> Dict[str, float]:
        return calls(time_each(lambda _: copy(), batches))

    def create(directory: str) -> Dict[str, float]:
        a_file = create_files(directory, n_files, content) / n_files
        return {"written": a_file, "whole": a_file}

    return Experiment(
        name,
        [
            Side(OURS, ours, OURS),
            Side(SAVE, save),
            Side(SYNCED, save_and_sync),
            Side(COPY, memcpy, LIMIT),
            Side(limit, create, LIMIT),
        ],
        figures,
        check=_same_tensors,
    )


def _same_tensors(made: Mapping[str, str]) -> None:
    ours, saved = (_load_all(made[side]) for side in (OURS, SAVE))
    if ours.keys() != saved.keys() or not all(
        torch.equal(ours[name], saved[name]) for name in ours
    ):
        raise SystemExit("lighterd and torch.save did not save the same tensors")


def _load_all(directory: str) -> Dict[str, torch.Tensor]:
    return {
        name: torch.load(os.path.join(directory, name), weights_only=True)
        for name in os.listdir(directory)
    }
