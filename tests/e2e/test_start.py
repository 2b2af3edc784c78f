"""How a daemon begins and ends: started by hand, by a client, by many at once."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import daemons
import judges
import pytest
import rawclient

import lighterd
from lighterd import launch


def run(*args, timeout=30, **more):
    """Run lighterd to its end, or until it is in the background."""
    return subprocess.run(
        [daemons.LIGHTERD, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        **more,
    )


@pytest.fixture
def wrapper(socket_dir):
    """A lighterd that finds its plugins although it is not installed."""
    path = Path(socket_dir) / "wrapper"
    path.write_text(
        "#!/bin/sh\n"
        f'exec "{daemons.LIGHTERD}" --plugin-dir "{daemons.PLUGIN_DIR}" "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def background(socket_dir):
    """The socket of daemons in the background, which end with the test."""
    path = os.path.join(socket_dir, "s")
    yield path
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        stop(path)
    log = Path(path + ".log")
    if log.exists():
        daemons.assert_clean_log(log.read_text())


def ask(path, method):
    with rawclient.RawClient(path) as client:
        client.call("hello", protocol=1)
        return client.call(method)


def stop(path):
    pid = ask(path, "ping")["pid"]
    os.kill(pid, signal.SIGTERM)
    daemons.until(lambda: not daemons.is_running(pid), f"{pid} ends")


# ---- by a client ----


def test_a_client_starts_a_daemon_where_none_listens(
    wrapper, background, tmp_path, monkeypatch
):
    monkeypatch.setenv("LIGHTERD", wrapper)

    with lighterd.run(
        lighterd.csv(tmp_path / "t.csv", ["x"]), socket=background
    ) as out:
        out.write({"x": [1]})

    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n1\r\n"
    assert ask(background, "status")["jobs_published"] == 1


def test_eight_processes_at_once_start_one_daemon(
    wrapper, background, start_ranks, tmp_path
):
    script = f"""
        from lighterd.launch import connect
        say("ready")
        wait()
        connection = connect()
        say(connection.call("ping", {{}})["pid"])
        wait()
        connection.close()
        with lighterd.run(lighterd.csv({str(tmp_path / "t.csv")!r}, ["x"])) as out:
            out.write({{"x": [rank]}})
    """
    all_ranks = start_ranks(script, 8, socket=background, env={"LIGHTERD": wrapper})
    for rank in all_ranks:
        assert rank.hear() == "ready"
    for rank in all_ranks:
        rank.go_on()
    pids = {rank.hear() for rank in all_ranks}
    for rank in all_ranks:
        rank.go_on()
    for rank in all_ranks:
        rank.finish()

    assert pids == {str(ask(background, "ping")["pid"])}
    assert (tmp_path / "t.csv").read_text().split() == ["x", *"01234567"]


def test_a_missing_binary_says_what_to_run(background, monkeypatch, tmp_path):
    monkeypatch.setenv("LIGHTERD", str(tmp_path / "nowhere"))

    with pytest.raises(lighterd.ConnectionError) as raised:
        launch.connect(background)

    assert f"Start one with: lighterd --socket {background}" in str(raised.value)
    assert "nowhere" in str(raised.value)


def test_a_daemon_that_cannot_start_says_why(background, monkeypatch, wrapper):
    monkeypatch.setenv("LIGHTERD", wrapper)
    os.mkdir(background)

    with pytest.raises(lighterd.ConnectionError, match="is no socket"):
        launch.connect(background)
    os.rmdir(background)


def test_after_a_killed_daemon_the_next_client_starts_another(
    wrapper, background, monkeypatch, tmp_path
):
    monkeypatch.setenv("LIGHTERD", wrapper)
    launch.connect(background).close()
    pid = ask(background, "ping")["pid"]
    os.kill(pid, signal.SIGKILL)
    daemons.until(lambda: not daemons.is_running(pid), f"{pid} ends")
    assert os.path.exists(background)

    connection = launch.connect(background)

    assert connection.call("ping", {})["pid"] != pid
    connection.close()


def test_a_client_whose_daemon_dies_is_told(daemon, tmp_path):
    with pytest.raises(lighterd.ConnectionError):
        with lighterd.run(
            lighterd.csv(tmp_path / "t.csv", ["x"]), socket=daemon.socket
        ) as out:
            out.write({"x": [1]})
            daemon.kill()
            while True:
                out.write({"x": [2]})


# ---- by hand ----


@pytest.mark.untraced
def test_in_the_background_it_listens_when_the_command_returns(background):
    done = run("--socket", background, "--plugin-dir", daemons.PLUGIN_DIR)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ask(background, "status")["socket"] == background
    assert "listening" in Path(background + ".log").read_text()


@pytest.mark.parametrize(
    "suffix, words",
    [
        ("", "is there and is no socket"),
        (".lock", "is there and is no lock of lighterd"),
        (".log", "is there and is none of lighterd's"),
    ],
)
@pytest.mark.parametrize("content", [b"weights", b"x" * 100_000])
def test_a_file_where_the_socket_lock_or_log_should_be_stays(
    background, suffix, words, content
):
    path = Path(background + suffix)
    path.write_bytes(content)

    done = run("--socket", background, "--plugin-dir", daemons.PLUGIN_DIR)

    assert done.returncode == 1 and words in done.stderr and str(path) in done.stderr
    assert path.read_bytes() == content
    assert suffix == "" or not os.path.exists(background)


@pytest.mark.untraced
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda p: os.symlink("/x", p)])
def test_what_is_no_file_where_the_socket_should_be_stays(background, make):
    make(background)
    before = os.lstat(background)

    done = run("--socket", background, "--plugin-dir", daemons.PLUGIN_DIR)

    assert done.returncode == 1 and "is there and is no socket" in done.stderr
    assert os.lstat(background).st_ino == before.st_ino


@pytest.mark.untraced
def test_a_socket_on_which_somebody_listens_stays(background):
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(background)
        theirs.listen()
        done = run("--socket", background, "--plugin-dir", daemons.PLUGIN_DIR)

        assert done.returncode == 3 and background in done.stderr
        assert not done.stdout and os.path.exists(background)


@pytest.mark.untraced
def test_the_log_of_an_earlier_daemon_is_gone_on_with(background):
    log = Path(background + ".log")
    log.write_text("2026-11-30T22:05:19.123Z info listening socket=x\n")

    run("--socket", background, "--plugin-dir", daemons.PLUGIN_DIR)

    assert log.read_text().count("listening") == 2


def test_a_socket_that_took_the_place_of_ours_stays(start_daemon, socket_dir):
    daemon = start_daemon()
    os.unlink(daemon.socket)
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(daemon.socket)
        daemon.process.terminate()
        assert daemon.wait() == 0

        assert os.path.exists(daemon.socket)


@pytest.mark.untraced
def test_in_the_background_it_holds_nothing_of_who_started_it(background):
    """Else a pipe that its parent reads would never end; run() reads to the end."""
    run("--socket", background, "--plugin-dir", daemons.PLUGIN_DIR)
    pid = ask(background, "ping")["pid"]

    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1)] == ["/dev/null"] * 2
    assert os.getsid(pid) != os.getsid(0)


@pytest.mark.parametrize("mode", [[], ["--foreground"]])
def test_a_second_daemon_on_a_socket_ends_with_3(daemon, tmp_path, mode):
    done = run("--socket", daemon.socket, "--plugin-dir", daemons.PLUGIN_DIR, *mode)

    assert done.returncode == 3
    assert done.stderr == f"lighterd: another lighterd serves '{daemon.socket}'\n"
    daemon.check_serves(tmp_path)


def test_a_socket_that_a_dead_daemon_left_is_taken_over(start_daemon, tmp_path):
    first = start_daemon()
    first.kill()
    assert os.path.exists(first.socket)

    second = daemons.Daemon(first.socket)

    second.check_serves(tmp_path)
    second.end()


def test_the_socket_is_for_its_user_alone(daemon):
    assert stat.filemode(os.stat(daemon.socket).st_mode) == "srw-------"
    assert stat.S_IMODE(os.stat(daemon.socket + ".lock").st_mode) == 0o600


@pytest.mark.untraced
def test_the_directory_of_the_socket_is_made_for_its_user_alone(socket_dir):
    path = os.path.join(socket_dir, "made", "s")
    done = run("--socket", path, "--plugin-dir", daemons.PLUGIN_DIR)

    assert done.returncode == 0
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    stop(path)


@pytest.mark.untraced
@pytest.mark.parametrize(
    "variable, value, expected",
    [
        ("LIGHTERD_SOCKET", "{}/x.sock", "{}/x.sock"),
        ("XDG_RUNTIME_DIR", "{}", "{}/lighterd/lighterd.sock"),
    ],
)
def test_client_and_daemon_find_each_other_by_the_environment(
    socket_dir, wrapper, monkeypatch, variable, value, expected
):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv(variable, value.format(socket_dir))
    monkeypatch.setenv("LIGHTERD", "/nowhere")
    done = run("--plugin-dir", daemons.PLUGIN_DIR)
    assert done.returncode == 0, done.stderr

    connection = launch.connect()

    path = expected.format(socket_dir)
    assert connection.call("status", {})["socket"] == path
    connection.close()
    stop(path)


def test_a_path_that_does_not_fit_is_refused_and_not_cut(socket_dir):
    path = os.path.join(socket_dir, "x" * 107)
    done = run("--socket", path, "--plugin-dir", daemons.PLUGIN_DIR)

    assert done.returncode != 0 and "107" in done.stderr
    assert os.listdir(socket_dir) == []


# ---- the end ----


def test_a_daemon_without_clients_ends_after_a_while(start_daemon):
    daemon = start_daemon("--idle-exit", "1")

    assert daemon.wait() == 0
    assert not os.path.exists(daemon.socket)


def test_a_daemon_with_a_client_does_not_end(start_daemon):
    daemon = start_daemon("--idle-exit", "1")
    with daemon.raw() as client:
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.wait(1.5)
        client.call("ping")
    assert daemon.wait() == 0


def test_the_client_who_started_it_asks_it_to_end_when_idle(
    wrapper, background, monkeypatch
):
    monkeypatch.setenv("LIGHTERD", wrapper)
    monkeypatch.setattr(launch, "IDLE_EXIT_S", 1)
    launch.connect(background).close()

    daemons.until(lambda: not os.path.exists(background), "it ends")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_its_clients_are_disconnected(start_daemon, number):
    daemon = start_daemon()
    with daemon.raw() as client:
        daemon.process.send_signal(number)
        assert daemon.wait() == 0
        assert client.receive() is None
    assert not os.path.exists(daemon.socket)


def test_what_was_handed_over_is_written_before_it_ends(start_daemon, tmp_path):
    daemon = start_daemon("--threads", "1")
    rows = [[i / 7, "x" * 5000] for i in range(300)]
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        ids = [
            client.post("write", job=1, seq=seq, outputs={"x": rows})
            for seq in range(1, 21)
        ]
        client.call("ping")  # is answered at once, and after all before it was taken in
        daemon.process.send_signal(signal.SIGTERM)
        for id in ids:
            client.answer(id)
        assert client.receive() is None
    assert daemon.wait() == 0

    expected = judges.table(["x"], [{"x": rows}] * 20)
    assert judges.files(tmp_path) == {"t.tmp_rank0.csv": expected}


def test_an_end_that_was_heard_before_the_stop_is_answered(start_daemon, tmp_path):
    for i in range(20):
        daemon = start_daemon()
        with daemon.raw() as client:
            client.open_csv(tmp_path / f"{i}.csv")
            write, data = client.request("write", job=1, seq=1, outputs={"x": [i]})
            end, more = client.request("end", job=1)
            stop, last = client.request("shutdown")
            client.send(data + more + last)

            assert client.answer(write) == client.answer(stop) == {}
            assert client.answer(end)["published"]
        assert daemon.wait() == 0
        assert (tmp_path / f"{i}.csv").read_text() == f"x\n{i}\n"


def test_a_job_that_is_published_when_the_signal_comes_is_published_whole(
    start_daemon, tmp_path
):
    daemon = start_daemon()
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        for seq in range(1, 51):
            client.post("write", job=1, seq=seq, outputs={"x": ["y" * 20_000]})
        ended = client.post("end", job=1)
        daemons.until(lambda: daemon_has(daemon, "samples", 1), "a batch is written")
        daemon.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(AssertionError, rawclient.Refused):
            client.answer(ended)
    assert daemon.wait() == 0

    files = judges.files(tmp_path)
    (name,) = files
    assert name in ("t.csv", "t.tmp_rank0.csv")
    assert name != "t.csv" or files[name] == b"x\r\n" + (b"y" * 20_000 + b"\r\n") * 50


def daemon_has(daemon, key, least):
    return daemon.ask("status")[key] >= least


def test_who_opens_a_job_while_it_ends_is_told(start_daemon, tmp_path):
    daemon = start_daemon("--threads", "1")
    with daemon.raw() as client, daemon.raw() as other:
        client.open_csv(tmp_path / "t.csv")
        client.post("write", job=1, seq=1, outputs={"x": [[1 / 7] * 300_000]})
        daemons.until(lambda: other.call("status")["bytes_waiting"], "it has work")
        other.send(
            other.request("shutdown")[1]
            + other.request("open", job="q", writers=[rawclient.csv_writer("/x")])[1]
        )
        while message := other.receive():
            assert message[2] is None or message[2]["code"] == "bad_state"
    assert daemon.wait() == 0


# ---- settings ----


def check(tmp_path, text):
    path = tmp_path / "lighterd.json"
    path.write_text(text)
    done = run(
        "--config", str(path), "--plugin-dir", daemons.PLUGIN_DIR, "--check-config"
    )
    return done, str(path)


def test_a_sound_configuration_is_said_to_be_sound(tmp_path):
    done, _ = check(tmp_path, '{"threads": 2, "log_level": "debug"}')

    assert done.returncode == 0
    assert "is sound; writers 2," in done.stdout


def test_all_that_is_wrong_with_a_configuration_is_told(tmp_path):
    done, path = check(
        tmp_path,
        '{"a": 1,\n "drain": -1,\n "pipelines": {\n'
        '  "p": {"writers": [{"type": "cvs"}]},\n  "q": {"writers": 7}}}',
    )

    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        f"{path}:{line}" for line in (1, 2, 5, 4)
    ]


@pytest.mark.parametrize(
    "text, line, words",
    [
        (
            '{\n "threads": 2,\n "thread": 3\n}',
            3,
            ["unknown key 'thread'", "max_daemon_bytes"],
        ),
        ('{\n\n "threads": "2"}', 3, ["'threads'", "whole number"]),
        ('{"threads": 1.5}', 1, ["'threads'", "whole number"]),
        ('{\n"threads": 257}', 2, ["'threads'", "0 to 256", "257"]),
        ('{"a": {"threads": 1},\n "drain": 1}', 1, ["unknown key 'a'"]),
        ('{"socket": "drain",\n "drain": -1}', 2, ["'drain'"]),
        ('{"log_level": "loud"}', 1, ["'log_level'", "loud"]),
        ('{"plugin_dir": ""}', 1, ["'plugin_dir'", "empty"]),
        ('{"threads": 1,\n "threads": 2}', 2, ["threads"]),
        ('{\n "threads": 1,\n}', 3, []),
        ("[]", 1, ["object"]),
        ("", 1, []),
        ("{", 1, []),
        ("{} {}", 1, []),
    ],
)
def test_a_bad_configuration_is_told_with_its_line_and_key(tmp_path, text, line, words):
    done, path = check(tmp_path, text)

    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"lighterd: {path}:{line}: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_a_configuration_that_is_not_there_is_told(tmp_path):
    done = run("--config", str(tmp_path / "none"))

    assert done.returncode == 2 and "none" in done.stderr


def test_the_command_line_wins_over_the_file(start_daemon, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"threads": 3, "max_daemon_bytes": 5000}))
    daemon = start_daemon("--threads", "1", "--config", str(path))

    status = daemon.ask("status")
    assert (status["threads"], status["max_daemon_bytes"]) == (1, 5000)


@pytest.mark.parametrize(
    "args",
    [
        ["--nonsense"],
        ["--threads"],
        ["--threads", "x"],
        ["--threads", "999"],
        ["word"],
        ["--max-frame-bytes", "4095"],
        ["--idle-exit", "-1"],
        ["--socket", ""],
    ],
)
def test_wrong_usage_ends_with_2(args):
    done = run(*args)

    assert done.returncode == 2 and "lighterd" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("args", [["--help"], ["--version"]])
def test_help_and_version_are_answered(args):
    done = run(*args)

    assert done.returncode == 0 and "lighterd" in done.stdout and done.stderr == ""
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


# ---- plugins ----


@pytest.fixture
def plugin_dir(tmp_path):
    directory = tmp_path / "plugins"
    directory.mkdir()
    for path in Path(daemons.PLUGIN_DIR).glob("*.so"):
        shutil.copy(path, directory)
    return directory


def compile_plugin(path, source):
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    # What is wrong is inside: a plugin is loaded into a sanitized daemon as it is.
    subprocess.run(
        [
            compiler,
            "-shared",
            "-fPIC",
            f"-I{daemons.ROOT}/include",
            "-x",
            "c",
            "-",
            "-o",
            path,
        ],
        input=source,
        text=True,
        check=True,
    )


PLUGIN = """
#include <lighter/plugin.h>
static int check(void *s, const struct lighter_batch *b, uint64_t *n,
                 struct lighter_error *e)
{ (void)s; (void)b; (void)e; *n = 0; return 0; }
static int write_(void *s, const struct lighter_task *t, struct lighter_output *o,
                  struct lighter_error *e)
{ (void)s; (void)t; (void)o; (void)e; return 0; }
static const struct lighter_option options[] = {
    {.name = "path", .type = LIGHTER_OPTION_TARGET, .required = true}, {.name = NULL}};
static const struct lighter_writer writer = {
    .size = sizeof writer, .name = "%(writer)s", .options = options, .options_size = 8, .check = %(check)s, .write = write_};
static const struct lighter_writer *const writers[] = {&writer, NULL};
const struct lighter_plugin lighter_plugin = {
    .abi = %(abi)s, .size = sizeof lighter_plugin, .name = %(name)s,
    .writers = writers};
"""
SOUND = {
    "writer": "mine",
    "check": "check",
    "abi": "LIGHTER_PLUGIN_ABI",
    "name": '"mine"',
}


def refused(daemon):
    return {Path(r["path"]).name: r["reason"] for r in daemon.ask("plugins")["refused"]}


def test_a_plugin_of_ones_own_is_taken(start_daemon, plugin_dir, tmp_path):
    compile_plugin(plugin_dir / "mine.so", PLUGIN % SOUND)
    daemon = start_daemon(plugin_dir=str(plugin_dir))

    writers = daemon.ask("plugins", name="mine")["writers"]
    assert [writer["name"] for writer in writers] == ["mine"]
    assert refused(daemon) == {}


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({"abi": "99"}, "ABI 99"),
        ({"abi": "0"}, "ABI 0"),
        ({"name": "NULL"}, "no name"),
        ({"writer": "csv"}, "'csv' is registered already"),
        ({"writer": ""}, "no name"),
        ({"check": "NULL"}, "no check"),
    ],
)
def test_an_unsound_plugin_is_refused_and_the_rest_works(
    start_daemon, plugin_dir, tmp_path, changed, reason
):
    compile_plugin(plugin_dir / "mine.so", PLUGIN % {**SOUND, **changed})
    daemon = start_daemon(plugin_dir=str(plugin_dir))

    (said,) = refused(daemon).values()
    assert reason in said and "\n" not in said
    assert daemon.log().count("refused the plugin") == 1
    daemon.check_serves(tmp_path)


def test_files_that_are_no_plugins_are_refused_and_the_rest_works(
    start_daemon, plugin_dir, tmp_path
):
    (plugin_dir / "text.so").rename(plugin_dir / "a.so")
    (plugin_dir / "empty.so").touch()
    (plugin_dir / "note.so").write_text("not a shared object\n")
    (plugin_dir / "dir.so").mkdir()
    (plugin_dir / "link.so").symlink_to("/nowhere")
    (plugin_dir / "twice.so").write_bytes((plugin_dir / "csv.so").read_bytes())
    (plugin_dir / "readme.txt").write_text("left alone")
    compile_plugin(plugin_dir / "foreign.so", "int foreign;")
    compile_plugin(
        plugin_dir / "lacking.so", "void gone(void); void f(void) { gone(); }"
    )

    daemon = start_daemon(plugin_dir=str(plugin_dir))

    found = refused(daemon)
    assert sorted(found) == [
        f"{name}.so"
        for name in ("dir", "empty", "foreign", "lacking", "link", "note", "twice")
    ]
    assert "no symbol lighter_plugin" in found["foreign.so"]
    assert "'csv' is registered already" in found["twice.so"]
    assert not any("\n" in reason for reason in found.values())
    daemon.check_serves(tmp_path)
    assert {"image_2d", "tensor", "text"} <= set(
        daemon.ask("hello", protocol=1)["encoders"]
    )


@pytest.mark.parametrize("n_bytes", [10, 64, 500, 3000, 8000, 20_000])
def test_a_plugin_that_is_cut_off_is_refused_and_the_rest_works(
    start_daemon, plugin_dir, tmp_path, n_bytes
):
    """As half an installation leaves it. What the file lacks must not be touched."""
    (plugin_dir / "torn.so").write_bytes((plugin_dir / "csv.so").read_bytes()[:n_bytes])

    daemon = start_daemon(plugin_dir=str(plugin_dir))

    assert list(refused(daemon)) == ["torn.so"]
    daemon.check_serves(tmp_path)


def test_check_config_tells_of_refused_plugins(plugin_dir):
    (plugin_dir / "note.so").write_text("no plugin")

    done = run("--plugin-dir", str(plugin_dir), "--check-config")

    assert done.returncode == 2
    assert done.stderr.startswith(
        f"lighterd: refused the plugin {plugin_dir}/note.so: "
    )


def test_without_plugins_the_daemon_runs_and_says_so(start_daemon, tmp_path):
    (tmp_path / "none").mkdir()
    daemon = start_daemon(plugin_dir=str(tmp_path / "none"))

    assert daemon.ask("hello", protocol=1)["writers"] == []
    assert "no writer" in daemon.log()
    with pytest.raises(ValueError, match="no writer is called 'csv'; there are: none"):
        with lighterd.run(
            lighterd.csv(tmp_path / "t.csv", ["x"]), socket=daemon.socket
        ):
            pass


def test_a_plugin_directory_that_is_not_there_is_an_error(socket_dir, tmp_path):
    done = run(
        "--foreground",
        "--socket",
        f"{socket_dir}/s",
        "--plugin-dir",
        str(tmp_path / "no"),
    )

    assert done.returncode == 1 and str(tmp_path / "no") in done.stderr
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError):
        client.connect(f"{socket_dir}/s")


def test_it_starts_and_ends_fast(socket_dir):
    begin = time.monotonic()
    daemon = daemons.Daemon(f"{socket_dir}/s")
    daemon.end()

    assert time.monotonic() - begin < 5
