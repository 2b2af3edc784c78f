"""daemon - a private lighterd on a temporary socket, and epochs that go through it.

In: options, writers and batches. Out: how long each part of an epoch took, and what it
cost the daemon in processor time and memory. $LIGHTERD and $LIGHTERD_PLUGIN_DIR name
the build; else it is build/.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence

from measure import calls, time_each

ROOT = Path(__file__).resolve().parents[1]
BINARY = os.environ.get("LIGHTERD") or str(ROOT / "build" / "lighterd")
sys.path[:0] = [  # the client, and its hot path as it was built
    str(ROOT / "client" / "python"),
    os.path.join(os.path.dirname(BINARY), ".libs"),
]

from lighterd.job import Job  # noqa: E402
from lighterd.launch import connect  # noqa: E402

PLUGIN_DIR = os.environ.get("LIGHTERD_PLUGIN_DIR") or str(ROOT / "build/plugins/.libs")
START_TIMEOUT_S = 30


def is_instrumented() -> bool:
    """A build with sanitizers tells nothing about speed."""
    plugins = Path(PLUGIN_DIR).glob("*.so")
    built = [path.read_bytes() for path in (Path(BINARY), *plugins)]
    return any(b"__asan_init" in each or b"__tsan_init" in each for each in built)


def version() -> str:
    if not os.access(BINARY, os.X_OK):
        raise SystemExit(f"{BINARY} is not there: build it, or set $LIGHTERD")
    return subprocess.check_output([BINARY, "--version"], text=True).strip()


class Daemon:
    """Runs from its making to `close`."""

    def __init__(self, *options: str) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="ltr-", dir="/tmp")  # short
        self.socket = os.path.join(self._home.name, "lighterd.sock")
        self._log_path = os.path.join(self._home.name, "lighterd.log")
        command = [BINARY, "--foreground", "--socket", self.socket]
        with open(self._log_path, "wb") as log:
            self._process = subprocess.Popen(
                [*command, "--plugin-dir", PLUGIN_DIR, *options],
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        self._wait_until_it_listens()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not os.path.exists(self.socket):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise SystemExit(f"{BINARY}: {Path(self._log_path).read_text()}")
            time.sleep(0.01)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._home.cleanup()

    def cpu_s(self) -> float:
        """Processor time of all its threads, as clock_getcpuclockid(3) has it."""
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def memory(self, key: str) -> int:
        """VmRSS, say, in bytes; see proc_pid_status(5)."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in text.splitlines())
        return int(fields[key].split()[0]) << 10

    def open(
        self, writers: Sequence[Any], rank: int = 0, world_size: int = 1
    ) -> Rank:
        return Rank(self.socket, writers, rank, world_size)

    def epoch(
        self,
        writers: Sequence[Any],
        batches: Sequence[Any],
        before: Optional[Callable[[], Any]] = None,
    ) -> Dict[str, float]:
        """One epoch of one rank, in seconds.

        "blocks" and "typical": what a call of `write` holds the process up, the mean
        and the median; "written": from the start until the kernel has all bytes; "end":
        publishing, with all its syncs; "whole": both; "cpu": of the daemon.
        """
        cpu_s = self.cpu_s()
        start = perf_counter()
        with closing(self.open(writers)) as rank:
            blocked = time_each(rank.write, batches, before)
            rank.flush()
            written = perf_counter()
            rank.end()
            end = perf_counter()
        return {
            **calls(blocked),
            "written": written - start,
            "end": end - written,
            "whole": end - start,
            "cpu": self.cpu_s() - cpu_s,
        }


class Rank:
    """One rank of a job, with a connection of its own."""

    def __init__(
        self, socket: str, writers: Sequence[Any], rank: int, world_size: int
    ) -> None:
        self._connection = connect(socket)
        self._job = Job(self._connection, writers, rank=rank, world_size=world_size)
        self.write = self._job.write

    def write_all(self, batches: Iterable[Any]) -> None:
        for batch in batches:
            self.write(batch)

    def flush(self) -> None:
        """Wait until all batches are written, but not published."""
        self._connection.flush()

    def end(self, wait: bool = True) -> List[str]:
        return self._job.end(wait)

    def close(self) -> None:
        self._connection.close()
