#!/usr/bin/env python3
"""make-corpus.py - write tests/fuzz/corpus: inputs that are interesting to begin with.

What a fuzzer finds is added beside them by hand, and stays.
"""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"

# Where the daemon of fuzz_session.c may write.
ROOT = "/proc/self/fd/100"


def pack(value):
    """MessagePack of small values: as much of it as the inputs need."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        code, form = (0xd3, ">Bq") if value < 0 else (0xcf, ">BQ")
        return struct.pack(form, code, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xcb, value)
    if isinstance(value, str):
        text = value.encode()
        return struct.pack(">BB", 0xd9, len(text)) + text
    if isinstance(value, bytes):
        return struct.pack(">BB", 0xc4, len(value)) + value
    if isinstance(value, list):
        return struct.pack(">BH", 0xdc, len(value)) + b"".join(map(pack, value))
    pairs = (pack(key) + pack(item) for key, item in value.items())
    return struct.pack(">BH", 0xde, len(value)) + b"".join(pairs)


def put(name, data):
    (CORPUS / name).write_bytes(data)


def frame(body):
    return struct.pack(">I", len(body)) + body


def nest(depth):
    return b"\x91" * depth + b"\xc0"


def tensor(dtype, shape, data):
    return {"nd": True, "type": dtype, "shape": shape, "data": data}


def placed(dtype, shape, place):
    return {"nd": True, "type": dtype, "shape": shape, "at": place}


def frames():
    put("frame-empty", b"\x02")
    put("frame-half-head", b"\x00\x00\x00")
    put("frame-zero", b"\x06" + b"\x00" * 4)
    put("frame-too-large", b"\x06\xff\xff\xff\xff")
    put("frame-three", b"\x02" + frame(b"a") + frame(b"bc") + frame(b"d" * 300))
    put("frame-staged", b"\xff" + frame(b"x" * 32764) + frame(b"y"))
    put("frame-large", b"\xfe" + frame(b"x" * 32765) + frame(b"y"))
    put("frame-cut", b"\x00" + frame(b"x" * 40000)[:33000])


def request(method, params):
    return pack([0, 1, method, params])


def messages():
    put("message-ping", request("ping", {}))
    put("message-flag", request("end", {"job": 1, "wait": True}))
    put("message-result", pack([1, 2, None, {"job": -5}]))
    put("message-error", pack([1, 2, {"code": "os", "details": {}}, None]))
    put("message-array", request("open", {"writers": [{}], "parameters": ["a", "b"]}))
    put("message-parameters-mixed", request("open", {"parameters": ["a", 1]}))
    put("message-parameters-nul", request("open", {"parameters": ["a\0b"]}))
    put("message-bomb", b"\xdd\x10\x00\x00\x00")
    put("message-bomb-map", b"\xdf\x80\x00\x00\x00")
    put("message-nest-32", b"\x94\x00\x01\xa1m\x81\xa7outputs" + nest(30))
    put("message-nest-33", nest(33))
    put("message-ext", b"\x94\x00\x01\xa1m\x81\xa7outputs\xd4\x01\x00")
    put("message-not-utf8", b"\x94\x00\x01\xa1m\x81\xa7outputs\x81\xa1k\xa2\xc0\x80")


def values():
    def value(name, given, memory=0):
        put("value-" + name, bytes([memory]) + pack(given))

    value("scalars", {"a": [None, True, -1, 2**64 - 1, 0.5, "\u00e9", b"\xff"]})
    value("lists", [[], {}, [[]], {"a": {}}])
    value("tensor", {"t": tensor("<f4", [2, 1], bytes(8))})
    value("tensor-empty", tensor("<f8", [0, 2**40], b""))
    value("tensor-empty-large", tensor("|u1", [2**22, 0], b""))
    value("tensor-overflow", tensor("|u1", [2**62, 4], b""))
    value("tensor-overflow-zero", tensor("|u1", [2**63, 2, 0], b""))
    value("tensor-64", tensor("|u1", [1] * 64, b"x"))
    value("tensor-65", tensor("|u1", [1] * 65, b"x"))
    value("tensor-short", tensor("<c16", [3], bytes(47)))
    value("tensor-length", tensor("|u1", ["1"], b"x"))
    value("tensor-type", tensor(">f4", [1], bytes(4)))
    value("tensor-mark", {"nd": True})
    value("tensor-no-mark", {"nd": False, "type": "|u1"})
    put("value-tensor-key", b"\x00\x81" + pack(tensor("|b1", [], b"\x01")) + b"\xc0")
    put("value-empty-string", b"\x00\xa0")
    put("value-not-utf8", b"\x00\x81\xa1k\xa2\xc0\x80")
    put("value-nest-32", b"\x00" + nest(32))
    put("value-nest-33-empty", b"\x00" + b"\x91" * 32 + b"\x80")
    put("value-floats", b"\x00\x92\xca\x7f\xc0\x00\x00\xcb" + bytes(8))
    value("at", {"t": placed("<f8", [2], [48, 16])}, memory=16)
    value("at-end", placed("|u1", [1], [64, 1]), memory=16)
    value("at-overflow", placed("|u1", [16], [2**64 - 8, 16]), memory=16)
    value("at-many", [placed("|u1", [64], [0, 64])] * 2, memory=16)
    value("at-short", placed("<u2", [3], [0, 5]), memory=16)
    value("at-none", placed("|u1", [1], [0, 1]))
    value("at-shape", placed("|u1", [1], [0]), memory=1)
    value("at-both", {**placed("|u1", [1], [0, 1]), "data": b"x"}, memory=1)


def options():
    def writer(**given):
        return pack({"type": "w", "options": given})

    put("option-none", writer())
    put("option-path", writer(path="p.csv"))
    put("option-path-odd", writer(path="/a//./b/../"))
    put("option-path-root", writer(path="/"))
    put("option-path-nul", writer(path="a\0b"))
    put("option-all", writer(path="/p", title="t", keys=["a", "b"], encoder="e",
                             number=-7, flag=True))
    encoder = {"name": "e", "suffix": "", "level": 9}
    put("option-encoder", writer(path="/p", encoder=encoder))
    put("option-encoder-unknown", writer(path="/p", encoder="f"))
    put("option-suffix", writer(path="/p", encoder={"name": "e", "suffix": "/x"}))
    put("option-unknown", writer(path="/p", colour="red"))
    put("option-keys-mixed", writer(path="/p", keys=["a", 1]))
    put("option-key-int", pack({"type": "w", "options": {1: 2}}))
    put("option-type", pack({"type": "v"}))
    put("option-array", pack(["type", "w"]))


# What clients do, as fuzz_session.c reads it: its deeds have these numbers.
SEND, SEND_RAW, SHARE, LISTEN, LEAVE, RESTART = range(6)


def play(name, *deeds):
    """Each deed is its number, the client's number, and bytes; c1 is between them.

    Who opens a job waits for the answer before the next deed.
    """
    parts = []
    for deed, client, data in deeds:
        parts.append(bytes([4 * deed + client]) + data)
        if b"writers" in data and not name.startswith("hasty"):
            parts.append(bytes([4 * LISTEN]))
    assert not any(b"\xc1" in part for part in parts), name
    put("session-" + name, b"\xc1".join(parts))


def says(client, method, deed=SEND, **params):
    return deed, client, request(method, params)


def hello(client=0):
    return says(client, "hello", protocol=1)


CSV = {"type": "csv", "options": {"path": "p.csv", "keys": ["x"]}}
FREEZER = {"type": "freezer", "options": {"names": ["a"], "until_step": 3}}


def files(encoder):
    options = {"directory": "d", "value_key": "x", "writer_fn": encoder}
    return {"type": "file", "options": {**options, "name_key": "n"}}


def opens(client, *writers, **params):
    return says(client, "open", job="p", cwd=ROOT, writers=list(writers), **params)


def writes(client, seq, **outputs):
    return says(client, "write", job=1, seq=seq, outputs=outputs)


def ends(client=0, **params):
    return says(client, "end", job=1, **params)


LISTENS = (LISTEN, 0, b"")


def sessions():
    ids = [tensor("<i8", [2], bytes(16)), ["a", "b"], [1.5, None]]
    batches = [writes(0, seq, x=value) for seq, value in enumerate(ids, 1)]
    image = tensor("<f4", [1, 3, 2, 2], bytes(48))
    video = tensor("|u1", [1, 1, 1, 2, 2], bytes(4))
    memory = says(0, "memory", SHARE, size=4096)
    named = placed("|u1", [2, 8], [0, 16])
    two = {"world_size": 2}

    play("empty")
    play("csv", hello(), opens(0, CSV), *batches, ends())
    play("hasty", hello(), opens(0, CSV), *batches, ends())
    play("csv-listens", hello(), opens(0, CSV), LISTENS, *batches, LISTENS, ends())
    play("flush", hello(), opens(0, CSV), batches[0], says(0, "flush", job=1), ends())
    play("no-wait", hello(), opens(0, CSV), batches[0], ends(wait=False), LISTENS)
    play("abort", hello(), opens(0, CSV), batches[0], says(0, "abort", job=1))
    play("leaves", hello(), opens(0, CSV), batches[0], (LEAVE, 0, b""))
    play("gap", hello(), opens(0, CSV), batches[1], batches[0], ends())
    for encoder in ("tensor", "image_2d", "text"):
        value = ["t"] if encoder == "text" else image
        names = writes(0, 1, x=value, n=["a/b"]), writes(0, 2, x=value, n=["../b"])
        play("file-" + encoder, hello(), opens(0, files(encoder)), *names, ends())
    play("file-video", hello(), opens(0, files("video")), writes(0, 1, x=video), ends())
    both = opens(0, CSV, files("tensor"))
    play("both", hello(), both, writes(0, 1, x=image, n=["a"]), ends())
    for name, only in {"all": {0: {"x": [1]}, 1: {"x": image, "n": ["a"]}}, "none": {},
                       "one": {1: {"x": image, "n": ["a"]}}, "bad": {2: {"x": [1]}},
                       "late": {0: {"x": [1]}, 1: {"x": [2], "n": ["a"]}}}.items():
        play("only-" + name, hello(), both,
             says(0, "write", job=1, seq=1, only=only), ends())
    late = writes(0, 1, x=[1], n=["a"]), writes(0, 2, x=image, n=["a"])
    play("both-late", hello(), both, *late, ends())
    play("memory", hello(), memory, opens(0, CSV), writes(0, 1, x=named), ends())
    play("memory-leaves", hello(), memory, opens(0, CSV), writes(0, 1, x=named))
    play("memory-unclaimed", hello(), says(0, "ping", SHARE))
    ranks = [hello(0), hello(1), opens(0, CSV, rank=0, **two)]
    ranks += [opens(1, CSV, rank=1, **two), writes(0, 1, x=[1]), writes(1, 1, x=[2])]
    play("ranks", *ranks, ends(0), ends(1))
    play("ranks-one-leaves", *ranks, ends(0), LISTENS, (LEAVE, 1, b""))
    play("ranks-finalize", *ranks, (LEAVE, 0, b""), ends(1), hello(2), LISTENS,
         says(2, "finalize", job="p"))
    steps = [says(0, "step", job=1, global_step=n, epoch=0) for n in (0, 3)]
    policies = {"policies": [FREEZER], "parameters": ["a", "b"]}
    play("freezer", hello(), opens(0, **policies), *steps, ends())
    asked = [says(1, "freeze", job="p", patterns=["b*"]), LISTENS]
    play("freeze", hello(), hello(1), opens(0, **policies), LISTENS, *asked, *steps)
    begun = [hello(), opens(0, CSV), LISTENS, batches[0], LISTENS]
    again = [hello(), opens(0, CSV, resume=True), LISTENS, batches[1], ends()]
    play("resume", *begun, (LEAVE, 0, b""), *again)
    play("restart", *begun, (RESTART, 0, b""), *again)
    play("restart-finalize", *begun, (RESTART, 0, b""), hello(), LISTENS,
         says(0, "finalize", job="p", stage="predict"))
    play("discard", *begun, (LEAVE, 0, b""), hello(), LISTENS,
         says(0, "discard", job="p"))
    waits = opens(0, CSV, handle=9, rank=1, **two)
    play("hasty-discard", *begun, (LEAVE, 0, b""), hello(), LISTENS,
         says(0, "discard", job="p"), waits,
         says(0, "write", job=9, seq=1, outputs={"x": [1]}), says(0, "end", job=9))
    play("anew", *begun, (LEAVE, 0, b""), hello(), opens(0, CSV), batches[0], ends())
    asked = ("ping", "status", "jobs", "plugins", "reload", "nonsense", "hello")
    play("control", hello(), *(says(0, method) for method in asked))
    play("shutdown", *begun, hello(1), says(1, "shutdown"), batches[1])
    whole = frame(hello()[2])
    play("raw", (SEND_RAW, 0, whole[:9]), (SEND_RAW, 0, whole[9:]))
    play("half", (SEND_RAW, 0, b"\x00\x01\x00\x00\x94"), hello(1))
    play("not-greeted", says(0, "ping"))
    play("outside", hello(), says(0, "open", job="p", cwd="/", writers=[CSV]))


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    frames()
    messages()
    values()
    options()
    sessions()
