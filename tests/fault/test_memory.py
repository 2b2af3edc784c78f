"""Memory runs out in the daemon: an error, or a death that the next daemon mends.

The k-th allocation fails, from when the daemon listens: once, or with all that follow
for a while. Whatever happens, nothing is published that is not right, and
the next process goes on, with this daemon or the next.
"""

import os
import random
import struct
import subprocess
import threading

import daemons
import epochs
import pytest
import shims
from faults import LONG

SAMPLED = 12  # allocations that the short form lets fail
FOREVER = 1 << 40
A_WHILE_S = 0.3  # then there is memory again: who waits for it goes on


class Memory:
    """What the daemon's next allocations find: see no_memory.c."""

    def __init__(self, directory):
        if shims.is_sanitized():
            pytest.skip("the sanitizer has an allocator of its own")
        self.path = directory / "plan"
        self.path.write_bytes(bytes(24))
        self.env = shims.build("no_memory", directory)
        self.env["NO_MEMORY"] = str(self.path)

    def plan(self, countdown, more=0):
        with open(self.path, "r+b") as plan:
            os.pwrite(plan.fileno(), struct.pack("=qqq", 0, more, 0), 0)
            os.pwrite(plan.fileno(), struct.pack("=q", countdown), 0)

    def relieve(self):
        with open(self.path, "r+b") as plan:
            os.pwrite(plan.fileno(), bytes(16), 0)

    def stop(self):
        """Memory is back. How many allocations failed."""
        self.relieve()
        with open(self.path, "rb") as plan:
            return struct.unpack("=q", os.pread(plan.fileno(), 8, 16))[0]


class Trial:
    def __init__(self, directory, socket_dir):
        self.memory = Memory(directory)
        self.outputs = directory / "out"
        self.outputs.mkdir()
        self.socket = os.path.join(socket_dir, "s")
        self.n_deaths = self.n_errors = 0
        self.epoch = epochs.Epoch(self.outputs, n=3, world_size=2)
        self.boot()
        self.run("v")

    def boot(self):
        for name in os.listdir(os.path.dirname(self.socket)):
            os.unlink(os.path.join(os.path.dirname(self.socket), name))
        self.daemon = daemons.Daemon(
            self.socket, "--threads", "1", "--full-wait", "0", env=self.memory.env
        )

    def run(self, version, **more):
        self.epoch.run(self.socket, version=version, every=2, **more)
        self.check(version)

    def check(self, version):
        self.now = epochs.tree(self.outputs)
        assert self.now["p.csv"] == self.epoch.expected_csv(version)
        assert len(self.now) == 1 + 2 * 3 * epochs.ROWS

    def fault(self, countdown, more):
        """Whether an allocation failed in this epoch."""
        version = "v" * (1 + countdown % 2)
        before, problem = self.now, None
        self.memory.plan(countdown, more)
        relief = threading.Timer(A_WHILE_S, self.memory.relieve)
        relief.start()
        try:
            self.epoch.run(self.socket, version=version, every=2)
        except Exception as raised:
            problem = raised
        relief.cancel()
        relief.join()
        n_failed = self.memory.stop()
        if problem is None:
            self.check(version)
            return n_failed > 0
        assert n_failed, problem
        self.mend(before, version, problem)
        return True

    def is_alive(self, problem):
        """Whose connection broke may know of a death before it is over."""
        try:
            self.daemon.wait(0.5 if isinstance(problem, ConnectionError) else 0)
        except subprocess.TimeoutExpired:
            return True
        return False

    def mend(self, before, version, problem):
        if self.is_alive(problem):
            self.n_errors += 1
        else:
            self.n_deaths += 1
            status = self.daemon.process.returncode
            # Not by a bad pointer: that would be luck.
            assert status in (1, -6), (status, problem, self.daemon.log())
            self.boot()
        daemons.until(
            lambda: all(
                job["state"] not in ("preparing", "open", "publishing")
                for job in self.daemon.ask("jobs")["jobs"]
            ),
            "all jobs are over",
        )
        got = epochs.tree(self.outputs)
        if got != before:  # it was about to be published, or is
            what = (problem, self.daemon.log())
            assert got["p.csv"] == self.epoch.expected_csv(version), what
        self.run(version, resume=True)


@pytest.mark.parametrize("more", [0, FOREVER], ids=["once", "for a while"])
def test_an_allocation_that_fails_is_told_or_mended(more, tmp_path, socket_dir):
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(1 << 32))
    generator = random.Random(seed)
    trial = Trial(tmp_path, socket_dir)
    sample = sorted(generator.sample(range(1, 200), SAMPLED))
    chosen = range(1, 10_000) if LONG else sample
    n_tried = n_in_vain = 0
    try:
        for countdown in chosen:
            print("FAIL", seed, countdown, flush=True)
            has_failed = trial.fault(countdown, more)
            n_tried += has_failed
            n_in_vain += not has_failed
            if n_in_vain > 10:  # an epoch has no more of them
                break
    finally:
        trial.daemon.kill()
    print(f"{n_tried} failures: {trial.n_errors} errors, {trial.n_deaths} deaths")
    assert n_tried
