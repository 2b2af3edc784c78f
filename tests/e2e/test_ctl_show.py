"""lighterctl show: how far each rank of a job is, what waits, and what failed."""

import os
import time
from types import SimpleNamespace

import daemons
import pytest
import rawclient
from lighterctl import as_json, built, fields, on, rows  # noqa: F401
from test_full_disk import disk, fill  # noqa: F401

import lighterd

KIB = 1024


def show(daemon, *args):
    return as_json("--socket", daemon.socket, "show", *args)


@pytest.fixture
def half_done(daemon, tmp_path):
    """A job of two ranks, one of which has come, said what is to come, and slipped."""
    writers = [
        rawclient.csv_writer(tmp_path / "p.csv"),
        rawclient.file_writer(tmp_path / "texts", name_key="n"),
    ]
    with daemon.raw() as client:
        client.call("open", job="p", writers=writers, rank=1, world_size=2, total=10)
        good = {"x": [1, 2], "v": ["a", "b"], "n": ["one", "two"]}
        client.call("write", job=1, seq=1, outputs=good, blocked_ms=1500)
        client.refusal("write", job=1, seq=2, outputs={"x": [3]})
        yield daemon, client


def test_a_rank_and_each_writer_are_told_in_json(half_done, tmp_path):
    daemon, _ = half_done

    job = show(daemon, "p")

    assert job["state"] == "open" and job["live"] is True
    assert job["total"] is None and job["eta"] is None  # rank 0 has not come
    assert job["blocked"] == 1.5
    (rank,) = job["ranks"]
    assert rank == {
        **{"rank": 1, "state": "connected", "client": "test", "pid": os.getpid()},
        **{"received": 2, "committed": 2, "durable": 0, "total": 10, "samples": 2},
        **{"batches_waiting": 0, "bytes_waiting": 0, "oldest_waiting": 0},
        **{"refused": 1, "blocked": 1.5, "error": rank["error"]},
    }
    csv, file = job["writers"]
    assert (csv["type"], csv["kind"], csv["samples"]) == ("csv", "table", 2)
    assert csv["target"] == str(tmp_path / "p.csv")
    assert csv["bytes_written"] == len(b"1\r\n2\r\n")
    assert (csv["refused"], csv["error"]) == (0, None)
    assert (file["type"], file["kind"], file["samples"]) == ("file", "files", 2)
    assert (file["refused"], file["bytes_written"]) == (1, 2)
    assert file["error"] == rank["error"] and "'v'" in file["error"]


def test_a_job_is_shown_to_people(half_done):
    daemon, _ = half_done

    head, ranks, writers = on(daemon, "show", "p").split("\n\n")

    found = fields(head)
    assert found["name"] == "p (predict)"
    assert found["state"] == "open, 0 of 2 ranks have ended"
    assert found["written"] == "2 samples in 1 batches, 8 B"
    assert (found["blocked"], found["eta"]) == ("1.5 s", "-")
    titles, rank, note = rows(ranks)
    assert rank == [
        *("1", "connected", "2", "2", "0", "0 B", "0.0 s", "1.5 s", "1"),
        f"{os.getpid()} (test)",
    ]
    assert len(titles) == len(rank) and "last error: " in note[0]
    assert [row[0] for row in rows(writers)[:3]] == ["WRITER", "csv", "file"]


def test_the_time_left_is_known_where_every_rank_has_said_its_total(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv", total=1000)
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        job = daemons.until(
            lambda: (job := show(daemon, "p"))["eta"] and job, "it has a pace"
        )

    assert job["total"] == 1000
    assert job["batches_per_second"] > 0
    # other batches may be counted in between, but none came
    assert job["eta"] == pytest.approx(999 / job["batches_per_second"])


def test_what_was_flushed_is_durable(half_done):
    daemon, client = half_done

    client.call("flush", job=1)

    assert show(daemon, "p")["ranks"][0]["durable"] == 2


def test_batches_that_wait_are_counted(start_daemon, disk):  # noqa: F811
    daemon = start_daemon()
    filler = fill(disk)
    with daemon.raw() as client:
        client.open_csv(disk / "t.csv", job="t")
        ids = [
            client.post("write", job=1, seq=1 + i, outputs={"x": ["y" * 80 * KIB]})
            for i in range(3)
        ]
        job = daemons.until(
            lambda: (job := show(daemon, "t"))["waits"] and job, "the disk is full"
        )
        (rank,) = job["ranks"]
        assert (rank["received"], rank["committed"]) == (3, 0)
        assert rank["batches_waiting"] == job["batches_waiting"] == 3
        assert 3 * 80 * KIB < rank["bytes_waiting"] < 3 * 90 * KIB
        assert daemon.ask("status")["batches_waiting"] == 3
        time.sleep(0.1)
        assert show(daemon, "t")["oldest_waiting"] > job["oldest_waiting"] >= 0

        filler.unlink()
        for id in ids:
            client.answer(id)
        job = show(daemon, "t")
        assert (job["batches_waiting"], job["bytes_waiting"]) == (0, 0)
        client.call("abort", job=1)


def test_a_job_that_is_over_keeps_what_its_writers_made(half_done):
    daemon, client = half_done
    client.call("abort", job=1)
    daemons.until(lambda: not show(daemon, "p")["live"], "it is over")

    job = show(daemon, "p", "--stage", "predict")

    assert (job["state"], job["unfinished"], job["ranks"]) == ("aborted", True, [])
    assert [writer["samples"] for writer in job["writers"]] == [2, 2]
    assert [writer["refused"] for writer in job["writers"]] == [0, 1]
    assert "error" in fields(on(daemon, "show", "p").split("\n\n")[0])


def test_the_next_daemon_knows_what_the_writers_made(start_daemon, tmp_path):
    killed = start_daemon()
    with killed.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        client.call("write", job=1, seq=1, outputs={"x": [1, 2]})
        client.refusal("write", job=1, seq=2, outputs={"y": [3]})
        killed.kill()
    next_one = daemons.Daemon(killed.socket)

    (writer,) = show(next_one, "p")["writers"]

    assert (writer["samples"], writer["refused"]) == (2, 1)
    assert writer["bytes_written"] == (tmp_path / "p.tmp_rank0.csv").stat().st_size
    on(next_one, "discard", "p")
    daemons.all_ended([next_one])


def test_a_job_that_is_not_there_is_exit_code_1_and_the_nearest_is_named(half_done):
    daemon, client = half_done
    client.open_csv("/tmp/unused.csv", job="predictions")
    client.call("abort", job=2)

    assert "there is no job 'x'" in on(daemon, "show", "x", expect=1)
    said = on(daemon, "show", "predictoins", expect=1)
    assert "no job 'predictoins'; did you mean 'predictions'?" in said
    said = on(daemon, "show", "p", "--stage", "test", expect=1)
    assert said == "lighterctl: there is no job 'p' (test)\n"
    on(daemon, "discard", "predictions")


@pytest.mark.parametrize("told", ["1", -1, 1.5, 2**41, [1]])
def test_what_a_rank_says_of_its_waiting_is_not_trusted(half_done, told):
    daemon, client = half_done

    refused = client.refusal("write", job=1, seq=3, outputs={"x": [4]}, blocked_ms=told)

    assert (refused.code, "blocked_ms" in refused.message) == ("bad_params", True)
    assert show(daemon, "p")["blocked"] == 1.5
    client.refusal("write", job=1, seq=3, outputs={"x": [4]})  # the seq is still due


def test_time_is_not_counted_twice_where_it_is_told_again(half_done):
    daemon, client = half_done
    for seq, told, all_in_all in ((3, 1500, 1.5), (4, 1400, 1.5), (5, 1700, 1.7)):
        good = {"x": [1], "v": ["c"], "n": [f"n{seq}"]}
        client.call("write", job=1, seq=seq, outputs=good, blocked_ms=told)

        assert show(daemon, "p")["blocked"] == all_in_all


def test_the_python_client_tells_how_long_it_has_waited(start_daemon, tmp_path):
    daemon = start_daemon("--max-client-bytes", str(100 * KIB))
    with lighterd.run(
        lighterd.csv(tmp_path / "t.csv", ["id"]),
        job="t",
        total=60,
        socket=daemon.socket,
    ) as out:
        for _ in range(60):
            out.write({"id": ["x" * 1000] * 90})
        out.flush()
        during = show(daemon, "t")
        blocked = out.blocked_seconds

    assert blocked > 0
    assert during["total"] == 60
    assert show(daemon, "t")["blocked"] == pytest.approx(blocked, abs=0.001)
    assert 0 <= during["blocked"] <= blocked + 0.001


@pytest.mark.parametrize(
    "told, expected",
    [([3, 2], 5), ([float("inf")], None), ([], None), ("x", None), (None, None)],
)
def test_a_trainers_callbacks_tell_the_total(daemon, tmp_path, told, expected):
    from lighterd.callbacks import CsvWriter

    trainer = SimpleNamespace(global_rank=0, world_size=1, num_predict_batches=told)
    writer = CsvWriter(tmp_path / "p.csv", keys=["x"], job="p", socket=daemon.socket)
    writer.setup(trainer, None, "predict")
    writer.on_predict_epoch_start(trainer, None)

    assert show(daemon, "p")["total"] == expected
    writer.on_predict_epoch_end(trainer, None)
    writer.teardown(trainer, None, "predict")
