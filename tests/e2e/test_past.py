"""What a resumed rank is told of its past, and what it must bring again."""

import pytest
import rawclient


@pytest.fixture
def past_of(start_daemon, tmp_path):
    """A daemon in which a rank of two has written `batches` (batch_idx, dataloader_idx,
    samples), been killed, and resumed: its connection, and what `open` said.
    """
    clients = []

    def make(batches, rank=1, daemon=None, writers=None, **more):
        daemon = daemon or start_daemon()
        params = {
            "job": "p",
            "rank": rank,
            "world_size": 2,
            "writers": writers or [rawclient.csv_writer(tmp_path / "p.csv")],
            **more,
        }
        with daemon.raw() as client:
            client.call("open", **params)
            for seq, (batch_idx, dataloader_idx, samples) in enumerate(batches, 1):
                client.post(
                    "write",
                    job=1,
                    seq=seq,
                    batch_idx=batch_idx,
                    dataloader_idx=dataloader_idx,
                    outputs={"x": [0] * samples, "v": [0] * samples},
                )
            client.call("flush", job=1)
        daemon.until_state("p", "interrupted")
        clients.append(daemon.raw())
        return clients[-1], clients[-1].call("open", **params, resume=True)

    yield make
    for client in clients:
        client.close()


def test_what_is_committed_is_told_in_runs(past_of):
    batches = [(i, 0, 4) for i in range(10)] + [(10, 0, 3)]
    batches += [(i, 1, 4) for i in range(5)] + [(7, 1, 4), (8, 1, 4), (8, 1, 4)]
    client, opened = past_of(batches)

    runs = [[10, 0, 0, 4], [1, 10, 0, 3], [5, 0, 1, 4], [2, 7, 1, 4], [1, 8, 1, 4]]
    assert opened["seq"] == len(batches)
    assert client.call("past", job=1) == {"runs": runs, "next": 0}


def test_it_is_told_from_any_batch_on(past_of):
    client, _ = past_of([(i, 0, 2) for i in range(5)])

    assert client.call("past", job=1, seq=4) == {"runs": [[2, 3, 0, 2]], "next": 0}
    assert client.call("past", job=1, seq=6) == {"runs": [], "next": 0}
    assert client.call("past", job=1, seq=2**62) == {"runs": [], "next": 0}


def test_an_answer_is_a_page(past_of):
    client, _ = past_of([(0, 0, i % 2) for i in range(5000)])

    first = client.call("past", job=1)
    assert len(first["runs"]) == 4096 and first["next"] == 4097
    rest = client.call("past", job=1, seq=first["next"])
    assert len(rest["runs"]) == 5000 - 4096 and rest["next"] == 0


def test_the_writer_that_has_most_samples_counts(past_of, tmp_path):
    writers = [
        rawclient.csv_writer(tmp_path / "p.csv"),
        rawclient.file_writer(tmp_path / "d"),
    ]
    client, _ = past_of([(0, 0, 3), (1, 0, 3), (2, 0, 1)], writers=writers)

    runs = client.call("past", job=1)["runs"]
    assert runs == [[2, 0, 0, 3], [1, 2, 0, 1]]


def test_it_is_told_to_a_rank_that_has_ended_too(start_daemon, tmp_path):
    daemon = start_daemon()
    params = {"world_size": 2, "rank": 0}
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv", **params)
        client.call("write", job=1, seq=1, outputs={"x": [1, 2]})
        client.call("end", job=1, wait=False)
    with daemon.raw() as client:
        opened = client.open_csv(tmp_path / "p.csv", **params, resume=True)
        assert opened["ended"]
        assert client.call("past", job=1)["runs"] == [[1, 0, 0, 2]]
        assert client.refusal("end", job=1, seq=0).code == "bad_state"
        client.call("end", job=1, seq=1, wait=False)
    daemon.ask("discard", job="p")


def test_a_rank_that_ends_too_early_is_refused_and_stays_open(past_of):
    client, opened = past_of([(0, 0, 1), (1, 0, 1)])

    refused = client.refusal("end", job=1, seq=1)
    assert refused.code == "bad_state"
    assert "ends after 1 batches, and 2 are there" in refused.message
    client.call("write", job=1, seq=3, outputs={"x": [1]})
    assert client.refusal("end", job=1, seq=4).code == "bad_state"


def test_a_handle_that_is_none_has_no_past(start_daemon):
    with start_daemon().raw() as client:
        assert client.refusal("past", job=7).code == "bad_state"
