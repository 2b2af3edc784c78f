"""faults - what the tests of failing machines share: real daemons, and no patience.

$FAULT_LONG=1 chooses the long form, and $FAULT_SEED the moments of a run that failed.
"""

import importlib.util
import os
import random
import signal
from pathlib import Path

import daemons
import pytest

LONG = os.environ.get("FAULT_LONG") == "1"
PATIENCE_S = 3600 if LONG else 120

_spec = importlib.util.spec_from_file_location(
    "e2e_conftest", Path(__file__).parents[1] / "e2e" / "conftest.py"
)
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)

socket_dir = _e2e.socket_dir
start_daemon = _e2e.start_daemon


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path_factory):
    """Whose daemon is gone hears of it, and all of a daemon's state is the test's."""
    for name in ("LIGHTERD", "LIGHTERD_SOCKET", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "0")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(autouse=True)
def end_of_patience():
    def give_up(*_):
        raise TimeoutError(f"the test has not ended within {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def chance(request):
    """The same moments in every run of the short form; others in each long one."""
    seed = os.environ.get("FAULT_SEED") or (random.getrandbits(32) if LONG else 1)
    print(f"FAULT_SEED={seed}")  # pytest shows it where the test fails
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture
def place(monkeypatch):
    """A directory with a short name, for daemons that die and all that they leave."""
    with daemons.short_directory() as directory:
        monkeypatch.setenv("XDG_STATE_HOME", f"{directory}/state")
        monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "20")
        yield Path(directory)
