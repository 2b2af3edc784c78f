"""owner - whose daemon listens there.

In: a connected socket, and the user that was told, if any. Out: nothing, or an error:
in a directory such as /tmp anybody may wait for what this process has to hand over. The
kernel says who called listen() (SO_PEERCRED): of a socket that systemd made, root, or
the user whose systemd it is. Any thread.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
from typing import Optional, Union

from .errors import OwnerError

VARIABLE = "LIGHTERD_OWNER"
ROOT = 0

Owner = Union[str, int]  # a user's name or number


def uid_of(connected: socket.socket) -> int:
    size = struct.calcsize("iII")
    found = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return struct.unpack("iII", found)[1]


def name(uid: int) -> str:
    """For people."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def check(connected: socket.socket, path: str, told: Optional[Owner] = None) -> None:
    """OwnerError where this is the daemon of a user who is neither root, nor the one
    that was told, nor, where none was told, this process's.
    """
    if told is None:
        told = os.environ.get(VARIABLE) or None
    wanted = os.geteuid() if told is None else _number(told)
    found = uid_of(connected)
    if found not in (wanted, ROOT):
        raise OwnerError(
            f"the daemon at {path} is of user {name(found)}; expected {name(wanted)} or "
            "root: what is handed over would be that user's. If it may be, name the "
            f"user by `owner=` or ${VARIABLE}"
        )


def _number(told: Owner) -> int:
    if isinstance(told, int):
        return told
    try:
        return int(told) if told.isdecimal() else pwd.getpwnam(told).pw_uid
    except KeyError:
        raise ValueError(
            f"there is no user {told!r}: `owner` and ${VARIABLE} expect the name or "
            "number of the user whose daemon it is"
        ) from None
