"""connection - requests to one daemon, and their answers.

In: requests; they are pipelined. Out: their answers, in whatever order they come; they
are read while requests are sent and while someone waits, in the caller's thread: there
is no other. `post` comes back when the socket has taken the whole frame; big tensors
have by then been copied into memory that the daemon reads, which is made when the first
of them comes. Nothing is lent: what a request said, frame and memory, is kept until its
answer comes. Where the daemon goes away meanwhile, the next one is waited for; the jobs
are opened again there, and what has no answer is sent again: see "When the daemon dies"
in doc/protocol.md. A connection is used by one thread at a time, and only by the process
that made it: after a fork the child leaves it alone.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
from time import monotonic, sleep
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

from . import __version__, native
from .errors import (
    ConnectionError,
    Error,
    LimitError,
    ProtocolError,
    StateError,
    from_answer,
)
from .memory import PAGE, Memory, Places, Slot, leave, obtain
from .wire import FrameReader, check_objects, check_size, pack_request

logger = logging.getLogger("lighterd")

PROTOCOL = 1
MAX_OBJECTS = 1 << 22  # in a frame, where the daemon does not tell

# How late an error may be known: so many seconds, or requests.
POLL_SECONDS = 0.05
POLL_REQUESTS = 16

# How often who waits for an answer may do something else meanwhile.
TICK_MS = 200

# Say once that lighterd cannot keep up: after so many seconds of waiting, where they are
# such a part of the time since the first of them.
SLOW_SECONDS = 2.0
SLOW_PART = 0.1

# How long a daemon that has gone away is waited for, and how often it is looked for.
RECONNECT_VARIABLE = "LIGHTERD_RECONNECT_SECONDS"
RECONNECT_SECONDS = 300.0
PAUSE_MIN_SECONDS, PAUSE_MAX_SECONDS = 0.05, 2.0

# Takes the error and the result of an answer, one of which is None.
OnAnswer = Callable[[Optional[Dict[str, Any]], Any], None]


class _Request(NamedTuple):
    """One without an answer, and all that it needs to be sent again."""

    frame: bytearray
    slot: Optional[Slot]
    size: int  # of the frame, and of its tensors in memory
    on_answer: OnAnswer
    handle: int  # of the job that it is about; 0: of none
    seq: int  # of its batch; 0: it is no `write`
    opens: Optional[Dict[str, Any]]  # the parameters of an `open`
    descriptor: Optional[int]  # that goes with it


class _OpenJob:
    """What it takes to open it again."""

    def __init__(self, params: Dict[str, Any], id: int) -> None:
        self.params = params
        self.id = id  # 0: it has no outputs, so that nothing of it can be lost
        self.last_seq = 0  # of the batches that were sent


class Connection:
    """Takes a connected socket and says hello. Connect with `launch.connect`.

    `dial` gives a new socket when the daemon has gone away; without it that is the end.
    """

    def __init__(
        self,
        connected: socket.socket,
        dial: Optional[Callable[[], socket.socket]] = None,
    ) -> None:
        self._socket = connected
        self._dial = dial
        self._pid = os.getpid()
        self._reader = FrameReader()
        self._requests: Dict[int, _Request] = {}
        self._jobs: Dict[int, _OpenJob] = {}
        self._is_greeted = self._is_restoring = False
        self.n_lives = 0  # how often the daemon has come back
        self._bytes_on_way = 0
        self._last_id = 0
        self._changed: Set[int] = set()
        self._failure: Optional[Exception] = None
        self._max_frame_bytes = self._max_client_bytes = 0xFFFFFFFF
        self._max_objects = MAX_OBJECTS
        self._memory: Optional[Memory] = None
        self._memory_room = 0  # for the tensors of one batch; 0: there is no memory
        self._opened = self._next_poll = monotonic()
        self._has_warned = False
        self.blocked_seconds = 0.0  # that `post` has waited for room
        self._greet()
        self._is_greeted = True

    def _greet(self) -> None:
        self._socket.setblocking(False)
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
        self._max_objects = hello.get("max_objects", MAX_OBJECTS)
        self._memory_room = hello.get("max_memory_bytes", 0) // PAGE * PAGE
        self.encoders: List[str] = hello["encoders"]
        self.features = frozenset(hello.get("features", ()))  # beside those of 0.1.0

    def call(
        self,
        method: str,
        params: Dict[str, Any],
        *,
        meanwhile: Optional[Callable[[], None]] = None,
        **more: Any,
    ) -> Any:
        """Send a request and wait for its result, or raise its error."""
        answer: List[Any] = []
        self.post(method, params, on_answer=lambda *both: answer.extend(both), **more)
        while not answer:
            self._wait(meanwhile)
        error, result = answer
        if error is not None:
            raise from_answer(error)
        return result

    def open(self, params: Dict[str, Any]) -> Dict[str, Any]:
        """Open a job, and again whenever the daemon comes back, until it is left."""
        opened = self.call("open", params, opens=params)
        self._jobs[opened["handle"]] = _OpenJob(params, opened["id"])
        return opened

    def leave(
        self, handle: int, method: str, params: Dict[str, Any], **more: Any
    ) -> Any:
        """The last request for a job: `end` or `abort`."""
        try:
            return self.call(method, {"job": handle, **params}, handle=handle, **more)
        finally:
            self._jobs.pop(handle, None)

    def stay_away(self) -> None:
        """If the daemon goes away from now on, that is the end."""
        self._dial = None

    def post(
        self,
        method: str,
        params: Dict[str, Any],
        outputs: Optional[Mapping[str, Any]] = None,
        *,
        on_answer: OnAnswer,
        handle: int = 0,
        seq: int = 0,
        opens: Optional[Dict[str, Any]] = None,
        descriptor: Optional[int] = None,
    ) -> None:
        """Send a request; `on_answer` is called from within a later call.

        Waits for answers while `max_client_bytes` are on their way, or the memory is
        full. Where values cannot be packed or the frame is too long, this raises and
        nothing was sent.
        """
        self._check()
        id = self._last_id = self._last_id % 0xFFFFFFFF + 1  # 0: for protocol errors
        places = Places(self._memory_room, self._max_frame_bytes)
        frame = pack_request(id, method, params, outputs, places)
        check_size(len(frame) - 4, self._max_frame_bytes)
        check_objects(frame, self._max_objects)
        size = len(frame) + places.size
        if self._bytes_on_way + size > self._max_client_bytes and self._is_greeted:
            self._wait_for_bytes(size)
        slot = None
        if places.size:
            slot = self._fill(places, frame)
            if slot is None:
                frame = pack_request(id, method, params, outputs)
                check_size(len(frame) - 4, self._max_frame_bytes)

        self._requests[id] = _Request(
            frame, slot, size, on_answer, handle, seq, opens, descriptor
        )
        self._bytes_on_way += size
        if seq:
            self._jobs[handle].last_seq = seq
        try:
            self._send(frame, descriptor)
        except BaseException:
            if not self._is_restoring:
                self.close()  # half a frame may be out: what follows would be none
            raise

    def poll(self) -> None:
        """Take the answers that have come, if the last look was some time ago.

        To look costs a third of a small batch, after a model's work.
        """
        now = monotonic()
        if now >= self._next_poll or len(self._requests) >= POLL_REQUESTS:
            self._next_poll = now + POLL_SECONDS
            self._receive(wait=False)

    @property
    def waiting_bytes(self) -> int:
        """Of requests without an answer, and their tensors in memory."""
        return self._bytes_on_way

    def flush(self, meanwhile: Optional[Callable[[], None]] = None) -> None:
        """Wait until every request has its answer.

        `meanwhile` is called from time to time.
        """
        while self._requests:
            self._wait(meanwhile)

    def take_changed(self, handle: int) -> bool:
        """Whether the daemon has said, since the last look, that this job changed."""
        self._receive(wait=False)
        changed = handle in self._changed
        self._changed.discard(handle)
        return changed

    def close(self) -> None:
        if os.getpid() == self._pid:
            self._socket.close()
            if self._memory is not None:
                leave(self._memory)
            self._memory = None
            self._failure = self._failure or ConnectionError("the connection is closed")

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise StateError(f"this connection belongs to process {self._pid}")
        if self._failure is not None:
            raise self._failure

    def _wait(self, meanwhile: Optional[Callable[[], None]]) -> None:
        """For some bytes of answers, or until `meanwhile` was called."""
        if meanwhile is None:
            self._receive(wait=True)
            return
        self._check()
        self._poll(select.POLLIN, TICK_MS)
        self._receive(wait=False)
        meanwhile()

    def _wait_for_bytes(self, size: int) -> None:
        since = monotonic()
        while self._requests and self._bytes_on_way + size > self._max_client_bytes:
            self._receive(wait=True)
        self._count_blocked(since)

    def _wait_for_slot(self, memory: Memory, size: int) -> Slot:
        since = monotonic()
        slot = None
        while slot is None:
            self._receive(wait=True)
            slot = memory.take(size)
        self._count_blocked(since)
        return slot

    def _count_blocked(self, since: float) -> None:
        now = monotonic()
        self.blocked_seconds += now - since
        elapsed = now - self._opened
        if (
            self._has_warned
            or self.blocked_seconds < SLOW_SECONDS
            or self.blocked_seconds < SLOW_PART * elapsed
        ):
            return
        self._has_warned = True
        logger.warning(
            "lighterd writes more slowly than this process predicts: %.1f of %.1f "
            "seconds went by waiting for it, with %.0f MB on their way",
            *(self.blocked_seconds, elapsed, self._bytes_on_way / 1e6),
        )

    def _fill(self, places: Places, frame: bytearray) -> Optional[Slot]:
        """Copy tensors into memory, once there is room.

        None where there is no memory to be had: they go through the socket then.
        """
        try:
            if self._memory is None:
                self._memory = self._share(obtain(places.size, self._memory_room))
                self._memory_room = self._memory.size
            self._receive(wait=False)  # the lowest slot that is free is the warmest
            slot = self._memory.take(places.size)
            if slot is None:
                slot = self._wait_for_slot(self._memory, places.size)
        except (OSError, ValueError, Error) as error:
            self._check()  # where the connection broke, that is what is wrong
            logger.warning("tensors go through lighterd's socket, slower: %s", error)
            self._memory_room = 0
            return None
        try:
            places.fill(self._memory, slot, frame)
        except BaseException:
            self._memory.give_back(slot)
            raise
        return slot

    def _share(self, memory: Memory) -> Memory:
        try:
            self._announce(memory)
        except BaseException:
            memory.close()
            raise
        return memory

    def _announce(self, memory: Memory) -> None:
        self.call("memory", {"size": memory.size}, descriptor=memory.descriptor)

    def _send(self, frame: bytearray, descriptor: Optional[int]) -> None:
        life = self.n_lives
        n_sent = self._try_send(frame, 0, descriptor)
        while n_sent < len(frame) and life == self.n_lives:  # else it was sent again
            # The daemon may be waiting for us to read, so do both.
            self._poll(select.POLLIN | select.POLLOUT)
            self._receive(wait=False)
            if life == self.n_lives:
                n_sent += self._try_send(frame, n_sent, None if n_sent else descriptor)

    def _try_send(
        self, frame: bytearray, start: int, descriptor: Optional[int]
    ) -> int:
        """The descriptor goes with the first byte. 0 where the socket is full."""
        try:
            if descriptor is None:
                return native.send(self._socket, frame, start)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", descriptor))
            return self._socket.sendmsg([frame], [rights], socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except (BrokenPipeError, ConnectionResetError):
            life = self.n_lives
            while life == self.n_lives:  # its last words may say why
                self._receive(wait=True)
            return 0

    def _receive(self, wait: bool) -> None:
        """Read what answers there are; with `wait`, until some bytes have come."""
        self._check()
        if wait:
            self._poll(select.POLLIN)
        try:
            received = native.receive(self._socket, self._reader.is_at_frame())
        except OSError as error:
            self._lost(f"the connection to lighterd broke: {error}")
            return
        if received is None:
            return
        ids, data = received
        if not ids and not data:
            other = "" if self._last_id > 1 else ": does it run as another user?"
            self._lost(f"lighterd closed the connection{other}")
            return
        try:
            for id in ids:
                self._take_answer(id, None, {})
            if data:
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
        self._take_answer(id, error, result)

    def _take_answer(
        self, id: Any, error: Optional[Dict[str, Any]], result: Any
    ) -> None:
        if id not in self._requests:
            raise ValueError(f"there is no request {id!r}")
        request = self._requests.pop(id)
        self._bytes_on_way -= request.size
        if request.slot is not None and self._memory is not None:
            self._memory.give_back(request.slot)
        request.on_answer(error, result)

    def _take_notification(self, method: Any, params: Any) -> None:
        if method == "changed":
            self._changed.add(params["job"])

    # ---- a daemon that dies ----

    def _lost(self, why: str) -> None:
        """The daemon is gone. Goes on with the next one, or raises."""
        failure = ConnectionError(why)
        if self._is_restoring:
            raise failure
        if self._dial is None or not self._is_greeted:
            self._fail(failure)
        limit = float(os.environ.get(RECONNECT_VARIABLE, RECONNECT_SECONDS))
        if limit <= 0:
            self._fail(failure)
        self._is_restoring = True
        try:
            self._restore(failure, limit)
        except Exception as error:
            self._fail(error)
        except BaseException:  # a Ctrl-C, while it waited
            self.close()
            raise
        finally:
            self._is_restoring = False

    def _restore(self, failure: Exception, limit: float) -> None:
        logger.warning("%s; looking for it for %g s", failure, limit)
        since, pause = monotonic(), PAUSE_MIN_SECONDS
        unanswered = set(self._requests)
        while True:
            try:
                self._begin_again(unanswered)
                break
            except (OSError, LimitError) as error:
                self._socket.close()
                for id in self._requests.keys() - unanswered:  # of the attempt itself
                    self._bytes_on_way -= self._requests.pop(id).size
                if monotonic() + pause - since > limit:
                    raise ConnectionError(
                        f"{failure}, and was not back within {limit:g} s: {error}"
                    ) from error
            sleep(pause)
            pause = min(2 * pause, PAUSE_MAX_SECONDS)
        seconds = monotonic() - since
        self.blocked_seconds += seconds
        logger.warning(
            "lighterd is back after %.1f s; %d requests were sent again",
            *(seconds, len(unanswered)),
        )

    def _begin_again(self, unanswered: Set[int]) -> None:
        """Everything that the daemon before was told."""
        assert self._dial is not None
        self._socket = self._dial()
        self._reader = FrameReader()
        self._is_greeted = False  # so that nothing waits for what is not sent again yet
        try:
            self._greet()
            if self._memory is not None:
                self._memory_room = self._memory.size
                self._announce(self._memory)
            for handle, job in self._jobs.items():
                self._open_again(handle, job)
        finally:
            self._is_greeted = True
        self.n_lives += 1
        for id in [id for id in self._requests if id in unanswered]:
            if id in self._requests:  # its answer may have come meanwhile
                self._send_again(id)

    def _open_again(self, handle: int, job: _OpenJob) -> None:
        mine = {
            id: request
            for id, request in self._requests.items()
            if request.handle == handle
        }
        seqs = [request.seq for request in mine.values() if request.seq]
        answered = min(seqs) - 1 if seqs else job.last_seq
        params = {**job.params, "handle": handle, "again": True}
        if job.id:
            params.update(resume=True, id=job.id, answered=answered)
        opened = self.call("open", params)
        self._changed.add(handle)
        if opened["published"]:  # all of it was there, but for the last words
            for id in mine:
                self._take_answer(id, None, opened)

    def _send_again(self, id: int) -> None:
        request = self._requests[id]
        if request.opens is not None:
            params = {**request.opens, "again": True}
            request = request._replace(frame=pack_request(id, "open", params))
            self._requests[id] = request
        self._send(request.frame, request.descriptor)

    def _fail(self, failure: Exception) -> NoReturn:
        self._failure = failure
        self.close()
        raise failure

    def _poll(self, events: int, timeout_ms: Optional[int] = None) -> None:
        poll = select.poll()
        poll.register(self._socket, events)
        poll.poll(timeout_ms)
