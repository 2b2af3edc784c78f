"""sieges - what the tests of a long siege share: the form, threads, figures."""

import os
import statistics

LONG = os.environ.get("SIEGE_LONG") == "1"


def n_threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def percentile(values, percent):
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def tell(text):
    """A figure, which pytest shows with -rA."""
    print(f"\nfigure: {text}")
