"""native - the hot path of a hand-over in C, where it was built.

In: the module `_lighterd`, made from native/, if there is one and $LIGHTERD_PURE is not
set. Out: its functions, or what stands for them in Python: that does the same, makes the
same bytes, and takes longer. `pack_request` is None where `wire` is to do it, `send` and
`receive` where `channel` is.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Mapping, Sequence

import numpy as np

logger = logging.getLogger("lighterd")

INTERFACE = 2  # of native/module.c


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
    send = getattr(chosen, "send", None)
    receive = getattr(chosen, "receive", None)
    are_columns = getattr(chosen, "are_columns", _are_columns)


module = _find()
use(module)
