#!/usr/bin/env python3
"""make-corpus.py - write tests/fuzz/corpus: inputs that are interesting to begin with.

What a fuzzer finds is added beside them by hand, and stays.
"""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


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


def frames():
    put("frame-empty", b"\x02")
    put("frame-half-head", b"\x00\x00\x00")
    put("frame-zero", b"\x06" + b"\x00" * 4)
    put("frame-too-large", b"\x06\xff\xff\xff\xff")
    put("frame-three", b"\x02" + frame(b"a") + frame(b"bc") + frame(b"d" * 300))
    put("frame-staged", b"\xff" + frame(b"x" * 32764) + frame(b"y"))
    put("frame-large", b"\xfe" + frame(b"x" * 32765) + frame(b"y"))
    put("frame-cut", b"\x00" + frame(b"x" * 40000)[:33000])


def messages():
    def request(method, params):
        return pack([0, 1, method, params])

    def write(outputs):
        return request("write", {"job": 1, "seq": 1, "outputs": outputs})

    put("message-ping", request("ping", {}))
    put("message-result", pack([1, 2, None, {"pid": 17}]))
    put("message-error", pack([1, 2, {"code": "os", "details": {}}, None]))
    put("message-bomb", b"\xdd\x10\x00\x00\x00")
    put("message-bomb-map", b"\xdf\x80\x00\x00\x00")
    put("message-nest-32", b"\x94\x00\x01\xa1m\x81\xa7outputs" + nest(30))
    put("message-nest-33", nest(33))
    put("message-ext", b"\x94\x00\x01\xa1m\x81\xa7outputs\xd4\x01\x00")
    scalars = [None, True, -1, 2**64 - 1, 0.5, "\u00e9", b"\xff"]
    put("message-scalars", write({"a": scalars}))
    put("message-tensor", write({"t": tensor("<f4", [2, 1], bytes(8))}))
    put("message-tensor-empty", write({"t": tensor("<f8", [0, 2**40], b"")}))
    put("message-tensor-overflow", write({"t": tensor("|u1", [2**62, 4], b"")}))
    put("message-tensor-65", write({"t": tensor("|u1", [1] * 65, b"x")}))
    put("message-tensor-short", write({"t": tensor("<c16", [3], bytes(47))}))
    put("message-tensor-key", b"\x94\x00\x01\xa1m\x81\xa7outputs\x81"
        + pack(tensor("|b1", [], b"\x01")) + b"\xc0")
    put("message-not-utf8", b"\x94\x00\x01\xa1m\x81\xa7outputs\x81\xa1k\xa2\xc0\x80")


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


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    frames()
    messages()
    options()
