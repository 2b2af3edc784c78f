"""run - the outputs of a loop of one's own.

In: writers, and which rank this process is. Out: an open job for the time of a `with`
block. All in the caller's thread.
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager, nullcontext
from typing import Any, Iterator, Optional

from . import local_job
from .address import PathLike
from .job import Job
from .launch import connect
from .writers import Writer


@contextmanager
def run(
    *writers: Writer,
    pipeline: Optional[str] = None,
    directory: PathLike = ".",
    rank: Optional[int] = None,
    world_size: Optional[int] = None,
    job: Optional[str] = None,
    stage: str = "predict",
    socket: Optional[PathLike] = None,
    resume: bool = False,
    total: Optional[int] = None,
) -> Iterator[Job]:
    """Write the outputs of a loop.

        with lighterd.run(lighterd.csv("predictions.csv", keys=["id", "pred"])) as out:
            for ids, images in loader:
                out.write({"id": ids, "pred": model(images)})

    Leaving the block waits until all ranks have ended and the outputs are published;
    leaving it by an exception publishes nothing and keeps what was written aside.

    Instead of writers it takes the name of a `pipeline` of the daemon's configuration,
    `lighterd.json(5)`; relative paths in that, and of writers, start from `directory`.

    Files of a writer whose `writer_fn` is a function, or the name of a registered one,
    are written by this process, at once; where all are such, no daemon is met.

    `rank` and `world_size` are torchrun's where they are not told, `job` is named after
    the first writer's path, `socket` is the daemon's (see `lighterd.address`). With
    `resume` the job goes on where an earlier process was interrupted, if one was: the
    batches that it had written are not written again (see `Job.skip`). `total` is how
    many batches this rank will write, where that is known: for `lighterctl watch`.
    """
    if not writers and pipeline is None:
        raise ValueError("run needs at least one writer, or a pipeline")
    if writers and pipeline is not None:
        raise ValueError("run takes writers or a pipeline, not both")
    if rank is None:
        rank = int(os.environ.get("RANK", 0))
    if world_size is None:
        world_size = int(os.environ.get("WORLD_SIZE", 1))
    by_daemon, here = local_job.split(writers)
    is_met = by_daemon or pipeline is not None
    open_job: Any = Job if is_met else local_job.NoJob
    with closing(connect(socket)) if is_met else nullcontext() as connection:
        out = open_job(
            connection,
            by_daemon or here,
            pipeline=pipeline,
            directory=directory,
            name=job,
            stage=stage,
            rank=rank,
            world_size=world_size,
            resume=resume,
            total=total,
        )
        if here:
            out = local_job.WithFiles(out, here, directory, rank, world_size)
        try:
            yield out
            out.end()
        except BaseException as error:
            out.abort(f"{type(error).__name__}: {error}")
            raise
