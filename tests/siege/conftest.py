"""The siege: clients that are slow, many or gone, and daemons that are killed or old.

The helpers are those of the end-to-end tests; $SIEGE_LONG=1 chooses the long form.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
pytest.register_assert_rewrite(
    *("daemons", "fixtures", "ranks", "rawclient", "judges", "managers", "sieges")
)

import daemons  # noqa: E402

sys.path[:0] = daemons.PYTHON_PATH

from fixtures import (  # noqa: E402, F401
    end_of_patience,
    no_environment_of_ours,
    socket_dir,
    start_daemon,
    state_of_ours,
)


def pytest_configure(config):
    config.addinivalue_line(
        "filterwarnings", "error::pytest.PytestUnhandledThreadExceptionWarning"
    )
