"""Completion for shells, as a shell asks for it."""

import contextlib
import os
import re
import shutil
import subprocess

import daemons
import pytest

COMPLETION = daemons.ROOT / "completion"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Both are found by their names."""
    for path in (daemons.LIGHTERD, daemons.LIGHTERCTL):
        (tmp_path / os.path.basename(path)).symlink_to(path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def run(command, cwd=None, timeout=60):
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=timeout
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()


@pytest.fixture
def bash(programs, tmp_path):
    """What bash offers for a command line's last word."""

    def offers(*words):
        script = (
            'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
            '_"$1" "$1"; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        path = COMPLETION / "bash" / words[0]
        given = ["bash", "-c", script, "bash", str(path), *words]
        return [line for line in run(given, tmp_path) if line]

    return offers


@pytest.fixture
def fish(programs, tmp_path, monkeypatch):
    if not shutil.which("fish"):
        pytest.skip("there is no fish")
    monkeypatch.setenv("HOME", str(tmp_path))

    def offers(line):
        program = line.split()[0]
        path = COMPLETION / "fish" / f"{program}.fish"
        script = f"source {path}; complete -C {line!r}"
        return [each.split("\t")[0] for each in run(["fish", "-c", script])]

    return offers


def help_of(*command):
    done = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    return done.stdout


def verbs():
    told = help_of(daemons.LIGHTERCTL)
    found = re.findall(
        r"^  (\w+) ", told[told.index("\nverbs") :].split("\n\n")[0], re.M
    )
    assert {"status", "jobs", "config", "shutdown"} <= set(found)
    return found


def options(program):
    found = re.findall(r"^ .*?(--[a-z-]+)", help_of(program), re.M)
    assert {"--socket", "--help", "--version"} <= set(found)
    return found


@pytest.fixture
def jobs(daemon, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTERD_SOCKET", daemon.socket)
    with daemon.raw() as client:
        client.open_csv(tmp_path / "a.csv", job="alpha")
        client.open_csv(tmp_path / "b.csv", job="beta 2")
        yield daemon
        client.call("abort", job=1)
        client.call("abort", job=2)


# ---- bash ----


def test_bash_offers_every_verb(bash):
    assert bash("lighterctl", "") == verbs()
    assert bash("lighterctl", "--json", "pi") == ["ping"]
    assert bash("lighterctl", "--socket", "/x", "--stage", "fit", "pi") == ["ping"]


def test_bash_offers_every_option(bash):
    assert bash("lighterctl", "--") == options(daemons.LIGHTERCTL)
    assert bash("lighterctl", "status", "--js") == ["--json"]
    assert bash("lighterd", "") == options(daemons.LIGHTERD)


def test_bash_offers_values(bash, tmp_path):
    (tmp_path / "settings.json").write_text("{}")
    assert bash("lighterctl", "--stage", "") == ["predict", "validate", "test", "fit"]
    assert bash("lighterctl", "shutdown", "--timeout", "") == []
    assert bash("lighterd", "--log-level", "w") == ["warning"]
    assert bash("lighterd", "--config", "set") == ["settings.json"]
    assert bash("lighterd", "--threads", "") == []


def test_bash_offers_what_a_verb_takes(bash, tmp_path):
    (tmp_path / "settings.json").write_text("{}")
    assert bash("lighterctl", "config", "") == ["show", "check"]
    assert bash("lighterctl", "config", "check", "set") == ["settings.json"]
    assert bash("lighterctl", "config", "show", "") == []
    assert bash("lighterctl", "status", "") == []


def test_bash_offers_jobs_and_plugins_of_the_daemon(bash, jobs):
    assert bash("lighterctl", "discard", "") == ["alpha", r"beta\ 2"]
    assert bash("lighterctl", "freeze", "al") == ["alpha"]
    assert bash("lighterctl", "freeze", "alpha", "") == []
    assert "image_2d" in bash("lighterctl", "plugins", "im")


def test_bash_asks_the_daemon_that_is_named(bash, jobs, monkeypatch):
    monkeypatch.delenv("LIGHTERD_SOCKET")
    assert bash("lighterctl", "--socket", jobs.socket, "discard", "a") == ["alpha"]


def test_every_verb_that_takes_a_job_says_so_in_its_usage(bash, jobs):
    """What a verb takes is read from there."""
    for verb in verbs():
        if re.search(rf"^usage:.* {verb} \[?JOB", help_of(daemons.LIGHTERCTL, verb)):
            assert "alpha" in bash("lighterctl", verb, ""), verb


# ---- the others ----


def test_fish_offers_verbs_options_and_jobs(fish, jobs):
    assert sorted(fish("lighterctl ")) == sorted(verbs())
    assert set(options(daemons.LIGHTERCTL)) <= set(fish("lighterctl --"))
    assert fish("lighterctl config ") == ["check", "show"]
    assert fish("lighterctl discard al") == ["alpha"]
    assert set(options(daemons.LIGHTERD)) <= set(fish("lighterd --"))
    assert fish("lighterd --log-level w") == ["warning"]


@pytest.mark.parametrize("name", ["_lighterctl", "_lighterd"])
def test_zsh_understands_its_files(name):
    if not shutil.which("zsh"):
        pytest.skip("there is no zsh")
    run(["zsh", "-n", COMPLETION / "zsh" / name])


# What zsh's own functions would be told to offer, a line each.
ZSH = r"""
compadd() { if [[ $1 == -a ]]; then print -rl -- ${(P)2}; else print -rl -- "$@"; fi }
_describe() { print -rl -- ${${(P)2}%%:*} }
_files() { print FILES }
file=$1; shift
words=("$@")
CURRENT=$#words
source $file
"""


@pytest.fixture
def zsh(programs):
    if not shutil.which("zsh"):
        pytest.skip("there is no zsh")

    def offers(*words):
        path = COMPLETION / "zsh" / f"_{words[0]}"
        command = ["zsh", "-f", "-c", ZSH, "zsh", path, *words]
        for _ in range(2):  # once, on a busy machine, it waited for ever; why is unknown
            with contextlib.suppress(subprocess.TimeoutExpired):
                return run(command, timeout=20)
        return run(command, timeout=20)

    return offers


def test_zsh_offers_verbs_options_and_jobs(zsh, jobs):
    assert zsh("lighterctl", "") == verbs()
    assert zsh("lighterctl", "--json", "--stage", "fit", "") == verbs()
    assert zsh("lighterctl", "--") == options(daemons.LIGHTERCTL)
    assert zsh("lighterctl", "config", "") == ["show", "check"]
    assert zsh("lighterctl", "config", "check", "") == ["FILES"]
    assert zsh("lighterctl", "config", "show", "") == []
    assert zsh("lighterctl", "discard", "") == ["alpha", "beta 2"]
    assert zsh("lighterctl", "--socket", jobs.socket, "freeze", "") == [
        "alpha",
        "beta 2",
    ]
    assert "image_2d" in zsh("lighterctl", "plugins", "")
    assert zsh("lighterctl", "freeze", "alpha", "") == []
    assert zsh("lighterctl", "--stage", "") == ["predict", "validate", "test", "fit"]
    assert zsh("lighterd", "") == options(daemons.LIGHTERD)
    assert zsh("lighterd", "--log-level", "") == ["error", "warning", "info", "debug"]
