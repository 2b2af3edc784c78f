"""session - what the callbacks of one trainer share.

In: the writers, batches and epoch ends of several callbacks. Out: one connection and one
job an epoch. Each writer writes what its own `write` was given; where it is certain that
those which follow will be given the very same, all of them get it in one hand-over.
Sessions live on their trainer, from the first callback's setup to the first teardown or
exception. All in the trainer's thread.
"""

from __future__ import annotations

import weakref
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Union

from . import world
from .address import PathLike
from .errors import StateError
from .job import Job
from .launch import connect
from .local import LocalFiles
from .outputs import normalize
from .owner import Owner
from .progress import Bar
from .voice import logger
from .writers import Writer

ATTRIBUTE = "_lighterd_sessions"
DESTINATIONS = "_lighterd_destinations"
LIGHTNING = ("lightning", "pytorch_lightning")


def of(
    trainer: Any,
    callback: Any,
    job: Optional[str],
    socket: Optional[PathLike],
    pipeline: Optional[str] = None,
    directory: PathLike = ".",
) -> Session:
    """The session of those callbacks of this trainer that name all of this."""
    sessions = vars(trainer).setdefault(ATTRIBUTE, {})
    key = (job, socket, pipeline, directory)
    if key not in sessions:
        sessions[key] = Session(trainer, callback.owner, *key)
    sessions[key].heed(callback)
    return sessions[key]


def destinations(trainer: Any) -> Dict[Any, Union[Member, LocalFiles]]:
    """Where each callback of this trainer writes to."""
    return vars(trainer).setdefault(DESTINATIONS, {})


def close_all(trainer: Any, reason: Optional[str] = None) -> None:
    """Close the trainer's sessions; a job that is still open is aborted.

    Without a reason nothing has failed, and it is said of a job that it was still open.
    """
    vars(trainer).pop(DESTINATIONS, None)
    for session in vars(trainer).pop(ATTRIBUTE, {}).values():
        session.close(reason)


def is_of(callback: Any, hook: str, owner: type) -> bool:
    """Whether this hook of the callback is what `owner` has, overridden by nobody."""
    own = getattr(owner, hook, None)
    return getattr(type(callback), hook, None) is own and hook not in vars(callback)


class _Place:
    """One callback in a session."""

    def __init__(self, callback: Any, writer: Writer, index: int) -> None:
        self._callback = weakref.ref(callback)  # which holds the session
        self.writer = writer
        self.index = index  # of its writer, as `open` has them

    @property
    def callback(self) -> Any:
        return self._callback()


class _Shared(NamedTuple):
    """A hand-over that some have still to come with."""

    outputs: Any
    batch_idx: int
    dataloader_idx: int
    still_to_come: Set[_Place]


class Session:
    def __init__(
        self,
        trainer: Any,
        owner: Optional[Owner],
        job: Optional[str],
        socket: Optional[PathLike],
        pipeline: Optional[str],
        directory: PathLike,
    ) -> None:
        self._name = job
        self._pipeline = pipeline
        self._directory = directory
        self._world = world.of_trainer(trainer)
        self._connection = connect(socket, owner)
        self._places: List[_Place] = []
        self._job: Optional[Job] = None
        self._shared: Optional[_Shared] = None
        self._ended: Set[_Place] = set()
        self._ended_early: Set[_Place] = set()  # the job has ended before they came
        self._bar = Bar()
        self.callbacks: Sequence[Any] = ()  # of the trainer, while it calls a hook
        self._resume = False  # one of the callbacks wants it
        self._wishes: Dict[str, Any] = {}
        self.encoders = self._connection.encoders

    def heed(self, callback: Any) -> None:
        """What one of the callbacks wants is for the job that all of them share."""
        self._resume |= callback.resume
        for wish in ("fingerprint", "rank_wait"):
            told = getattr(callback, wish)
            if told is not None and self._wishes.setdefault(wish, told) != told:
                raise ValueError(
                    f"writers that share a job have {wish} {self._wishes[wish]!r} and "
                    f"{told!r}: tell it once, or give each its own `job`"
                )

    def join(self, callback: Any, writer: Writer) -> Member:
        for place in self._places:
            if place.callback is callback:  # set up once more
                place.writer = writer
                return Member(self, place)
        place = _Place(callback, writer, len(self._places))
        self._places.append(place)
        return Member(self, place)

    def join_pipeline(self, callback: Any) -> Member:
        """The daemon's configuration says what is written, and what that needs."""
        member = self.join(callback, Writer("", "", [], {}))
        if len(self._places) > 1:
            raise ValueError(
                f"two writers of the pipeline '{self._pipeline}', and of one job: one "
                "is enough, for a pipeline has all its outputs"
            )
        return member

    def begin(self, total: Optional[int] = None) -> None:
        """Open the job: from here on the other ranks are told if this one fails.

        Without it the first batch does. `total`: batches that are to come, where that
        is known.
        """
        if self._job is None:
            self._ended_early.clear()
            self._job = Job(
                self._connection,
                [] if self._pipeline is not None else [each.writer for each in self._places],
                pipeline=self._pipeline,
                directory=self._directory,
                name=self._name,
                rank=self._world.rank,
                world_size=self._world.size,
                attempt=self._world.attempt,
                resume=self._resume,
                **self._wishes,
                total=total and total * self._count_groups(),
            )

    def write(
        self, place: _Place, outputs: Any, batch_idx: int, dataloader_idx: int
    ) -> None:
        if self._was_shared(place, outputs, batch_idx, dataloader_idx):
            return
        given, outputs = outputs, normalize(outputs)
        group = self._group(place)
        for each in group:
            each.writer.check(outputs)
        self.begin()
        if self._pipeline is not None:  # nobody has looked at them yet
            self._job.check(outputs)
        is_all = len(group) == len(self._places)
        only = None if is_all else [each.index for each in group]
        self._job.hand_over(outputs, batch_idx, dataloader_idx, only=only)
        if group[1:]:
            self._shared = _Shared(given, batch_idx, dataloader_idx, set(group[1:]))

    def _was_shared(
        self, place: _Place, outputs: Any, batch_idx: int, dataloader_idx: int
    ) -> bool:
        """Whether an earlier one's hand-over was this one's as well."""
        shared = self._shared
        if shared is None or place not in shared.still_to_come:
            self._shared = None
            return False
        if (batch_idx, dataloader_idx) != (shared.batch_idx, shared.dataloader_idx):
            self._shared = None  # they never came
            return False
        if outputs is not shared.outputs:
            raise StateError(
                f"batch {batch_idx}: {type(place.callback).__name__} was given other "
                "outputs than the writers before it, with which it shares a hand-over; "
                "to change outputs on their way, override its `write`"
            )
        shared.still_to_come.discard(place)
        if not shared.still_to_come:
            self._shared = None
        return True

    def _group(self, first: _Place) -> List[_Place]:
        """It, and those that will certainly be given the very same outputs next.

        No code but ours and Lightning's may come between them, for outputs can be
        changed in place.
        """
        group = [first]
        if not getattr(first.callback, "passes_on", False):
            return group
        is_behind = False
        for callback in self.callbacks:
            if callback is first.callback:
                is_behind = True
            elif is_behind and not _leaves_alone(callback):
                break
            elif is_behind:
                group += [each for each in self._places if each.callback is callback]
        return group

    def _count_groups(self) -> int:
        """In how many hand-overs a batch goes, where each writer writes it once."""
        count, grouped = 0, set()
        for place in self._places:
            if place not in grouped:
                count += 1
                grouped.update(self._group(place))
        return count

    def show(self, trainer: Any) -> None:
        """How far writing lags behind, in the trainer's progress bar."""
        if self._job is not None:
            self._bar.show(trainer, self._job.progress)

    def end(self, place: _Place) -> None:
        """End the epoch and wait for its outputs: empty ones, if there was no batch.

        The first to come ends it for all, but for those that may still have to write.
        """
        if place in self._ended_early:
            self._ended_early.discard(place)
            return
        self._ended.add(place)
        left = [each for each in self._places if each not in self._ended]
        if any(getattr(each.callback, "ends_by_itself", False) for each in left):
            return
        self._ended.clear()
        self.begin()
        self._job.end()
        self._job = None
        self._ended_early.update(left)

    def close(self, reason: Optional[str]) -> None:
        if self._job is not None:
            if reason is None:
                reason = "the trainer ended before the epoch did"
                logger.warning("%s is not published: %s", self._job.name, reason)
            self._job.abort(reason)
        self._connection.close()


def _leaves_alone(callback: Any) -> bool:
    """Whether the callback certainly changes no outputs at a batch's end.

    Lightning's own hooks call what users have overridden, in classes of theirs.
    """
    hook = "on_predict_batch_end"
    if getattr(callback, "passes_on", False):
        return True
    if hook in getattr(callback, "__dict__", ()):
        return False
    owner = next((each for each in type(callback).__mro__ if hook in vars(each)), None)
    if owner is None or owner.__name__ == "Callback" and _is_lightnings(owner):
        return True
    return _is_lightnings(type(callback))


def _is_lightnings(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in LIGHTNING


class Member:
    """What a callback of a session writes to."""

    def __init__(self, session: Session, place: _Place) -> None:
        self._session = session
        self._place = place

    def among(self, callbacks: Sequence[Any]) -> None:
        """The trainer calls a hook of these, one after another; none: it is over."""
        self._session.callbacks = callbacks

    def begin(self, total: Optional[int] = None) -> None:
        self._session.begin(total)

    def write(self, outputs: Any, batch_idx: int, dataloader_idx: int) -> None:
        self._session.write(self._place, outputs, batch_idx, dataloader_idx)

    def show(self, trainer: Any) -> None:
        self._session.show(trainer)

    def end(self) -> None:
        self._session.end(self._place)
