"""The daemon as a service: what a service manager gives and is told, and who may come."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import daemons
import managers
import pytest
import rawclient
import units

@pytest.fixture
def manager(socket_dir):
    with closing(managers.Manager(socket_dir)) as manager:
        yield manager


def ends(process):
    _, said = process.communicate(timeout=daemons.DEADLINE_S)
    daemons.assert_clean_log(said)
    return process.returncode


def test_it_serves_the_socket_that_it_is_given_and_says_so(manager):
    process = manager.start()
    assert manager.hears() == "READY=1"
    with closing(rawclient.RawClient(manager.path)) as client:
        assert client.call("hello", protocol=1)["pid"] == process.pid
        assert client.call("status")["socket"] == manager.path
    process.terminate()
    assert manager.hears() == "STOPPING=1"
    assert ends(process) == 0
    assert os.path.exists(manager.path)  # it is not the daemon's to remove


def test_it_says_that_it_is_alive_as_often_as_it_is_asked_to(manager):
    process = manager.start(WATCHDOG_USEC="100000")
    assert [manager.hears() for _ in range(4)] == ["READY=1"] + 3 * ["WATCHDOG=1"]
    process.terminate()
    assert ends(process) == 0


def test_a_manager_that_does_not_keep_up_holds_nobody_up(manager):
    process = manager.start(WATCHDOG_USEC="10000")
    assert manager.hears() == "READY=1"
    n_unheard = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    with closing(rawclient.RawClient(manager.path)) as client:
        client.call("hello", protocol=1)
        over = time.monotonic() + 0.5 + 0.005 * n_unheard
        while time.monotonic() < over:
            client.call("ping")
            time.sleep(0.01)
    process.terminate()
    assert ends(process) == 0


def test_what_does_not_listen_is_refused(manager):
    manager.listening.close()
    manager.listening = socket.socket(socket.AF_UNIX)
    process = manager.start()
    _, said = process.communicate(timeout=daemons.DEADLINE_S)
    assert process.returncode == 1
    assert "is no Unix socket with a name that listens" in said


def test_nobody_is_refused_while_it_is_killed_and_started_again(manager):
    for _ in range(5):
        process = manager.start()
        assert manager.hears() == "READY=1"
        process.kill()
        process.communicate()
        waiting = rawclient.RawClient(manager.path)  # while nobody runs
        process = manager.start()
        assert manager.hears() == "READY=1"
        with closing(waiting):
            waiting.call("hello", protocol=1)
        process.terminate()
        assert manager.hears() == "STOPPING=1"
        assert ends(process) == 0


# ---- the units ----


def unit(kind, tmp_path):
    text = units.service(kind)
    for name in ("sbindir", "bindir"):
        text = text.replace(f"@{name}@", "/bin")
    path = tmp_path / "lighterd.service"
    path.write_text(text)
    shutil.copy(units.UNITS / kind / "lighterd.socket", tmp_path)
    return path


@pytest.fixture
def analyze():
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")

    def run(*args):
        done = subprocess.run(
            ["systemd-analyze", *args], capture_output=True, text=True, timeout=60
        )
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize("kind, most", [("user", 5.3), ("system", 1.0)])
def test_a_unit_takes_away_what_it_can(analyze, tmp_path, kind, most):
    said = analyze("security", "--offline=true", unit(kind, tmp_path))
    level = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert level and float(level.group(1)) <= most, said


class Traced:
    """A daemon under strace, which has said that it is ready."""

    def __init__(self, manager, trace):
        self._trace = trace
        self._process = manager.start(
            *("--sync-interval", "1"),
            prefix=["strace", "-D", "-f", "-qq", "-o", trace],
            WATCHDOG_USEC="100000",
            # a leak checker traces the process itself, and cannot while strace does
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0",
        )
        while manager.hears() != "READY=1":  # the one before may have said more
            pass

    def end(self, number, status):
        os.kill(int(self._trace.read_text().split()[0]), number)
        assert ends(self._process) == status

    def calls(self):
        text = self._trace.read_text()
        called = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)", text, re.M))
        # the end of a process; a sanitizer, which ships with no unit; libnuma, which
        # the video codecs bring, and which takes EPERM for an answer
        called -= {"exit", "strace", "ptrace", "process_vm_readv", "personality"}
        return called - {"set_mempolicy"}


ALL_SORTS = """
import sys
import numpy as np, lighterd
directory, socket = sys.argv[1:]
writers = [lighterd.csv(directory + "/t.csv", ["x"]),
           lighterd.file(directory + "/t", "t", "tensor"),
           lighterd.file(directory + "/n", "x", "text"),
           lighterd.file(directory + "/i", "i", "image_2d", "x")]
with lighterd.run(*writers, socket=socket) as out:
    for i in range(4):
        big = np.zeros((1, 200_000))
        out.write(dict(x=[f"a/{i}"], t=big, i=np.ones((1, 3, 9, 9))))
    out.flush()
"""


def interrupted_jobs(manager, tmp_path):
    """One that is aborted, one with a batch that is refused; their client has gone."""
    with rawclient.RawClient(manager.path) as client:
        client.call("hello", protocol=1)
        for job, name in enumerate(("aborted", "left"), 1):
            client.open_csv(tmp_path / f"{name}.csv", job=name)
            client.call("write", job=job, seq=1, outputs={"x": [1, 2]})
            client.refusal("write", job=job, seq=2, outputs={"y": [3]})
        client.call("abort", job=1, reason="the model has failed")
        client.post("plugins")
        client.send(b"\xff\xff\xff\xff")


def pick_up(manager):
    """What became of them, in the next daemon."""
    with rawclient.RawClient(manager.path) as client:
        client.call("hello", protocol=1)
        client.call("discard", job="aborted")
        client.call("finalize", job="left", partial=True)
        client.call("status")
        client.call("reload")


@pytest.mark.untraced
def test_what_it_calls_lies_inside_the_units_filters(analyze, manager, tmp_path):
    """Two lives: jobs of all sorts, broken clients, kill -9, recovery, the end."""
    if not shutil.which("strace"):
        pytest.skip("there is no strace")
    first = Traced(manager, tmp_path / "first")
    subprocess.run(
        [sys.executable, "-c", ALL_SORTS, tmp_path, manager.path],
        check=True,
        env={**os.environ, "PYTHONPATH": str(daemons.CLIENT)},
    )
    interrupted_jobs(manager, tmp_path)
    first.end(signal.SIGKILL, -signal.SIGKILL)
    second = Traced(manager, tmp_path / "second")
    pick_up(manager)
    second.end(signal.SIGTERM, 0)
    assert (tmp_path / "left.csv").read_bytes() == b"x\r\n1\r\n2\r\n"

    called = first.calls() | second.calls()
    assert {"accept4", "recvmsg", "mmap", "writev", "pwritev", "ftruncate"} <= called
    for kind in units.KINDS:
        assert called - units.allowed_calls(units.service(kind)) == set(), kind


# ---- where it may write ----


def test_outputs_stay_below_the_roots(start_daemon, tmp_path):
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "rootless").mkdir()
    (root / "link").symlink_to(tmp_path / "rootless")
    daemon = start_daemon("--output-roots", f"/nowhere:{root}/")
    refused = {
        tmp_path / "t.csv": "is not below",
        tmp_path / "rootless" / "t.csv": "is not below",
        Path("/t.csv"): "is not below",
        f"{root}/../rootless/t.csv": "leaves the directory",
        root / "link" / "t.csv": "leads to .*rootless.* is not below",
        root / "link" / "deeper" / "t.csv": "leads to .*rootless.* is not below",
    }
    with daemon.raw() as client:
        for path, why in refused.items():
            with pytest.raises(rawclient.Refused, match=why):
                client.open_csv(str(path), job="bad")
    assert os.listdir(tmp_path / "rootless") == []
    for number, path in enumerate([root / "t.csv", root / "a" / "b" / "t.csv"]):
        with daemon.raw() as client:
            client.open_csv(str(path), job=f"good{number}")
            client.call("write", job=1, seq=1, outputs={"x": [1]})
            client.call("end", job=1)
        assert path.read_bytes() == b"x\r\n1\r\n"


# ---- who may come ----

KNOCK = """
import os, socket, sys
path, uid, gid, groups = sys.argv[1], *map(int, sys.argv[2:4]), eval(sys.argv[4])
os.setgroups(groups); os.setgid(gid); os.setuid(uid)
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.settimeout(10)
try:
    s.sendall(bytes.fromhex("00000014 94 00 01 a568656c6c6f 81 a870726f746f636f6c 01"))
    print("in" if s.recv(1) else "out")
except (BrokenPipeError, ConnectionResetError):
    print("out")
"""


def knock(path, uid, gid, groups=()):
    done = subprocess.run(
        [sys.executable, "-c", KNOCK, path, str(uid), str(gid), repr(list(groups))],
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() or done.stderr.splitlines()[-1].split(":")[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_users_and_groups_come_in_by_name(start_daemon, socket_dir, tmp_path):
    import grp
    import pwd

    os.chmod(socket_dir, 0o755)
    games, mail = pwd.getpwnam("games"), grp.getgrnam("mail").gr_gid
    daemon = start_daemon(
        *("--output-roots", tmp_path, "--allow-users", "games,nobody"),
        *("--allow-groups", "mail"),
    )
    assert knock(daemon.socket, games.pw_uid, games.pw_gid) == "in"
    assert knock(daemon.socket, 4711, mail) == "in"
    assert knock(daemon.socket, 4711, 4711, [4712, mail]) == "in"
    assert knock(daemon.socket, 4711, 4711, [4712]) == "out"
    assert "refused a client uid=4711" in daemon.log()
    alone = start_daemon()
    assert knock(alone.socket, games.pw_uid, games.pw_gid) == "PermissionError"


@pytest.mark.parametrize(
    "options, why",
    [
        (["--allow-users", "games"], "need 'output_roots'"),
        (["--allow-users", "no-such-user", "--output-roots", "/tmp"], "no user"),
        (["--allow-groups", "no-such-group", "--output-roots", "/tmp"], "no group"),
        (["--output-roots", "tmp"], "expects absolute paths"),
    ],
)
def test_what_cannot_be_meant_is_refused(socket_dir, options, why):
    done = subprocess.run(
        [
            *(daemons.LIGHTERD, "--foreground", "--socket", f"{socket_dir}/s"),
            *("--plugin-dir", daemons.PLUGIN_DIR, *options),
        ],
        capture_output=True,
        text=True,
        timeout=daemons.DEADLINE_S,
    )
    assert done.returncode in (1, 2)
    assert why in done.stderr
