"""Ranks die, by SIGKILL or by an exception of their own, at random moments; then the run
is started again with `resume=True`, and writes what nobody interrupted would have.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import daemons
import lighterd
import pytest
import runs
from faults import LONG

WORLD_SIZE = 3
N_BATCHES = 40

INTERRUPTED = 3  # the exit status of a rank to which its job's failure was told


class Broken(Exception):
    pass


def run_rank(rank, directory, socket, refused=False, breaks_at=None, dies_at=None):
    """One rank as `lighterd.run` has it, with `resume`."""

    def before_batch(i):
        time.sleep(0.002)
        if i == breaks_at:
            raise Broken(f"at batch {i}")
        if (rank, i) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with lighterd.run(
            *runs.writers(directory),
            socket=socket,
            job="run",
            rank=rank,
            world_size=WORLD_SIZE,
            resume=True,
        ) as job:
            Path(f"{directory}.came{rank}").touch()
            runs.write(job, rank, N_BATCHES, before_batch, refused)
    except (Broken, lighterd.StateError) as error:
        print(f"rank {rank}: {error}", file=sys.stderr)
        os._exit(INTERRUPTED)


def start(directory, socket, numbers=range(WORLD_SIZE), **more):
    return runs.Ranks(run_rank, numbers, directory, socket, **more)


def run_whole(directory, socket, refused=False):
    """A run of which nobody dies."""
    with start(directory, socket, refused=refused) as ranks:
        assert set(ranks.finish().values()) == {0}


@pytest.fixture
def daemon(place):
    daemon = daemons.Daemon(str(place / "s"), "--log-level", "error")
    yield daemon
    daemons.all_ended([daemon])


def kill_all(ranks, chance, directory):
    time.sleep(chance.uniform(0, 0.15))
    ranks.kill()


def kill_one(ranks, chance, directory):
    """The others go on, and are told at the end. Who has never come is waited for."""
    come = [f"{directory}.came{rank}" for rank in range(WORLD_SIZE)]
    daemons.until(lambda: all(map(os.path.exists, come)), "all have come")
    time.sleep(chance.uniform(0, 0.15))
    victim = ranks.processes[chance.randrange(WORLD_SIZE)]
    victim.kill()
    victim.join()
    ranks.finish()


def check_runs(daemon, place, refused, n, interrupt):
    """Interrupt n runs, each of which is then started again."""
    run_whole(place / "wanted", daemon.socket, refused)
    wanted = runs.shown(place / "wanted")
    n_published = 0
    for i in range(n):
        directory = place / f"run{i}"
        directory.mkdir()
        interrupt(directory)
        runs.assert_nothing_partial(directory, wanted)
        job = daemon.job("run")
        n_published += job["state"] == "published"
        run_whole(directory, daemon.socket, refused)
        runs.assert_all_there(directory, wanted)
        shutil.rmtree(directory)
    print(f"{n} interrupted runs, {n_published} of them had been published")
    assert n_published < n or n < 10  # on a busy machine a few kills may all be late


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("death", [kill_all, kill_one])
def test_ranks_are_killed_and_the_run_is_started_again(
    chance, daemon, place, death, refused
):
    def interrupt(directory):
        with start(directory, daemon.socket, refused=refused) as ranks:
            death(ranks, chance, directory)

    n = (100 if refused else 200) if LONG else 4
    check_runs(daemon, place, refused, n, interrupt)


def test_ranks_fail_and_the_run_is_started_again(chance, daemon, place):
    def interrupt(directory):
        breaks_at = chance.randrange(N_BATCHES)
        with start(directory, daemon.socket, breaks_at=breaks_at) as ranks:
            ranks.finish()

    check_runs(daemon, place, False, 200 if LONG else 5, interrupt)


def test_one_rank_is_killed_and_comes_back_while_others_go_on(
    chance, daemon, place
):
    """Where another one was told before it was back, the whole run is started again."""
    run_whole(place / "wanted", daemon.socket)
    wanted = runs.shown(place / "wanted")
    n = 200 if LONG else 5
    n_again = 0
    for i in range(n):
        directory = place / f"run{i}"
        directory.mkdir()
        victim = chance.randrange(WORLD_SIZE)
        dies_at = (victim, chance.randrange(1, N_BATCHES))
        with start(directory, daemon.socket, dies_at=dies_at) as ranks:
            ranks.processes[victim].join()
            runs.assert_nothing_partial(directory, {})
            with start(directory, daemon.socket, [victim]) as back:
                was_told = INTERRUPTED in ranks.finish().values()
                if not was_told:
                    assert back.finish() == {victim: 0}
        if was_told:
            n_again += 1
            run_whole(directory, daemon.socket)
        runs.assert_all_there(directory, wanted)
        shutil.rmtree(directory)
    print(f"{n} ranks came back; {n_again} times all had to be started again")
    assert n_again < n or n < 10
