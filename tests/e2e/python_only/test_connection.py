"""A peer with a script: answers in pieces, late, and in another order."""

import errno
import os
import re
import socket
import struct
import threading

import msgpack
import numpy as np
import pytest

import lighterd
from lighterd.connection import Connection
from lighterd.job import Job, _name_after

pytestmark = pytest.mark.usefixtures("either_client")

HELLO = {"max_frame_bytes": 1 << 20, "max_client_bytes": 4000, "encoders": ["tensor"]}
OPENED = {
    "handle": 1,
    "id": 7,
    "seq": 0,
    "samples": 0,
    "ended": False,
    "published": False,
    "paths": [],
    "warnings": [],
}
WRITERS = [lighterd.csv("p.csv", ["x"])]


class Peer:
    """Reads requests and says what it is told to, `size` bytes at a time."""

    def __init__(self, size=1 << 16):
        self.client, self.socket = socket.socketpair()
        self._file = self.socket.makefile("rb")
        self._size = size

    def request(self):
        (length,) = struct.unpack(">I", self._file.read(4))
        kind, id, method, params = msgpack.unpackb(self._file.read(length))
        assert kind == 0
        return id, method, params

    def answer(self, id, result=None, error=None):
        body = msgpack.packb([1, id, error, result])
        frame = struct.pack(">I", len(body)) + body
        for start in range(0, len(frame), self._size):
            self.socket.sendall(frame[start : start + self._size])

    def expect(self, method, result):
        id, found, params = self.request()
        assert found == method
        self.answer(id, result)
        return params

    def end(self):
        self._file.close()
        self.socket.close()


@pytest.fixture
def play():
    """Start a script, `script(peer)`, in a thread; gives the client's end."""
    threads, failures = [], []

    def start(script, size=1 << 16):
        peer = Peer(size)

        def run():
            try:
                script(peer)
            except BaseException as error:
                failures.append(error)
            finally:
                peer.end()

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return peer.client

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert not failures


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_answers_in_pieces_and_out_of_order_find_their_requests(play, size):
    def script(peer):
        assert peer.expect("hello", HELLO)["protocol"] == 1
        peer.expect("open", OPENED)
        writes = [peer.request() for _ in range(3)]
        assert [params["seq"] for _, _, params in writes] == [1, 2, 3]
        for id, _, params in reversed(writes):
            error = {"code": "os", "message": "no", "details": {"errno": 28}}
            peer.answer(id, {}, error if params["seq"] == 2 else None)
        peer.expect("end", {"published": True, "paths": ["/p.csv"]})

    job = Job(Connection(play(script, size)), WRITERS)
    for batch_idx in range(3):
        job.write({"x": [batch_idx]})

    with pytest.raises(OSError, match="batch 1: no") as excinfo:
        job.end()
    assert excinfo.value.errno == errno.ENOSPC
    assert job.end() == ["/p.csv"]
    assert job.end() == job.paths == ["/p.csv"]


def test_an_earlier_error_is_raised_once_the_good_batch_is_handed_over(play):
    """A loop that skips what was refused loses nothing else."""

    def script(peer):
        peer.expect("hello", HELLO)
        peer.expect("open", OPENED)
        id, _, _ = peer.request()
        peer.answer(id, error={"code": "bad_type", "message": "wrong dtype"})
        for seq in (2, 3):
            assert peer.expect("write", {})["seq"] == seq
        assert peer.expect("abort", {})["reason"] == "enough"

    connection = Connection(play(script))
    job = Job(connection, WRITERS)
    job.write({"x": [1]}, batch_idx=40, dataloader_idx=1)
    connection.flush()

    with pytest.raises(TypeError, match="batch 40 of dataloader 1: wrong") as raised:
        job.write({"x": [2]})
    assert (raised.value.batch_idx, raised.value.dataloader_idx) == (40, 1)
    job.write({"x": [3]})
    assert job.progress().handed_over == 3
    job.abort("enough")
    with pytest.raises(lighterd.StateError, match="is over"):
        job.write({"x": [3]})


def test_no_more_than_max_client_bytes_are_on_their_way(play):
    def script(peer):
        peer.expect("hello", HELLO)
        peer.expect("open", OPENED)
        first, second = peer.request(), peer.request()
        peer.socket.settimeout(0.1)
        with pytest.raises(socket.timeout):
            peer.socket.recv(1, socket.MSG_PEEK)
        peer.socket.settimeout(None)
        peer.answer(second[0], {})
        peer.answer(first[0], {})
        peer.expect("write", {})
        peer.expect("end", {"published": True, "paths": []})

    job = Job(Connection(play(script)), WRITERS)
    for _ in range(3):
        job.write({"x": ["y" * 1700]})
    job.end()


def test_time_that_goes_by_for_want_of_room_is_counted_and_said_once(
    play, monkeypatch, caplog
):
    monkeypatch.setattr(lighterd.connection, "SLOW_SECONDS", 0.05)
    over = threading.Event()

    def script(peer):
        peer.expect("hello", HELLO)
        peer.expect("open", OPENED)
        for _ in range(6):
            id, _, _ = peer.request()
            over.wait(0.1)
            peer.answer(id, {})

    connection = Connection(play(script))
    job = Job(connection, WRITERS)
    job.write({"x": ["y" * 10]})
    assert job.blocked_seconds == 0
    for _ in range(5):
        job.write({"x": ["y" * 3000]})
    over.set()
    connection.flush()

    assert 0.3 < job.blocked_seconds < 0.7
    (record,) = caplog.records
    said = re.search(r"([\d.]+) of ([\d.]+) seconds", record.getMessage())
    assert 0 < float(said[1]) <= float(said[2])


def test_an_error_is_looked_for_after_some_time_or_some_batches(play, monkeypatch):
    """Each look costs a syscall, so there is not one a batch."""

    def script(peer):
        peer.expect("hello", HELLO)
        peer.expect("open", OPENED)
        id, _, _ = peer.request()
        peer.answer(id, error={"code": "bad_type", "message": "no"})
        told.set()
        over.wait()

    for seconds, n_batches in ((3600, lighterd.connection.POLL_REQUESTS), (0, 1)):
        monkeypatch.setattr(lighterd.connection, "POLL_SECONDS", seconds)
        told, over = threading.Event(), threading.Event()
        job = Job(Connection(play(script)), WRITERS)
        job.write({"x": [0]})
        told.wait()
        for _ in range(n_batches - 1):
            job.write({"x": [1]})
        with pytest.raises(TypeError, match="batch 0: no"):
            job.write({"x": [2]})
        over.set()


def test_a_frame_bigger_than_the_sockets_buffer_arrives_whole(play):
    array = np.arange(1 << 21, dtype=np.uint8)
    pieces = [np.full(5000, i % 256, np.uint8) for i in range(700)]

    def script(peer):
        peer.expect("hello", {**HELLO, "max_frame_bytes": 1 << 28})
        peer.expect("open", OPENED)
        params = peer.expect("write", {})
        assert params["outputs"]["x"]["data"] == array.tobytes()
        params = peer.expect("write", {})
        data = [each["data"] for each in params["outputs"]["x"]]
        assert data == [each.tobytes() for each in pieces]

    connection = Connection(play(script))
    job = Job(connection, WRITERS)
    job.write({"x": array})
    job.write({"x": pieces})
    connection.flush()


@pytest.mark.parametrize("value", [np.zeros(2000, np.uint8), ["x" * 100] * 20])
def test_a_frame_over_the_limit_is_refused_and_not_sent(play, value):
    def script(peer):
        peer.expect("hello", {**HELLO, "max_frame_bytes": 1000})
        peer.expect("open", OPENED)
        assert peer.expect("write", {})["seq"] == 1

    connection = Connection(play(script))
    job = Job(connection, WRITERS)
    with pytest.raises(lighterd.LimitError, match="2... bytes .* max_frame_bytes, 1000"):
        job.write({"x": value})
    job.write({"x": value[:2]})
    connection.flush()


def test_the_last_words_of_the_daemon_are_raised(play):
    def script(peer):
        peer.expect("hello", HELLO)
        peer.request()
        peer.answer(0, error={"code": "protocol", "message": "no such bytes"})

    connection = Connection(play(script))
    for _ in range(2):
        with pytest.raises(lighterd.ProtocolError, match="no such bytes"):
            connection.call("ping", {})


def test_a_daemon_that_closes_is_a_connection_error(play):
    client = play(lambda peer: peer.request())

    with pytest.raises(ConnectionError, match="^lighterd closed the connection$"):
        Connection(client)


def test_bytes_that_are_no_answer_end_the_connection(play):
    def script(peer):
        peer.request()
        peer.socket.sendall(b"\0\0\0\x01\xc1")

    with pytest.raises(lighterd.ProtocolError):
        Connection(play(script))


def test_a_forked_child_leaves_the_connection_alone(play):
    def script(peer):
        peer.expect("hello", HELLO)
        peer.expect("open", OPENED)
        peer.expect("end", {"published": True, "paths": []})

    connection = Connection(play(script))
    job = Job(connection, WRITERS)
    pid = os.fork()
    if pid == 0:
        try:
            job.write({"x": [1]})
        except lighterd.StateError:
            job.abort()
            connection.close()
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    job.end()


def open_descriptors():
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:  # that of this look
            pass
    return found


def test_a_forked_child_has_no_descriptor_of_the_connections(play):
    """Else the daemon would take a rank that was killed for one that lives."""

    def script(peer):
        peer.expect("hello", {**HELLO, "max_client_bytes": 1 << 26})
        peer.expect("memory", {})

    connection = Connection(play(script))
    connection._max_client_bytes = connection._memory_room = 1 << 26
    connection._have_memory(1 << 20)
    link = os.readlink(f"/proc/self/fd/{connection._channel._socket.fileno()}")
    assert link in open_descriptors()
    pid = os.fork()
    if pid == 0:
        found = open_descriptors()
        os._exit(link in found or any("memfd:lighterd" in each for each in found))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert link in open_descriptors()
    connection.close()


def test_what_a_job_waits_for_is_said_as_the_daemon_says_it(play, caplog):
    def notify(peer, reason, message):
        params = {"job": 1, "reason": reason, "message": message, "ranks": [1]}
        body = msgpack.packb([2, "waiting", params])
        peer.socket.sendall(struct.pack(">I", len(body)) + body)

    def script(peer):
        assert peer.expect("hello", HELLO)["notices"] is True
        id, _, _ = peer.request()
        notify(peer, "epoch", "job 'p' waits for itself")
        peer.answer(id, OPENED)
        id, _, _ = peer.request()
        for _ in range(2):
            notify(peer, "ranks", "job 'p' waits for rank 1 of 2")
        notify(peer, None, "job 'p' goes on")
        peer.answer(id, {"published": True, "paths": []})

    caplog.set_level("INFO", "lighterd")
    Job(Connection(play(script)), WRITERS).end()

    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "job 'p' waits for itself"),
        ("WARNING", "job 'p' waits for rank 1 of 2"),
        ("WARNING", "job 'p' waits for rank 1 of 2"),
        ("INFO", "job 'p' goes on"),
    ]


def test_what_an_old_daemon_would_ignore_is_not_wished_in_silence(play, caplog):
    def script(peer):
        peer.expect("hello", HELLO)
        params = peer.expect("open", OPENED)
        assert params["fingerprint"] == "abc" and "attempt" not in params

    Job(Connection(play(script)), WRITERS, fingerprint="abc", attempt="a")
    assert "older than `fingerprint`" in caplog.text


def test_what_a_job_is_told_of_its_run_goes_into_open(play):
    def script(peer):
        features = ["attempt", "fingerprint", "rank_wait"]
        peer.expect("hello", {**HELLO, "features": features})
        params = peer.expect("open", OPENED)
        assert params["attempt"] == "p-1"
        assert (params["fingerprint"], params["rank_wait"]) == ("abc", 2.5)

    more = {"attempt": lambda job: f"{job}-1", "fingerprint": "abc", "rank_wait": 2.5}
    Job(Connection(play(script)), WRITERS, name="p", **more)


def test_a_job_says_what_it_is(play):
    def script(peer):
        peer.expect("hello", HELLO)
        peer.expect("open", OPENED)
        peer.expect("write", {})
        peer.expect("end", {"published": True, "paths": ["/p.csv"]})

    job = Job(Connection(play(script)), WRITERS, name="p")
    job.write({"x": [1]})
    job._connection.flush()
    assert repr(job) == (
        "<lighterd.Job 'p', rank 0 of 1, open: 1 batches, all written>"
    )
    job.end()
    assert "over: 1 batches" in repr(job)
    assert job.paths == ["/p.csv"]


# ---- what was written before ----

RUNS = [[3, 0, 0, 8], [1, 0, 1, 2], [1, 1, 1, 0]]  # the last one was refused


class PastPeer:
    """Answers `past` page by page, until something else is asked."""

    def __init__(self, page, n=5):
        self.page, self.n, self.asked = page, n, []

    def __call__(self, peer):
        peer.expect("hello", {**HELLO, "features": ["past"]})
        peer.expect("open", {**OPENED, "seq": self.n, "samples": 26})
        while True:
            try:
                id, method, params = peer.request()
            except struct.error:  # the end
                return
            self.asked.append(method)
            if method == "past":
                peer.answer(id, self.past(params["seq"]))
            elif method == "end":
                peer.answer(id, {"published": True, "paths": ["/p.csv"]})
            else:
                peer.answer(id, {})

    def past(self, seq):
        first, found = 1, []
        for run in RUNS:
            if first >= seq and len(found) < self.page:
                found.append(run)
            elif len(found) == self.page:
                return {"runs": found, "next": first}
            first += run[0]
        return {"runs": found, "next": 0}


@pytest.fixture
def resume(play):
    """A job that goes on, and the peer that knows what was written."""
    connections = []

    def start(page=4096):
        peer = PastPeer(page)
        connections.append(Connection(play(peer)))
        return Job(connections[-1], WRITERS), peer

    yield start
    for connection in connections:
        connection.close()


def test_a_batch_of_which_nothing_is_recorded_is_any(resume, monkeypatch):
    monkeypatch.setattr(f"{__name__}.RUNS", [[5, None, None, 0]])
    job, _ = resume()
    for n, batch_idx, dataloader_idx in SAME:
        job.write({"x": [0] * n}, batch_idx, dataloader_idx)


SAME = [(8, 0, 0), (8, 1, 0), (8, 2, 0), (2, 0, 1), (5, 1, 1)]


@pytest.mark.parametrize("page", [1, 2, 4096])
def test_what_is_passed_over_is_compared_with_what_was_written(resume, page):
    job, peer = resume(page)
    for n, batch_idx, dataloader_idx in SAME:
        job.write({"x": [0] * n}, batch_idx, dataloader_idx)
    assert "write" not in peer.asked
    job.write({"x": [1]}, 2, 1)
    assert job.end() == ["/p.csv"]
    assert peer.asked[-2:] == ["write", "end"]


@pytest.mark.parametrize(
    "at, instead, why",
    [
        (0, (4, 0, 0), "batch 1 of this rank had 8 samples .batch_idx 0., now .* 4 samples"),
        (2, (7, 2, 0), "batch 3 of this rank had 8 samples"),
        (3, (2, 3, 0), "had batch_idx 0 of dataloader 1, now it has batch_idx 3 of"),
        (1, (8, 2, 0), "had batch_idx 1 of dataloader 0, now it has batch_idx 2 of"),
    ],
)
def test_another_batch_than_before_is_refused_and_nothing_is_written(
    resume, at, instead, why
):
    job, peer = resume()
    for n, batch_idx, dataloader_idx in SAME[:at]:
        job.write({"x": [0] * n}, batch_idx, dataloader_idx)
    n, *where = instead
    with pytest.raises(lighterd.StateError, match=why) as raised:
        job.write({"x": [0] * n}, *where)
    assert "begin anew, without `resume`" in str(raised.value)
    assert set(peer.asked) == {"past"}


def test_fewer_batches_than_before_are_refused_at_the_end(resume):
    job, peer = resume()
    job.write({"x": [0] * 8})
    with pytest.raises(lighterd.StateError, match="written 5 batches, .* only 1 came"):
        job.end()
    assert "end" not in peer.asked


def test_a_batch_that_is_skipped_is_compared_as_far_as_it_is_told(resume):
    job, _ = resume()
    assert job.skip() and job.skip(8) and job.skip(batch_idx=2)
    with pytest.raises(lighterd.StateError, match="2 samples .* 3 samples"):
        job.skip(3)
    with pytest.raises(lighterd.StateError, match="of dataloader 1, .* of dataloader 0"):
        job.skip(2, batch_idx=0)
    assert job.skip(2, 0, 1) and job.skip(7) and not job.skip(1)


@pytest.mark.parametrize(
    "path, stem",
    [
        ("out/predictions.csv", "predictions.csv"),
        ("masks/", "masks"),
        ("/a/.hidden", "hidden"),
        ("/a/b\nc", "b_c"),
        ("/", "_"),
        ("/a/" + "ü" * 60, "ü" * 45),
        ("/a/x" + "ü" * 60, "x" + "ü" * 45),
    ],
)
def test_a_job_is_named_after_its_first_path(path, stem):
    name = _name_after(path)

    assert re.fullmatch(re.escape(stem) + "-[0-9a-f]{8}", name)
    assert len(name.encode()) <= 100


def test_two_tables_of_one_name_in_two_directories_are_two_jobs():
    assert _name_after("a/predictions.csv") != _name_after("b/predictions.csv")
