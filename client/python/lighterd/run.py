"""run - the outputs of a loop of one's own.

In: writers, and which rank this process is. Out: an open job for the time of a `with`
block. All in the caller's thread.
"""

from __future__ import annotations

from contextlib import closing, contextmanager, nullcontext
from typing import Any, Iterator, Optional

from . import local_job, world
from .address import PathLike
from .job import Job
from .launch import connect
from .owner import Owner
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
    owner: Optional[Owner] = None,
    resume: bool = False,
    total: Optional[int] = None,
    attempt: Optional[str] = None,
    fingerprint: Optional[str] = None,
    rank_wait: Optional[float] = None,
) -> Iterator[Job]:
    """Write the outputs of a loop.

        with lighterd.run(lighterd.csv("predictions.csv", keys=["id", "pred"])) as out:
            for ids, images in loader:
                out.write({"id": ids, "pred": model(images)})

    Leaving the block waits until all ranks have ended and the outputs are published, in
    `out.paths`; leaving it by an exception publishes nothing and keeps what was written
    aside.

    Instead of writers it takes the name of a `pipeline` of the daemon's configuration,
    `lighterd.json(5)`; relative paths in that, and of writers, start from `directory`.

    Files of a writer whose `writer_fn` is a function, or the name of a registered one,
    are written by this process, at once; where all are such, no daemon is met.

    `rank` and `world_size` are those of torch.distributed where they are not told and it
    is initialised, else the launcher's (torchrun, mpirun, srun, ...); an error where one
    is known without the other. `job` is named after the first writer's path, `socket` is
    the daemon's (see `lighterd.address`), and `owner` the user whose daemon it may be,
    besides root: this process's. `total` is how many batches this rank will write, where
    that is known: for `lighterctl watch`.

    With `resume` the job goes on where an earlier process was interrupted, if one was:
    the batches that it had written are not written again (see `Job.skip`); StateError
    where other ones come. `fingerprint` is any text, say of the model and its
    configuration, that must then be the same as before.

    `attempt` tells this start of the run from others, and is the same on all ranks: so
    that ranks of two starts are never taken for one run. It is found where the launcher
    or torch.distributed knows. `rank_wait`: for how many seconds to wait for ranks that
    do not come; 0: for ever.
    """
    if not writers and pipeline is None:
        raise ValueError("run needs at least one writer, or a pipeline")
    if writers and pipeline is not None:
        raise ValueError("run takes writers or a pipeline, not both")
    place = world.find(rank, world_size, attempt)
    by_daemon, here = local_job.split(writers)
    is_met = by_daemon or pipeline is not None
    open_job: Any = Job if is_met else local_job.NoJob
    with closing(connect(socket, owner)) if is_met else nullcontext() as connection:
        out = open_job(
            connection,
            by_daemon or here,
            pipeline=pipeline,
            directory=directory,
            name=job,
            stage=stage,
            rank=place.rank,
            world_size=place.size,
            resume=resume,
            total=total,
            attempt=place.attempt,
            fingerprint=fingerprint,
            rank_wait=rank_wait,
        )
        if here:
            out = local_job.WithFiles(out, here, directory, place.rank, place.size)
        try:
            yield out
            out.end()
        except BaseException as error:
            text = str(error)
            out.abort(type(error).__name__ + (f": {text}" if text else ""))
            raise
