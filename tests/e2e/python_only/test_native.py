"""The hot path in C against the same in Python: bytes, exceptions, and the socket."""

import collections
import datetime
import decimal
import enum
import math
import os
import random
import socket
import struct
import subprocess
import sys

import daemons
import msgpack
import numpy as np
import pytest

import lighterd
from lighterd import memory, native, wire, writers
from lighterd.channel import Channel
from lighterd.connection import Connection
from lighterd.memory import Places

needs_native = pytest.mark.skipif(
    native.module is None, reason="the C module is not built, or $LIGHTERD_PURE is set"
)
PARAMS = {"job": 3, "seq": 1 << 33, "batch_idx": 0, "dataloader_idx": -1}
WORTH = memory.WORTH_BYTES


def test_the_c_module_is_there_where_it_must_be():
    """Else all that is compared here is Python with itself."""
    if os.environ.get("LIGHTERD_REQUIRE_NATIVE"):
        assert native.module is not None or os.environ.get("LIGHTERD_PURE")


def test_the_environment_can_choose_python():
    asked = "from lighterd import native; print(native.module is not None)"
    for chosen, expected in (("1", "False"), ("", str(native.module is not None))):
        if not chosen and os.environ.get("LIGHTERD_PURE"):
            continue
        environment = {
            **os.environ,
            "LIGHTERD_PURE": chosen,
            "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH),
        }
        told = subprocess.check_output([sys.executable, "-c", asked], env=environment)
        assert told.decode().strip() == expected


# ---- frames ----


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    def __str__(self):
        return "other"


class Real(float):
    pass


class Items(list):
    pass


Pair = collections.namedtuple("Pair", "a b")

EDGES = [0, 1, 31, 32, 33, 127, 128, 255, 256, 32767, 32768, 65535, 65536]
EDGES += [1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63]
EDGES += [(1 << 64) - 1, 1 << 64, 1 << 100]



def nested(depth, value=1):
    for _ in range(depth):
        value = [value]
    return value


SCALARS = {
    "integers": EDGES + [-n for n in EDGES] + [-n - 1 for n in EDGES],
    "floats": [0.0, -0.0, 0.1, 1e300, 5e-324, math.inf, -math.inf, math.nan],
    "others": [None, True, False],
    "texts": ["", "a", "ü", "\0", "x" * 31, "x" * 32, "x" * 255, "x" * 256]
    + ["x" * 65535, "x" * 65536, "\U0001f600" * 8, "é" * 16, "a\u20ac"],
    "subclasses": [Number.ONE, Text("own"), Real(0.5), Pair(1, "b")],
    "numpy's": [np.float32(0.1), np.float64(0.1), np.int64(7), np.str_("s"), np.bool_(1)],
    "not MessagePack's": [decimal.Decimal("0.10"), datetime.date(2024, 2, 29), 1 + 2j],
    "bytes": [b"", b"a\xff", bytearray(b"b"), memoryview(b"c")],
    "maps": [{}, {"a": 1}, {1: [2]}, collections.OrderedDict(a=1)],
    "nested": [[1, [2, ("a",)]], (1, 2), [], (), [[]], {1, 2}],
    "surrogates": ["\udc80", ["\udc80"], {"\udc80": 1}],
    "deep": [nested(26), nested(27), nested(28), nested(40), {"a": nested(26)}]
    + [{"a": nested(27)}, {b"k": {None: {1.5: [{}]}}}, [{(1,): 2}], [bytearray(b"b")]],
}

VALUES = {f"one of the {name}": each for name, each in SCALARS.items()}
LISTS = {
    "a list": list,
    "a tuple": tuple,
    "a list's subclass": Items,
    "a list of one list": lambda cells: [cells],
    "a list with a tensor": lambda cells: [*cells, np.float32([1, 2])],
}


def by_both(outputs, n_memory=0, params=PARAMS):
    """What either makes of it: bytes and places, or the exception."""
    made = []
    for pack in (wire.pack_request, wire.pack_request_here):
        places = Places(n_memory, 1 << 20)
        try:
            frame = pack(1 << 20, "write", params, outputs, places)
        except Exception as error:
            made.append((type(error), str(error)))
        else:
            kept = [(offset, at) for offset, _, at in places._all]
            made.append((bytes(frame), places.size, kept))
    return made


def assert_same(outputs, **more):
    native_made, python_made = by_both(outputs, **more)
    assert native_made == python_made
    return python_made


@needs_native
@pytest.mark.parametrize("name", SCALARS)
def test_single_values_are_packed_alike(name):
    for value in SCALARS[name]:
        assert_same({"before": [1], "x": value, "after": "b"})


@needs_native
@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("make", LISTS.values(), ids=LISTS)
def test_lists_are_packed_alike(name, make):
    cells = SCALARS[name]
    for value in (make(cells), *(make(["a", cell, 2]) for cell in cells)):
        assert_same({"x": value, "y": cells[0]})


@needs_native
@pytest.mark.parametrize("n", [0, 1, 11, 12, 13, 15, 16, 17, 65535, 65536])
def test_lists_of_any_length_are_packed_alike(n):
    assert_same({"x": [str(i) for i in range(n)], "y": list(range(n))})


@needs_native
def test_random_batches_are_packed_alike():
    order = random.Random(11)
    pool = [cell for cells in SCALARS.values() for cell in cells]
    for _ in range(500):
        outputs = {}
        for key in order.sample("abcdefgh", order.randrange(5)):
            cells = order.choices(pool, k=order.randrange(20))
            outputs[key] = order.choice([cells, tuple(cells), order.choice(pool)])
        assert_same(outputs)


def test_an_object_whose_text_fails_raises_what_it_raised():
    class Broken:
        def __str__(self):
            raise RuntimeError("no text")

    for value in (Broken(), [Broken()]):
        for made in by_both({"a": ["b"] * 1000, "x": value}):
            assert made == (RuntimeError, "no text")


@needs_native
@pytest.mark.parametrize(
    "outputs",
    [{}, {Text("a"): 1}, {1: 1}, {"ü": [1]}, {"\udc80": 1}, {None: 2, "a": "b"}]
    + [collections.OrderedDict(a=[1]), {f"k{i}": i for i in range(20)}],
    ids=repr,
)
def test_any_keys_are_packed_alike(outputs):
    assert_same(outputs)


@needs_native
@pytest.mark.parametrize("params", [{}, {"a": [1]}, {"b": Text("c")}, {1: 2}, {"": None}])
def test_any_parameters_are_packed_alike(params):
    big = np.zeros(WORTH, np.uint8)
    assert_same({"x": [1], "big": big}, params=params, n_memory=1 << 20)


def read_only(array):
    array.setflags(write=False)
    return array


NUMPY = {
    "in order": lambda a: a,
    "transposed": lambda a: a.T,
    "backwards": lambda a: a[::-1],
    "every other": lambda a: a[:, ::2],
    "one column": lambda a: a[:, 1],
    "fortran": np.asfortranarray,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "a scalar": lambda a: a[0, 0],
    "no dimension": lambda a: np.array(a[0, 0]),
    "empty": lambda a: a[:0],
    "empty inside": lambda a: a[:, :0],
    "of ones": lambda a: a[:1, None, :1],
    "read-only": read_only,
    "a matrix": np.asmatrix,
    "masked": np.ma.masked_array,
    "64 dimensions": lambda a: a.reshape((1,) * 30 + (4, 6)),
}


@needs_native
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("view", NUMPY.values(), ids=NUMPY)
@pytest.mark.parametrize(
    "type", "? b B h H i I l L q Q e f d g F D G U3 S3 M8[s] m8[ms] O V4".split()
)
def test_numpy_arrays_are_packed_alike(type, view):
    base = np.arange(24).reshape(4, 6)
    array = view(base.view("V4")[:, :6] if type == "V4" else base.astype(type))
    assert_same({"x": array, "list": [array, array], "n": [1, 2]})


@needs_native
def test_arrays_of_records_are_packed_alike():
    assert_same({"x": np.zeros(3, [("a", "f4"), ("b", "i2")])})


TORCH = {
    "in order": lambda t: t,
    "transposed": lambda t: t.T,
    "every other": lambda t: t[:, ::2],
    "one column": lambda t: t[:, 1],
    "later": lambda t: t[2:],
    "expanded": lambda t: t[:1].expand(4, 6),
    "no dimension": lambda t: t[1, 2],
    "empty": lambda t: t[:0],
    "empty inside": lambda t: t[:, :0],
    "of ones": lambda t: t[:1, None, :1],
    "a parameter": lambda t: __import__("torch").nn.Parameter(t, requires_grad=False),
    "conjugated": lambda t: t.conj(),
    "of other signs": lambda t: t.conj().imag if t.is_complex() else t,
    "sparse": lambda t: t.to_sparse(),
}
DTYPES = (
    "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 "
    "float64 complex64 complex128 float8_e4m3fn"
).split()


@needs_native
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("view", TORCH.values(), ids=TORCH)
@pytest.mark.parametrize("name", DTYPES)
def test_torch_tensors_are_packed_alike(name, view):
    torch = pytest.importorskip("torch")
    if not hasattr(torch, name):
        pytest.skip(f"this torch has no {name}")
    base = torch.arange(24).reshape(4, 6).to(getattr(torch, name))
    try:
        tensor = view(base * (1 + 2j) if base.is_complex() else base)
    except (RuntimeError, NotImplementedError):
        pytest.skip("torch cannot make it")
    assert_same({"x": tensor})
    assert_same({"list": [tensor, tensor], "n": [1, 2]})


@needs_native
def test_tensors_with_a_history_are_packed_alike():
    torch = pytest.importorskip("torch")
    leaf = torch.rand(4, 6, requires_grad=True)
    with torch.inference_mode():
        made_there = leaf * 2
    zeros = torch._efficientzerotensor(4, 6)
    for tensor in (leaf, leaf * 2, leaf[0], made_there, zeros, zeros.to("meta")):
        assert_same({"x": tensor})


@needs_native
def test_a_frame_that_grows_is_packed_alike():
    """Each piece is longer than what there was room for."""
    for size in (1, 5000, 70_000, 300_000):
        assert_same({"a": "x" * size, "b": np.zeros(size, np.uint8), "c": ["y" * size]})
        assert_same({})


@needs_native
@pytest.mark.parametrize("n_memory", [0, WORTH - 1, WORTH, 3 * WORTH, 1 << 24])
def test_places_are_the_same(n_memory):
    torch = pytest.importorskip("torch")
    outputs = {
        "id": ["a", "b"],
        "under": np.zeros(WORTH - 1, np.uint8),
        "odd": torch.zeros(WORTH + 1, dtype=torch.uint8),
        "list": [np.zeros(WORTH // 4, np.float32)] * 2,
        "last": [1.5, 2.5],
    }
    _, size, kept = assert_same(outputs, n_memory=n_memory)
    assert bool(kept) == (n_memory >= WORTH) and size <= n_memory


@needs_native
def test_a_tensor_that_cannot_go_into_a_frame_raises_the_same():
    error, text = assert_same({"x": np.zeros(1 << 21, np.uint8)})
    assert error is lighterd.LimitError and "max_frame_bytes, 1048576" in text


# ---- the check ----


@needs_native
def test_the_quick_check_only_accepts_what_the_other_one_does(monkeypatch):
    torch = pytest.importorskip("torch")
    values = [[1, 2], (1, 2), "ab", None, 2, [1], [], torch.zeros(2), torch.tensor(1.0)]
    values += [torch.zeros(2, 3), torch.zeros(0), torch.zeros(1), np.zeros((2, 2))]
    values += [np.float32(2), np.array(1), {"a": 1, "b": 2}, Items([1, 2])]
    accepted = 0
    for a in values:
        for outputs in ({"a": a}, *({"a": a, "b": b} for b in values)):
            check = writers.csv("t.csv", ["a", "b"]).check
            said = []
            for are_columns in (native.are_columns, lambda *_: False):
                with monkeypatch.context() as patch:
                    patch.setattr(native, "are_columns", are_columns)
                    try:
                        said.append(check(outputs))
                    except Exception as error:
                        said.append(str(error))
            assert said[0] == said[1]
            accepted += native.are_columns(outputs, ["a", "b"])
    assert accepted > 20


# ---- the socket ----


def answer(id, error=None, result=()):
    body = msgpack.packb([1, id, error, dict(result)])
    return struct.pack(">I", len(body)) + body


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def read_all(ours, chunks, theirs):
    """Every answer that comes, as a connection sees it."""
    channel, seen = Channel(ours), []
    for chunk in chunks:
        theirs.sendall(chunk)
        arrived = channel.receive()
        assert not arrived.is_end
        seen += [[1, id, None, {}] for id in arrived.ids] + arrived.messages
        channel.taken(arrived)
    assert channel.receive() is None
    return seen


@pytest.mark.usefixtures("either_client")
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 13, 1 << 16])
def test_answers_are_the_same_however_they_are_cut(pair, size):
    ids = [1, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1]
    sent = [[1, id, None, {}] for id in ids]
    sent[3:3] = [[1, 9, {"code": "os"}, None], [1, 10, None, {"a": 1}], [2, "c", {}]]
    packed = [msgpack.packb(each) for each in sent]
    stream = b"".join(struct.pack(">I", len(each)) + each for each in packed)

    chunks = [stream[i : i + size] for i in range(0, len(stream), size)]

    assert read_all(pair[0], chunks, pair[1]) == sent


@needs_native
@pytest.mark.parametrize(
    "body",
    [b"\x94\x01\x00\xc0\x80", b"\x94\x01\xcc\x00\xc0\x80", b"\x94\x00\x05\xc0\x80"]
    + [b"\x95\x01\x05\xc0\x80", b"\x94\x01\xcf\x05\xc0\x80", b"\x94\x01\xe0\xc0\x80"]
    + [b"\x94\x01\x05\xc0\x81", b"\x94\x01\x05\xc3\x80", b"", b"\x94\x01\x05\xc0\x80\x80"],
    ids=bytes.hex,
)
def test_what_is_no_plain_answer_is_not_taken_for_one(pair, body):
    sent = struct.pack(">I", len(body)) + body
    pair[1].sendall(sent)
    assert native.receive(pair[0], True) == ([], sent)


@pytest.mark.usefixtures("either_client")
def test_the_end_and_a_broken_connection_are_told(pair):
    ours, theirs = pair
    channel = Channel(ours)
    assert channel.receive() is None
    theirs.close()
    assert channel.receive().is_end
    with pytest.raises(BrokenPipeError):
        channel.send(bytearray(b"x"), None, [])


@pytest.mark.usefixtures("either_client")
def test_a_full_socket_takes_nothing_and_goes_on_where_it_stopped(pair):
    ours, theirs = pair
    channel = Channel(ours)
    frame = bytearray(random.Random(2).randbytes(1 << 20))
    sent, found = [], b""
    while not channel.send(frame, None, sent):
        found += theirs.recv(1 << 16)
    theirs.setblocking(False)
    while len(found) < len(frame):
        found += theirs.recv(1 << 16)
    assert found == frame


@pytest.mark.usefixtures("either_client")
def test_what_has_come_comes_again_until_it_is_taken(pair):
    ours, theirs = pair
    channel = Channel(ours)
    theirs.sendall(answer(1) + answer(2, result={"a": 1}) + b"\0")
    first, again = channel.receive(), channel.receive()
    assert not first.is_again and again.is_again
    assert again[:4] == first[:4]
    channel.taken(again)
    theirs.sendall(answer(3)[1:])
    last = channel.receive()
    assert not last.is_again and last.messages == [[1, 3, None, {}]]


def test_a_request_is_kept_whole_until_its_answer(pair):
    """So that it could be sent again."""
    ours, theirs = pair
    hello = {"max_frame_bytes": 1 << 20, "max_client_bytes": 1 << 20, "encoders": []}
    theirs.sendall(answer(1, None, hello))
    connection = Connection(ours)
    theirs.recv(1 << 16)

    value = np.arange(1000)
    connection.post("write", {}, {"x": value}, on_answer=lambda *_: None)
    value[:] = 0

    (request,) = connection._requests.values()
    assert request.frame == theirs.recv(1 << 16) and request.slot is None
    theirs.sendall(answer(2))
    connection.flush()
    assert connection._requests == {} and connection._bytes_on_way == 0
