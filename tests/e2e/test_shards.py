"""What is published is what was written; what others have left stays as it is.

Shards are edited, cut, replaced and removed behind the daemon's back, in every state of
a job. tests/fault/test_two_daemons.py lets two daemons do that to each other.
"""

import gzip
import hashlib
import os
import shutil
import subprocess

import daemons
import pytest
from rawclient import csv_writer

ROWS = b"x\r\n1\r\n2\r\n"


@pytest.fixture
def kill(start_daemon):
    """Kill a daemon; the next one on its socket."""
    started = []

    def again(daemon):
        daemon.kill()
        started.append(daemons.Daemon(daemon.socket))
        return started[-1]

    yield again
    daemons.all_ended(started[-1:])


def write(client, *values, first=1, job=1):
    for seq, value in enumerate(values, first):
        client.call("write", job=job, seq=seq, outputs={"x": [value]})


def begin(daemon, path, *values, **more):
    """A client that has written so many batches."""
    client = daemon.raw()
    opened = client.open_csv(path, **more)
    write(client, *values, job=opened["handle"])
    return client, opened


def edit(path):
    """The same size, the same inode."""
    with open(path, "r+b") as file:
        file.seek(3)
        file.write(b"7")


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def empty(path):
    os.truncate(path, 0)


def append(path):
    with open(path, "ab") as file:
        file.write(b"3\r\n")


def replace(path):
    """By the same name, size and length: another file of other rows."""
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[:3] + b"7\r\n8\r\n")
    os.replace(other, path)


def remove(path):
    path.unlink()


DAMAGE = [edit, cut, empty, append, replace, remove]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_shard_that_is_damaged_while_the_job_runs_is_not_published(
    start_daemon, tmp_path, damage, rank
):
    daemon = start_daemon()
    (tmp_path / "p.csv").write_bytes(b"the table before\r\n")
    clients = [
        begin(daemon, tmp_path / "p.csv", 1, 2, rank=number, world_size=2)[0]
        for number in (0, 1)
    ]
    damage(tmp_path / f"p.tmp_rank{rank}.csv")
    clients[0].call("end", job=1, wait=False)
    refused = clients[1].refusal("end", job=1)
    for client in clients:
        client.close()

    assert refused.code == "bad_state"
    assert f"'p.tmp_rank{rank}.csv'" in refused.message
    assert (tmp_path / "p.csv").read_bytes() == b"the table before\r\n"
    daemon.until_state("p", "failed")


@pytest.mark.parametrize("damage", [edit, cut, replace, remove])
@pytest.mark.parametrize("dies", [False, True])
def test_a_new_process_does_not_go_on_with_a_damaged_shard(
    start_daemon, kill, tmp_path, damage, dies
):
    daemon = start_daemon()
    begin(daemon, tmp_path / "p.csv", 1, 2)[0].close()
    daemon.until_state("p", "interrupted")
    damage(tmp_path / "p.tmp_rank0.csv")
    damaged = {path: path.read_bytes() for path in tmp_path.iterdir()}
    if dies:
        daemon = kill(daemon)
    with daemon.raw() as client:
        refused = client.refusal(
            "open", job="p", resume=True, writers=[csv_writer(tmp_path / "p.csv")]
        )
    assert refused.code == "bad_state"
    assert "'p.tmp_rank0.csv'" in refused.message
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == damaged


def test_the_error_says_which_batch_has_other_bytes(start_daemon, tmp_path):
    daemon = start_daemon()
    begin(daemon, tmp_path / "p.csv", 1, 2)[0].close()
    daemon.until_state("p", "interrupted")
    edit(tmp_path / "p.tmp_rank0.csv")
    with daemon.raw() as client, pytest.raises(Exception, match="rows of batch 1 have"):
        client.open_csv(tmp_path / "p.csv", resume=True)


def test_a_header_that_was_changed_is_noticed_too(start_daemon, tmp_path):
    daemon = start_daemon()
    begin(daemon, tmp_path / "p.csv", 1)[0].close()
    daemon.until_state("p", "interrupted")
    with open(tmp_path / "p.tmp_rank0.csv", "r+b") as file:
        file.write(b"y")
    with daemon.raw() as client, pytest.raises(Exception, match="its header has"):
        client.open_csv(tmp_path / "p.csv", resume=True)


def test_what_a_damaged_shard_was_made_of_can_be_put_back(start_daemon, kill, tmp_path):
    daemon = start_daemon()
    shard = tmp_path / "p.tmp_rank0.csv"
    begin(daemon, tmp_path / "p.csv", 1)[0].close()
    daemon.until_state("p", "interrupted")
    shutil.copy(shard, tmp_path / "copy")
    shard.unlink()
    with daemon.raw() as client:
        assert "is gone" in client.refusal("finalize", job="p", partial=True).message
    os.rename(tmp_path / "copy", shard)  # another inode, the same bytes
    with daemon.raw() as client:
        opened = client.open_csv(tmp_path / "p.csv", resume=True)
        assert opened["seq"] == 1
        write(client, 2, first=2, job=opened["handle"])
    daemon.until_state("p", "interrupted")
    daemon = kill(daemon)
    with daemon.raw() as client:
        client.call("finalize", job="p", partial=True)
    assert (tmp_path / "p.csv").read_bytes() == ROWS
    assert os.listdir(tmp_path) == ["p.csv"]


def test_what_another_daemon_has_left_is_warned_of_and_stays(start_daemon, tmp_path):
    one, other = start_daemon(), start_daemon()
    begin(one, tmp_path / "p.csv", 1)[0].close()
    one.until_state("p", "interrupted")
    left = (tmp_path / "p.tmp_rank0.csv").read_bytes()

    client, opened = begin(other, tmp_path / "p.csv", 5, resume=True)
    with client:
        (warning,) = opened["warnings"]
        assert f"{tmp_path}/p.tmp_rank0.csv was left there by another" in warning
        name = f"p.tmp_rank0.{opened['id']:016x}.csv"
        assert name in warning
        assert name in os.listdir(tmp_path)
        client.call("end", job=1)
    assert (tmp_path / "p.csv").read_bytes() == b"x\r\n5\r\n"
    assert (tmp_path / "p.tmp_rank0.csv").read_bytes() == left

    with one.raw() as client:  # and it can still be gone on with
        opened = client.open_csv(tmp_path / "p.csv", resume=True)
        assert opened["seq"] == 1
        client.call("end", job=opened["handle"])
    assert (tmp_path / "p.csv").read_bytes() == b"x\r\n1\r\n"
    assert os.listdir(tmp_path) == ["p.csv"]


def test_discard_removes_nothing_that_lies_in_a_shards_place(start_daemon, kill, tmp_path):
    daemon = start_daemon()
    begin(daemon, tmp_path / "p.csv", 1)[0].close()
    daemon.until_state("p", "interrupted")
    replace(tmp_path / "p.tmp_rank0.csv")
    daemon = kill(daemon)
    with daemon.raw() as client:
        client.call("discard", job="p")
    assert (tmp_path / "p.tmp_rank0.csv").read_bytes() == b"x\r\n7\r\n8\r\n"


def test_one_that_another_daemon_is_writing_is_refused(start_daemon, tmp_path):
    one, other = start_daemon(), start_daemon()
    with begin(one, tmp_path / "p.csv", 1)[0] as client:
        os.symlink(tmp_path, tmp_path / "link")
        with other.raw() as second, pytest.raises(Exception, match="another job"):
            second.open_csv(tmp_path / "link" / "p.csv")
        client.call("end", job=1)
    assert (tmp_path / "p.csv").read_bytes() == b"x\r\n1\r\n"


# ---- names and links ----


@pytest.mark.parametrize(
    "name", ["p.tmp_rank0.csv", ".lighterd.p.predict.0/p.csv", "p.tmp_rank3.0a.csv"]
)
def test_names_of_our_own_files_are_no_tables(start_daemon, tmp_path, name):
    daemon = start_daemon()
    with begin(daemon, tmp_path / "p.csv", 1)[0], daemon.raw() as other:
        with pytest.raises(Exception, match="lighterd's own files"):
            other.open_csv(tmp_path / name, job="q")


def test_a_name_without_room_for_the_last_rank_is_refused_to_the_first(
    start_daemon, tmp_path
):
    daemon = start_daemon()
    path = tmp_path / ("n" * 222 + ".csv")
    with daemon.raw() as client:
        with pytest.raises(Exception, match="names of its 20000 shards"):
            client.open_csv(path, rank=0, world_size=20000)
        client.open_csv(path, rank=0, world_size=2)


def test_a_link_stays_and_its_target_is_replaced(start_daemon, kill, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "old.csv").write_bytes(b"old")
    (tmp_path / "p.csv").symlink_to("data/old.csv")
    daemon = start_daemon()
    begin(daemon, tmp_path / "p.csv", 1, 2)[0].close()
    assert "old.tmp_rank0.csv" in os.listdir(tmp_path / "data")
    daemon = kill(daemon)
    with daemon.raw() as client:
        client.call("finalize", job="p", partial=True)
    assert os.readlink(tmp_path / "p.csv") == "data/old.csv"
    assert (tmp_path / "data" / "old.csv").read_bytes() == ROWS
    assert os.listdir(tmp_path / "data") == ["old.csv"]


def test_a_link_that_leads_out_of_the_roots_is_refused(start_daemon, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "p.csv").symlink_to(tmp_path / "outside.csv")
    daemon = start_daemon("--output-roots", str(root))
    with daemon.raw() as client, pytest.raises(Exception, match="output_roots"):
        client.open_csv(root / "p.csv")


# ---- compressed ----


def values(n):
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(n)]


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_table_called_gz_is_a_gzip_file(start_daemon, tmp_path, threads):
    path, text = tmp_path / "p.csv.gz", values(60000)  # some members of 1 MiB
    daemon = start_daemon("--threads", threads)
    clients = [daemon.raw() for _ in range(2)]
    for rank, client in enumerate(clients):
        client.open_csv(path, rank=rank, world_size=2)
        for seq in range(3):
            part = text[(3 * rank + seq) * 10000 :][:10000]
            client.call("write", job=1, seq=seq + 1, outputs={"x": part})
    shard = (tmp_path / "p.tmp_rank0.gz.csv").read_bytes()
    assert shard.startswith(b"x\r\n" + text[0].encode())
    clients[0].call("end", job=1, wait=False)
    clients[1].call("end", job=1)
    for client in clients:
        client.close()

    wanted = "".join(f"{line}\r\n" for line in ["x", *text]).encode()
    assert gzip.decompress(path.read_bytes()) == wanted
    subprocess.run(["gzip", "-t", path], check=True)
    assert path.stat().st_size < len(wanted) * 0.7
    assert os.listdir(tmp_path) == ["p.csv.gz"]


def test_gz_in_capitals_is_gzip_too(start_daemon, tmp_path):
    with start_daemon().raw() as client:
        client.open_csv(tmp_path / "t.csv.GZ")
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        client.call("end", job=1)
    assert gzip.decompress((tmp_path / "t.csv.GZ").read_bytes()) == b"x\r\n1\r\n"
    assert os.listdir(tmp_path) == ["t.csv.GZ"]


def test_pandas_reads_a_compressed_table(start_daemon, tmp_path):
    pandas = pytest.importorskip("pandas")
    daemon = start_daemon()
    with begin(daemon, tmp_path / "p.csv.gz", 1, 2)[0] as client:
        client.call("end", job=1)
    assert list(pandas.read_csv(tmp_path / "p.csv.gz")["x"]) == [1, 2]


def test_a_compressed_table_survives_the_daemon(start_daemon, kill, tmp_path):
    daemon = start_daemon()
    begin(daemon, tmp_path / "p.csv.gz", 1, 2)[0].close()
    daemon = kill(daemon)
    with daemon.raw() as client:
        opened = client.open_csv(tmp_path / "p.csv.gz", resume=True)
        assert opened["seq"] == 2
        client.call("end", job=opened["handle"])
    assert gzip.decompress((tmp_path / "p.csv.gz").read_bytes()) == ROWS
    assert os.listdir(tmp_path) == ["p.csv.gz"]


def test_a_compressed_table_that_cannot_be_published_leaves_its_shards(
    start_daemon, tmp_path
):
    daemon = start_daemon()
    with begin(daemon, tmp_path / "p.csv.gz", 1, 2)[0] as client:
        (tmp_path / "p.csv.gz").mkdir()
        assert "p.csv.gz" in client.refusal("end", job=1).message
    (tmp_path / "p.csv.gz").rmdir()
    with daemon.raw() as client:
        client.call("finalize", job="p")
    assert gzip.decompress((tmp_path / "p.csv.gz").read_bytes()) == ROWS
    assert os.listdir(tmp_path) == ["p.csv.gz"]
