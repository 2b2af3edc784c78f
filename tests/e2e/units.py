"""units - the systemd units, and which system calls they leave to the daemon.

As a program: `units.py FOLDER` prints those that each unit below it allows, with commas
between, as strace takes them.
"""

import re
import subprocess
import sys
from pathlib import Path

UNITS = Path(__file__).parents[2] / "systemd"
KINDS = ("user", "system")


def service(kind, folder=UNITS):
    """The unit's text, with words for `configure` in it."""
    return (Path(folder) / kind / "lighterd.service.in").read_text()


def _sets():
    """systemd's names for groups of calls, and what is in them: calls, other groups."""
    said = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"],
        **dict(check=True, stdout=subprocess.PIPE, text=True, timeout=60),
    ).stdout
    sets = {}
    for block in said.strip().split("\n\n"):
        name, *lines = [line.strip() for line in block.strip().splitlines()]
        sets[name] = {line for line in lines if not line.startswith("#")}
    return sets


def allowed_calls(text):
    """What the lines SystemCallFilter= of a unit leave."""
    sets = _sets()

    def expand(name):
        if not name.startswith("@"):
            return {name}
        return set().union(*map(expand, sets[name]))

    allowed = set()
    for words in re.findall(r"^SystemCallFilter=(.*)$", text, re.M):
        calls = set().union(*map(expand, words.lstrip("~").split()))
        allowed = allowed - calls if words.startswith("~") else allowed | calls
    return allowed


def main(folder):
    allowed = [allowed_calls(service(kind, folder)) for kind in KINDS]
    # '?': some are not of this machine's kind
    print(",".join(f"?{call}" for call in sorted(set.intersection(*allowed))))


if __name__ == "__main__":
    main(sys.argv[1])
