"""channel - one socket to the daemon: bytes out, whole messages in.

In: frames. Out: what the daemon says, message by message. A signal's handler may raise
between any two lines of this process, so what the kernel has taken or given is noted by
the same step that took or gave it: `list.extend(map(...))` calls and keeps the result
without a line of Python in between. Whoever was interrupted comes again, and goes on
where it was. One thread at a time.
"""

from __future__ import annotations

import select
import struct
from contextlib import suppress
from socket import MSG_NOSIGNAL, SCM_RIGHTS, SHUT_RDWR, SOL_SOCKET, socket
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

from . import native
from .wire import FrameReader

RECEIVE_BYTES = 1 << 16


class Arrived(NamedTuple):
    """What came with one read; neither ids nor bytes: the connection's end."""

    ids: List[int]  # of requests that are answered by an empty result
    messages: List[Any]  # that came behind those answers
    rest: bytes  # of a message that is not whole
    is_end: bool
    is_again: bool  # some of it may have been taken before


class Channel:
    def __init__(self, connected: socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        # What one call gave and is not taken yet, and the bytes that came before that.
        self._came: Tuple[List[Any], bytes] = ([], b"")

    def close(self) -> None:
        with suppress(OSError):  # other threads wait for it, and a child has it too
            self._socket.shutdown(SHUT_RDWR)
        self._socket.close()

    def leave_to_parent(self) -> None:
        """In a child of a fork: its parent goes on with the socket."""
        self._socket.close()

    def poll(self, events: int, timeout_ms: Optional[int] = None) -> None:
        fd = self._socket.fileno()
        if fd >= 0:  # else another thread has closed it
            poll = select.poll()
            poll.register(fd, events)
            poll.poll(timeout_ms)

    def send(
        self, frame: bytearray, descriptor: Optional[int], sent: List[int]
    ) -> bool:
        """Send what is left of the frame: `sent` says, and is told, what is out.

        The descriptor goes with the first byte. False where the socket is full.
        """
        n_sent = sum(sent)
        if n_sent >= len(frame):
            return True
        try:
            sent.extend(self._sending(frame, n_sent, descriptor))
        except BlockingIOError:
            return False
        return sum(sent) >= len(frame)

    def _sending(
        self, frame: bytearray, start: int, descriptor: Optional[int]
    ) -> Iterator[int]:
        """One call, not made yet."""
        if descriptor is not None and start == 0:
            rights = [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", descriptor))]
            return map(self._socket.sendmsg, ([frame],), (rights,), (MSG_NOSIGNAL,))
        if native.send is not None:
            return map(native.send, (self._socket,), (frame,), (start,))
        left = memoryview(frame)[start:]
        return map(self._socket.send, (left,), (MSG_NOSIGNAL,))

    def receive(self) -> Optional[Arrived]:
        """The same again until `taken` is called. None: nothing has come.

        ValueError where it is no message.
        """
        came, before = self._came
        if not came:
            try:
                came.extend(self._receiving(not before))
            except BlockingIOError:
                return None
        if came[0] is None:
            came.clear()
            return None
        is_again = len(came) > 1
        came.append("given")
        ids, data = came[0] if isinstance(came[0], tuple) else ([], came[0])
        reader = FrameReader(before)
        messages = list(reader.feed(data))
        return Arrived(ids, messages, reader.rest(), not ids and not data, is_again)

    def _receiving(self, is_at_frame: bool) -> Iterator[Any]:
        """One call, not made yet. In C, plain answers are ids, before all other bytes."""
        if native.receive is not None:
            return map(native.receive, (self._socket,), (is_at_frame,))
        return map(self._socket.recv, (RECEIVE_BYTES,))

    def taken(self, arrived: Arrived) -> None:
        self._came = ([], arrived.rest)
