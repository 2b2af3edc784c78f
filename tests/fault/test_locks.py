"""A file system without locks (Lustre without -o flock, some NFS) is no reason to stop."""

import errno
from contextlib import closing

import pytest
import runs
import shims

from lighterd.launch import connect

NO_LOCKS = ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL"]


@pytest.mark.parametrize("error", NO_LOCKS)
def test_without_locks_all_is_written_and_one_warning_says_so(start_daemon, tmp_path, error):
    env = shims.build("no_flock", tmp_path)
    daemon = start_daemon(env={**env, "NO_FLOCK": str(getattr(errno, error))})
    for name in ("first", "second"):
        with closing(connect(daemon.socket)) as connection:
            runs.write(runs.open_job(connection, tmp_path / name, 0, 1), 0, 2)
    assert runs.shown(tmp_path / "first") == runs.shown(tmp_path / "second")
    assert "table.csv" in runs.shown(tmp_path / "first")
    assert daemon.log().count("goes on without locks") == 1


def test_another_error_of_a_lock_still_is_one(start_daemon, tmp_path):
    env = shims.build("no_flock", tmp_path)
    with pytest.raises(AssertionError, match="Input/output error"):
        start_daemon(env={**env, "NO_FLOCK": str(errno.EIO)})
