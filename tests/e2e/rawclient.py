"""rawclient - a client that can be as rude as it likes.

Written from doc/protocol.md, and independent of the Python client.
"""

import socket
import struct

import msgpack


def frame(message):
    return framed(msgpack.packb(message))


def framed(body):
    return struct.pack(">I", len(body)) + body


def tensor(type, shape, data):
    return {"nd": True, "type": type, "shape": shape, "data": data}


def csv_writer(path, keys=("x",)):
    return {"type": "csv", "options": {"path": str(path), "keys": list(keys)}}


def file_writer(directory, writer_fn="text", **more):
    options = {"directory": str(directory), "value_key": "v", "writer_fn": writer_fn}
    return {"type": "file", "options": {**options, **more}}


class Refused(Exception):
    """An error that the daemon answered with."""

    def __init__(self, error):
        super().__init__(error["code"], error["message"])
        self.code = error["code"]
        self.message = error["message"]
        self.details = error["details"]


class RawClient:
    def __init__(self, path, timeout_s=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.connect(path)  # waits while many others knock
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(timeout_s)
        self._last_id = 0
        self._bytes = b""
        self._answers = {}
        self.notices = []  # params of each `waiting` that has come

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data, descriptors=()):
        """All of the bytes, and the descriptors with the first of them."""
        if descriptors:
            packed = struct.pack(f"{len(descriptors)}i", *descriptors)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)]
            data = data[self.socket.sendmsg([data], rights) :]
        if data:  # else who is sent away at once would already be a broken pipe
            self.socket.sendall(data)

    def request(self, method, **params):
        """The bytes of a request, with the id that it gets."""
        self._last_id += 1
        return self._last_id, frame([0, self._last_id, method, params])

    def post(self, method, **params):
        id, data = self.request(method, **params)
        self.send(data)
        return id

    def share(self, *descriptors, **params):
        """The answer to `memory` with these descriptors."""
        id, data = self.request("memory", **params)
        self.send(data, descriptors)
        return self.answer(id)

    def receive(self):
        """The next message, or None at the end of the connection."""
        while True:
            if len(self._bytes) >= 4:
                end = 4 + struct.unpack_from(">I", self._bytes)[0]
                if len(self._bytes) >= end:
                    body, self._bytes = self._bytes[4:end], self._bytes[end:]
                    return msgpack.unpackb(body)
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self._bytes, "the daemon's last frame is torn"
                return None
            self._bytes += data

    def answer(self, id):
        """The result of a request. Refused where it is an error."""
        while id not in self._answers:
            message = self.receive()
            assert message is not None, "the daemon closed the connection"
            if message[:2] == [2, "waiting"]:
                self.notices.append(message[2])
                continue
            kind, answered, error, result = message
            assert kind == 1 and (error is None or result is None)
            self._answers[answered] = (error, result)
        error, result = self._answers.pop(id)
        if error is not None:
            raise Refused(error)
        return result

    def notice(self):
        """The next `waiting`, where no answer comes before."""
        if not self.notices:
            message = self.receive()
            assert message and message[:2] == [2, "waiting"], message
            self.notices.append(message[2])
        return self.notices.pop(0)

    def call(self, method, **params):
        return self.answer(self.post(method, **params))

    def refusal(self, method, **params):
        """The error of a request that must not succeed."""
        try:
            result = self.call(method, **params)
        except Refused as refused:
            return refused
        raise AssertionError(f"{method} {params} was taken: {result}")

    def last_words(self):
        """The error with which the daemon ends the connection."""
        message = self.receive()
        assert message is not None, "the daemon closed the connection without a word"
        kind, id, error, result = message
        assert (kind, result) == (1, None)
        assert self.receive() is None, "the connection goes on"
        return Refused(error), id

    def open_csv(self, path, keys=("x",), job="p", **more):
        return self.call("open", job=job, writers=[csv_writer(path, keys)], **more)
