"""fixtures - what each test of the real daemon starts from: end to end, faults, siege.

An environment that says nothing, a daemon's state that is the test's, an end to all
waiting, and daemons that are looked at when they end. A conftest.py imports these.
"""

import os
import signal

import daemons
import pytest

LONG = "1" in (os.environ.get("FAULT_LONG"), os.environ.get("SIEGE_LONG"))
PATIENCE_S = (3600 if LONG else 120) * daemons.SLOWNESS


@pytest.fixture(autouse=True)
def no_environment_of_ours(monkeypatch):
    for name in ("LIGHTERD", "LIGHTERD_SOCKET", "LIGHTERD_ATTEMPT", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    # Where a daemon is gone for good a test wants to know, and not to wait.
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "0")


@pytest.fixture(autouse=True, scope="session")
def state_of_ours(tmp_path_factory):
    """Daemons remember their jobs here, not in the home of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def end_of_patience():
    """A client may wait for a daemon for ever; a test may not."""

    def give_up(*_):
        raise TimeoutError(f"the test has not ended within {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def socket_dir():
    """A place with a short name: what pytest gives may not fit a socket address."""
    with daemons.short_directory() as directory:
        yield directory


@pytest.fixture
def start_daemon(socket_dir):
    """Start daemons, each on a socket of its own; their end is looked at as well."""
    started = []

    def start(*options, **more):
        path = os.path.join(socket_dir, f"{len(started)}.sock")
        started.append(daemons.Daemon(path, *options, **more))
        return started[-1]

    yield start
    daemons.all_ended(started)


@pytest.fixture
def successor():
    """Start the daemon that comes after one; clients may be waiting for it."""
    started = []

    def start(dead, *options, **more):
        started.append(daemons.Daemon(dead.socket, *options, alone=False, **more))
        return started[-1]

    yield start
    daemons.all_ended(started)
