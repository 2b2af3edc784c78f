"""A disk is full, for real: a batch waits for space or is refused, nothing is damaged.

The disks are small: a tmpfs, or an ext4 in a file; full of bytes, or of inodes. The
daemon is never restarted: what helps is space.
"""

import errno
import os
import threading
import time

import daemons
import disks
import epochs
import judges
import lighterd
import pytest
import rawclient

ROWS = 4


@pytest.fixture
def make_disk(tmp_path):
    disks.need_root()
    made = []

    def make(kind, size=4 << 20, options=()):
        made.append(disks.Disk(tmp_path / f"disk{len(made)}", kind, size, options))
        return made[-1]

    yield make
    for disk in made:
        disk.done()


def fill(disk, leave=0):
    """A file that takes all of the bytes, but for `leave`."""
    path = disk.path / "ballast"
    with open(path, "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError as full:
            assert full.errno == errno.ENOSPC
        os.ftruncate(ballast.fileno(), os.fstat(ballast.fileno()).st_size - leave)
    disks.run("sync", "-f", disk.path)
    return path


def fill_inodes(disk):
    """Empty files, until there can be no more."""
    directory = disk.path / "many"
    directory.mkdir()
    try:
        for index in range(1 << 20):
            (directory / str(index)).touch()
    except OSError as full:
        assert full.errno == errno.ENOSPC
    return directory


def empty(path):
    disks.run("rm", "-r", path)


def rows(version, n=ROWS):
    numbers = range(n)
    return {
        "id": [f"{version}{i}" for i in numbers],
        "v": [f"{i}" * 3000 for i in numbers],
    }


def writers(directory):
    return (
        lighterd.csv(str(directory / "p.csv"), keys=["id", "v"]),
        lighterd.file(str(directory / "f"), "v", "text", "id"),
    )


def write_epoch(daemon, directory, job="j", n=4, **more):
    where = {"job": job, "socket": daemon.socket}
    with lighterd.run(*writers(directory), **where, **more) as out:
        for index in range(n):
            out.write(rows(f"b{index}_"))


def check_epoch(directory, n=4):
    batches = [rows(f"b{index}_") for index in range(n)]
    table = judges.table(["id", "v"], batches)
    assert (directory / "p.csv").read_bytes() == table
    assert len(list((directory / "f").iterdir())) == n * ROWS
    for batch in batches:
        for id, value in zip(batch["id"], batch["v"]):
            (found,) = (directory / "f").glob(f"{id}.*")
            assert found.read_text() == value
    assert not epochs.leftovers(directory)


def in_background(function):
    """Call it in a thread; its end, or its error, is told by the last call."""
    problems = []

    def run():
        try:
            function()
        except Exception as problem:
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def finish():
        thread.join(60)
        assert not thread.is_alive(), "it still waits"
        if problems:
            raise problems[0]

    return finish


KINDS = ["tmpfs", "ext4"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_waiting_a_full_disk_is_an_error(kind, make_disk, start_daemon):
    disk = make_disk(kind)
    daemon = start_daemon("--full-wait", "0")
    write_epoch(daemon, disk.path)
    before = epochs.tree(disk.path)
    ballast = fill(disk)

    with pytest.raises(OSError) as caught:
        write_epoch(daemon, disk.path, n=3)

    assert caught.value.errno == errno.ENOSPC
    assert "No space left on device" in str(caught.value)
    empty(ballast)
    assert epochs.tree(disk.path) == before
    write_epoch(daemon, disk.path)
    check_epoch(disk.path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_names_file_and_sample(kind, make_disk, start_daemon):
    """The first sample has room, the second has none."""
    disk = make_disk(kind)
    daemon = start_daemon("--full-wait", "0", "--threads", "1")
    writer = rawclient.file_writer(disk.path / "f", name_key="id")

    with daemon.raw() as client:
        client.call("open", job="j", writers=[writer])
        ballast = fill(disk, leave=64 << 10)
        values = ["a" * 1000, "b" * 200_000]
        refused = client.refusal(
            "write", job=1, seq=1, outputs={"id": ["one", "two"], "v": values}
        )
        empty(ballast)
        client.call("write", job=1, seq=2, outputs={"id": ["two"], "v": ["c"]})
        client.call("end", job=1)

    assert refused.details["errno_name"] == "ENOSPC"
    assert refused.details["sample"] == 1 and "two" in refused.message
    (only,) = (disk.path / "f").iterdir()
    assert only.read_text() == "c"


@pytest.mark.parametrize("fill_with", [fill, fill_inodes])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_waits_for_space_and_others_go_on(
    kind, fill_with, make_disk, start_daemon, tmp_path
):
    options = {"tmpfs": ["nr_inodes=200"], "ext4": ["-N", "200"]}[kind]
    disk, other = make_disk(kind, options=options), tmp_path / "other"
    daemon = start_daemon()
    with lighterd.run(*writers(disk.path), job="j", socket=daemon.socket) as out:
        out.write(rows("b0_"))
        out.flush()
        ballast = fill_with(disk)
        finish = in_background(lambda: [out.write(rows(f"b{i}_")) for i in (1, 2, 3)])
        daemons.until(lambda: "waits job=j" in daemon.log(), "it waits")

        write_epoch(daemon, other, job="other")
        check_epoch(other)
        daemons.until(lambda: daemon.job("j")["waits"], "`jobs` says so")
        assert daemon.job("j")["state"] == "open"
        assert "No space left on device" in daemon.log()

        empty(ballast)
        finish()
    check_epoch(disk.path)


def test_a_full_state_directory_is_waited_for(make_disk, start_daemon, tmp_path):
    disk, outputs = make_disk("tmpfs", 1 << 20), tmp_path / "out"
    state = ["--state-dir", str(disk.path / "state")]
    daemon = start_daemon(*state, "--sync-interval", "1")
    with lighterd.run(*writers(outputs), job="j", socket=daemon.socket) as out:
        out.write(rows("b0_"))
        out.flush()
        ballast = fill(disk)
        more = [rows(f"b{i}_", n=200) for i in range(1, 4)]  # names fill a page

        def write_more():
            for each in more:
                out.write(each)
            out.flush()

        finish = in_background(write_more)
        daemons.until(lambda: "waits job=j" in daemon.log(), "it waits")
        time.sleep(1.5)  # the daemon syncs meanwhile, and cannot note it
        assert daemon.job("j")["state"] == "open"
        empty(ballast)
        finish()
    assert (outputs / "p.csv").read_bytes() == judges.table(
        ["id", "v"], [rows("b0_"), *more]
    )


def test_without_room_for_its_state_no_job_begins(make_disk, start_daemon, tmp_path):
    disk, outputs = make_disk("tmpfs", 1 << 20), tmp_path / "out"
    daemon = start_daemon("--state-dir", str(disk.path / "state"), "--full-wait", "0")
    ballast = fill(disk)

    with pytest.raises(OSError, match="No space left on device"):
        write_epoch(daemon, outputs)

    empty(ballast)
    write_epoch(daemon, outputs)
    check_epoch(outputs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_full_at_publication(kind, make_disk, start_daemon):
    """The shards do not fit twice; what was there before stays, and space helps."""
    disk = make_disk(kind)
    daemon = start_daemon()
    (disk.path / "p.csv").write_text("before")
    table = rawclient.csv_writer(disk.path / "p.csv")
    with daemon.raw() as one, daemon.raw() as two:
        for rank, client in enumerate((one, two)):
            client.call("open", job="j", rank=rank, world_size=2, writers=[table])
            client.call("write", job=1, seq=1, outputs={"x": [str(rank) * 100_000]})
        ballast = fill(disk)
        ids = [client.post("end", job=1) for client in (one, two)]
        for client, id in zip((one, two), ids):
            with pytest.raises(rawclient.Refused, match="No space left on device"):
                client.answer(id)
    daemon.until_state("j", "failed")
    assert "No space left on device" in daemon.job("j")["error"]
    assert (disk.path / "p.csv").read_text() == "before"

    with daemon.raw() as client:
        refused = client.refusal("finalize", job="j", stage="predict")
        assert refused.details["errno_name"] == "ENOSPC"
        assert (disk.path / "p.csv").read_text() == "before"
        empty(ballast)
        client.call("finalize", job="j", stage="predict")
    expected = judges.table(["x"], [{"x": [c * 100_000]} for c in "01"])
    assert (disk.path / "p.csv").read_bytes() == expected
    assert not epochs.leftovers(disk.path)
