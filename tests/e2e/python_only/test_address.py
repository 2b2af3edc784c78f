import os
import stat

import pytest

import lighterd
from lighterd import address


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """Neither a runtime directory, nor root, nor a system socket."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(address, "SYSTEM_SOCKET", str(tmp_path / "system.sock"))
    monkeypatch.setattr(os, "geteuid", lambda: 4242)


def test_what_is_told_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("LIGHTERD_SOCKET", "/from/environment")

    assert address.resolve(tmp_path / "told") == str(tmp_path / "told")


def test_the_environment_comes_before_the_runtime_directory(monkeypatch):
    monkeypatch.setenv("LIGHTERD_SOCKET", "/from/environment")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")

    assert address.resolve() == "/from/environment"


def test_the_runtime_directory_counts_unless_it_is_empty(nowhere, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert address.resolve() == "/run/user/7/lighterd/lighterd.sock"

    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(address, "_check_private", lambda directory: None)
    assert address.resolve() == "/tmp/lighterd-4242/lighterd.sock"


def test_root_uses_the_system_socket(nowhere, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert address.resolve() == address.SYSTEM_SOCKET


def test_a_user_uses_the_system_socket_where_there_is_one(nowhere):
    open(address.SYSTEM_SOCKET, "w").close()

    assert address.resolve() == address.SYSTEM_SOCKET


def test_a_path_of_107_bytes_fits_and_one_of_108_does_not():
    assert address.resolve("/" + "x" * 106)

    with pytest.raises(ValueError, match="108 bytes"):
        address.resolve("/" + "ü" * 53 + "x")


def test_a_directory_for_oneself_is_private(tmp_path):
    directory = tmp_path / "mine"
    address._check_private(str(directory))  # is made where it is missing
    address._check_private(str(directory))

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("make", ["open", "link", "file"])
def test_a_directory_that_others_may_have_made_is_an_error(tmp_path, make):
    path = tmp_path / "lighterd"
    if make == "open":
        path.mkdir()
        path.chmod(0o755)
    elif make == "link":
        (tmp_path / "real").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "real")
    else:
        path.touch(mode=0o700)

    with pytest.raises(lighterd.ConnectionError, match="mode 0700"):
        address._check_private(str(path))


def test_a_directory_of_another_user_is_an_error(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(lighterd.ConnectionError, match="mode 0700"):
        address._check_private(str(tmp_path))
