"""Who waits hears for what, since when and what to do; and not for ever."""

import time

import daemons
import lighterctl
import pytest
import rawclient
from test_full_disk import disk, fill, rows  # noqa: F401

NOTICES = {"notices": True}


def open_rank(client, path, rank, world_size=2, **more):
    return client.open_csv(path, rank=rank, world_size=world_size, **more)


def write(client, seq, value, **more):
    return client.call("write", job=1, seq=seq, outputs={"x": [value]}, **more)


def expect_given_up(refused, ranks="rank 1 of 2", seconds=2):
    assert refused.code == "bad_state"
    assert f"{ranks} did not come ({seconds} s, rank_wait)" in refused.message
    assert "resume" in refused.message and "finalize" in refused.message


def test_hello_says_what_is_new(start_daemon):
    with rawclient.RawClient(start_daemon().socket) as client:
        hello = client.call("hello", protocol=1, notices=True)
    assert {"notices", "rank_wait"} <= set(hello["features"])


def test_a_rank_that_never_comes_is_waited_for_no_longer_than_rank_wait(
    start_daemon, tmp_path
):
    daemon = start_daemon("--rank-wait", "2")
    with daemon.raw() as client:
        open_rank(client, tmp_path / "p.csv", 0)
        write(client, 1, "a")
        began = time.monotonic()
        expect_given_up(client.refusal("end", job=1))
        assert 1.5 < time.monotonic() - began < 10
    job = daemon.until_state("p", "interrupted")
    assert job["unfinished"]
    assert (tmp_path / "p.tmp_rank0.csv").read_bytes() == b"x\r\na\r\n"
    assert not (tmp_path / "p.csv").exists()


def test_the_wait_begins_when_the_last_rank_has_ended(start_daemon, tmp_path):
    """Not while one still works, however long that takes."""
    daemon = start_daemon("--rank-wait", "1")
    with daemon.raw() as one, daemon.raw() as two:
        for rank, client in enumerate((one, two)):
            open_rank(client, tmp_path / "p.csv", rank, world_size=3)
        end = one.post("end", job=1)
        for seq in range(1, 4):
            time.sleep(1)
            write(two, seq, "b")
        expect_given_up(two.refusal("end", job=1), "rank 2 of 3", 1)
        with pytest.raises(rawclient.Refused):
            one.answer(end)


def test_a_job_says_itself_how_long_it_waits(start_daemon, tmp_path):
    daemon = start_daemon()
    with daemon.raw() as client:
        open_rank(client, tmp_path / "p.csv", 0, rank_wait=0.5)
        expect_given_up(client.refusal("end", job=1), seconds=0.5)


def test_zero_is_for_ever(start_daemon, tmp_path):
    daemon = start_daemon("--rank-wait", "1")
    with daemon.raw() as client, daemon.raw() as late:
        open_rank(client, tmp_path / "p.csv", 0, rank_wait=0)
        end = client.post("end", job=1)
        time.sleep(3)
        assert daemon.job("p")["state"] == "open"
        open_rank(late, tmp_path / "p.csv", 1)
        late.call("end", job=1)
        assert client.answer(end)["published"]


def test_a_rank_that_is_late_still_goes_on_with_the_id(start_daemon, tmp_path):
    """It was there before the daemon died, and comes after its job was given up."""
    killed = start_daemon()
    path = tmp_path / "p.csv"
    with killed.raw() as one, killed.raw() as two:
        for rank, client in enumerate((one, two)):
            id = open_rank(client, path, rank)["id"]
            write(client, 1, "ab"[rank])
        killed.kill()
    daemon = daemons.Daemon(killed.socket, "--rank-wait", "1")
    back = {"resume": True, "id": id, "answered": 1, "handle": 1}
    with daemon.raw() as one:
        open_rank(one, path, 0, **back)
        expect_given_up(one.refusal("end", job=1), seconds=1)
    daemon.until_state("p", "interrupted")
    with daemon.raw() as one, daemon.raw() as two:
        assert open_rank(two, path, 1, **back)["seq"] == 1
        assert open_rank(one, path, 0, **back)["ended"]
        end = two.post("end", job=1)
        assert one.call("end", job=1)["published"]
        assert two.answer(end)["published"]
    assert path.read_bytes() == b"x\r\na\r\nb\r\n"
    daemons.all_ended([daemon])


def test_who_waits_for_the_next_epoch_is_told_and_removes_nothing(
    start_daemon, tmp_path
):
    daemon = start_daemon("--rank-wait", "2")
    with daemon.raw() as client:
        open_rank(client, tmp_path / "p.csv", 0)
        write(client, 1, "a")
        client.call("end", job=1, wait=False)
        writers = [rawclient.csv_writer(tmp_path / "p.csv")]
        expect_given_up(
            client.refusal("open", job="p", rank=0, world_size=2, writers=writers)
        )
    assert daemon.until_state("p", "interrupted")["unfinished"]
    assert (tmp_path / "p.tmp_rank0.csv").read_bytes() == b"x\r\na\r\n"


def test_a_client_that_asked_for_it_is_told_and_so_is_everybody_else(
    start_daemon, tmp_path
):
    """After ten seconds, in one wording; and when it is over."""
    daemon = start_daemon()
    path = tmp_path / "p.csv"
    with daemon.raw(NOTICES) as one, daemon.raw() as silent, daemon.raw() as late:
        open_rank(one, path, 0, world_size=3)
        open_rank(silent, path, 1, world_size=3)
        silent.call("end", job=1, wait=False)
        end = one.post("end", job=1)

        notice = one.notice()
        assert (notice["job"], notice["reason"], notice["ranks"]) == (1, "ranks", [2])
        assert notice["path"] is notice["free_bytes"] is None
        assert 9 < notice["seconds"] < 20
        begin = "job 'p' waits for rank 2 of 3, which has not opened the job ("
        assert notice["message"].startswith(begin)
        assert "given up after 1800 s (rank_wait): start that rank" in notice["message"]
        assert notice["message"] in daemon.log()

        job = daemon.job("p")
        assert job["waits"].startswith(begin) and job["missing"] == [2]
        assert job["waiting"]["reason"] == "ranks" and job["waiting"]["ranks"] == [2]
        assert daemon.ask("show", job="p")["waiting"]["ranks"] == [2]
        for verb in (["jobs"], ["show", "p"], ["top", "--once"]):
            assert begin[:40] in lighterctl.on(daemon, *verb)
        assert "lacks ranks" in lighterctl.on(daemon, "top", "--once")
        with lighterctl.Running(daemon, "watch", "p") as watch:
            assert watch.line().startswith(begin)

        open_rank(late, path, 2, world_size=3)
        over = one.notice()
        assert (over["job"], over["reason"]) == (1, None)
        assert daemon.job("p")["waiting"] is None
        late.call("end", job=1)
        assert one.answer(end)["published"]
        assert not silent.notices and not late.notices


def test_a_full_disk_is_told_at_once_with_its_path(start_daemon, disk):  # noqa: F811
    daemon = start_daemon()
    with daemon.raw(NOTICES) as client:
        client.open_csv(disk / "t.csv")
        filler = fill(disk)
        began = time.monotonic()
        id = client.post("write", job=1, seq=1, outputs={"x": rows("b")})
        notice = client.notice()
        assert time.monotonic() - began < 5
        assert (notice["job"], notice["reason"], notice["ranks"]) == (1, "space", [])
        assert notice["path"] == str(disk / "t.csv")
        assert 0 <= notice["free_bytes"] <= 64 * 1024
        assert "No space left on device" in notice["message"]
        assert "make room; after 300 s its batches fail" in notice["message"]
        assert notice["message"] in daemon.log()
        assert "disk full" in lighterctl.on(daemon, "top", "--once")
        assert "waits for space" in lighterctl.on(daemon, "show", "p")

        filler.unlink()
        client.answer(id)
        assert client.notice()["reason"] is None
        client.call("end", job=1)


def test_it_goes_on_only_where_there_is_space(start_daemon, disk):  # noqa: F811
    """Each second it is tried again, and that is no end of the wait."""
    daemon = start_daemon()
    with daemon.raw(NOTICES) as client:
        client.open_csv(disk / "t.csv")
        filler = fill(disk)
        id = client.post("write", job=1, seq=1, outputs={"x": rows("b")})
        assert client.notice()["reason"] == "space"
        for _ in range(30):
            time.sleep(0.1)
            assert daemon.ask("show", job="p")["waiting"]["reason"] == "space"
        client.call("ping")
        assert not client.notices
        assert "waits no more" not in daemon.log()

        filler.unlink()
        client.answer(id)
        daemons.until(lambda: "waits no more" in daemon.log(), "it goes on")
        client.call("ping")
    assert [notice["reason"] for notice in client.notices] == [None]
    assert daemon.log().count("waits job=") == 1


def test_the_last_word_is_that_it_goes_on(start_daemon, tmp_path):
    """Of the wait for the epoch before, too; before the answer that ends it."""
    daemon = start_daemon("--rank-wait", "1000")
    path = tmp_path / "p.csv"
    with daemon.raw(NOTICES) as one, daemon.raw() as two:
        for rank, client in enumerate((one, two)):
            open_rank(client, path, rank)
        one.call("end", job=1, wait=False)
        writers = [rawclient.csv_writer(path)]
        more = {"rank": 0, "world_size": 2, "writers": writers}
        opened = one.post("open", job="p", **more)

        notice = one.notice()
        assert (notice["job"], notice["reason"], notice["ranks"]) == (2, "epoch", [1])
        assert "rank 1 of 2" in notice["message"]
        assert "has not ended yet" in notice["message"]
        assert daemon.job("p")["waiting"] is None  # the job itself goes on

        two.call("abort", job=1)
        with pytest.raises(rawclient.Refused, match="rank 1 aborted"):
            one.answer(opened)
        (over,) = one.notices  # it came before the answer
        assert (over["job"], over["reason"]) == (2, None)
