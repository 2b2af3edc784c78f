"""connection - requests to one daemon, and their answers.

In: requests; they are pipelined. Out: their answers, in whatever order they come; they
are read while requests are sent and while someone waits, in the caller's thread: there
is no other. `post` comes back when the socket has taken the whole frame; big tensors
have by then been copied into memory that the daemon reads, which is made when the first
of them comes. Nothing is lent: what a request said, frame and memory, is kept until its
answer comes. Where the daemon goes away meanwhile, the next one is waited for; the jobs
are opened again there, and what has no answer is sent again: see "When the daemon dies"
in doc/protocol.md.

Any thread, one after another: the lock is held for a send or a look, and never while
someone waits for the daemon, but for its next life. Only the process that made it uses a
connection: after a fork the child's copy is closed.

**A signal's handler may raise between any two lines.** What must not be done by halves
is a section: it begins with `_is_torn = True` and ends with what that was before. One
that never came to its end is found so by the next call, which first brings to its end
what the section had begun (`_mend`): answers that had come are taken once more, what is
counted is counted anew, and the rest of a frame goes out. So each step of a section can
be done twice, or is one store. `requests[id] = ...` is where a request is handed over.
"""

from __future__ import annotations

import logging
import math
import os
import select
import socket
import threading
import weakref
from time import monotonic, sleep
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, NoReturn, Optional, Set, Tuple

from . import __version__, owner
from .channel import Channel
from .errors import (
    ConnectionError,
    LimitError,
    OwnerError,
    ProtocolError,
    StateError,
    from_answer,
    is_ours,
)
from .memory import PAGE, Memory, Places, Slot, leave, obtain
from .request import (
    OF_NO_JOB,
    OF_THE_WAY_BACK,
    Answer,
    OnAnswer,
    OpenJob,
    Request,
)
from .wire import check_objects, check_size, pack_request

logger = logging.getLogger("lighterd")

PROTOCOL = 1
MAX_OBJECTS = 1 << 22  # in a frame, where the daemon does not tell

# How late an error may be known: so many seconds, or requests.
POLL_SECONDS = 0.05
POLL_REQUESTS = 16

# How often who waits for an answer looks whether another thread has taken it, and may do
# something else.
TICK_MS = 200

# Say once that lighterd cannot keep up: after so many seconds of waiting, where they are
# such a part of the time since the first of them.
SLOW_SECONDS = 2.0
SLOW_PART = 0.1

# How long a daemon that has gone away is waited for, and how often it is looked for.
RECONNECT_VARIABLE = "LIGHTERD_RECONNECT_SECONDS"
RECONNECT_SECONDS = 300.0
PAUSE_MIN_SECONDS, PAUSE_MAX_SECONDS = 0.05, 2.0

# One of another user closes what it does not serve; or it died just then.
OTHERS_SECONDS = 1.0

# How long to wait until the daemon has heard that a job is given up: it learns as much
# from the connection's end.
ABORT_SECONDS = 5.0


class Connection:
    """Takes a connected socket and says hello. Connect with `launch.connect`.

    `dial` gives a new socket when the daemon has gone away; without it that is the end.
    """

    def __init__(
        self,
        connected: socket.socket,
        dial: Optional[Callable[[], socket.socket]] = None,
    ) -> None:
        # CPython finds each of 30 attributes fast, and of more, none: 1 us a batch.
        self._lock = threading.RLock()
        self._channel = Channel(connected)
        self._peer = owner.uid_of(connected)
        self._is_served = False  # it has been answered, once at least
        self.features: FrozenSet[str] = frozenset()
        self._dial = dial
        self._pid = os.getpid()
        self._requests: Dict[int, Request] = {}
        self._jobs: Dict[int, OpenJob] = {}
        self._is_torn = False  # a section has begun
        self._lost_because: Optional[Exception] = None  # the next daemon is looked for
        self._is_restoring = False
        self.n_lives = 0  # how often the daemon has come back
        self._opened_in: Dict[Tuple[str, str], int] = {}  # by name and stage
        self._bytes_on_way = 0
        self._last_id = 0
        self._changed: Set[int] = set()
        self._failure: Optional[Exception] = None
        self._give_up_at: Optional[float] = None
        self._max_frame_bytes = self._max_client_bytes = 0xFFFFFFFF
        self._max_objects = MAX_OBJECTS
        self._memory: Optional[Memory] = None
        self._offered: Optional[Tuple[Memory, Answer]] = None  # what is to be `_memory`
        self._memory_room = 0  # for the tensors of one batch; 0: there is no memory
        self._opened = self._next_poll = monotonic()
        self.blocked_seconds = 0.0  # that `post` has waited for room
        _all.add(self)
        self._begin()

    def _begin(self) -> None:
        self._is_restoring = True
        try:
            self._greet()
        except ConnectionError as failure:
            self._lost_because = failure
        finally:
            self._is_restoring = False
        if self._lost_because is not None:
            is_mine = self._peer == os.geteuid() or os.geteuid() == owner.ROOT
            self._restore(None if is_mine else OTHERS_SECONDS)

    def _greet(self) -> None:
        hello = self.call(
            "hello",
            {
                "protocol": PROTOCOL,
                "client": f"python {__version__}",
                "pid": self._pid,
                "notices": True,
            },
        )
        self._max_frame_bytes = hello["max_frame_bytes"]
        self._max_client_bytes = hello["max_client_bytes"]
        self._max_objects = hello.get("max_objects", MAX_OBJECTS)
        self._memory_room = hello.get("max_memory_bytes", 0) // PAGE * PAGE
        self.encoders: List[str] = hello["encoders"]
        self.features = frozenset(hello.get("features", ()))  # beside those of 0.1.0
        self._is_served = True

    # ---- requests ----

    def call(
        self,
        method: str,
        params: Dict[str, Any],
        *,
        meanwhile: Optional[Callable[[], None]] = None,
        **more: Any,
    ) -> Any:
        """Send a request and wait for its result, or raise its error."""
        answer = Answer()
        self.post(method, params, on_answer=answer, **more)
        return self._result(answer, meanwhile)

    def _result(
        self, answer: Answer, meanwhile: Optional[Callable[[], None]] = None
    ) -> Any:
        while answer.both is None:
            self._wait(meanwhile)
        error, result = answer.both
        if error is not None:
            raise from_answer(error)
        return result

    def open(self, params: Dict[str, Any]) -> Dict[str, Any]:
        """Open a job, and again whenever the daemon comes back, until it is left."""
        answer = Answer()
        name = params["job"], params["stage"]
        if self._opened_in.get(name, self.n_lives) != self.n_lives:
            params = {**params, "again": True}  # that daemon has not seen the epoch before
        try:
            self.post("open", params, on_answer=answer, opens=params)
            opened = self._result(answer)
            self._jobs[opened["handle"]] = OpenJob(params, opened["id"])
            self._opened_in[name] = self.n_lives
        except BaseException as error:
            if not is_ours(error) and self._has_heard_of(answer):
                self._failure = ConnectionError(
                    "the connection is closed: a call of `open` was interrupted"
                )
                self.close()  # nobody would have the job
            raise
        return opened

    def job(self, handle: int) -> OpenJob:
        """An open job: its `last_seq` is what it was told of by `post` and the caller."""
        return self._jobs[handle]

    def leave(
        self,
        handle: int,
        method: str,
        params: Dict[str, Any],
        *,
        answer: Optional[Answer] = None,
        meanwhile: Optional[Callable[[], None]] = None,
    ) -> Any:
        """The last request for a job: `end` or `abort`.

        With the `answer` of a call that was interrupted, it is that call's that is
        waited for.
        """
        answer = answer or Answer()
        if method == "abort":
            self._give_up_at = monotonic() + ABORT_SECONDS
        try:
            if not self._has_heard_of(answer):
                params = {"job": handle, **params}
                self.post(method, params, on_answer=answer, handle=handle)
            return self._result(answer, meanwhile)
        finally:
            self._give_up_at = None
            if answer.both is not None or self._failure is not None:
                self._jobs.pop(handle, None)

    def _has_heard_of(self, answer: Answer) -> bool:
        """Whether the request with this answer was handed over."""
        with self._lock:
            return answer.both is not None or any(
                request.on_answer is answer for request in self._requests.values()
            )

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
        handle: int = OF_NO_JOB,
        seq: int = 0,
        opens: Optional[Dict[str, Any]] = None,
        descriptor: Optional[int] = None,
    ) -> None:
        """Send a request; `on_answer` is called from within a later call.

        Waits for answers while `max_client_bytes` are on their way, or the memory is
        full. Where values cannot be packed or the frame is too long, this raises and
        nothing was sent.
        """
        with self._lock:
            self._check()
            id = self._last_id = self._last_id % 0xFFFFFFFF + 1  # 0: protocol errors
        places = Places(self._memory_room, self._max_frame_bytes)
        frame = pack_request(id, method, params, outputs, places)
        check_size(len(frame) - 4, self._max_frame_bytes)
        check_objects(frame, self._max_objects)
        request = Request(
            *(frame, [], None, len(frame) + places.size, on_answer),
            *(handle, seq, opens, descriptor),
        )
        since = None
        while True:
            if places.size and not self._have_memory(places.size):
                places = Places(0)
                frame = pack_request(id, method, params, outputs)
                check_size(len(frame) - 4, self._max_frame_bytes)
                request = request._replace(frame=frame, size=len(frame))
            if self._hand_over(id, request, places):
                break
            since = since or monotonic()
            self._wait()
        if since is not None:
            self._count_blocked(since)

    def _hand_over(self, id: int, request: Request, places: Places) -> bool:
        """False where there is no room yet."""
        with self._lock:
            self._check()
            if self._is_restoring:  # so it is this thread that does
                request = request._replace(handle=OF_THE_WAY_BACK)
            elif request.seq and request.handle not in self._jobs:
                raise StateError("the job is over")
            if not self._has_room(request.size):
                return False
            was_torn, self._is_torn = self._is_torn, True
            if places.size:
                self._receive()  # the lowest slot that is free is the warmest
                slot = self._take_slot(places.size)
                if slot is None:
                    self._is_torn = was_torn
                    return False
                places.fill(self._memory, slot, request.frame)
                request = request._replace(slot=slot)
            self._requests[id] = request  # handed over
            self._bytes_on_way += request.size
            if request.seq:
                self._jobs[request.handle].last_seq = request.seq
            self._send(id)
            self._is_torn = was_torn
            return True

    def _has_room(self, size: int) -> bool:
        """A request larger than max_client_bytes goes alone."""
        return (
            self._is_restoring
            or not self._requests
            or self._bytes_on_way + size <= self._max_client_bytes
        )

    def poll(self) -> None:
        """Take the answers that have come, if the last look was some time ago.

        To look costs a third of a small batch, after a model's work.
        """
        now = monotonic()
        is_time = now >= self._next_poll or len(self._requests) >= POLL_REQUESTS
        if not is_time and not self._is_torn and self._failure is None:
            return  # seen without the lock, as most of the time: it is not for nothing
        with self._lock:
            self._check()
            if is_time:
                self._next_poll = now + POLL_SECONDS
                self._receive()

    @property
    def waiting_bytes(self) -> int:
        """Of requests without an answer, and their tensors in memory."""
        return self._bytes_on_way

    def waiting_batches(self, handle: int) -> List[int]:
        """The `seq` of each batch of a job without an answer."""
        found = list(self._requests.values())  # in one step: no lock is asked for
        return [each.seq for each in found if each.seq and each.handle == handle]

    def flush(self, meanwhile: Optional[Callable[[], None]] = None) -> None:
        """Wait until all that was posted has its answer, but for calls.

        `meanwhile` is called from time to time.
        """
        while self._has_posted():
            self._wait(meanwhile)

    def _has_posted(self) -> bool:
        with self._lock:
            self._check()
            requests = self._requests.values()
            return any(not isinstance(each.on_answer, Answer) for each in requests)

    def take_changed(self, handle: int) -> bool:
        """Whether the daemon has said, since the last look, that this job changed."""
        with self._lock:
            self._check()
            self._receive()
            changed = handle in self._changed
            self._changed.discard(handle)
            return changed

    def close(self) -> None:
        if os.getpid() == self._pid:
            self._failure = self._failure or ConnectionError("the connection is closed")
            self._channel.close()
            memory = self._memory or (self._offered and self._offered[0])
            self._memory = self._offered = None
            if memory:
                leave(memory)

    def leave_to_parent(self) -> None:
        """In a child of a fork: a peer that lives is one that may come back."""
        self._failure = StateError(f"this connection belongs to process {self._pid}")
        self._channel.leave_to_parent()
        memory = self._memory or (self._offered and self._offered[0])
        if memory:
            memory.abandon()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if os.getpid() != self._pid:  # of a fork that Python knows nothing of
            raise StateError(f"this connection belongs to process {self._pid}")
        if self._is_torn and not self._is_restoring:
            self._mend()

    # ---- waiting ----

    def _wait(self, meanwhile: Optional[Callable[[], None]] = None) -> None:
        """For some bytes of answers, or for as long as a tick."""
        self._channel.poll(select.POLLIN, TICK_MS)
        with self._lock:
            self._check()
            self._receive()
            self._check_patience()
        if meanwhile is not None:
            meanwhile()

    def _check_patience(self) -> None:
        if self._give_up_at is not None and monotonic() > self._give_up_at:
            self._fail(ConnectionError(f"lighterd said nothing for {ABORT_SECONDS:g} s"))

    def _count_blocked(self, since: float) -> None:
        now = monotonic()
        self.blocked_seconds += now - since
        elapsed = now - self._opened
        if (
            self.blocked_seconds < SLOW_SECONDS
            or self.blocked_seconds < SLOW_PART * elapsed
        ):
            return
        self._opened = -math.inf  # once is enough
        logger.warning(
            "lighterd writes more slowly than this process predicts: %.1f of %.1f "
            "seconds went by waiting for it, with %.0f MB on their way",
            *(self.blocked_seconds, elapsed, self._bytes_on_way / 1e6),
        )

    # ---- memory ----

    def _have_memory(self, size: int) -> bool:
        """False where there is none to be had: tensors go through the socket then."""
        with self._lock:
            if self._memory is None and self._memory_room:
                try:
                    self._share(size)
                except Exception as error:
                    self._do_without_memory(error)
            return self._memory is not None and size <= self._memory_room

    def _take_slot(self, size: int) -> Optional[Slot]:
        assert self._memory is not None
        try:
            return self._memory.take(size)
        except OSError as error:
            self._do_without_memory(error)
            return None

    def _do_without_memory(self, error: Exception) -> None:
        if self._failure is not None:  # then that is what is wrong
            raise self._failure
        if not is_ours(error):
            raise error
        logger.warning("tensors go through lighterd's socket, slower: %s", error)
        self._memory_room = 0

    def _share(self, size: int) -> None:
        """Whom a signal's handler has interrupted goes on with the same memory: its
        descriptor may be on its way.
        """
        if self._offered is None:
            self._offered = obtain(size, self._memory_room), Answer()
        memory, answer = self._offered
        try:
            if not self._has_heard_of(answer):
                self._announce(memory, answer)
            self._result(answer)
        except Exception as error:
            if is_ours(error) and self._offered is not None:
                self._offered = None
                memory.close()
            raise
        self._take_offered()

    def _take_offered(self) -> None:
        """The memory is ours once the daemon has agreed."""
        if self._memory is None and self._offered is not None:
            memory, answer = self._offered
            if answer.both is not None and answer.both[0] is None:
                self._memory_room = memory.size
                self._memory = memory

    def _announce(self, memory: Memory, answer: Answer) -> None:
        params = {"size": memory.size}
        self.post("memory", params, on_answer=answer, descriptor=memory.descriptor)

    # ---- sections ----

    def _send(self, id: int) -> None:
        """What is left of a request's frame."""
        request, channel = self._requests[id], self._channel
        while not self._try_send(request):
            # The daemon may be waiting for us to read, so do both.
            channel.poll(select.POLLIN | select.POLLOUT, TICK_MS)
            self._receive()
            if channel is not self._channel:
                return  # it was sent again
            self._check_patience()

    def _try_send(self, request: Request) -> bool:
        channel = self._channel
        try:
            return channel.send(request.frame, request.descriptor, request.sent)
        except (BrokenPipeError, ConnectionResetError):
            while channel is self._channel:  # its last words may say why
                channel.poll(select.POLLIN, TICK_MS)
                self._receive()
            return True

    def _receive(self) -> None:
        """Take the answers that are there."""
        was_torn, self._is_torn = self._is_torn, True
        try:
            arrived = self._channel.receive()
        except OSError as error:
            if not is_ours(error):
                raise
            is_end = isinstance(error, ConnectionResetError)
            broke = f"the connection to lighterd broke: {error}"
            self._lost(self._why_closed() if is_end else broke)
            arrived = None
        except ValueError as error:
            self._fail(ProtocolError(f"lighterd sent no answer: {error}"))
        if arrived is not None and arrived.is_end:
            self._lost(self._why_closed())
        elif arrived is not None:
            for id in arrived.ids:
                self._take_answer(id, None, {}, arrived.is_again)
            for message in arrived.messages:
                self._take(message, arrived.is_again)
            self._channel.taken(arrived)
        self._is_torn = was_torn

    def _take(self, message: Any, is_again: bool) -> None:
        if isinstance(message, list) and len(message) == 3 and message[0] == 2:
            self._take_notification(*message[1:])
            return
        if not isinstance(message, list) or len(message) != 4 or message[0] != 1:
            self._fail(ProtocolError(f"lighterd sent no answer: {message!r}"))
        _, id, error, result = message
        if id == 0:
            self._fail(from_answer(error))
        self._take_answer(id, error, result, is_again)

    def _take_answer(
        self, id: Any, error: Optional[Dict[str, Any]], result: Any, is_again: bool
    ) -> None:
        request = self._requests.get(id)
        if request is None:
            if not is_again:
                self._fail(
                    ProtocolError(f"lighterd sent no answer: there is no request {id!r}")
                )
            return
        request.on_answer(error, result)
        del self._requests[id]
        self._bytes_on_way -= request.size
        if request.slot is not None and self._memory is not None:
            self._memory.give_back(request.slot)

    def _take_notification(self, method: Any, params: Any) -> None:
        if method == "changed":
            self._changed.add(params["job"])
        elif method == "waiting":
            goes_on = params.get("reason") is None
            level = logging.INFO if goes_on else logging.WARNING
            logger.log(level, "%s", params.get("message"))

    def _mend(self) -> None:
        """End what a section had begun that an exception cut short."""
        if self._lost_because is not None:
            self._restore()
        else:
            self._recount()
            self._receive()
            for id in [*self._requests][-1:]:  # the one that was sent last
                self._send(id)
        self._is_torn = False

    def _recount(self) -> None:
        """All that follows from which requests there are."""
        requests = self._requests.values()
        self._bytes_on_way = sum(request.size for request in requests)
        for request in requests:
            if request.seq:
                job = self._jobs.get(request.handle)
                if job is not None:
                    job.last_seq = max(job.last_seq, request.seq)
        if self._memory is not None:
            slots = [request.slot for request in requests if request.slot is not None]
            self._memory.take_back_all_but(slots)

    # ---- a daemon that dies ----

    def _why_closed(self) -> str:
        me = os.geteuid()
        if self._is_served or self._peer == me or me == owner.ROOT:
            return "lighterd closed the connection"
        return (
            f"lighterd runs as {owner.name(self._peer)} and closed the connection of "
            f"{owner.name(me)}: it serves its own user, root, and those that its "
            "allow_users and allow_groups name"
        )

    def _lost(self, why: str) -> None:
        """The daemon is gone. Goes on with the next one, or raises."""
        if self._failure is not None:  # it was closed here, by another thread
            raise self._failure
        failure = ConnectionError(why)
        if self._is_restoring:
            raise failure
        self._lost_because = failure
        self._restore()

    def _restore(self, at_most: Optional[float] = None) -> None:
        failure = self._lost_because
        limit = _reconnect_seconds()
        limit = limit if at_most is None else min(limit, at_most)
        if self._dial is None or limit <= 0:
            self._end(failure)
        was_torn, self._is_torn = self._is_torn, True
        self._is_restoring = True
        try:
            self._find_again(failure, limit)
        finally:
            self._is_restoring = False
        self._lost_because = None
        self._is_torn = was_torn

    def _find_again(self, failure: Exception, limit: float) -> None:
        logger.warning("%s; looking for it for %g s", failure, limit)
        since, pause = monotonic(), PAUSE_MIN_SECONDS
        while True:
            if self._dial is None:  # another thread has given up meanwhile
                self._end(failure)
            try:
                n_sent = self._begin_again()
                break
            except Exception as error:
                if not is_ours(error):
                    raise
                if not isinstance(error, (OSError, LimitError)) or isinstance(
                    error, OwnerError
                ):
                    self._end(error)
                if monotonic() + pause - since > limit:
                    self._end(
                        ConnectionError(
                            f"{failure}, and was not back within {limit:g} s: {error}"
                        )
                    )
            sleep(pause)
            pause = min(2 * pause, PAUSE_MAX_SECONDS)
        seconds = monotonic() - since
        self.blocked_seconds += seconds
        logger.warning(
            "lighterd is back after %.1f s; %d requests were sent again",
            *(seconds, n_sent),
        )

    def _begin_again(self) -> int:
        """Tell the next daemon all that the one before was told.

        Returns how many requests were sent again.
        """
        assert self._dial is not None
        self._channel.close()
        connected = self._dial()
        self._peer = owner.uid_of(connected)
        self._channel = Channel(connected)
        for id, request in list(self._requests.items()):
            request.sent.clear()
            if request.handle == OF_THE_WAY_BACK:  # of the attempt before
                del self._requests[id]
        self._recount()
        unanswered = list(self._requests)
        self._greet()
        self._take_offered()
        if self._memory is not None:
            self._memory_room = self._memory.size
            answer = Answer()
            self._announce(self._memory, answer)
            self._result(answer)
        for handle, job in self._jobs.items():
            self._open_again(handle, job)
        self.n_lives += 1
        for id in unanswered:
            if id in self._requests:  # its answer may have come meanwhile
                self._send_again(id)
        return len(unanswered)

    def _open_again(self, handle: int, job: OpenJob) -> None:
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
                self._take_answer(id, None, opened, True)

    def _send_again(self, id: int) -> None:
        request = self._requests[id]
        if request.opens is not None:
            params = {**request.opens, "again": True}
            frame = pack_request(id, "open", params)
            self._requests[id] = request._replace(frame=frame)
        self._send(id)

    def _fail(self, failure: Exception) -> NoReturn:
        """The connection is of no more use; or this attempt of the way back."""
        if self._is_restoring:
            raise failure
        self._end(failure)

    def _end(self, failure: Exception) -> NoReturn:
        self._failure = failure
        self.close()
        raise failure


def _reconnect_seconds() -> float:
    told = os.environ.get(RECONNECT_VARIABLE)
    try:
        return float(told) if told else RECONNECT_SECONDS
    except ValueError:
        raise ValueError(f"${RECONNECT_VARIABLE} expects seconds, got {told!r}") from None


_all: weakref.WeakSet[Connection] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for connection in list(_all):
        connection.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)
