"""job - one rank's share of one epoch of outputs.

In: batches. Out: requests on a connection, and the errors of earlier batches. The job
borrows the connection, and is open from `open` (its making) to `end` or `abort`. Several
threads may write: each batch goes whole, one after another.

A signal's handler may raise anywhere (see `connection`): how many batches there were is
what the connection was handed, an error is kept until it is raised, and the last request
is asked for again by whoever calls again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from . import past, world
from .address import PathLike
from .connection import Connection
from .errors import Error, StateError, from_answer, is_ours
from .outputs import normalize
from .progress import Drain, Progress
from .request import Answer
from .wire import Only
from .writers import Outputs, Writer, of_pipeline, target

logger = logging.getLogger("lighterd")

NAME_MAX_BYTES = 100

# Takes the job's name; gives what tells this start of the run from others.
Attempt = Callable[[str], Optional[str]]


class Job:
    """An open job. `lighterd.run` makes one for a loop of your own.

    With `resume` it goes on where an earlier process was interrupted, if one was:
    `committed_batches` of this rank, with `committed_samples`, are written already.
    A `pipeline` takes the place of `writers`: the daemon's configuration says what is
    written. Relative paths start from `directory`, else from where this process is.
    `total`: how many batches this rank will hand over, for who watches its progress.
    `attempt`, `fingerprint` and `rank_wait` are as in `lighterd.run`.

    `paths`: what was published, once `end` has returned.
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
        attempt: Union[str, Attempt, None] = None,
        fingerprint: Optional[str] = None,
        rank_wait: Optional[float] = None,
    ) -> None:
        cwd = os.path.abspath(target(directory))
        first = os.path.join(cwd, writers[0].path if pipeline is None else pipeline)
        self.name = name or _name_after(first)
        self.paths: List[str] = []
        self._connection = connection
        self._order = threading.RLock()  # who writes next; taken before the connection's
        self._errors: Dict[int, Exception] = {}  # of batches, by their seq
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
        self._add_wishes(params, fingerprint=fingerprint, rank_wait=rank_wait)
        if "attempt" in connection.features:
            known = attempt(self.name) if callable(attempt) else attempt
            if known is not None:
                params["attempt"] = known
        self._blocked_before = self._blocked_told = connection.blocked_seconds
        opened = connection.open(params)
        world.opened(self.name)
        known_writers = writers if pipeline is None else of_pipeline(opened.get("writers"))
        self._writers = tuple(known_writers or ())
        self._keys = list(dict.fromkeys(k for w in self._writers for k in w.keys))
        self._takes_all = known_writers is None
        self._handle: Optional[int] = opened["handle"]
        self._open = connection.job(opened["handle"])
        self._last: Dict[str, Answer] = {}  # of `end` and `abort`, once they were asked
        self._rank, self._world_size = rank, world_size
        self.committed_batches: int = opened["seq"]
        self.committed_samples: int = opened["samples"]
        self._past: Optional[past.Past] = None
        if self.committed_batches and "past" in connection.features:
            self._past = past.Past(self._ask_past)
        if rank == 0:
            for warning in opened["warnings"]:
                logger.warning(warning)

    def _add_wishes(self, params: Dict[str, Any], **wishes: Any) -> None:
        """What an older daemon would ignore without a word."""
        for key, wish in wishes.items():
            if wish is None:
                continue
            params[key] = wish
            if key not in self._connection.features:
                logger.warning(
                    "%s: this lighterd is older than `%s`, and ignores it",
                    *(self.name, key),
                )

    def __repr__(self) -> str:
        is_over = "over" if self._handle is None else "open"
        return (
            f"<lighterd.Job {self.name!r}, rank {self._rank} of {self._world_size}, "
            f"{is_over}: {self._open.last_seq} batches, {self.progress()}>"
        )

    def write(
        self,
        outputs: Outputs,
        batch_idx: Optional[int] = None,
        dataloader_idx: int = 0,
    ) -> None:
        """Hand one batch to every writer: a map of keys and values, or a list of such
        maps, one a sample.

        Raises KeyError, TypeError or ValueError for a batch that cannot be right; it is
        not handed over then. Where an error of an earlier batch has come, this batch is
        handed over, and then that error is raised: it has a `batch_idx`. `batch_idx`
        counts by itself where it is not told. One of `committed_batches` is not written
        again; StateError where it is not the batch that was written then.
        """
        outputs = normalize(outputs)
        self.check(outputs)
        self.hand_over(outputs, batch_idx, dataloader_idx)

    def check(self, outputs: Outputs) -> None:
        """Raises where a batch cannot be right for one of the writers."""
        for writer in self._writers:
            writer.check(outputs)

    def hand_over(
        self,
        outputs: Outputs,
        batch_idx: Optional[int],
        dataloader_idx: int,
        *,
        only: Optional[Sequence[int]] = None,
    ) -> None:
        """`write` without the checks: of `outputs` go the keys that writers need.

        `only`: the writers, by their indices, that write of this hand-over.
        """
        with self._order:
            self._check_open()
            self._connection.poll()
            seq = self._open.last_seq + 1
            if batch_idx is None:
                batch_idx = seq - 1
            if seq <= self.committed_batches:
                n_samples = past.count(outputs, self._keys_of(only))
                self._pass_over(seq, batch_idx, dataloader_idx, n_samples)
                return
            params = {
                "job": self._handle,
                "seq": seq,
                "batch_idx": batch_idx,
                "dataloader_idx": dataloader_idx,
            }
            if self._connection.blocked_seconds != self._blocked_told:
                params["blocked_ms"] = self._tell_blocked()
            self._connection.post(
                "write",
                params,
                self._needed(outputs, only),
                on_answer=partial(self._answered, seq, batch_idx, dataloader_idx),
                handle=self._handle,
                seq=seq,
            )
            self._raise_earlier()

    def _needed(self, outputs: Outputs, only: Optional[Sequence[int]]) -> Outputs:
        if only is not None:
            return self._needed_by(outputs, only)
        if self._takes_all:
            return outputs
        return {key: outputs[key] for key in self._keys if key in outputs}

    def _keys_of(self, only: Optional[Sequence[int]]) -> List[List[str]]:
        which = range(len(self._writers)) if only is None else only
        return [self._writers[i].keys for i in which]

    def _needed_by(self, outputs: Outputs, only: Sequence[int]) -> Only:
        if "only" not in self._connection.features:
            raise StateError(
                "writers that get different outputs of one batch need a newer lighterd "
                "than the one that runs: restart it, or give each writer its own `job`"
            )
        keys = {i: self._writers[i].keys for i in only}
        return Only({i: {k: outputs[k] for k in keys[i] if k in outputs} for i in only})

    def skip(
        self,
        samples: Optional[int] = None,
        batch_idx: Optional[int] = None,
        dataloader_idx: int = 0,
    ) -> bool:
        """Whether the next batch is written already; it is passed over then.

            for images in loader:
                if not out.skip(len(images)):
                    out.write({"pred": model(images)})

        StateError where it is not the batch that was written then, as far as is told:
        by the number of its samples, and by its `batch_idx` and `dataloader_idx`.
        """
        with self._order:
            self._check_open()
            self._connection.poll()
            seq = self._open.last_seq + 1
            if seq > self.committed_batches:
                return False
            n_samples = None if samples is None else {samples}
            self._pass_over(seq, batch_idx, dataloader_idx, n_samples)
            return True

    def _pass_over(
        self,
        seq: int,
        batch_idx: Optional[int],
        dataloader_idx: int,
        n_samples: Optional[set],
    ) -> None:
        if self._past is not None:
            self._past.check(seq, batch_idx, dataloader_idx, n_samples)
        self._open.last_seq = seq

    def _ask_past(self, seq: int) -> Dict[str, Any]:
        params = {"job": self._handle, "seq": seq}
        return self._connection.call("past", params, handle=self._handle)

    def flush(self) -> None:
        """Wait until all that was written is on the disk, to outlast a loss of power.

        Raises the error of a batch that could not be written.
        """
        self._check_open()
        self._connection.flush()
        with self._order:
            self._raise_earlier()
        self._connection.call("flush", {"job": self._handle}, handle=self._handle)

    def _check_open(self) -> None:
        if self._handle is None:
            raise StateError(f"job '{self.name}' is over")

    @property
    def blocked_seconds(self) -> float:
        """How long `write` has waited, all in all, because lighterd could not keep up.

        Of the connection, where several jobs share one.
        """
        return self._connection.blocked_seconds

    def progress(self) -> Progress:
        """How far writing lags behind: batches and bytes that are handed over and not
        written yet. Costs little: answers are read by `write`, every 50 ms or so. After
        an exception within `write` it says whether that batch was handed over.
        """
        handed_over, waiting = self._open.last_seq, []
        if self._handle is not None:
            waiting = self._connection.waiting_batches(self._handle)
        handed_over = max(handed_over, *waiting[-1:], 0)
        return Progress(
            handed_over=handed_over,
            written=max(handed_over - len(waiting), 0),
            waiting_bytes=self._connection.waiting_bytes,
            blocked_seconds=self.blocked_seconds,
        )

    def end(self, wait: bool = True) -> List[str]:
        """No more batches. With `wait`, returns the paths once they are published.

        Raises the error of a batch that could not be written; the job is then still
        open, to be aborted. Where the job is over it only returns the paths. Where it
        takes longer than a second, rank 0 shows how far it is.
        """
        if self._handle is None:
            return self.paths
        if self._rank != 0:
            return self._end(wait, None)
        with Drain(self.name, self.progress) as update:
            return self._end(wait, update)

    def _end(self, wait: bool, meanwhile: Optional[Callable[[], None]]) -> List[str]:
        self._connection.flush(meanwhile)
        with self._order:
            self._raise_earlier()
        n_passed = self._open.last_seq
        if n_passed < self.committed_batches:
            raise StateError(
                f"this is not the run that was interrupted: rank {self._rank} had "
                f"written {self.committed_batches} batches, and now only {n_passed} came. "
                "Give the same batches in the same order as before, or begin anew, "
                "without `resume`"
            )
        told = {"wait": wait, "blocked_ms": self._tell_blocked()}
        self._leave("end", told, meanwhile)
        return self.paths

    def abort(self, reason: str = "") -> None:
        """The process failed: publish nothing. Does nothing where the job is over.

        Where the daemon is gone there is nothing to tell, and worse to report; one that
        says nothing for five seconds learns it from the connection's end.
        """
        if self._handle is not None:
            self._connection.stay_away()
            with suppress(Error):
                self._leave("abort", {"reason": reason})
            self._handle = None

    def _tell_blocked(self) -> int:
        """What people see in `lighterctl show`: of this job, so far."""
        self._blocked_told = self._connection.blocked_seconds
        return round(1000 * (self._blocked_told - self._blocked_before))

    def _leave(
        self,
        method: str,
        params: Dict[str, Any],
        meanwhile: Optional[Callable[[], None]] = None,
    ) -> None:
        """The job is over once the caller has its answer, whatever it says.

        A signal's handler may raise between any two lines: who calls again gets the
        same answer.
        """
        answer = self._last.setdefault(method, Answer())
        try:
            found = self._connection.leave(
                *(self._handle, method, params), answer=answer, meanwhile=meanwhile
            )
        except Exception as error:
            if answer.both is not None and is_ours(error):
                self._handle = None
            raise
        self.paths = found.get("paths", [])
        self._handle = None
        for path in filter(None, found.get("before", [])):
            logger.info("what was there before is kept as %s", path)

    def _answered(
        self,
        seq: int,
        batch_idx: int,
        dataloader_idx: int,
        error: Optional[Dict[str, Any]],
        _: Any,
    ) -> None:
        if error is not None:
            loader = f" of dataloader {dataloader_idx}" if dataloader_idx else ""
            failure = from_answer(error, f"batch {batch_idx}{loader}: ")
            failure.batch_idx = batch_idx  # type: ignore[attr-defined]
            failure.dataloader_idx = dataloader_idx  # type: ignore[attr-defined]
            self._errors[seq] = failure

    def _raise_earlier(self) -> None:
        """Of the first batch that was refused. No call between the last two lines: a
        signal's handler may raise behind each, and the error would be lost.
        """
        if self._errors:
            seq = min(self._errors)
            error = self._errors[seq]
            del self._errors[seq]
            raise error


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
