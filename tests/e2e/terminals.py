"""terminals - a program on a terminal of ours, and what it leaves on its screen."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import daemons


def _begin_session():
    """In the child. Tests that run in the background have had signals ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Terminal:
    """A program with a pseudo-terminal for its three streams."""

    def __init__(self, command, columns=80, rows=24, **environment):
        self.master, slave = pty.openpty()
        self.resize(columns, rows, tell=False)
        self.before = termios.tcgetattr(slave)
        self.output = ""
        env = {"TERM": "xterm-256color", **environment}
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, **env},
            start_new_session=True,
            preexec_fn=_begin_session,
        )
        self._slave = slave  # held: its settings are looked at later

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)

    def resize(self, columns, rows, tell=True):
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def settings(self):
        return termios.tcgetattr(self._slave)

    def type(self, text):
        os.write(self.master, text.encode())

    def read(self, seconds=0.05):
        """What has come, all in all."""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                self.output += os.read(self.master, 65536).decode(errors="replace")
            except OSError:  # its session has ended
                break
        return self.output

    def until(self, is_true, what):
        """Read until what has come `is_true`."""
        return daemons.until(
            lambda: is_true(self.read(0.02)), f"{what}: {self.output!r}"
        )

    def end(self, expect=0):
        """What has come, all in all, when the program has ended."""
        deadline = time.monotonic() + daemons.DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on: {self.output!r}"
            self.read(0.02)
        self.read()
        assert self.process.returncode == expect, self.output
        daemons.assert_clean_log(self.output)
        return self.output
