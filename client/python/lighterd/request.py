"""request - what a connection keeps: requests without an answer, and jobs that are open.

All that the next daemon is told when one dies, and nothing else. Plain data; the
connection's lock is held by whoever changes it.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .memory import Slot

# Takes the error and the result of an answer, one of which is None. May be called again
# with the same, where a signal's handler has raised meanwhile.
OnAnswer = Callable[[Optional[Dict[str, Any]], Any], None]

OF_NO_JOB = 0  # as a handle
OF_THE_WAY_BACK = -1  # of looking for the next daemon, and of that attempt alone


class Request(NamedTuple):
    """One without an answer, and all that it needs to be sent again."""

    frame: bytearray
    sent: List[int]  # bytes of it that are out on this connection, call by call
    slot: Optional[Slot]
    size: int  # of the frame, and of its tensors in memory
    on_answer: OnAnswer
    handle: int  # of the job that it is about; or one of those above
    seq: int  # of its batch; 0: it is no `write`
    opens: Optional[Dict[str, Any]]  # the parameters of an `open`
    descriptor: Optional[int]  # that goes with it


class Answer:
    """What one request is answered with: its `on_answer`."""

    def __init__(self) -> None:
        self.both: Optional[Tuple[Optional[Dict[str, Any]], Any]] = None

    def __call__(self, error: Optional[Dict[str, Any]], result: Any) -> None:
        self.both = (error, result)


class OpenJob:
    """What it takes to open it again."""

    def __init__(self, params: Dict[str, Any], id: int) -> None:
        self.params = params
        self.id = id  # 0: it has no outputs, so that nothing of it can be lost
        self.last_seq = 0  # of the batches that were handed over or passed over
