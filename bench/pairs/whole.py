"""whole - a network that predicts images on the processor, with and without outputs."""

from __future__ import annotations

import os
from contextlib import closing
from time import perf_counter
from typing import Any, Callable, Dict, Iterator

import lighterd
import torch

import peer
from bench import Bench
from data import Network, images
from measure import LIMIT, OURS, Experiment, Figure, Side

BATCH = 16
KEYS = ("id", "pred")
IN_PROCESS, NONE = "in the process: csv.writer, Pillow", "no output at all"


def experiments(bench: Bench) -> Iterator[Experiment]:
    yield _experiment(bench)


def _experiment(bench: Bench) -> Experiment:
    network, inputs = Network().eval(), images("natural", BATCH)
    n_batches = bench.size(8, 1)

    def predict(write: Callable[[Dict[str, Any]], Any]) -> None:
        with torch.inference_mode():
            for i in range(n_batches):
                names = [f"{i:03d}-{k:03d}" for k in range(BATCH)]
                write({"id": names, **network(inputs)})

    def ours(directory: str) -> Dict[str, float]:
        start = perf_counter()
        writers = [
            lighterd.csv(os.path.join(directory, "p.csv"), KEYS),
            lighterd.file(os.path.join(directory, "images"), "image", "image_2d", "id"),
        ]
        with closing(bench.daemon.open(writers)) as rank:
            predict(rank.write)
            end = perf_counter()
            rank.end()
        return {"whole": perf_counter() - start, "end": perf_counter() - end}

    def in_process(directory: str) -> Dict[str, float]:
        start = perf_counter()
        table = peer.CsvHook(os.path.join(directory, "p.csv"), KEYS)
        files = peer.Files(directory, peer.save_image)

        def write(outputs: Dict[str, Any]) -> None:
            table.write({key: outputs[key] for key in KEYS})
            files.write(outputs["image"])

        predict(write)
        table.close()
        return {"whole": perf_counter() - start}

    def nothing(_: str) -> Dict[str, float]:
        start = perf_counter()
        predict(lambda outputs: None)
        return {"whole": perf_counter() - start}

    return Experiment(
        f"a CNN over {n_batches * BATCH} images, predictions to PNG and CSV",
        [
            Side(OURS, ours, OURS),
            Side(IN_PROCESS, in_process),
            Side(NONE, nothing, LIMIT),
        ],
        [
            Figure("whole", "the whole epoch, published", goals={NONE: 1.05}),
            Figure("end", "of which after the last batch"),
        ],
    )
