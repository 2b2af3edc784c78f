"""local - files that a Python callable writes, here.

In: batches. Out: a call of `writer_fn(path, value)` for each sample, in the calling
process and thread, under the names that the daemon would give.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Optional, Sequence

from . import samples, tensor, values
from .outputs import normalize
from .voice import logger
from .writers import check_file

WriterFn = Callable[[Path, Any], None]


class LocalFiles:
    """One rank's files. Without names they are numbered rank + k * world_size."""

    def __init__(
        self,
        directory: Path,
        value_key: str,
        writer_fn: WriterFn,
        name_key: Optional[str],
        *,
        rank: int,
        world_size: int,
    ) -> None:
        self._directory = directory
        self._value_key = value_key
        self._writer_fn = writer_fn
        self._name_key = name_key
        self._next = rank
        self._step = world_size
        if rank == 0 and any(directory.iterdir()):
            logger.warning("%s already exists, its files may be overwritten", directory)

    def among(self, callbacks: Sequence[Any]) -> None:
        """Nothing is shared with others."""

    def begin(self, total: Optional[int] = None) -> None:
        """There is no job."""

    def write(self, outputs: Any, batch_idx: int, dataloader_idx: int) -> None:
        outputs = normalize(outputs)
        check_file(self._value_key, self._name_key, outputs)
        found = samples.split(outputs[self._value_key])
        if not found:
            return
        end = self._next + len(found) * self._step
        names: Any = range(self._next, end, self._step)
        if self._name_key is not None:
            names = map(_name, samples.split(outputs[self._name_key]))
        for name, value in zip(names, found):
            path = self._directory / str(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer_fn(path, _on_cpu(value))
        self._next = end

    def show(self, trainer: Any) -> None:
        """Nothing lags behind."""

    def end(self) -> None:
        """The files are there already."""


def _name(sample: Any) -> str:
    """As the daemon has it."""
    return values.text(values.packable(sample))


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu() if tensor.is_torch(value) else value
