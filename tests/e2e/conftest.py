"""The end-to-end tests: the real daemon, driven by the real clients.

$LIGHTERD, $LIGHTERCTL and $LIGHTERD_PLUGIN_DIR say which; without them those in build/
are taken. What tests share: daemons.py, lighterctl.py, ranks.py, rawclient.py,
judges.py.
"""

import os
import signal
import sys

import pytest

pytest.register_assert_rewrite(
    "daemons", "judges", "lighterctl", "managers", "ranks", "rawclient"
)

import daemons  # noqa: E402

sys.path[:0] = daemons.PYTHON_PATH

import ranks  # noqa: E402

PATIENCE_S = 120


@pytest.fixture(autouse=True)
def no_environment_of_ours(monkeypatch):
    for name in ("LIGHTERD", "LIGHTERD_SOCKET", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    # Where a daemon is gone for good a test wants to know, and not to wait.
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "0")


def pytest_configure(config):
    config.addinivalue_line(
        "filterwarnings", "error::pytest.PytestUnhandledThreadExceptionWarning"
    )


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


@pytest.fixture(params=["C", "Python"])
def either_client(request):
    """The Python client with its hot path in C, and without."""
    from lighterd import native

    if request.param == "C" and native.module is None:
        pytest.skip("the C module is not built, or $LIGHTERD_PURE is set")
    native.use(native.module if request.param == "C" else None)
    yield
    native.use(native.module)


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
def daemon(start_daemon):
    return start_daemon()


@pytest.fixture(scope="module")
def shared_daemon(request):
    """One for all tests of a module, with the options that it names."""
    with daemons.short_directory() as directory:
        options = getattr(request.module, "DAEMON_OPTIONS", ())
        daemon = daemons.Daemon(f"{directory}/s", *options)
        yield daemon
        daemons.all_ended([daemon])


@pytest.fixture
def start_ranks():
    """Start rank processes; those that are left at the end are killed."""
    started = []

    def start(*args, **more):
        started.extend(new := ranks.start(*args, **more))
        return new

    yield start
    for rank in started:
        rank.kill()


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")
