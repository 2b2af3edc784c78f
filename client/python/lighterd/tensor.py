"""tensor - arrays of numbers as bytes.

In: torch tensors on any device, numpy arrays. Out: the type, the shape and the bytes
that section 3 of doc/protocol.md gives a tensor. The bytes are lent by the array itself
where they already lie row-major and little-endian in memory. Any thread.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, Optional, Tuple

import numpy as np

TYPES = frozenset(
    "|b1 |u1 |i1 <i2 <u2 <i4 <u4 <i8 <u8 <f2 <f4 <f8 <c8 <c16".split()
)


class Flat(NamedTuple):
    type: str
    shape: Tuple[int, ...]
    data: memoryview  # of bytes


def is_torch(value: Any) -> bool:
    """Whether `value` is a torch tensor; who never imported torch has none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_torch(value)


def flatten(value: Any) -> Optional[Flat]:
    """None where `value` is no tensor, or its elements are no numbers (text, dates)."""
    name = None
    if is_torch(value):
        torch = sys.modules["torch"]
        if value.dtype is torch.bfloat16:  # numpy has none: let its bits be integers
            name, value = "bfloat16", value.detach().view(torch.int16)
        value = value.numpy(force=True)
    elif not isinstance(value, np.ndarray):
        return None
    dtype = value.dtype.newbyteorder("<")
    if dtype.str not in TYPES:
        return None
    data = np.ascontiguousarray(value, dtype).reshape(-1).view(np.uint8).data
    return Flat(name or dtype.str, value.shape, data)
