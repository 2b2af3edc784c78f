"""local_job - a job of which Python functions write some of the files, or all, here.

In: the writers of a `run`, and its batches. Out: the writers that the daemon has a part
in; and for the other ones a job around its job, or around none, that has the functions
called for each batch before it is handed over. One thread at a time.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple, Union

from .address import PathLike
from .errors import StateError
from .job import Job
from .local import LocalFiles, WriterFn
from .outputs import normalize
from .progress import Progress
from .registry import writer_registry
from .writers import Outputs, Writer, target


def function_of(writer: Writer) -> Optional[WriterFn]:
    """What writes its files in this process; None where the daemon does."""
    told = writer.options.get("writer_fn") if writer.type == "file" else None
    if callable(told):
        return told
    options = dict(told) if isinstance(told, Mapping) else {"name": told}
    function = writer_registry.functions.get(options.pop("name", None))
    return partial(function, **options) if function and options else function


def split(writers: Sequence[Writer]) -> Tuple[List[Writer], List[Writer]]:
    """Those of the daemon, and those of this process."""
    of_daemon = [each for each in writers if function_of(each) is None]
    return of_daemon, [each for each in writers if function_of(each) is not None]


class NoJob:
    """What a job is where the daemon has no part in it."""

    def __init__(
        self,
        connection: None,
        writers: Sequence[Writer],
        *,
        name: Optional[str] = None,
        **_: Any,
    ) -> None:
        self.name = name or writers[0].path
        self.committed_batches = self.committed_samples = 0
        self.blocked_seconds = 0.0
        self.paths: List[str] = []
        self._n_batches = 0

    def __repr__(self) -> str:
        return f"<lighterd job {self.name!r} without a daemon: {self._n_batches} batches>"

    def check(self, outputs: Outputs) -> None:
        """There is nobody to ask."""

    def write(
        self,
        outputs: Outputs,
        batch_idx: Optional[int] = None,
        dataloader_idx: int = 0,
    ) -> None:
        self._n_batches += 1

    def flush(self) -> None:
        """The files are the functions' own."""

    def progress(self) -> Progress:
        return Progress(self._n_batches, self._n_batches, 0, 0.0)

    def end(self, wait: bool = True) -> List[str]:
        return []

    def abort(self, reason: str = "") -> None:
        """The files stay."""


class WithFiles:
    """A `Job`, whatever it is asked for, beside the files of this process.

    Those are there at once, and stay if the job fails. With `resume` all are written
    again, so no batch is skipped.
    """

    def __init__(
        self,
        job: Union[Job, NoJob],
        writers: Sequence[Writer],
        directory: PathLike,
        rank: int,
        world_size: int,
    ) -> None:
        self._job = job
        self._is_over = False
        self._checks: List[Callable[[Outputs], None]] = [job.check]
        self._files: List[LocalFiles] = []
        self._directories: List[str] = []
        for writer in writers:
            place = Path(os.path.abspath(target(directory)), writer.path)
            place.mkdir(parents=True, exist_ok=True)
            options = writer.options
            self._checks.append(writer.check)
            self._directories.append(str(place))
            self._files.append(
                LocalFiles(
                    *(place, options["value_key"], function_of(writer)),
                    options.get("name_key"),
                    rank=rank,
                    world_size=world_size,
                )
            )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    def __repr__(self) -> str:
        return f"<{self._job!r}, and files of this process>"

    def write(
        self,
        outputs: Any,
        batch_idx: Optional[int] = None,
        dataloader_idx: int = 0,
    ) -> None:
        """As `Job.write`; what a function raises comes before its batch is handed over."""
        if self._is_over:
            raise StateError(f"job '{self._job.name}' is over")
        outputs = normalize(outputs)
        for check in self._checks:
            check(outputs)
        for each in self._files:
            each.write(outputs, batch_idx or 0, dataloader_idx)
        self._job.write(outputs, batch_idx, dataloader_idx)

    def skip(self, *_: Any, **__: Any) -> bool:
        return False

    def end(self, wait: bool = True) -> List[str]:
        paths = self._job.end(wait)
        self._is_over = True
        return [*paths, *self._directories]

    def abort(self, reason: str = "") -> None:
        self._is_over = True
        self._job.abort(reason)

    @property
    def paths(self) -> List[str]:
        return [*self._job.paths, *self._directories]
