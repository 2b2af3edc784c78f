"""The daemon dies while one rank is in the next epoch already, and others are not: what
they were answered of this one is there, whoever comes back first.
"""

import contextlib
import itertools

import daemons
import rawclient
from faults import LONG

WORLD_SIZE = 3
N_ROUNDS = 200 if LONG else 4
ORDERS = list(itertools.permutations(range(WORLD_SIZE)))


class Rank:
    """A client as doc/protocol.md wants it, for one rank of two epochs."""

    def __init__(self, number, path, n_batches):
        self.number, self.path, self.n_batches = number, path, n_batches
        self.client, self.id, self.answered = None, 0, 0
        self.next_id = None  # of the `open` of the next epoch, on its way

    def params(self, **more):
        return {
            "job": "p",
            "rank": self.number,
            "world_size": WORLD_SIZE,
            "writers": [rawclient.csv_writer(self.path)],
            **more,
        }

    def connect(self, daemon):
        if self.client is not None:
            self.client.close()
        self.client = daemon.raw()

    def open(self, daemon):
        self.connect(daemon)
        self.id = self.client.call("open", **self.params(handle=1))["id"]

    def rows(self, epoch, n):
        return [f"e{epoch}r{self.number}b{seq}" for seq in range(1, n + 1)]

    def write(self, epoch, handle, until):
        for seq in range(self.answered + 1, until + 1):
            outputs = {"x": self.rows(epoch, seq)[-1:]}
            self.client.call("write", job=handle, seq=seq, outputs=outputs)
            self.answered = seq

    def end_early(self):
        """... and on to the next epoch, before the others have ended."""
        self.write(1, 1, self.n_batches)
        self.client.call("end", job=1, wait=False)
        self.next_id = self.client.post("open", **self.params(handle=2))

    def come_back(self, daemon):
        self.connect(daemon)
        if self.next_id is not None:
            self.next_id = self.client.post(
                "open", **self.params(handle=2, again=True)
            )
            return
        again = {"resume": True, "id": self.id, "answered": self.answered, "handle": 1}
        opened = self.client.call("open", **self.params(**again))
        assert opened["seq"] >= self.answered and not opened["ended"]

    def go_on(self):
        if self.next_id is None:
            self.write(1, 1, self.n_batches)
            self.client.call("end", job=1, wait=False)
            self.next_id = self.client.post("open", **self.params(handle=2))

    def begin_next(self):
        opened = self.client.answer(self.next_id)
        assert opened["seq"] == 0 and opened["id"] != self.id
        self.answered = 0


def expected(ranks, epoch):
    rows = [row for rank in ranks for row in rank.rows(epoch, rank.n_batches)]
    return "".join(f"{row}\r\n" for row in ["x", *rows]).encode()


def play(daemon, path, chance, order):
    """Return: the daemon that lives at last."""
    ranks = [Rank(i, path, chance.randrange(1, 6)) for i in range(WORLD_SIZE)]
    early = chance.sample(ranks, chance.randrange(1, WORLD_SIZE))
    with contextlib.ExitStack() as stack:
        for rank in ranks:
            rank.open(daemon)
            stack.callback(lambda rank=rank: rank.client.close())
        for rank in ranks:
            if rank in early:
                rank.end_early()
            else:
                rank.write(1, 1, chance.randrange(rank.n_batches + 1))
        for _ in range(chance.randrange(1, 3)):
            daemon.kill()
            daemon = daemons.Daemon(daemon.socket, alone=False)
            for number in order:
                ranks[number].come_back(daemon)
        for number in order:
            ranks[number].go_on()
        for rank in ranks:
            rank.begin_next()
        assert path.read_bytes() == expected(ranks, 1)

        for rank in ranks:
            rank.write(2, 2, rank.n_batches)
        ends = [rank.client.post("end", job=2) for rank in ranks]
        for rank, end in zip(ranks, ends):
            assert rank.client.answer(end)["published"]
        assert path.read_bytes() == expected(ranks, 2)
    return daemon


def test_no_epoch_loses_what_was_answered_whoever_comes_back_first(place, chance):
    daemon = daemons.Daemon(str(place / "s"))
    for i in range(N_ROUNDS):
        directory = place / str(i)
        directory.mkdir()
        order = ORDERS[i % len(ORDERS)] if LONG else chance.choice(ORDERS)
        daemon = play(daemon, directory / "p.csv", chance, order)
    daemons.all_ended([daemon])
