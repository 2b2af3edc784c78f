"""sieges - what the tests of a long siege share: the forms, a watch, the daemon's size."""

import importlib.util
import os
import re
import signal
import statistics
from pathlib import Path

import pytest

LONG = os.environ.get("SIEGE_LONG") == "1"
PATIENCE_S = 1800 if LONG else 120

_spec = importlib.util.spec_from_file_location(
    "e2e_conftest", Path(__file__).parents[1] / "e2e" / "conftest.py"
)
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)

no_environment_of_ours = _e2e.no_environment_of_ours
state_of_ours = _e2e.state_of_ours
socket_dir = _e2e.socket_dir
start_daemon = _e2e.start_daemon


@pytest.fixture(autouse=True)
def end_of_patience():
    def give_up(*_):
        raise TimeoutError(f"the test has not ended within {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def anonymous_bytes(pid):
    """Memory that is the process's alone: no files, nothing that clients share."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) * 1024


def n_threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def percentile(values, percent):
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def tell(text):
    """A figure, which pytest shows with -rA."""
    print(f"\nfigure: {text}")
