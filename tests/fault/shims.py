"""shims - C of the tests, put between the daemon and the C library by LD_PRELOAD."""

import os
import shutil
import subprocess
from pathlib import Path

import daemons
import pytest


def is_sanitized():
    return b"__asan_init" in Path(daemons.LIGHTERD).read_bytes()


def build(name, directory):
    """Compile NAME.c; its environment for a daemon."""
    compiler = os.environ.get("CC", "cc").split()
    if not shutil.which(compiler[0]):
        pytest.skip(f"there is no {compiler[0]}, to compile {name}.c")
    source, library = Path(__file__).parent / f"{name}.c", directory / f"{name}.so"
    flags = ["-std=c17", "-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-shared", "-fPIC"]
    command = [*compiler, *flags, str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    return {
        "LD_PRELOAD": str(library),
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")
        + ":verify_asan_link_order=0",
    }
