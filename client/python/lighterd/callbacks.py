"""callbacks - the writers and the freezer of lighter, for Lightning's trainers.

In: a trainer's hooks. Out: its predictions, handed to the daemon, and parameters that
freeze and unfreeze. All writers of one trainer share a connection, a job and one
hand-over of each batch; all freezers share their decision. Either trainer takes them,
`lightning.pytorch`'s and `pytorch_lightning`'s, and so does anything that calls the
hooks with a trainer's `global_rank` and `world_size`. All in the trainer's thread.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from . import session, training, writers
from .address import PathLike
from .local import LocalFiles, WriterFn
from .registry import writer_registry

logger = logging.getLogger("lighterd")


def _lightning_callbacks() -> List[type]:
    """Lightning comes as two packages, and a trainer asks for its own class."""
    found = []
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            found.append(importlib.import_module(name).Callback)
        except ImportError:
            pass
    return list(dict.fromkeys(found)) or [object]


class _Callback(*_lightning_callbacks()):  # type: ignore[misc]
    """What both of Lightning's trainers take for theirs."""


class BaseWriter(_Callback):
    """What the writers have in common: the hooks, from setup to teardown."""

    def __init__(
        self,
        path: PathLike,
        *,
        job: Optional[str] = None,
        socket: Optional[PathLike] = None,
        resume: bool = False,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.job = job
        self.socket = socket
        self.resume = resume
        self._output: Union[session.Member, LocalFiles, None] = None

    def _connect(self, trainer: Any) -> Union[session.Member, LocalFiles]:
        """What takes the batches of this trainer."""
        raise NotImplementedError

    def _session(self, trainer: Any) -> session.Session:
        shared = session.of(trainer, self.job, self.socket)
        shared.resume |= self.resume
        return shared

    def _directory(self) -> Path:
        """What must be there, and be the same for all ranks."""
        return self.path.parent

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "predict":
            self._share_path(trainer)
            self._output = self._connect(trainer)

    def _share_path(self, trainer: Any) -> None:
        strategy = getattr(trainer, "strategy", None)
        if hasattr(strategy, "broadcast"):
            self.path = strategy.broadcast(self.path, src=0)
        if trainer.global_rank == 0:
            self._directory().mkdir(parents=True, exist_ok=True)
        if hasattr(strategy, "barrier"):
            strategy.barrier()
        if not self._directory().exists():
            raise RuntimeError(
                f"Rank {trainer.global_rank} does not share storage with rank 0. "
                "Ensure nodes have common storage access."
            )

    def on_predict_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if self._output is not None:
            self._output.begin(_count_batches(trainer))

    def on_predict_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not outputs:
            return
        self.write(outputs, batch, batch_idx, dataloader_idx)
        if self._output is not None:
            self._output.show(trainer)
        # The trainer would keep every prediction until the epoch ends.
        loop = getattr(trainer, "predict_loop", None)
        for kept in getattr(loop, "_predictions", ()):
            kept.clear()

    def write(
        self, outputs: Dict[str, Any], batch: Any, batch_idx: int, dataloader_idx: int
    ) -> None:
        if self._output is None:
            logger.debug("%s: no setup, batch skipped", type(self).__name__)
            return
        self._output.write(outputs, batch_idx, dataloader_idx)

    def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._output is not None:
            self._output.end()

    def on_exception(
        self, trainer: Any, pl_module: Any, exception: BaseException
    ) -> None:
        self._output = None
        session.close_all(trainer, f"{type(exception).__name__}: {exception}")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._output = None
        session.close_all(trainer, "the trainer ended before the epoch did")


def _count_batches(trainer: Any) -> Optional[int]:
    """How many this rank will predict, where the trainer knows."""
    try:
        return int(sum(trainer.num_predict_batches))
    except (AttributeError, TypeError, ValueError, OverflowError):  # it may be infinite
        return None


class CsvWriter(BaseWriter):
    """Save predictions as a table: a header of `keys`, then a line for each sample.

    Args:
        path: The table, complete when the epoch has ended.
        keys: Keys of the outputs, one a column. Each must be in every batch's outputs.
        job: What the job is called; after the first writer's path where it is not told.
        socket: The daemon's socket; see `lighterd.address`.
        resume: Go on where an earlier run was interrupted, if one was. The trainer
            predicts all of it again; what was written is not written again.
    """

    def __init__(
        self,
        path: PathLike,
        keys: List[str],
        *,
        job: Optional[str] = None,
        socket: Optional[PathLike] = None,
        resume: bool = False,
    ) -> None:
        super().__init__(path, job=job, socket=socket, resume=resume)
        self.keys = keys

    def _connect(self, trainer: Any) -> session.Member:
        shared = self._session(trainer)
        return shared.join(writers.csv(self.path, self.keys))


class FileWriter(BaseWriter):
    """Save a prediction of each sample as a file of its own.

    Args:
        directory: Where the files go.
        value_key: Key of the outputs with what is saved.
        writer_fn: A name ("tensor", "image_2d", "text", ...; see `writer_registry`), a
            map of its name and options, or a callable that is given a path and a value
            and runs in this process.
        name_key: Key of the outputs with the files' names; else they are numbered.
        job: What the job is called; after the first writer's path where it is not told.
        socket: The daemon's socket; see `lighterd.address`.
        resume: Go on where an earlier run was interrupted, if one was. A callable
            writes all files again.
    """

    def __init__(
        self,
        directory: PathLike,
        value_key: str,
        writer_fn: Union[writers.Encoder, WriterFn],
        name_key: Optional[str] = None,
        *,
        job: Optional[str] = None,
        socket: Optional[PathLike] = None,
        resume: bool = False,
    ) -> None:
        super().__init__(directory, job=job, socket=socket, resume=resume)
        if not isinstance(writer_fn, (str, Mapping)) and not callable(writer_fn):
            raise TypeError("writer_fn must be a string or a callable")
        self.value_key = value_key
        self.writer_fn = writer_fn
        self.name_key = name_key

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "predict" and self.path.suffix:
            raise ValueError(
                "FileWriter expects 'directory' to be a directory path, not a file path"
            )
        super().setup(trainer, pl_module, stage)

    def _directory(self) -> Path:
        return self.path

    def _connect(self, trainer: Any) -> Union[session.Member, LocalFiles]:
        function = self._function()
        if function is not None:
            return LocalFiles(
                self.path,
                self.value_key,
                function,
                self.name_key,
                rank=trainer.global_rank,
                world_size=trainer.world_size,
            )
        shared = self._session(trainer)
        writer_registry.check(self._split()[0], shared.encoders)
        return shared.join(
            writers.file(self.path, self.value_key, self.writer_fn, self.name_key)
        )

    def _function(self) -> Optional[WriterFn]:
        """What writes in this process; None where an encoder of the daemon does."""
        if not isinstance(self.writer_fn, (str, Mapping)):
            return self.writer_fn
        name, options = self._split()
        function = writer_registry.functions.get(name)
        return partial(function, **options) if function and options else function

    def _split(self) -> Tuple[str, Dict[str, Any]]:
        """The writer function's name and options."""
        if isinstance(self.writer_fn, str):
            return self.writer_fn, {}
        options = dict(self.writer_fn)
        return options.pop("name", None), options


class PipelineWriter(BaseWriter):
    """Save predictions as a pipeline of the daemon's configuration says.

    Args:
        pipeline: Its name; `lighterctl config show` lists them.
        directory: From where relative paths in it start.
        job: What the job is called; after directory and pipeline where it is not told.
        socket: The daemon's socket; see `lighterd.address`.
        resume: Go on where an earlier run was interrupted, if one was.
    """

    def __init__(
        self,
        pipeline: str,
        directory: PathLike = ".",
        *,
        job: Optional[str] = None,
        socket: Optional[PathLike] = None,
        resume: bool = False,
    ) -> None:
        super().__init__(directory, job=job, socket=socket, resume=resume)
        self.pipeline = pipeline

    def _directory(self) -> Path:
        return self.path

    def _connect(self, trainer: Any) -> session.Member:
        shared = session.of(*(trainer, self.job, self.socket, self.pipeline, self.path))
        shared.resume |= self.resume
        return shared.join_pipeline()


class Freezer(_Callback):
    """Freeze parameters, by their names, for ever or until a step or an epoch.

    What several freezers of one trainer say is decided together: a parameter is frozen
    while one of them freezes it, so that layers can be unfrozen one after another.

    Args:
        names: Full names of parameters that freeze.
        name_starts_with: Starts of names of parameters that freeze.
        except_names: Full names of parameters that train nevertheless.
        except_name_starts_with: Starts of names of those.
        until_step: The global step from which they train again.
        until_epoch: The epoch from which they train again.
        others: "train" makes parameters that are not named trainable, "keep" leaves
            them as they are.
        job: What the job is called, for `lighterctl freeze` and `unfreeze`.
        socket: The daemon's socket; see `lighterd.address`.
    """

    def __init__(
        self,
        names: Union[str, List[str], None] = None,
        name_starts_with: Union[str, List[str], None] = None,
        except_names: Union[str, List[str], None] = None,
        except_name_starts_with: Union[str, List[str], None] = None,
        until_step: Optional[int] = None,
        until_epoch: Optional[int] = None,
        *,
        others: str = "train",
        job: Optional[str] = None,
        socket: Optional[PathLike] = None,
    ) -> None:
        super().__init__()
        if names is None and name_starts_with is None:
            raise ValueError(
                "At least one of `names` or `name_starts_with` must be specified."
            )
        if until_step is not None and until_epoch is not None:
            raise ValueError(
                "Only one of `until_step` or `until_epoch` can be specified."
            )
        if others not in ("train", "keep"):
            raise ValueError(f"`others` must be 'train' or 'keep', not {others!r}.")
        self.names = _as_list(names)
        self.name_starts_with = _as_list(name_starts_with)
        self.except_names = _as_list(except_names)
        self.except_name_starts_with = _as_list(except_name_starts_with)
        self.until_step = until_step
        self.until_epoch = until_epoch
        self.others = others
        self.job = job
        self.socket = socket

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        trainings = training.of(trainer)
        key = (self.job, self.socket)
        if key not in trainings:
            policies = [each._policy() for each in self._companions(trainer)]
            trainings[key] = training.Training(trainer, pl_module, policies, *key)
        trainings[key].step(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        training.close_all(trainer)

    def on_exception(
        self, trainer: Any, pl_module: Any, exception: BaseException
    ) -> None:
        training.close_all(trainer, f"{type(exception).__name__}: {exception}")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        training.close_all(trainer, "the trainer ended before the training did")

    def _companions(self, trainer: Any) -> List[Freezer]:
        """The freezers of the trainer that decide with this one, itself among them."""
        callbacks = getattr(trainer, "callbacks", None)
        found = [
            each
            for each in (callbacks if isinstance(callbacks, list) else [])
            if isinstance(each, Freezer)
            and (each.job, each.socket) == (self.job, self.socket)
        ]
        return found if self in found else [self]

    def _policy(self) -> Dict[str, Any]:
        """This freezer, as `open` has it."""
        options = {
            "names": self.names,
            "name_starts_with": self.name_starts_with,
            "except_names": self.except_names,
            "except_name_starts_with": self.except_name_starts_with,
            "until_step": self.until_step,
            "until_epoch": self.until_epoch,
            "others": self.others,
        }
        return {"type": "freezer", "options": options}


def _as_list(value: Union[str, List[str], None]) -> List[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
