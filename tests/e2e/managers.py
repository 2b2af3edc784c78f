"""managers - what systemd is to a daemon with socket activation."""

import os
import socket
import subprocess
import sys

import daemons

# The socket is descriptor 3, and LISTEN_PID the daemon's own.
PASS = """
import os, sys
fd = int(sys.argv[1])
if fd == 3:
    os.set_inheritable(3, True)
else:
    os.dup2(fd, 3)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """A socket that listens, and one that hears."""

    def __init__(self, directory):
        self.path = f"{directory}/l.sock"
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(self.path)
        self.listening.listen(128)
        self.hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.hearing.bind(f"{directory}/n.sock")
        self.hearing.settimeout(daemons.DEADLINE_S)
        self._started = []

    def start(self, *options, prefix=(), stderr=subprocess.PIPE, **environment):
        fd = self.listening.fileno()
        process = subprocess.Popen(
            [
                *(sys.executable, "-ISc", PASS, str(fd), *prefix),
                *(daemons.LIGHTERD, "--foreground"),
                *("--plugin-dir", daemons.PLUGIN_DIR, *options),
            ],
            pass_fds=[fd],
            stderr=stderr,
            text=True,
            env={
                **os.environ,
                "LISTEN_FDS": "1",
                "NOTIFY_SOCKET": self.hearing.getsockname(),
                **environment,
            },
        )
        self._started.append(process)
        return process

    def hears(self):
        return self.hearing.recv(4096).decode()

    def close(self):
        for process in self._started:
            if process.poll() is None:  # its test has failed
                process.kill()
                process.communicate()
        self.listening.close()
        self.hearing.close()
