"""memory - memory that this process shares with the daemon, and who has which part.

In: tensors of one batch after another. Out: each copied once, to where the daemon reads
it; the batch's frame only says where. A batch has one slot, from before its frame is
sent until it is answered. The connection owns the memory, and whoever has the
connection's lock uses it. When a connection ends, the next one of this process takes its
memory over: pages that were never used cost twice the copy that goes into them. With the
first tensor from a GPU all of it is pinned.

This is `memory` in section 5 of doc/protocol.md.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from bisect import bisect
from contextlib import suppress
from typing import Iterable, List, NamedTuple, Optional, Tuple

from . import pinned, tensor

# Bytes of a tensor; below, it goes through the socket. Measured, the median of a write by
# socket and by memory, in microseconds: 32 KiB 45 and 50, 64 KiB 54 and 57, 128 KiB 66
# and 69, 256 KiB 148 and 99, 1 MiB 284 and 197, 4 MiB 900 and 440. Pages that are used
# for the first time cost more, so not below where the two cross.
WORTH_BYTES = 128 << 10

ALIGNMENT = 64  # of tensors: a cache line, and the widest registers
PAGE = mmap.PAGESIZE

MIN_BYTES = 64 << 20
BATCHES = 8  # that a memory has room for, where they are large and it may be so large

KEPT_BYTES = 64 << 20  # of pages that may wait for the next connection

_MADV_POPULATE_WRITE = 23  # Linux 5.14


class Slot(NamedTuple):
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


def size_for(batch_bytes: int, max_bytes: int) -> int:
    """How large to make the memory when the first batch that wants some has come."""
    wanted = max(MIN_BYTES, BATCHES * batch_bytes)
    return min(wanted + -wanted % PAGE, max_bytes)


class Memory:
    """Takes what is free first: the pages in use stay few, and in the caches."""

    def __init__(self, size: int) -> None:
        """OSError where there is none to be had."""
        if not hasattr(os, "memfd_create"):
            raise OSError(errno.ENOSYS, "this Python has no memfd_create")
        fd = os.memfd_create("lighterd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size)
            self._map = mmap.mmap(fd, size)
        except BaseException:
            os.close(fd)
            raise
        self.descriptor = fd  # what the daemon is given
        self.size = size
        self._free: List[Slot] = [Slot(0, size)]  # by start, never side by side
        self._populated = 0
        self._pinned: Optional[int] = None  # where; 0: it can't be; None: nobody asked

    def close(self) -> None:
        self._unpin()
        self.abandon()

    def abandon(self) -> None:
        """Close it in a child that was forked, which has no GPU."""
        os.close(self.descriptor)
        with suppress(BufferError):  # a copy that failed may still hold it
            self._map.close()

    def take_back_all_but(self, slots: Iterable[Slot]) -> None:
        """These are what batches have, whatever was taken or given back before."""
        free, start = [], 0
        for slot in sorted(slots):
            if slot.start > start:
                free.append(Slot(start, slot.start - start))
            start = slot.end
        if start < self.size:
            free.append(Slot(start, self.size - start))
        self._free = free

    def is_free(self) -> bool:
        """Whether no batch has a slot."""
        return self._free == [(0, self.size)]

    def shrink(self, size: int) -> None:
        """Give back the pages behind `size` bytes."""
        if self._populated > size:
            self._unpin()  # a GPU would write to the old pages for ever
            self._map.madvise(mmap.MADV_REMOVE, size, self._populated - size)
            self._populated = size

    def take(self, size: int) -> Optional[Slot]:
        """None where there is no room now. OSError where there are no more pages."""
        size += -size % PAGE
        for i, free in enumerate(self._free):
            if free.size >= size:
                break
        else:
            return None
        self._populate(free.start + size)
        if free.size == size:
            del self._free[i]
        else:
            self._free[i] = Slot(free.start + size, free.size - size)
        return Slot(free.start, size)

    def give_back(self, slot: Slot) -> None:
        first = last = bisect(self._free, slot)  # [first, last) become one with it
        start, end = slot.start, slot.end
        if first > 0 and self._free[first - 1].end == start:
            first -= 1
            start = self._free[first].start
        if last < len(self._free) and self._free[last].start == end:
            end = self._free[last].end
            last += 1
        self._free[first:last] = [Slot(start, end - start)]

    def fill(self, place: int, flat: tensor.Flat) -> None:
        if self._pinned is None and tensor.is_on_gpu(flat.value):
            self._pin()
        tensor.copy(flat, self._map, place)

    def _pin(self) -> None:
        """All at once: CUDA copies into two pinned regions by two calls, or not at all."""
        self._pinned = 0
        with suppress(OSError):  # no more pages: what is there will have to do
            self._populate(self.size)
            self._pinned = pinned.pin(self._map)

    def _unpin(self) -> None:
        if self._pinned:
            pinned.unpin(self._pinned)
        self._pinned = None

    def _populate(self, end: int) -> None:
        """Have the pages below `end` there, all at once.

        One by one, when they are touched, they cost more; and where there are no more
        of them, this is an error, and that would be the end of the process.
        """
        if end <= self._populated:
            return
        try:
            self._map.madvise(
                _MADV_POPULATE_WRITE, self._populated, end - self._populated
            )
        except OSError as error:
            if error.errno != errno.EINVAL:  # that is an older kernel
                raise
        self._populated = end


_kept: List[Memory] = []  # one at most, of a connection that has ended


def obtain(batch_bytes: int, max_bytes: int) -> Memory:
    """Memory for batches of that size: what was left behind, where that will do."""
    size = size_for(batch_bytes, max_bytes)
    with suppress(IndexError):
        kept = _kept.pop()  # at once: there may be other threads
        if size <= kept.size <= max_bytes:
            return kept
        kept.close()
    return Memory(size)


def leave(memory: Memory) -> None:
    """The connection has ended, and with it every other use of its memory but ours."""
    if _kept or not memory.is_free():
        memory.close()
        return
    with suppress(OSError):
        memory.shrink(KEPT_BYTES)
    _kept.append(memory)


def _forget() -> None:
    """A child of a fork shares the pages with its parent, who will use them."""
    while _kept:
        _kept.pop().abandon()


os.register_at_fork(after_in_child=_forget)


class Places:
    """The tensors of one batch that go into memory, one behind the other."""

    def __init__(self, max_bytes: int, max_frame_bytes: int = 0xFFFFFFFF) -> None:
        self._max_bytes = max_bytes
        self._all: List[Tuple[int, tensor.Flat, int]] = []
        self.max_frame_bytes = max_frame_bytes  # for those that go into the frame
        self.size = 0

    def wants(self, flat: tensor.Flat) -> bool:
        return WORTH_BYTES <= flat.n_bytes <= self._max_bytes - self.size

    def add(self, flat: tensor.Flat, position: int) -> None:
        """The frame has 8 bytes at `position` for the tensor's place."""
        self._all.append((self.size, flat, position))
        self.size += flat.n_bytes + -flat.n_bytes % ALIGNMENT

    def fill(self, memory: Memory, slot: Slot, frame: bytearray) -> None:
        for offset, flat, position in self._all:
            memory.fill(slot.start + offset, flat)
            struct.pack_into(">Q", frame, position, slot.start + offset)
