"""runs - what the ranks write while something dies, and how it is judged.

The same call writes the same bytes, so that an epoch during which nothing died says what
must be there: a table of all ranks, and a compressed one; tensors, of which every fourth
batch's go through the client's memory; texts in folders. Where it is asked for every
fifth batch has a name that came before: its files are refused, which is said once.
"""

import multiprocessing
import os

import lighterd
import numpy as np
from lighterd.job import Job
from lighterd.launch import connect

N_SAMPLES = 3
BIG = (50, 200)  # float32: 120 kB a batch

RANK_PATIENCE_S = 60  # for the end of each


def writers(directory):
    return [
        lighterd.csv(directory / "table.csv", keys=["id", "x"]),
        lighterd.file(directory / "tensors", "t", "tensor", "id"),
        lighterd.file(directory / "texts", "text", "text", "id"),
        lighterd.csv(directory / "packed.csv.gz", keys=["text"]),
    ]


def batch(rank, i, refused):
    ids = [f"r{rank}/{i}_{k}" for k in range(N_SAMPLES)]
    if refused and i % 5 == 4:
        ids[1] = f"r{rank}/{i - 1}_1"
    shape = BIG if i % 4 == 0 else (3,)
    return {
        "id": ids,
        "x": np.arange(N_SAMPLES) * 0.1 + i,
        "t": np.full((N_SAMPLES, *shape), i, dtype=np.float32),
        "text": [f"{id} of {rank}" for id in ids],
    }


def n_refused(n_batches):
    return n_batches // 5


def write(job, rank, n_batches, before_batch=lambda i: None, refused=True):
    """Write batches and end the job. Returns how many were refused."""
    n_errors = 0

    def note(error):
        nonlocal n_errors
        assert "came before" in str(error), error
        n_errors += 1

    for i in range(n_batches):
        before_batch(i)
        try:
            job.write(batch(rank, i, refused))
        except ValueError as error:  # of an earlier batch; this one is handed over
            assert error.batch_idx < i
            note(error)
    while not job.paths:  # such an error comes instead of the end
        try:
            job.end()
        except ValueError as error:
            note(error)
    return n_errors


def open_job(connection, directory, rank, world_size, **more):
    name = directory.name
    return Job(
        connection,
        writers(directory),
        name=name,
        rank=rank,
        world_size=world_size,
        **more,
    )


def connect_at_last(socket):
    """The first connection is not kept up for anybody: a daemon that dies says so."""
    while True:
        try:
            return connect(socket)
        except lighterd.ConnectionError:
            continue


# ---- the judge ----


def shown(directory):
    """What bears a final name, and its bytes."""
    found = {}
    for parent, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".lighterd.")]
        for name in names:
            if ".tmp_" in name:
                continue
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = file.read()
    return found


def left_aside(directory):
    return [
        os.path.join(parent, name)
        for parent, folders, names in os.walk(directory)
        for name in folders + names
        if name.startswith(".lighterd.") or ".tmp_" in name
    ]


def assert_nothing_partial(directory, wanted):
    """At any moment: what bears a final name is whole."""
    for name, content in shown(directory).items():
        assert name in wanted, f"nobody wrote {name}"
        assert content == wanted[name], f"{name} is not whole"


def assert_all_there(directory, wanted):
    """At the end: nothing lost, doubled, partial or left over."""
    found = shown(directory)
    lost, more = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    assert not lost and not more, f"lost: {sorted(lost)}; more: {sorted(more)}"
    other = [name for name in wanted if found[name] != wanted[name]]
    assert not other, f"other bytes: {other}"
    assert not left_aside(directory)


# ---- ranks that are processes ----


class Ranks:
    """Forks of this process: there is nothing to import again. Each is given its rank."""

    def __init__(self, function, numbers, *args, **more):
        fork = multiprocessing.get_context("fork")
        self.processes = {
            rank: fork.Process(target=function, args=(rank, *args), kwargs=more)
            for rank in numbers
        }
        for process in self.processes.values():
            process.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def are_running(self):
        return any(process.is_alive() for process in self.processes.values())

    def kill(self):
        for process in self.processes.values():
            process.kill()
            process.join()

    def finish(self):
        """Wait for them; the exit status of each."""
        for process in self.processes.values():
            process.join(RANK_PATIENCE_S)
        ended = {rank: process.exitcode for rank, process in self.processes.items()}
        assert None not in ended.values(), f"some wait still: {ended}"
        return ended
