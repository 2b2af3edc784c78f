"""lighterctl - run it, and read what it prints."""

import json
import os
import re
import subprocess

import daemons
import pytest


@pytest.fixture(autouse=True)
def built():
    if not os.access(daemons.LIGHTERCTL, os.X_OK):
        pytest.skip(f"there is no {daemons.LIGHTERCTL}")


def ctl(*args, expect=0, **more):
    done = subprocess.run(
        [daemons.LIGHTERCTL, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )
    assert done.returncode == expect, done
    daemons.assert_clean_log(done.stderr)
    # either an answer or one line of complaint
    assert bool(done.stdout) != bool(done.stderr), done
    if expect:
        assert (
            done.stderr.startswith("lighterctl: ") and done.stderr.count("\n") == 1
        ), done
    return done.stdout or done.stderr


def as_json(*args):
    return json.loads(ctl("--json", *args))


def on(daemon, *args, **more):
    return ctl("--socket", daemon.socket, *args, **more)


def fields(block):
    return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in block.splitlines())


def rows(text):
    """The rows of a table whose columns are at least two blanks apart."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


class Running:
    """A lighterctl that looks on; `args` as on a command line."""

    def __init__(self, daemon, *args):
        self.process = subprocess.Popen(
            [daemons.LIGHTERCTL, "--socket", daemon.socket, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        """The next line that it prints."""
        return self.process.stdout.readline().rstrip("\n")

    def end(self, expect=0):
        """What it has printed since, and complained of, when it has ended."""
        out, err = self.process.communicate(timeout=daemons.DEADLINE_S)
        assert self.process.returncode == expect, (out, err)
        daemons.assert_clean_log(err)
        return out, err
