"""session - what the callbacks of one trainer share.

In: the writers, batches and epoch ends of several callbacks. Out: one connection, one
job an epoch, and one hand-over of each batch, however many callbacks see it. Sessions
live on their trainer, from the first callback's setup to the first teardown or
exception. All in the trainer's thread.
"""

from __future__ import annotations

from typing import Any, Hashable, List, Optional, Set

from .address import PathLike
from .job import Job
from .launch import connect
from .progress import Bar
from .writers import Outputs, Writer

ATTRIBUTE = "_lighterd_sessions"


def of(
    trainer: Any,
    job: Optional[str],
    socket: Optional[PathLike],
    pipeline: Optional[str] = None,
    directory: PathLike = ".",
) -> Session:
    """The session of those callbacks of this trainer that name all of this."""
    sessions = vars(trainer).setdefault(ATTRIBUTE, {})
    key = (job, socket, pipeline, directory)
    if key not in sessions:
        sessions[key] = Session(trainer, *key)
    return sessions[key]


def close_all(trainer: Any, reason: str) -> None:
    """Close the trainer's sessions; a job that is still open is aborted."""
    for session in vars(trainer).pop(ATTRIBUTE, {}).values():
        session.close(reason)


class Session:
    def __init__(
        self,
        trainer: Any,
        job: Optional[str],
        socket: Optional[PathLike],
        pipeline: Optional[str],
        directory: PathLike,
    ) -> None:
        self._connection = connect(socket)
        self._name = job
        self._pipeline = pipeline
        self._directory = directory
        self._rank = trainer.global_rank
        self._world_size = trainer.world_size
        self._writers: List[Writer] = []
        self._job: Optional[Job] = None
        self._event: Hashable = None
        self._seen_by: Set[int] = set()
        self._bar = Bar()
        self.resume = False  # one of the callbacks wants it
        self.encoders = self._connection.encoders

    def join(self, writer: Writer) -> Member:
        self._writers.append(writer)
        return Member(self, writer, len(self._writers))

    def join_pipeline(self) -> Member:
        """The daemon's configuration says what is written, and what that needs."""
        return Member(self, Writer("", "", [], {}), 1)

    def begin(self, total: Optional[int] = None) -> None:
        """Open the job: from here on the other ranks are told if this one fails.

        Without it the first batch does. `total`: batches that are to come, where that
        is known.
        """
        if self._job is None:
            self._job = Job(
                self._connection,
                self._writers,
                pipeline=self._pipeline,
                directory=self._directory,
                name=self._name,
                rank=self._rank,
                world_size=self._world_size,
                resume=self.resume,
                total=total,
            )

    def write(
        self, who: int, outputs: Outputs, batch_idx: int, dataloader_idx: int
    ) -> None:
        if self._is_first(who, (batch_idx, dataloader_idx)):
            self.begin()
            if self._pipeline is not None:  # nobody has looked at them yet
                self._job.check(outputs)
            self._job.hand_over(outputs, batch_idx, dataloader_idx)

    def show(self, trainer: Any) -> None:
        """How far writing lags behind, in the trainer's progress bar."""
        if self._job is not None:
            self._bar.show(trainer, self._job.progress)

    def end(self, who: int) -> None:
        """End the epoch and wait for its outputs: empty ones, if there was no batch."""
        if self._is_first(who, "end"):
            self.begin()
            self._job.end()
            self._job = None

    def close(self, reason: str) -> None:
        if self._job is not None:
            self._job.abort(reason)
        self._connection.close()

    def _is_first(self, who: int, event: Hashable) -> bool:
        """Whether no other has come with this event yet.

        Who comes with it again means another one: batches may bear the same number.
        """
        is_first = event != self._event or who in self._seen_by
        if is_first:
            self._event, self._seen_by = event, set()
        self._seen_by.add(who)
        return is_first


class Member:
    """One callback's place in a session."""

    def __init__(self, session: Session, writer: Writer, who: int) -> None:
        self._session = session
        self._writer = writer
        self._who = who

    def begin(self, total: Optional[int] = None) -> None:
        self._session.begin(total)

    def write(self, outputs: Outputs, batch_idx: int, dataloader_idx: int) -> None:
        self._writer.check(outputs)
        self._session.write(self._who, outputs, batch_idx, dataloader_idx)

    def show(self, trainer: Any) -> None:
        self._session.show(trainer)

    def end(self) -> None:
        self._session.end(self._who)
