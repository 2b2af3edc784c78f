"""launch - reach the daemon, and start one where none listens.

In: an address. Out: a connection. However many processes come at once, one daemon
stays: those that lose the race are told so by their exit code. Blocks; any thread.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from functools import partial
from typing import NoReturn, Optional

from . import address
from . import owner as owners
from .connection import Connection
from .errors import ConnectionError

IDLE_EXIT_S = 60
START_TIMEOUT_S = 30
EXIT_TAKEN = 3  # another daemon holds this socket


def connect(
    told: Optional[address.PathLike] = None, owner: Optional[owners.Owner] = None
) -> Connection:
    """Connect to the daemon of this address, or of the default one.

    It must be of this process's user, of root, or of the `owner`.
    """
    path = address.resolve(told)
    connected = _dial(path, owner)
    try:
        return Connection(connected, partial(_dial, path, owner))
    except BaseException:
        connected.close()
        raise


def _dial(path: str, owner: Optional[owners.Owner]) -> socket.socket:
    """A socket on which a daemon listens; it is started where none does.

    The one that won may hold the socket's lock and not listen yet, or die of something
    else meanwhile.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    pause = 0.01
    while True:
        connected = _try_connect(path, owner)
        if connected is None:
            _start(path)
            connected = _try_connect(path, owner)
        if connected is not None:
            return connected
        if time.monotonic() > deadline:
            _give_up(path, "one holds this socket, but does not listen")
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


def _try_connect(path: str, owner: Optional[owners.Owner]) -> Optional[socket.socket]:
    """None where nobody listens."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.connect(path)
        owners.check(connected, path, owner)
    except (FileNotFoundError, ConnectionRefusedError):
        connected.close()
        return None
    except BaseException as error:
        connected.close()
        if isinstance(error, OSError) and error.errno is not None:
            why = f"cannot connect to {path}: {error.strerror}"
            raise ConnectionError(why) from error
        raise
    return connected


def _start(path: str) -> None:
    command = [_binary(path), "--socket", path, "--idle-exit", str(IDLE_EXIT_S)]
    # A file, not a pipe: a daemon that kept its end open would have us read for ever.
    with tempfile.TemporaryFile() as stderr:
        try:
            exit_code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is for us
                timeout=START_TIMEOUT_S,
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            _give_up(path, str(error))
        if exit_code > 0 and exit_code != EXIT_TAKEN:  # below 0: somebody killed it
            stderr.seek(0)
            text = stderr.read().decode(errors="replace").strip()
            _give_up(path, text or f"{command[0]} ended with {exit_code}")


def _binary(path: str) -> str:
    """$LIGHTERD, else the one on PATH, else that of the prefix we are installed in."""
    told = os.environ.get("LIGHTERD") or shutil.which("lighterd")
    if told:
        return told
    # PREFIX/lib/python3.x/site-packages/lighterd/launch.py
    prefix = os.path.abspath(os.path.join(__file__, *[os.pardir] * 5))
    for directory in ("sbin", "bin"):
        found = os.path.join(prefix, directory, "lighterd")
        if os.access(found, os.X_OK):
            return found
    _give_up(path, "there is no lighterd on PATH; install it, or set $LIGHTERD")


def _give_up(path: str, why: str) -> NoReturn:
    raise ConnectionError(
        f"no lighterd listens at {path}, and none could be started: {why}\n"
        f"Start one with: lighterd --socket {path}"
    )
