"""Slots of memory, and which tensors go there."""

import errno
import fcntl
import os
import random
import socket
import struct

import msgpack
import numpy as np
import pytest

from lighterd import memory, tensor, wire
from lighterd.connection import Connection
from lighterd.memory import PAGE, Memory, Places, Slot

pytestmark = pytest.mark.usefixtures("either_client")

MIB = 1 << 20
WORTH = memory.WORTH_BYTES


@pytest.fixture(autouse=True)
def nothing_left_behind():
    memory._forget()
    yield
    memory._forget()


@pytest.fixture
def private():
    """Make memories that no daemon has; they are closed at the end."""
    made = []

    def make(size=16 * PAGE):
        made.append(Memory(size))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_slots_are_given_from_the_start_and_again(private):
    shared = private(4 * PAGE)
    first, second = shared.take(1), shared.take(PAGE + 1)
    assert (first, second) == (Slot(0, PAGE), Slot(PAGE, 2 * PAGE))
    assert shared.take(2 * PAGE) is None
    shared.give_back(first)
    assert shared.take(PAGE) == first
    shared.give_back(second)
    assert shared.take(3 * PAGE) == Slot(PAGE, 3 * PAGE)
    assert shared.take(1) is None


def test_slots_never_overlap_and_all_comes_back(private):
    shared, held = private(), []
    order = random.Random(5)
    for _ in range(20_000):
        if held and order.random() < 0.5:
            shared.give_back(held.pop(order.randrange(len(held))))
        else:
            slot = shared.take(order.randrange(1, 6 * PAGE))
            if slot is not None:
                held.append(slot)
        ends = sorted(held)
        assert all(a.start + a.size <= b.start for a, b in zip(ends, ends[1:]))
    while held:
        shared.give_back(held.pop())
    assert shared.take(16 * PAGE) == Slot(0, 16 * PAGE)


def test_the_size_follows_the_first_batch_and_the_limit():
    assert memory.size_for(1, 1 << 30) == 64 * MIB
    assert memory.size_for(20 * MIB + 1, 1 << 30) == 160 * MIB + PAGE
    assert memory.size_for(200 * MIB, 1 << 30) == 1 << 30
    assert memory.size_for(5, 1000) == 1000


VALUES = {
    "in order": lambda a: a,
    "transposed": lambda a: a.T,
    "backwards": lambda a: a[::-1, ::-1],
    "every other": lambda a: a[:, ::2],
    "fortran": np.asfortranarray,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("name", sorted(tensor.TYPES))
@pytest.mark.parametrize("view", VALUES.values(), ids=VALUES)
def test_what_is_copied_is_what_would_be_lent(name, view):
    array = view(np.arange(24).reshape(4, 6).astype(name))
    room = bytearray(512)
    flat = tensor.flatten(array)

    tensor.copy(flat, room, 64)

    assert room[64 : 64 + flat.n_bytes] == tensor.lend(flat)
    assert room[:64] == bytes(64) and not any(room[64 + flat.n_bytes :])


def test_torch_tensors_are_copied_as_they_are_lent():
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    complex_ones = torch.complex(base, -base)
    given = [base, base.T, base[:, ::2], base.clone().requires_grad_()]
    given += [complex_ones.conj(), complex_ones.conj().imag, base.to(torch.bfloat16).T]
    given += [base.to(getattr(torch, name)) for name in ("bool", "int64", "float16")]
    with torch.inference_mode():
        given.append(base * 2)

    for value in given:
        room = bytearray(512)
        flat = tensor.flatten(value)
        assert flat.n_bytes == value.numel() * value.element_size()
        tensor.copy(flat, room, 128)
        assert room[128 : 128 + flat.n_bytes] == tensor.lend(flat)


def test_a_frame_names_the_places_of_its_big_tensors(private):
    shared, places = private(MIB), Places(MIB)
    big = np.arange(memory.WORTH_BYTES, dtype=np.uint8)
    odd, small = big.repeat(2)[:-1], big[:-1]

    outputs = {"a": [odd, small, big], "b": big.reshape(2, -1)}
    frame = wire.pack_request(1, "write", {}, outputs, places)
    shared.take(1)
    slot = shared.take(places.size)
    places.fill(shared, slot, frame)

    a, b = msgpack.unpackb(frame[4:])[3]["outputs"].values()
    assert a[1]["data"] == small.tobytes() and "at" not in a[1]
    assert [a[0]["at"], a[2]["at"], b["at"]] == [
        [PAGE, odd.size],
        [PAGE + odd.size + 1, big.size],
        [PAGE + odd.size + 1 + big.size, big.size],
    ]
    assert (b["nd"], b["type"], b["shape"]) == (True, "|u1", [2, big.size // 2])
    for place, value in ((a[0], odd), (a[2], big), (b, big)):
        start, size = place["at"]
        assert shared._map[start : start + size] == value.tobytes()
        assert "data" not in place


def test_what_a_memory_has_no_room_for_stays_in_the_frame():
    big = np.zeros(memory.WORTH_BYTES, np.uint8)
    for room, n_there in ((0, 0), (big.size - 1, 0), (big.size, 1), (2 * big.size, 2)):
        places = Places(room)
        frame = wire.pack_request(1, "write", {}, {"x": [big] * 3}, places)
        cells = msgpack.unpackb(frame[4:])[3]["outputs"]["x"]
        assert sum("at" in cell for cell in cells) == n_there
        assert places.size == n_there * big.size


class Daemon:
    """Answers what it is told to: `answer` is called with each request.

    None is an empty result, an ellipsis no answer at all.
    """

    def __init__(self, answer, **hello):
        self.client, self.socket = socket.socketpair()
        self.descriptors, self.requests = [], []
        self._hello = {
            "max_frame_bytes": 1 << 28,
            "max_client_bytes": 1 << 28,
            "max_memory_bytes": 1 << 28,
            "encoders": [],
            **hello,
        }
        self._answer = answer

    def run(self):
        buffer = b""
        with self.socket:
            while True:
                data, rights, _, _ = self.socket.recvmsg(1 << 20, 1024)
                for _, _, packed in rights:
                    self.descriptors += struct.unpack(f"{len(packed) // 4}i", packed)
                if not data:
                    return
                buffer += data
                while len(buffer) >= 4:
                    end = 4 + struct.unpack_from(">I", buffer)[0]
                    if len(buffer) < end:
                        break
                    _, id, method, params = msgpack.unpackb(buffer[4:end])
                    buffer = buffer[end:]
                    self.requests.append((method, params))
                    said = None, self._hello
                    if method != "hello":
                        said = self._answer(method, params) or (None, {})
                    if said is ...:  # it never answers
                        continue
                    error, result = said
                    body = msgpack.packb([1, id, error, result])
                    self.socket.sendall(struct.pack(">I", len(body)) + body)


@pytest.fixture
def connect():
    import threading

    started = []

    def start(answer=lambda *_: None, **hello):
        daemon = Daemon(answer, **hello)
        daemon.connection = None
        thread = threading.Thread(target=daemon.run)
        thread.start()
        connection = Connection(daemon.client)
        started.append((thread, connection, daemon))
        return connection, daemon

    yield start
    for thread, connection, daemon in started:
        connection.close()
        thread.join(10)
        assert not thread.is_alive()
        for fd in daemon.descriptors:
            os.close(fd)


def write(connection, value):
    answers = []
    connection.post(
        "write", {}, {"x": value}, on_answer=lambda *both: answers.append(both)
    )
    connection.flush()
    return answers


BIG = np.arange(1 << 18, dtype=np.float32)


def test_the_first_big_tensor_makes_the_memory_and_all_share_it(connect):
    connection, daemon = connect()
    write(connection, BIG[:4])
    assert daemon.descriptors == []
    for _ in range(5):
        write(connection, BIG)

    methods = [method for method, _ in daemon.requests]
    assert methods == ["hello", "write", "memory"] + 5 * ["write"]
    (fd,) = daemon.descriptors
    assert daemon.requests[2][1] == {"size": 64 * MIB}
    assert os.fstat(fd).st_size == 64 * MIB
    assert os.pread(fd, BIG.nbytes, 0) == BIG.tobytes()
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SEAL == 0
    places = {tuple(p["outputs"]["x"]["at"]) for m, p in daemon.requests[3:]}
    assert places == {(0, BIG.nbytes)}  # each was given back when it was answered
    assert os.fstat(fd).st_blocks * 512 == BIG.nbytes  # and no page more was touched


def test_a_daemon_without_memory_gets_all_through_the_socket(connect):
    for limit in (0, None):
        connection, daemon = connect(max_memory_bytes=limit or 0)
        write(connection, BIG)
        assert daemon.requests[1][1]["outputs"]["x"]["data"] == BIG.tobytes()
        assert daemon.descriptors == []


@pytest.mark.parametrize("code", ["bad_params", "limit", "bad_state", "os", "internal"])
def test_a_daemon_that_refuses_gets_all_through_the_socket(connect, caplog, code):
    def answer(method, params):
        if method == "memory":
            return {"code": code, "message": "no", "details": {"errno": 12}}, None

    connection, daemon = connect(answer)
    n_open = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert write(connection, BIG) == [(None, {})]

    assert len(os.listdir("/proc/self/fd")) == n_open + len(daemon.descriptors)
    methods = [method for method, _ in daemon.requests]
    assert methods == ["hello", "memory"] + 3 * ["write"]
    assert daemon.requests[-1][1]["outputs"]["x"]["data"] == BIG.tobytes()
    assert len(caplog.records) == 1


def test_without_memfd_all_goes_through_the_socket(connect, monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    connection, daemon = connect()
    write(connection, BIG)
    assert daemon.requests[-1][1]["outputs"]["x"]["data"] == BIG.tobytes()


def test_when_there_are_no_more_pages_all_goes_through_the_socket(connect, monkeypatch):
    connection, daemon = connect()
    write(connection, BIG)

    def fail(self, end):
        raise OSError(errno.ENOMEM, "no pages")

    monkeypatch.setattr(Memory, "_populate", fail)
    for _ in range(2):
        write(connection, BIG)
        assert daemon.requests[-1][1]["outputs"]["x"]["data"] == BIG.tobytes()


def test_a_copy_that_fails_sends_nothing_and_keeps_no_slot(connect, monkeypatch):
    connection, daemon = connect()
    write(connection, BIG)

    def fail(*_):
        raise RuntimeError("CUDA error")

    with monkeypatch.context() as patch:
        patch.setattr(tensor, "copy", fail)
        with pytest.raises(RuntimeError, match="CUDA"):
            write(connection, BIG)
    write(connection, BIG)

    assert [method for method, _ in daemon.requests][1:] == ["memory", "write", "write"]
    assert daemon.requests[-1][1]["outputs"]["x"]["at"][0] == 0


def test_a_batch_without_room_waits_for_answers(connect):
    """The memory has room for two batches, and eight are handed over."""
    size = 3 * MIB
    connection, daemon = connect(max_memory_bytes=2 * size + PAGE)
    value = np.zeros(size, np.uint8)
    answers = []
    for i in range(8):
        value[:] = i
        connection.post(
            "write", {}, {"x": value}, on_answer=lambda *both: answers.append(both)
        )
        assert i + 1 - len(answers) <= 2
    connection.flush()
    assert len(answers) == 8
    assert all("at" in p["outputs"]["x"] for m, p in daemon.requests if m == "write")


def test_a_forked_child_leaves_the_memory_alone(connect):
    connection, daemon = connect()
    write(connection, BIG)
    pid = os.fork()
    if pid == 0:
        try:
            connection.post("write", {}, {"x": BIG}, on_answer=lambda *_: None)
        except Exception as error:
            os._exit(17 if "belongs to process" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 17
    write(connection, BIG)
    assert daemon.requests[-1][1]["outputs"]["x"]["at"] == [0, BIG.nbytes]


def n_mapped():
    with open("/proc/self/maps") as maps:
        return sum("memfd:lighterd" in line for line in maps)


def test_the_next_connection_takes_the_memory_of_one_that_has_ended(connect):
    files = set()
    for _ in range(3):
        connection, daemon = connect()
        write(connection, BIG)
        connection.close()
        files.add(os.fstat(daemon.descriptors[0]).st_ino)
        assert n_mapped() == 1
    assert len(files) == 1


def test_connections_at_the_same_time_share_nothing(connect):
    (first, a), (second, b) = connect(), connect()
    write(first, BIG)
    write(second, -BIG)
    assert os.pread(a.descriptors[0], BIG.nbytes, 0) == BIG.tobytes()
    assert os.pread(b.descriptors[0], BIG.nbytes, 0) == (-BIG).tobytes()
    first.close()
    second.close()
    assert n_mapped() == 1  # one is kept, and no more


def test_memory_is_not_kept_where_a_batch_may_still_be_read(connect):
    connection, daemon = connect(lambda method, _: None if method == "memory" else ...)
    connection.post("write", {}, {"x": BIG}, on_answer=lambda *_: None)
    connection.close()
    assert n_mapped() == 0


def test_a_limit_that_is_no_multiple_of_a_page_is_one_all_the_same(connect):
    connection, daemon = connect(max_memory_bytes=4 * WORTH + PAGE - 1)
    for n_bytes, where in ((4 * WORTH + 1, "data"), (4 * WORTH, "at")):  # whole pages
        write(connection, np.zeros(n_bytes, np.uint8))
        assert where in daemon.requests[-1][1]["outputs"]["x"]


def test_memory_that_is_too_small_or_over_the_limit_is_not_taken(connect):
    connection, _ = connect()
    write(connection, BIG)
    connection.close()
    for limit in (MIB, 1 << 28):
        connection, daemon = connect(max_memory_bytes=limit)
        write(connection, np.zeros(min(limit, 9 * MIB), np.uint8))
        size = daemon.requests[1][1]["size"]
        assert size == min(limit, 72 * MIB) == os.fstat(daemon.descriptors[0]).st_size
        connection.close()


def test_no_more_than_so_many_pages_are_kept(connect, monkeypatch):
    monkeypatch.setattr(memory, "KEPT_BYTES", PAGE)
    connection, daemon = connect()
    write(connection, BIG)
    connection.close()
    assert os.fstat(daemon.descriptors[0]).st_blocks * 512 == PAGE

    connection, daemon = connect()
    write(connection, BIG)
    assert os.pread(daemon.descriptors[0], BIG.nbytes, 0) == BIG.tobytes()


def test_a_forked_child_does_not_take_what_its_parent_has_left(connect):
    connection, _ = connect()
    write(connection, BIG)
    connection.close()
    pid = os.fork()
    if pid == 0:
        os._exit(17 if n_mapped() == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 17
    assert n_mapped() == 1
