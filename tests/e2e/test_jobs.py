"""The life of a job: ranks come, die, give up, come again; its outputs are whole."""

import signal

import daemons
import judges
import pytest
import ranks
import rawclient

import lighterd

TABLE = """
    with lighterd.run(lighterd.csv("t.csv", ["id"])) as out:
        say("open")
        wait()
        out.write({"id": [f"{rank}-{i}" for i in range(3)]})
        say("written")
        wait()
    say("published" if os.path.exists("t.csv") else "not there")
"""


def failing(code):
    """A script that says which exception `code` raises."""
    indented = "\n".join("    " + line for line in code.strip("\n").splitlines())
    handler = "except BaseException as e:\n    say(type(e).__name__); say(e)"
    return f"try:\n{indented}\n{handler}"


def is_gone(process):
    process.wait()
    return process.returncode == -signal.SIGKILL


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_table(daemon, path, values=(1,), **more):
    with lighterd.run(lighterd.csv(path, ["x"]), socket=daemon.socket, **more) as out:
        out.write({"x": list(values)})


# ---- ranks ----


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_rank_processes_make_one_table(daemon, start_ranks, in_tmp, order):
    both = start_ranks(TABLE, 2, socket=daemon.socket, numbers=order)
    for said in ("open", "written"):
        for rank in both:
            assert rank.hear() == said
            if said == "open":
                rank.go_on()
    both[0].go_on()
    daemon.until_state(daemon.ask("jobs")["jobs"][0]["name"], "open")
    assert not (in_tmp / "t.csv").exists()
    both[1].go_on()

    assert [rank.finish() for rank in both] == [["published"], ["published"]]
    expected = b"id\r\n" + b"".join(
        b"%d-%d\r\n" % (r, i) for r in (0, 1) for i in range(3)
    )
    assert judges.files(in_tmp) == {"t.csv": expected}


def test_a_rank_may_come_when_the_other_has_ended(daemon, tmp_path):
    path = tmp_path / "t.csv"
    with daemon.raw() as first, daemon.raw() as second:
        first.open_csv(path, rank=1, world_size=2)
        first.call("write", job=1, seq=1, outputs={"x": ["b"]})
        ended = first.post("end", job=1)
        second.open_csv(path, rank=0, world_size=2)
        second.call("write", job=1, seq=1, outputs={"x": ["a"]})
        result = second.call("end", job=1)

        assert (
            first.answer(ended) == result == {"published": True, "paths": [str(path)]}
        )
    assert path.read_bytes() == b"x\r\na\r\nb\r\n"


def test_who_does_not_wait_may_leave_before_the_others_come(daemon, tmp_path):
    path = tmp_path / "t.csv"
    with daemon.raw() as first:
        first.open_csv(path, rank=0, world_size=2)
        first.call("write", job=1, seq=1, outputs={"x": ["a"]})
        assert first.call("end", job=1, wait=False) == {"published": False, "paths": []}
    with daemon.raw() as second:
        second.open_csv(path, rank=1, world_size=2)
        second.call("write", job=1, seq=1, outputs={"x": ["b"]})
        second.call("end", job=1)

    assert path.read_bytes() == b"x\r\na\r\nb\r\n"


def test_a_job_of_one_rank_without_waiting_is_published_all_the_same(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        client.call("end", job=1, wait=False)
        daemon.until_state("p", "published")

    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n1\r\n"


def test_a_rank_that_is_taken_is_refused_and_told_by_whom(daemon, tmp_path):
    with daemon.raw() as first, daemon.raw() as second:
        first.open_csv(tmp_path / "t.csv", rank=0, world_size=2)
        refused = second.refusal(
            "open",
            job="p",
            rank=0,
            world_size=2,
            writers=[rawclient.csv_writer(tmp_path / "t.csv")],
        )

        assert refused.code == "bad_state"
        assert "rank 0" in refused.message and "taken" in refused.message
        first.call("abort", job=1)


@pytest.mark.parametrize(
    "writers, world_size, expected",
    [
        ([rawclient.csv_writer("t.csv", "ab")], 2, "'b'"),
        ([rawclient.csv_writer("u.csv", "a")], 2, "/u.csv"),
        ([rawclient.csv_writer("t.csv", "a")], 3, "world_size"),
        (
            [rawclient.csv_writer("t.csv", "a"), rawclient.file_writer("d")],
            2,
            "writers",
        ),
        ([rawclient.file_writer("t.csv")], 2, "file"),
    ],
)
def test_a_rank_that_brings_something_else_is_told_what_differs(
    daemon, tmp_path, writers, world_size, expected
):
    with daemon.raw() as first, daemon.raw() as second:
        common = {"job": "p", "cwd": str(tmp_path)}
        same = [rawclient.csv_writer("t.csv", "a")]
        first.call("open", **common, rank=0, world_size=2, writers=same)
        refused = second.refusal(
            "open", **common, rank=1, world_size=world_size, writers=writers
        )

        assert refused.code == "bad_params" and expected in refused.message
        second.call("open", **common, rank=1, world_size=2, writers=same)
        first.call("abort", job=1)


def test_the_same_paths_may_be_told_in_different_ways(daemon, tmp_path):
    with daemon.raw() as first, daemon.raw() as second:
        first.open_csv("t.csv", rank=0, world_size=2, cwd=str(tmp_path))
        second.open_csv(f"{tmp_path}/.//t.csv", rank=1, world_size=2)
        ended = first.post("end", job=1)
        second.call("end", job=1)
        first.answer(ended)

    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n"


# ---- what goes wrong ----


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_leaves_the_job_interrupted(daemon, start_ranks, in_tmp, victim):
    (in_tmp / "t.csv").write_text("old")
    both = start_ranks(failing(TABLE.replace("\n    ", "\n")), 2, socket=daemon.socket)
    for rank in both:
        assert rank.hear() == "open"
        rank.go_on()
        assert rank.hear() == "written"
    name = daemon.ask("jobs")["jobs"][0]["name"]

    both[victim].process.kill()
    both[1 - victim].go_on()
    said = both[1 - victim].finish()

    assert is_gone(both[victim].process)
    assert said[0] == "StateError"
    assert f"rank {victim} vanished" in said[1] and "stays aside" in said[1]
    job = daemon.until_state(name, "interrupted")
    assert f"rank {victim}" in job["error"]
    shards = {
        f"t.tmp_rank{r}.csv": b"id\r\n"
        + b"".join(b"%d-%d\r\n" % (r, i) for i in range(3))
        for r in (0, 1)
    }
    assert judges.files(in_tmp) == {"t.csv": b"old", **shards}


def test_who_waits_for_the_others_is_told_when_one_vanishes(daemon, tmp_path):
    with daemon.raw() as first, daemon.raw() as second:
        first.open_csv(tmp_path / "t.csv", rank=0, world_size=2)
        second.open_csv(tmp_path / "t.csv", rank=1, world_size=2)
        ended = first.post("end", job=1)
        second.close()

        with pytest.raises(rawclient.Refused, match="rank 1 vanished") as refused:
            first.answer(ended)
    assert refused.value.code == "bad_state"


def test_a_rank_may_still_write_when_another_is_lost_and_end_tells(daemon, tmp_path):
    with daemon.raw() as first, daemon.raw() as second:
        first.open_csv(tmp_path / "t.csv", rank=0, world_size=2)
        second.open_csv(tmp_path / "t.csv", rank=1, world_size=2)
        second.call("abort", job=1, reason="out of memory")
        first.call("write", job=1, seq=1, outputs={"x": [1]})

        refused = first.refusal("end", job=1)

    assert refused.code == "bad_state" and "out of memory" in refused.message


def test_an_exception_in_the_loop_aborts_and_keeps_what_was_written_aside(
    daemon, tmp_path
):
    (tmp_path / "t.csv").write_text("old")
    writers = [
        lighterd.csv(tmp_path / "t.csv", ["v"]),
        lighterd.file(tmp_path / "files", "v", "text"),
    ]

    with pytest.raises(ZeroDivisionError):
        with lighterd.run(*writers, job="mine", socket=daemon.socket) as out:
            out.write({"v": ["a"]})
            1 / 0

    job = daemon.until_state("mine", "aborted")
    assert "ZeroDivisionError: division by zero" in job["error"]
    assert judges.files(tmp_path) == {
        "t.csv": b"old",
        "t.tmp_rank0.csv": b"v\r\na\r\n",
        ".lighterd.mine.predict.1/0.txt": b"a",
    }


def test_after_an_abort_the_next_run_starts_anew_and_is_warned(
    daemon, tmp_path, caplog
):
    writers = [
        lighterd.csv(tmp_path / "t.csv", ["v"]),
        lighterd.file(tmp_path / "files", "v", "text", "v"),
    ]
    with pytest.raises(KeyboardInterrupt):
        with lighterd.run(*writers, job="mine", socket=daemon.socket) as out:
            out.write({"v": ["old1", "old2"]})
            raise KeyboardInterrupt
    with lighterd.run(*writers, job="mine", socket=daemon.socket) as out:
        out.write({"v": ["new"]})

    assert judges.files(tmp_path) == {"t.csv": b"v\r\nnew\r\n", "files/new.txt": b"new"}
    assert "KeyboardInterrupt" in caplog.text and "replaced" in caplog.text


def test_after_a_killed_rank_the_next_run_is_published(daemon, start_ranks, in_tmp):
    for attempt in range(2):
        both = start_ranks(TABLE, 2, socket=daemon.socket)
        for rank in both:
            assert rank.hear() == "open"
            rank.go_on()
            assert rank.hear() == "written"
        if attempt == 0:
            for rank in both:
                rank.process.kill()
                assert is_gone(rank.process)
        else:
            for rank in both:
                rank.go_on()
            assert [rank.finish() for rank in both] == [["published"], ["published"]]

    assert list(judges.files(in_tmp)) == ["t.csv"]


def test_while_a_rank_still_holds_a_lost_job_it_cannot_be_opened(daemon, tmp_path):
    with daemon.raw() as first, daemon.raw() as second:
        first.open_csv(tmp_path / "t.csv", rank=0, world_size=2)
        second.open_csv(tmp_path / "t.csv", rank=1, world_size=2)
        second.call("abort", job=1)
        writers = [rawclient.csv_writer(tmp_path / "t.csv")]
        refused = second.refusal("open", job="p", rank=1, world_size=2, writers=writers)
        assert refused.code == "bad_state"

        first.refusal("end", job=1)
        opened = second.open_csv(tmp_path / "t.csv", rank=1, world_size=2)
        second.call("abort", job=opened["handle"])


def test_a_rank_that_ended_elsewhere_and_comes_again_begins_anew(daemon, tmp_path):
    """The other rank never came, and the whole is started again."""
    path = tmp_path / "t.csv"
    with daemon.raw() as first:
        first.open_csv(path, rank=0, world_size=2)
        first.call("write", job=1, seq=1, outputs={"x": ["old"]})
        first.call("end", job=1, wait=False)
    with daemon.raw() as again, daemon.raw() as other:
        again.open_csv(path, rank=0, world_size=2)
        other.open_csv(path, rank=1, world_size=2)
        again.call("write", job=1, seq=1, outputs={"x": ["new"]})
        ended = again.post("end", job=1)
        other.call("end", job=1)
        again.answer(ended)

    assert path.read_bytes() == b"x\r\nnew\r\n"


def test_a_publication_that_fails_keeps_the_shards_and_says_why(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        (tmp_path / "t.csv").mkdir()
        refused = client.refusal("end", job=1)

    assert refused.code == "os" and refused.details["errno_name"] == "EISDIR"
    assert daemon.job("p")["state"] == "failed"
    assert judges.files(tmp_path) == {"t.tmp_rank0.csv": b"x\r\n1\r\n"}


def test_a_write_that_the_system_refuses_is_an_error_of_its_batch_alone(
    start_daemon, tmp_path
):
    """Half of it is written, and taken back."""
    daemon = start_daemon(prefix=("prlimit", "--fsize=100000"))
    (tmp_path / "t.csv").write_text("old")

    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        client.call("write", job=1, seq=1, outputs={"x": ["a" * 60_000]})
        refused = client.refusal("write", job=1, seq=2, outputs={"x": ["b" * 60_000]})
        client.call("write", job=1, seq=3, outputs={"x": ["c" * 30_000]})

        assert refused.code == "os" and refused.details["errno_name"] == "EFBIG"
        assert (tmp_path / "t.csv").read_text() == "old"
        client.call("end", job=1)
    rows = (tmp_path / "t.csv").read_bytes()
    assert rows == b"x\r\n" + b"a" * 60_000 + b"\r\n" + b"c" * 30_000 + b"\r\n"


# ---- several ----


def test_epochs_follow_one_another_on_one_connection(daemon, tmp_path):
    path = tmp_path / "t.csv"
    with daemon.raw() as client:
        for epoch in range(1, 6):
            opened = client.open_csv(path)
            assert opened["seq"] == 0 and len(opened["warnings"]) == (epoch > 1)
            client.call("write", job=opened["handle"], seq=1, outputs={"x": [epoch]})
            client.call("end", job=opened["handle"])
            assert path.read_bytes() == b"x\r\n%d\r\n" % epoch

    assert daemon.ask("status")["jobs_published"] == 5


def test_a_rank_that_is_early_waits_for_the_epoch_before(daemon, tmp_path):
    path = tmp_path / "t.csv"
    with daemon.raw() as fast, daemon.raw() as slow:
        fast.open_csv(path, rank=0, world_size=2)
        slow.open_csv(path, rank=1, world_size=2)
        fast.call("end", job=1, wait=False)
        writers = [rawclient.csv_writer(path)]
        early = fast.post("open", job="p", rank=0, world_size=2, writers=writers)
        slow.call("write", job=1, seq=1, outputs={"x": ["first"]})
        slow.call("end", job=1)

        assert fast.answer(early)["handle"] == 2
        assert path.read_bytes() == b"x\r\nfirst\r\n"
        slow.open_csv(path, rank=1, world_size=2)
        fast.call("write", job=2, seq=1, outputs={"x": ["second"]})
        ended = fast.post("end", job=2)
        slow.call("end", job=2)
        fast.answer(ended)

    assert path.read_bytes() == b"x\r\nsecond\r\n"


def test_two_jobs_on_one_connection_do_not_mix(daemon, tmp_path):
    with daemon.raw() as client:
        handles = [
            client.open_csv(tmp_path / f"{name}.csv", job=name)["handle"]
            for name in "ab"
        ]
        for seq in (1, 2, 3):
            for handle, name in zip(handles, "ab"):
                client.post(
                    "write", job=handle, seq=seq, outputs={"x": [f"{name}{seq}"]}
                )
        for handle in handles:
            client.call("end", job=handle)

    for name in "ab":
        rows = (tmp_path / f"{name}.csv").read_text().split()
        assert rows == ["x", f"{name}1", f"{name}2", f"{name}3"]


def test_many_jobs_of_many_clients_at_once(daemon, tmp_path):
    ranks.in_threads(
        lambda i: run_table(daemon, tmp_path / f"{i}" / "t.csv", range(i, i + 500)),
        range(12),
    )

    for i in range(12):
        expected = judges.table(["x"], [{"x": list(range(i, i + 500))}])
        assert (tmp_path / f"{i}/t.csv").read_bytes() == expected


def test_the_same_name_in_two_directories_is_two_jobs(daemon, tmp_path):
    with lighterd.run(
        lighterd.csv(tmp_path / "a/t.csv", ["x"]), socket=daemon.socket
    ) as out:
        run_table(daemon, tmp_path / "b/t.csv")
        out.write({"x": [2]})

    assert (tmp_path / "a/t.csv").read_bytes() == b"x\r\n2\r\n"
    assert (tmp_path / "b/t.csv").read_bytes() == b"x\r\n1\r\n"


def test_the_same_name_of_another_stage_is_another_job(daemon, tmp_path):
    with daemon.raw() as client:
        for handle, stage in enumerate(("predict", "validate", "test", "fit"), 1):
            client.open_csv(tmp_path / f"{stage}.csv", stage=stage)
        for handle in range(1, 5):
            client.call("end", job=handle)

    assert len(judges.files(tmp_path)) == 4


def test_a_table_that_another_job_writes_is_refused(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv", job="a")
        with pytest.raises(lighterd.StateError, match="being written by job 'a'"):
            run_table(daemon, tmp_path / "t.csv")
        client.call("end", job=1)

    run_table(daemon, tmp_path / "t.csv")


def test_two_writers_of_a_job_may_not_make_the_same_table(daemon, tmp_path):
    same = lighterd.csv(tmp_path / "t.csv", ["x"])

    with pytest.raises(ValueError, match="two writers"):
        with lighterd.run(same, same, socket=daemon.socket):
            pass


def test_jobs_tells_what_is_and_was(daemon, tmp_path):
    run_table(daemon, tmp_path / "a.csv", range(5), job="a")
    with daemon.raw() as client:
        client.open_csv(tmp_path / "b.csv", job="b", rank=0, world_size=2)
        client.call("write", job=1, seq=1, outputs={"x": [1, 2]})
        a, b = daemon.ask("jobs")["jobs"]
        client.call("abort", job=1)

    assert (a["name"], a["state"], a["samples"], a["batches"]) == (
        "a",
        "published",
        5,
        1,
    )
    assert a["targets"] == [str(tmp_path / "a.csv")] and a["error"] is None
    assert (b["state"], b["world_size"], b["ranks_open"], b["ranks_ended"]) == (
        "open",
        2,
        1,
        0,
    )
    assert a["bytes_written"] == len(b"0\r\n" * 5)


def test_a_hundred_jobs_that_are_over_are_remembered(daemon, tmp_path):
    with daemon.raw() as client:
        for i in range(103):
            handle = client.open_csv(tmp_path / "t.csv", job=str(i))["handle"]
            client.call("end", job=handle)

    names = [job["name"] for job in daemon.ask("jobs")["jobs"]]
    assert names == [str(i) for i in range(3, 103)]


def test_each_writer_may_have_outputs_of_its_own(daemon, tmp_path):
    writers = [
        rawclient.csv_writer(tmp_path / "a.csv"),
        rawclient.csv_writer(tmp_path / "b.csv"),
        rawclient.csv_writer(tmp_path / "c.csv"),
    ]
    with daemon.raw() as client:
        assert "only" in client.call("hello", protocol=1)["features"]
        client.call("open", job="p", writers=writers)
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        only = {2: {"x": ["c"]}, 0: {"x": ["a", "a"]}}
        client.call("write", job=1, seq=2, only=only)
        refused = client.refusal("write", job=1, seq=3, only={1: {"x": [3]}, 2: {}})
        client.call("write", job=1, seq=4, only={1: {"x": ["b"]}})
        client.call("end", job=1)

    assert refused.code == "missing_key" and refused.details["writer"] == "csv"
    assert judges.files(tmp_path) == {
        "a.csv": b"x\r\n1\r\na\r\na\r\n",
        "b.csv": b"x\r\n1\r\nb\r\n",
        "c.csv": b"x\r\n1\r\nc\r\n",
    }


def test_a_jobs_name_cannot_forge_a_field_of_the_log(daemon, tmp_path):
    name = 'p state=failed" job="q'
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv", job=name)
        client.call("end", job=1)

    daemons.until(lambda: " published " in daemon.log(), "it is logged")
    (line,) = [line for line in daemon.log().splitlines() if " published " in line]
    assert r'job="p state=failed\" job=\"q" stage=predict' in line
