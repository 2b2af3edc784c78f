"""samples - how a value of a batch falls into samples.

In: one value of the outputs. Out: how many samples it holds, and which. Lists, tuples
and other sequences hold one value a sample, tensors and arrays one along their first
dimension; a 0-d tensor is one sample; anything else stands for itself. Any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, List, Optional

from . import tensor


def is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(
        value, (str, bytes, bytearray, memoryview)
    )


def count(value: Any) -> Optional[int]:
    """None where `value` is no collection of samples."""
    if type(value) is list:  # soonest, for it is asked of every batch
        return len(value)
    if tensor.is_tensor(value):
        shape = value.shape
        return shape[0] if shape else 1
    return len(value) if is_list(value) else None


def split(value: Any) -> List[Any]:
    if is_list(value) or tensor.is_tensor(value) and value.ndim:
        return list(value)
    return [value]
