"""tensor - arrays of numbers as bytes.

In: torch tensors on any device, numpy arrays. Out: the type, the shape and the bytes
that section 3 of doc/protocol.md gives a tensor, either lent by the array itself where
they already lie row-major and little-endian in memory, or copied, once, to where the
caller wants them. Any thread.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

TYPES = frozenset(
    "|b1 |u1 |i1 <i2 <u2 <i4 <u4 <i8 <u8 <f2 <f4 <f8 <c8 <c16".split()
)
TORCH_TYPES = {
    "bool": "|b1",
    "uint8": "|u1",
    "int8": "|i1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "int64": "<i8",
    "uint64": "<u8",
    "float16": "<f2",
    "bfloat16": "bfloat16",
    "float32": "<f4",
    "float64": "<f8",
    "complex64": "<c8",
    "complex128": "<c16",
}


class Flat(NamedTuple):
    """A tensor as the protocol describes it; its bytes are still where they were."""

    type: str
    shape: Tuple[int, ...]
    n_bytes: int
    value: Any  # a numpy array, or a torch tensor that is strided


def is_torch(value: Any) -> bool:
    """Whether `value` is a torch tensor; who never imported torch has none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_on_gpu(value: Any) -> bool:
    return is_torch(value) and value.is_cuda  # which AMD's are as well


def is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_torch(value)


def flatten(value: Any) -> Optional[Flat]:
    """None where `value` is no tensor, or its elements are no numbers (text, dates)."""
    if is_torch(value):
        torch = sys.modules["torch"]
        name = _torch_types().get(value.dtype)
        if name and value.layout is torch.strided:
            n_bytes = value.element_size() * value.numel()  # nbytes is torch 2's
            return Flat(name, tuple(value.shape), n_bytes, value)
        value = value.numpy(force=True)  # raises what torch has to say about it
    elif not isinstance(value, np.ndarray):
        return None
    name = value.dtype.newbyteorder("<").str
    return Flat(name, value.shape, value.nbytes, value) if name in TYPES else None


def lend(flat: Flat) -> memoryview:
    """The bytes, of the array itself where they are in order."""
    value = flat.value
    name = flat.type
    if not isinstance(value, np.ndarray):
        if name == "bfloat16":  # numpy has none: let its bits be integers
            name, value = "<i2", value.detach().view(sys.modules["torch"].int16)
        value = value.numpy(force=True)
    return np.ascontiguousarray(value, name).reshape(-1).view(np.uint8).data


def copy(flat: Flat, room: Any, offset: int) -> None:
    """Copy the bytes to room[offset:]; they are there when this returns."""
    count = math.prod(flat.shape)
    if is_torch(flat.value):
        torch = sys.modules["torch"]
        # From a GPU as well: without non_blocking, copy_ waits for its end.
        to = torch.frombuffer(room, dtype=flat.value.dtype, count=count, offset=offset)
        to.view(flat.shape).copy_(flat.value.detach())
    else:
        to = np.frombuffer(room, np.dtype(flat.type), count, offset)
        np.copyto(to.reshape(flat.shape), flat.value)


@lru_cache(maxsize=None)
def _torch_types() -> Dict[Any, str]:
    torch = sys.modules["torch"]
    return {
        getattr(torch, dtype): name
        for dtype, name in TORCH_TYPES.items()
        if hasattr(torch, dtype)  # the unsigned ones came with torch 2.3
    }
