"""wire - frames, and values as MessagePack.

In: a request and the outputs of a batch. Out: one frame as a list of buffers, in which
the bytes of big tensors are lent, not copied: they must stay as they are until the
frame is sent. Bigger ones are not in it at all: they go into memory that is shared with
the daemon, and where, the frame is told later (`Places`). And back: bytes as they come,
into whole answers. Pure; any thread.

This is sections 2 and 3 of doc/protocol.md.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import Any, Dict, Iterator, List, Mapping, Optional, Union

import msgpack
import numpy as np

from . import samples, tensor
from .errors import LimitError
from .memory import Places

Buffer = Union[bytearray, memoryview]

LEND_MIN = 4096  # bytes; below, a copy costs less than one more buffer to send

# Strict: a subclass (IntEnum, np.float64) is a TypeError, not the number within. One for
# all threads: `pack` runs no Python code in between.
_packer = msgpack.Packer(strict_types=True)
_pack = _packer.pack


class _Frame:
    """One frame in the making."""

    def __init__(self, max_bytes: int, places: Optional[Places] = None) -> None:
        self.max_bytes = max_bytes
        self.places = places
        self._end = bytearray(4)  # the length, known at last
        self._buffers: List[Buffer] = [self._end]

    def add(self, packed: bytes) -> None:
        self._end += packed

    def add_bin(self, data: memoryview) -> None:
        self._check(len(data))
        if len(data) < 1 << 8:
            self._end += struct.pack(">BB", 0xC4, len(data))
        elif len(data) < 1 << 16:
            self._end += struct.pack(">BH", 0xC5, len(data))
        else:
            self._end += struct.pack(">BI", 0xC6, len(data))
        if len(data) < LEND_MIN:
            self._end += data
        else:
            self._end = bytearray()
            self._buffers += [data, self._end]

    def add_place(self, places: Places, flat: tensor.Flat) -> None:
        self._end += b"\x92\xcf"
        places.add(flat, partial(struct.pack_into, ">Q", self._end, len(self._end)))
        self._end += bytes(8) + struct.pack(">BQ", 0xCF, flat.n_bytes)

    def finish(self) -> List[Buffer]:
        size = sum(map(len, self._buffers)) - 4
        self._check(size)
        struct.pack_into(">I", self._buffers[0], 0, size)
        return self._buffers

    def _check(self, size: int) -> None:
        if size > self.max_bytes:
            raise LimitError(
                f"a batch of {size} bytes is over the daemon's max_frame_bytes, "
                f"{self.max_bytes}: hand over smaller batches"
            )


def pack_request(
    id: int,
    method: str,
    params: Dict[str, Any],
    outputs: Optional[Mapping[str, Any]] = None,
    max_bytes: int = 0xFFFFFFFF,
    places: Optional[Places] = None,
) -> List[Buffer]:
    """The buffers of one request's frame; `outputs` becomes the last of `params`.

    Where there are `places`, they must be filled before the frame is sent.
    """
    frame = _Frame(max_bytes, places)
    frame.add(b"\x94\x00" + _pack(id) + _pack(method))
    if outputs is None:
        frame.add(_pack(params))
        return frame.finish()

    frame.add(_packer.pack_map_header(len(params) + 1))
    for key, value in params.items():
        frame.add(_pack(key) + _pack(value))
    frame.add(_pack("outputs") + _packer.pack_map_header(len(outputs)))
    for key, value in outputs.items():
        frame.add(_pack(key))
        _add_value(frame, value)
    return frame.finish()


def _add_value(frame: _Frame, value: Any) -> None:
    """Add what the batch has under one key: samples, or one value for all of them."""
    if _add_tensor(frame, value):
        return
    if isinstance(value, np.ndarray):  # of text, dates or objects
        value = (value.astype(str) if value.dtype.kind in "mM" else value).tolist()
    if samples.is_list(value):
        _add_cells(frame, list(value))
    else:
        _add_cell(frame, value)


def _add_cells(frame: _Frame, cells: List[Any]) -> None:
    try:
        frame.add(_pack(cells))
    except (TypeError, OverflowError):
        frame.add(_packer.pack_array_header(len(cells)))
        for cell in cells:
            _add_cell(frame, cell)


def _add_cell(frame: _Frame, cell: Any) -> None:
    """Add one sample. Where MessagePack has no word for it, its text, as csv does."""
    if _add_tensor(frame, cell):
        return
    try:
        frame.add(_pack(cell))
    except (TypeError, OverflowError):
        frame.add(_pack(str.__str__(cell) if isinstance(cell, str) else str(cell)))


def _add_tensor(frame: _Frame, value: Any) -> bool:
    flat = tensor.flatten(value)
    if flat is None:
        return False
    frame.add(
        b"\x84\xa2nd\xc3"
        + (b"\xa4type" + _pack(flat.type))
        + (b"\xa5shape" + _pack(list(flat.shape)))
    )
    if frame.places is not None and frame.places.wants(flat):
        frame.add(b"\xa2at")
        frame.add_place(frame.places, flat)
    else:
        frame.add(b"\xa4data")
        frame.add_bin(tensor.lend(flat))
    return True


class FrameReader:
    """Cuts the bytes that come into frames, however they were split."""

    def __init__(self) -> None:
        self._bytes = bytearray()

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
