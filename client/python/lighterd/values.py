"""values - what a sample is in Python's own types.

In: one sample, anything. Out: what MessagePack has a word for, or else its text, so that
what stands in a table is what Python prints of it once tensors, arrays and numpy's
scalars, at any depth, are what tolist() and item() give. What is missing (masked,
pandas' NA, NaT) is None. What has no text of its own, or goes too deep, is refused.
Any thread.

The text is Python's as well: where something in a list has no word (a tuple, a Path, an
integer of 65 bits), the whole list is made here and printed here.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import Counter, OrderedDict, UserDict, UserList, UserString
from collections import defaultdict, deque
from collections.abc import Mapping, MappingView, Sequence, Set
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from types import MappingProxyType, SimpleNamespace
from typing import Any, Callable, Dict, List, Union

import numpy as np

from . import samples, tensor
from .errors import named

# Containers within one another that a sample may have: 32 are a frame's (section 2 of
# doc/protocol.md), and up to the samples there are five.
MAX_DEPTH = 27

ATOMS = frozenset({str, int, float, bool, type(None), bytes})
_NESTED = ATOMS | {list, dict}
_MANY = 1 << 22  # as many values as a frame may have; a list that holds itself has more

# Whose text is made of what they are made of.
_REMADE = {set, frozenset, OrderedDict, Counter, UserList, UserDict, MappingProxyType}

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+>")


def has_words(kind: type) -> bool:
    """Whether MessagePack has words for a value of this type, but for what is in it."""
    return kind in _NESTED


def are_packable(items: Sequence) -> bool:
    """Whether there are only ATOMS, and lists and dicts of those, not too deep. A level
    at a time, which is the quickest in Python. False where there is too much to look at.
    """
    for _ in range(MAX_DEPTH + 1):
        kinds = set(map(type, items))
        if kinds <= ATOMS:
            return True
        if not kinds <= _NESTED or len(items) > _MANY:
            return False
        dicts = [each for each in items if type(each) is dict] if dict in kinds else []
        if not ATOMS.issuperset(map(type, chain.from_iterable(dicts))):
            return False
        lists = [each for each in items if type(each) is list]
        values = map(dict.values, dicts)
        items = [*chain.from_iterable(lists), *chain.from_iterable(values)]
    return False


def packable(value: Any) -> Any:
    """`value` out of ATOMS, lists and dicts; its text where it is none of those.

    An integer may have more than 64 bits. TypeError, ValueError: it can't be written.
    """
    if type(value) in ATOMS:
        return value
    walk = _Walk()
    made = walk.plain(value, 0)
    return made if walk.packs else text(made)


def text(value: Any) -> str:
    """As csv writes it: of a kind of str, the str within."""
    return str.__str__(value) if isinstance(value, str) else str(value)


class _Verbatim(str):
    """A text that stands in a list without quotes."""

    __repr__ = str.__str__


class _Walk:
    """Through one sample."""

    def __init__(self) -> None:
        self.packs = True  # MessagePack has a word for all that was seen
        self.n_made = 0  # values that became other ones

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in ATOMS:
            return value
        if kind is list:
            return self._items(value, depth)
        if kind is dict:
            return self._pairs(value, depth)
        return _HANDLERS[_of_kind(kind)](self, value, depth)

    def _items(self, items: Any, depth: int) -> List[Any]:
        if depth == MAX_DEPTH:
            raise ValueError(
                f"more than {MAX_DEPTH} lists, tuples or dicts within one another"
            )
        return [self.plain(item, depth + 1) for item in items]

    def _pairs(self, pairs: Mapping, depth: int) -> Dict[Any, Any]:
        values = self._items(pairs.values(), depth)
        return dict(zip([self._key(key, depth + 1) for key in pairs], values))

    def _key(self, key: Any, depth: int) -> Any:
        if tensor.is_tensor(key):
            raise TypeError("a tensor as a dict's key: hand over its item()")
        return self.plain(key, depth)

    def _missing(self, value: Any, depth: int) -> None:
        self.n_made += 1

    def _listed(self, value: Any, depth: int) -> Any:
        made = tensor.tolist(value)
        if type(made) is type(value):
            return self._leaf(value, depth)
        self.n_made += 1
        return self.plain(made, depth)

    def _scalar(self, value: np.generic, depth: int) -> Any:
        self.n_made += 1
        if value.dtype.kind in "mM":
            return None if np.isnat(value) else str(value)
        item = value.item()
        if not isinstance(item, np.generic):
            return self.plain(item, depth)
        self.packs = False
        return _Verbatim(value)  # more digits than a float has

    def _array(self, value: Any, depth: int) -> Any:
        self.n_made += 1
        if tensor.is_torch(value):
            tensor.as_tensor(value)  # or says why it can't be
            made = samples.of(value)
            made = made if type(made) is list else value.tolist()
        elif value.ndim == 0:
            made = value[()]
        elif tensor.as_tensor(value) is None and value.dtype.kind not in "OSU":
            made = list(value)  # dates, what is masked
        else:
            made = value.tolist()
        return self.plain(made, depth)

    def _container(self, value: Any, depth: int) -> Any:
        """As it is, unless something in it has become another: then it's made anew."""
        self.packs = False
        before = self.n_made
        if isinstance(value, Mapping):
            made: Any = self._pairs(value, depth)
        else:
            made = self._items(value, depth)
        return value if self.n_made == before else _rebuilt(value, made)

    def _fields(self, value: Any, depth: int) -> Any:
        self.packs = False
        before = self.n_made
        if isinstance(value, SimpleNamespace):
            made = self._pairs(vars(value), depth)
        else:
            shown = [each.name for each in dataclasses.fields(value) if each.repr]
            made = self._pairs({name: getattr(value, name) for name in shown}, depth)
        if self.n_made == before:
            return value
        value = copy.copy(value)
        for name, each in made.items():
            object.__setattr__(value, name, each)  # it may be frozen
        return value

    def _leaf(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if isinstance(value, str) and (depth == 0 or kind.__repr__ is str.__repr__):
            return str.__str__(value)
        self.packs = False
        has_text = depth == 0 and kind.__str__ is not object.__str__
        if not has_text and _ADDRESS.search(repr(value)):
            raise TypeError(
                f"{named(value)} cannot be written: Python has no text for it but "
                f"{repr(value)[:100]}"
            )
        return value


@lru_cache(maxsize=1024)
def _of_kind(kind: type) -> str:
    """Which of _HANDLERS a value of this type has."""
    module, name = kind.__module__, kind.__name__
    if kind is type(np.ma.masked) or (
        module.startswith("pandas.") and name in ("NAType", "NaTType")
    ):
        return "missing"
    if issubclass(kind, np.generic):
        return "scalar"
    if issubclass(kind, np.ndarray) or tensor.is_torch_type(kind):
        return "array"
    if issubclass(kind, (str, bytes, bytearray, UserString, type)):
        return "leaf"
    if tensor.has_elements(kind):
        return "listed"
    if issubclass(kind, (tuple, list, dict, Mapping, Sequence, Set, MappingView)):
        return "container"
    is_namespace = issubclass(kind, SimpleNamespace)
    return "fields" if is_namespace or _shows_fields(kind) else "leaf"


def _shows_fields(kind: type) -> bool:
    """Whether its text is the one that `dataclass` has made."""
    return (
        dataclasses.is_dataclass(kind)
        and hasattr(kind.__repr__, "__wrapped__")
        and kind.__str__ is object.__str__
    )


def _rebuilt(value: Any, made: Union[List[Any], Dict[Any, Any]]) -> Any:
    """A container like `value`, which prints as it does, of what `made` has."""
    kind = type(value)
    for plain in (list, tuple, dict):
        if kind.__repr__ is plain.__repr__:
            return plain(made)
    if kind in _REMADE:
        return kind(made)
    if kind is deque:
        return deque(made, value.maxlen)
    if kind is defaultdict:
        return defaultdict(value.default_factory, made)
    if isinstance(value, tuple) and hasattr(kind, "_make"):
        with suppress(AttributeError, TypeError, ValueError):  # one with checks
            return kind._make(made)
    raise TypeError(
        f"{named(value)} holds tensors or numpy's scalars, which its text would round: "
        "hand over a list or a dict"
    )


_HANDLERS: Dict[str, Callable[[_Walk, Any, int], Any]] = {
    "missing": _Walk._missing,
    "scalar": _Walk._scalar,
    "array": _Walk._array,
    "listed": _Walk._listed,
    "container": _Walk._container,
    "fields": _Walk._fields,
    "leaf": _Walk._leaf,
}
