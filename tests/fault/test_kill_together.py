"""The daemon dies, and some of the ranks with it: nobody waits longer than rank_wait, and
what was answered is there.
"""

import contextlib
import time

import daemons
import rawclient
from faults import LONG

N_ROUNDS = 200 if LONG else 4
RANK_WAIT_S = 1
WORLD_SIZE = 3


class Rank:
    def __init__(self, number, path):
        self.number, self.path = number, path
        self.answered, self.n_batches, self.id = 0, 0, None

    def open(self, daemon, **more):
        self.client = daemon.raw()
        opened = self.client.open_csv(
            self.path, rank=self.number, world_size=WORLD_SIZE, handle=1, **more
        )
        self.id = opened["id"]
        return opened

    def come_back(self, daemon):
        self.client.close()
        return self.open(daemon, resume=True, id=self.id, answered=self.answered)

    def post(self, seq):
        outputs = {"x": [f"{self.number}.{seq}"]}
        return self.client.post("write", job=1, seq=seq, outputs=outputs)

    def write(self, n):
        """So many batches, of which the last is not waited for."""
        for _ in range(n):
            self.n_batches += 1
            id = self.post(self.n_batches)
            if self.n_batches < n:
                self.client.answer(id)
                self.answered = self.n_batches

    def go_on(self, daemon):
        self.come_back(daemon)
        for seq in range(self.answered + 1, self.n_batches + 1):
            self.client.answer(self.post(seq))
        self.end = self.client.post("end", job=1)

    def outcome(self):
        """None: published; else why not."""
        try:
            assert self.client.answer(self.end)["published"]
        except rawclient.Refused as refused:
            return refused
        return None

    def rows(self, first=1):
        return [f"{self.number}.{seq}" for seq in range(first, self.n_batches + 1)]


def play(start_daemon, directory, random):
    directory.mkdir()
    path = directory / "p.csv"
    ranks = [Rank(number, path) for number in range(WORLD_SIZE)]
    killed = start_daemon()
    with contextlib.ExitStack() as stack:
        for rank in ranks:
            rank.open(killed)
            rank.write(random.randint(1, 5))
        killed.kill()
        alive = [rank for rank in ranks if random.random() < 0.7]
        for rank in ranks:
            if rank not in alive:
                rank.client.close()
        daemon = daemons.Daemon(killed.socket, "--rank-wait", str(RANK_WAIT_S))
        stack.callback(lambda: daemons.all_ended([daemon]))
        for rank in ranks:  # before that
            stack.callback(lambda rank=rank: rank.client.close())
        began = time.monotonic()
        for rank in alive:
            rank.go_on(daemon)
        outcomes = [rank.outcome() for rank in alive]
        assert time.monotonic() - began < RANK_WAIT_S + daemons.DEADLINE_S / 2
        if len(alive) == WORLD_SIZE:
            assert outcomes == [None] * WORLD_SIZE
            rows = [row for rank in ranks for row in rank.rows()]
            assert path.read_text().split() == ["x", *rows]
            return
        for refused in outcomes:
            assert "did not come" in refused.message
        assert daemon.until_state("p", "interrupted")["unfinished"]
        assert not path.exists()
        for rank in alive:
            shard = directory / f"p.tmp_rank{rank.number}.csv"
            assert shard.read_text().split() == ["x", *rank.rows()]


def test_nobody_waits_longer_than_rank_wait(start_daemon, tmp_path, chance):
    for i in range(N_ROUNDS):
        play(start_daemon, tmp_path / str(i), chance)
