"""The commands of README and man pages do what they are there for: each is run.

One that cannot be run here stands in NOT_RUN, with the reason; so none is forgotten.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import daemons
import pytest

PAGES = sorted((daemons.ROOT / "doc").glob("*.[1-8]"))

NOT_RUN = {
    "tools/quickstart": "it installs packages, and takes minutes",
    "tools/test": "it runs this test",
    "./bootstrap && ./configure && make && sudo make install && sudo ldconfig": (
        "it installs; tools/test does so elsewhere, by distcheck"
    ),
    "lighterctl watch --wait predictions && ./evaluate predictions.csv\n": (
        "it waits for a job, and test_ctl_watch.py does"
    ),
    "pip install ./client/python": "test_pip_installs_the_python_client does, elsewhere",
}

# A job that is over and was not published, by each of the names that examples use.
UNFINISHED = ("job", "predictions.csv-3d20bce0")


# ---- what stands there ----


def blocks_of(page):
    """The literal blocks of a man page, as they are shown."""
    source = page.read_text()
    for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", source, re.M | re.S):
        yield block.replace(r"\e", "\\").replace(r"\-", "-").replace(r"\&", "")


def commands_in(block):
    """Pairs of a command and the lines that are shown below it."""
    lines = block.splitlines()
    while lines:
        line = lines.pop(0)
        if not line.startswith("$ "):
            continue
        command = line[2:]
        while command.endswith(("|", "\\")) and lines:
            command += "\n" + lines.pop(0)
        shown = []
        while lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        yield command, "".join(f"{line}\n" for line in shown)


def of_man_pages():
    for page in PAGES:
        for block in blocks_of(page):
            if "\n$ " not in f"\n{block}" and re.match("lighter(d|ctl) ", block):
                yield page.name, block, ""  # a script
            for command, shown in commands_in(block):
                yield page.name, command, shown


def of_readme():
    readme = (daemons.ROOT / "README.md").read_text()
    for block in re.findall(r"^```sh\n(.*?)^```", readme, re.M | re.S):
        for line in block.splitlines():
            command = re.split(r"\s+#", line)[0].strip()
            if command:
                yield "README.md", command, ""


EXAMPLES = [*of_man_pages(), *of_readme()]
CONFIG = next(shown for _, command, shown in EXAMPLES if command == "cat lighterd.json")


def test_examples_are_found():
    commands = [command for _, command, _ in EXAMPLES]
    assert {page.name for page in PAGES} >= {"lighterd.8", "lighterctl.1"}
    for one in ("lighterctl jobs", "lighterctl plugins csv", "tools/quickstart"):
        assert one in commands
    assert any("jq" in command for command in commands)
    assert set(NOT_RUN) <= set(commands)


# ---- and is done ----


@pytest.fixture
def place(start_daemon, tmp_path, monkeypatch):
    """A directory, both programs on the path, and a daemon with unfinished jobs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "lighterctl").symlink_to(daemons.LIGHTERCTL)
    # as if the plugins had been installed where it looks for them
    starter = programs / "lighterd"
    starter.write_text(
        f'#!/bin/sh\nexec {daemons.LIGHTERD} --plugin-dir {daemons.PLUGIN_DIR} "$@"\n'
    )
    starter.chmod(0o755)
    (tmp_path / "lighterd.json").write_text(CONFIG)
    daemon = start_daemon()
    with daemon.raw() as client:
        for i, name in enumerate(UNFINISHED):
            opened = client.open_csv(tmp_path / f"{i}.csv", job=name)
            client.call("write", job=opened["handle"], seq=1, outputs={"x": [1]})
            client.call("abort", job=opened["handle"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("LIGHTERD", str(starter))
    monkeypatch.setenv("LIGHTERD_SOCKET", daemon.socket)
    return daemon


def in_foreground(command, socket):
    """A daemon that stays where it was started: it serves until it is told to end."""
    process = subprocess.Popen(command, shell=True, start_new_session=True)
    try:
        daemons.until(
            lambda: subprocess.run(
                [daemons.LIGHTERCTL, "--socket", socket, "ping"], capture_output=True
            ).returncode
            == 0,
            "it serves",
        )
    finally:
        os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(daemons.DEADLINE_S) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    "command, shown",
    [
        pytest.param(command, shown, id=f"{page}: {command[:60]}")
        for page, command, shown in EXAMPLES
        if command not in NOT_RUN
    ],
)
def test_the_example_works(place, socket_dir, command, shown):
    if "jq" in command and not shutil.which("jq"):
        pytest.skip("there is no jq")
    if "--foreground" in command:
        socket = os.path.join(socket_dir, "l.sock")
        in_foreground(command.replace("/tmp/l.sock", socket), socket)
        return

    done = subprocess.run(
        *(["bash", "-o", "pipefail", "-c", command],),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done
    if "..." not in shown:
        assert shown in ("", done.stdout)
    if "shutdown" in command:
        assert place.wait() == 0


@pytest.mark.parametrize("name", ["protocol", "plugins"])
def test_a_document_is_a_manual_too(name):
    """All of its headings are there, and groff has nothing to say."""
    page = Path(daemons.LIGHTERD).parent / "doc" / f"lighterd-{name}.7"
    if not page.exists() or not shutil.which("man"):
        pytest.skip("there is no man, or was no lowdown when it was built")
    document = (daemons.ROOT / "doc" / f"{name}.md").read_text()

    shown = subprocess.run(
        ["man", "--warnings=mac", "-l", page],
        env={**os.environ, "MANWIDTH": "200", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stderr == ""
    assert f"lighterd-{name} - " in shown.stdout
    words = " ".join(shown.stdout.split())
    text = re.sub(r"```.*?```", "", document, flags=re.S)
    for heading in re.findall(r"^#+ (.*)", text, re.M):
        assert heading.replace("`", "") in words, heading


def test_pip_installs_the_python_client(tmp_path):
    """With its C module, where there is a compiler."""
    source, site = tmp_path / "client", tmp_path / "site"
    shutil.copytree(
        daemons.CLIENT, source, ignore=shutil.ignore_patterns("build", "*.so")
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    # nothing is to be fetched: setuptools and what the client needs are here
    local = ["--no-build-isolation", "--no-index", "--no-deps", "--target", str(site)]
    pytest.importorskip("setuptools")
    if subprocess.run([*pip[:3], "--version"], capture_output=True).returncode:
        pytest.skip("there is no pip")

    done = subprocess.run([*pip, *local, source], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    code = (
        "import lighterd, lighterd.native as n; import importlib.metadata as m; "
        "print(lighterd.__file__, m.version('lighterd'), n.module is not None)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    has_compiler = bool(shutil.which("gcc") or shutil.which("cc"))
    assert said.stdout.split() == [
        *(str(site / "lighterd" / "__init__.py"), "0.1.0", str(has_compiler))
    ], said
