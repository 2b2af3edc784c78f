"""pinned - memory that a GPU writes to by itself.

In: a mapping of this process, while torch has a GPU in use. Out: the same mapping,
pinned (page-locked): a copy from a GPU goes straight into it, where one into other
memory goes through a buffer of the driver's. Where it can't be pinned, nothing but the
speed is another. Whoever unmaps it, or gives its pages back, unpins it before.

See cudaHostRegister in the CUDA Runtime API; HIP has the same under torch's name.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any

logger = logging.getLogger("lighterd")

_PORTABLE = 1  # cudaHostRegisterPortable: for all GPUs that this process uses


def pin(room: Any) -> int:
    """Returns its address, for `unpin`; 0 where it stays as it was."""
    torch = sys.modules["torch"]
    address = torch.frombuffer(room, dtype=torch.uint8).data_ptr()
    try:
        cudart = torch.cuda.cudart()
        torch.cuda.check_error(cudart.cudaHostRegister(address, len(room), _PORTABLE))
    except (AttributeError, RuntimeError) as error:
        logger.info("memory for lighterd is not pinned: %s", error)
        _forget_error(torch)
        return 0
    return int(address)


def unpin(address: int) -> None:
    torch = sys.modules["torch"]
    try:
        torch.cuda.check_error(torch.cuda.cudart().cudaHostUnregister(address))
    except RuntimeError as error:
        logger.warning("memory for lighterd stays pinned: %s", error)
        _forget_error(torch)


def _forget_error(torch: Any) -> None:
    """CUDA keeps the last error for who asks next; that must not be the model."""
    with suppress(RuntimeError):
        torch.ones(1, device="cuda").add_(1)  # it looks after each launch
