"""job - one rank's share of one epoch of outputs.

In: batches. Out: requests on a connection, and the errors of earlier batches. The job
borrows the connection, and is open from `open` (its making) to `end` or `abort`. It is
used by the one thread that uses the connection.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence

from .address import PathLike
from .connection import Connection
from .errors import Error, StateError, from_answer
from .outputs import normalize
from .progress import Drain, Progress
from .wire import Only
from .writers import Outputs, Writer, of_pipeline, target

logger = logging.getLogger("lighterd")

NAME_MAX_BYTES = 100


class Job:
    """An open job. `lighterd.run` makes one for a loop of your own.

    With `resume` it goes on where an earlier process was interrupted, if one was:
    `committed_batches` of this rank, with `committed_samples`, are written already.
    A `pipeline` takes the place of `writers`: the daemon's configuration says what is
    written. Relative paths start from `directory`, else from where this process is.
    `total`: how many batches this rank will hand over, for who watches its progress.
    """

    def __init__(
        self,
        connection: Connection,
        writers: Sequence[Writer] = (),
        *,
        pipeline: Optional[str] = None,
        directory: PathLike = ".",
        name: Optional[str] = None,
        stage: str = "predict",
        rank: int = 0,
        world_size: int = 1,
        resume: bool = False,
        total: Optional[int] = None,
    ) -> None:
        cwd = os.path.abspath(target(directory))
        first = os.path.join(cwd, writers[0].path if pipeline is None else pipeline)
        self.name = name or _name_after(first)
        self._connection = connection
        self._errors: Deque[Exception] = deque()
        params = {
            "job": self.name,
            "stage": stage,
            "rank": rank,
            "world_size": world_size,
            "cwd": cwd,
            **_described(writers, pipeline),
            "resume": resume,
        }
        if total:
            params["total"] = total
        self._blocked_before = self._blocked_told = connection.blocked_seconds
        opened = connection.open(params)
        known = writers if pipeline is None else of_pipeline(opened.get("writers"))
        self._writers = tuple(known or ())
        self._keys = list(dict.fromkeys(k for w in self._writers for k in w.keys))
        self._takes_all = known is None
        self._handle: Optional[int] = opened["handle"]
        self._rank = rank
        self._n_waiting = 0  # batches without an answer
        self._seq = 0  # of the last batch
        self.committed_batches: int = opened["seq"]
        self.committed_samples: int = opened["samples"]
        if rank == 0:
            for warning in opened["warnings"]:
                logger.warning(warning)

    def write(
        self,
        outputs: Outputs,
        batch_idx: Optional[int] = None,
        dataloader_idx: int = 0,
    ) -> None:
        """Hand one batch to every writer: a map of keys and values, or a list of such
        maps, one a sample.

        Raises TypeError, KeyError or ValueError for a batch that cannot be right, and the error of
        an earlier batch if one has come; this batch is then not handed over.
        `batch_idx` counts by itself where it is not told. One of `committed_batches`
        is not written again.
        """
        outputs = normalize(outputs)
        self.check(outputs)
        if batch_idx is None:
            batch_idx = self._seq
        self.hand_over(outputs, batch_idx, dataloader_idx)

    def check(self, outputs: Outputs) -> None:
        """Raises where a batch cannot be right for one of the writers."""
        for writer in self._writers:
            writer.check(outputs)

    def hand_over(
        self,
        outputs: Outputs,
        batch_idx: int,
        dataloader_idx: int,
        *,
        only: Optional[Sequence[int]] = None,
    ) -> None:
        """`write` without the checks: of `outputs` go the keys that writers need.

        `only`: the writers, by their indices, that write of this hand-over.
        """
        if self._handle is None:
            raise StateError(f"job '{self.name}' is over")
        if self.skip():
            return
        self._connection.poll()
        self._raise_earlier()
        params = {
            "job": self._handle,
            "seq": self._seq + 1,
            "batch_idx": batch_idx,
            "dataloader_idx": dataloader_idx,
        }
        if self._connection.blocked_seconds != self._blocked_told:
            params["blocked_ms"] = self._tell_blocked()
        self._connection.post(
            "write",
            params,
            self._needed(outputs, only),
            on_answer=partial(self._answered, batch_idx),
            handle=self._handle,
            seq=self._seq + 1,
        )
        self._seq += 1
        self._n_waiting += 1

    def _needed(self, outputs: Outputs, only: Optional[Sequence[int]]) -> Outputs:
        if only is not None:
            return self._needed_by(outputs, only)
        if self._takes_all:
            return outputs
        return {key: outputs[key] for key in self._keys if key in outputs}

    def _needed_by(self, outputs: Outputs, only: Sequence[int]) -> Only:
        if "only" not in self._connection.features:
            raise StateError(
                "writers that get different outputs of one batch need a newer lighterd "
                "than the one that runs: restart it, or give each writer its own `job`"
            )
        keys = {i: self._writers[i].keys for i in only}
        return Only({i: {k: outputs[k] for k in keys[i] if k in outputs} for i in only})

    def skip(self) -> bool:
        """Whether the next batch is written already; it is passed over then.

            for images in loader:
                if not out.skip():
                    out.write({"pred": model(images)})
        """
        is_committed = self._seq < self.committed_batches
        self._seq += is_committed
        return is_committed

    def flush(self) -> None:
        """Wait until all that was written is on the disk, to outlast a loss of power.

        Raises the error of a batch that could not be written.
        """
        if self._handle is None:
            raise StateError(f"job '{self.name}' is over")
        self._connection.flush()
        self._raise_earlier()
        self._connection.call("flush", {"job": self._handle}, handle=self._handle)

    @property
    def blocked_seconds(self) -> float:
        """How long `write` has waited, all in all, because lighterd could not keep up.

        Of the connection, where several jobs share one.
        """
        return self._connection.blocked_seconds

    def progress(self) -> Progress:
        """How far writing lags behind: batches and bytes that are handed over and not
        written yet. Costs nothing: answers are read by `write`, every 50 ms or so.
        """
        return Progress(
            handed_over=self._seq,
            written=self._seq - self._n_waiting,
            waiting_bytes=self._connection.waiting_bytes,
            blocked_seconds=self.blocked_seconds,
        )

    def end(self, wait: bool = True) -> List[str]:
        """No more batches. With `wait`, returns the paths once they are published.

        Raises the error of a batch that could not be written; the job is then still
        open, to be aborted. Does nothing where the job is over. Where it takes longer
        than a second, rank 0 shows how far it is.
        """
        if self._handle is None:
            return []
        if self._rank != 0:
            return self._end(wait, None)
        with Drain(self.name, self.progress) as update:
            return self._end(wait, update)

    def _end(self, wait: bool, meanwhile: Optional[Callable[[], None]]) -> List[str]:
        self._connection.flush(meanwhile)
        self._raise_earlier()
        told = {"wait": wait, "blocked_ms": self._tell_blocked()}
        return self._leave("end", told, meanwhile=meanwhile).get("paths", [])

    def abort(self, reason: str = "") -> None:
        """The process failed: publish nothing. Does nothing where the job is over."""
        if self._handle is not None:
            # Where the daemon is gone there is nothing to tell, and worse to report.
            self._connection.stay_away()
            with suppress(Error):
                self._leave("abort", {"reason": reason})

    def _tell_blocked(self) -> int:
        """What people see in `lighterctl show`: of this job, so far."""
        self._blocked_told = self._connection.blocked_seconds
        return round(1000 * (self._blocked_told - self._blocked_before))

    def _leave(
        self, method: str, params: Dict[str, Any], **more: Any
    ) -> Dict[str, Any]:
        handle, self._handle = self._handle, None  # gone, whatever the answer
        return self._connection.leave(handle, method, params, **more)

    def _answered(self, batch_idx: int, error: Optional[dict], _: Any) -> None:
        self._n_waiting -= 1
        if error is not None:
            self._errors.append(from_answer(error, f"batch {batch_idx}: "))

    def _raise_earlier(self) -> None:
        if self._errors:
            raise self._errors.popleft()


def _described(writers: Sequence[Writer], pipeline: Optional[str]) -> Dict[str, Any]:
    """What `open` says of what is written."""
    if pipeline is not None:
        return {"pipeline": pipeline}
    return {"writers": [{"type": w.type, "options": w.options} for w in writers]}


def _name_after(path: str) -> str:
    """The last part of `path`, and a digest of the whole.

    Two runs that write `predictions.csv` in two directories are two jobs.
    """
    path = os.path.abspath(path)
    base = "".join(c if c.isprintable() else "_" for c in os.path.basename(path))
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    room = NAME_MAX_BYTES - len(digest) - 1
    stem = base.lstrip(".").encode(errors="replace")[:room].decode(errors="ignore")
    return f"{stem or '_'}-{digest}"
