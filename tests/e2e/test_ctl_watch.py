"""lighterctl watch and tail: look on until a job is over, and say how it went."""

import json
import os
import time

import daemons
import pytest
import rawclient
from lighterctl import Running, as_json, built, ctl, on  # noqa: F401
from terminals import Terminal

TXT = {"name": "text", "suffix": ".txt"}
OUTCOMES = {"failed": 4, "interrupted": 5, "aborted": 6}


def write(client, seq, *values, **more):
    client.call("write", job=1, seq=seq, outputs={"x": list(values)}, **more)


# ---- watch ----


def test_watch_ends_with_0_when_the_job_is_published(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv", total=2)
        write(client, 1, "a", "b")
        with Running(daemon, "watch", "p") as watch:
            first = watch.line()
            assert first.startswith("p: open, 1 of 2 batches, 2 samples, 6 B")
            write(client, 2, "c")
            client.call("end", job=1)
            out, err = watch.end()

    assert out.splitlines()[-2:] == [
        "p: published, 2 batches, 3 samples, 9 B",
        str(tmp_path / "p.csv"),
    ]
    assert err == ""


def test_watch_in_json_is_an_object_a_line(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        with Running(daemon, "--json", "watch", "p") as watch:
            first = json.loads(watch.line())
            assert {**daemon.ask("show", job="p"), "age": first["age"]} == first
            write(client, 1, "a")
            client.call("end", job=1)
            out, _ = watch.end()

    last = json.loads(out.splitlines()[-1])
    assert (last["state"], last["samples"]) == ("published", 1)
    assert last["targets"] == [str(tmp_path / "p.csv")]


@pytest.mark.parametrize("fate", ["interrupted", "aborted", "failed"])
def test_watch_says_by_its_exit_code_how_it_went(daemon, tmp_path, fate):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        write(client, 1, "a")
        with Running(daemon, "watch", "p") as watch:
            watch.line()
            if fate == "aborted":
                client.call("abort", job=1, reason="no more memory")
            elif fate == "interrupted":
                client.close()
            else:  # what it would be called is taken
                (tmp_path / "p.csv").mkdir()
                (tmp_path / "p.csv" / "file").touch()
                client.refusal("end", job=1)
            out, err = watch.end(expect=OUTCOMES[fate])

    assert out.splitlines()[-1].startswith(f"p: {fate}")
    assert err.startswith("lighterctl: ") and err.count("\n") == 1
    # and the same for who comes later
    with Running(daemon, "watch", "p") as watch:
        watch.end(expect=OUTCOMES[fate])


def test_watch_knows_when_its_job_is_gone(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv", world_size=2)
        write(client, 1, "a")
        client.call("abort", job=1)
        client.open_csv(tmp_path / "q.csv", job="q", world_size=2)
        with Running(daemon, "watch", "q") as watch:
            watch.line()
            client.call("end", job=2, wait=False)
            on(daemon, "discard", "q")
            _, err = watch.end(expect=7)

    assert err == "lighterctl: job 'q' is gone: it was discarded, or begun anew\n"


def test_watch_takes_the_live_job_or_else_the_last(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        client.call("end", job=1)
        assert "p: published" in on(daemon, "watch", "p")

        client.open_csv(tmp_path / "p.csv")
        with Running(daemon, "watch", "p") as watch:
            assert watch.line().startswith("p: open")
            client.call("end", job=2)
            watch.end()


def test_watch_waits_for_a_job_only_if_it_is_asked_to(daemon, tmp_path):
    assert "no job 'p'" in on(daemon, "watch", "p", expect=1)
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        client.call("end", job=1)
        with Running(daemon, "watch", "--wait", "p") as watch:
            time.sleep(0.5)
            assert watch.process.poll() is None  # the one that is over is another
            client.open_csv(tmp_path / "p.csv")
            assert watch.line().startswith(("p: preparing", "p: open"))
            client.call("end", job=2)
            watch.end()


def test_watch_goes_on_with_the_next_daemon(start_daemon, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "20")
    killed = start_daemon()
    with killed.raw() as client:
        opened = client.open_csv(tmp_path / "p.csv")
        write(client, 1, "a")
        with Running(killed, "watch", "p") as watch:
            watch.line()
            killed.kill()
            next_one = daemons.Daemon(killed.socket, alone=False)
            with next_one.raw() as again:
                again.open_csv(
                    tmp_path / "p.csv", resume=True, id=opened["id"], answered=1
                )
                again.call("end", job=1)
                watch.end()
    daemons.all_ended([next_one])


def test_watch_draws_a_bar_on_a_terminal(daemon, tmp_path):
    command = [daemons.LIGHTERCTL, "--socket", daemon.socket, "watch", "p"]
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv", total=4)
        write(client, 1, "a")
        with Terminal(command, columns=100) as terminal:
            terminal.until(lambda text: "%" in text, "there is a bar")
            terminal.until(
                lambda text: "[#" in text and " 25%  p: open" in text, "25 %"
            )
            terminal.resize(30, 24, tell=False)
            terminal.until(
                lambda text: text.endswith("~\x1b[K")
                and len(text.rpartition("\r")[2]) == 29 + len("\x1b[K"),
                "it is as narrow as the terminal",
            )
            client.call("end", job=1)
            text = terminal.end()

    assert text.count("\n") == 2 and "p.csv" in text.splitlines()[-1]


# ---- tail ----


def test_tail_prints_the_last_rows_and_then_those_that_come(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        write(client, 1, *range(100))
        with Running(daemon, "tail", "-n", "3", "p") as tail:
            assert [tail.line() for _ in range(3)] == ["97", "98", "99"]
            write(client, 2, "next", "é")
            assert [tail.line(), tail.line()] == ["next", "é"]
            write(client, 3, "last")
            client.call("end", job=1)
            out, err = tail.end()

    assert (out, err) == ("last\n", "")


@pytest.mark.parametrize("n, expected", [(0, []), (1, ["2"]), (50, ["0", "1", "2"])])
def test_tail_begins_with_as_many_lines_as_were_asked_for(
    daemon, tmp_path, n, expected
):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        write(client, 1, 0, 1, 2)
        with Running(daemon, "tail", "--once", f"--lines={n}", "p") as tail:
            out, _ = tail.end()
        client.call("end", job=1)

    assert out.splitlines() == expected


def test_tail_finds_the_last_lines_of_a_long_table(daemon, tmp_path):
    row = "x" * 1000
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        write(client, 1, *[f"{i}-{row}" for i in range(500)])
        out = on(daemon, "tail", "--once", "-n", "400", "p")
        client.call("end", job=1)

    assert out.splitlines() == [f"{i}-{row}" for i in range(100, 500)]


def test_tail_loses_and_doubles_no_row_of_several_ranks(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv", rank=0, world_size=2)
        client.open_csv(tmp_path / "p.csv", rank=1, world_size=2)
        write(client, 1, "a0")
        client.call("write", job=2, seq=1, outputs={"x": ["b0"]})
        with Running(daemon, "tail", "p") as tail:
            target = tmp_path / "p.csv"
            assert [tail.line() for _ in range(4)] == [
                *(f"==> {target} (rank 0) <==", "a0"),
                *(f"==> {target} (rank 1) <==", "b0"),
            ]
            for seq in range(2, 50):
                write(client, seq, f"a{seq}")
                client.call("write", job=2, seq=seq, outputs={"x": [f"b{seq}"]})
            client.call("end", job=1, wait=False)
            client.call("end", job=2)
            out, _ = tail.end()

    printed = [line for line in out.splitlines() if not line.startswith("==>")]
    assert sorted(printed) == sorted(f"{r}{i}" for r in "ab" for i in range(2, 50))
    assert [line for line in printed if line[0] == "a"] == [
        f"a{i}" for i in range(2, 50)
    ]


def test_tail_prints_nothing_that_is_not_committed(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        write(client, 1, "committed")
        with open(tmp_path / "p.tmp_rank0.csv", "ab") as shard:
            shard.write(b"torn\r\n")

        assert on(daemon, "tail", "--once", "p") == "committed\n"
        os.truncate(tmp_path / "p.tmp_rank0.csv", len("x\r\ncommitted\r\n"))
        client.call("end", job=1)


def test_tail_tells_files_with_their_sizes(daemon, tmp_path):
    writer = rawclient.file_writer(tmp_path / "texts", name_key="n", writer_fn=TXT)
    with daemon.raw() as client:
        client.call("open", job="t", writers=[writer])
        outputs = {"v": ["a", "bb", "ccc"], "n": ["one", "sub/two", "three\x1b"[:5]]}
        client.call("write", job=1, seq=1, outputs=outputs)
        with Running(daemon, "tail", "-n2", "t") as tail:
            found = [tail.line().split(maxsplit=2) for _ in range(2)]
            assert found == [["2", "B", "sub/two.txt"], ["3", "B", "three.txt"]]
            outputs = {"v": ["dddd"], "n": ["four"]}
            client.call("write", job=1, seq=2, outputs=outputs)
            assert tail.line().split() == ["4", "B", "four.txt"]
            client.call("end", job=1)
            tail.end()


def test_tail_is_json_for_scripts(daemon, tmp_path):
    texts = tmp_path / "texts"
    writers = [
        rawclient.csv_writer(tmp_path / "p.csv"),
        rawclient.file_writer(texts, name_key="x", writer_fn=TXT),
    ]
    with daemon.raw() as client:
        client.call("open", job="p", writers=writers)
        client.call("write", job=1, seq=1, outputs={"x": ["a", "b"], "v": ["1", "22"]})
        out = ctl("--json", "--socket", daemon.socket, "tail", "--once", "p")
        client.call("end", job=1)

    rows, files = map(json.loads, out.splitlines())
    assert rows == {"target": f"{tmp_path}/p.csv", "rank": 0, "rows": ["a", "b"]}
    assert files == {
        **{"target": str(texts), "rank": 0, "others": 0},
        "files": [{"name": "a.txt", "size": 1}, {"name": "b.txt", "size": 2}],
    }


def test_tail_of_a_published_job_shows_the_table(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        write(client, 1, "a", "b")
        client.call("end", job=1)

    assert on(daemon, "tail", "-n", "2", "p") == "a\nb\n"


@pytest.mark.parametrize("fate", ["interrupted", "aborted"])
def test_tail_ends_with_the_code_of_watch(daemon, tmp_path, fate):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        write(client, 1, "a")
        with Running(daemon, "tail", "p") as tail:
            assert tail.line() == "a"
            client.close() if fate == "interrupted" else client.call("abort", job=1)
            tail.end(expect=OUTCOMES[fate])


def test_on_a_terminal_rows_cannot_disturb_it(daemon, tmp_path):
    command = [daemons.LIGHTERCTL, "--socket", daemon.socket, "tail", "--once", "p"]
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        write(client, 1, "\x1b[2Jcleared", "bell\x07")
        with Terminal(command) as terminal:
            text = terminal.end()
        client.call("end", job=1)

    assert text == "\\x1b[2Jcleared\r\nbell\\x07\r\n"


def test_tail_of_what_one_may_not_read_says_so(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        write(client, 1, "a")
        shard = tmp_path / "p.tmp_rank0.csv"
        shard.rename(tmp_path / "away")
        shard.symlink_to(tmp_path / "away")  # it is not followed
        assert str(shard) in on(daemon, "tail", "--once", "p", expect=1)
        shard.unlink()
        (tmp_path / "away").rename(shard)
        client.call("end", job=1)
