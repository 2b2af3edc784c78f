"""address - where the daemon listens.

In: the socket that the user told, if any, and the environment. Out: the path of the
socket, by the rules of section 1 of doc/protocol.md. Any thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Optional, Union

from .errors import ConnectionError

MAX_BYTES = 107
SYSTEM_SOCKET = "/run/lighterd/lighterd.sock"

PathLike = Union[str, "os.PathLike[str]"]


def resolve(told: Optional[PathLike] = None) -> str:
    """The socket's path. ValueError where it does not fit a socket address."""
    path = os.path.abspath(told) if told else _default()
    n_bytes = len(os.fsencode(path))
    if n_bytes > MAX_BYTES:
        raise ValueError(
            f"the socket's path has {n_bytes} bytes, more than {MAX_BYTES}: {path}"
        )
    return path


def _default() -> str:
    told = os.environ.get("LIGHTERD_SOCKET")
    if told:
        return told
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return os.path.join(runtime, "lighterd", "lighterd.sock")
    if os.geteuid() == 0 or os.path.exists(SYSTEM_SOCKET):
        return SYSTEM_SOCKET
    directory = f"/tmp/lighterd-{os.geteuid()}"
    _check_private(directory)
    return os.path.join(directory, "lighterd.sock")


def _check_private(directory: str) -> None:
    """Anyone may make a name in /tmp: trust it only if it is ours alone."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)  # first: nobody can make it after the look
    found = os.lstat(directory)
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or stat.S_IMODE(found.st_mode) != 0o700
    ):
        raise ConnectionError(
            f"{directory} must be a directory of user {os.geteuid()} with mode 0700"
        )
