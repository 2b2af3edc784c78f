"""System calls fail: nothing is published that is not right, and everybody is told.

strace lets the n-th call of a kind fail, from when the daemon listens. After that
either `end` said that it is published, and the bytes are right, or there was an error
and the output before is untouched. Nothing is restarted: the next process goes on, or
begins anew, in the same daemon.
"""

import contextlib
import errno
import os
import random
import shutil
import subprocess

import daemons
import epochs
import pytest
import rawclient
import shims
from faults import LONG

# Calls on outputs, staged files, shards, journals and directories. A shard is cut only
# where something has failed before: test_table.c takes that away as well.
CALLS = {
    "writev": ["ENOSPC", "EIO", "EDQUOT", "EINTR"],
    "pwritev": ["ENOSPC", "EIO", "EDQUOT", "EINTR"],
    "openat": ["ENOSPC", "EIO", "EDQUOT", "EMFILE", "EINTR"],
    "fsync": ["ENOSPC", "EIO", "EDQUOT", "EINTR"],
    "fdatasync": ["ENOSPC", "EIO", "EINTR"],
    "syncfs": ["ENOSPC", "EIO", "EINTR"],
    "renameat": ["ENOSPC", "EIO", "EDQUOT", "EINTR"],
    "unlinkat": ["EIO", "EINTR"],
    "mkdirat": ["ENOSPC", "EIO"],
    "copy_file_range": ["ENOSPC", "EIO", "EINTR", "EXDEV"],
    "getdents64": ["EIO"],
    "newfstatat": ["EIO"],
    "statx": ["EIO"],
    "flock": ["EIO", "EINTR"],
    "fcntl": ["EMFILE"],
}


@pytest.fixture
def traced_daemon(start_daemon):
    if not shutil.which("strace"):
        pytest.skip("there is no strace")
    # One worker, so that its n-th call is the same in each run.
    return start_daemon("--threads", "1", "--full-wait", "0")


def tracer_of(task):
    status = open(f"{task}/status").read()
    return int(status.split("TracerPid:")[1].split()[0])


@contextlib.contextmanager
def failing(daemon, call, error, index, log, times=1):
    """The index-th `call` of each thread fails; `log` tells of it afterwards."""
    when = f"{index}+" if times is None else str(index)
    what = f"{call}:error={error}:when={when}"
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}"]
    command += ["-e", f"inject={what}", "-p", str(daemon.pid)]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE)
    tasks = f"/proc/{daemon.pid}/task"

    def is_attached():
        if strace.poll() is not None:
            pytest.skip(f"strace: {strace.stderr.read().decode()}")
        return all(tracer_of(f"{tasks}/{task}") for task in os.listdir(tasks))

    try:
        daemons.until(is_attached, "strace has attached")
        yield
    finally:
        strace.terminate()
        strace.communicate()


def was_injected(log):
    return "(INJECTED)" in log.read_text()


def check_words(problem, error):
    """Who reads it knows what happened."""
    assert str(problem).strip(), "an error without a word"
    if isinstance(problem, OSError) and problem.errno:
        assert os.strerror(problem.errno) in str(problem)
        if "given up" not in str(problem):  # because of that error, earlier
            assert errno.errorcode[problem.errno] == error


class Trial:
    """Epochs of one daemon, in one directory, with one fault in each second one."""

    def __init__(self, daemon, directory):
        self.daemon, self.directory = daemon, directory
        self.epoch = epochs.Epoch(directory, n=4, world_size=2)
        self.n, self.every = 0, 2
        self.run("v0")
        self.now = epochs.tree(directory)

    def run(self, version, resume=False):
        more = {"version": version, "every": self.every, "resume": resume}
        self.epoch.run(self.daemon.socket, **more)
        got = epochs.tree(self.directory)
        assert got["p.csv"] == self.epoch.expected_csv(version)
        assert len(got) == 1 + 2 * 4 * epochs.ROWS, sorted(got)
        return got

    def fault(self, call, error, index, log):
        """Whether a call failed in this epoch. Asserts all that must be true then."""
        self.n += 1
        # Of another length each time: a file of this epoch is none of the one before.
        version = "v" * (1 + self.n % 2)
        before = self.now
        problem = None
        try:
            with failing(self.daemon, call, error, index, log):
                got = self.run(version)
        except AssertionError:
            raise
        except Exception as raised:
            problem = raised
        if not was_injected(log):
            assert problem is None, problem
            self.now = got
            return False
        if problem is None:
            self.now = got
            return True
        check_words(problem, error)
        self.look_after(before, problem)
        self.now = self.run(version, resume=self.n % 3 > 0)
        return True

    def look_after(self, before, problem):
        """Nothing that was there before is touched, but by what is whole."""
        daemons.until(
            lambda: self.daemon.job("j")["state"]
            in ("failed", "aborted", "interrupted", "published"),
            "the job is over",
        )
        got = epochs.tree(self.directory)
        if got == before:
            return
        assert "publish" in str(problem), (problem, self.daemon.log())
        with contextlib.suppress(rawclient.Refused):
            finalize(self.daemon)


def indices(error, generator):
    """Of the calls of one kind in an epoch: all, or the first and another."""
    yield from range(1, 1000) if LONG else (1, generator.randrange(2, 9))


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_fails_is_told_and_does_no_damage(call, traced_daemon, tmp_path):
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(1 << 32))
    generator = random.Random(seed)
    outputs = tmp_path / "out"
    outputs.mkdir()
    trial = Trial(traced_daemon, outputs)
    log = tmp_path / "strace"
    counts = {}
    for error in CALLS[call]:
        for index in indices(error, generator):
            print("INJECT", call, error, index, flush=True)
            if not trial.fault(call, error, index, log):
                break
            counts[error] = index
    trial.run("v")  # what could not be removed goes with the next epoch
    print(call, counts)
    assert set(counts) == set(CALLS[call]), "a call was never made"


def test_short_writes_are_gone_on_with(start_daemon, tmp_path):
    daemon = start_daemon(env=shims.build("short_write", tmp_path))
    outputs = tmp_path / "out"
    outputs.mkdir()

    trial = Trial(daemon, outputs)  # its first epoch is looked at

    assert len(trial.now["f/r0_0_0.pt"]) > 10_000, "nothing was written in parts"


@pytest.mark.parametrize("call", ["writev", "pwritev", "openat"])
def test_a_quota_is_waited_for(call, start_daemon, tmp_path):
    outputs = tmp_path / "out"
    outputs.mkdir()
    trial = Trial(start_daemon("--threads", "1"), outputs)
    index = {"writev": 6, "pwritev": 14, "openat": 40}[call]  # while batches come

    with failing(trial.daemon, call, "EDQUOT", index, tmp_path / "strace"):
        trial.run("vv")

    assert was_injected(tmp_path / "strace")
    assert "waits for space" in trial.daemon.log()


# ---- syncs ----

# fsync() in an epoch without flushes: of the state directory, where the journal is new;
# of the table; of its directory. syncfs(): of staged files.
TABLE, TABLE_DIRECTORY = 2, 3


def run_failing(trial, call, error, index, log, **more):
    """The error of an epoch whose index-th `call` has failed, and its version."""
    version = "vv"
    with failing(trial.daemon, call, error, index, log, **more):
        with pytest.raises(OSError) as caught:
            trial.run(version)
    assert was_injected(log)
    trial.daemon.until_state("j", "failed")
    return str(caught.value), version


def finalize(daemon):
    with daemon.raw() as client:
        return client.call("finalize", job="j", stage="predict", partial=True)


@pytest.fixture
def trial(traced_daemon, tmp_path):
    outputs = tmp_path / "out"
    outputs.mkdir()
    trial = Trial(traced_daemon, outputs)
    trial.every = 0  # no flush: the syncs are those of the publication
    return trial


@pytest.mark.parametrize("call, index", [("fsync", TABLE), ("syncfs", 1)])
def test_a_failed_sync_is_final(call, index, trial, tmp_path):
    """The kernel says of the next one that all is well, and it is not."""
    before = trial.now

    words, version = run_failing(trial, call, "EIO", index, tmp_path / "strace")

    assert "sync" in words and "Input/output error" in words
    assert epochs.tree(trial.directory) == before
    with pytest.raises(rawclient.Refused, match="lost"):
        finalize(trial.daemon)
    assert epochs.tree(trial.directory) == before
    trial.run(version, resume=True)


def test_a_sync_that_failed_is_final_for_the_next_daemon(
    trial, tmp_path
):
    before = trial.now
    run_failing(trial, "fsync", "EIO", TABLE, tmp_path / "strace")
    trial.daemon.kill()

    daemon = daemons.Daemon(trial.daemon.socket)
    try:
        daemon.until_state("j", "interrupted")
        assert epochs.tree(trial.directory) == before
        trial.daemon = daemon
        trial.run("vv", resume=True)
    finally:
        daemon.kill()


def test_a_failed_sync_of_names_is_told_apart(trial, tmp_path):
    """The outputs are whole and visible; nobody knows what a cut would leave."""
    words, version = run_failing(
        trial, "fsync", "EIO", TABLE_DIRECTORY, tmp_path / "strace"
    )

    assert "published, durability unknown" in words
    table = (trial.directory / "p.csv").read_bytes()
    assert table == trial.epoch.expected_csv(version)
    finalize(trial.daemon)
    got = epochs.tree(trial.directory)
    assert len(got) == 1 + 2 * 4 * epochs.ROWS
    assert not epochs.leftovers(trial.directory)
