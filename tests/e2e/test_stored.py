"""Journals that earlier versions left are read, and their jobs go on (stored/README.md)."""

import os
import shutil
import socket
from pathlib import Path

import daemons
import pytest

STORED = Path(__file__).parent / "stored"
PLACE = Path("/tmp/lighterd-0.1.0-journal")  # where 0.1.0 wrote; journals say so

ROWS = {
    0: ["r0b1s0,1.5", "r0b2s0,2.5", "r0b2s1,2.5"]
    + [f"r0b3s{i},3.5" for i in range(3)],
    1: ["r1b1s0,1.5"] + [f"r1b3s{i},3.5" for i in range(3)],
}


@pytest.fixture
def daemon():
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(STORED / "0.1.0" / "out", PLACE / "out")
    state = PLACE / "state" / socket.gethostname() / "%tmp%lighterd-0.1.0-journal%s"
    shutil.copytree(STORED / "0.1.0" / "state", state)
    daemon = daemons.Daemon(f"{PLACE}/s", "--state-dir", f"{PLACE}/state")
    yield daemon
    daemons.all_ended([daemon])
    shutil.rmtree(PLACE)


def unfinished_rank(client, rank, **more):
    writers = [
        {"type": "csv", "options": {"path": "unfinished.csv", "keys": ["id", "x"]}},
        {
            "type": "file",
            "options": {
                "directory": "unfinished",
                "value_key": "x",
                "writer_fn": {"name": "text"},
                "name_key": "id",
            },
        },
    ]
    return client.call(
        "open",
        job="unfinished",
        rank=rank,
        world_size=2,
        cwd=f"{PLACE}/out",
        writers=writers,
        **more,
    )


def test_a_job_that_0_1_0_published_is_known(daemon):
    job = daemon.job("published")

    assert (job["state"], job["samples"]) == ("published", 10)


def test_a_job_that_0_1_0_left_can_be_finalized(daemon):
    daemon.ask("finalize", job="unfinished", partial=True)

    lines = (PLACE / "out" / "unfinished.csv").read_bytes().split(b"\r\n")
    assert [line.decode() for line in lines] == ["id,x", *ROWS[0], *ROWS[1], ""]
    names = sorted(os.listdir(PLACE / "out" / "unfinished"))
    assert names == sorted(row.split(",")[0] + ".txt" for row in ROWS[0] + ROWS[1])


def hand_over_the_rest(client, rank):
    """What rank `rank` is asked for once more: its second batch is sound this time."""
    opened = unfinished_rank(client, rank, resume=True)
    for seq in range(opened["seq"] + 1, 4):
        ids = [f"r{rank}b{seq}s{i}" for i in range(seq)]
        outputs = {"id": ids, "x": [seq + 0.5] * seq}
        client.call(
            "write", job=opened["handle"], seq=seq, batch_idx=seq - 1, outputs=outputs
        )
    return client.post("end", job=opened["handle"])


def test_a_job_that_0_1_0_left_can_be_resumed(daemon):
    with daemon.raw() as one, daemon.raw() as other:
        ends = [hand_over_the_rest(one, 0), hand_over_the_rest(other, 1)]
        assert one.answer(ends[0])["published"] and other.answer(ends[1])["published"]

    lines = (PLACE / "out" / "unfinished.csv").read_text().split()
    batch_2 = ["r1b2s0,2.5", "r1b2s1,2.5"]
    assert lines == ["id,x", *ROWS[0], ROWS[1][0], *batch_2, *ROWS[1][1:]]
