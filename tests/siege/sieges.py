"""sieges - what the tests of a long siege share: the form, and the daemon's size."""

import os
import re
import statistics
from pathlib import Path

LONG = os.environ.get("SIEGE_LONG") == "1"


def anonymous_bytes(pid):
    """Memory that is the process's alone: no files, nothing that clients share."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) * 1024


def n_threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def percentile(values, percent):
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def tell(text):
    """A figure, which pytest shows with -rA."""
    print(f"\nfigure: {text}")
