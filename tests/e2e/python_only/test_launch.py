import socket
import subprocess
import sys
import threading

import pytest

import lighterd
from lighterd import launch


@pytest.fixture
def address(tmp_path):
    return str(tmp_path / "s")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make $LIGHTERD a shell script."""

    def make(script):
        path = tmp_path / "lighterd"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("LIGHTERD", str(path))

    return make


def test_a_daemon_that_cannot_start_says_why_and_what_to_run(address, program):
    program('echo "no space for $1 $2 $3 $4" >&2; exit 1')

    with pytest.raises(lighterd.ConnectionError) as excinfo:
        launch.connect(address)

    text = str(excinfo.value)
    assert f"no space for --socket {address} --idle-exit 60" in text
    assert f"Start one with: lighterd --socket {address}" in text
    assert isinstance(excinfo.value, OSError)


def test_without_a_binary_the_error_says_so(address, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(launch, "__file__", str(tmp_path / "a/b/c/d/launch.py"))

    with pytest.raises(lighterd.ConnectionError, match=r"\$LIGHTERD"):
        launch.connect(address)


@pytest.mark.parametrize("directory", ["sbin", "bin"])
def test_the_binary_of_our_own_prefix_is_found(tmp_path, monkeypatch, directory):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(
        launch, "__file__", str(tmp_path / "lib/python3/site-packages/lighterd/l.py")
    )
    binary = tmp_path / directory / "lighterd"
    binary.parent.mkdir()
    binary.touch(mode=0o755)

    assert launch._binary("s") == str(binary)


def test_who_loses_the_race_connects_as_soon_as_the_winner_listens(address, program):
    program("exit 3")
    listening = socket.socket(socket.AF_UNIX)

    def listen():
        listening.bind(address)
        listening.listen()

    timer = threading.Timer(0.2, listen)
    timer.start()
    launch._start(address)
    launch._dial(address, None).close()
    timer.join()
    listening.close()


def test_a_daemon_that_keeps_stderr_open_does_not_keep_us(address, program):
    program("sleep 20 & exit 1")

    with pytest.raises(lighterd.ConnectionError, match="ended with 1"):
        launch.connect(address)


def test_importing_the_client_imports_neither_torch_nor_lightning():
    code = (
        f"import sys; sys.path = {sys.path}; import lighterd;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning')))"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
