"""pipeline_writer - what the daemon's configuration says. In: a trainer's hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

from .. import session
from ..address import PathLike
from .daemon_writer import DaemonWriter


class PipelineWriter(DaemonWriter):
    """Save predictions as a pipeline of the daemon's configuration says.

    Args:
        pipeline: Its name; `lighterctl config show` lists them.
        directory: From where relative paths in it start.
        shared: What all writers take: see `DaemonWriter`. The job is called after
            directory and pipeline where it is not told.
    """

    def __init__(self, pipeline: str, directory: PathLike = ".", **shared: Any) -> None:
        super().__init__(directory, **shared)
        self.pipeline = pipeline

    def _directory(self) -> Path:
        return self.path

    def _place(self) -> Tuple[Any, ...]:
        return self.job, self.socket, self.pipeline, self.path

    def _connect(self, trainer: Any) -> session.Member:
        return self._session(trainer).join_pipeline(self)
