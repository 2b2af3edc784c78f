"""tensor - arrays of numbers as bytes.

In: torch tensors on any device, numpy arrays, and what other libraries have for those.
Out: the type, the shape and the bytes that section 3 of doc/protocol.md gives a tensor,
either lent by the array itself where they already lie row-major and little-endian in
memory, or copied, once, to where the caller wants them; or lists. Any thread.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from .errors import named

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


_LISTS = ("tolist", "to_list", "to_pylist", "as_py")  # by which libraries give them


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


def is_torch_type(kind: type) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and issubclass(kind, torch.Tensor)


def is_on_gpu(value: Any) -> bool:
    return is_torch(value) and value.is_cuda  # which AMD's are as well


def is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_torch(value)


def as_tensor(value: Any) -> Any:
    """A torch tensor or numpy array of numbers, all of them there; else None."""
    if is_torch(value):
        return value if _torch_name(value) else None
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            return None
    elif not isinstance(value, np.ndarray):
        value = _from_foreign(value)
    return None if value is None or _name(value) not in TYPES else np.asarray(value)


def has_elements(kind: type) -> bool:
    """Whether `tolist` does something."""
    return any(hasattr(kind, name) for name in (*_LISTS, "__array__", "__dlpack__"))


def has_numbers(value: Any) -> bool:
    """Whether `value` is an array of any library that goes as a tensor."""
    return as_tensor(value) is not None


def tolist(value: Any) -> Any:
    """What `value` itself says that it holds: a list, an array, or one element.

    `value` where it is no array of any library.
    """
    kind = type(value)
    if _is_table(kind):
        raise TypeError(
            f"{named(value)} is a table: hand over its columns, each under a key"
        )
    for name in _LISTS:
        if hasattr(kind, name):
            return getattr(value, name)()
    return _to_numpy(value) if has_elements(kind) else value


def flatten(value: Any) -> Optional[Flat]:
    """None where `value` is no tensor, or its elements are no numbers (text, dates)."""
    if is_torch(value):
        name = _torch_name(value)
        if name is None:
            return None
        n_bytes = value.element_size() * value.numel()  # nbytes is torch 2's
        return Flat(name, tuple(value.shape), n_bytes, value)
    array = as_tensor(value)
    if array is None:
        return None
    return Flat(_name(array), array.shape, array.nbytes, array)


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


def _name(array: np.ndarray) -> str:
    return array.dtype.newbyteorder("<").str


def _torch_name(value: Any) -> Optional[str]:
    """The protocol's type of its elements, if it has one. TypeError: there are none."""
    if getattr(value, "is_nested", False):  # torch 1.12's
        return None
    if value.is_quantized:
        raise TypeError(f"a tensor of {value.dtype}: hand over its dequantize()")
    if value.is_meta or value.layout is not sys.modules["torch"].strided:
        hint = "it has no elements" if value.is_meta else "hand over its to_dense()"
        raise TypeError(f"a tensor of device {value.device}, {value.layout}: {hint}")
    return _torch_types().get(value.dtype)


def _from_foreign(value: Any) -> Optional[np.ndarray]:
    """The array that another library's is; None where it is none, or is more than one.

    Only where its elements are what its own tolist() gives: those of pandas' integers
    with some missing are floats in an array.
    """
    kind = type(value)
    if not _is_array(kind):
        return None
    has_list = any(hasattr(kind, name) for name in _LISTS)
    if has_list and not isinstance(getattr(value, "dtype", None), np.dtype):
        return None
    return _to_numpy(value)


@lru_cache(maxsize=1024)
def _is_array(kind: type) -> bool:
    if issubclass(kind, (np.generic, type)) or _is_table(kind):
        return False
    return hasattr(kind, "__array__") or hasattr(kind, "__dlpack__")


def _is_table(kind: type) -> bool:
    """A DataFrame or its like: as an array its integers may become floats."""
    is_listed = hasattr(kind, "__array__") or hasattr(kind, "to_pylist")
    return is_listed and hasattr(kind, "columns")


def _to_numpy(value: Any) -> np.ndarray:
    if hasattr(type(value), "__array__"):
        return np.asarray(value)
    return np.from_dlpack(value)


@lru_cache(maxsize=None)
def _torch_types() -> Dict[Any, str]:
    torch = sys.modules["torch"]
    return {
        getattr(torch, dtype): name
        for dtype, name in TORCH_TYPES.items()
        if hasattr(torch, dtype)  # the unsigned ones came with torch 2.3
    }
