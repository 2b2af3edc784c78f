"""base_writer - what is a writer to a trainer: a path that ranks share, and `write`.

In: a trainer's hooks. Out: a call of `write` for each batch of predictions. No daemon is
met here: a subclass writes as it likes. Either trainer takes it, `lightning.pytorch`'s
and `pytorch_lightning`'s. All in the trainer's thread.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..address import PathLike
from ..voice import logger

STAGE = "predict"
WARNED = "_lighterd_warned_of_predictions"


def _lightning_callbacks() -> List[type]:
    """Lightning comes as two packages, and a trainer asks for its own class."""
    found = []
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            found.append(importlib.import_module(name).Callback)
        except ImportError:
            pass
    return list(dict.fromkeys(found)) or [object]


class Callback(*_lightning_callbacks()):  # type: ignore[misc]
    """What both of Lightning's trainers take for theirs."""


class BaseWriter(Callback, ABC):
    """A writer of one's own: a subclass says in `write` what becomes of a batch.

    Args:
        path: A file, if it has a suffix, or else a directory. Ranks take rank 0's.
        return_predictions: False has `trainer.predict` keep no predictions in memory,
            whatever it was called with: for programs that call it with no argument, as
            the command `lighter` does.
    """

    def __init__(
        self, path: PathLike, *, return_predictions: Optional[bool] = None
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.return_predictions = return_predictions

    @abstractmethod
    def write(
        self, outputs: Dict[str, Any], batch: Any, batch_idx: int, dataloader_idx: int
    ) -> None:
        """Write what `predict_step` has returned for this batch."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage != STAGE:
            return
        self._share_path(trainer)
        loop = getattr(trainer, "predict_loop", None)
        if self.return_predictions is not None and loop is not None:
            loop.return_predictions = self.return_predictions

    def on_predict_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if _is_nothing(outputs):
            return
        self.write(outputs, batch, batch_idx, dataloader_idx)
        _warn_of_predictions(trainer)

    def _directory(self) -> Path:
        """What must be there, and be the same for all ranks."""
        return self.path.parent if self.path.suffix else self.path

    def _share_path(self, trainer: Any) -> None:
        strategy = getattr(trainer, "strategy", None)
        if hasattr(strategy, "broadcast"):
            self.path = strategy.broadcast(self.path, src=0)
        if trainer.global_rank == 0:
            self._look_at_path()
            self._directory().mkdir(parents=True, exist_ok=True)
        if hasattr(strategy, "barrier"):
            strategy.barrier()
        if not self._directory().exists():
            raise RuntimeError(
                f"Rank {trainer.global_rank} does not share storage with rank 0. "
                "Ensure nodes have common storage access."
            )

    def _look_at_path(self) -> None:
        if self.path.exists():
            logger.warning(
                "%s already exists, existing predictions will be overwritten.", self.path
            )


def _is_nothing(outputs: Any) -> bool:
    """Whether a `predict_step` has nothing to write; a tensor has no truth to ask for."""
    return outputs is None or isinstance(outputs, (Mapping, list, tuple)) and not outputs


def _warn_of_predictions(trainer: Any) -> None:
    """Once a trainer, where what is written is kept in memory as well."""
    loop = getattr(trainer, "predict_loop", None)
    if not getattr(loop, "return_predictions", False) or WARNED in vars(trainer):
        return
    setattr(trainer, WARNED, True)
    if trainer.global_rank == 0:
        logger.warning(
            "the trainer keeps all predictions in memory, to return them from predict: "
            "if they are only to be written, pass return_predictions=False to "
            "trainer.predict, or to the writer"
        )
