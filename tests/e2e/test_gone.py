"""Processes that are killed: what they have sent does not wait, and their place is free."""

import contextlib
import os
import select
import signal
import time

import daemons
import pytest
import rawclient
from test_full_disk import disk, fill, rows, waits  # noqa: F401


@contextlib.contextmanager
def process(work, *args):
    """A child that does its work, says so, and stays; killed at the latest at the end."""
    ready, ready_in_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            kept = work(*args)  # noqa: F841: its connections stay open
            os.write(ready_in_child, b".")
            signal.pause()
            status = 0
        os._exit(status)
    os.close(ready_in_child)
    try:
        assert select.select([ready], [], [], daemons.DEADLINE_S)[0]
        assert os.read(ready, 1) == b"."
        yield pid
    finally:
        os.close(ready)
        kill(pid)


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def hand_over(daemon, path, n_batches, end=False):
    """Batches for which there is no space."""
    client = daemon.raw()
    client.open_csv(path)
    for seq in range(1, n_batches + 1):
        client.post("write", job=1, seq=seq, outputs={"x": rows("b")})
    if end:
        client.post("end", job=1)
    daemons.until(lambda: waits(daemon), "the disk is full")
    return client


def holds_until_killed(daemon, path, connections):
    """Rank 0, and a child that has the socket as well, but not our memory of it."""
    client = daemon.raw()
    client.open_csv(path)
    client.call("write", job=1, seq=1, outputs={"x": ["first"]})
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    os.write(connections, b"%d\n" % child)
    return client


def test_batches_of_a_killed_process_do_not_wait_for_space(
    start_daemon, disk  # noqa: F811
):
    """Nor does who throws away what it left."""
    daemon = start_daemon("--max-client-bytes", str(1 << 20))  # not all is read
    fill(disk)
    with process(hand_over, daemon, disk / "t.csv", 7) as pid:
        kill(pid)
        began = time.monotonic()
        assert daemon.ask("discard", job="p") == {}
        assert time.monotonic() - began < 10
    assert daemon.job("p") is None
    assert not (disk / "t.tmp_rank0.csv").exists()


def test_finalize_says_what_a_job_waits_for(
    start_daemon, disk  # noqa: F811
):
    daemon = start_daemon()
    fill(disk)
    with process(hand_over, daemon, disk / "t.csv", 3) as pid:
        with daemon.raw() as client:
            refused = client.refusal("finalize", job="p")
        assert refused.code == "bad_state"
        assert "waits for space" in refused.message
        kill(pid)
        daemon.until_state("p", "interrupted")


def test_an_end_that_was_not_heard_does_not_publish_less(
    start_daemon, disk  # noqa: F811
):
    """It ended its rank, and was killed before its batches were refused."""
    daemon = start_daemon()
    fill(disk)
    with process(hand_over, daemon, disk / "t.csv", 2, True) as pid:
        kill(pid)
        job = daemon.until_state("p", "interrupted")
    assert "rank 0 vanished, and a batch was refused" in job["error"]
    assert job["unfinished"] and not (disk / "t.csv").exists()


def test_discard_wins_while_a_rank_is_being_closed(start_daemon, disk):  # noqa: F811
    daemon = start_daemon()
    fill(disk)
    with hand_over(daemon, disk / "t.csv", 3, end=True) as client:
        began = time.monotonic()
        assert daemon.ask("discard", job="p") == {}
        assert time.monotonic() - began < 10
        id = client._last_id
        with pytest.raises(rawclient.Refused, match="was discarded"):
            client.answer(id)
    assert daemon.job("p") is None


def test_a_live_rank_is_not_discarded(start_daemon, tmp_path):
    daemon = start_daemon()
    with daemon.raw() as client, daemon.raw() as other:
        client.open_csv(tmp_path / "t.csv")
        refused = other.refusal("discard", job="p")
        assert refused.code == "bad_state" and "is live" in refused.message
        client.call("abort", job=1)


def test_the_wait_for_space_is_spent_once_and_not_for_each_batch(
    start_daemon, disk  # noqa: F811
):
    daemon = start_daemon("--full-wait", "2")
    with daemon.raw() as client:
        client.open_csv(disk / "t.csv")
        filler = fill(disk)
        began = time.monotonic()
        ids = [
            client.post("write", job=1, seq=seq, outputs={"x": rows("b")})
            for seq in range(1, 6)
        ]
        for id in ids:
            with pytest.raises(rawclient.Refused, match="No space left"):
                client.answer(id)
        assert 1.5 < time.monotonic() - began < 6

        filler.unlink()  # one that succeeds makes the next one wait again
        client.call("write", job=1, seq=6, outputs={"x": ["small"]})
        filler = fill(disk)
        began = time.monotonic()
        client.refusal("write", job=1, seq=7, outputs={"x": rows("b")})
        assert time.monotonic() - began > 1.5
        client.call("end", job=1)
    assert (disk / "t.csv").read_bytes() == b"x\r\nsmall\r\n"


def test_a_killed_rank_whose_child_lives_keeps_no_place(start_daemon, tmp_path):
    daemon = start_daemon()
    children, children_in_child = os.pipe()
    path = tmp_path / "t.csv"
    with process(holds_until_killed, daemon, path, children_in_child) as pid:
        child = int(os.read(children, 100))
        try:
            with daemon.raw() as client:
                writers = [rawclient.csv_writer(path)]
                taken = client.refusal("open", job="p", writers=writers)
                assert "is taken by test" in taken.message
                kill(pid)
                opened = client.open_csv(path, resume=True)
                assert opened["seq"] == 1
                handle = opened["handle"]
                second = {"x": ["second"]}
                client.call("write", job=handle, seq=2, outputs=second)
                client.call("end", job=handle)
        finally:
            os.kill(child, signal.SIGKILL)
            os.close(children)
            os.close(children_in_child)
    assert path.read_bytes() == b"x\r\nfirst\r\nsecond\r\n"
