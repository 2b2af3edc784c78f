"""A disk that does not answer holds up its own jobs, and no others."""

import time

import daemons
import disks
import pytest
from faults import LONG

FROZEN_S = 60 if LONG else 16


@pytest.fixture
def disk(tmp_path):
    disks.need_root()
    disk = disks.Disk(tmp_path / "hung", "ext4")
    yield disk
    disk.done()


def write_for(client, seconds, first):
    """One batch after the other; the `seq` of the next one."""
    until, seq = time.monotonic() + seconds, first
    while time.monotonic() < until:
        client.call("write", job=1, seq=seq, outputs={"x": [seq]})
        seq += 1
    return seq


def table(n_batches):
    return "\r\n".join(["x", *map(str, range(1, n_batches + 1)), ""]).encode()


def test_jobs_on_other_disks_go_on(start_daemon, disk, tmp_path):
    daemon = start_daemon("--threads", "2")
    notices = {"notices": True}
    held = [daemon.raw(notices) for _ in range(4)]  # twice as many as threads
    with daemon.raw() as other:
        for i, client in enumerate(held):
            client.open_csv(disk.path / f"{i}.csv", job=f"held{i}")
            client.call("write", job=1, seq=1, outputs={"x": [1]})
        other.open_csv(tmp_path / "other.csv", job="other")
        alone_s = FROZEN_S / 2
        n_alone = write_for(other, alone_s, 1) - 1

        with disk.frozen():
            ids = [
                client.post("write", job=1, seq=2, outputs={"x": [2]})
                for client in held
            ]
            n_all = write_for(other, FROZEN_S, n_alone + 1) - 1
            job = daemon.job("held0")
            assert (job["waiting"]["reason"], job["waiting"]["path"]) == (
                "disk",
                str(disk.path / "0.csv"),
            )
            assert "has not answered for" in job["waits"]
            assert held[0].notice()["reason"] == "disk"
            assert "for=disk" in daemon.log()
            assert daemon.job("other")["waiting"] is None
            # at a moment of theirs all threads were held, until that was seen
            rate = (n_all - n_alone) / (FROZEN_S - 6)
            assert rate > n_alone / alone_s / 2

        for client, id in zip(held, ids):
            client.answer(id)
            client.call("end", job=1)
            client.close()
        other.call("end", job=1)
    assert (tmp_path / "other.csv").read_bytes() == table(n_all)
    for i in range(4):
        assert (disk.path / f"{i}.csv").read_bytes() == table(2)


def test_the_journals_disk_is_named(start_daemon, disk, tmp_path):
    daemon = start_daemon("--state-dir", str(disk.path / "state"))
    with daemon.raw({"notices": True}) as client:
        client.open_csv(tmp_path / "p.csv")
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        with disk.frozen():
            id = client.post("write", job=1, seq=2, outputs={"x": [2]})
            notice = client.notice()
            assert notice["reason"] == "disk"
            assert notice["path"].startswith(str(disk.path / "state"))
            assert daemon.ask("ping")
        client.answer(id)
        daemons.until(lambda: not daemon.job("p")["waiting"], "it goes on")
        client.call("end", job=1)
    assert (tmp_path / "p.csv").read_bytes() == table(2)
    daemon.end()  # before its disk goes
