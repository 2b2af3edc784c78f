"""native - the hot path of a hand-over in C, where it was built.

In: the module `_lighterd`, made from native/, if there is one and $LIGHTERD_PURE is not
set. Out: its functions, or what stands for them in Python: that does the same, makes the
same bytes, and takes longer. `pack_request` is None where `wire` is to do it.
"""

from __future__ import annotations

import logging
import os
from socket import MSG_DONTWAIT, MSG_NOSIGNAL, socket
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np

logger = logging.getLogger("lighterd")

INTERFACE = 2  # of native/module.c
RECEIVE_BYTES = 1 << 16


def _send(connected: socket, frame: bytearray, start: int) -> int:
    """How many bytes behind `start` the socket took: 0 where it is full."""
    try:
        with memoryview(frame) as whole, whole[start:] as left:
            return connected.send(left, MSG_NOSIGNAL | MSG_DONTWAIT)
    except BlockingIOError:
        return 0


def _receive(
    connected: socket, is_at_frame: bool
) -> Optional[Tuple[List[int], bytes]]:
    """Ids that are answered by an empty result, and bytes that have come behind those.

    Neither: the connection's end. None: nothing is there yet. Ids are for who takes
    bytes apart more quickly than `wire` does, which is nobody in Python.
    """
    try:
        return [], connected.recv(RECEIVE_BYTES, MSG_DONTWAIT)
    except BlockingIOError:
        return None


def _are_columns(outputs: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether a table's batch is certainly sound. False says nothing."""
    return False


def know_torch(torch: Any) -> None:
    """Nobody imports torch for us: this is for when somebody has."""
    if hasattr(torch.Tensor, "is_neg"):  # torch 1.10
        from torch.utils.dlpack import to_dlpack

        module.know_torch(torch.Tensor, to_dlpack, torch.Tensor.is_neg)


def _find() -> Any:
    """The C module, or None."""
    if os.environ.get("LIGHTERD_PURE"):
        return None
    try:
        import _lighterd
    except ImportError:
        return None
    if _lighterd.INTERFACE != INTERFACE:
        logger.warning("the C module of lighterd is of another version; it is not used")
        return None
    _lighterd.know_numpy(np.ndarray)
    return _lighterd


def use(chosen: Any) -> None:
    """Take the functions of `module`, or those above: for tests and benchmarks."""
    global pack_request, send, receive, are_columns
    pack_request = getattr(chosen, "pack_request", None)
    send = getattr(chosen, "send", _send)
    receive = getattr(chosen, "receive", _receive)
    are_columns = getattr(chosen, "are_columns", _are_columns)


module = _find()
use(module)
