"""daemons - a real lighterd, and what must be true of it when a test is over."""

import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import rawclient

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client" / "python"


def _binary(variable, default):
    told = os.environ.get(variable)
    return os.path.abspath(told) if told else str(ROOT / "build" / default)


# Read once: tests take them out of the environment.
LIGHTERD = _binary("LIGHTERD", "lighterd")
LIGHTERCTL = _binary("LIGHTERCTL", "lighterctl")
PLUGIN_DIR = _binary("LIGHTERD_PLUGIN_DIR", "plugins/.libs")

# The Python client, and its hot path as it was built beside the daemon.
PYTHON_PATH = [str(CLIENT), os.path.join(os.path.dirname(LIGHTERD), ".libs")]

# Under a sanitizer all is slower, and a deadline that is too short tells nothing. Under
# other programs (tests/under) it is slower still: so many times.
SLOWNESS = int(os.environ.get("LIGHTERD_TEST_SLOWNESS", "1"))
DEADLINE_S = 20 * SLOWNESS


def until(is_true, what, timeout_s=DEADLINE_S):
    """Poll `is_true` until it is, and return what it gave."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = is_true()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


@contextlib.contextmanager
def short_directory():
    directory = tempfile.mkdtemp(prefix="ltr-", dir="/tmp")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def is_running(pid):
    """Also false for a zombie that nobody waits for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def assert_clean_log(text):
    """Sanitizers report to standard error, also where the exit status is 0."""
    found = re.search(r"(Sanitizer|runtime error:|Assertion)(.*\n){0,40}", text)
    assert not found, found.group()


def all_ended(started):
    """End daemons; what is wrong with one is told when all have ended."""
    problems = []
    for each in started:
        try:
            each.end()
        except (AssertionError, subprocess.TimeoutExpired) as problem:
            problems.append(problem)
            each.kill()
    if problems:
        pytest.fail("\n".join(map(str, problems)), pytrace=False)


class Daemon:
    """A lighterd in the foreground, with a socket in a directory of the test.

    `alone`: nobody waits for it already.
    """

    def __init__(
        self, socket, *options, plugin_dir=None, prefix=(), env=None, alone=True
    ):
        self.socket = socket
        self._log_path = socket + ".stderr"
        self._log = open(self._log_path, "wb")
        self.process = subprocess.Popen(
            [
                *prefix,
                LIGHTERD,
                "--foreground",
                *("--socket", socket),
                *("--plugin-dir", plugin_dir or PLUGIN_DIR),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env={**os.environ, **(env or {})},
        )
        self.pid = self.process.pid
        self._n_descriptors = None
        self._n_listening = 1 + ("--metrics-listen" in options)
        until(self._listens, f"{LIGHTERD} listens")
        if alone:
            until(self.is_alone, "nobody is connected")
            self._n_descriptors = len(self.descriptors())

    def _listens(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.ask("ping")["pid"]
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    def log(self):
        return Path(self._log_path).read_text(errors="replace")

    def raw(self, hello=None, **more):
        """A connection that has said hello."""
        client = rawclient.RawClient(self.socket, **{"timeout_s": DEADLINE_S, **more})
        hello = {"client": "test", "pid": os.getpid(), **(hello or {})}
        client.call("hello", protocol=1, **hello)
        return client

    def ask(self, method, **params):
        with self.raw() as client:
            return client.call(method, **params)

    def job(self, name):
        """The last job of this name, as the daemon describes it."""
        found = [j for j in self.ask("jobs")["jobs"] if j["name"] == name]
        return found[-1] if found else None

    def until_state(self, name, state):
        """Not only about to be so: a job that is over has let go of everything."""

        def look():
            job = self.job(name)
            is_so = job and job["state"] == state and job["live"] == (state == "open")
            return job if is_so else None

        return until(look, f"job {name} is {state}")

    # ---- what must be true when clients have left ----

    def anonymous_bytes(self):
        """Memory that is the process's alone: no files, nothing that clients share."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) * 1024

    def descriptors(self):
        found = []
        for entry in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(f"/proc/{self.pid}/fd/{entry}"))
        return found

    def is_alone(self):
        """The only sockets are those on which it listens."""
        found = sum(name.startswith("socket:") for name in self.descriptors())
        return found == self._n_listening

    def check_descriptors(self):
        """As many are open as when nobody had ever come."""
        if self._n_descriptors is None:
            until(self.is_alone, f"they have left: {self.descriptors()}")
            return
        until(
            lambda: len(self.descriptors()) <= self._n_descriptors,
            f"{self._n_descriptors} descriptors are open: {self.descriptors()}",
        )
        assert len(self.descriptors()) == self._n_descriptors

    def check_serves(self, directory):
        """The next client gets what it came for."""
        path = os.path.join(directory, "next.csv")
        with self.raw() as client:
            client.open_csv(path, job="next")
            client.call("write", job=1, seq=1, outputs={"x": [1, "two"]})
            client.call("end", job=1)
        assert Path(path).read_bytes() == b"x\r\n1\r\ntwo\r\n"

    def check_nothing_left(self):
        """Where a job was published, nothing but what it published is there."""
        last = {}
        for job in self.ask("jobs")["jobs"]:
            for target in job["targets"]:
                last[target] = job["state"]
        for target, state in last.items():
            if state == "published":
                stem, suffix = os.path.splitext(target)
                left = glob.glob(glob.escape(stem) + ".tmp_rank*" + suffix)
                left += glob.glob(glob.escape(target) + "/.lighterd.*")
                assert not left, f"left after publication: {left}"

    # ---- the end ----

    def end(self):
        """SIGTERM, for who has not ended it already, and a last look."""
        if self.process.returncode is None:
            status = self.process.poll()
            assert status is None, f"lighterd died: {status}\n{self.log()}"
            self.check_descriptors()
            self.check_nothing_left()
            self.process.send_signal(signal.SIGTERM)
            status = self.process.wait(DEADLINE_S)
            assert status == 0, f"lighterd ended with {status}:\n{self.log()}"
            assert not os.path.exists(self.socket)
        self._log.close()
        assert_clean_log(self.log())

    def wait(self, timeout_s=DEADLINE_S):
        """Wait for the daemon to end by itself; its exit status."""
        return self.process.wait(timeout_s)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._log.close()
