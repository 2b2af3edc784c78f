"""A disk that is full: batches wait for space, and none is lost or doubled."""

import errno
import os
import socket
import subprocess
import time

import daemons
import pytest
import rawclient

KIB = 1024


@pytest.fixture
def disk(tmp_path):
    """A disk of one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk, free=64 * KIB):
    """Leave room for `free` bytes; whoever removes what is returned makes space."""
    filler = disk / "filler"
    stat = os.statvfs(disk)
    filler.write_bytes(bytes(stat.f_bavail * stat.f_frsize - free))
    return filler


def rows(letter, count=8):
    """More than fill() leaves room for."""
    return [letter * 20 * KIB] * count


def waits(daemon):
    return "waits for space" in daemon.log()


def is_answered(client, id, within_s=0.5):
    client.socket.settimeout(within_s)
    try:
        client.answer(id)
    except socket.timeout:
        return False
    finally:
        client.socket.settimeout(daemons.DEADLINE_S)
    return True


def test_shutdown_waits_no_longer_than_it_is_told(start_daemon, disk):
    daemon = start_daemon("--drain", "600")
    fill(disk)
    with daemon.raw() as client:
        client.open_csv(disk / "t.csv", job="t")
        client.post("write", job=1, seq=1, outputs={"x": rows("a")})
        daemons.until(lambda: waits(daemon), "the disk is full")
        since = time.monotonic()
        shutdown = [daemons.LIGHTERCTL, "--socket", daemon.socket, "shutdown"]
        subprocess.run([*shutdown, "--drain", "1"], check=True, capture_output=True)

        assert 0.5 < time.monotonic() - since < 10
    assert daemon.wait() == 1  # it has not written all
    assert "not all was written within 1 s" in daemon.log()


def test_a_batch_waits_for_space_and_others_behind_it(start_daemon, disk):
    daemon = start_daemon()
    with daemon.raw() as client:
        client.open_csv(disk / "t.csv")
        client.call("write", job=1, seq=1, outputs={"x": ["first"]})
        filler = fill(disk)
        second = client.post("write", job=1, seq=2, outputs={"x": rows("b")})
        third = client.post("write", job=1, seq=3, outputs={"x": ["third"]})
        daemons.until(lambda: waits(daemon), "the batch waits")
        assert not is_answered(client, second)
        assert (disk / "t.tmp_rank0.csv").read_bytes() == b"x\r\nfirst\r\n"
        assert daemon.ask("ping")

        filler.unlink()
        client.answer(second)
        client.answer(third)
        client.call("end", job=1)
    expected = ["x", "first", *rows("b"), "third", ""]
    assert (disk / "t.csv").read_bytes() == "\r\n".join(expected).encode()
    assert daemon.log().count("waits for space") == 1


def test_files_wait_too_and_none_is_there_twice(start_daemon, disk):
    daemon = start_daemon("--threads", "4")
    writer = rawclient.file_writer(disk / "d", name_key="n")
    names = [f"f{i}" for i in range(8)]
    with daemon.raw() as client:
        client.call("open", job="p", writers=[writer])
        filler = fill(disk)
        outputs = {"v": rows("b"), "n": names}
        id = client.post("write", job=1, seq=1, outputs=outputs)
        daemons.until(lambda: waits(daemon), "the batch waits")
        assert not is_answered(client, id)
        filler.unlink()
        client.answer(id)
        client.call("end", job=1)
    assert sorted(os.listdir(disk / "d")) == [f"{name}.txt" for name in names]
    assert {path.stat().st_size for path in (disk / "d").iterdir()} == {20 * KIB}


@pytest.mark.parametrize("full_wait, least_s", [(0, 0), (1, 1)])
def test_a_batch_fails_when_it_has_waited_long_enough(
    start_daemon, disk, full_wait, least_s
):
    daemon = start_daemon("--full-wait", str(full_wait))
    with daemon.raw() as client:
        client.open_csv(disk / "t.csv")
        fill(disk)
        began = time.monotonic()
        refused = client.refusal("write", job=1, seq=1, outputs={"x": rows("b")})
        assert time.monotonic() - began >= least_s
        assert refused.code == "os" and refused.details["errno"] == errno.ENOSPC
        client.call("write", job=1, seq=2, outputs={"x": ["small"]})
        client.call("end", job=1)
    assert (disk / "t.csv").read_bytes() == b"x\r\nsmall\r\n"


def test_a_batch_waits_where_the_journals_disk_is_full(start_daemon, disk, tmp_path):
    daemon = start_daemon("--state-dir", str(disk / "state"))
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        filler = fill(disk, free=0)
        ids = []
        for seq in range(1, 201):  # more than is left of the journal's page
            outputs = {"x": [seq]}
            ids.append(client.post("write", job=1, seq=seq, outputs=outputs))
        daemons.until(lambda: waits(daemon), "a batch waits")
        filler.unlink()
        for id in ids:
            client.answer(id)
        client.call("end", job=1)
    lines = (tmp_path / "t.csv").read_text().split()
    assert lines == ["x", *map(str, range(1, 201))]


def test_a_daemon_that_dies_while_a_batch_waits_has_not_written_it(start_daemon, disk):
    killed = start_daemon()
    with killed.raw() as client:
        opened = client.open_csv(disk / "t.csv")
        client.call("write", job=1, seq=1, outputs={"x": ["first"]})
        filler = fill(disk)
        client.post("write", job=1, seq=2, outputs={"x": rows("b")})
        daemons.until(lambda: waits(killed), "the batch waits")
        killed.kill()
    filler.unlink()
    daemon = daemons.Daemon(killed.socket)
    with daemon.raw() as client:
        resume = {"resume": True, "id": opened["id"], "answered": 1, "handle": 1}
        again = client.open_csv(disk / "t.csv", **resume)
        assert (again["seq"], again["samples"]) == (1, 1)
        client.call("write", job=1, seq=2, outputs={"x": rows("b")})
        client.call("end", job=1)
    expected = ["x", "first", *rows("b"), ""]
    assert (disk / "t.csv").read_bytes() == "\r\n".join(expected).encode()
    daemons.all_ended([daemon])


def test_a_publication_that_finds_no_space_can_be_finalized(start_daemon, disk):
    """Two shards are joined by copying the second, and there is no room for that."""
    daemon = start_daemon()
    with daemon.raw() as one, daemon.raw() as two:
        for rank, client in enumerate((one, two)):
            client.open_csv(disk / "t.csv", rank=rank, world_size=2)
            outputs = {"x": rows("ab"[rank])}
            client.call("write", job=1, seq=1, outputs=outputs)
        filler = fill(disk)
        end = one.post("end", job=1)
        refused = two.refusal("end", job=1)
        assert refused.details["errno_name"] == "ENOSPC"
        with pytest.raises(rawclient.Refused):
            one.answer(end)
    assert daemon.job("p")["unfinished"] and daemon.job("p")["state"] == "failed"
    assert not (disk / "t.csv").exists()

    filler.unlink()
    assert daemon.ask("finalize", job="p") == {}
    expected = ["x", *rows("a"), *rows("b"), ""]
    assert (disk / "t.csv").read_bytes() == "\r\n".join(expected).encode()
