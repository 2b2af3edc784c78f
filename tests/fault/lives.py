"""lives - daemons that follow one another on a socket."""

import contextlib
import os
import signal
import struct
import subprocess
import threading

import daemons

KILLAT = os.path.join(os.path.dirname(daemons.LIGHTERD), "tests", "fault", "killat")
EXIT_TAKEN = 3

# Leaks cannot be looked for in a process that is traced.
SANITIZERS = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


class Lives:
    """As soon as one daemon is dead the next one starts.

    `deaths`: at which call each dies, ("accept4", 12) say: the 12th that is entered after
    the first accept4. Who comes after them lives. `on_death` looks at what there is while
    no daemon runs.
    """

    def __init__(self, place, deaths, on_death=lambda: None):
        self.socket = str(place / "s")
        self.log_path = place / "log"
        # Clients that look for a daemon must not start one of their own.
        self.no_starter = script(place / "no-starter", f"exit {EXIT_TAKEN}")
        self._report_path = place / "report"
        self._deaths = list(deaths)
        self._on_death = on_death
        self._ending = False
        self._pid = 0
        self.killed_in = []  # the numbers of the calls
        self.problem = None
        self._log = open(self.log_path, "ab")
        self._start()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _start(self):
        after, n = self._deaths.pop(0) if self._deaths else ("accept4", 0)
        self._may_die = n > 0
        self._report_path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                *(KILLAT, self._report_path, after, str(n)),
                *(daemons.LIGHTERD, "--foreground", "--socket", self.socket),
                *("--plugin-dir", daemons.PLUGIN_DIR, "--threads", "2"),
                *("--log-level", "warning"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env={**os.environ, **SANITIZERS},
        )

    def _follow(self):
        try:
            while True:
                status = self._process.wait()
                if self._ending and status in (0, 128 + signal.SIGTERM):
                    return  # the latter where it was only about to start
                assert self._may_die and status == 128 + signal.SIGKILL, (
                    f"lighterd ended with {status}:\n{self.log_path.read_text()}"
                )
                self.killed_in.append(self._report()[2])
                self._on_death()
                if self._ending:
                    return
                self._start()
        except BaseException as problem:
            self.problem = problem

    def _report(self):
        return struct.unpack("QQQ", self._report_path.read_bytes())

    def n_calls(self):
        """That this daemon has entered; 0: it is only about to start."""
        try:
            return self._report()[1]
        except (OSError, struct.error):
            return 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """End the last one, and fail for what was seen meanwhile."""
        self._ending = True
        while self._thread.is_alive():
            with contextlib.suppress(OSError, struct.error):  # it is only about to start
                pid = self._report()[0]
                if pid:  # 0 would be all of us
                    os.kill(pid, signal.SIGTERM)
            self._thread.join(0.05)
        self._log.close()
        if self.problem is not None:
            raise self.problem
        daemons.assert_clean_log(self.log_path.read_text(errors="replace"))
