"""Which rank a process is, by what launchers leave in its environment, and for real."""

import os
import re
import subprocess
import sys
import textwrap

import daemons
import pytest

from lighterd import world

TORCHRUN = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "0",
    "GROUP_WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "0",
}
BATCH_SCRIPT = {  # sbatch's own, without srun
    "SLURM_JOB_ID": "77",
    "SLURM_JOB_NAME": "predict",
    "SLURM_PROCID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_NNODES": "1",
    "SLURM_LOCALID": "0",
}
SRUN = {
    **BATCH_SCRIPT,
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "1",
    "SLURM_PROCID": "3",
}
MPIRUN = {
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_SIZE": "3",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "3",
    "PMIX_RANK": "2",
    "PMIX_NAMESPACE": "prterun-host-17@1",
}
HYDRA = {"PMI_RANK": "1", "PMI_SIZE": "2"}
LIGHTNING = {  # its own launcher, and Fabric's
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "NODE_RANK": "0",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
}
# Of a step, beside what sbatch has said: tasks of one, or of Open MPI's helpers.
ALONE = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"}
HELPERS = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in os.environ:
        if re.match("SLURM_|OMPI_|PMI|TORCHELASTIC|LOCAL_|GROUP_|MASTER_|NODE_", name):
            monkeypatch.delenv(name)


@pytest.fixture
def launched(monkeypatch):
    """Find the world in this environment."""

    def find(env, **told):
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            return world.find(**told)

    return find


@pytest.mark.parametrize(
    "env, expected",
    [
        ({}, (0, 1)),
        ({"LOCAL_RANK": "1"}, (0, 1)),  # of whatever: no size is known
        ({"WORLD_SIZE": "1"}, (0, 1)),
        (TORCHRUN, (1, 2)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, (0, 1)),
        (SRUN, (3, 4)),
        ({**SRUN, "WORLD_SIZE": "4"}, (3, 4)),  # exported by the batch script
        (BATCH_SCRIPT, (0, 1)),
        ({**SRUN, **ALONE}, (0, 1)),
        ({**SRUN, **ALONE, "PMIX_RANK": "0"}, (0, 1)),
        ({**SRUN, "SLURM_JOB_NAME": "interactive"}, (0, 1)),  # srun --pty bash
        ({**SRUN, **TORCHRUN}, (1, 2)),  # torchrun, started by srun
        (MPIRUN, (2, 3)),
        ({**BATCH_SCRIPT, **MPIRUN}, (2, 3)),
        ({**SRUN, **HELPERS, **MPIRUN}, (2, 3)),
        (HYDRA, (1, 2)),
        ({"JSM_NAMESPACE_RANK": "1", "JSM_NAMESPACE_SIZE": "2"}, (1, 2)),
        ({"FLUX_TASK_RANK": "1", "FLUX_JOB_SIZE": "2"}, (1, 2)),
    ],
)
def test_rank_and_size_are_the_launchers(launched, env, expected):
    assert launched(env)[:2] == expected


@pytest.mark.parametrize(
    "env, why",
    [
        (LIGHTNING, "WORLD_SIZE is 2, and no rank is known"),
        ({"RANK": "0"}, "RANK is 0, and WORLD_SIZE is not set"),
        ({"PMI_RANK": "1"}, "PMI_RANK is 1, and PMI_SIZE is not set"),
        ({"PMIX_RANK": "1"}, "PMIX_RANK is 1, and .* of how many ranks"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "ranks count from 0"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, r"\$RANK expects a number, got 'x'"),
        ({**SRUN, "WORLD_SIZE": "8"}, "WORLD_SIZE is 8, and SLURM_STEP_NUM_TASKS is 4"),
        ({**SRUN, **ALONE, **LIGHTNING}, "no rank is known"),
    ],
)
def test_a_size_without_a_rank_is_refused_and_said_how_to_tell(launched, env, why):
    with pytest.raises(ValueError, match=why) as raised:
        launched(env)
    if "expects" not in why:
        assert "Tell both, `rank` and `world_size`" in str(raised.value)
    assert launched(env, rank=1, world_size=3)[:2] == (1, 3)


def test_half_of_what_is_needed_is_not_told(launched):
    assert launched({}, world_size=1)[:2] == (0, 1)
    with pytest.raises(ValueError, match="`world_size` is missing"):
        launched({}, rank=1)
    with pytest.raises(ValueError, match="`rank` is missing"):
        launched(TORCHRUN, world_size=2)


@pytest.mark.parametrize(
    "env",
    [
        {**TORCHRUN, "LOCAL_WORLD_SIZE": "1"},
        {**TORCHRUN, "LOCAL_WORLD_SIZE": "", "LOCAL_SIZE": "1"},
        {**TORCHRUN, "GROUP_WORLD_SIZE": "2"},
        {**SRUN, "SLURM_STEP_NUM_NODES": "2"},
        {**SRUN, "RANK": "3", "WORLD_SIZE": "4", "SLURM_STEP_NUM_NODES": "2"},
        {**SRUN, "SLURM_STEP_NUM_TASKS": "", "SLURM_NNODES": "2"},
        {**MPIRUN, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"},
    ],
)
def test_ranks_on_several_nodes_are_refused(launched, env):
    with pytest.raises(ValueError, match="several nodes are not supported yet"):
        launched(env)
    assert launched(env, rank=0, world_size=2)[:2] == (0, 2)


def test_a_node_that_runs_on_its_own_is_no_part_of_several(launched):
    """srun starts a torchrun on each of two nodes: two runs of two ranks."""
    step = {**SRUN, "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NUM_TASKS": "2"}
    assert launched({**step, "SLURM_PROCID": "1", **TORCHRUN})[:2] == (1, 2)


def test_a_trainer_of_several_nodes_is_refused():
    class Trainer:
        global_rank, world_size, num_nodes = 1, 2, 1

    assert world.of_trainer(Trainer)[:2] == (1, 2)
    Trainer.num_nodes = 2
    with pytest.raises(ValueError, match="trainer's num_nodes is 2"):
        world.of_trainer(Trainer)


# ---- attempts ----


def attempt_of(launched, monkeypatch, env, name="p", **told):
    found = launched(env, **told)
    with monkeypatch.context() as patch:
        for variable, value in env.items():
            patch.setenv(variable, value)
        return found.attempt(name)


@pytest.mark.parametrize(
    "env, other_rank, restarted",
    [
        (TORCHRUN, {"RANK": "0"}, {"TORCHELASTIC_RESTART_COUNT": "1"}),
        (SRUN, {"SLURM_PROCID": "0"}, {"SLURM_RESTART_COUNT": "1"}),
        (SRUN, {"SLURM_PROCID": "0"}, {"SLURM_STEP_ID": "1"}),
        (
            MPIRUN,
            {"OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0"},
            {"PMIX_NAMESPACE": "prterun-host-18@1"},
        ),
        ({**HYDRA, "LIGHTERD_ATTEMPT": "a"}, {"PMI_RANK": "0"}, {"LIGHTERD_ATTEMPT": "b"}),
    ],
)
def test_an_attempt_is_the_same_on_all_ranks_and_another_in_the_next_run(
    launched, monkeypatch, env, other_rank, restarted
):
    def of(*envs):
        whole = {name: value for each in envs for name, value in each.items()}
        return attempt_of(launched, monkeypatch, whole, name=str(env))

    assert of(env) == of(env, other_rank)
    assert of(env) != of(env, restarted)
    assert world.ATTEMPT.fullmatch(of(env))
    before = of(env)
    world.opened(str(env))
    assert of(env) not in (before, None)


def test_two_starts_of_a_torchrun_that_was_given_no_name_are_two_attempts(
    launched, monkeypatch
):
    def of(run, rank):
        file = f"/tmp/torchelastic_{run}/none_x/attempt_0/{rank}/error.json"
        env = {**TORCHRUN, "RANK": rank, "TORCHELASTIC_ERROR_FILE": file}
        return attempt_of(launched, monkeypatch, env)

    assert of("a", "0") == of("a", "1") != of("b", "0")


def test_nobody_knows_the_attempt_of_ranks_that_were_started_by_hand(
    launched, monkeypatch
):
    by_hand = {"RANK": "0", "WORLD_SIZE": "2"}
    assert attempt_of(launched, monkeypatch, by_hand) is None
    assert attempt_of(launched, monkeypatch, HYDRA) is None
    assert attempt_of(launched, monkeypatch, {}, rank=0, world_size=2) is None
    # Told otherwise than the launcher says: its run is not this one's.
    assert attempt_of(launched, monkeypatch, TORCHRUN, rank=0, world_size=9) is None
    assert attempt_of(launched, monkeypatch, TORCHRUN, rank=1, world_size=2) is not None


def test_what_is_told_goes_as_it_is(launched, monkeypatch):
    assert attempt_of(launched, monkeypatch, TORCHRUN, attempt="mine-1") == "mine-1"
    with pytest.raises(ValueError, match="got 'a b'"):
        attempt_of(launched, monkeypatch, {}, attempt="a b")


def test_a_process_alone_is_an_attempt_of_its_own(launched, monkeypatch):
    mine = attempt_of(launched, monkeypatch, {})
    assert mine == attempt_of(launched, monkeypatch, {})
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, attempt_of(launched, monkeypatch, {}).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100).decode() not in (mine, "")


# ---- real processes ----

FOUND = """\
import sys
from lighterd import world

def say(name="p"):
    try:
        found = world.find()
        attempt = found.attempt(name)
        sys.stdout.write(f"rank {found.rank} of {found.size}, {attempt}\\n")
    except ValueError as error:
        sys.stdout.write(f"refused: {error}\\n")
    sys.stdout.flush()
"""


def run(tmp_path, script, *launcher):
    """What the processes say, sorted."""
    (tmp_path / "found.py").write_text(FOUND)
    (tmp_path / "script.py").write_text("from found import say\n" + textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, *launcher, str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*daemons.PYTHON_PATH, str(tmp_path)]),
        },
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    lines = done.stdout.splitlines()
    return sorted(each for each in lines if re.match("rank|refused", each))


def assert_two_ranks(said):
    found = [re.fullmatch(r"rank (\d) of 2, ([\w.-]+)", line) for line in said]
    assert [each[1] for each in found] == ["0", "1"], said
    assert found[0][2] == found[1][2] != "None"
    return found[0][2]


TORCHRUN_TWO = ("-m", "torch.distributed.run", "--nproc-per-node=2")


def test_torchrun_tells_before_and_after_a_group_is_there(torch, tmp_path):
    before = assert_two_ranks(run(tmp_path, "say()", *TORCHRUN_TWO, "--master-port=0"))
    script = """
        import torch.distributed as dist
        dist.init_process_group("gloo")
        say()
        dist.barrier()
        """
    after = assert_two_ranks(run(tmp_path, script, *TORCHRUN_TWO, "--standalone"))
    assert after != before


def test_what_spawn_started_knows_its_rank_by_its_group_alone(torch, tmp_path):
    script = """
        import os, torch.multiprocessing, torch.distributed as dist
        def work(rank):
            say()
            store = "file://" + os.path.abspath("store")
            dist.init_process_group("gloo", store, rank=rank, world_size=2)
            say()
            dist.barrier()
        if __name__ == "__main__":
            torch.multiprocessing.spawn(work, nprocs=2)
        """
    *found, first, second = run(tmp_path, script)
    assert_two_ranks(found)
    assert first == second
    assert first.startswith("refused: this process was spawned by torch")


def test_fabrics_and_lightnings_launcher_is_known_by_its_group_alone(torch, tmp_path):
    pytest.importorskip("lightning.fabric")
    script = """
        import os
        from lightning.fabric import Fabric
        fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
        if "LOCAL_RANK" in os.environ:  # the one that it has started
            say()
        fabric.launch()
        say()
        fabric.barrier()
        """
    *found, refused = run(tmp_path, script)
    assert_two_ranks(found)
    assert refused.startswith("refused: WORLD_SIZE is 2, and no rank is known")
