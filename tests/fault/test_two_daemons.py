"""Two daemons that know nothing of each other make the same outputs, and are killed.

Each has a socket and a state directory of its own, and calls the outputs' directory by
another name. Runs begin, go on, end, are finalized and discarded in a random order, and
daemons die at any moment. What comes of it is right, or refused: a table has the rows of
one run, all that were answered and each once; a file has what one run wrote under its
name; and what neither has made stays.
"""

import gzip
import os
import time
from contextlib import suppress

import daemons
import pytest
import rawclient
from faults import LONG

N_BATCHES = 5
N_STEPS = 40
PRECIOUS = "p.tmp_rank0.csv", "q.tmp_rank0.gz.csv"


def outputs(version, seq):
    return {
        "id": [f"s{seq}_{k}" for k in range(2)],
        "v": [f"{version} {seq}_{k}" for k in range(2)],
    }


def table(version, n):
    rows = ["id,v"]
    for seq in range(1, n + 1):
        batch = outputs(version, seq)
        rows += [",".join(row) for row in zip(batch["id"], batch["v"])]
    return "".join(f"{row}\r\n" for row in rows).encode()


class Side:
    """A daemon, its job, and the client of that, all of which may be gone."""

    def __init__(self, name, directory, socket):
        self.name, self.directory, self.socket = name, directory, socket
        self.client = self.handle = None
        self.version, self.answered = None, 0
        self.may_show = {}  # the versions that may be shown: with so many batches
        self.daemon = daemons.Daemon(socket)

    def forget_client(self):
        if self.client:
            self.client.close()
        self.client = self.handle = None

    def writers(self):
        keys = ["id", "v"]
        return [
            rawclient.csv_writer(self.directory / "p.csv", keys),
            rawclient.file_writer(self.directory / "files", name_key="id"),
            rawclient.csv_writer(self.directory / "q.csv.gz", keys),
        ]

    # ---- what may happen ----

    def open(self, chance):
        self.forget_client()
        self.client = self.daemon.raw()
        resume = chance.random() < 0.7
        opened = self.client.call("open", job="j", writers=self.writers(), resume=resume)
        self.handle = opened["handle"]
        version = f"{self.name}{opened['id']}"
        if version == self.version:
            assert opened["seq"] >= self.answered, "answered batches are lost"
        else:
            assert opened["seq"] == 0 or not self.version, "rows of another run"
        self.version, self.answered = version, opened["seq"]

    def write(self, chance):
        if not self.handle or self.answered == N_BATCHES:
            return self.open(chance)
        seq = self.answered + 1
        batch = outputs(self.version, seq)
        self.client.call("write", job=self.handle, seq=seq, outputs=batch)
        self.answered = seq

    def end(self, chance):
        while self.handle and self.answered < N_BATCHES:
            self.write(chance)
        if not self.handle:
            return None
        self.may_show.setdefault(self.version, set()).add(N_BATCHES)
        ending = self.client.post("end", job=self.handle)
        if chance.random() < 0.3:
            time.sleep(chance.uniform(0, 0.02))
            return self.kill(chance)
        self.client.answer(ending)
        self.forget_client()
        return self.version, N_BATCHES

    def finalize(self, chance):
        self.forget_client()
        with self.daemon.raw() as client:
            # how many it has is known only where they were answered
            self.may_show.setdefault(self.version, set()).update(range(N_BATCHES + 1))
            client.call("finalize", job="j", partial=True)
        return self.version, self.answered

    def discard(self, chance):
        self.forget_client()
        answered, self.answered = self.answered, 0
        try:
            with self.daemon.raw() as client:
                client.call("discard", job="j")
        except rawclient.Refused as refused:
            if "is live" in refused.message:  # else some of it may be removed already
                self.answered = answered
            raise

    def leave(self, chance):
        self.forget_client()

    def kill(self, chance):
        self.daemon.kill()
        self.forget_client()
        self.daemon = daemons.Daemon(self.socket)

    STEPS = [open, write, write, write, end, end, finalize, discard, leave, kill, kill]


def unpacked(path):
    return gzip.decompress(path.read_bytes())


def look(directory, sides):
    """At any moment: what is shown is of one run, and whole."""
    may_show = {
        table(version, n): (version, n)
        for side in sides
        for version, counts in side.may_show.items()
        for n in counts
    }
    for path, read in ((directory / "p.csv", None), (directory / "q.csv.gz", unpacked)):
        if path.exists():
            content = read(path) if read else path.read_bytes()
            assert content in may_show, f"{path.name} is of no run: {content!r}"
    for path in (directory / "files").glob("s*"):
        version, _, rest = path.read_text().partition(" ")
        assert path.stem == f"s{rest}", f"{path.name} has {path.read_text()!r}"
        assert any(version in side.may_show for side in sides)
    for name in PRECIOUS:
        assert (directory / name).read_bytes() == b"precious"


def look_at_published(directory, version, n):
    """What was just answered is there, whatever the other side has done before."""
    assert (directory / "p.csv").read_bytes() == table(version, n)
    assert unpacked(directory / "q.csv.gz") == table(version, n)
    for seq in range(1, n + 1):
        batch = outputs(version, seq)
        for id, value in zip(batch["id"], batch["v"]):
            assert (directory / "files" / f"{id}.txt").read_text() == value


def settle(side):
    """Nothing of the job is under way: what is published by itself is."""

    def is_over():
        job = side.daemon.job("j")
        return not job or job["state"] not in ("preparing", "publishing")

    daemons.until(is_over, "the job is over, or open")


def discard_all(sides):
    for side in sides:
        side.forget_client()
        for _ in range(20):
            with suppress(rawclient.Refused):
                side.discard(None)
                break
            time.sleep(0.1)
            settle(side)


@pytest.mark.parametrize("number", range(200 if LONG else 4))
def test_what_two_daemons_make_of_one_output_is_right_or_refused(place, chance, number):
    directory = place / "out"
    directory.mkdir()
    (place / "link").symlink_to("out")
    for name in PRECIOUS:
        (directory / name).write_bytes(b"precious")
    sides = [
        Side("a", directory, str(place / "a")),
        Side("b", place / "link", str(place / "b")),
    ]
    n_published, n_refused, told = 0, 0, []
    try:
        for _ in range(N_STEPS):
            side, step = chance.choice(sides), chance.choice(Side.STEPS)
            told.append(f"{side.name}: {step.__name__}")
            try:
                published = step(side, chance)
            except rawclient.Refused as refused:
                told[-1] += f" refused: {refused.message}"
                n_refused += 1
                side.forget_client()
                published = None
            for each in sides:
                settle(each)
            look(directory, sides)
            if published and published[0]:
                look_at_published(directory, *published)
                side.version, side.answered = None, 0
                n_published += 1
        discard_all(sides)
        look(directory, sides)
        left = {name for name in os.listdir(directory) if ".tmp_" in name}
        print(f"{n_published} published, {n_refused} refused, left: {sorted(left)}")
    except BaseException:
        print("\n".join(told))
        raise
    finally:
        for side in sides:
            side.forget_client()
            side.daemon.process.terminate()
            side.daemon.wait()
            daemons.assert_clean_log(side.daemon.log())
