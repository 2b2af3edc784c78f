"""The daemon dies by SIGKILL at random moments, again and again, while three ranks write
one epoch after another: in its beginnings, its endings and its recoveries as well.

The clients start the daemons themselves, as they do where nobody else does.
"""

import os
import signal
import time
from contextlib import closing, suppress

import daemons
import lives
import runs
from faults import LONG

WORLD_SIZE = 3
N_EPOCHS = 5
N_BATCHES = 60


def run_rank(rank, place, socket, n_epochs):
    with closing(runs.connect_at_last(socket)) as connection:
        (place / f"connected{rank}").touch()
        for e in range(n_epochs):
            job = runs.open_job(connection, place / f"e{e}", rank, WORLD_SIZE)
            n_errors = runs.write(job, rank, N_BATCHES, lambda i: time.sleep(0.002))
            assert n_errors == runs.n_refused(N_BATCHES)


def pids_of(socket):
    """Daemons of this socket, those that only begin too."""
    for entry in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            with open(f"/proc/{int(entry)}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if words[0] == daemons.LIGHTERD.encode() and socket.encode() in words:
                yield int(entry)


def kill_all(socket, number=signal.SIGKILL):
    """Return: how many there were, each with its children counted once."""
    pids = list(pids_of(socket))
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return len(pids)


def pause(chance):
    """Mostly while it writes; every third time while it still recovers."""
    return chance.uniform(0, 0.03 if chance.random() < 0.33 else 0.25)


def run(place, n_epochs, monkeypatch, until_death=lambda: None, on_death=None):
    """Three ranks write epochs. Returns the number of kills."""
    place.mkdir()
    socket = str(place / "s")
    options = f"--plugin-dir {daemons.PLUGIN_DIR} --log-level warning"
    starter = lives.script(place / "start", f'exec {daemons.LIGHTERD} {options} "$@"')
    monkeypatch.setenv("LIGHTERD", starter)
    n_kills = 0
    with runs.Ranks(run_rank, range(WORLD_SIZE), place, socket, n_epochs) as ranks:
        connected = [place / f"connected{rank}" for rank in range(WORLD_SIZE)]
        daemons.until(lambda: all(map(os.path.exists, connected)), "all have connected")
        while on_death and ranks.are_running():
            until_death()
            if kill_all(socket):
                n_kills += 1
                on_death()
        status = ranks.finish()
    log = place / "s.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    assert set(status.values()) == {0}, f"{status}\n{text}"
    daemons.assert_clean_log(text)
    kill_all(socket, signal.SIGTERM)
    daemons.until(lambda: not list(pids_of(socket)), "the last daemon has ended")
    return n_kills


def test_killed_at_random_moments(place, monkeypatch, chance):
    run(place / "undisturbed", 1, monkeypatch)
    wanted = runs.shown(place / "undisturbed" / "e0")
    n_kills, n_rounds = 0, 0

    while n_kills < (1000 if LONG else 15):
        n_rounds += 1
        here = place / f"round{n_rounds}"
        n_epochs = N_EPOCHS if LONG else 1

        def look():
            for e in range(n_epochs):
                runs.assert_nothing_partial(here / f"e{e}", wanted)

        n_kills += run(
            here, n_epochs, monkeypatch, lambda: time.sleep(pause(chance)), look
        )
        for e in range(n_epochs):
            runs.assert_all_there(here / f"e{e}", wanted)

    print(f"{n_kills} kills in {n_rounds} rounds of {n_epochs} epochs")
