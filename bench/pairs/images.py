"""images - batches of pictures to PNG: photographs, noise and masks are different."""

from __future__ import annotations

import os
from time import perf_counter, process_time
from typing import Dict, Iterator, Mapping

import lighterd
import numpy as np
from PIL import Image

import peer
from bench import Bench
from data import images
from measure import OURS, Experiment, Figure, Side

PILLOW = "Pillow, its default"
GOALS = {"natural": 10, "noise": 4, "mask": 4}


def experiments(bench: Bench) -> Iterator[Experiment]:
    for kind in GOALS:
        yield _experiment(bench, kind)


def _experiment(bench: Bench, kind: str) -> Experiment:
    values = images(kind, bench.size(32, 2))

    def ours(directory: str) -> Dict[str, float]:
        writer = lighterd.file(directory, "image", "image_2d")
        epoch = bench.daemon.epoch([writer], [{"image": values}])
        return {
            "blocks": epoch["blocks"],
            "cpu": epoch["cpu"] / len(values),
            "whole": epoch["whole"] / len(values),
            "size": _mean_size(directory),
        }

    def pillow(directory: str) -> Dict[str, float]:
        start, cpu_s = perf_counter(), process_time()
        peer.Files(directory, peer.save_image).write(values)
        seconds = perf_counter() - start
        return {
            "blocks": seconds,
            "cpu": (process_time() - cpu_s) / len(values),
            "whole": seconds / len(values),
            "size": _mean_size(directory),
        }

    shape = "x".join(map(str, values.shape))
    blocks = Figure("blocks", "blocks the process, the whole batch")
    return Experiment(
        f"{kind} images, {shape}, to PNG",
        [Side(OURS, ours, OURS), Side(PILLOW, pillow)],
        [
            blocks._replace(goals={PILLOW: 100}) if kind == "natural" else blocks,
            Figure("cpu", "processor time an image", goals={PILLOW: GOALS[kind]}),
            Figure("whole", "an image, the whole epoch, all cores"),
            Figure("size", "bytes of a file", "size", {PILLOW: 1.06}),
        ],
        check=_same_pixels,
    )


def _mean_size(directory: str) -> float:
    sizes = [entry.stat().st_size for entry in os.scandir(directory)]
    return sum(sizes) / len(sizes)


def _same_pixels(made: Mapping[str, str]) -> None:
    names = os.listdir(made[OURS])
    if not all(
        np.array_equal(*(Image.open(os.path.join(made[s], name)) for s in made))
        for name in names
    ):
        raise SystemExit("lighterd and Pillow did not write the same pixels")
