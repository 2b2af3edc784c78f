"""Bytes are compared with those that doc/protocol.md shows or MessagePack defines."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import re
import struct

import msgpack
import numpy as np
import pytest

import lighterd
from lighterd import wire

pytestmark = pytest.mark.usefixtures("either_client")

PROTOCOL = pathlib.Path(__file__).parents[3] / "doc" / "protocol.md"


def packed(value, key="x"):
    """The bytes of `value`, cut out of a frame of outputs."""
    frame = wire.pack_request(1, "write", {}, {key: value})
    assert frame[:4] == struct.pack(">I", len(frame) - 4)
    head = b"\x94\x00\x01\xa5write\x81\xa7outputs\x81" + msgpack.packb(key)
    assert frame[4:].startswith(head)
    return frame[4 + len(head) :]


def unpacked(value):
    return msgpack.unpackb(packed(value), strict_map_key=False)


def test_ping_is_the_example_of_the_document():
    shown = re.search(r"^(00 00 00 [0-9a-f ]+?) *\.*$", PROTOCOL.read_text(), re.M)

    frame = wire.pack_request(1, "ping", {})

    assert frame[4:] == bytes.fromhex(shown[1])[4:] == b"\x94\x00\x01\xa4ping\x80"


def test_a_write_is_one_map_with_outputs_last():
    params = {"job": 3, "seq": 1, "batch_idx": 0, "dataloader_idx": 0}

    frame = wire.pack_request(7, "write", params, {"id": ["a", "b"]})

    assert msgpack.unpackb(frame[4:]) == [
        0,
        7,
        "write",
        {**params, "outputs": {"id": ["a", "b"]}},
    ]


def test_a_tensor_is_a_map_of_type_shape_and_little_endian_bytes():
    array = np.arange(6, dtype="<f4").reshape(2, 3)

    assert packed(array) == (
        b"\x84"
        b"\xa2nd\xc3"
        b"\xa4type\xa3<f4"
        b"\xa5shape\x92\x02\x03"
        b"\xa4data\xc4\x18" + array.tobytes()
    )


@pytest.mark.parametrize("n", [0, 255, 256, 4095, 4096, 65535, 65536])
def test_bytes_of_any_length_have_messagepacks_shortest_header(n):
    array = np.full(n, 7, np.uint8)

    assert packed(array).endswith(b"\xa4data" + msgpack.packb(array.tobytes()))


def test_a_frame_is_of_its_own_and_stays_when_its_tensors_change():
    big, small = np.zeros(1 << 20, np.uint8), np.zeros(8, np.uint8)

    frame = wire.pack_request(1, "write", {}, {"a": small, "b": big, "c": small})
    before = bytes(frame)
    big[:] = small[:] = 1

    assert frame == before


@pytest.mark.parametrize(
    "name", "|b1 |u1 |i1 <i2 <u2 <i4 <u4 <i8 <u8 <f2 <f4 <f8 <c8 <c16".split()
)
def test_every_type_of_the_document_has_its_name_and_bytes(name):
    array = np.array([[0, 1], [1, 0]]).astype(name)

    for given in (array, array.astype(array.dtype.newbyteorder(">"))):
        tensor = unpacked(given)
        assert tensor["type"] == name
        assert tensor["data"] == array.tobytes()


def test_strided_arrays_are_sent_row_major():
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)

    for view in (array.T, array[:, ::-1], array[..., ::2], np.asfortranarray(array)):
        tensor = unpacked(view)
        assert tensor["shape"] == list(view.shape)
        assert tensor["data"] == view.tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 1)])
def test_scalars_and_empty_arrays_keep_their_shape(shape):
    tensor = unpacked(np.zeros(shape))

    assert tensor["shape"] == list(shape)
    assert len(tensor["data"]) == 8 * int(np.prod(shape))


def test_torch_tensors_are_as_numpy_arrays():
    torch = pytest.importorskip("torch")
    base = torch.arange(6, dtype=torch.float32).reshape(2, 3)

    for given in (base, base.T, base.clone().requires_grad_(), base[0, 0], base[:0]):
        assert packed(given) == packed(given.detach().numpy())


def test_complex_views_of_torch_are_resolved():
    torch = pytest.importorskip("torch")
    values = torch.tensor([1 + 2j, 3 - 4j])

    assert unpacked(values.conj())["data"] == np.array([1 - 2j, 3 + 4j], "c8").tobytes()
    assert unpacked(values.conj().imag)["data"] == np.array([-2, 4], "f4").tobytes()


@pytest.mark.parametrize("shape", [(), (4,), (2, 2)])
def test_bfloat16_is_sent_as_its_bits(shape):
    torch = pytest.importorskip("torch")
    values = torch.full(shape, 1.5, dtype=torch.bfloat16).t()

    tensor = unpacked(values)

    assert tensor["type"] == "bfloat16"
    assert tensor["shape"] == list(shape)
    assert tensor["data"] == b"\xc0\x3f" * values.numel()


def test_a_list_of_tensors_is_a_list_of_tensor_values():
    a, b = np.zeros((2, 2), np.uint8), np.ones(3, np.float32)

    assert packed([a, b]) == b"\x92" + packed(a) + packed(b)


def test_arrays_of_text_dates_and_objects_are_lists():
    assert unpacked(np.array(["a", "bc"])) == ["a", "bc"]
    assert unpacked(np.array(["a", 1, None], object)) == ["a", 1, None]
    assert unpacked(np.array(["2020-01-02"], "M8[ns]"))[0].startswith("2020-01-02")


NATIVE = [
    None,
    True,
    0,
    -(2**63),
    2**64 - 1,
    0.1,
    float("inf"),
    "ü",
    b"\x00\xff",
    [1, [2.5, None]],
    {"a": {"b": [1]}, 3: 4},
]


@pytest.mark.parametrize("value", NATIVE)
def test_what_messagepack_knows_is_sent_as_it_is(value):
    assert packed(value) == msgpack.packb(value)
    assert packed([value, value]) == msgpack.packb([value, value])


class Colour(enum.Enum):
    RED = "r"


class Level(enum.IntEnum):
    HIGH = 3


class Loud(str):
    def __str__(self):
        return self.upper()


class Thing:
    def __str__(self):
        return "a thing"


FOREIGN = [
    (1, "a"),
    {"p": (1, 2)},
    [1, (2, 3)],
    pathlib.Path("/a/b"),
    decimal.Decimal("1.10"),
    datetime.datetime(2020, 1, 2, 3, 4, 5),
    2**64,
    -(2**63) - 1,
    Colour.RED,
    Level.HIGH,
    Thing(),
    np.longdouble(0.1),
    {1, 2},
    1 + 2j,
    bytearray(b"a"),
    [bytearray(b"a"), 2**64],
    ["\udc80"],
    msgpack.Timestamp(1),
    msgpack.ExtType(1, b"a"),
    [Colour.RED, pathlib.Path("/a")],
    collections.deque([1]),
    int,
]


@pytest.mark.parametrize("cell", FOREIGN, ids=repr)
def test_a_cell_that_messagepack_does_not_know_is_its_text(cell):
    assert unpacked([1, cell, "z"]) == [1, str(cell), "z"]
    assert unpacked((cell,)) == [str(cell)]


Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass(frozen=True)
class Box:
    corner: object
    score: object = 1


HALF = np.float32(0.1)
WIDE = 0.10000000149011612
HOLDING = [  # a cell, and what csv would write of it once all in it is Python's
    (HALF, WIDE),
    (np.float64(0.1), 0.1),
    (np.int64(7), 7),
    (np.bool_(True), True),
    (np.str_("b"), "b"),
    (np.bytes_(b"b"), b"b"),
    ([HALF, {"a": HALF}], [WIDE, {"a": WIDE}]),
    ({HALF: [np.array([HALF])]}, {WIDE: [[WIDE]]}),
    ([np.array(HALF)], [WIDE]),
    ((HALF, "a"), str((WIDE, "a"))),
    ([(np.arange(2),)], str([([0, 1],)])),
    (Pair(HALF, 1), f"Pair(a={WIDE}, b=1)"),
    (Box(HALF), f"Box(corner={WIDE}, score=1)"),
    (collections.OrderedDict(a=HALF), str(collections.OrderedDict(a=WIDE))),
    (collections.deque([HALF], 3), f"deque([{WIDE}], maxlen=3)"),
    ({HALF}, str({WIDE})),
    ([np.longdouble(1) / 3], f"[{str(np.longdouble(1) / 3)}]"),
    (np.datetime64("2020-01-02"), "2020-01-02"),
    ([np.datetime64("2020-01-02")], ["2020-01-02"]),
    (np.datetime64("NaT"), None),
    ([np.ma.masked], [None]),
    (np.ma.array([1, 2], mask=[1, 0]), [None, 2]),
    ([np.array([1, None], object)], [[1, None]]),
    ([np.zeros(1, [("a", "f4"), ("b", "i2")])], "[[(0.0, 0)]]"),
    ([array.array("d", [1])], [[1.0]]),
]


@pytest.mark.parametrize("cell, expected", HOLDING, ids=repr)
def test_numpys_scalars_and_arrays_are_python_values_at_any_depth(cell, expected):
    assert repr(unpacked([1, cell])) == repr([1, expected])


def test_tensors_are_lists_of_numbers_at_any_depth():
    torch = pytest.importorskip("torch")
    one = torch.tensor(0.123456789)
    wide = one.item()

    assert unpacked([{"a": [[one]]}]) == [{"a": [[wide]]}]
    assert unpacked([(one, [torch.ones(2, requires_grad=True)])]) == [
        str((wide, [[1.0, 1.0]]))
    ]
    assert unpacked([[one.to(torch.bfloat16)]]) == [[one.to(torch.bfloat16).item()]]
    assert unpacked({"all": one}) == {"all": wide}


def test_what_was_handed_over_stays_as_it_was():
    cell = [Box([HALF]), {"a": HALF}, collections.deque([HALF])]
    before = repr(cell)

    packed([cell])

    assert repr(cell) == before


class Silent:
    """object's own text, which is its address."""


class Odd(dict):
    def __repr__(self):
        return f"Odd({len(self)})"


class Kept:
    """A text that says where something else is."""

    def __repr__(self):
        return f"<Kept of {Silent()!r}>"


@pytest.mark.parametrize(
    "cell, told",
    [
        (Silent(), "Silent"),
        ([Silent()], "Silent"),
        ((Thing(),), "Thing"),
        (Kept(), "Kept"),
        (iter([1]), "list_iterator"),
        (Odd(a=HALF), "would round"),
    ],
    ids=repr,
)
def test_a_cell_without_a_text_of_its_own_is_refused_by_key_and_sample(cell, told):
    with pytest.raises(TypeError, match=rf"^key 'pred', sample 1: .*{told}"):
        packed([1, cell], "pred")


def test_a_tensor_as_a_dicts_key_is_refused():
    torch = pytest.importorskip("torch")

    with pytest.raises(TypeError, match=r"^key 'x', sample 0: a tensor as a dict's key"):
        packed([{torch.ones(2): 1}])


def test_a_picture_is_refused_by_its_name():
    image = pytest.importorskip("PIL.Image")

    with pytest.raises(TypeError, match=r"^key 'x', sample 0: .*PIL.Image.Image"):
        packed([image.new("L", (2, 2))])


def nested(depth, value=1):
    for _ in range(depth):
        value = [value]
    return value


def test_as_many_lists_within_one_another_as_a_frame_has_room_for():
    assert unpacked([nested(27)]) == [nested(27)]
    assert unpacked([{"a": nested(26)}]) == [{"a": nested(26)}]


def circle():
    value = []
    value.append({"a": (value,)})
    return value


def thicket():
    """Of 2^27 lists, if one were to walk through."""
    value = []
    value += [value, value]
    return value


@pytest.mark.parametrize(
    "cell",
    [nested(28), nested(32), nested(100_000), {"a": nested(27)}, nested(27, ())]
    + [nested(27, np.ones(1)), circle(), (circle(),), thicket()],
    ids=lambda _: "",
)
def test_what_is_nested_deeper_or_holds_itself_is_refused(cell):
    with pytest.raises(ValueError, match=r"^key 'x', sample 1: more than 27 lists"):
        packed([1, cell])


def test_text_that_is_no_utf8_is_refused_by_key_and_sample():
    with pytest.raises(ValueError, match=r"^key 'id', sample 1: 'a\\ud800' is no UTF-8"):
        packed(["a", "a\ud800"], "id")
    with pytest.raises(ValueError, match=r"^key 'id': "):
        packed("\ud800", "id")


def test_a_scalar_for_all_samples_is_a_cell():
    assert unpacked(pathlib.Path("/a")) == "/a"


def test_a_kind_of_text_is_the_text_that_csv_writes():
    assert unpacked([Loud("a"), np.str_("b"), Thing()]) == ["a", "b", "a thing"]


def test_other_sequences_are_lists():
    assert unpacked((1, 2)) == [1, 2]
    assert unpacked(range(3)) == [0, 1, 2]


def test_a_failure_leaves_nothing_behind_in_the_next_frame():
    with pytest.raises(ValueError):
        packed(["fine", "\ud800"])

    assert unpacked(["fine"]) == ["fine"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_frames_split_anywhere_are_the_same_frames(size):
    messages = [[1, 1, None, {}], [1, 300, None, {"text": "x" * 40}], [1, 2, {}, None]]
    bodies = [msgpack.packb(message) for message in messages]
    stream = b"".join(struct.pack(">I", len(body)) + body for body in bodies)

    reader = wire.FrameReader()
    read = []
    for start in range(0, len(stream), size):
        read += reader.feed(stream[start : start + size])

    assert read == messages
