"""world - which rank this process is, of how many, and of which start of the run.

In: what the caller tells, torch.distributed where it is initialised, and what launchers
leave in the environment. Out: a `World`, or an error that says what is missing: a
process that takes itself for rank 0 of 1, and is not, replaces what the others wrote.
Any thread.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
import threading
import uuid
from functools import partial
from multiprocessing import current_process
from time import monotonic, sleep
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from .errors import StateError

logger = logging.getLogger("lighterd")

ATTEMPT_VARIABLE = "LIGHTERD_ATTEMPT"
ATTEMPT = re.compile(r"[A-Za-z0-9._-]{1,64}")

# How long rank 0 is waited for, before it has told the others, and when that is said.
RANK_WAIT_SECONDS = 1800.0
TOLD_AFTER_SECONDS, TOLD_EVERY_SECONDS = 10.0, 60.0
LOOK_SECONDS = 0.05


class World(NamedTuple):
    rank: int
    size: int
    # Of a job's name: the same on all ranks, and another one for each start of the run
    # and each epoch. None: nobody knows.
    attempt: Callable[[str], Optional[str]]


class _Launcher(NamedTuple):
    """The variables of one. First come, first believed."""

    name: str
    rank: str
    size: str
    local_size: List[str]  # ranks on this node; any of them
    n_nodes: List[str]
    run: Callable[[Mapping[str, str]], List[Optional[str]]]  # None among them: unknown


def _torchrun(env: Mapping[str, str]) -> List[Optional[str]]:
    """torchrun's run is called "none" where nobody called it something; then the folder
    of its logs, which all of its workers are told, is another one each time.
    """
    if "TORCHELASTIC_RUN_ID" not in env:
        return [None]
    error_file = env.get("TORCHELASTIC_ERROR_FILE", "")
    logs = os.path.dirname(os.path.dirname(error_file))
    place = f"{env.get('MASTER_ADDR')}:{env.get('MASTER_PORT')}"
    return [
        env["TORCHELASTIC_RUN_ID"],
        logs or place,
        env.get("TORCHELASTIC_RESTART_COUNT", "0"),
    ]


def _slurm(env: Mapping[str, str]) -> List[Optional[str]]:
    job = env.get("SLURM_JOB_ID")
    return [job, env.get("SLURM_STEP_ID"), env.get("SLURM_RESTART_COUNT", "0")]


def _named(*variables: str) -> Callable[[Mapping[str, str]], List[Optional[str]]]:
    return lambda env: [next((env[v] for v in variables if env.get(v)), None)]


_PMIX = _named("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid")

# Open MPI before SLURM: its own helpers are tasks of a step, and their variables reach
# the ranks. PMIX_RANK has no size of its own.
_LAUNCHERS = [
    _Launcher(
        *("torchrun", "RANK", "WORLD_SIZE"),
        *(["LOCAL_WORLD_SIZE", "LOCAL_SIZE"], ["GROUP_WORLD_SIZE"], _torchrun),
    ),
    _Launcher(
        *("mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        *(["OMPI_COMM_WORLD_LOCAL_SIZE"], [], _PMIX),
    ),
    _Launcher(
        *("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
        *([], ["SLURM_STEP_NUM_NODES"], _slurm),
    ),
    _Launcher(
        *("srun", "SLURM_PROCID", "SLURM_NTASKS"),
        *([], ["SLURM_NNODES"], _slurm),
    ),
    _Launcher("mpiexec", "PMI_RANK", "PMI_SIZE", ["MPI_LOCALNRANKS"], [], _named()),
    _Launcher("PMIx", "PMIX_RANK", "PMIX_SIZE", [], [], _PMIX),
    _Launcher(
        *("mpiexec", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
        *(["MV2_COMM_WORLD_LOCAL_SIZE"], [], _named()),
    ),
    _Launcher("jsrun", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", [], [], _named()),
    _Launcher(
        *("flux", "FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
        *([], ["FLUX_JOB_NNODES"], _named("FLUX_JOB_ID")),
    ),
]

_TELL = (
    "Tell both, `rank` and `world_size`, or initialise torch.distributed before, or start "
    "the processes with torchrun, srun or mpirun"
)


def find(
    rank: Optional[int] = None,
    world_size: Optional[int] = None,
    attempt: Optional[str] = None,
) -> World:
    """Of what is told, and the rest as it can be found. ValueError where it can't be, or
    where the ranks are on several nodes.
    """
    if (rank is None) != (world_size is None):
        if world_size == 1:
            rank = 0
        else:
            missing = "rank" if rank is None else "world_size"
            raise ValueError(f"`{missing}` is missing beside the other. {_TELL}")
    if rank is not None:
        return World(rank, world_size, _attempts(rank, world_size, attempt))
    group = _group()
    if group is not None:
        rank, world_size = group.get_rank(), group.get_world_size()
    else:
        rank, world_size = _from_environment(os.environ)
    _refuse_several_nodes(rank, world_size, os.environ)
    return World(rank, world_size, _attempts(rank, world_size, attempt))


def of_trainer(trainer: Any, attempt: Optional[str] = None) -> World:
    """Of a trainer, who knows its rank. ValueError where it has several nodes."""
    rank, size = trainer.global_rank, trainer.world_size
    n_nodes = getattr(trainer, "num_nodes", 1)
    if isinstance(n_nodes, int) and n_nodes > 1:
        _fail_several_nodes(size, f"the trainer's num_nodes is {n_nodes}")
    return World(rank, size, _attempts(rank, size, attempt))


# ---- rank and size ----


def _group() -> Any:
    """torch.distributed, where it is initialised. Nobody imports torch for us."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available():
        return None
    return distributed if distributed.is_initialized() else None


def _from_environment(env: Mapping[str, str]) -> "tuple[int, int]":
    for launcher in _LAUNCHERS:
        if _is_complete(launcher, env):
            rank = _number(env, launcher.rank)
            size = _number(env, launcher.size)
            if not rank < size:
                raise ValueError(
                    f"{launcher.rank} is {rank}, and {launcher.size} is {size}: ranks "
                    f"count from 0. {_TELL}"
                )
            _check_agreement(launcher, size, env)
            return rank, size
    _check_nothing_is_known(env)
    return 0, 1


def _is_complete(launcher: _Launcher, env: Mapping[str, str]) -> bool:
    """A batch script has SLURM's variables too, and so has a shell in a job: they are
    one process.
    """
    if not (env.get(launcher.rank) and env.get(launcher.size)):
        return False
    if launcher.size == "SLURM_NTASKS" and env.get("SLURM_STEP_NUM_TASKS"):
        return False  # that is the step's own
    if launcher.name != "srun":
        return True
    is_step = bool(env.get("SLURM_STEP_ID"))
    is_shell = env.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return is_step and not is_shell and _number(env, launcher.size) > 1


def _is_of(
    launcher: _Launcher, rank: int, size: int, env: Mapping[str, str]
) -> bool:
    if not _is_complete(launcher, env):
        return False
    return (_number(env, launcher.rank), _number(env, launcher.size)) == (rank, size)


def _check_agreement(launcher: _Launcher, size: int, env: Mapping[str, str]) -> None:
    """A world's size without a rank is of somebody who gives no rank; they must agree."""
    told = env.get("WORLD_SIZE")
    if told and not env.get("RANK") and _number(env, "WORLD_SIZE") != size:
        raise ValueError(
            f"WORLD_SIZE is {told}, and {launcher.size} is {size}: which rank is this "
            f"process, and of how many? {_TELL}"
        )


def _check_nothing_is_known(env: Mapping[str, str]) -> None:
    if env.get("WORLD_SIZE") and _number(env, "WORLD_SIZE") > 1:
        raise ValueError(
            f"WORLD_SIZE is {env['WORLD_SIZE']}, and no rank is known: RANK is not set "
            f"(Lightning's and Fabric's own launcher sets none). {_TELL}"
        )
    is_alone = env.get("SLURM_STEP_NUM_TASKS") == "1"  # and may have what PMIx says
    for launcher in _LAUNCHERS:
        if launcher.name != "srun" and env.get(launcher.rank) and not is_alone:
            raise ValueError(
                f"{launcher.rank} is {env[launcher.rank]}, and {launcher.size} is not "
                f"set: of how many ranks is this one? {_TELL}"
            )
    target = getattr(current_process(), "_target", None)
    if getattr(target, "__module__", None) == "torch.multiprocessing.spawn":
        raise ValueError(
            "this process was spawned by torch.multiprocessing, and neither its rank nor "
            f"how many there are is known. {_TELL}"
        )


def _number(env: Mapping[str, str], variable: str) -> int:
    text = env[variable]
    if not text.isdecimal():
        raise ValueError(f"${variable} expects a number, got {text!r}")
    return int(text)


# ---- nodes ----


def _refuse_several_nodes(rank: int, size: int, env: Mapping[str, str]) -> None:
    """As far as the variables are of this world; a launcher that knows is believed."""
    for launcher in _LAUNCHERS:
        if not _is_of(launcher, rank, size, env):
            continue
        for variable in launcher.n_nodes:
            if env.get(variable) and _number(env, variable) > 1:
                _fail_several_nodes(size, f"{variable} is {env[variable]}")
        for variable in launcher.local_size:
            if env.get(variable) and _number(env, variable) < size:
                _fail_several_nodes(size, f"{variable} is {env[variable]}")
            if env.get(variable):
                return


def _fail_several_nodes(size: int, why: str) -> None:
    raise ValueError(
        f"several nodes are not supported yet: of {size} ranks not all are on this node "
        f"({why}). Run on one node; or give each node a job and paths of its own, and "
        "tell `rank` and `world_size` as they are on that node"
    )


# ---- attempts ----

_lock = threading.Lock()
_process = ""  # a word of this process alone
_n_opened: Dict[str, int] = {}  # by a job's name


def _forget() -> None:
    """A child of a fork is another process."""
    global _lock, _process
    _lock, _process = threading.Lock(), uuid.uuid4().hex[:16]
    _n_opened.clear()


_forget()
os.register_at_fork(after_in_child=_forget)


def opened(job: str) -> None:
    """It was: the next `open` is another epoch's."""
    with _lock:
        _n_opened[job] = _n_opened.get(job, 0) + 1


def _attempts(
    rank: int, size: int, told: Optional[str]
) -> Callable[[str], Optional[str]]:
    return partial(_attempt, rank, size, told)


def _attempt(rank: int, size: int, told: Optional[str], job: str) -> Optional[str]:
    """For the next `open` of the job."""
    epoch = _n_opened.get(job, 0) + 1
    if told is not None:
        if not ATTEMPT.fullmatch(told):
            raise ValueError(
                f"`attempt` expects 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', got {told!r}"
            )
        return told
    run: List[Optional[str]] = []
    if os.environ.get(ATTEMPT_VARIABLE):
        run = [os.environ[ATTEMPT_VARIABLE]]
    elif size == 1:
        run = [_process]
    else:
        group = _group()
        if group is not None and (group.get_rank(), group.get_world_size()) == (rank, size):
            run = [_agree(group, rank, size, f"{job} {epoch}")]
        else:
            run = _run_of_launcher(rank, size, os.environ)
    if not run or None in run:
        return None
    name = ".".join([*run, str(epoch)])  # type: ignore[list-item]
    if ATTEMPT.fullmatch(name):
        return name
    return f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.{epoch}"


def _run_of_launcher(
    rank: int, size: int, env: Mapping[str, str]
) -> List[Optional[str]]:
    for launcher in _LAUNCHERS:
        if _is_of(launcher, rank, size, env):
            return launcher.run(env)
    return []


def _agree(group: Any, rank: int, size: int, what: str) -> Optional[str]:
    """A word that rank 0 finds, told by the group's store.

    Not a collective: where one rank alone comes here, the others' collectives go on.
    """
    try:
        from torch.distributed.distributed_c10d import _get_default_store

        store = _get_default_store()
    except (ImportError, RuntimeError, ValueError):  # of MPI's backend there is none
        return None
    key = f"lighterd {what}"
    if rank == 0:
        if not store.check([key]):
            store.set(key, f"{uuid.uuid4().hex[:16]} {_node()}")
    else:
        _wait_for_rank_0(partial(store.check, [key]), size, what)
    word, node = store.get(key).decode().split()
    if node != _node():
        _fail_several_nodes(size, "rank 0 is on another one")
    return word


def _wait_for_rank_0(is_there: Callable[[], bool], size: int, what: str) -> None:
    since = monotonic()
    told_at = since + TOLD_AFTER_SECONDS
    job = what.rpartition(" ")[0]
    while not is_there():
        now = monotonic()
        said = f"rank 0 of {size}, which has not opened the job"
        if now - since > RANK_WAIT_SECONDS:
            raise StateError(f"job '{job}': {said}, did not come ({now - since:.0f} s)")
        if now > told_at:
            told_at = now + TOLD_EVERY_SECONDS
            logger.warning("job '%s' waits for %s (%.0f s)", job, said, now - since)
        sleep(LOOK_SECONDS)


def _node() -> str:
    """Of this boot of this machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return os.uname().nodename
