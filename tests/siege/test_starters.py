"""Twenty daemons start at once on a socket that a dead one left: one of them serves it."""

import os
import subprocess
import time
from pathlib import Path

import daemons
import rawclient
import sieges
from sieges import LONG

N_STARTERS = 20
N_ROUNDS = 200 if LONG else 10
EXIT_TAKEN = 3


def start(path, log):
    return subprocess.Popen(
        [
            *(daemons.LIGHTERD, "--foreground", "--socket", path),
            *("--plugin-dir", daemons.PLUGIN_DIR, "--threads", "2"),
            *("--log-level", "warning"),
        ],
        stdin=subprocess.DEVNULL,
        stderr=log,
    )


def pid_that_serves(path):
    with rawclient.RawClient(path) as client:
        return client.call("hello", protocol=1)["pid"]


def one_round(path, log):
    """All start, one is left and serves, and is killed. Its socket stays."""
    starters = [start(path, log) for _ in range(N_STARTERS)]

    def running():
        return [starter for starter in starters if starter.poll() is None]

    daemons.until(lambda: len(running()) <= 1, "the others have given up", 60)
    (winner,) = running()
    daemons.until(lambda: serves(path), "the winner serves")
    assert pid_that_serves(path) == winner.pid
    losers = [starter for starter in starters if starter is not winner]
    assert [loser.returncode for loser in losers] == [EXIT_TAKEN] * (N_STARTERS - 1)
    winner.kill()
    winner.wait()
    assert os.path.exists(path)


def serves(path):
    try:
        return pid_that_serves(path)
    except ConnectionRefusedError:  # the old socket still
        return None


def test_one_of_many_starters_wins_in_each_round(socket_dir):
    path = f"{socket_dir}/s"
    log_path = Path(f"{socket_dir}/log")
    begin = time.monotonic()
    with open(log_path, "wb") as log:
        first = start(path, log)
        daemons.until(lambda: os.path.exists(path), "there is a socket")
        first.kill()
        first.wait()
        for _ in range(N_ROUNDS):
            one_round(path, log)
    daemons.assert_clean_log(log_path.read_text())
    sieges.tell(
        f"{N_ROUNDS} rounds of {N_STARTERS} starters, one winner each, in "
        f"{time.monotonic() - begin:.0f} s"
    )
