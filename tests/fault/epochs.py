"""epochs - a small epoch of tables and files, and what it must leave.

Its ranks are threads, each with a connection of its own. What they were promised is
remembered (`Promises`), for whoever takes the daemon away meanwhile.
"""

import os
import threading

import judges
import lighterd
import numpy as np

KEYS = ["id", "x"]
ROWS = 4


def batch(rank, index, version=""):
    """Some are large enough to go through the client's memory."""
    size = (ROWS, 40, 100) if index % 3 == 0 else (ROWS, 3)
    ids = [f"r{rank}_{index}_{row}" for row in range(ROWS)]
    return {
        "id": ids,
        "x": [f"{version}{index + row / 8}" for row in range(ROWS)],
        "t": np.full(size, index + len(version), dtype=np.float32),
    }


class Epoch:
    """`n` batches of each of `world_size` ranks, to `outputs`."""

    def __init__(self, outputs, n=30, world_size=2, job="j", encoder="tensor"):
        self.outputs, self.n, self.world_size, self.job = outputs, n, world_size, job
        self.encoder = encoder

    def writers(self):
        key = "t" if self.encoder == "tensor" else "x"
        return (
            lighterd.csv(str(self.outputs / "p.csv"), keys=KEYS),
            lighterd.file(str(self.outputs / "f"), key, self.encoder, "id"),
        )

    def expected_csv(self, version=""):
        order = [(r, i) for r in range(self.world_size) for i in range(self.n)]
        return judges.table(KEYS, [batch(r, i, version) for r, i in order])

    def run_rank(self, socket, rank, promises, version="", resume=False, every=4):
        with lighterd.run(
            *self.writers(),
            rank=rank,
            world_size=self.world_size,
            job=self.job,
            socket=socket,
            resume=resume,
        ) as out:
            promises.resumed_at[rank] = out.committed_batches
            promises.all_open.wait()
            for index in range(self.n):
                out.write(batch(rank, index, version))
                if every and index % every == every - 1 and not resume:
                    out.flush()
                    promises.flushed[rank] = index + 1
        promises.ended[rank] = True

    def run(self, socket, **more):
        """All ranks, to their ends. The first error of one is raised."""
        promises = self.start(socket, **more)
        promises.join()
        if promises.problems:
            raise promises.problems[0]
        return promises

    def start(self, socket, **more):
        promises = Promises(self.world_size)

        def run(rank):
            try:
                self.run_rank(socket, rank, promises=promises, **more)
            except threading.BrokenBarrierError:
                pass  # another rank could not open
            except Exception as problem:
                promises.problems.append(problem)
                promises.all_open.abort()

        promises.threads = [
            threading.Thread(target=run, args=(rank,), daemon=True)
            for rank in range(self.world_size)
        ]
        for thread in promises.threads:
            thread.start()
        return promises


class Promises:
    """What the daemon has answered to each rank."""

    def __init__(self, world_size):
        self.flushed = [0] * world_size  # batches
        self.ended = [False] * world_size
        self.resumed_at = [0] * world_size
        self.problems, self.threads = [], []
        self.all_open = threading.Barrier(world_size)  # or else none goes on

    def join(self):
        for thread in self.threads:
            thread.join()


def tree(directory):
    """Name to bytes of what is under final names: all but what is staged."""
    return {
        name: data
        for name, data in judges.files(directory).items()
        if "tmp_rank" not in name and ".lighterd." not in name
    }


def leftovers(directory):
    return [
        name
        for name in map(str, directory.rglob("*"))
        if "tmp_rank" in os.path.basename(name) or ".lighterd." in name
    ]
