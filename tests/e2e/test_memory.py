"""Memory that a client shares: what it may be, what it may not, and who is hurt.

The shapes here are those of a client that is broken or evil; each gets its answer, and
the daemon has as many descriptors and mappings as before, and serves the next client.
One that lacks seals is sealed by the daemon; all others that could shrink or are no
memory are refused.
"""

import contextlib
import fcntl
import mmap
import os
import socket
import subprocess
import tempfile
import threading

import daemons
import judges
import numpy as np
import pytest
import ranks
import rawclient

import lighterd
from lighterd import memory as client_memory

MIB = 1 << 20
LIMIT = 64 * MIB
DAEMON_OPTIONS = ("--max-memory-bytes", str(LIMIT))
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def mappings(daemon):
    with open(f"/proc/{daemon.pid}/maps") as maps:
        return sum("memfd:" in line for line in maps)


@pytest.fixture
def daemon(shared_daemon, tmp_path_factory):
    yield shared_daemon
    shared_daemon.check_serves(tmp_path_factory.mktemp("next"))
    shared_daemon.check_descriptors()
    daemons.until(lambda: mappings(shared_daemon) == 0, "nothing is mapped")


@pytest.fixture
def memfd():
    """Make memfds; they are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(size=MIB, flags=os.MFD_ALLOW_SEALING):
            fd = os.memfd_create("test", os.MFD_CLOEXEC | flags)
            stack.callback(os.close, fd)
            os.ftruncate(fd, size)
            return fd

        yield make


def at(type, shape, offset, size):
    return {"nd": True, "type": type, "shape": shape, "at": [offset, size]}


def write_all(client, path, batches, keys=("x",), job="p"):
    handle = client.open_csv(path, keys, job)["handle"]
    for seq, outputs in enumerate(batches, 1):
        client.call("write", job=handle, seq=seq, outputs=outputs)
    client.call("end", job=handle)


def refused(client, *descriptors, **params):
    with pytest.raises(rawclient.Refused) as error:
        client.share(*descriptors, **params)
    return error.value


# ---- what it is for ----


def test_a_tensor_is_read_from_where_it_says(daemon, memfd, tmp_path):
    fd = memfd()
    os.pwrite(fd, bytes(range(10)), 4093)
    with daemon.raw() as client:
        assert client.share(fd, size=MIB) == {}
        batches = [
            {"x": at("|u1", [3], 4093, 3)},
            {"x": [at("|u1", [], 4096, 1), at("|u1", [2], 4097, 2), "inline"]},
            {"x": at("<u2", [2, 2], 4093, 8)},
            {"x": at("<f4", [0], MIB, 0)},
        ]
        write_all(client, tmp_path / "t.csv", batches)

    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[1:] == (
        ["0", "1", "2", "3", '"[4, 5]"', "inline", '"[256, 770]"', '"[1284, 1798]"']
    )


def test_it_is_sealed_for_good(daemon, memfd, tmp_path):
    """Truncated after sending: it can no longer be."""
    fd = memfd()
    with daemon.raw() as client:
        client.share(fd, size=MIB)
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == SEALS
        for size in (0, 4096, 2 * MIB):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        write_all(client, tmp_path / "t.csv", [{"x": at("|u1", [2], MIB - 2, 2)}])
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n0\r\n0\r\n"


@pytest.mark.parametrize("seals", [0, fcntl.F_SEAL_SHRINK, SEALS])
def test_seals_that_are_there_already_are_taken(daemon, memfd, seals):
    fd = memfd()
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    with daemon.raw() as client:
        assert client.share(fd, size=MIB) == {}


def test_pages_that_are_given_back_while_they_are_mapped_are_zeros(
    daemon, memfd, tmp_path
):
    fd = memfd()
    with daemon.raw() as client:
        client.share(fd, size=MIB)
        handle = client.open_csv(tmp_path / "t.csv")["handle"]
        for seq in (1, 2):
            os.pwrite(fd, b"\x07" * MIB, 0)
            if seq == 2:
                subprocess.run(
                    ["fallocate", "-p", "-o", "0", "-l", str(MIB), f"/dev/fd/{fd}"],
                    pass_fds=[fd],
                    check=True,
                )
            outputs = {"x": at("|u1", [1], 4096, 1)}
            client.call("write", job=handle, seq=seq, outputs=outputs)
        client.call("end", job=handle)
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n7\r\n0\r\n"


def test_memory_may_be_announced_and_used_without_waiting(daemon, memfd, tmp_path):
    """In one piece, byte by byte, and behind other frames."""
    fd = memfd()
    os.pwrite(fd, b"\x05", 100)
    for chunk in (1, 7, 1 << 20):
        with daemon.raw() as client:
            before = client.request("ping")[1] * 3
            client.open_csv(tmp_path / "t.csv", job=f"by-{chunk}")
            shared, data = client.request("memory", size=MIB)
            outputs = {"x": at("|u1", [1], 100, 1)}
            written, more = client.request("write", job=1, seq=1, outputs=outputs)
            data += more
            client.send(before)
            client.send(data[:chunk], [fd])
            for start in range(chunk, len(data), chunk):
                client.send(data[start : start + chunk])
            assert client.answer(shared) == client.answer(written) == {}
            client.call("end", job=1)


# ---- hostile shapes ----


def regular_file(memfd):
    with tempfile.TemporaryFile(dir=os.getcwd()) as file:
        file.truncate(MIB)
        return os.dup(file.fileno())


def read_only(memfd):
    return os.open(f"/proc/self/fd/{memfd()}", os.O_RDONLY)


def directory(memfd):
    return os.open("/", os.O_RDONLY | os.O_DIRECTORY)


def pipe_end(index):
    def make(memfd):
        ends = os.pipe()
        os.close(ends[1 - index])
        return ends[index]

    return make


def huge(memfd):
    try:
        fd = os.memfd_create("huge", os.MFD_ALLOW_SEALING | os.MFD_HUGETLB)
    except OSError:
        pytest.skip("no huge pages here")
    os.ftruncate(fd, 2 * MIB)
    return fd


SHAPES = {
    "sealing not allowed": (lambda memfd: os.dup(memfd(flags=0)), "MFD_ALLOW_SEALING"),
    "read-only": (read_only, "read-only"),
    "a regular file": (regular_file, "no memfd|MFD_ALLOW_SEALING"),
    "a directory": (directory, "no memfd|MFD_ALLOW_SEALING"),
    "the end of a pipe to read": (pipe_end(0), "no memfd"),
    "the end of a pipe to write": (pipe_end(1), "no memfd"),
    "huge pages": (huge, "huge pages"),
    "a socket": (lambda memfd: socket.socket().detach(), "no memfd"),
    "a device": (lambda memfd: os.open("/dev/zero", os.O_RDWR), "no memfd"),
    "a shorter one": (lambda memfd: os.dup(memfd(MIB - 1)), "1048575 bytes"),
    "a longer one": (lambda memfd: os.dup(memfd(MIB + 4096)), "1052672 bytes"),
    "an empty one": (lambda memfd: os.dup(memfd(0)), "0 bytes"),
}


@pytest.mark.parametrize("make, why", SHAPES.values(), ids=SHAPES)
def test_what_cannot_be_trusted_is_refused_and_closed(
    daemon, memfd, tmp_path, make, why
):
    fd = make(memfd)
    try:
        with daemon.raw() as client:
            n_open = len(daemon.descriptors())
            error = refused(client, fd, size=MIB)
            assert error.code == "bad_params"
            assert any(part in error.message for part in why.split("|")), error
            assert len(daemon.descriptors()) == n_open and mappings(daemon) == 0

            good = memfd()  # the next one is taken, on the same connection
            os.pwrite(good, b"\x09", 0)
            client.share(good, size=MIB)
            write_all(client, tmp_path / "t.csv", [{"x": at("|u1", [1], 0, 1)}])
    finally:
        os.close(fd)
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n9\r\n"


@pytest.mark.parametrize("size", [0, 4096, MIB - 1])
def test_one_that_is_truncated_on_its_way_is_refused(daemon, memfd, tmp_path, size):
    """The daemon holds it, unsealed, until the rest of the request is there."""
    fd = memfd()
    with daemon.raw() as client:
        id, data = client.request("memory", size=MIB)
        client.send(data[:1], [fd])
        daemons.until(
            lambda: any("memfd:" in name for name in daemon.descriptors()),
            "the descriptor has come",
        )
        os.ftruncate(fd, size)
        client.send(data[1:])
        with pytest.raises(rawclient.Refused, match=f"has {size} bytes"):
            client.answer(id)
        client.share(memfd(), size=MIB)
        write_all(client, tmp_path / "t.csv", [{"x": at("|u1", [1], MIB - 1, 1)}])
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n0\r\n"


def test_one_that_is_truncated_at_any_moment_is_refused_or_sealed(
    daemon, memfd, tmp_path
):
    """What was taken is there to its last byte: no SIGBUS."""
    fds, over, taken = [], threading.Event(), 0

    def keep_truncating():
        while not over.is_set():
            for fd in fds[-1:]:
                with contextlib.suppress(PermissionError):  # sealed
                    os.ftruncate(fd, 0)
                    os.ftruncate(fd, MIB)

    thread = threading.Thread(target=keep_truncating)
    thread.start()
    try:
        for number in range(200):
            fds.append(memfd())
            with daemon.raw() as client:
                try:
                    client.share(fds[-1], size=MIB)
                except rawclient.Refused as error:
                    assert "has 0 bytes" in error.message
                    continue
                taken += 1
                last = [{"x": at("|u1", [1], MIB - 1, 1)}]
                write_all(client, tmp_path / "t.csv", last, job=f"n{number}")
    finally:
        over.set()
        thread.join()
    assert 0 < taken


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 40])
def test_a_sparse_memory_over_the_limit_is_refused(daemon, memfd, size):
    with daemon.raw() as client:
        error = refused(client, memfd(size), size=size)
    assert error.code == "limit" and str(LIMIT) in error.message


@pytest.mark.parametrize("size", [0, -1, 2**63, 2**64 - 1, "1", 1.0, None])
def test_a_size_that_is_none_is_refused(daemon, memfd, size):
    with daemon.raw() as client:
        assert refused(client, memfd(), size=size).code == "bad_params"
        client.share(memfd(), size=MIB)


def test_a_request_without_a_descriptor_is_refused(daemon, memfd):
    with daemon.raw() as client:
        assert "without a descriptor" in refused(client, size=MIB).message
        client.share(memfd(), size=MIB)


def test_a_second_memory_is_refused(daemon, memfd, tmp_path):
    first = memfd()
    os.pwrite(first, b"\x01", 0)
    with daemon.raw() as client:
        client.share(first, size=MIB)
        assert refused(client, memfd(), size=MIB).code == "bad_state"
        write_all(client, tmp_path / "t.csv", [{"x": at("|u1", [1], 0, 1)}])
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n1\r\n"


@pytest.mark.parametrize("count", [2, 4, 5, 253])
def test_more_than_one_descriptor_ends_the_connection(daemon, memfd, count):
    with daemon.raw() as client:
        _, data = client.request("memory", size=MIB)
        client.send(data, [memfd()] * count)
        error, _ = client.last_words()
    assert error.code == "protocol"


def test_a_descriptor_that_nothing_claims_ends_the_connection(daemon, memfd):
    with daemon.raw() as client:
        _, data = client.request("memory", size=MIB)
        client.send(data[:1], [memfd()])
        client.send(data[1:2], [memfd()])  # another, while the first one waits
        error, _ = client.last_words()
    assert error.code == "protocol"
    with daemon.raw() as client:
        _, ping = client.request("ping")
        client.send(ping[:5], [memfd()])  # begins a frame that is another
        client.send(ping[5:])
        assert client.receive()[1] == 2  # the ping is answered
        error, _ = client.last_words()
    assert error.code == "protocol"


def test_descriptors_of_who_leaves_half_way_are_closed(daemon, memfd):
    for _ in range(20):
        with daemon.raw() as client:
            _, data = client.request("memory", size=MIB)
            client.send(data[:7], [memfd()])


def test_who_has_not_said_hello_shares_nothing(daemon, memfd):
    with rawclient.RawClient(daemon.socket) as client:
        _, data = client.request("memory", size=MIB)
        client.send(data, [memfd()])
        error, _ = client.last_words()
    assert error.code == "protocol" and "hello" in error.message


PLACES = {
    "past the end": at("|u1", [1], MIB, 1),
    "across the end": at("<f8", [2], MIB - 8, 16),
    "larger than the memory": at("|u1", [MIB + 1], 0, MIB + 1),
    "an offset that overflows": at("|u1", [16], 2**64 - 8, 16),
    "a size that overflows": at("|u1", [2**63 - 1], 8, 2**63 - 1),
    "fewer bytes than the shape": at("<f4", [4], 0, 15),
    "more bytes than the shape": at("<f4", [4], 0, 17),
    "a shape that overflows": at("<f8", [2**32, 2**32], 0, 0),
    "no place": {"nd": True, "type": "|u1", "shape": [1], "at": []},
    "a negative offset": at("|u1", [1], -1, 1),
    "a place that is a text": {"nd": True, "type": "|u1", "shape": [1], "at": "0,1"},
    "both": {**at("|u1", [1], 0, 1), "data": b"1"},
    "the same bytes again and again": [at("|u1", [MIB], 0, MIB)] * 2,
}


@pytest.mark.parametrize("bad", PLACES.values(), ids=PLACES)
def test_a_tensor_outside_of_the_memory_is_an_error_of_its_batch(
    daemon, memfd, tmp_path, bad
):
    with daemon.raw() as client:
        client.share(memfd(), size=MIB)
        client.open_csv(tmp_path / "t.csv")
        error = client.refusal("write", job=1, seq=1, outputs={"x": bad})
        client.call("write", job=1, seq=2, outputs={"x": at("|u1", [1], MIB - 1, 1)})
        client.call("end", job=1)
    assert error.code == "bad_value"
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n0\r\n"


# ---- who comes and goes ----


def test_bytes_in_memory_are_charged_while_they_are_on_their_way(
    start_daemon, memfd, tmp_path
):
    """A client over its limit waits, also where the bytes are not in its frames."""
    daemon = start_daemon("--max-client-bytes", str(MIB))
    values = at("<f4", [MIB // 8], 0, MIB // 2)
    highest = 0
    with daemon.raw() as client, daemon.raw() as watch:
        client.share(memfd(), size=MIB)
        client.open_csv(tmp_path / "t.csv")
        ids = [
            client.post("write", job=1, seq=seq, outputs={"x": values})
            for seq in range(1, 21)
        ]
        while watch.call("jobs")["jobs"][-1]["batches"] < 20:
            highest = max(highest, watch.call("status")["bytes_waiting"])
        for id in ids:
            client.answer(id)
        client.call("end", job=1)
        assert watch.call("status")["bytes_waiting"] == 0
    assert MIB // 2 <= highest < 2 * MIB


def test_batches_of_who_has_gone_are_written_from_its_memory(daemon, memfd, tmp_path):
    """The mapping lives as long as the last batch that names it."""
    fd = memfd()
    os.pwrite(fd, b"\x03" * MIB, 0)
    for attempt in range(5):
        with daemon.raw() as client:
            client.share(fd, size=MIB)
            client.open_csv(tmp_path / f"{attempt}.csv", job=f"gone-{attempt}")
            outputs = {"x": at("|u1", [MIB // 4, 4], 0, MIB)}
            for seq in (1, 2, 3):
                client.post("write", job=1, seq=seq, outputs=outputs)
            daemons.until(
                lambda: daemon.ask("status")["bytes_waiting"], "the batches are here"
            )
        job = daemon.until_state(f"gone-{attempt}", "interrupted")
        daemons.until(
            lambda: daemon.ask("status")["bytes_waiting"] == 0, "nothing is on its way"
        )
        shard = (tmp_path / f"{attempt}.tmp_rank0.csv").read_bytes()
        assert shard.count(b'"[3, 3, 3, 3]"\r\n') == daemon.job(job["name"])["samples"]
        daemons.until(lambda: mappings(daemon) == 0, "nothing is mapped")


def test_a_memory_that_changes_while_it_is_read_hurts_nobody_else(
    daemon, memfd, tmp_path, torch
):
    """Every encoder and the table read bytes that another thread keeps changing."""
    fd = memfd(4 * MIB)
    writers = [rawclient.csv_writer(tmp_path / "t.csv", ["v"])]
    writers += [
        rawclient.file_writer(tmp_path / name, name) for name in ("tensor", "image_2d")
    ]
    over = threading.Event()

    def keep_changing():
        with mmap.mmap(fd, 4 * MIB) as memory:
            patterns = [bytes([b]) * 65536 for b in (0, 255, 0x3F, 0x80, 0x7F)]
            while not over.is_set():
                for start in range(0, 4 * MIB, 65536):
                    memory[start : start + 65536] = patterns[start // 65536 % 5]
                patterns.append(patterns.pop(0))

    thread = threading.Thread(target=keep_changing)
    thread.start()
    try:
        with daemon.raw(timeout_s=100) as client:
            client.share(fd, size=4 * MIB)
            handle = client.call("open", job="wild", writers=writers)["handle"]
            for seq in range(1, 11):
                shape = [2, 3, 61, 67]
                values = at("<f4", shape, 64 * seq, 2 * 3 * 61 * 67 * 4)
                client.call("write", job=handle, seq=seq, outputs={"v": values})
            client.call("end", job=handle)
    finally:
        over.set()
        thread.join()
    assert (tmp_path / "t.csv").read_bytes().count(b"\r\n") == 21
    assert len(list((tmp_path / "image_2d").iterdir())) == 20
    loaded = torch.load(next((tmp_path / "tensor").iterdir()))
    assert loaded.shape == (3, 61, 67)


def test_many_clients_share_come_and_go(daemon, memfd, tmp_path):
    for number in range(50):
        with daemon.raw() as client:
            client.share(memfd(LIMIT), size=LIMIT)
            if number % 10 == 0:
                values = [{"x": at("|u1", [1], LIMIT - 1, 1)}]
                write_all(client, tmp_path / "t.csv", values, job=f"n{number}")


# ---- the Python client ----


@pytest.fixture
def share_all(monkeypatch):
    """Tensors of any size go into memory, so that tests can be small."""
    monkeypatch.setattr(client_memory, "WORTH_BYTES", 1)



def outputs_of_all_kinds(torch, tmp_path):
    generator = torch.Generator().manual_seed(3)
    outputs = {
        dtype: judges.random_tensor(torch, dtype, (4, 3, 5, 7), generator)
        for dtype in judges.TORCH_DTYPES
    }
    outputs["image"] = torch.rand(4, 3, 5, 7, generator=generator).transpose(2, 3)
    outputs["list"] = [torch.full((3, i + 1, 2), 0.5) for i in range(4)]
    outputs["numpy"] = outputs["float64"].numpy()[:, ::-1]
    outputs["n"] = torch.arange(4)
    writers = [lighterd.csv(tmp_path / "t.csv", list(outputs))]
    writers += [
        lighterd.file(tmp_path / "tensor" / key, key, "tensor") for key in outputs
    ]
    writers += [
        lighterd.file(tmp_path / "image" / key, key, "image_2d")
        for key in ("image", "list", "uint8", "float16")
    ]
    return outputs, writers


def test_what_is_written_is_the_same_by_either_way(
    daemon, tmp_path, torch, monkeypatch
):
    found = []
    for worth in (1, 1 << 40):
        monkeypatch.setattr(client_memory, "WORTH_BYTES", worth)
        directory = tmp_path / str(worth)
        directory.mkdir()
        outputs, writers = outputs_of_all_kinds(torch, directory)
        with lighterd.run(*writers, socket=daemon.socket, job="same") as out:
            for _ in range(3):
                out.write(outputs)
                found.append(out._connection._memory is not None)
        found.append(judges.files(directory))

    assert found[:3] == [True] * 3 and found[4:7] == [False] * 3
    assert len(found[3]) == 1 + 12 * 23
    assert found[3] == found[7]


def test_slots_are_used_again_over_thousands_of_batches(
    daemon, tmp_path, torch, share_all
):
    """Each batch is other bytes; a slot that came back too early would show."""
    n = 3000
    writer = lighterd.csv(tmp_path / "t.csv", ["a", "b"])
    with lighterd.run(writer, socket=daemon.socket) as out:
        value = torch.empty(8, dtype=torch.int64)
        for i in range(n):
            value.copy_(torch.arange(8 * i, 8 * i + 8))
            out.write({"a": value, "b": value * 3})
            value.zero_()
        memory = out._connection._memory
        out._connection.flush()
        assert memory._free == [(0, memory.size)]

    rows = "".join(f"{i},{3 * i}\r\n" for i in range(8 * n))
    assert (tmp_path / "t.csv").read_bytes() == b"a,b\r\n" + rows.encode()


def test_large_batches_wait_for_room_and_all_arrive(start_daemon, tmp_path, torch):
    """A memory of three batches, thirty of them, and two ranks."""
    daemon = start_daemon("--max-memory-bytes", str(3 * MIB))

    def run(rank):
        writer = lighterd.file(tmp_path / "out", "v", "tensor", "name")
        with lighterd.run(writer, rank=rank, world_size=2, socket=daemon.socket) as out:
            for i in range(30):
                value = torch.full((2, MIB // 8), 100 * rank + i, dtype=torch.float32)
                out.write({"v": value, "name": [f"{rank}-{i}-{j}" for j in (0, 1)]})

    ranks.in_threads(run, range(2))

    for rank in range(2):
        for i in range(30):
            loaded = torch.load(tmp_path / "out" / f"{rank}-{i}-1.pt")
            assert loaded.shape == (MIB // 8,) and (loaded == 100 * rank + i).all()


def test_a_batch_larger_than_the_memory_goes_both_ways(start_daemon, tmp_path, torch):
    daemon = start_daemon("--max-memory-bytes", str(3 * MIB))
    values = [torch.full((MIB // 4,), i, dtype=torch.float32) for i in range(8)]
    writer = lighterd.file(tmp_path / "out", "v", "tensor")
    with lighterd.run(writer, socket=daemon.socket) as out:
        for _ in range(3):
            out.write({"v": values})
    for i in range(24):
        assert torch.equal(torch.load(tmp_path / "out" / f"{i}.pt"), values[i % 8])


def test_a_client_without_memory_is_as_before(start_daemon, tmp_path, torch):
    daemon = start_daemon("--max-memory-bytes", "0")
    value = torch.rand(4, MIB // 8)
    writer = lighterd.file(tmp_path / "out", "v", "tensor")
    with lighterd.run(writer, socket=daemon.socket) as out:
        out.write({"v": value})
        assert out._connection._memory is None
    assert torch.equal(torch.load(tmp_path / "out" / "3.pt"), value[3])


def test_a_client_that_is_killed_leaves_nothing_mapped(
    daemon, tmp_path, start_ranks, torch
):
    script = f"""
        import torch
        with lighterd.run(lighterd.csv({str(tmp_path / "t.csv")!r}, ["x"])) as out:
            for i in range(1000):
                out.write({{"x": torch.rand(256, 512)}})
                if i == 3:
                    say("writing")
    """
    for _ in range(3):
        (rank,) = start_ranks(script, 1, socket=daemon.socket)
        assert rank.hear() == "writing"
        assert mappings(daemon) == 1
        rank.kill()
        daemons.until(lambda: mappings(daemon) == 0, "nothing is mapped")
    shard = (tmp_path / "t.tmp_rank0.csv").read_bytes()
    assert shard.endswith(b"\r\n") and (shard.count(b"\r\n") - 1) % 256 == 0


def test_an_error_of_a_batch_gives_its_slot_back(daemon, tmp_path, torch, share_all):
    writer = lighterd.file(tmp_path / "out", "v", "image_2d")
    with lighterd.run(writer, socket=daemon.socket) as out:
        for _ in range(3):
            out.write({"v": torch.zeros(2, 7, 4, 4)})  # seven channels
            out._connection.flush()
            with pytest.raises(ValueError, match="channels"):
                out.write({"v": torch.zeros(2, 1, 4, 4)})
        memory = out._connection._memory
        out._connection.flush()
        assert memory._free == [(0, memory.size)]
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_memory_is_pinned_once_and_no_page_goes_before_it_is_unpinned(monkeypatch):
    """For GPUs, which test_gpu.py has; here are only the order and the pages."""
    seen = []

    def pages(room):
        return sum(room[place] == 1 for place in range(0, len(room), mmap.PAGESIZE))

    def pin(room):
        room[:] = b"\1" * len(room)
        seen.append(room)
        return 4096

    def unpin(address):
        seen.append((address, pages(seen[0])))

    monkeypatch.setattr(client_memory.pinned, "pin", pin)
    monkeypatch.setattr(client_memory.pinned, "unpin", unpin)
    monkeypatch.setattr(client_memory.tensor, "is_on_gpu", lambda value: True)
    memory = client_memory.Memory(2 * MIB)
    n_pages = 2 * MIB // mmap.PAGESIZE

    flat = client_memory.tensor.flatten(np.arange(9))
    memory.fill(0, flat)
    memory.fill(4096, flat)
    assert len(seen) == 1 and memory._populated == 2 * MIB

    memory.shrink(MIB)
    assert seen[1:] == [(4096, n_pages - 2)]  # those of the two arrays are other bytes
    assert pages(memory._map) == n_pages // 2 - 2

    memory.fill(0, flat)
    memory.close()
    assert len(seen) == 4 and seen[3] == (4096, n_pages - 1)
