"""wire - frames, and values as MessagePack.

In: a request and the outputs of a batch. Out: one frame, whole, in a buffer of its own:
it can be sent again. The bytes of big tensors are not in it: they go into memory that is
shared with the daemon, and where, the frame is told later (`Places`). And back: bytes as
they come, into whole answers. Pure; any thread.

This is sections 2 and 3 of doc/protocol.md. Where the package was built with its C module
(`native`), that packs what is common, and what is here does the rest; without it, all.
"""

from __future__ import annotations

import struct
import sys
from typing import Any, Dict, Iterator, List, Mapping, Optional

import msgpack
import numpy as np

from . import memory, native, samples, tensor, values
from .errors import LimitError, of_value
from .memory import Places

# Strict: a subclass (IntEnum, np.float64) is a TypeError, not the number within. One for
# all threads: `pack` runs no Python code in between.
_packer = msgpack.Packer(strict_types=True)
_pack = _packer.pack

_BUILTIN = values.ATOMS | {list, tuple, dict}


class Only(Dict[int, Mapping[str, Any]]):
    """Outputs for some writers of a job alone, by the writers' indices."""


def pack_request(
    id: int,
    method: str,
    params: Dict[str, Any],
    outputs: Optional[Mapping[str, Any]] = None,
    places: Optional[Places] = None,
) -> bytearray:
    """One request's frame; `outputs` becomes the last of `params`, or `only`.

    Where there are `places`, they must be filled before the frame is sent.
    """
    is_for_all = outputs is not None and not isinstance(outputs, Only)
    if is_for_all and native.pack_request is not None:
        frame = native.pack_request(
            *(id, method, params, outputs, memory.WORTH_BYTES, _pack_rest, places)
        )
        if frame is not None:
            return frame
    return pack_request_here(id, method, params, outputs, places)


def pack_request_here(
    id: int,
    method: str,
    params: Dict[str, Any],
    outputs: Optional[Mapping[str, Any]] = None,
    places: Optional[Places] = None,
) -> bytearray:
    """`pack_request`, all of it in Python."""
    frame = _Frame(places)
    frame.bytes += b"\0\0\0\0\x94\x00" + _pack(id) + _pack(method)
    if outputs is None:
        frame.bytes += _pack(params)
    else:
        frame.bytes += _packer.pack_map_header(len(params) + 1)
        for key, value in params.items():
            frame.bytes += _pack(key) + _pack(value)
        _add_outputs(frame, outputs)
    struct.pack_into(">I", frame.bytes, 0, len(frame.bytes) - 4)
    return frame.bytes


def check_size(size: int, max_bytes: int) -> None:
    """Of a frame's body."""
    if size > max_bytes:
        raise LimitError(
            f"a batch of {size} bytes is over the daemon's max_frame_bytes, "
            f"{max_bytes}: hand over smaller batches"
        )


def check_objects(frame: bytes, max_objects: int) -> None:
    """Of a frame's values. Each has a byte at least, so most frames need no look."""
    if len(frame) <= max_objects:
        return
    n_objects = 1

    def count(items: List[Any], each: int = 1) -> None:
        nonlocal n_objects
        n_objects += each * len(items)

    msgpack.unpackb(
        memoryview(frame)[4:],
        raw=True,
        strict_map_key=False,
        list_hook=count,
        object_pairs_hook=lambda pairs: count(pairs, 2),
    )
    if n_objects > max_objects:
        raise LimitError(
            f"a batch of {n_objects} values is over the daemon's max_objects, "
            f"{max_objects}: hand over smaller batches, or tensors (one, of any size, "
            "counts for a dozen)"
        )


class _Frame:
    """One frame in the making, or the part of one that comes after `n_before` bytes."""

    def __init__(self, places: Optional[Places], n_before: int = 0) -> None:
        self.bytes = bytearray()
        self.places = places
        self.n_before = n_before

    def add_bin(self, data: memoryview) -> None:
        if len(data) < 1 << 8:
            self.bytes += struct.pack(">BB", 0xC4, len(data))
        elif len(data) < 1 << 16:
            self.bytes += struct.pack(">BH", 0xC5, len(data))
        else:
            self.bytes += struct.pack(">BI", 0xC6, len(data))
        self.bytes += data

    def add_place(self, places: Places, flat: tensor.Flat) -> None:
        self.bytes += b"\x92\xcf"
        places.add(flat, self.n_before + len(self.bytes))
        self.bytes += bytes(8) + struct.pack(">BQ", 0xCF, flat.n_bytes)


def _pack_rest(
    key: str, value: Any, n_before: int, places: Optional[Places]
) -> bytearray:
    """One value, where the C module has packed `n_before` bytes and does not know it."""
    if tensor.is_torch(value):
        native.know_torch(sys.modules["torch"])
    frame = _Frame(places, n_before)
    _add_value(frame, key, value)
    return frame.bytes


def _add_outputs(frame: _Frame, outputs: Mapping[Any, Any]) -> None:
    if isinstance(outputs, Only):
        frame.bytes += _pack("only") + _packer.pack_map_header(len(outputs))
    else:
        frame.bytes += _pack("outputs")
        outputs = {None: outputs}
    for writer, its in outputs.items():
        frame.bytes += b"" if writer is None else _pack(writer)
        frame.bytes += _packer.pack_map_header(len(its))
        for key, value in its.items():
            frame.bytes += _pack(key)
            _add_value(frame, key, value)


def _add_value(frame: _Frame, key: Any, value: Any) -> None:
    """Add what the batch has under one key: samples, or one value for all of them."""
    sample = None
    try:
        value = samples.of(value)
        if _is_tensor(value) and _add_tensor(frame, value):
            return
        if type(value) is not list and not (tensor.is_tensor(value) and value.ndim):
            _add_cell(frame, value)
        elif not _add_flat(frame, value):
            frame.bytes += _packer.pack_array_header(len(value))
            for sample, cell in enumerate(value):
                _add_cell(frame, cell)
    except (TypeError, ValueError) as error:
        raise of_value(error, key, sample) from error


def _is_tensor(value: Any) -> bool:
    """Whether `_add_tensor` is to be asked: it takes its time."""
    return type(value) not in _BUILTIN


def _add_flat(frame: _Frame, cells: List[Any]) -> bool:
    """Add samples that all are what MessagePack has words for, at once."""
    if not values.are_packable(cells):
        return False
    try:
        frame.bytes += _pack(cells)
    except (OverflowError, UnicodeEncodeError):
        return False
    return True


def _add_cell(frame: _Frame, cell: Any) -> None:
    """Add one sample. Where MessagePack has no word for it, its text, as csv does."""
    if _is_tensor(cell) and _add_tensor(frame, cell):
        return
    made = values.packable(cell)
    try:
        frame.bytes += _pack(made)
    except OverflowError:
        frame.bytes += _pack(str(made))
    except UnicodeEncodeError as error:
        if type(made) is str:
            raise ValueError(
                f"{made[:100]!r} is no UTF-8: it has a surrogate at {error.start}"
            ) from None
        frame.bytes += _pack(str(made))  # in a list it is escaped


def _add_tensor(frame: _Frame, value: Any) -> bool:
    flat = tensor.flatten(value)
    if flat is None:
        return False
    frame.bytes += (
        b"\x84\xa2nd\xc3"
        + (b"\xa4type" + _pack(flat.type))
        + (b"\xa5shape" + _pack(list(flat.shape)))
    )
    if frame.places is not None and frame.places.wants(flat):
        frame.bytes += b"\xa2at"
        frame.add_place(frame.places, flat)
    else:
        if frame.places is not None and flat.n_bytes >= memory.WORTH_BYTES:
            check_size(flat.n_bytes, frame.places.max_frame_bytes)  # before the copy
        frame.bytes += b"\xa4data"
        frame.add_bin(tensor.lend(flat))
    return True


class FrameReader:
    """Cuts the bytes that come into frames, however they were split."""

    def __init__(self, before: bytes = b"") -> None:
        self._bytes = bytearray(before)

    def rest(self) -> bytes:
        """What is there of a frame that is not whole."""
        return bytes(self._bytes)

    def is_at_frame(self) -> bool:
        """Whether the next byte begins one."""
        return not self._bytes

    def feed(self, data: bytes) -> Iterator[Any]:
        """The objects of the frames that are whole now. ValueError where one is none."""
        self._bytes += data
        while len(self._bytes) >= 4:
            end = 4 + int.from_bytes(self._bytes[:4], "big")
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[4:end])
            del self._bytes[:end]
            yield msgpack.unpackb(
                body, strict_map_key=False, unicode_errors="surrogateescape"
            )
