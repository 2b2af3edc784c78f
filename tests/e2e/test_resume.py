"""The daemon is killed, and clients go on as doc/protocol.md tells them."""

import os
import random
import subprocess
import threading
import time

import daemons
import pytest
import rawclient


@pytest.fixture
def kill(start_daemon):
    """Kill a daemon; the next one on its socket."""
    started = []

    def again(daemon):
        daemon.kill()
        started.append(daemons.Daemon(daemon.socket))
        return started[-1]

    yield again
    daemons.all_ended(started[-1:])


def resume(id, answered=0):
    return {"resume": True, "id": id, "answered": answered, "handle": 1}


def test_the_conversation_of_the_document(start_daemon, kill, tmp_path):
    daemon = start_daemon()
    with daemon.raw() as client:
        opened = client.open_csv(tmp_path / "p.csv")
        for seq, values in ((1, [1, 2]), (2, [3])):
            client.call("write", job=1, seq=seq, outputs={"x": values})
        daemon = kill(daemon)
    with daemon.raw() as client:
        again = client.open_csv(tmp_path / "p.csv", **resume(opened["id"], 1))
        assert again == {
            "handle": 1,
            "id": opened["id"],
            "seq": 2,
            "samples": 3,
            "ended": False,
            "published": False,
            "paths": [],
            "warnings": [],
        }
        client.call("write", job=1, seq=2, outputs={"x": [3]})
        ended = client.call("end", job=1)
    assert ended == {"published": True, "paths": [str(tmp_path / "p.csv")]}
    assert (tmp_path / "p.csv").read_bytes() == b"x\r\n1\r\n2\r\n3\r\n"


def test_answers_that_were_sent_before_the_death_can_be_read(start_daemon, tmp_path):
    daemon = start_daemon()
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        ids = []
        for seq in range(1, 101):
            ids.append(client.post("write", job=1, seq=seq, outputs={"x": [seq]}))
        daemons.until(lambda: daemon.job("p")["batches"] == 100, "all is written")
        daemon.kill()
        for id in ids:
            assert client.answer(id) == {}
        assert client.receive() is None


def test_a_memory_can_be_shared_again_as_it_is(start_daemon, kill, tmp_path):
    tensor = {"nd": True, "type": "|u1", "shape": [2], "at": [4096, 2]}
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 8192)
    os.pwrite(fd, b"\x07\x08", 4096)
    daemon = start_daemon()
    with daemon.raw() as client:
        client.share(fd, size=8192)
        opened = client.open_csv(tmp_path / "p.csv")
        client.call("write", job=1, seq=1, outputs={"x": tensor})
        daemon = kill(daemon)
    with daemon.raw() as client:
        client.share(fd, size=8192)
        client.open_csv(tmp_path / "p.csv", **resume(opened["id"], 1))
        client.call("write", job=1, seq=2, outputs={"x": tensor})
        client.call("end", job=1)
    os.close(fd)
    assert (tmp_path / "p.csv").read_bytes() == b"x\r\n7\r\n8\r\n7\r\n8\r\n"


def test_an_open_that_was_not_answered_finds_the_job_of_another_rank(
    start_daemon, kill, tmp_path
):
    daemon = start_daemon()
    with daemon.raw() as one:
        opened = one.open_csv(tmp_path / "p.csv", world_size=2)
        daemon = kill(daemon)  # the other rank's open was on its way
    with daemon.raw() as one, daemon.raw() as two:
        second = two.open_csv(tmp_path / "p.csv", rank=1, world_size=2, resume=True)
        assert (second["id"], second["seq"]) == (opened["id"], 0)
        one.open_csv(tmp_path / "p.csv", world_size=2, **resume(opened["id"]))
        end = one.post("end", job=1)
        two.call("end", job=second["handle"])
        assert one.answer(end)["published"]


@pytest.mark.parametrize("ended", [False, True])
def test_an_older_job_of_the_name_is_left_for_a_new_one(
    start_daemon, kill, tmp_path, ended
):
    daemon = start_daemon()
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv", world_size=2)
        client.call("write", job=1, seq=1, outputs={"x": ["old"]})
        if ended:
            client.call("end", job=1, wait=False)
        daemon = kill(daemon)
    with daemon.raw() as client:
        found = client.open_csv(tmp_path / "p.csv", world_size=2, resume=True)
        assert found["seq"] == 1 and found["ended"] == ended
    with daemon.raw() as client:
        opened = client.open_csv(tmp_path / "p.csv", world_size=2)
        assert opened["seq"] == 0 and opened["id"] != found["id"]
        assert "What it left is replaced" in opened["warnings"][0]
        assert (tmp_path / "p.tmp_rank0.csv").read_bytes() == b"x\r\n"
        client.call("abort", job=1)


def test_a_rank_of_a_job_that_was_begun_anew_is_refused(start_daemon, kill, tmp_path):
    daemon = start_daemon()
    with daemon.raw() as client:
        opened = client.open_csv(tmp_path / "p.csv")
        daemon = kill(daemon)
    with daemon.raw() as stranger, daemon.raw() as client:
        stranger.open_csv(tmp_path / "p.csv")
        with pytest.raises(rawclient.Refused) as refused:
            client.open_csv(tmp_path / "p.csv", **resume(opened["id"]))
        assert refused.value.code == "bad_state"
        stranger.call("end", job=1)


def test_flush_and_all_that_was_open_survives_the_next_death(
    start_daemon, kill, tmp_path
):
    daemon = start_daemon()
    answered, expected = 0, b"x\r\n"
    with daemon.raw() as client:
        id = client.open_csv(tmp_path / "p.csv")["id"]
        daemon = kill(daemon)
    for _ in range(5):
        with daemon.raw() as client:
            client.open_csv(tmp_path / "p.csv", **resume(id, answered))
            for _ in range(10):
                answered += 1
                client.call("write", job=1, seq=answered, outputs={"x": [answered]})
                expected += b"%d\r\n" % answered
            assert client.call("flush", job=1) == {}
            daemon = kill(daemon)
    assert daemon.ask("finalize", job="p", partial=True) == {}
    assert (tmp_path / "p.csv").read_bytes() == expected


# ---- killed at any moment ----

N_BATCHES = 600
N_KILLS = 20


class Rank:
    """A client as the document wants it, for one rank of a job with two outputs."""

    def __init__(self, path, directory, rank, world_size):
        self.path = path
        self.rank = rank
        self.params = {
            "job": "p",
            "rank": rank,
            "world_size": world_size,
            "writers": [
                rawclient.csv_writer(directory / "p.csv", ["x", "n"]),
                rawclient.file_writer(directory / "d", value_key="x", name_key="n"),
            ],
        }
        self.id = None
        self.answered = 0
        self.sent = 0
        self.published = False

    def outputs(self, seq):
        names = [f"{self.rank}/{seq}-{i}" for i in range(seq % 4)]
        if seq % 50 == 0:
            return {"x": [seq]}  # lacks "n": refused by both, each time that it comes
        return {"x": [f"{self.rank}.{seq}"] * len(names), "n": names}

    def run(self):
        while not self.published:
            try:
                with rawclient.RawClient(self.path) as client:
                    self.attempt(client)
            except OSError:
                time.sleep(0.005)

    def call(self, client, method, **params):
        """The result; OSError where the daemon has died."""
        id = client.post(method, **params)
        while True:
            message = client.receive()
            if message is None:
                raise ConnectionResetError
            if message[1] == id:
                assert message[2] is None, message[2]
                return message[3]
            self.note(message)

    def note(self, message):
        """An answer to a write; they come in order, and their ids are the seqs."""
        _, id, error, _ = message
        seq = id - self.offset
        assert seq == self.answered + 1
        assert bool(error) == (seq % 50 == 0), error
        self.answered = seq

    def attempt(self, client):
        self.call(client, "hello", protocol=1)
        back = {"resume": True}
        if self.id:
            back.update(id=self.id, answered=self.answered)
        opened = self.call(client, "open", **self.params, **back)
        assert self.id in (None, opened["id"])
        assert opened["seq"] >= self.answered or opened["published"]
        self.id = opened["id"]
        self.published = opened["published"]
        if self.published:
            return
        if not opened["ended"]:
            self.write_all(client, opened["handle"])
        self.published = self.call(client, "end", job=opened["handle"])["published"]

    def write_all(self, client, handle):
        self.offset = client._last_id - self.answered
        sent = self.answered
        while self.answered < N_BATCHES:
            while sent < min(self.answered + 8, N_BATCHES):
                sent += 1
                outputs = self.outputs(sent)
                client.post("write", job=handle, seq=sent, outputs=outputs)
            message = client.receive()
            if message is None:
                raise ConnectionResetError
            self.note(message)


def start(path):
    """Unlike daemons.Daemon: it is not alone for a moment."""
    command = [daemons.LIGHTERD, "--foreground", "--socket", path]
    command += ["--plugin-dir", daemons.PLUGIN_DIR]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def kill_again_and_again(path, daemon, ranks):
    """While they write, and while it comes up. Return: the daemon that lives at last,
    and what the others had to say.
    """
    log = ""
    chance = random.Random(17)
    for i in range(N_KILLS):
        goal = min(sum(rank.answered for rank in ranks) + 1, 2 * N_BATCHES)
        if i % 3:
            daemons.until(lambda: sum(r.answered for r in ranks) >= goal, "it goes on")
        time.sleep(chance.uniform(0, 0.02))
        daemon.kill()
        log += daemon.communicate()[1]
        daemon = start(path)
    return daemon, log


@pytest.mark.untraced
def test_it_may_be_killed_at_any_moment(socket_dir, tmp_path):
    path = f"{socket_dir}/s"
    ranks = [Rank(path, tmp_path, rank, 2) for rank in range(2)]
    threads = [threading.Thread(target=rank.run, daemon=True) for rank in ranks]
    daemon = start(path)
    for thread in threads:
        thread.start()
    daemon, log = kill_again_and_again(path, daemon, ranks)
    for thread in threads:
        thread.join(daemons.DEADLINE_S)
        assert not thread.is_alive()
    daemon.terminate()
    log += daemon.communicate()[1]
    daemons.assert_clean_log(log)

    expected, files = "x,n\r\n", {}
    for rank in ranks:
        for seq in range(1, N_BATCHES + 1):
            outputs = rank.outputs(seq)
            for x, n in zip(outputs["x"], outputs.get("n", [])):
                expected += f"{x},{n}\r\n"
                files[f"{n}.txt"] = x
    assert (tmp_path / "p.csv").read_bytes() == expected.encode()
    found = (path for path in (tmp_path / "d").rglob("*") if path.is_file())
    assert {str(p.relative_to(tmp_path / "d")): p.read_text() for p in found} == files
    assert sorted(os.listdir(tmp_path)) == ["d", "p.csv"]


def test_a_refused_resume_changes_nothing_of_why_a_job_is_over(start_daemon, tmp_path):
    daemon = start_daemon()
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv", fingerprint="a")
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        client.call("abort", job=1, reason="enough")
    before = daemon.until_state("p", "aborted")
    assert "enough" in before["error"]
    with daemon.raw() as client:
        more = {"fingerprint": "b", "resume": True}
        with pytest.raises(rawclient.Refused, match="fingerprint"):
            client.open_csv(tmp_path / "p.csv", **more)
    after = daemon.until_state("p", "aborted")

    assert after["error"] == before["error"]
    assert after["unfinished"]
