"""liblighter, and lighterctl on it, where the daemon or the program is killed."""

import contextlib
import os
import random
import socket
import struct
import subprocess
import threading
import time

import daemons
import judges
import msgpack
import pytest
import rawclient

PROGRAM = os.path.join(os.path.dirname(daemons.LIGHTERD), "tests/e2e/c_client")
N_BATCHES = 300


class Daemon:
    """Unlike daemons.Daemon it is never alone, and comes back after a kill."""

    def __init__(self, path):
        self.path = path
        self._log = open(f"{path}.log", "w+")
        self._start()

    def _start(self):
        command = [daemons.LIGHTERD, "--foreground", "--socket", self.path]
        command += ["--plugin-dir", daemons.PLUGIN_DIR]
        self._process = subprocess.Popen(command, stderr=self._log)

    def until_it_listens(self):
        def listens():
            with contextlib.suppress(OSError), rawclient.RawClient(self.path):
                return True

        daemons.until(listens, "it listens")

    def until_interrupted(self):
        def is_interrupted():
            with rawclient.RawClient(self.path) as client:
                client.call("hello", protocol=1)
                jobs = client.call("jobs")["jobs"]
            return [(job["state"], job["live"]) for job in jobs] == [
                ("interrupted", False)
            ]

        daemons.until(is_interrupted, "its job is interrupted")

    def kill_and_start(self):
        self._process.kill()
        self._process.wait()
        self._start()

    def end(self):
        self._process.terminate()
        status = self._process.wait(daemons.DEADLINE_S)
        self._log.seek(0)
        said = self._log.read()
        self._log.close()
        assert status == 0, said
        daemons.assert_clean_log(said)


@pytest.fixture
def daemon(socket_dir, monkeypatch):
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "60")
    started = Daemon(f"{socket_dir}/s")
    started.until_it_listens()
    yield started
    started.end()


class Program:
    """One rank. What it prints is read as it comes: else it would be held up."""

    def __init__(
        self,
        daemon,
        directory,
        *arguments,
        rank=0,
        world_size=1,
        n_batches=N_BATCHES,
        **environment,
    ):
        self.n_written = self.n_lost = 0
        self._process = subprocess.Popen(
            [PROGRAM, str(n_batches), *arguments],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "LIGHTERD_SOCKET": daemon.path,
                "RANK": str(rank),
                "WORLD_SIZE": str(world_size),
                **environment,
            },
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            if line.startswith("lost "):
                self.n_lost = int(line.split()[1])
            else:
                self.n_written = int(line) + 1

    def until_written(self, n_batches):
        def is_there():
            assert self._process.poll() is None, self._process.stderr.read()
            return self.n_written >= n_batches

        daemons.until(is_there, f"{n_batches} batches are written")

    def kill(self):
        self._process.kill()
        self._close()

    def end(self):
        """What it has said."""
        status = self._process.wait(60)
        assert status == 0, self._process.stderr.read()
        return self._close()

    def refusal(self):
        """What it says at its end, which is none."""
        assert self._process.wait(60) == 1
        return self._close()

    def _close(self):
        self._process.wait()
        self._reader.join()
        said = self._process.stderr.read()
        daemons.assert_clean_log(said)
        self._process.stdout.close()
        self._process.stderr.close()
        return said


def contents(directory):
    names = judges.files(directory)
    return {name: (directory / name).read_bytes() for name in names}


@pytest.fixture
def undisturbed(daemon, tmp_path):
    """What two ranks write where nobody dies."""

    def run():
        directory = tmp_path / "undisturbed"
        directory.mkdir()
        ranks = [Program(daemon, directory, rank=i, world_size=2) for i in range(2)]
        for rank in ranks:
            rank.end()
        found = contents(directory)
        assert len(found) == 2 * 4 * N_BATCHES + 1
        return found

    return run()


def test_no_kill_of_the_daemon_changes_what_is_written(daemon, undisturbed, tmp_path):
    n_kills, chance = 12, random.Random(5)
    directory = tmp_path / "disturbed"
    directory.mkdir()

    ranks = [Program(daemon, directory, rank=i, world_size=2) for i in range(2)]
    for i in range(n_kills):
        ranks[i % 2].until_written(N_BATCHES * i // n_kills + chance.randrange(10))
        daemon.kill_and_start()
    for rank in ranks:
        rank.end()

    assert contents(directory) == undisturbed
    assert all(n_kills // 2 <= rank.n_lost <= n_kills for rank in ranks)


def test_a_program_that_is_killed_goes_on_with_resume(daemon, undisturbed, tmp_path):
    directory = tmp_path / "disturbed"
    directory.mkdir()

    ranks = [Program(daemon, directory, rank=i, world_size=2) for i in range(2)]
    for rank, n_batches in zip(ranks, (100, 200)):
        rank.until_written(n_batches)
        rank.kill()
    daemon.kill_and_start()
    daemon.until_it_listens()  # a program that begins does not wait for it
    assert not (directory / "p.csv").exists()
    ranks = [
        Program(daemon, directory, "resume", rank=i, world_size=2) for i in range(2)
    ]
    ranks[0].until_written(250)
    daemon.kill_and_start()
    for rank in ranks:
        rank.end()

    assert contents(directory) == undisturbed


@pytest.fixture
def killed(daemon, tmp_path):
    """A program that was killed in the middle: where it wrote, and how many batches."""
    directory = tmp_path / "killed"
    directory.mkdir()
    program = Program(daemon, directory, FINGERPRINT="one")
    program.until_written(20)
    program.kill()
    daemon.until_interrupted()
    return directory


def test_a_program_that_gives_other_batches_is_refused(daemon, killed):
    other = Program(daemon, killed, "resume", "1", FINGERPRINT="one")

    assert other.refusal().startswith(
        "c_client: skip: this is not the run that was interrupted: batch 1 of this rank "
        "had batch_idx 0 of dataloader 0, now it has batch_idx 1 of dataloader 0. "
        "Nothing was written. "
    )
    assert other.n_written == 0
    Program(daemon, killed, "resume", FINGERPRINT="one").end()
    assert len(contents(killed)) == 4 * N_BATCHES + 1


def test_a_program_that_gives_fewer_batches_ends_nothing(daemon, killed):
    fewer = Program(daemon, killed, "resume", n_batches=5, FINGERPRINT="one")

    said = fewer.refusal()
    assert "end: this is not the run that was interrupted: rank 0 had written" in said
    assert "and now only 5 came" in said
    assert not (killed / "p.csv").exists()


def test_a_program_with_another_fingerprint_does_not_resume(daemon, killed):
    other = Program(daemon, killed, "resume", FINGERPRINT="two")

    said = other.refusal()
    assert said.startswith("c_client: open: ") and "fingerprint" in said


def test_a_program_waits_for_other_ranks_no_longer_than_it_was_told(daemon, tmp_path):
    alone = Program(daemon, tmp_path, world_size=2, n_batches=1, RANK_WAIT="1")

    said = alone.refusal()
    assert said.startswith("c_client: end: ") and "rank_wait" in said


def test_a_program_that_waits_is_told_for_whom(daemon, tmp_path):
    ranks = [Program(daemon, tmp_path, world_size=2, n_batches=1, ATTEMPT="a")]
    time.sleep(11)
    ranks += [Program(daemon, tmp_path, world_size=2, n_batches=1, rank=1, ATTEMPT="a")]

    said = [rank.end() for rank in ranks]
    waits, goes_on = said[0].splitlines()
    assert waits.startswith("ranks: ") and "rank 1" in waits
    assert goes_on.startswith("on: ")
    assert said[1] == ""


def read_request(file):
    (size,) = struct.unpack(">I", file.read(4))
    return msgpack.unpackb(file.read(size))


def serve_hello_and_die(listening):
    connected, _ = listening.accept()
    with connected, connected.makefile("rb") as file:
        _, id, method, _ = read_request(file)
        assert method == "hello"
        hello = {"protocol": 1, "server": "x", "pid": 1}
        hello.update(max_frame_bytes=1 << 20, max_client_bytes=1 << 20)
        connected.sendall(rawclient.frame([1, id, None, hello]))
        read_request(file)


def test_the_tool_waits_for_no_daemon(socket_dir, monkeypatch):
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "3600")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{socket_dir}/s")
        listening.listen()
        server = threading.Thread(target=serve_hello_and_die, args=(listening,))
        server.start()
        done = subprocess.run(
            [daemons.LIGHTERCTL, "--socket", f"{socket_dir}/s", "status"],
            capture_output=True,
            text=True,
            timeout=daemons.DEADLINE_S,
        )
        server.join()
    assert done.returncode != 0
    assert done.stderr == "lighterctl: lighterd closed the connection\n"
