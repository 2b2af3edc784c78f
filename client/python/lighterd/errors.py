"""errors - what can go wrong, as exceptions.

In: the error map of an answer (section 4 of doc/protocol.md). Out: an exception of the
class that this error has in Python, with the daemon's `details` as its attribute. And:
what is wrong with a value, with the key and sample that it is of.
"""

from __future__ import annotations

import builtins
from typing import Any, Mapping, Optional


class Error(Exception):
    """Something went wrong in lighterd that Python has no class for."""


class ProtocolError(Error):
    """The daemon and this client do not understand each other."""


class StateError(Error):
    """Not now: the job is over, interrupted or taken, or the daemon stops."""


class LimitError(Error):
    """Over a limit of the daemon's configuration."""


class ConnectionError(Error, builtins.ConnectionError):
    """The daemon cannot be reached, or went away."""


class OwnerError(ConnectionError):
    """Who listens there is not the user whose daemon this process takes for its own."""


_CLASSES = {
    "protocol": ProtocolError,
    "unknown_method": ProtocolError,
    "bad_params": ValueError,
    "missing_key": KeyError,
    "bad_value": ValueError,
    "bad_type": TypeError,
    "bad_state": StateError,
    "limit": LimitError,
}


def is_ours(error: BaseException) -> bool:
    """Whether a call of ours failed, or the daemon said no.

    Else a signal's handler may have raised it, anywhere; that is for its owner.
    """
    if isinstance(error, Error) or hasattr(error, "details"):
        return True
    return isinstance(error, OSError) and error.errno is not None


def from_answer(error: Mapping[str, Any], context: str = "") -> Exception:
    """The exception for an answer's `error`; `context` goes before its message."""
    details = error.get("details") or {}
    sample = f"sample {details['sample']}: " if "sample" in details else ""
    message = context + sample + error.get("message", "")
    if error.get("code") == "os":
        exception: Exception = OSError(details.get("errno", 0), message)
    else:
        exception = _CLASSES.get(error.get("code", ""), Error)(message)
    exception.details = details  # type: ignore[attr-defined]
    return exception


def of_value(error: Exception, key: Any, sample: Optional[int] = None) -> Exception:
    """`error`, a TypeError or ValueError, with the key and sample that it is about."""
    where = f"key {key!r}" if sample is None else f"key {key!r}, sample {sample}"
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{where}: {error}")


def named(value: Any) -> str:
    """What `value` is, for a sentence."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"a value of type {module}{kind.__qualname__}"
