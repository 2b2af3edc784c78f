"""The daemon dies at each of its system calls, from the first client's coming to the
answer of `end`; and the daemon after it too, while it recovers.
"""

import collections
import os

import lives
import pytest
import ranks
import runs
from faults import LONG

pytestmark = pytest.mark.skipif(
    not os.path.exists(lives.KILLAT), reason="make check_PROGRAMS builds killat"
)

N_RANKS = 2
N_BATCHES = 5  # the last is refused


def run_epoch(place, monkeypatch, directory, deaths, wanted=None):
    """Two ranks write an epoch while daemons die. Returns the lives of these."""
    directory.mkdir()

    def look():
        if wanted is not None:
            runs.assert_nothing_partial(directory, wanted)

    print(f"deaths: {deaths}")

    def rank(number):
        connection = runs.connect_at_last(daemons.socket)
        try:
            job = runs.open_job(connection, directory, number, N_RANKS)
            n_errors = runs.write(job, number, N_BATCHES)
            assert n_errors == runs.n_refused(N_BATCHES)
        finally:
            connection.close()

    with lives.Lives(place, deaths, on_death=look) as daemons:
        monkeypatch.setenv("LIGHTERD", daemons.no_starter)
        ranks.in_threads(rank, range(N_RANKS))
        daemons.n_calls_at_end = daemons.n_calls()
    if wanted is not None:
        runs.assert_all_there(directory, wanted)
    return daemons


@pytest.fixture
def wanted(place, monkeypatch):
    """What an epoch writes during which nothing dies, and how many calls it takes."""
    directory = place / "wanted"
    n_calls = run_epoch(place, monkeypatch, directory, []).n_calls_at_end
    found = runs.shown(directory)
    assert len(found) == 2 + 2 * N_RANKS * runs.N_SAMPLES * (N_BATCHES - 1)
    return found, n_calls


def directories(place):
    n = 0
    while True:
        n += 1
        yield place / f"e{n}"


def test_killed_at_each_call(place, monkeypatch, wanted):
    found, n_calls = wanted
    killed_in = collections.Counter()
    fresh = directories(place)
    step = 1 if LONG else max(1, n_calls // 12)
    n_lived = 0

    # calls of threads that wait come and go: the last ones may not be reached
    for n in range(1, n_calls + 1, step):
        died = run_epoch(place, monkeypatch, next(fresh), [("accept4", n)], found)
        assert len(died.killed_in) <= 1
        n_lived += not died.killed_in
        killed_in.update(died.killed_in)

    print(f"{n_calls} calls, killed in {sum(killed_in.values())}: {killed_in}")
    assert n_lived <= max(2, n_calls // step // 5)


def test_killed_again_while_it_recovers(place, monkeypatch, wanted, chance):
    found, n_calls = wanted
    fresh = directories(place)
    # what the next daemon enters until it has answered all: it begins with its lock
    again = run_epoch(
        place, monkeypatch, next(fresh), [("accept4", n_calls // 2), ("flock", 0)], found
    ).n_calls_at_end
    n_deaths = collections.Counter()
    step = 1 if LONG else max(1, n_calls // 8)

    for n in range(1, n_calls + 1, step):
        deaths = [("accept4", n), ("flock", chance.randint(1, again))]
        died = run_epoch(place, monkeypatch, next(fresh), deaths, found)
        n_deaths[len(died.killed_in)] += 1

    print(f"{n_calls} calls, and {again} to recover; deaths: {n_deaths}")
    assert n_deaths[2] > sum(n_deaths.values()) // 2
