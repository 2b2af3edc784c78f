"""limits - what the machine allows, measured beside what is made of it.

In: sizes and counts. Out: seconds. They run in this interpreter, so each bears a
microsecond or so of Python's own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from time import perf_counter
from typing import Any, Optional, Sequence

import numpy as np

_NEIGHBOUR = """
import socket, sys
own = socket.socket(fileno=int(sys.argv[1]))
while True:
    data = own.recv(1)
    if data == b"?":
        own.send(data)
    elif not data:
        break
"""


class Neighbour:
    """Another process that sleeps until a byte wakes it, and answers a `?`."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _NEIGHBOUR, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        self.ask()

    def wake(self) -> None:
        self._socket.send(b"!")

    def ask(self) -> None:
        self._socket.send(b"?")
        self._socket.recv(1)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


class Copy:
    """A copy of so many bytes, from memory that is warm to memory that is."""

    def __init__(self, n_bytes: int) -> None:
        self._from = np.ones(n_bytes, np.uint8)
        self._to = np.zeros(n_bytes, np.uint8)

    def __call__(self) -> None:
        np.copyto(self._to, self._from)


def create_files(directory: str, n: int, data: Optional[Any] = None) -> float:
    """Seconds to create `n` files, empty or of the same bytes."""
    start = perf_counter()
    for i in range(n):
        path = os.path.join(directory, f"{i}.pt")
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        if data is not None:
            os.write(file, data)
        os.close(file)
    return perf_counter() - start


def copy_files(paths: Sequence[str], target: str, sync: bool) -> float:
    """Seconds to join files by copying, in the kernel, and to rename the result."""
    start = perf_counter()
    with open(target + ".new", "wb", buffering=0) as file:
        for path in paths:
            with open(path, "rb", buffering=0) as source:
                n_left = os.fstat(source.fileno()).st_size
                while n_left:
                    n_left -= os.sendfile(file.fileno(), source.fileno(), None, n_left)
        if sync:
            os.fsync(file.fileno())
    os.rename(target + ".new", target)
    return perf_counter() - start


def rename_file(path: str, target: str, sync: bool) -> float:
    """Seconds to show a file whose bytes the kernel has, not the disk."""
    shutil.copyfile(path, target + ".new")
    start = perf_counter()
    if sync:
        with open(target + ".new", "rb+") as file:
            os.fsync(file.fileno())
    os.rename(target + ".new", target)
    return perf_counter() - start
