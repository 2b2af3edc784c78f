"""connection - requests to one daemon, and their answers.

In: requests; they are pipelined. Out: their answers, in whatever order they come; they
are read while requests are sent and while someone waits, in the caller's thread: there
is no other. `post` comes back when the socket has taken the whole frame, so what the
frame lends is free again; big tensors have by then been copied into memory that the
daemon reads, which is made when the first of them comes. A connection is used by one
thread at a time, and only by the process that made it: after a fork the child leaves it
alone.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
from collections import deque
from functools import partial
from itertools import islice
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    Set,
)

from . import __version__
from .errors import ConnectionError, Error, ProtocolError, StateError, from_answer
from .memory import Memory, Places, Slot, size_for
from .wire import Buffer, FrameReader, pack_request

logger = logging.getLogger("lighterd")

PROTOCOL = 1
IOV_MAX = os.sysconf("SC_IOV_MAX")

# Takes the error and the result of an answer, one of which is None.
OnAnswer = Callable[[Optional[Dict[str, Any]], Any], None]


class _Request(NamedTuple):
    size: int
    slot: Optional[Slot]
    on_answer: OnAnswer


class Connection:
    """Takes a connected socket and says hello. Connect with `launch.connect`."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._pid = os.getpid()
        self._reader = FrameReader()
        self._requests: Dict[int, _Request] = {}
        self._bytes_on_way = 0
        self._last_id = 0
        self._changed: Set[int] = set()
        self._failure: Optional[Exception] = None
        self._max_frame_bytes = self._max_client_bytes = 0xFFFFFFFF
        self._memory: Optional[Memory] = None
        self._memory_room = 0  # for the tensors of one batch; 0: there is no memory

        hello = self.call(
            "hello",
            {
                "protocol": PROTOCOL,
                "client": f"python {__version__}",
                "pid": self._pid,
            },
        )
        self._max_frame_bytes = hello["max_frame_bytes"]
        self._max_client_bytes = hello["max_client_bytes"]
        self._memory_room = hello.get("max_memory_bytes", 0)
        self.encoders: List[str] = hello["encoders"]

    def call(
        self, method: str, params: Dict[str, Any], descriptor: Optional[int] = None
    ) -> Any:
        """Send a request and wait for its result, or raise its error."""
        answer: List[Any] = []
        self.post(
            method,
            params,
            descriptor=descriptor,
            on_answer=lambda *both: answer.extend(both),
        )
        while not answer:
            self._receive(wait=True)
        error, result = answer
        if error is not None:
            raise from_answer(error)
        return result

    def post(
        self,
        method: str,
        params: Dict[str, Any],
        outputs: Optional[Mapping[str, Any]] = None,
        *,
        descriptor: Optional[int] = None,
        on_answer: OnAnswer,
    ) -> None:
        """Send a request; `on_answer` is called from within a later call.

        Waits for answers while `max_client_bytes` are on their way, or the memory is
        full. Where values cannot be packed or the frame is too long, this raises and
        nothing was sent.
        """
        self._check()
        id = self._last_id = self._last_id % 0xFFFFFFFF + 1  # 0: for protocol errors
        pack = partial(
            pack_request, id, method, params, outputs, self._max_frame_bytes
        )
        places = Places(self._memory_room)
        buffers = pack(places)
        size = sum(map(len, buffers)) + places.size
        while self._requests and self._bytes_on_way + size > self._max_client_bytes:
            self._receive(wait=True)
        slot = self._fill(places) if places.size else None
        if places.size and slot is None:
            buffers = pack()

        self._requests[id] = _Request(size, slot, on_answer)
        self._bytes_on_way += size
        try:
            self._send(buffers, descriptor)
        except BaseException:
            self.close()  # half a frame may be out: what follows would be no frame
            raise
        self._receive(wait=False)

    def flush(self) -> None:
        """Wait until every request has its answer."""
        while self._requests:
            self._receive(wait=True)

    def take_changed(self, handle: int) -> bool:
        """Whether the daemon has said, since the last look, that this job changed."""
        self._receive(wait=False)
        changed = handle in self._changed
        self._changed.discard(handle)
        return changed

    def close(self) -> None:
        if os.getpid() == self._pid:
            self._socket.close()
            self._memory = None
            self._failure = self._failure or ConnectionError("the connection is closed")

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise StateError(f"this connection belongs to process {self._pid}")
        if self._failure is not None:
            raise self._failure

    def _fill(self, places: Places) -> Optional[Slot]:
        """Copy tensors into memory, once there is room.

        None where there is no memory to be had: they go through the socket then.
        """
        try:
            if self._memory is None:
                size = size_for(places.size, self._memory_room)
                self._memory = Memory(size, partial(self._share, size))
                self._memory_room = size
            slot = self._memory.take(places.size)
            while slot is None:
                self._receive(wait=True)
                slot = self._memory.take(places.size)
        except (OSError, ValueError, Error) as error:
            self._check()  # where the connection broke, that is what is wrong
            logger.warning("tensors go through lighterd's socket, slower: %s", error)
            self._memory_room = 0
            return None
        try:
            places.fill(self._memory, slot)
        except BaseException:
            self._memory.give_back(slot)
            raise
        return slot

    def _share(self, size: int, descriptor: int) -> None:
        self.call("memory", {"size": size}, descriptor)

    def _send(self, buffers: List[Buffer], descriptor: Optional[int]) -> None:
        """The descriptor goes with the first byte."""
        left = deque(buffers)
        rights = []
        if descriptor is not None:
            packed = struct.pack("i", descriptor)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)]
        while left:
            try:
                n_sent = self._socket.sendmsg(
                    islice(left, IOV_MAX), rights, socket.MSG_NOSIGNAL
                )
                rights = []
            except BlockingIOError:
                # The daemon may be waiting for us to read, so do both.
                self._poll(select.POLLIN | select.POLLOUT)
                self._receive(wait=False)
                continue
            except (BrokenPipeError, ConnectionResetError):
                while True:  # its last words say why; then this raises
                    self._receive(wait=True)
            while left and n_sent >= len(left[0]):
                n_sent -= len(left.popleft())
            if n_sent:
                left[0] = memoryview(left[0])[n_sent:]

    def _receive(self, wait: bool) -> None:
        """Read what answers there are; with `wait`, until some bytes have come."""
        self._check()
        if wait:
            self._poll(select.POLLIN)
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(ConnectionError(f"the connection to lighterd broke: {error}"))
        if not data:
            self._fail(
                ConnectionError(
                    "lighterd closed the connection"
                    + ("" if self._last_id > 1 else ": does it run as another user?")
                )
            )
        try:
            for message in self._reader.feed(data):
                self._take(message)
        except ValueError as error:
            self._fail(ProtocolError(f"lighterd sent no answer: {error}"))

    def _take(self, message: Any) -> None:
        if isinstance(message, list) and len(message) == 3 and message[0] == 2:
            self._take_notification(*message[1:])
            return
        if not isinstance(message, list) or len(message) != 4 or message[0] != 1:
            raise ValueError(f"{message!r}")
        _, id, error, result = message
        if id == 0:
            self._fail(from_answer(error))
        request = self._requests.pop(id, None)
        if request is None:
            raise ValueError(f"there is no request {id!r}")
        self._bytes_on_way -= request.size
        if request.slot is not None and self._memory is not None:
            self._memory.give_back(request.slot)
        request.on_answer(error, result)

    def _take_notification(self, method: Any, params: Any) -> None:
        if method == "changed":
            self._changed.add(params["job"])

    def _fail(self, failure: Exception) -> NoReturn:
        self._failure = failure
        self.close()
        raise failure

    def _poll(self, events: int) -> None:
        poll = select.poll()
        poll.register(self._socket, events)
        poll.poll()
