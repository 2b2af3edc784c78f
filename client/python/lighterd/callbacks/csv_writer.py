"""csv_writer - predictions as a table. In: a trainer's hooks. Out: rows, handed over."""

from __future__ import annotations

from typing import Any, List, Optional

from .. import session, writers
from ..address import PathLike
from .daemon_writer import DaemonWriter


class CsvWriter(DaemonWriter):
    """Save predictions as a table: a header of `keys`, then a line for each sample.

    Args:
        path: The table, complete when the epoch has ended.
        keys: Keys of the outputs, one a column. Each must be in every batch's outputs.
        line_end: "crlf", as Python's csv module ends lines, or "lf".
        overwrite: What becomes of a table that is there: "replace", the default, or
            "error".
        shared: What all writers take: see `DaemonWriter`.
    """

    def __init__(
        self,
        path: PathLike,
        keys: List[str],
        *,
        line_end: str = "crlf",
        overwrite: Optional[str] = None,
        **shared: Any,
    ) -> None:
        super().__init__(path, **shared)
        self.keys = keys
        self.line_end = line_end
        self.overwrite = overwrite

    def _directory(self) -> Any:
        return self.path.parent

    def _connect(self, trainer: Any) -> session.Member:
        writer = writers.csv(
            self.path, self.keys, self.line_end, overwrite=self.overwrite
        )
        return self._session(trainer).join(self, writer)
