"""What users must know is seen where they look, once, however they log."""

import subprocess
import sys

import daemons
import pytest

LOGURU = """
import types
class Told:
    def opt(self, **_): return self
    def patch(self, _): return self
    def log(self, level, text): print("loguru", level, text, file=sys.stderr)
sys.modules["loguru"] = types.SimpleNamespace(logger=Told())
"""
INTERCEPT = LOGURU + """
class Intercept(logging.Handler):
    def emit(self, record):
        sys.modules["loguru"].logger.log(record.levelname, record.getMessage())
logging.root.handlers = [Intercept()]
"""
SAY = """
from lighterd import voice
voice.tell("froze %s", "{layers}")
voice.logger.warning("careful")
voice.logger.info("a detail")
"""


def heard(before):
    script = f"import logging, sys\n{before}\n{SAY}"
    environment = {"PYTHONPATH": ":".join(daemons.PYTHON_PATH)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    "before, expected",
    [
        ("", ["lighterd: froze {layers}", "lighterd: careful"]),
        (LOGURU, ["loguru INFO froze {layers}", "loguru WARNING careful"]),
        # As in a project of lighter: the root passes on to loguru, its level is as ever.
        (INTERCEPT, ["loguru INFO froze {layers}", "loguru WARNING careful"]),
        (
            INTERCEPT + "logging.root.setLevel(logging.INFO)",
            ["loguru INFO froze {layers}", "loguru WARNING careful", "loguru INFO a detail"],
        ),
        ("logging.basicConfig()", ["WARNING:lighterd:careful"]),
        (
            "logging.basicConfig(level=logging.INFO)",
            ["INFO:lighterd:froze {layers}", "WARNING:lighterd:careful",
             "INFO:lighterd:a detail"],
        ),
        ("logging.getLogger('lighterd').setLevel(logging.WARNING)", ["lighterd: careful"]),
        ("logging.getLogger('lighterd').setLevel(logging.ERROR)", []),
        ("logging.getLogger('lighterd').addHandler(logging.NullHandler())", []),
        ("logging.disable(logging.WARNING)", []),
    ],
)
def test_what_is_told_is_seen_once(before, expected):
    assert heard(before) == expected


def test_who_configures_logging_later_is_heard_as_they_say():
    before = "import lighterd\nlogging.basicConfig(level=logging.ERROR)"

    assert heard(before) == []
