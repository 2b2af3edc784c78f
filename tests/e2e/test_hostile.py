"""Clients that are broken, rude or evil: each gets its answer, and the next is served.

One daemon for all tests here, looked at after each: it serves a good client, and has as
many descriptors open as before.
"""

import os
import random
import resource
import select
import socket
import stat
import struct
import time

import daemons
import judges
import msgpack
import pytest
import ranks
import rawclient
from rawclient import frame, framed, tensor

MAX_FRAME = 1 << 20
DAEMON_OPTIONS = ("--max-frame-bytes", str(MAX_FRAME))


@pytest.fixture
def daemon(shared_daemon, tmp_path_factory):
    yield shared_daemon
    shared_daemon.check_serves(tmp_path_factory.mktemp("next"))
    shared_daemon.check_descriptors()


def dumb(daemon):
    """A connection that has not said hello."""
    return rawclient.RawClient(daemon.socket)


# ---- bytes that are no messages ----


def nested(depth, leaf=b"\xc0"):
    return b"\x91" * depth + leaf


def request(params):
    return b"\x94\x00\x01\xa4ping" + params


NO_MESSAGES = {
    "a frame of no bytes": struct.pack(">I", 0),
    "a frame that is too long": struct.pack(">I", MAX_FRAME + 1),
    "a frame of 4 GiB": b"\xff\xff\xff\xff",
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "five bytes that ask for 8 GiB": framed(b"\xdd\x10\x00\x00\x00"),
    "a map that asks for more": framed(b"\xdf\xff\xff\xff\xff"),
    "a string past the end": framed(request(b"\x81\xa1x\xdb\xff\xff\xff\xff")),
    "bytes past the end": framed(request(b"\x81\xa1x\xc6\x00\x00\x00\x05abcd")),
    "an array that lacks its last": framed(b"\x94\x00\x01\xa4ping"),
    "bytes left over": framed(request(b"\x80") + b"\xc0"),
    "two messages in one frame": framed(request(b"\x80") * 2),
    "the reserved byte": framed(request(b"\x81\xa1x\xc1")),
    "an extension type": framed(request(b"\x81\xa1x\xd4\x01\x00")),
    "a timestamp": framed(request(b"\x81\xa1x" + msgpack.packb(msgpack.Timestamp(1)))),
    "33 containers inside one another": framed(request(b"\x81\xa1x" + nested(31))),
    "a million containers": framed(nested(1_000_000)),
    "nil": frame(None),
    "a number": frame(7),
    "a string": frame("ping"),
    "a map": frame({"id": 1, "method": "ping"}),
    "an empty array": frame([]),
    "three items": frame([0, 1, "ping"]),
    "five items": frame([0, 1, "ping", {}, None]),
    "type 2": frame([2, "ping", {}]),
    "type 2 of four": frame([2, 1, "ping", {}]),
    "type 3": frame([3, 1, "ping", {}]),
    "type -1": frame([-1, 1, "ping", {}]),
    "type true": frame([True, 1, "ping", {}]),
    "a negative id": frame([0, -1, "ping", {}]),
    "an id of 2**32": frame([0, 2**32, "ping", {}]),
    "an id that is a string": frame([0, "1", "ping", {}]),
    "an id that is a float": frame([0, 1.0, "ping", {}]),
    "a method that is a number": frame([0, 1, 5, {}]),
    "a method that is bytes": frame([0, 1, b"ping", {}]),
    "params that are an array": frame([0, 1, "ping", []]),
    "params that are nil": frame([0, 1, "ping", None]),
    "a response": frame([1, 1, None, {}]),
    "an error": frame([1, 1, {"code": "os", "message": "", "details": {}}, None]),
    "a response of nothing": frame([1, 1, None, None]),
}


@pytest.mark.parametrize("greeted", [True, False])
@pytest.mark.parametrize("data", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_what_is_no_message_ends_the_connection_with_a_word(daemon, data, greeted):
    with daemon.raw() if greeted else dumb(daemon) as client:
        client.send(data)

        refused, id = client.last_words()
    assert refused.code == "protocol" and refused.message
    assert id in (0, 1)  # 1: a sound message that a client must not send


@pytest.mark.parametrize("method", ["ping", "open", "status", "shutdown", "nonsense"])
def test_who_does_not_say_hello_first_is_sent_away(daemon, method):
    with dumb(daemon) as client:
        client.post(method)
        refused, id = client.last_words()

    assert refused.code == "protocol" and "hello" in refused.message and id == 1


@pytest.mark.parametrize("version", [0, 2, 2**63 - 1])
def test_another_version_of_the_protocol_is_told_which_is_spoken(daemon, version):
    with dumb(daemon) as client:
        refused = client.refusal("hello", protocol=version)

    assert (
        refused.code == "protocol"
        and f"protocol 1; the client speaks {version}" in (refused.message)
    )


def test_random_bytes_do_no_harm(daemon):
    rng = random.Random(1)
    for _ in range(200):
        with daemon.raw() if rng.random() < 0.5 else dumb(daemon) as client:
            body = rng.randbytes(rng.randint(1, 60))
            try:
                client.send(framed(body) if rng.random() < 0.7 else body)
            except BrokenPipeError:
                pass


def test_sound_messages_with_a_changed_byte_do_no_harm(daemon, tmp_path):
    rng = random.Random(2)
    writers = [
        rawclient.csv_writer(tmp_path / "t.csv"),
        rawclient.file_writer(tmp_path / "f"),
    ]
    value = [1, "a", None, {"k": [1.5]}, tensor("<f4", [2, 3], bytes(24))]
    good = [
        msgpack.packb(
            [0, 2, "open", {"job": "p", "cwd": str(tmp_path), "writers": writers}]
        ),
        msgpack.packb(
            [0, 3, "write", {"job": 1, "seq": 1, "outputs": {"x": value, "v": value}}]
        ),
        msgpack.packb([0, 4, "end", {"job": 1}]),
    ]
    for _ in range(300):
        with daemon.raw() as client:
            bodies = [bytearray(body) for body in good]
            body = bodies[rng.randrange(2)]
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(len(body))
                if b"/" in body[max(0, at - 90) : at + 90]:
                    continue  # of paths, those below the test's directory alone
                body[at] = rng.randrange(256)
            try:
                client.send(b"".join(map(framed, bodies)))
            except BrokenPipeError:
                pass


@pytest.mark.parametrize("size", [1, 3, 4, 5, 20, 5000])
def test_a_frame_that_breaks_off_is_forgotten(daemon, size):
    _, data = dumb(daemon).request("hello", protocol=1, client="x" * 10_000)
    with dumb(daemon) as client:
        client.send(data[:size])


def test_a_message_may_come_byte_by_byte(daemon):
    with dumb(daemon) as client:
        id, data = client.request("hello", protocol=1)
        for i in range(len(data)):
            client.send(data[i : i + 1])
        assert client.answer(id)["protocol"] == 1


def test_many_messages_may_come_at_once(daemon):
    with dumb(daemon) as client:
        requests = [client.request("hello", protocol=1)]
        requests += [client.request("ping") for _ in range(2000)]
        client.send(b"".join(data for _, data in requests))
        for id, _ in requests:
            client.answer(id)


def test_32_containers_inside_one_another_are_taken(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        value = "leaf"
        for _ in range(32 - 3):  # the message, its params, its outputs
            value = [value]
        client.call("write", job=1, seq=1, outputs={"x": value})
        client.call("end", job=1)
    assert b"['leaf']" in (tmp_path / "t.csv").read_bytes()


def test_more_objects_than_a_frame_may_have_are_refused(start_daemon):
    big = start_daemon()
    with big.raw() as client:
        client.send(
            framed(request(b"\x81\xa1x\xdd\x00\x40\x00\x00" + b"\xc0" * 4_194_304))
        )
        refused, _ = client.last_words()
    assert refused.code == "protocol"


# ---- sound messages with unsound parameters ----


def test_an_unknown_method_is_an_error_and_the_connection_goes_on(daemon):
    with daemon.raw() as client:
        for method in ("", "Ping", "ping\0", "x" * 1000, "é", "%s%n"):
            assert client.refusal(method).code == "unknown_method"
        client.call("ping")


NOT_STRINGS = [True, 1, -1, 1.5, b"x", [], {}, ["x"]]
NOT_INTS = [True, False, 1.0, "1", b"\x01", [], {}, [1]]
NOT_ARRAYS = [True, 1, 1.5, "x", b"x", {}]
NOT_MAPS = [True, 1, 1.5, "x", b"x", []]
TEXT_TENSOR = tensor("|u1", [1], b"x")

HELLO = {"protocol": 1, "client": "c", "pid": 1}
OPEN = {
    "job": "q",
    "stage": "predict",
    "rank": 0,
    "world_size": 1,
    "cwd": "/tmp",
    "writers": [rawclient.csv_writer("/tmp/never/t.csv")],
}
NAMED = {key: value for key, value in OPEN.items() if key != "writers"}
WRITE = {"job": 1, "seq": 1, "batch_idx": 0, "dataloader_idx": 0, "outputs": {"x": [1]}}

WRONG = [
    ("hello", HELLO, "protocol", [*NOT_INTS, None, -1]),
    ("hello", HELLO, "client", [*NOT_STRINGS, "a\nb", "\x1b[31m", "\0"]),
    ("hello", HELLO, "pid", [*NOT_INTS, -1, 2**31, 2**64 - 1]),
    (
        "open",
        OPEN,
        "job",
        [*NOT_STRINGS, None, "", ".", "..", "a/b", "a\0b", "\x7f", "\u202e", "é" * 51],
    ),
    ("open", OPEN, "stage", [*NOT_STRINGS, "", "Predict", "train", "predict\0"]),
    ("open", OPEN, "rank", [*NOT_INTS, -1, 1, 2**32, 2**63, -(2**63)]),
    ("open", OPEN, "world_size", [*NOT_INTS, 0, -1, 65537, 2**32 + 1, 2**64 - 1]),
    (
        "open",
        OPEN,
        "cwd",
        [*NOT_STRINGS, "", "tmp", "./tmp", "/tmp\0", "/a\nb", "/" + "x" * 4096],
    ),
    (
        "open",
        OPEN,
        "writers",
        [
            *NOT_ARRAYS,
            None,
            [],
            [1],
            [[]],
            ["csv"],
            [None],
            [{}],
            [rawclient.csv_writer("/tmp/never/a.csv")] * 65,
        ],
    ),
    ("open", OPEN, "total", [*NOT_INTS, -1, 2**41]),
    ("open", NAMED, "pipeline", [*NOT_STRINGS, "", "nonsense", "x" * 1000]),
    ("open", OPEN, "pipeline", ["both"]),
    ("open", OPEN, "resume", [0, 1, "true", [], {}, b""]),
    ("open", OPEN, "id", [*NOT_INTS, -1, 0]),
    ("open", OPEN, "answered", [*NOT_INTS, -1]),
    ("open", OPEN, "handle", [*NOT_INTS, -1, 0, 2**32, 2**63 - 1]),
    ("write", WRITE, "job", [*NOT_INTS, None]),
    ("write", WRITE, "seq", [*NOT_INTS, None, 0, -1, 2, 2**63]),
    ("write", WRITE, "batch_idx", [*NOT_INTS, -1, 2**64 - 1]),
    ("write", WRITE, "dataloader_idx", [*NOT_INTS, -1]),
    ("write", WRITE, "blocked_ms", [*NOT_INTS, -1, 2**41]),
    ("write", WRITE, "outputs", [*NOT_MAPS, None, {1: 2}, {b"x": 1}, TEXT_TENSOR]),
    ("write", WRITE, "only", [{}, {0: {"x": [1]}}]),
    (
        *("write", {**WRITE, "outputs": None}, "only"),
        [*NOT_MAPS, {1: {}}, {-1: {}}, {"0": {}}, {0: 3}, {0: None}, {0: {1: 2}}],
    ),
    ("flush", {"job": 1}, "job", [*NOT_INTS, None]),
    ("end", {"job": 1}, "job", [*NOT_INTS, None]),
    ("end", {"job": 1}, "blocked_ms", [*NOT_INTS, -1, 2**41]),
    ("end", {"job": 1}, "wait", [0, 1, "true", [], {}, b""]),
    ("end", {"job": 1}, "seq", [*NOT_INTS, -1]),
    ("past", {}, "job", [*NOT_INTS, None]),
    ("past", {"job": 1}, "seq", [*NOT_INTS, -1, 0]),
    ("abort", {"job": 1}, "job", [*NOT_INTS, None]),
    ("abort", {"job": 1}, "reason", NOT_STRINGS),
    ("finalize", {}, "job", [*NOT_STRINGS, None]),
    ("finalize", {"job": "p"}, "stage", NOT_STRINGS),
    ("finalize", {"job": "p"}, "partial", [0, 1, "true", [], {}, b""]),
    ("finalize", {"job": "p"}, "damaged", [0, 1, "true", [], {}, b""]),
    ("show", {}, "job", [*NOT_STRINGS, None]),
    ("show", {"job": "p"}, "stage", NOT_STRINGS),
    ("show", {"job": "p"}, "id", [*NOT_INTS, -1, 2**63]),
    ("discard", {}, "job", [*NOT_STRINGS, None]),
    ("discard", {"job": "p"}, "stage", NOT_STRINGS),
    ("sync", {}, "job", [*NOT_STRINGS, None]),
    ("sync", {"job": "p"}, "stage", NOT_STRINGS),
    ("shutdown", {}, "drain", [*NOT_INTS, -1, 2**31]),
    ("tail", {}, "job", [*NOT_STRINGS, None]),
    ("tail", {"job": "p"}, "stage", NOT_STRINGS),
    ("plugins", {}, "name", [*NOT_STRINGS, "", "nonsense", "x" * 1000]),
]


@pytest.mark.parametrize(
    "method, good, key, values",
    WRONG,
    ids=[f"{method}.{key}" for method, _, key, _ in WRONG],
)
def test_a_wrong_parameter_is_told_by_its_name(
    daemon, tmp_path, method, good, key, values
):
    for value in values:
        with daemon.raw() as client:
            if method in ("write", "flush", "end", "abort", "past"):
                client.open_csv(tmp_path / "t.csv")
            refused = client.refusal(method, **{**good, key: value})

            assert refused.code in ("bad_params", "bad_type"), (value, refused)
            if key not in ("writers", "name"):  # there it is what is wrong within
                assert f"'{key}'" in refused.message, (value, refused)
            client.call("ping")
    assert not os.path.exists("/tmp/never")


WRITER_OPTIONS = [
    (
        "csv",
        {"path": "t.csv", "keys": ["x"]},
        "path",
        [*NOT_STRINGS, None, "/", "a\0b", "a\nb", "x" * 4096],
    ),
    (
        "csv",
        {"path": "t.csv", "keys": ["x"]},
        "keys",
        [*NOT_ARRAYS, None, [], [1], [None], [["x"]], ["x", b"y"], ["a\0"]],
    ),
    (
        "file",
        {"directory": "d", "value_key": "v", "writer_fn": "text"},
        "directory",
        [*NOT_STRINGS, None, "/"],
    ),
    (
        "file",
        {"directory": "d", "value_key": "v", "writer_fn": "text"},
        "value_key",
        [*NOT_STRINGS, None, "a\0b"],
    ),
    (
        "file",
        {"directory": "d", "value_key": "v", "writer_fn": "text"},
        "name_key",
        NOT_STRINGS,
    ),
    (
        "file",
        {"directory": "d", "value_key": "v", "writer_fn": "text"},
        "writer_fn",
        [
            True,
            1,
            b"text",
            [],
            {},
            None,
            "",
            "nope",
            {"name": 1},
            {"name": "nope"},
            {"name": "text", "suffix": 1},
            {"name": "text", "suffix": "a/b"},
            {"name": "text", "x": 1},
            {"name": "text", 1: 1},
            {"name": "image_2d", "compression": "1"},
            {"name": "image_2d", "compression": -1},
            {"name": "image_2d", "compression": 10},
        ],
    ),
]


@pytest.mark.parametrize(
    "type, good, key, values",
    WRITER_OPTIONS,
    ids=[f"{type}.{key}" for type, _, key, _ in WRITER_OPTIONS],
)
def test_a_wrong_option_of_a_writer_is_told(daemon, tmp_path, type, good, key, values):
    with daemon.raw() as client:
        for value in values:
            writers = [{"type": type, "options": {**good, key: value}}]
            refused = client.refusal(
                "open", job="q", cwd=str(tmp_path), writers=writers
            )
            assert refused.code in ("bad_params", "bad_type"), (value, refused)
        client.call("ping")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "writer",
    [
        {"options": {}},
        {"type": 1},
        {"type": "csv", "options": []},
        {"type": "csv"},
        {"type": "csv\0", "options": {}},
        {"type": "x" * 5000, "options": {}},
        {"type": "csv", "options": {1: 2}},
        {"type": "csv", "options": {"path": "/x", "keys": ["x"], "%s%n": 1}},
    ],
)
def test_a_writer_that_is_none_is_told(daemon, writer):
    with daemon.raw() as client:
        refused = client.refusal("open", job="q", cwd="/tmp", writers=[writer])
        assert refused.code in ("bad_params", "bad_type")
        client.call("ping")


BAD_TENSORS = {
    "no type": {"nd": True, "shape": [1], "data": b"1"},
    "no shape": {"nd": True, "type": "|u1", "data": b"1"},
    "no data": {"nd": True, "type": "|u1", "shape": [1]},
    "only the mark": {"nd": True},
    "an unknown type": tensor("<f3", [1], b"123"),
    "big-endian": tensor(">f4", [1], b"1234"),
    "objects": tensor("|O", [1], bytes(8)),
    "a type that is a number": tensor(4, [1], b"1234"),
    "a shape that is a number": tensor("|u1", 1, b"1"),
    "a length that is a text": tensor("|u1", ["1"], b"1"),
    "a negative length": tensor("|u1", [-1], b""),
    "two negative lengths": tensor("|u1", [-1, -1], b"1"),
    "a length of 2**64-1": tensor("|u1", [2**64 - 1], b""),
    "lengths that overflow": tensor("|u1", [2**32, 2**32], b""),
    "lengths that overflow to the size": tensor("<f8", [2**61, 8, 1], b""),
    "lengths that overflow around a zero": tensor("|u1", [2**63, 2, 3], b""),
    "65 dimensions": tensor("|u1", [1] * 65, b"1"),
    "fewer bytes": tensor("<f4", [2], bytes(7)),
    "more bytes": tensor("<f4", [2], bytes(9)),
    "no bytes": tensor("<f4", [2], b""),
    "bytes for nothing": tensor("<f4", [0], b"1"),
    "data that is a text": tensor("|u1", [1], "x"),
    "data that is a list": tensor("|u1", [1], [1]),
    "memory that was never shared": {
        "nd": True,
        "type": "|u1",
        "shape": [1],
        "at": [0, 1],
    },
}


@pytest.mark.parametrize("where", ["value", "in a list", "in a map"])
@pytest.mark.parametrize("bad", BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_a_bad_tensor_is_an_error_of_its_batch_alone(daemon, tmp_path, bad, where):
    value = {"value": bad, "in a list": [1, [bad]], "in a map": [{"k": bad}]}[where]
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        refused = client.refusal("write", job=1, seq=1, outputs={"x": value})
        client.call("write", job=1, seq=2, outputs={"x": ["good"]})
        client.call("end", job=1)

    assert refused.code in ("bad_value", "bad_type", "bad_params"), refused
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\ngood\r\n"


def test_a_tensor_of_many_empty_dimensions_is_taken(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        empty = tensor("<f8", [0, 2**40, 2**40], b"")
        client.call("write", job=1, seq=1, outputs={"x": empty})
        client.call("end", job=1)
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n"


@pytest.mark.parametrize("writer", [rawclient.csv_writer, rawclient.file_writer])
def test_a_tensor_of_no_bytes_cannot_ask_for_endless_samples(
    start_daemon, tmp_path, writer
):
    """A few bytes from a client must not fill memory and disk."""
    own = start_daemon()
    endless = tensor("<f8", [2**62, 0], b"")
    with own.raw(timeout_s=2) as client:
        client.call("open", job="p", writers=[writer(tmp_path / "out")])
        try:
            refused = client.refusal(
                "write", job=1, seq=1, outputs={"x": endless, "v": endless}
            )
        except socket.timeout:
            own.kill()  # before it has filled them
            pytest.fail("the daemon writes sample after sample")
        client.call("abort", job=1)
    assert refused.code == "bad_value"


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"a\xc3"])
def test_text_that_is_not_utf8_is_an_error_of_its_batch_alone(daemon, tmp_path, text):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        surrogate = text.decode(errors="surrogateescape")
        body = msgpack.packb(
            [0, 9, "write", {"job": 1, "seq": 1, "outputs": {"x": [surrogate]}}],
            unicode_errors="surrogateescape",
        )
        client.send(framed(body))
        with pytest.raises(rawclient.Refused, match="UTF-8"):
            client.answer(9)
        client.call("end", job=1)


# ---- a sound protocol, used wrongly ----


def test_a_sequence_with_a_gap_or_a_repetition_is_refused(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        client.call("write", job=1, seq=1, outputs={"x": ["1"]})
        for seq in (1, 3, 2**62):
            refused = client.refusal("write", job=1, seq=seq, outputs={"x": ["no"]})
            assert refused.code == "bad_params" and "2" in refused.message
        client.call("write", job=1, seq=2, outputs={"x": ["2"]})
        client.call("end", job=1)

    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n1\r\n2\r\n"


def test_a_handle_of_another_connection_is_none(daemon, tmp_path):
    with daemon.raw() as owner, daemon.raw() as thief:
        owner.open_csv(tmp_path / "t.csv")
        for method, more in (
            ("write", {"seq": 1, "outputs": {"x": ["no"]}}),
            ("flush", {}),
            ("end", {}),
            ("abort", {}),
        ):
            for handle in (0, 1, 2, 2**62):
                refused = thief.refusal(method, job=handle, **more)
                assert refused.code in ("bad_state", "bad_params")
        owner.call("end", job=1)

    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n"


@pytest.mark.parametrize("last", ["end", "abort"])
def test_a_handle_that_is_gone_is_none(daemon, tmp_path, last):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        client.call(last, job=1)
        for method, more in (
            ("write", {"seq": 1, "outputs": {"x": [1]}}),
            ("flush", {}),
            ("end", {}),
            ("abort", {}),
        ):
            assert client.refusal(method, job=1, **more).code == "bad_state"


def test_a_handle_may_be_chosen_once(daemon, tmp_path):
    with daemon.raw() as client:
        opened = client.open_csv(tmp_path / "t.csv", handle=2**32 - 1)
        assert opened["handle"] == 2**32 - 1
        refused = client.refusal(
            "open", job="q", handle=2**32 - 1, writers=[rawclient.csv_writer("/q.csv")]
        )
        assert refused.code == "bad_params" and "4294967295" in refused.message
        second = client.open_csv(tmp_path / "u.csv", job="u")
        assert second["handle"] == 2**32
        for handle in (opened["handle"], second["handle"]):
            client.call("end", job=handle)


@pytest.mark.parametrize("name", ["", "\x1b[2J", "x" * 100_000, "é" * 60, ".."])
def test_an_unfinished_job_that_nobody_has_is_refused(daemon, name):
    with daemon.raw() as client:
        for method in ("finalize", "discard"):
            refused = client.refusal(method, job=name, stage=name)
            assert refused.code == "bad_state"
            assert "no unfinished job" in refused.message


def test_hello_may_come_again(daemon):
    with daemon.raw() as client:
        assert client.call("hello", protocol=1)["protocol"] == 1


def test_ids_that_come_twice_are_answered_twice(daemon):
    with daemon.raw() as client:
        client.send(frame([0, 7, "ping", {}]) * 3)
        assert [client.receive()[1] for _ in range(3)] == [7, 7, 7]


def test_unknown_keys_are_ignored(daemon, tmp_path):
    with daemon.raw() as client:
        opened = client.open_csv(tmp_path / "t.csv", future={"a": [1]})
        client.call("write", job=opened["handle"], seq=1, outputs={"x": [1]}, more=None)
        client.call("end", job=opened["handle"], later=1.5)


def test_a_connection_holds_jobs_up_to_a_limit(daemon, tmp_path):
    with daemon.raw() as client:
        opened = 0
        try:
            while opened < 100_000:
                client.open_csv(tmp_path / f"{opened}.csv", job=str(opened))
                opened += 1
        except rawclient.Refused as refused:
            assert refused.code == "limit"
        assert 16 <= opened < 10_000


def test_who_leaves_while_its_open_is_on_its_way_leaves_no_seat_taken(daemon, tmp_path):
    for i in range(30):
        with daemon.raw() as client:
            client.post(
                "open", job="p", writers=[rawclient.csv_writer(tmp_path / "t.csv")]
            )
    with daemon.raw() as client:
        daemons.until(
            lambda: opens(client, tmp_path / "t.csv"), "the job can be opened"
        )
        client.call("abort", job=client.handle)


def opens(client, path):
    try:
        client.handle = client.open_csv(path)["handle"]
        return True
    except rawclient.Refused as refused:
        assert refused.code == "bad_state"
        return False


# ---- places that are not what they seem ----


def make_socket(path):
    folder = os.open(path.parent, os.O_DIRECTORY)  # for its own path may be too long
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def make_device(path):
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


PLANTED = {
    "a link to a folder": lambda path, outside: path.symlink_to(outside),
    "a link to a file": lambda path, outside: path.symlink_to(outside / "kept"),
    "a link to nothing": lambda path, outside: path.symlink_to(outside / "new"),
    "a link to itself": lambda path, outside: path.symlink_to(path.name),
    "a link to a device": lambda path, outside: path.symlink_to("/dev/full"),
    "a file": lambda path, outside: path.write_text("old"),
    "a pipe": lambda path, outside: os.mkfifo(path),
    "a socket": lambda path, outside: make_socket(path),
    "a device": lambda path, outside: make_device(path),
}


@pytest.fixture
def outside(tmp_path):
    """A folder beside the outputs; it stays as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    yield folder
    assert [path.name for path in folder.iterdir()] == ["kept"]
    assert (folder / "kept").read_text() == "kept"


@pytest.mark.parametrize("name", ["it/x", "a/it/x", "it"])
@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_is_planted_where_files_are_staged_is_not_used(
    daemon, tmp_path, outside, plant, name
):
    with daemon.raw() as client:
        writers = [rawclient.file_writer(tmp_path / "out", name_key="n")]
        client.call("open", job="p", writers=writers)
        staging = judges.staging(tmp_path / "out")
        place = staging / "a" if name.startswith("a/") else staging
        place.mkdir(exist_ok=True)
        plant(place / ("it" if name.endswith("/x") else "it.txt"), outside)
        outputs = {"v": ["1", "2"], "n": ["good", name]}
        refused = client.refusal("write", job=1, seq=1, outputs=outputs)
        client.call("abort", job=1)

    assert refused.code in ("os", "bad_value")
    assert "'it'" in refused.message or f"'{name}.txt'" in refused.message
    assert refused.details["sample"] == 1


def publish_file(client, directory, name):
    writers = [rawclient.file_writer(directory, name_key="n")]
    opened = client.call("open", job="planted", writers=writers)
    outputs = {"v": ["new"], "n": [name]}
    client.call("write", job=opened["handle"], seq=1, outputs=outputs)
    client.call("end", job=opened["handle"])


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_is_planted_where_files_are_published_is_not_followed(
    daemon, tmp_path, outside, plant
):
    """A file takes the place of what has its name; for a folder that is an error."""
    (tmp_path / "out").mkdir()
    plant(tmp_path / "out" / "it", outside)
    plant(tmp_path / "out" / "it.txt", outside)
    with daemon.raw() as client:
        with pytest.raises(rawclient.Refused, match="it' is a .*a folder of") as refused:
            publish_file(client, tmp_path / "out", "it/x")
        client.call("discard", job="planted")
        publish_file(client, tmp_path / "out", "it")

    assert refused.value.code == "os"
    assert (tmp_path / "out" / "it.txt").lstat().st_mode & 0o170000 == stat.S_IFREG
    assert (tmp_path / "out" / "it.txt").read_text() == "new"


NO_TABLES = ["a link to a device", "a pipe", "a socket", "a device"]


@pytest.mark.parametrize("what", NO_TABLES)
def test_a_table_does_not_take_the_place_of_a_device(daemon, tmp_path, outside, what):
    path = tmp_path / "t.csv"
    PLANTED[what](path, outside)
    with daemon.raw() as client:
        refused = client.refusal(
            "open", job="q", writers=[rawclient.csv_writer(path, ["x"])]
        )
    assert refused.code == "bad_params"
    assert f"'{path}' cannot be a table" in refused.message
    assert not path.is_file() and os.path.lexists(path)


# ---- clients that do not do their part ----


def fill(client, data):
    """Send `data` again and again until the daemon takes no more; how often it did."""
    client.socket.setblocking(False)
    sent, poll = 0, select.poll()
    poll.register(client.socket, select.POLLOUT)
    while sent < 512 * len(data):
        try:
            sent += client.socket.send((data * 2)[sent % len(data) :][: len(data)])
        except BlockingIOError:
            if not poll.poll(300):
                break
    client.socket.settimeout(daemons.DEADLINE_S)
    return sent


def test_a_client_that_does_not_read_is_not_read_and_others_go_on(daemon, tmp_path):
    with daemon.raw() as client:
        data = frame([0, 5, "plugins", {}]) * 1000
        sent = fill(client, data)
        assert sent < 512 * len(data), "the daemon takes requests without end"

        start = time.monotonic()
        daemon.check_serves(tmp_path)
        assert time.monotonic() - start < 5


def test_a_client_that_reads_late_gets_every_answer(daemon):
    """Also to requests that the daemon had taken in, but not looked at yet."""
    n = 1500  # of some kilobytes each: far more than is held for one client
    with daemon.raw(timeout_s=5) as client:
        client.send(frame([0, 5, "plugins", {}]) * n)
        answers = 0
        try:
            while answers < n:
                assert client.receive()[1] == 5
                answers += 1
        except socket.timeout:
            pytest.fail(f"{answers} answers to {n} requests, then silence")


def test_half_a_frame_keeps_nobody_waiting(daemon, tmp_path):
    _, data = dumb(daemon).request("hello", protocol=1, client="x" * 50)
    with dumb(daemon) as one, dumb(daemon) as other, daemon.raw() as third:
        one.send(data[:2])
        other.send(data[:30])
        third.send(struct.pack(">I", MAX_FRAME) + b"\x94" * 100_000)
        daemon.check_serves(tmp_path)

        one.send(data[2:])
        assert one.answer(1)["protocol"] == 1


def test_two_hundred_connections_come_and_go(daemon):
    clients = []
    for i in range(200):
        client = daemon.raw() if i % 3 == 0 else dumb(daemon)
        if i % 3 == 1:
            client.send(b"\0\0")
        if i % 5:
            client.close()
        else:
            clients.append(client)
    daemon.ask("status")
    for client in clients:
        client.close()


def test_connections_that_leave_at_once_in_many_threads(daemon):
    def come_and_go(_):
        for _ in range(50):
            client = rawclient.RawClient(daemon.socket)
            client.post("hello", protocol=1)
            client.close()

    ranks.in_threads(come_and_go, range(4))


def test_who_only_writes_and_shuts_down_is_still_answered(daemon):
    with dumb(daemon) as client:
        client.post("hello", protocol=1)
        id = client.post("ping")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer(id)["pid"] == daemon.pid
        assert client.receive() is None


@pytest.mark.parametrize("count", [1, 2, 4, 5, 100])
def test_descriptors_that_nobody_asked_for_are_closed(daemon, count):
    with daemon.raw() as client, daemon.raw() as other:
        with open(os.devnull) as null:
            _, data = client.request("ping")
            client.send(data, [null.fileno()] * count)
        while (message := client.receive())[1]:
            assert count == 1  # "ping" was answered before
        assert message[2]["code"] == "protocol"
        assert client.receive() is None
        other.call("ping")
        daemons.until(
            lambda: sum(name.startswith("socket:") for name in daemon.descriptors())
            == 2,
            "only the other connection is open",
        )


def test_out_of_descriptors_clients_are_turned_away_and_the_others_served(
    start_daemon, tmp_path
):
    small = start_daemon(prefix=("prlimit", "--nofile=40:40"))
    with small.raw() as first:
        crowd = []
        for _ in range(60):
            try:
                crowd.append(rawclient.RawClient(small.socket))
            except OSError:
                break
        first.call("ping")
        for client in crowd:
            client.close()
    daemons.until(small.is_alone, "the crowd has left")
    small.check_serves(tmp_path)


def test_who_comes_when_there_are_no_descriptors_is_let_out_at_once(
    start_daemon, tmp_path
):
    small = start_daemon()
    with small.raw() as client:
        n_open = len(small.descriptors())
        resource.prlimit(small.pid, resource.RLIMIT_NOFILE, (n_open, 4096))
        crowd = [rawclient.RawClient(small.socket) for _ in range(10)]
        assert crowd[-1].receive() is None
        assert "turned a client away: out of descriptors" in small.log()
        client.call("ping")
        for each in crowd:
            each.close()
        resource.prlimit(small.pid, resource.RLIMIT_NOFILE, (4096, 4096))
    daemons.until(small.is_alone, "all have left")
    small.check_serves(tmp_path)


def test_a_log_line_cannot_be_forged(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv", job="forger")
        words = "x\u2028\u202e\n2026-01-01T00:00:00.000Z error forged"
        client.call("abort", job=1, reason=words)
    assert "\n2026-01-01T00:00:00.000Z" not in daemon.log()
    assert "\u2028" not in daemon.log() and "\u202e" not in daemon.log()
    assert daemon.job("forger")["error"]
