"""faults - what the tests of failing machines share: the form, chance, and a place.

$FAULT_LONG=1 chooses the long form, and $FAULT_SEED the moments of a run that failed.
"""

import os
import random
from pathlib import Path

import daemons
import pytest

LONG = os.environ.get("FAULT_LONG") == "1"


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
