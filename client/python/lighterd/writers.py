"""writers - the outputs of a job, as a client asks for them.

In: the options of a writer. Out: a `Writer`: what `open` says of it, the keys that it
needs of a batch, and a check of a batch that costs next to nothing, so that a bad one
raises where it was brought. Pure; any thread.
"""

from __future__ import annotations

import os
import re
from collections.abc import KeysView, Set
from functools import partial
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Union,
)

import numpy as np

from . import encoders, native, samples, tensor, values
from .address import PathLike
from .errors import named, of_value

Outputs = Mapping[str, Any]
Encoder = Union[str, Mapping[str, Any]]

# Names of a place that is no directory of this machine, or that stays as it is written.
_NOT_OF_PATHS = re.compile(
    r"(?P<placeholder>\{(stage|epoch|dataloader|rank|index)\})"
    r"|^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+:/+)"
)


def _accept(outputs: Outputs) -> None:
    """The daemon alone checks."""


LINE_ENDS = ("crlf", "lf")
OF_TENSORS = frozenset({"tensor", "image_2d", "image_3d", "video"})  # encoders


class Writer(NamedTuple):
    """One output of a job. For plugins of your own; else use `csv` and `file`.

    `check` raises where a batch cannot be right for this writer.
    """

    type: str
    path: str
    keys: List[str]
    options: Dict[str, Any]
    check: Callable[[Outputs], None] = _accept


def target(path: PathLike) -> str:
    """`path` with its `~`, which nobody else replaces; ValueError where it is none."""
    path = os.fsdecode(path)
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ValueError(f"there is no home of {path!r}: is it './{path}'?")
    found = _NOT_OF_PATHS.search(path)
    if found is None:
        return expanded
    if found["placeholder"]:
        raise ValueError(
            f"the path {path!r} has {found['placeholder']}, which lighterd does not "
            "fill in: give the path as it is to be"
        )
    raise ValueError(
        f"the path {path!r} names another storage, {found['scheme']}: lighterd writes to "
        "directories of this machine"
    )


def csv(
    path: PathLike,
    keys: Sequence[str],
    line_end: str = "crlf",
    *,
    overwrite: Optional[str] = None,
) -> Writer:
    """A table: a header of `keys`, then a line for each sample.

    Lines end as Python's csv module has them, or with `line_end="lf"` as text files do.
    `overwrite` says what becomes of a table that is there: "replace", which is the
    daemon's default, or "error".
    """
    path, keys = target(path), _checked_keys(keys)
    options = {"path": path, "keys": keys}
    if line_end not in LINE_ENDS:
        raise ValueError(f"line_end expects 'crlf' or 'lf', got {line_end!r}")
    if line_end != LINE_ENDS[0]:  # which lighterd 0.1.0 does not know
        options["line_end"] = line_end
    _add_overwrite(options, overwrite)
    return Writer("csv", path, keys, options, partial(_check_csv, keys))


def _checked_keys(keys: Sequence[str]) -> List[str]:
    if isinstance(keys, KeysView):
        keys = list(keys)
    if isinstance(keys, (str, bytes, Mapping, Set)) or not isinstance(keys, Iterable):
        raise ValueError(f"keys expects a list of strings, as in ['id'], got {keys!r}")
    keys = list(keys)
    for key in keys:
        if not isinstance(key, str):
            raise ValueError(f"keys expects strings, got {named(key)} in {keys!r}")
    if not keys:
        raise ValueError("keys expects at least one key, got an empty list")
    return keys


def file(
    directory: PathLike,
    value_key: str,
    writer_fn: Union[Encoder, Callable[[Any, Any], None]],
    name_key: Optional[str] = None,
    *,
    overwrite: Optional[str] = None,
) -> Writer:
    """A file for each sample, named by `name_key` or else numbered.

    `writer_fn` is an encoder's name, as in "image_2d", or a map of its name and options,
    as in {"name": "image_2d", "suffix": ".png"}. A function, or the name of a registered
    one, is called in this process with a path and a value: see `lighterd.run`.
    `overwrite` says what becomes of what is there: "replace" (files of the same names),
    which is the daemon's default, "error", or "exchange" (the whole directory; the old
    one is kept).
    """
    directory = target(directory)
    if not isinstance(writer_fn, (str, Mapping)) and not callable(writer_fn):
        raise TypeError(
            "writer_fn must be a string or a callable, or a map of an encoder's name and "
            f"options, got {named(writer_fn)}"
        )
    writer_fn = encoders.name_of(writer_fn) or writer_fn
    encoder: Any = dict(writer_fn) if isinstance(writer_fn, Mapping) else writer_fn
    options = {"directory": directory, "value_key": value_key, "writer_fn": encoder}
    keys = [value_key]
    if name_key is not None:
        options["name_key"] = name_key
        keys.append(name_key)
    _add_overwrite(options, overwrite)
    name = encoder.get("name") if isinstance(encoder, dict) else encoder
    check = partial(check_file, value_key, name_key, encoder=name)
    return Writer("file", directory, keys, options, check)


def _add_overwrite(options: Dict[str, Any], overwrite: Optional[str]) -> None:
    if overwrite is not None:  # the daemon knows the words
        options["overwrite"] = overwrite


def of_pipeline(
    described: Optional[Sequence[Mapping[str, Any]]],
) -> Optional[List[Writer]]:
    """What the daemon says that a pipeline is; None where it says nothing, or we do not
    know a type of it, and with it not the keys that it needs.
    """
    if described is None:
        return None
    found = []
    for each in described:
        options = each["options"]
        if each["type"] == "csv":
            overwrite = options.get("overwrite")
            found.append(csv(options["path"], options["keys"], overwrite=overwrite))
        elif each["type"] == "file":
            names = ("directory", "value_key", "writer_fn", "name_key")
            given = (options.get(name) for name in names)
            found.append(file(*given, overwrite=options.get("overwrite")))
        else:
            return None
    return found


def _check_csv(keys: List[str], outputs: Outputs) -> None:
    if native.are_columns(outputs, keys):
        return
    present = [key for key in keys if key in outputs]
    if not present:
        raise KeyError(
            f"CsvWriter: none of the configured keys {keys} were found in outputs. "
            f"Available keys in outputs: {list(outputs.keys())}"
        )
    counts = {key: _count(key, outputs[key]) for key in present}
    expected = next((n for n in counts.values() if n is not None), 1)
    for key, n in counts.items():
        if n is not None and n != expected:
            raise ValueError(
                f"CsvWriter found inconsistent lengths for keys: "
                f"expected {expected}, but found {n} for key '{key}'."
            )
    for key in keys:
        if key not in outputs and expected:
            raise KeyError(
                f"CsvWriter expected key '{key}' in outputs but it was missing."
            )


def _count(key: str, value: Any) -> Optional[int]:
    """None where `value` stands in every row: a scalar, or a 0-d tensor."""
    try:
        return samples.count(value)
    except TypeError as error:
        raise of_value(error, key) from error


def check_file(
    value_key: str,
    name_key: Optional[str],
    outputs: Outputs,
    encoder: Optional[str] = None,
) -> None:
    n_values = _count_files(outputs, value_key)
    if n_values == 0:
        return
    if name_key is not None:
        n_names = _count_files(outputs, name_key)
        if n_names != n_values:
            raise ValueError(
                f"Length mismatch between value key '{value_key}' ({n_values}) "
                f"and name key '{name_key}' ({n_names})."
            )
    if encoder in OF_TENSORS:
        _check_tensors(value_key, outputs[value_key], encoder)


def _count_files(outputs: Outputs, key: str) -> int:
    if key not in outputs:
        raise KeyError(f"FileWriter expected key '{key}' in outputs but it was missing.")
    n = _count(key, outputs[key])
    return 1 if n is None else n


def _check_tensors(key: str, value: Any, encoder: str) -> None:
    """Of what goes to the daemon as a text, it could only say that it got a string."""
    try:
        if tensor.is_tensor(value) and tensor.has_numbers(value):
            return
    except TypeError as error:
        raise of_value(error, key, None) from error
    is_one = samples.count(value) is None
    for sample, each in enumerate(samples.split(value)):
        try:
            if not values.has_words(type(each)) and not tensor.has_numbers(each):
                raise TypeError(f"{encoder} expects a tensor, got {_unfit(each)}")
        except TypeError as error:
            raise of_value(error, key, None if is_one else sample) from error


def _unfit(value: Any) -> str:
    if isinstance(value, np.ma.MaskedArray):
        return "an array with elements that are masked"
    if tensor.is_tensor(value):
        return f"one with elements of type {value.dtype}"
    return named(value)
