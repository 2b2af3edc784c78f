"""More clients knock than there are descriptors: those that are in go on."""

import os
import subprocess
import sys
import threading
import time

import daemons
import judges
import rawclient
import sieges
from sieges import LONG

N_CONNECTS = 10_000 if LONG else 1000
N_LIVE = 4
N_BATCHES = 1500 if LONG else 150
MAX_LAG_S = 0.1
FEW_DESCRIPTORS = ("prlimit", "--nofile=256:256")

# It holds as many connections as it gets, and lets go of the oldest.
CROWD = """
import socket, sys
path, n = sys.argv[1], int(sys.argv[2])
held = []
for _ in range(n):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    held.append(client)
    if len(held) > 400:
        held.pop(0).close()
"""


class Pinger:
    """Asks on and on, and remembers how long the longest answer took."""

    def __init__(self, daemon):
        self._client = daemon.raw()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.longest_s = 0
        self.n_pings = 0

    def _run(self):
        while not self._over.is_set():
            begin = time.perf_counter()
            self._client.call("ping")
            self.longest_s = max(self.longest_s, time.perf_counter() - begin)
            self.n_pings += 1
            time.sleep(0.001)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._client.close()


# A process of its own: threads of this one would wait for one another.
WRITE = """
import sys
import lighterd
directory, path, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
writers = [lighterd.csv(directory + ".csv", ["x"]),
           lighterd.file(directory, "x", "text")]
with lighterd.run(*writers, socket=path) as out:
    print("in", flush=True)
    sys.stdin.readline()
    for i in range(n):
        out.write({"x": [str(i)]})
"""


def begin_to_write(daemon, directory):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, directory, daemon.socket, str(N_BATCHES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH)},
        text=True,
    )
    assert process.stdout.readline() == "in\n"
    return process


def test_live_clients_finish_whoever_knocks(start_daemon, tmp_path):
    daemon = start_daemon("--log-level", "error", prefix=FEW_DESCRIPTORS)
    live = [begin_to_write(daemon, str(tmp_path / str(i))) for i in range(N_LIVE)]
    with Pinger(daemon) as pinger:
        crowd = subprocess.Popen(
            [sys.executable, "-ISc", CROWD, daemon.socket, str(N_CONNECTS)]
        )
        for process in live:
            process.stdin.write("\n")
            process.stdin.flush()
        assert crowd.wait() == 0
    for process in live:
        assert process.wait() == 0
        process.stdin.close()
        process.stdout.close()

    for i in range(N_LIVE):
        table = judges.table(["x"], [{"x": [str(k)]} for k in range(N_BATCHES)])
        assert (tmp_path / f"{i}.csv").read_bytes() == table
        assert len(list((tmp_path / str(i)).iterdir())) == N_BATCHES
    sieges.tell(
        f"{N_CONNECTS} connects at 256 descriptors: the longest of {pinger.n_pings} "
        f"pings took {pinger.longest_s * 1e3:.1f} ms"
    )
    assert pinger.n_pings
    if LONG:
        assert pinger.longest_s < MAX_LAG_S
    daemon.check_descriptors()


def test_who_is_turned_away_is_told(start_daemon):
    daemon = start_daemon("--log-level", "error", prefix=FEW_DESCRIPTORS)
    clients = [rawclient.RawClient(daemon.socket) for _ in range(65)]
    refused, id = clients[-1].last_words()
    assert (refused.code, id) == ("limit", 0)
    assert "64 clients are connected" in refused.message
    for client in clients:
        client.close()
    daemon.check_descriptors()

