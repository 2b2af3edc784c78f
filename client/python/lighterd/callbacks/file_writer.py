"""file_writer - a prediction of each sample as a file of its own.

In: a trainer's hooks. Out: values, handed over to an encoder of the daemon, or to a
Python function in this process. All in the trainer's thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, Union

from .. import encoders, writers
from ..address import PathLike
from ..encoders import write_image_2d, write_image_3d, write_tensor, write_text
from ..local import LocalFiles, WriterFn
from ..registry import WriterRegistry, writer_registry
from .daemon_writer import DaemonWriter, Output

__all__ = [
    "FileWriter",
    "WriterRegistry",
    "write_image_2d",
    "write_image_3d",
    "write_tensor",
    "write_text",
    "writer_registry",
]


class FileWriter(DaemonWriter):
    """Save a prediction of each sample as a file of its own.

    Args:
        directory: Where the files go.
        value_key: Key of the outputs with what is saved.
        writer_fn: A name ("tensor", "image_2d", "text", ...; see `writer_registry`), a
            map of its name and options, or a callable that is given a path and a value
            and runs in this process.
        name_key: Key of the outputs with the files' names; else they are numbered.
        overwrite: What becomes of what is there: "replace" (files of the same names),
            the default, "error", or "exchange" (the whole directory; the old one is
            kept beside it). Not with a callable, which writes over what is there.
        shared: What all writers take: see `DaemonWriter`. With `resume`, a callable
            writes all files again.
    """

    def __init__(
        self,
        directory: PathLike,
        value_key: str,
        writer_fn: Union[writers.Encoder, WriterFn],
        name_key: Optional[str] = None,
        *,
        overwrite: Optional[str] = None,
        **shared: Any,
    ) -> None:
        super().__init__(directory, **shared)
        if not isinstance(writer_fn, (str, Mapping)) and not callable(writer_fn):
            raise TypeError("writer_fn must be a string or a callable")
        self.overwrite = overwrite
        self.value_key = value_key
        self.name_key = name_key
        self._told = encoders.name_of(writer_fn) or writer_fn
        self.writer_fn = self._callable()

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "predict" and self.path.suffix:
            raise ValueError(
                "FileWriter expects 'directory' to be a directory path, not a file path"
            )
        super().setup(trainer, pl_module, stage)

    def _directory(self) -> Path:
        return self.path

    @property
    def passes_on(self) -> bool:
        """A function of the user's may change what it is given."""
        return not self._is_local() and super().passes_on

    def _is_local(self) -> bool:
        """Whether this process writes, and no encoder of the daemon."""
        name, _ = self._split()
        return name is None or name in writer_registry.functions

    def _connect(self, trainer: Any) -> Output:
        if self._is_local():
            if self.overwrite is not None:
                raise ValueError(
                    "overwrite= is for files that the daemon writes; a function of "
                    "this process writes over what is there"
                )
            return LocalFiles(
                self.path,
                self.value_key,
                self._callable(),
                self.name_key,
                rank=trainer.global_rank,
                world_size=trainer.world_size,
            )
        shared = self._session(trainer)
        writer_registry.check(self._split()[0], shared.encoders)
        writer = writers.file(
            *(self.path, self.value_key, self._told, self.name_key),
            overwrite=self.overwrite,
        )
        return shared.join(self, writer)

    def _callable(self) -> WriterFn:
        """What writes a value in this process, for subclasses that want to."""
        name, options = self._split()
        if name is None:
            return self._told
        function = writer_registry.find(name)
        return partial(function, **options) if options else function

    def _split(self) -> Tuple[Optional[str], Dict[str, Any]]:
        """The name and the options; of a function there is no name."""
        if isinstance(self._told, str):
            return self._told, {}
        if not isinstance(self._told, Mapping):
            return None, {}
        options = dict(self._told)
        return options.pop("name", ""), options
