"""The fault tests: processes, machines, disks and memory that fail.

The helpers are those of the end-to-end tests; $FAULT_LONG=1 chooses the long form.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
pytest.register_assert_rewrite(
    *("daemons", "fixtures", "rawclient", "judges", "disks", "epochs", "lives", "runs")
)

import daemons  # noqa: E402

sys.path[:0] = daemons.PYTHON_PATH

from faults import chance, place  # noqa: E402, F401
from fixtures import (  # noqa: E402, F401
    end_of_patience,
    no_environment_of_ours,
    socket_dir,
    start_daemon,
    state_of_ours,
)
