"""The power is cut: what was promised is there at the next boot, and nothing is torn.

A cut is the file system's own: from that moment on nothing leaves the memory. Then
everybody is killed, the disk is mounted again, and another process resumes the epoch.
"""

import os
import random
import time

import daemons
import disks
import epochs
import pytest
import shims
from faults import LONG


CUTS = {"ext4": 200 if LONG else 9, "xfs": 50 if LONG else 6}

# Where the outputs and the daemon's state lie: on the disk that is cut, or elsewhere.
LAYOUTS = {"all": (True, True), "outputs": (True, False), "state": (False, True)}

OPTIONS = ["--sync-interval", "1", "--sync-bytes", "100000", "--threads", "2"]


class Machine:
    """A disk, what is elsewhere, and the daemons that boot on it, one by one."""

    def __init__(self, directory, kind, layout, env=None):
        self.env = env
        self.disk = disks.Disk(directory / "disk", kind)
        elsewhere = directory / "elsewhere"
        elsewhere.mkdir()
        outputs_are_cut, state_is_cut = LAYOUTS[layout]
        self.outputs = (self.disk.path if outputs_are_cut else elsewhere) / "out"
        self.state = (self.disk.path if state_is_cut else elsewhere) / "state"
        self.outputs.mkdir()
        self.sockets, self.n_boots = daemons.short_directory(), 0
        self.socket_dir = self.sockets.__enter__()
        self.daemon = None

    def boot(self):
        # The state directory is the socket's: the name must stay.
        path = os.path.join(self.socket_dir, "s")
        self.n_boots += 1
        for name in os.listdir(self.socket_dir):
            os.unlink(os.path.join(self.socket_dir, name))
        options = [*OPTIONS, "--state-dir", str(self.state)]
        self.daemon = daemons.Daemon(path, *options, env=self.env)

    def cut(self, promises=None):
        """Cut, kill, and mount again; the clients' threads end by their errors."""
        self.disk.cut()
        self.daemon.kill()
        if promises:
            promises.join()
        self.disk.again()

    def halt(self):
        self.daemon.kill()

    def done(self):
        if self.daemon:
            self.daemon.kill()
        self.disk.done()
        self.sockets.__exit__(None, None, None)


@pytest.fixture
def make_machine(tmp_path):
    disks.need_root()
    made = []

    def make(*args, **more):
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Machine(directory, *args, **more))
        return made[-1]

    yield make
    for machine in made:
        machine.done()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What two epochs leave, one after the other, where nothing happens."""
    outputs = tmp_path_factory.mktemp("undisturbed")
    trees = []
    with daemons.short_directory() as directory:
        daemon = daemons.Daemon(os.path.join(directory, "s"))
        for version in ("old", ""):
            epoch = epochs.Epoch(outputs)
            epoch.run(daemon.socket, version=version)
            assert (outputs / "p.csv").read_bytes() == epoch.expected_csv(version)
            trees.append(epochs.tree(outputs))
        daemons.all_ended([daemon])
    return trees


def damages(got, *allowed):
    """Names under which there is none of what may be there."""
    names = set(got).union(*allowed)
    return sorted(n for n in names if got.get(n) not in [a.get(n) for a in allowed])


def is_published(machine):
    job = machine.daemon.job("j")
    return job is not None and job["state"] == "published"


def go_on(machine, epoch, promises, old, new):
    """The next boot, and the next process. What is wrong, in words."""
    machine.boot()
    daemons.until(
        lambda: (job := machine.daemon.job("j")) is None
        or job["state"] not in ("preparing", "publishing"),
        "the daemon has settled what it found",
    )
    # Where the cut came before anything of this epoch was durable, the state directory
    # tells of the one before.
    allowed = [new] if any(promises.flushed) else [old, new]
    if is_published(machine) and damages(epochs.tree(machine.outputs), *allowed):
        return ["the daemon says it is published"]
    if damages(epochs.tree(machine.outputs), new):
        if all(promises.ended):
            return ["an epoch that was published is not known"]
        resumed = epoch.run(machine.daemon.socket, resume=True)
        for flushed, at in zip(promises.flushed, resumed.resumed_at):
            if at < flushed:
                return [f"{flushed} batches were flushed, {at} are there"]
    return damages(epochs.tree(machine.outputs), new) + epochs.leftovers(
        machine.outputs
    )


def cut_once(machine, trees, wait):
    """One epoch with a cut in it; `wait(promises, took_s)` says when. What is wrong."""
    old, new = trees
    machine.boot()
    epoch = epochs.Epoch(machine.outputs)
    since = time.monotonic()
    epoch.run(machine.daemon.socket, version="old")
    took_s = time.monotonic() - since
    disks.run("sync", "-f", machine.disk.path)  # this epoch is not the one at stake
    promises = epoch.start(machine.daemon.socket)
    wait(promises, took_s)
    machine.cut(promises)
    found = damages(epochs.tree(machine.outputs), old, new)
    if all(promises.ended):
        found += damages(epochs.tree(machine.outputs), new)
    if found:
        return found
    return go_on(machine, epoch, promises, old, new)


def at_a_random_moment(generator):
    return lambda promises, took_s: time.sleep(generator.uniform(0, 1.1 * took_s))


def after_the_end(promises, took_s):
    promises.join()


@pytest.mark.parametrize("kind", CUTS)
def test_nothing_durable_is_lost_when_the_power_is_cut(kind, make_machine, undisturbed):
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(1 << 32))
    generator = random.Random(seed)
    for index in range(CUTS[kind]):
        layout = list(LAYOUTS)[index % len(LAYOUTS)]
        machine = make_machine(kind, layout)
        found = cut_once(machine, undisturbed, at_a_random_moment(generator))
        assert not found, (seed, index, layout, found, machine.daemon.log())
        machine.done()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", CUTS)
def test_what_was_published_is_there_after_a_cut(
    kind, layout, make_machine, undisturbed
):
    machine = make_machine(kind, layout)
    found = cut_once(machine, undisturbed, after_the_end)
    assert not found, (found, machine.daemon.log())


def test_without_fsync_a_cut_does_damage(make_machine, undisturbed, tmp_path):
    env = shims.build("no_sync", tmp_path)
    generator = random.Random(1)
    for index in range(20):
        machine = make_machine("ext4", "all", env=env)
        wait = after_the_end if index % 2 else at_a_random_moment(generator)
        try:
            found = cut_once(machine, undisturbed, wait)
        except Exception as problem:
            found = [repr(problem)]
        machine.done()
        if found:
            return
    raise AssertionError("20 cuts did no damage: this test would not see any")
