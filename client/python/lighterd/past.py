"""past - what an earlier process has written, and whether this one gives the same.

In: batches that are passed over, since the daemon has them. Out: nothing, or an error
that says which batch is another one, before anything is written: a resumed run with
other batches, or another order, would double some samples and lose others. It goes by
the daemon's journal, a page of it at a time. Used under the job's lock.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set

from . import samples
from .errors import StateError

# Takes the `seq` from which on to tell; gives the result of `past` in doc/protocol.md.
Ask = Callable[[int], Dict[str, Any]]


class Past:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._runs: List[List[int]] = []  # of the page at hand
        self._first = 1  # seq of the first batch in them
        self._next = 1  # seq of the first one behind them; 0: there is none

    def check(
        self,
        seq: int,
        batch_idx: Optional[int],
        dataloader_idx: int,
        n_samples: Optional[Set[int]],
    ) -> None:
        """StateError where the batch `seq` was another one. What is None is not known;
        of `n_samples`, what each of the writers finds, one must be right.
        """
        found = self._find(seq)
        if found is None:
            return
        their_idx, their_dataloader, their_samples = found
        if batch_idx is not None and (batch_idx, dataloader_idx) != (
            their_idx,
            their_dataloader,
        ):
            _fail(
                seq,
                f"batch_idx {their_idx} of dataloader {their_dataloader}",
                f"batch_idx {batch_idx} of dataloader {dataloader_idx}",
            )
        # A batch that was refused has no samples, whatever it had.
        if n_samples and their_samples and their_samples not in n_samples:
            counts = " or ".join(map(str, sorted(n_samples)))
            _fail(
                seq,
                f"{their_samples} samples (batch_idx {their_idx})",
                f"{counts} samples",
            )

    def _find(self, seq: int) -> Optional[List[int]]:
        """None where the daemon does not know."""
        while True:
            first = self._first
            for count, batch_idx, dataloader_idx, n_samples in self._runs:
                if first <= seq < first + count:
                    if batch_idx is None:  # nothing is recorded of it
                        return None
                    return [batch_idx + seq - first, dataloader_idx, n_samples]
                first += count
            if not self._next or seq < self._first:
                return None
            page = self._ask(self._next)
            self._first, self._runs = self._next, page["runs"]
            self._next = page["next"]


def _fail(seq: int, expected: str, got: str) -> None:
    raise StateError(
        f"this is not the run that was interrupted: batch {seq} of this rank had "
        f"{expected}, now it has {got}. Nothing was written. Give the same batches in "
        "the same order as before, or begin anew, without `resume`"
    )


def count(outputs: Any, keys_of_writers: Iterable[List[str]]) -> Set[int]:
    """How many samples the batch has, as each of the writers counts; empty: unknown."""
    found = set()
    if isinstance(outputs, Mapping):
        for keys in keys_of_writers:
            found.update(_count(outputs, keys))
    return found


def _count(outputs: Mapping[str, Any], keys: List[str]) -> List[int]:
    values = [outputs[key] for key in keys if key in outputs]
    counts = [
        samples.count(value)
        for value in values
        if type(value) is list or getattr(value, "ndim", 1)  # else it is for every row
    ]
    known = [n for n in counts if n is not None]
    return known[:1] or [1] if values else []
