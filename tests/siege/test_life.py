"""A day's jobs in a minute: whatever they came to, nothing of them stays.

Tables and files, one rank and several, batches that fail, jobs that are aborted, ranks
that vanish, connections that come and go.
"""

import contextlib
import random
import shutil
import threading

import daemons
import lighterd
import numpy as np
import pytest
import ranks
import rawclient
import sieges
from lighterd.job import Job
from lighterd.launch import connect
from sieges import LONG

N_WARM = 120  # the daemon remembers the last hundred
N_JOBS = 5000 if LONG else 100
N_BATCHES = 12
MORE_BYTES = 2 << 20


class Failed(Exception):
    pass


def writers(directory):
    return [
        lighterd.csv(directory / "t.csv", ["id", "x"]),
        lighterd.file(directory / "t", "t", "tensor", "id"),
        lighterd.file(directory / "i", "i", "image_2d", "id"),
        lighterd.file(directory / "n", "n", "text", "id"),
    ]


def batch(rank, i):
    side = 400 if i % 5 == 0 else 8
    return {
        "id": [f"{rank}_{i}_{k}" for k in range(2)],
        "x": np.arange(2) / 7,
        "t": np.full((2, 3, side, side // 4), i, dtype=np.float32),
        "i": np.full((2, 3, 8, 8), 0.5, dtype=np.float32),
        "n": [str(i), "two"],
    }


def write(job, rank, fails):
    for i in range(N_BATCHES):
        job.write(batch(rank, i))
    if fails:
        job.hand_over({**batch(rank, N_BATCHES), "x": [1, 2, 3]}, N_BATCHES, 0)
        with pytest.raises(ValueError, match="inconsistent lengths"):
            job.flush()


def run_rank(daemon, directory, rank, world_size, end, all_opened):
    with contextlib.closing(connect(daemon.socket)) as connection:
        job = Job(
            connection,
            writers(directory),
            name="life",
            rank=rank,
            world_size=world_size,
        )
        all_opened.wait()
        write(job, rank, end == "fail")
        if end == "abort":
            job.abort("the model has failed")
        elif end != "vanish":
            job.end()


def is_discarded(daemon):
    """Not before all of its ranks have left."""
    try:
        daemon.ask("discard", job="life")
        return True
    except rawclient.Refused as refused:
        assert refused.code == "bad_state"
        return False


def run_job(daemon, directory, chance):
    world_size = chance.choice([1, 1, 2, 3])
    end = chance.choice(["end", "end", "end", "fail", "abort", "vanish"])
    all_opened = threading.Barrier(world_size)
    shutil.rmtree(directory, ignore_errors=True)
    ranks.in_threads(
        lambda rank: run_rank(daemon, directory, rank, world_size, end, all_opened),
        range(world_size),
    )
    if end in ("abort", "vanish"):
        daemons.until(lambda: is_discarded(daemon), "it is given up")


def census(daemon):
    daemons.until(daemon.is_alone, "all have left")
    return (
        daemon.anonymous_bytes(),
        len(daemon.descriptors()),
        sieges.n_threads(daemon.pid),
    )


def test_memory_descriptors_and_threads_return_to_the_start(start_daemon, tmp_path):
    daemon = start_daemon("--log-level", "error")
    chance = random.Random(1)
    for _ in range(N_WARM):
        run_job(daemon, tmp_path / "o", chance)
    first = census(daemon)
    for _ in range(N_JOBS):
        run_job(daemon, tmp_path / "o", chance)
    last = census(daemon)

    sieges.tell(
        f"{N_JOBS} jobs: {first[0] / 1e6:.1f} MB, {first[1]} descriptors, {first[2]} "
        f"threads before; {last[0] / 1e6:.1f} MB, {last[1]}, {last[2]} after"
    )
    assert last[1:] == first[1:]
    assert last[0] <= first[0] + MORE_BYTES

