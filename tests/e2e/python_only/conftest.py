"""Tests of the Python client that need no daemon."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "client" / "python"))


@pytest.fixture(autouse=True)
def no_environment_of_ours(monkeypatch):
    for name in ("LIGHTERD", "LIGHTERD_SOCKET", "LIGHTERD_ATTEMPT", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
