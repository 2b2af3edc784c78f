"""lighterctl, as people and scripts use it."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import daemons
import pytest
import rawclient
from lighterctl import as_json, built, ctl, fields, on, rows  # noqa: F401

VERBS = {
    "status": [],
    "top": [],
    "jobs": [],
    "show": ["job"],
    "watch": ["job"],
    "tail": ["job"],
    "flush": [],
    "plugins": [],
    "metrics": [],
    "ping": [],
    "finalize": ["job"],
    "discard": ["job"],
    "freeze": ["job", "*"],
    "unfreeze": ["job", "*"],
    "reload": [],
    "shutdown": [],
}

PACES = ["batches", "samples", "bytes"]


@pytest.fixture
def busy(daemon, tmp_path):
    """A daemon with a job of each kind of fate."""
    with daemon.raw() as client:
        client.open_csv(tmp_path / "done.csv", job="done")
        client.call("write", job=1, seq=1, outputs={"x": list(range(1000))})
        client.call("end", job=1)
        client.open_csv(tmp_path / "ab.csv", job="given up", stage="test")
        client.call("abort", job=2, reason="out of memory")
        client.open_csv(tmp_path / "live.csv", job="live-é", rank=1, world_size=2)
        yield daemon
        client.call("abort", job=3)


# ---- status ----


def test_status_is_a_block_for_people(busy):
    block = on(busy, "status")
    found = fields(block)

    assert found["pid"] == str(busy.pid)
    assert found["socket"] == busy.socket
    assert found["jobs"] == "1 live, 1 published, 1 failed"
    assert found["written"].startswith("1000 samples in 1 batches, ")
    assert found["waiting"] == "0 batches, 0 B of at most 1.0 GiB"
    assert re.fullmatch(r"\d+ samples/s, [\d.]+ \w+/s", found["throughput"])
    assert (
        len(
            {
                line.index(value)
                for line, value in zip(block.splitlines(), found.values())
            }
        )
        == 1
    )


def test_status_is_json_for_scripts(busy):
    found = as_json("--socket", busy.socket, "status")

    changing = {"uptime", *(f"{each}_per_second" for each in PACES)}
    expected = {**busy.ask("status"), "connections": 2}
    assert {**expected, **{key: found[key] for key in changing}} == found
    assert 0 <= found["uptime"] < 3600
    assert sorted(found) == sorted(
        "version pid uptime socket connections jobs jobs_published jobs_failed "
        "batches_waiting bytes_waiting oldest_waiting max_daemon_bytes batches samples "
        "bytes_written batches_per_second samples_per_second bytes_per_second refused "
        "blocked threads".split()
    )


# ---- jobs ----


def test_jobs_is_a_table_for_people(busy):
    found = rows(on(busy, "jobs"))

    assert found[0] == [
        "NAME",
        "STAGE",
        "STATE",
        "RANKS",
        "SAMPLES",
        "BYTES",
        "RATE",
        "AGE",
    ]
    names = {row[0]: row for row in found[1:]}
    assert names["done"][1:6] == ["predict", "published", "1/1", "1000", "4.8 KiB"]
    assert names["given up"][1:4] == ["test", "aborted", "0/1"]
    assert names["live-é"][1:4] == ["predict", "open", "0/2"]
    notes = [" ".join(row) for row in found]
    assert sum("error: job 'given up' is not published" in note for note in notes) == 1
    assert sum(note.startswith("unfinished: ") for note in notes) == 1


def test_columns_are_aligned(busy):
    text = on(busy, "jobs")
    lines = [line for line in text.splitlines() if not line.startswith("  ")]

    assert (
        len({line.index(word) for line, word in zip(lines, ("STAGE", *["predict"]))})
        == 1
    )
    ends = {re.search(r"\d+/\d+|RANKS", line).end() for line in lines}
    assert len(ends) == 1
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_jobs_are_json_for_scripts(busy):
    found = as_json("jobs", "--socket", busy.socket)["jobs"]

    assert all(0 <= job["age"] < 3600 for job in found)
    expected = busy.ask("jobs")["jobs"]
    for job in [*found, *expected]:
        for key in ("age", *(f"{each}_per_second" for each in PACES)):
            del job[key]
    assert found == expected


def test_without_jobs_it_says_so(daemon):
    assert on(daemon, "jobs") == "no jobs\n"
    assert as_json("--socket", daemon.socket, "jobs") == {"jobs": []}


def test_what_a_client_calls_a_job_cannot_disturb_the_terminal(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        client.call("abort", job=1, reason="\x1b[2J\r\nforged  line\x9b2J")
        text = on(daemon, "jobs")

    assert not {"\x1b", "\r", "\x9b"} & set(text)
    assert len(text.splitlines()) == 4


# ---- finalize and discard ----


@pytest.fixture
def left(start_daemon, tmp_path):
    """A daemon that finds the job of one that was killed: one rank of two had come."""
    killed = start_daemon()
    with killed.raw() as client:
        client.open_csv(tmp_path / "p.csv", world_size=2)
        client.call("write", job=1, seq=1, outputs={"x": [1, 2]})
        killed.kill()
    next_one = daemons.Daemon(killed.socket)
    yield next_one
    daemons.all_ended([next_one])


def test_jobs_says_what_is_unfinished(left):
    found = on(left, "jobs")

    assert "interrupted" in found
    assert "error: job 'p' is not published: the daemon ended before" in found
    assert "unfinished: open it with resume" in found
    jobs = as_json("--socket", left.socket, "jobs")["jobs"]
    assert [job["unfinished"] for job in jobs] == [True]


@pytest.mark.parametrize("more", [[], ["--stage", "predict"]])
def test_finalize_publishes_what_there_is(left, tmp_path, more):
    assert on(left, "finalize", "p", "--partial", *more) == "p is published\n"

    assert (tmp_path / "p.csv").read_bytes() == b"x\r\n1\r\n2\r\n"
    assert left.job("p")["state"] == "published"
    assert left.job("p")["unfinished"] is False
    assert "no unfinished job 'p'" in on(left, "finalize", "p", expect=1)


def test_finalize_names_the_ranks_that_are_missing(left, tmp_path):
    text = on(left, "finalize", "p", expect=1)

    assert "of its 2 ranks these have not ended: 0-1" in text and "--partial" in text
    assert os.listdir(tmp_path) == ["p.tmp_rank0.csv"]


def journal_of(daemon, job):
    folder = daemon.socket.replace("/", "%")
    state = Path(os.environ["XDG_STATE_HOME"])
    (found,) = state.rglob(f"{folder}/{job}.predict.journal")
    return found


def test_a_damaged_journal_is_shown_and_wants_consent(start_daemon, tmp_path):
    killed = start_daemon()
    with killed.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        for seq in (1, 2, 3):
            client.call("write", job=1, seq=seq, outputs={"x": [seq]})
        killed.kill()
    journal = journal_of(killed, "p")
    text = bytearray(journal.read_bytes())
    text[-120] ^= 1  # in the record of the second batch
    journal.write_bytes(text)

    next_one = daemons.Daemon(killed.socket)
    assert f"'{journal}' is damaged at byte" in on(next_one, "jobs")
    assert next_one.job("p")["damaged"] is True
    assert "--damaged" in on(next_one, "finalize", "p", "--partial", expect=1)
    assert journal.read_bytes() == text
    assert on(next_one, "finalize", "p", "--damaged") == "p is published\n"
    assert (tmp_path / "p.csv").read_bytes() == b"x\r\n1\r\n"
    daemons.all_ended([next_one])


def test_a_journal_that_cannot_be_read_is_shown(start_daemon, tmp_path):
    killed = start_daemon()
    with killed.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        killed.kill()
    journal = journal_of(killed, "p")
    journal.write_bytes(b"no journal of ours" * 10)

    next_one = daemons.Daemon(killed.socket)
    assert f"'{journal}' of job 'p' cannot be read" in on(next_one, "jobs")
    with next_one.raw() as client:
        writers = [rawclient.csv_writer(tmp_path / "p.csv")]
        assert "discard" in client.refusal("open", job="p", writers=writers).message
    assert on(next_one, "discard", "p") == "p is discarded\n"
    assert not journal.exists()
    daemons.all_ended([next_one])


def test_discard_removes_what_there_is(left, tmp_path):
    assert os.listdir(tmp_path) == ["p.tmp_rank0.csv"]
    assert on(left, "discard", "p", "--stage=predict") == "p is discarded\n"

    assert os.listdir(tmp_path) == []
    assert left.job("p") is None
    assert "no unfinished job 'p'" in on(left, "discard", "p", expect=1)


@pytest.mark.parametrize("verb", ["finalize", "discard"])
def test_the_stage_must_be_the_jobs(left, verb):
    assert "no unfinished job 'p'" in on(left, verb, "p", "--stage", "test", expect=1)


@pytest.mark.parametrize("verb", ["finalize", "discard"])
def test_unfinished_jobs_are_ended_by_scripts_too(left, verb):
    more = ["--partial"] if verb == "finalize" else []
    assert as_json("--socket", left.socket, verb, "p", *more) == {}


@pytest.mark.parametrize("verb", ["finalize", "discard"])
def test_a_job_that_is_live_is_left_alone(busy, verb, tmp_path):
    text = on(busy, verb, "live-é", expect=1)

    assert "job 'live-é' (predict) is live: 1 of its ranks are connected" in text
    assert busy.job("live-é")["state"] == "open"


def test_finalize_that_fails_says_why_and_can_be_tried_again(left, tmp_path):
    (tmp_path / "p.tmp_rank0.csv").rename(tmp_path / "away")
    assert "p.tmp_rank0.csv" in on(left, "finalize", "p", "--partial", expect=1)
    (tmp_path / "away").rename(tmp_path / "p.tmp_rank0.csv")
    assert on(left, "finalize", "p", "--partial") == "p is published\n"


# ---- plugins ----


def test_plugins_lists_writers_and_encoders(daemon):
    text = on(daemon, "plugins")

    words = text.split()
    for word in ("WRITER", "csv", "file", "ENCODER", "image_2d", "tensor", "text"):
        assert word in words
    assert "REFUSED" not in words


def test_plugins_tells_which_were_refused(start_daemon, tmp_path):
    (tmp_path / "bad.so").write_text("no plugin")
    daemon = start_daemon(plugin_dir=str(tmp_path))

    text = on(daemon, "plugins")

    assert "REFUSED" in text and f"{tmp_path}/bad.so" in text


@pytest.mark.parametrize(
    "name, options",
    [
        ("csv", ["path", "keys", "line_end", "overwrite"]),
        ("file", ["directory", "value_key", "writer_fn", "name_key", "overwrite"]),
        ("image_2d", ["suffix", "compression", "bits", "scale"]),
        ("tensor", ["suffix"]),
        ("text", ["suffix", "encoding"]),
    ],
)
def test_plugins_with_a_name_shows_its_options(daemon, name, options):
    text = on(daemon, "plugins", name)
    found = rows(text)

    assert re.match(rf"(writer|encoder) {name}: \w", text)
    at = found.index(["OPTION", "TYPE", "DEFAULT", "REQUIRED", "HELP"])
    assert [row[0] for row in found[at + 1 :] if row] == options


def test_plugins_are_json_for_scripts(daemon):
    assert as_json("--socket", daemon.socket, "plugins") == daemon.ask("plugins")
    assert as_json("--socket", daemon.socket, "plugins", "csv") == daemon.ask(
        "plugins", name="csv"
    )


def test_a_plugin_that_there_is_not_is_exit_code_1(daemon):
    assert "'nope'" in on(daemon, "plugins", "nope", expect=1)


@pytest.mark.parametrize(
    "typed, meant", [("imge_2d", "image_2d"), ("cvs", "csv"), ("freezr", "freezer")]
)
def test_a_plugin_that_was_perhaps_meant_is_suggested(daemon, typed, meant):
    assert f"did you mean '{meant}'?" in on(daemon, "plugins", typed, expect=1)


# ---- reload ----


def test_reload_says_what_has_changed(start_daemon, tmp_path):
    config = tmp_path / "lighterd.json"
    config.write_text('{"drain": 20, "max_connections": 100}')
    daemon = start_daemon("--config", config)
    config.write_text('{"drain": 21, "max_connections": 1, "threads": 5}')
    assert on(daemon, "reload") == (
        "changed: drain, max_connections\nonly after a restart: threads\n"
    )
    with daemon.raw() as client:
        said = on(daemon, "ping", expect=1)
        assert "1 clients are connected; that is the limit" in said
        client.call("ping")
    config.write_text('{"drain": "soon"}')
    said = on(daemon, "reload", expect=1)
    assert f"{config}:1: 'drain' expects a whole number" in said


def test_sighup_reloads_where_there_is_a_file(start_daemon, tmp_path):
    config = tmp_path / "lighterd.json"
    config.write_text("{}")
    daemon = start_daemon("--config", config)
    config.write_text('{"drain": 21}')
    daemon.process.send_signal(signal.SIGHUP)
    daemons.until(lambda: 'reloaded applied=drain ' in daemon.log(), "it has reloaded")
    assert daemon.ask("ping")


# ---- ping and shutdown ----


def test_ping_says_who_answers_and_how_fast(daemon):
    assert re.fullmatch(
        rf"lighterd {daemon.pid} answers in \d+ us\n", on(daemon, "ping")
    )
    found = as_json("--socket", daemon.socket, "ping")
    assert found["pid"] == daemon.pid and 0 <= found["us"] < 10_000_000


@pytest.mark.parametrize("more", [[], ["--json"], ["--timeout", "60"]])
def test_shutdown_returns_when_the_daemon_has_ended(start_daemon, more):
    daemon = start_daemon()

    text = on(daemon, "shutdown", *more)

    if "--json" in more:
        assert json.loads(text) == {"pid": daemon.pid}
    else:
        assert text == f"lighterd {daemon.pid} has ended\n"
    assert not os.path.exists(daemon.socket)
    assert daemon.wait() == 0


def test_shutdown_waits_for_what_was_handed_over(start_daemon, tmp_path):
    daemon = start_daemon()
    with daemon.raw() as client, daemon.raw() as watcher:
        client.open_csv(tmp_path / "t.csv")
        id = client.post("write", job=1, seq=1, outputs={"x": [[1 / 7] * 300_000]})
        daemons.until(
            lambda: (s := watcher.call("status"))["bytes_waiting"] or s["batches"],
            "it works",
        )
        on(daemon, "shutdown")
        assert client.answer(id) == {}
    assert daemon.wait() == 0
    assert (tmp_path / "t.tmp_rank0.csv").stat().st_size > 300_000


# ---- where, and whether ----


def test_the_socket_may_come_from_the_environment(daemon):
    text = ctl("ping", env={**os.environ, "LIGHTERD_SOCKET": daemon.socket})

    assert str(daemon.pid) in text


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_daemon_the_exit_code_is_3(socket_dir, verb):
    arguments = VERBS[verb]
    text = ctl("--socket", f"{socket_dir}/none", verb, *arguments, expect=3)

    assert f"{socket_dir}/none" in text


def test_with_a_dead_daemons_socket_the_exit_code_is_3(start_daemon):
    daemon = start_daemon()
    daemon.kill()

    on(daemon, "status", expect=3)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example_and_exit_codes(verb):
    for args in ((verb, "--help"), ("--help", verb), ("-h", verb)):
        text = ctl(*args)
        assert text.startswith("usage: lighterctl") and verb in text.splitlines()[0]
    assert "example" in text and "exit codes" in text
    assert max(map(len, text.splitlines())) <= 88


def test_help_lists_the_verbs(daemon):
    text = ctl("--help")

    for verb in VERBS:
        assert re.search(rf"^  {verb}\s+\w", text, re.M)
    assert re.match(r"lighterctl \d", ctl("--version"))


@pytest.mark.parametrize(
    "args, expected",
    [
        ([], "verb"),
        (["stats"], "did you mean 'status'"),
        (["nonsense"], "unknown verb 'nonsense'"),
        (["--nonsense", "ping"], "--nonsense"),
        (["-x", "ping"], "-x"),
        (["--socket"], "--socket"),
        (["ping", "now"], "one word too many"),
        (["plugins", "a", "b"], "too many"),
        (["freeze", "job"], "needs more words"),
        (["finalize"], "needs more words"),
        (["discard", "a", "b"], "'b' is one word too many"),
        (["jobs", "--stage", "test"], "takes no --stage"),
        (["discard", "job", "--stage"], "--stage"),
        (["show", "job", "--stage", "tset"], "did you mean 'test'"),
        (["show", "job", "--stage", "nonsense"], "predict, validate, test or fit"),
        (["--sokcet", "/s", "ping"], "no option '--sokcet'; did you mean '--socket'?"),
        (["--jsn=1", "ping"], "did you mean '--json'?"),
        (["status", "--wait"], "'status' takes no --wait"),
        (["ping", "--timeout", "3"], "takes no --timeout"),
        (["shutdown", "--timeout", "x"], "whole seconds"),
        (["shutdown", "--timeout", "-1"], "whole seconds"),
    ],
)
def test_wrong_usage_is_exit_code_2(args, expected):
    assert expected in ctl(*args, expect=2)


# ---- flush ----


def test_flush_waits_until_a_job_is_durable(busy):
    assert on(busy, "flush", "live-é") == "live-é is durable\n"
    assert on(busy, "flush") == "live-é is durable\n"
    assert as_json("--socket", busy.socket, "flush") == {
        "durable": [{"name": "live-é", "stage": "predict"}]
    }
    assert "no live job 'done'" in on(busy, "flush", "done", expect=1)
    assert "did you mean 'live-é'" in on(busy, "flush", "live-è", expect=1)


def test_what_was_flushed_is_durable_when_flush_returns(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        for seq in range(1, 20):
            client.call("write", job=1, seq=seq, outputs={"x": [seq]})
            on(daemon, "flush", "p")
            assert daemon.ask("show", job="p")["ranks"][0]["durable"] == seq
        client.call("end", job=1)


def test_without_live_jobs_flush_says_so(daemon):
    assert on(daemon, "flush") == "no live jobs\n"


@pytest.mark.parametrize("verb", ["status", "jobs", "plugins", "ping"])
def test_output_that_cannot_be_written_is_exit_code_1(daemon, verb):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [daemons.LIGHTERCTL, "--socket", daemon.socket, verb],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )

    assert done.returncode == 1 and "No space" in done.stderr


def test_a_daemon_that_is_something_else_is_an_error(socket_dir):
    import socket
    import threading

    path = f"{socket_dir}/s"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def greet():
        connected, _ = listener.accept()
        with connected:
            connected.sendall(b"220 smtp ready\r\n")
            connected.recv(1000)

    thread = threading.Thread(target=greet)
    thread.start()
    try:
        ctl("--socket", path, "ping", expect=1)
    finally:
        listener.close()
        thread.join()


def test_an_error_of_the_daemon_is_told_as_it_is(daemon):
    with pytest.raises(rawclient.Refused) as refused:
        daemon.ask("plugins", name="nope")

    assert refused.value.message in on(daemon, "plugins", "nope", expect=1)
