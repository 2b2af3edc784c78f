"""bench - what an experiment is given to work with."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from daemon import Daemon
from limits import Neighbour

T = TypeVar("T")


class Bench(NamedTuple):
    daemon: Daemon
    neighbour: Neighbour
    directory: str  # for what experiments share between rounds; each file is new
    is_quick: bool

    def size(self, full: T, quick: T) -> T:
        """The size of the real run, or of one that shows that all works."""
        return quick if self.is_quick else full
