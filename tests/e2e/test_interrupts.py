"""A signal's handler raises anywhere in a call, and the user goes on.

The short form interrupts a hundred calls of each kind. The long form, 5,000 of each:

    INTERRUPTS=5000 pytest tests/e2e/test_interrupts.py

The seed is printed; INTERRUPTS_SEED=n runs it once more.
"""

import ctypes
import os
import random
import shutil
import signal
import struct
import time

import daemons
import numpy as np
import pytest

import lighterd
from lighterd import memory
from lighterd.job import Job
from lighterd.launch import connect

pytestmark = pytest.mark.usefixtures("either_client")

N_INTERRUPTS = int(os.environ.get("INTERRUPTS", "100"))
N_IN_AN_EPOCH = 25
LARGE = 200_000  # bytes: through memory


@pytest.fixture(autouse=True)
def nothing_is_logged(monkeypatch):
    """pytest's own handlers have locks, which an exception behind Handler.acquire()
    leaves held for good: the threads of later tests would wait for ever.
    """
    monkeypatch.setattr(lighterd.job.logger, "disabled", True)


class Interrupt(Exception):
    """What the handler raises. Not a KeyboardInterrupt: pytest takes those."""


@pytest.fixture
def chance():
    seed = int(os.environ.get("INTERRUPTS_SEED", random.randrange(1 << 32)))
    print(f"INTERRUPTS_SEED={seed}")
    return random.Random(seed)


class Timer:
    """One shot, in nanoseconds. SIGALRM's belongs to the test's end of patience."""

    _libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, signal_number):
        wanted = struct.pack("Qii48x", 0, signal_number, 0)  # SIGEV_SIGNAL
        self._timer = ctypes.c_void_p()
        reference = ctypes.byref(self._timer)
        r = self._libc.timer_create(time.CLOCK_MONOTONIC, wanted, reference)
        assert r == 0, os.strerror(ctypes.get_errno())

    def set(self, seconds):
        """0 stops it."""
        value = struct.pack("4q", 0, 0, 0, int(seconds * 1e9))
        self._libc.timer_settime(self._timer, 0, value, None)

    def close(self):
        self._libc.timer_delete(self._timer)


class Interrupter:
    """Calls a function, and interrupts it after a random part of its usual time."""

    def __init__(self, chance):
        self._chance = chance
        self._usual = {}
        self.n_interrupts = 0
        self.is_armed = False

    def _raise(self, *_):
        if self.is_armed:
            self.is_armed = False
            self.n_interrupts += 1
            raise Interrupt

    def __enter__(self):
        self._before = signal.signal(signal.SIGUSR1, self._raise)
        self._timer = Timer(signal.SIGUSR1)
        return self

    def __exit__(self, *_):
        self._timer.close()
        signal.signal(signal.SIGUSR1, self._before)

    def call(self, kind, function, *args):
        """None where it was interrupted, else what it gave, or True."""
        usual = self._usual.get(kind, 0.0003)
        begun = time.perf_counter()
        try:
            self.is_armed = True
            self._timer.set(1e-6 + self._chance.random() * 1.2 * usual)
            found = function(*args)
            self.is_armed = False
        except Interrupt as interrupt:
            if hasattr(interrupt.__context__, "batch_idx"):  # it is told with it
                raise interrupt.__context__ from None
            if kind == "life":  # it begins anew each time: it must get further
                self._usual[kind] = 1.05 * usual
            return None
        took = time.perf_counter() - begun
        self._usual[kind] = 0.9 * usual + 0.1 * min(took, 3 * usual)  # but for pauses
        return found if found is not None else True


def outputs(number, rng):
    width = LARGE if rng.random() < 0.1 else 3
    ids = [f"{number}-{k}" for k in range(rng.randint(1, 40))]
    return {"id": ids, "t": np.full((len(ids), width), number % 251, np.uint8)}


def write_epoch(job, interrupter, rng, kind):
    """Batches that were handed over, as the client says."""
    written = []
    for number in range(N_IN_AN_EPOCH):
        batch = outputs(number, rng)
        before = job.progress().handed_over
        if kind == "write":
            interrupter.call(kind, job.write, batch)
        else:
            job.write(batch)
        job.flush() if kind == "write" and rng.random() < 0.02 else None
        if kind == "flush":
            interrupter.call(kind, job.flush)
        handed_over = job.progress().handed_over
        assert handed_over - before in (0, 1)
        if handed_over > before:
            written.append(batch)
    return written


def end(job, interrupter, kind):
    if kind != "end":
        return job.end()
    while True:
        paths = interrupter.call(kind, job.end)
        if paths:
            return paths


@pytest.mark.parametrize("kind", ["write", "flush", "end"])
def test_after_an_exception_at_any_line_all_is_right(daemon, tmp_path, chance, kind):
    """No batch is lost, doubled or torn, and no call hangs."""
    writers = [
        lighterd.csv(tmp_path / "p.csv", ["id"]),
        lighterd.file(tmp_path / "t", "t", "tensor", "id"),
    ]
    connection = connect(daemon.socket)
    with Interrupter(chance) as interrupter:
        while interrupter.n_interrupts < N_INTERRUPTS:
            job = Job(connection, writers, name="interrupted")
            written = write_epoch(job, interrupter, chance, kind)
            assert end(job, interrupter, kind) == job.paths
            rows = (tmp_path / "p.csv").read_text().split()
            assert rows == ["id"] + [id for each in written for id in each["id"]]
            names = {f"{id}.pt" for id in rows[1:]}
            assert names == set(os.listdir(tmp_path / "t"))
            shutil.rmtree(tmp_path / "t")
    assert connection.n_lives == 0
    connection.close()


def test_an_exception_while_memory_is_shared_is_no_end(daemon, tmp_path, chance):
    """Its descriptor is not closed while it is still to be sent."""
    writer = lighterd.file(tmp_path / "t", "t", "tensor", "id")
    batches = [{"id": [str(i)], "t": [np.full(LARGE, i, np.uint8)]} for i in range(2)]
    with Interrupter(chance) as interrupter:
        while interrupter.n_interrupts < N_INTERRUPTS:
            connection = connect(daemon.socket)
            job = Job(connection, [writer], name="shared")
            interrupter.call("share", job.write, batches[0])
            n_before = job.progress().handed_over
            job.write(batches[1])
            job.end()
            assert len(os.listdir(tmp_path / "t")) == n_before + 1
            assert connection._memory is not None
            connection.close()
            memory._forget()  # what is kept needs no sharing's time
            shutil.rmtree(tmp_path / "t")


def test_what_was_refused_is_told_whatever_is_interrupted(daemon, tmp_path, chance):
    connection = connect(daemon.socket)
    writer = lighterd.file(tmp_path / "t", "t", "tensor")
    n_told = n_refused = 0
    with Interrupter(chance) as interrupter:
        while interrupter.n_interrupts < N_INTERRUPTS:
            job = Job(connection, [writer], name="refused")
            for number in range(N_IN_AN_EPOCH):
                value = ["no tensor"] if number % 5 == 0 else [np.zeros(2)]
                before = job.progress().handed_over
                try:
                    interrupter.call("write", job.write, {"t": value})
                except TypeError:
                    interrupter.is_armed = False
                    n_told += 1
                n_refused += number % 5 == 0 and job.progress().handed_over > before
            while not job.paths:
                try:
                    interrupter.call("end", job.end)
                except TypeError:
                    interrupter.is_armed = False
                    n_told += 1
    assert n_told == n_refused > 0
    connection.close()


def test_an_exception_while_a_daemon_is_looked_for_is_no_end(
    start_daemon, tmp_path, chance, monkeypatch
):
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "60")
    first = start_daemon()
    connection = connect(first.socket)
    job = Job(connection, [lighterd.csv(tmp_path / "p.csv", ["x"])], name="p")
    n_lives = 3 if N_INTERRUPTS <= 100 else 30
    daemon = first
    with Interrupter(chance) as interrupter:
        for life in range(n_lives):
            for number in range(20):
                job.write({"x": [20 * life + number]})
            daemon.kill()
            daemon = daemons.Daemon(first.socket, alone=False)
            while interrupter.call("life", job.flush) is None:
                pass
    try:
        job.end()
        rows = (tmp_path / "p.csv").read_text().split()
        assert rows == ["x"] + [str(i) for i in range(20 * n_lives)]
        assert connection.n_lives >= n_lives
        connection.close()
    finally:
        daemons.all_ended([daemon])
