"""lighterctl top: a screen that is drawn anew, and a terminal that is left as it was."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import daemons
import pytest
from lighterctl import built, ctl  # noqa: F401
from terminals import Terminal

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


def command(daemon, *more):
    return [daemons.LIGHTERCTL, "--socket", daemon.socket, "top", *more]


def last_frame(text):
    """The lines of the last frame that is whole."""
    frames = [part for part in text.split("\x1b[H") if part.endswith("\x1b[J")]
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frames[-1]) if frames else ""
    return plain.split("\r\n")


@pytest.fixture
def busy(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "done.csv", job="done")
        client.call("end", job=1)
        client.open_csv(tmp_path / "bad.csv", job="bad", stage="test")
        client.call("abort", job=2, reason="out of memory")
        client.open_csv(tmp_path / "live.csv", job="live", total=4)
        client.call("write", job=3, seq=1, outputs={"x": ["a", "b"]})
        daemon.client = client
        yield daemon
        client.call("abort", job=3)


def test_top_shows_live_jobs_first_and_follows_them(busy):
    with Terminal(command(busy)) as terminal:
        terminal.until(lambda text: "live" in text, "it is drawn")
        lines = last_frame(terminal.read())
        assert lines[0].startswith("lighterd ")
        assert lines[5].split()[:4] == ["NAME", "STATE", "DONE", "SAMPLES"]
        assert [line.split()[0] for line in lines[6:9]] == ["live", "bad", "done"]
        assert lines[6].split()[1:4] == ["open", "25%", "2"]
        assert all(len(line) <= 80 for line in lines)

        busy.client.call("write", job=3, seq=2, outputs={"x": ["c"]})
        terminal.until(
            lambda text: last_frame(text)[6].split()[1:4] == ["open", "50%", "3"],
            "it is drawn anew",
        )
        terminal.type("q")
        terminal.end()


# A shell looks on: it holds the terminal, and says how top has ended.
SHELL = ["sh", "-c", 'trap : INT QUIT; "$@"; echo "status $?"; read line', "-"]


def child_of(process):
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())


@pytest.mark.parametrize(
    "key, number",
    [
        ("q", 0),
        ("\x03", signal.SIGINT),
        ("\x1c", signal.SIGQUIT),
        (None, signal.SIGTERM),
        (None, signal.SIGHUP),
    ],
    ids=["q", "Ctrl-C", "Ctrl-backslash", "SIGTERM", "SIGHUP"],
)
def test_the_terminal_is_as_it_was_however_top_ends(busy, key, number):
    with Terminal([*SHELL, *command(busy)]) as terminal:
        terminal.until(lambda text: "live" in text, "it is drawn")
        assert terminal.settings() != terminal.before

        if key:
            terminal.type(key)
        else:
            os.kill(child_of(terminal.process), number)
        terminal.until(lambda text: re.search(r"status \d+\r", text), "it has ended")

        assert terminal.settings() == terminal.before
    assert terminal.output.startswith(ENTER)
    status = re.search(re.escape(LEAVE) + r"\D*status (\d+)", terminal.output)[1]
    assert int(status) == (128 + number if number else 0)


def test_a_terminal_that_changes_its_size_is_filled_anew(busy):
    with Terminal(command(busy), columns=120) as terminal:
        terminal.until(lambda text: "RANKS" in text, "it is wide")
        terminal.resize(40, 7)
        terminal.until(lambda text: len(last_frame(text)) == 7, "it is as low")
        lines = last_frame(terminal.read())
        assert max(map(len, lines)) <= 40
        assert lines[6] == "... 3 more"
        terminal.type("q")
        terminal.end()


@pytest.mark.parametrize(
    "environment, coloured",
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)],
)
def test_colours_are_for_who_wants_them(busy, environment, coloured):
    with Terminal(command(busy), **environment) as terminal:
        terminal.until(lambda text: "bad" in text, "it is drawn")
        assert ("\x1b[31mbad" in terminal.read()) == coloured
        terminal.type("q")
        terminal.end()


def test_without_a_terminal_it_is_drawn_once_and_plain(busy):
    text = ctl(*command(busy)[1:])

    assert "\x1b" not in text
    assert [line.split()[0] for line in text.splitlines()[6:]] == [
        "live",
        "bad",
        "done",
    ]


def test_top_in_json_is_status_and_jobs(busy):
    found = json.loads(ctl("--json", *command(busy)[1:]))

    assert sorted(found) == ["jobs", "status"]
    assert found["status"]["pid"] == busy.pid
    assert [job["name"] for job in found["jobs"]] == ["done", "bad", "live"]


def test_top_on_a_dumb_terminal_moves_no_cursor(busy):
    with Terminal(command(busy), TERM="dumb") as terminal:
        assert "\x1b" not in terminal.end()


def test_top_waits_for_the_next_daemon(start_daemon):
    killed = start_daemon()
    with Terminal(command(killed)) as terminal:
        terminal.until(lambda text: f"({killed.pid})" in text, "the first is shown")
        killed.kill()
        terminal.until(
            lambda text: "lighterd" in (last := last_frame(text))[0] and len(last) == 1,
            "it says that there is none",
        )
        next_one = daemons.Daemon(killed.socket, alone=False)
        terminal.until(lambda text: f"({next_one.pid})" in text, "the next is shown")
        terminal.type("q")
        terminal.end()
    daemons.all_ended([next_one])


def test_a_terminal_that_goes_away_ends_it(busy):
    terminal = Terminal(command(busy))
    terminal.until(lambda text: "live" in text, "it is drawn")

    os.close(terminal.master)
    os.close(terminal._slave)

    daemons.until(lambda: terminal.process.poll() is not None, "it has ended")


def test_top_lives_in_tmux(busy, tmp_path):
    """A terminal that others have made: what people see there is what is meant."""
    socket = tmp_path / "t"

    def tmux(*args):
        return subprocess.run(
            ["tmux", "-S", socket, *args], capture_output=True, text=True
        )

    try:
        begun = tmux("-f", "/dev/null", "new-session", "-d", "-x80", "-y12", "cat")
    except FileNotFoundError:
        pytest.skip("there is no tmux")
    assert begun.returncode == 0, begun
    try:
        before = tmux("capture-pane", "-p").stdout
        tmux(
            "respawn-pane",
            "-k",
            "sh",
            "-c",
            'echo before; "$@"; cat',
            "-",
            *command(busy),
        )
        shown = daemons.until(
            lambda: "live" in (text := tmux("capture-pane", "-p").stdout) and text,
            "it is drawn",
        )
        assert shown.splitlines()[5].startswith("NAME  ")
        tmux("send-keys", "q")
        daemons.until(
            lambda: tmux("capture-pane", "-p").stdout.split() == ["before"],
            f"what was there before is there again: {before!r}",
        )
    finally:
        tmux("kill-server")
