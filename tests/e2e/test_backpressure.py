"""More batches than there is room for: all are written, and waiting has bounds."""

import threading

import judges
import msgpack
import pytest
import ranks
import rawclient

import lighterd

pytestmark = pytest.mark.usefixtures("either_client")

np = pytest.importorskip("numpy")

KIB = 1024


def batch(rank, number):
    """About 40 KiB, more than a tenth of what a client may have on its way."""
    return {"id": [f"{rank}-{number}-{i}-" + "x" * 1000 for i in range(40)]}


class Watch:
    """Asks for the daemon's status again and again, until the block is left."""

    def __init__(self, daemon):
        self._daemon = daemon
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.highest = 0

    def _run(self):
        with self._daemon.raw() as client:
            while not self._over.is_set():
                status = client.call("status")
                self.highest = max(self.highest, status["bytes_waiting"])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def test_all_batches_arrive_however_little_room_there_is(start_daemon, tmp_path):
    daemon = start_daemon(
        *("--max-client-bytes", str(100 * KIB)), *("--max-daemon-bytes", str(150 * KIB))
    )

    def run(rank):
        writer = lighterd.csv(tmp_path / "t.csv", ["id"])
        with lighterd.run(writer, rank=rank, world_size=3, socket=daemon.socket) as out:
            for number in range(100):
                out.write(batch(rank, number))

    with Watch(daemon) as watch:
        ranks.in_threads(run, range(3))

    expected = judges.table(["id"], [batch(r, n) for r in range(3) for n in range(100)])
    assert (tmp_path / "t.csv").read_bytes() == expected
    # each may bring one batch more when the others have filled the room
    assert 0 < watch.highest <= (150 + 4 * 50) * KIB
    assert daemon.ask("status")["bytes_waiting"] == 0


def test_a_client_that_does_not_keep_to_its_limit_is_made_to_wait(
    start_daemon, tmp_path
):
    daemon = start_daemon("--max-client-bytes", str(100 * KIB))
    with Watch(daemon) as watch, daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv", ["id"])
        sender = threading.Thread(
            target=client.send,
            args=(
                b"".join(
                    client.request("write", job=1, seq=n + 1, outputs=batch(0, n))[1]
                    for n in range(200)
                ),
            ),
        )
        sender.start()
        answers = [client.receive() for _ in range(200)]
        sender.join()
        client.call("end", job=1)

    assert all(error is None for _, _, error, _ in answers)
    assert 0 < watch.highest <= (100 + 50) * KIB
    assert (tmp_path / "t.csv").read_bytes() == judges.table(
        ["id"], [batch(0, n) for n in range(200)]
    )


def test_a_batch_larger_than_all_room_is_written(start_daemon, tmp_path):
    daemon = start_daemon(
        *("--max-client-bytes", str(8 * KIB)), *("--max-daemon-bytes", str(8 * KIB))
    )
    values = np.arange(300_000.0)

    with lighterd.run(
        lighterd.csv(tmp_path / "t.csv", ["x"]), socket=daemon.socket
    ) as out:
        for _ in range(3):
            out.write({"x": values})

    expected = judges.table(["x"], [{"x": values}] * 3)
    assert (tmp_path / "t.csv").read_bytes() == expected


def test_many_files_of_many_clients_arrive(start_daemon, tmp_path):
    daemon = start_daemon("--max-daemon-bytes", str(64 * KIB))

    def run(rank):
        writer = lighterd.file(tmp_path / "out", "v", "text", "name")
        with lighterd.run(writer, rank=rank, world_size=4, socket=daemon.socket) as out:
            for number in range(25):
                names = [f"{rank}/{number}/{i}" for i in range(10)]
                out.write({"name": names, "v": [name * 500 for name in names]})

    ranks.in_threads(run, range(4))

    found = judges.files(tmp_path / "out")
    assert len(found) == 1000
    assert all(
        text.decode() == name[: -len(".txt")] * 500 for name, text in found.items()
    )


def test_room_that_a_vanished_client_gives_back_is_used_by_others(
    start_daemon, tmp_path
):
    """The daemon is full with the batch of one that is gone before it is written."""
    daemon = start_daemon("--max-daemon-bytes", str(4 * KIB))
    slow = {"x": [[float(i) / 7 for i in range(2000)] for _ in range(500)]}
    for attempt in range(4):
        with daemon.raw() as other:
            with daemon.raw() as client:
                client.open_csv(tmp_path / f"{attempt}.csv", job=str(attempt))
                # Answers that it does not read: the daemon finds it gone by sending them.
                size = len(msgpack.packb(client.call("plugins")))
                for _ in range(300 * KIB // size):
                    client.post("plugins")
                client.post("write", job=1, seq=1, outputs=slow)
            for _ in range(1000):
                other.call("ping")
        daemon.until_state(str(attempt), "interrupted")


def test_a_request_that_was_taken_in_while_there_was_no_room_is_not_forgotten(
    start_daemon, tmp_path
):
    """Small batches come in one read; the room is full after the first of them."""
    daemon = start_daemon("--max-client-bytes", str(4 * KIB))
    with daemon.raw(timeout_s=5) as client:
        client.open_csv(tmp_path / "t.csv")
        requests = [
            client.request("write", job=1, seq=n + 1, outputs={"x": ["y" * 3000, n]})
            for n in range(300)
        ]
        sender = threading.Thread(
            target=client.send, args=(b"".join(d for _, d in requests),)
        )
        sender.start()
        for id, _ in requests:
            client.answer(id)
        sender.join()
        client.call("end", job=1)

    assert (tmp_path / "t.csv").read_bytes().count(b"\r\n") == 1 + 600
