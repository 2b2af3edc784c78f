"""daemon_writer - what the writers that hand over to the daemon have in common.

In: the hooks of a trainer, from setup to teardown. Out: its predictions, in the session
that all such writers of the trainer share. A writer may be in several trainers: what it
has of each is kept there. All in the trainer's thread.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Tuple, Union

from .. import session, writers
from ..address import PathLike
from ..local import LocalFiles
from ..owner import Owner
from ..voice import logger
from .base_writer import STAGE, BaseWriter

Output = Union[session.Member, LocalFiles]


class DaemonWriter(BaseWriter):
    """Its arguments are those of all writers here, beside their own.

    Args:
        path: Where the output goes.
        job: What the job is called; after the first writer's path where it is not told.
        socket: The daemon's socket; see `lighterd.address`.
        resume: Go on where an earlier run was interrupted, if one was. The trainer
            predicts all of it again; what was written is not written again.
        fingerprint: Any text, say of the model and its configuration, that must be the
            same where a run is resumed.
        rank_wait: For how many seconds to wait for ranks that do not come; 0: for ever.
        owner: The user whose daemon it may be, besides root and this process's.
        return_predictions: False has `trainer.predict` keep no predictions in memory.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        job: Optional[str] = None,
        socket: Optional[PathLike] = None,
        resume: bool = False,
        fingerprint: Optional[str] = None,
        rank_wait: Optional[float] = None,
        owner: Optional[Owner] = None,
        return_predictions: Optional[bool] = None,
    ) -> None:
        super().__init__(writers.target(path), return_predictions=return_predictions)
        self.job = job
        self.socket = socket
        self.resume = resume
        self.fingerprint = fingerprint
        self.rank_wait = rank_wait
        self.owner = owner
        self._output: Optional[Output] = None

    def _connect(self, trainer: Any) -> Output:
        """What takes the batches of this trainer."""
        raise NotImplementedError

    def _session(self, trainer: Any) -> session.Session:
        return session.of(trainer, self, *self._place())

    def _place(self) -> Tuple[Any, ...]:
        """What the writers that share a session have in common."""
        return self.job, self.socket

    def _look_at_path(self) -> None:
        """The daemon does, and says what is there."""

    @contextmanager
    def _in(self, trainer: Any) -> Iterator[Optional[Output]]:
        """For the time of a hook: what takes this trainer's batches."""
        output = self._output = session.destinations(trainer).get(self)
        if output is not None:
            output.among(getattr(trainer, "callbacks", None) or ())
        try:
            yield output
        finally:
            if output is not None:
                output.among(())

    @property
    def passes_on(self) -> bool:
        """Whether its batches go to the daemon as the trainer gives them, so that those
        of other writers may be handed over together with them.
        """
        hooks = ("write", "on_predict_batch_end")
        return all(session.is_of(self, hook, DaemonWriter) for hook in hooks)

    @property
    def ends_by_itself(self) -> bool:
        """Whether it may have more to write when the epoch ends."""
        return not session.is_of(self, "on_predict_epoch_end", DaemonWriter)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == STAGE:
            output = self._connect(trainer)
            session.destinations(trainer)[self] = self._output = output

    def on_predict_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        with self._in(trainer) as output:
            if output is not None:
                output.begin(_count_batches(trainer))

    def on_predict_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        with self._in(trainer) as output:
            super().on_predict_batch_end(
                trainer, pl_module, outputs, batch, batch_idx, dataloader_idx
            )
            if output is not None:
                output.show(trainer)

    def write(
        self, outputs: Dict[str, Any], batch: Any, batch_idx: int, dataloader_idx: int
    ) -> None:
        if self._output is None:
            logger.debug("%s: no setup, batch skipped", type(self).__name__)
            return
        self._output.write(outputs, batch_idx, dataloader_idx)

    def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        with self._in(trainer) as output:
            if output is not None:
                output.end()

    def on_exception(
        self, trainer: Any, pl_module: Any, exception: BaseException
    ) -> None:
        self._output = None
        session.close_all(trainer, f"{type(exception).__name__}: {exception}")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == STAGE:
            self._output = None
            session.close_all(trainer)


def _count_batches(trainer: Any) -> Optional[int]:
    """How many this rank will predict, where the trainer knows."""
    try:
        return int(sum(trainer.num_predict_batches))
    except (AttributeError, TypeError, ValueError, OverflowError):  # it may be infinite
        return None
