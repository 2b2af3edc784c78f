"""kill -9 under socket activation: nobody is refused, and the next daemon is soon there."""

import os
import select
import signal
import statistics
import threading
import time
from contextlib import closing

import daemons
import managers
import rawclient
import sieges
from sieges import LONG

N_KILLS = 200 if LONG else 10
MAX_BACK_S = 0.05


class Activator(managers.Manager):
    """Starts a daemon when somebody knocks and none runs."""

    def __init__(self, directory):
        super().__init__(directory)
        self.pid = 0
        self._log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT, 0o600)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._over.is_set():
            if select.select([self.listening], [], [], 0.1)[0]:
                self.pid = self._spawn()
                os.waitpid(self.pid, 0)

    def _spawn(self):
        """As a service manager does: no shell, no Python in between."""
        command = [daemons.LIGHTERD, "--foreground", "--plugin-dir", daemons.PLUGIN_DIR]
        command += ["--log-level", "warning"]
        environment = {**os.environ, "LISTEN_FDS": "1"}
        listening = self.listening.fileno()
        pid = os.fork()
        if pid:
            return pid
        os.dup2(listening, 3, inheritable=True)
        os.dup2(self._log, 2, inheritable=True)
        os.execve(command[0], command, {**environment, "LISTEN_PID": str(os.getpid())})

    def close(self):
        self._over.set()
        os.kill(self.pid, signal.SIGTERM)
        self._thread.join()
        os.close(self._log)
        super().close()


def hello(path):
    with closing(rawclient.RawClient(path)) as client:
        return client.call("hello", protocol=1)["pid"]


def back_after_a_kill(activator, pid):
    """Seconds until somebody is served again. A refused connection is an error."""
    os.kill(pid, signal.SIGKILL)
    begin = time.perf_counter()
    while True:
        try:
            next_pid = hello(activator.path)
            return time.perf_counter() - begin, next_pid
        except AssertionError:
            continue  # it knocked at the one that was just dying


def test_nobody_is_refused_and_the_next_daemon_is_soon_there(socket_dir):
    with closing(Activator(socket_dir)) as activator:
        pid = hello(activator.path)
        taken = []
        for _ in range(N_KILLS):
            seconds, next_pid = back_after_a_kill(activator, pid)
            assert next_pid != pid
            taken.append(seconds)
            pid = next_pid
    with open(f"{socket_dir}/log") as log:
        daemons.assert_clean_log(log.read())
    p99 = sieges.percentile(taken, 99)
    sieges.tell(
        f"{N_KILLS} kills: 0 refused, back after "
        f"{statistics.median(taken) * 1e3:.1f} ms (p99 {p99 * 1e3:.1f})"
    )
    if LONG:
        assert p99 <= MAX_BACK_S
