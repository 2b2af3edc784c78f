#!/usr/bin/env python3
"""run - compare lighterd with what writes predictions in the process today.

In: options, and the build that $LIGHTERD and $LIGHTERD_PLUGIN_DIR name. Out: a table on
standard output, and files where asked for. README.md beside this says how to read it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import mmap
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List

sys.dont_write_bytecode = True  # a source tree stays as it is

try:
    import daemon
    import measure
    import pairs
    import plot
    import report
    from bench import Bench
    from limits import Neighbour

    import torch
    from lighterd import native
except ImportError as error:
    raise SystemExit(
        f"{sys.executable}: {error}\n"
        "The benchmark needs msgpack, numpy, pillow and torch; choose another Python "
        "with `make bench PYTHON=...`."
    ) from error


WRITTEN_BYTES = 8 << 30  # in one run, roughly


def main() -> None:
    options = _options()
    if options.source:
        results = json.loads(Path(options.source).read_text())
    else:
        results = _run(options)
    if results["quick"] and options.markdown:
        raise SystemExit("a smoke run has no figures to publish")
    print(report.table(results))
    if options.json:
        report.write_json(options.json, results)
    if options.markdown:
        report.write_markdown(options.markdown, results)
    if options.plot and results["sweep"]:
        Path(options.plot).write_text(plot.svg(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--json", metavar="FILE", help="write all values there")
    add("--plot", metavar="FILE", help="write an SVG there")
    add("--markdown", metavar="FILE", help="put the table between its two comments")
    add("--from", metavar="JSON", dest="source", help="no run: show an earlier one")
    add(
        "--only",
        nargs="+",
        choices=pairs.ALL,
        default=list(pairs.ALL),
        metavar="PAIRS",
        help="some of: " + " ".join(pairs.ALL),
    )
    add("--rounds", type=int, help="how often each side runs (5; 1 if quick)")
    add(
        "--quick",
        action="store_true",
        default=bool(os.environ.get("BENCH_QUICK")),
        help="tiny sizes: does it all work? (also: BENCH_QUICK=1)",
    )
    add(
        "--directory",
        default=tempfile.gettempdir(),
        help="write below it; what was written is deleted at the end",
    )
    return parser.parse_args()


def _run(options: argparse.Namespace) -> Dict[str, Any]:
    n_rounds = options.rounds or (1 if options.quick else 5)
    machine = _machine(options.directory)
    torch.set_num_threads(max(1, machine["cores"] - 1))  # a core is free for lighterd
    results = {
        "lighterd": daemon.version(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine,
        "quick": options.quick,
        "instrumented": daemon.is_instrumented(),
        "rounds": n_rounds,
    }
    if not options.quick:
        _touch_memory()
    home = tempfile.mkdtemp(prefix="lighterd-bench-", dir=options.directory)
    try:
        with daemon.Daemon() as private, closing(Neighbour()) as neighbour:
            bench = Bench(private, neighbour, home, options.quick)
            figures = _measure(bench, options.only, n_rounds)
    finally:
        shutil.rmtree(home)  # not before: deleting makes ext4 slow for a while
    prefix = pairs.sweep.NAME
    names = {each["experiment"] for each in figures}
    sweep = {n: int(n[len(prefix) :]) for n in names if n.startswith(prefix)}
    return {**results, "figures": figures, "sweep": sweep}


def _touch_memory() -> None:
    """Use once what the files of a run will need: a virtual machine's host may not have
    given it yet, and the first to touch a page then pays for that.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with closing(mmap.mmap(-1, min(WRITTEN_BYTES, free // 2))) as memory:
        memory.madvise(getattr(mmap, "MADV_POPULATE_WRITE", 23))  # Linux 5.14


def _measure(bench: Bench, only: List[str], n_rounds: int) -> List[Dict[str, Any]]:
    numbers = itertools.count()

    def new_directory() -> str:
        path = os.path.join(bench.directory, f"run-{next(numbers)}")
        os.mkdir(path)
        return path

    figures = []
    for name in only:
        for experiment in pairs.ALL[name](bench):
            start = time.monotonic()
            figures += measure.alternate(experiment, n_rounds, new_directory)
            seconds = time.monotonic() - start
            print(f"{seconds:5.1f} s  {experiment.name}", file=sys.stderr, flush=True)
    return figures


def _machine(directory: str) -> Dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30,
        "filesystem": subprocess.check_output(
            ["df", "--output=fstype", directory], text=True
        ).split()[-1],
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "hot path": "C" if native.module else "Python",
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
