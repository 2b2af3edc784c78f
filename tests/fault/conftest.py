"""The fault tests: machines, disks and memory that fail under the real daemon.

$LIGHTERD, $LIGHTERCTL and $LIGHTERD_PLUGIN_DIR as for the end-to-end tests, whose
fixtures are these. Each runs for seconds; with FAULT_LONG=1 for as long as it takes to
believe it. What cannot be done here (no root, no loop devices) is skipped.
"""

import importlib.util
import os
import sys
from pathlib import Path

E2E = Path(__file__).parents[1] / "e2e"
sys.path[:0] = [str(Path(__file__).parent), str(E2E)]

_spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)
globals().update(
    {name: value for name, value in vars(_e2e).items() if not name.startswith("__")}
)

if os.environ.get("FAULT_LONG") == "1":
    _e2e.PATIENCE_S = 3600
