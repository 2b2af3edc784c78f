"""The end-to-end tests: the real daemon, driven by the real clients.

$LIGHTERD, $LIGHTERCTL and $LIGHTERD_PLUGIN_DIR say which; without them those in build/
are taken. What tests share: daemons.py, lighterctl.py, ranks.py, rawclient.py,
judges.py, fixtures.py.
"""

import sys

import pytest

pytest.register_assert_rewrite(
    *("daemons", "fixtures", "judges", "lighterctl", "managers", "ranks", "rawclient")
)

import daemons  # noqa: E402

sys.path[:0] = daemons.PYTHON_PATH

import ranks  # noqa: E402
from fixtures import (  # noqa: E402, F401
    end_of_patience,
    no_environment_of_ours,
    socket_dir,
    start_daemon,
    state_of_ours,
    successor,
)


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "untraced: a tracer beside the daemon is in the way (make calls)"
    )
    config.addinivalue_line(
        "filterwarnings", "error::pytest.PytestUnhandledThreadExceptionWarning"
    )


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
