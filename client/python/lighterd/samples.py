"""samples - how a value of a batch falls into samples.

In: one value of the outputs. Out: how many samples it holds, and which. Whatever is a
sequence holds one an item: lists, tuples and their like, tensors and arrays along their
first dimension, columns of pandas, polars and pyarrow; anything else is one value that
stands for itself. What has items, but no order or no length, is refused. Any thread.
"""

from __future__ import annotations

import sys
from collections import UserString
from collections.abc import Iterator, Mapping, MappingView, Sequence, Set
from typing import Any, List, Optional, Union

import numpy as np

from . import tensor
from .errors import named

# Soonest, for it is asked of every batch.
_ONE = frozenset({str, int, float, bool, type(None), bytes, dict})


def of(value: Any) -> Any:
    """A list or a tensor of samples; `value` itself where it is one for all of them.

    A tensor without dimensions is such a one. TypeError where it can't be told.
    """
    kind = type(value)
    if kind is list or kind in _ONE:
        return value
    if tensor.is_torch(value):
        return list(value.unbind()) if getattr(value, "is_nested", False) else value
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if isinstance(value, (str, bytes, bytearray, Mapping, UserString, np.generic, type)):
        return value
    if isinstance(value, (Sequence, MappingView)):
        return _of_sequence(value)
    if isinstance(value, (Iterator, Set)):
        raise TypeError(
            f"{named(value)} has no {'order' if isinstance(value, Set) else 'length'}: "
            "hand over a list"
        )
    return _of_foreign(value)


def count(value: Any) -> Optional[int]:
    """None where `value` is one for all samples."""
    if type(value) is not list:
        value = of(value)
    if type(value) is list:
        return len(value)
    return len(value) if tensor.is_tensor(value) and value.ndim else None


def split(value: Any) -> List[Any]:
    value = of(value)
    if type(value) is list:
        return value
    return list(value) if tensor.is_tensor(value) and value.ndim else [value]


def _of_array(array: np.ndarray) -> Any:
    """As it is where its elements are numbers, else a list, or one element."""
    numbers = tensor.as_tensor(array)
    if numbers is not None:
        return numbers
    if array.ndim == 0:
        return array[()]
    # tolist() would make integers or datetimes of dates, and shows what is masked.
    if isinstance(array, np.ma.MaskedArray) or array.dtype.kind in "mM":
        return list(array)
    return array.tolist()


def _of_sequence(value: Union[Sequence, MappingView]) -> List[Any]:
    if isinstance(value, memoryview):
        return value.tolist()
    if type(value).__name__ == "PackedSequence" and "torch" in sys.modules:
        return sys.modules["torch"].nn.utils.rnn.unpack_sequence(value)
    return list(value)


def _of_foreign(value: Any) -> Any:
    numbers = tensor.as_tensor(value)
    made = tensor.tolist(value) if numbers is None else numbers
    if made is not value:
        return _of_array(made) if isinstance(made, np.ndarray) else made
    kind = type(value)
    if hasattr(kind, "keys") or not hasattr(kind, "__getitem__"):
        return value
    return _of_items(value) if hasattr(kind, "__len__") else value


def _of_items(value: Any) -> List[Any]:
    try:
        return [value[i] for i in range(len(value))]
    except LookupError:
        raise TypeError(
            f"{named(value)} has items, but not by their numbers: hand over a list"
        ) from None
