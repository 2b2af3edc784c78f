"""What a client does before it trusts a daemon, and several threads with one job."""

import contextlib
import os
import pwd
import socket
import subprocess
import sys
import threading

import daemons
import pytest

import lighterd
from lighterd.job import Job
from lighterd.launch import connect

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be others")


@pytest.mark.usefixtures("either_client")
def test_several_threads_write_to_one_job(daemon, tmp_path):
    n_threads, n_batches = 4, 300
    problems = []
    with lighterd.run(
        lighterd.csv(tmp_path / "p.csv", ["x"]), socket=daemon.socket
    ) as out:

        def work(number):
            try:
                for i in range(n_batches):
                    out.write({"x": [f"{number}-{i}-{k}" for k in range(3)]})
                    if i % 50 == number:
                        out.flush()
            except BaseException as problem:
                problems.append(problem)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(n_threads)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert problems == []
    rows = (tmp_path / "p.csv").read_text().split()[1:]
    for number in range(n_threads):
        mine = [row for row in rows if row.startswith(f"{number}-")]
        assert mine == [f"{number}-{i}-{k}" for i in range(n_batches) for k in range(3)]
    batches = [rows[i : i + 3] for i in range(0, len(rows), 3)]
    assert all(each[0].rpartition("-")[0] == each[2].rpartition("-")[0] for each in batches)


def test_a_thread_that_waits_for_ranks_holds_up_no_other(daemon, tmp_path):
    writers = [lighterd.csv(tmp_path / "p.csv", ["x"])]
    connection = connect(daemon.socket)
    jobs = [
        Job(connection, writers, name="two", rank=0, world_size=2),
        Job(connection, [lighterd.csv(tmp_path / "q.csv", ["x"])], name="other"),
    ]
    waiting = threading.Thread(target=jobs[0].end)
    waiting.start()
    daemons.until(lambda: daemon.job("two")["ranks_ended"] == 1, "it has ended")
    jobs[1].write({"x": [1]})
    jobs[1].end()
    assert waiting.is_alive()
    with contextlib.closing(connect(daemon.socket)) as other:
        Job(other, writers, name="two", rank=1, world_size=2).end()
    waiting.join(daemons.DEADLINE_S)
    assert not waiting.is_alive()
    connection.close()


# ---- whose daemon ----


@pytest.fixture
def of_games(socket_dir):
    """A socket on which another user listens, and closes whoever comes."""
    games = pwd.getpwnam("games")
    os.chmod(socket_dir, 0o777)
    path = f"{socket_dir}/theirs"
    script = (
        "import os, socket, sys; os.umask(0)\n"
        f"os.setgid({games.pw_gid}); os.setuid({games.pw_uid})\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n"
        "print(flush=True)\n"
        "while True: s.accept()[0].close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, path], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    yield path
    process.kill()
    process.wait()
    process.stdout.close()


@needs_root
def test_a_daemon_of_another_user_gets_nothing(of_games):
    with pytest.raises(lighterd.ConnectionError) as raised:
        connect(of_games)
    said = str(raised.value)
    assert "is of user games (uid " in said and "expected root (uid 0)" in said
    assert "`owner=` or $LIGHTERD_OWNER" in said


@needs_root
def test_another_users_daemon_is_named(of_games, monkeypatch):
    uid = pwd.getpwnam("games").pw_uid
    for told in ("games", uid, str(uid)):
        with pytest.raises(lighterd.ConnectionError, match="closed the connection"):
            connect(of_games, told)
    monkeypatch.setenv("LIGHTERD_OWNER", "games")
    with pytest.raises(lighterd.ConnectionError, match="closed the connection"):
        connect(of_games)
    with pytest.raises(ValueError, match="there is no user 'nobody-else'"):
        connect(of_games, "nobody-else")


@needs_root
def test_who_is_not_served_is_told_by_whom(daemon, tmp_path):
    """Only then: a daemon that died says nothing of users."""
    os.chmod(daemon.socket, 0o777)
    os.chmod(os.path.dirname(daemon.socket), 0o755)
    games = pwd.getpwnam("games")
    script = (
        "import os, sys\n"
        "from lighterd.launch import connect\n"
        f"os.setgroups([]); os.setgid({games.pw_gid}); os.setuid({games.pw_uid})\n"
        "connect(sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, daemon.socket],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH),
            "LIGHTERD_RECONNECT_SECONDS": "60",
        },
    )
    assert "lighterd runs as root (uid 0) and closed the connection of games" in (
        done.stderr
    )


# ---- a daemon that dies before it has said a word ----


class Dying:
    """Listens, and closes the first that come: as often as it is told."""

    def __init__(self, path, n):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen()
        self._path, self._n = path, n
        self.thread = threading.Thread(target=self._close_them)
        self.thread.start()

    def _close_them(self):
        for _ in range(self._n):
            self._socket.accept()[0].close()
        os.unlink(self._path)
        self._socket.close()


@pytest.mark.usefixtures("either_client")
def test_a_daemon_that_dies_before_its_hello_is_looked_for_again(
    start_daemon, socket_dir, monkeypatch
):
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "60")
    daemon = start_daemon()
    monkeypatch.setattr(
        "lighterd.launch._start", lambda path: os.symlink(daemon.socket, path)
    )
    path = os.path.join(socket_dir, "dying")
    dying = Dying(path, 2)
    connection = connect(path)
    dying.thread.join()
    assert connection.call("ping", {})["pid"] == daemon.pid
    connection.close()


def test_one_that_is_not_to_be_looked_for_is_no_riddle(socket_dir):
    dying = Dying(os.path.join(socket_dir, "dying"), 1)
    with pytest.raises(lighterd.ConnectionError, match="^lighterd closed the connection"):
        connect(os.path.join(socket_dir, "dying"))
    dying.thread.join()
