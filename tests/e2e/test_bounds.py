"""What the daemon holds for clients that do not do their part has bounds.

Messages that are not whole, answers that are not read, texts that become long, jobs.
"""

import contextlib
import os
import socket
import threading
import time

import daemons
import pytest
import rawclient

# ---- messages that are not whole ----

MIB = 1 << 20


def send_some(client, data):
    """What the daemon takes of it; how many bytes that are."""
    client.socket.settimeout(0.3)
    n_sent = 0
    try:
        while n_sent < len(data):
            n_sent += client.socket.send(data[n_sent : n_sent + 65536])
    except socket.timeout:
        pass
    client.socket.settimeout(daemons.DEADLINE_S)
    return n_sent


TOGETHER = 16 * MIB  # of messages that are received at the same time


def large_ping(client, size=TOGETHER // 2 + MIB):
    return client.request("ping", ignored=bytes(size))


def check_answers(daemon, clients, requests, sent):
    for client, (id, data), n_sent in zip(clients, requests, sent):
        client.send(data[n_sent:])
        assert client.answer(id)["pid"] == daemon.pid


def test_large_messages_come_one_at_a_time(start_daemon, tmp_path):
    """However many are begun, the memory of one is held, and little of the others."""
    daemon = start_daemon()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.raw()) for _ in range(5)]
        requests = [large_ping(client) for client in clients]
        sent = [send_some(c, d[: 3 * MIB]) for c, (_, d) in zip(clients, requests)]
        assert sent[0] == 3 * MIB
        assert all(MIB // 4 <= n < MIB for n in sent[1:]), sent
        daemon.check_serves(tmp_path)  # small ones wait for nobody

        clients.pop(3).close()
        del requests[3], sent[3]
        check_answers(daemon, clients, requests, sent)


def test_messages_that_are_less_large_come_together(daemon):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.raw()) for _ in range(8)]
        requests = [large_ping(client, TOGETHER // 8 - 64) for client in clients]
        sent = [send_some(c, d[: MIB + MIB // 2]) for c, (_, d) in zip(clients, requests)]
        assert sent == [MIB + MIB // 2] * 8
        check_answers(daemon, clients[::-1], requests[::-1], sent)


def test_who_keeps_others_waiting_for_a_message_is_told_and_closed(start_daemon):
    daemon = start_daemon("--frame-wait", "1")
    with daemon.raw() as slow, daemon.raw() as other:
        id, data = large_ping(slow)
        assert send_some(slow, data[:MIB]) == MIB
        other_id, other_data = large_ping(other)
        other.send(other_data)
        assert other.answer(other_id)["pid"] == daemon.pid
        refused, refused_id = slow.last_words()

    assert (refused.code, refused_id) == ("limit", 0)
    assert f"a message of {len(data) - 4} bytes kept others" in refused.message
    assert daemon.log().count("closed a client: a message of") == 1


def test_who_keeps_nobody_waiting_has_all_the_time(start_daemon):
    daemon = start_daemon("--frame-wait", "1")
    with daemon.raw() as slow, daemon.raw() as other:
        id, data = large_ping(slow)
        slow.send(data[:MIB])
        for _ in range(25):
            other.call("ping")
            time.sleep(0.1)
        slow.send(data[MIB:])
        assert slow.answer(id)["pid"] == daemon.pid


# ---- answers that are not read ----


def test_who_never_reads_its_answers_is_closed_at_a_bound(start_daemon, tmp_path):
    """It need not send any more: those answers are owed already."""
    daemon = start_daemon("--log-level", "warning")
    slow = {"x": [[float(i) / 7 for i in range(2000)] for _ in range(1000)]}
    with daemon.raw() as client, daemon.raw() as other:
        client.open_csv(tmp_path / "t.csv")
        client.post("write", job=1, seq=1, outputs=slow)
        bad = [
            client.request("write", job=1, seq=seq, outputs={"y" * 300: [1]})[1]
            for seq in range(2, 5002)
        ]
        sender = threading.Thread(target=send_all, args=(client, b"".join(bad)))
        sender.start()
        daemons.until(
            lambda: "it does not read its answers" in daemon.log(), "it is closed"
        )
        sender.join()
        other.call("ping")
        n_bytes = 0
        with contextlib.suppress(ConnectionResetError):
            while data := client.socket.recv(1 << 20):
                n_bytes += len(data)
    assert 0 < n_bytes <= MIB + MIB // 4  # the bound, and what was in the socket
    assert daemon.log().count("closed a client") == 1


def send_all(client, data):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(data)


def test_an_unread_frame_is_not_charged_before_it_is_whole(start_daemon, tmp_path):
    """Who sends half a large frame and waits takes no room from the others."""
    daemon = start_daemon("--max-daemon-bytes", str(64 << 10))
    with daemon.raw() as client:
        client.send((1 << 20).to_bytes(4, "big") + b"\x94" * 500_000)
        for _ in range(3):
            daemon.check_serves(tmp_path)
        with pytest.raises(rawclient.Refused):
            client.send(b"\x94" * (2**20 - 500_000))
            raise client.last_words()[0]


# ---- rows that are written before all are text ----


def test_a_batch_of_which_a_dead_daemon_wrote_some_rows_is_not_there(
    socket_dir, tmp_path
):
    shard = tmp_path / "t.tmp_rank0.csv"
    slow = {"x": [[float(i) / 7 for i in range(2000)] for _ in range(2000)]}
    first = daemons.Daemon(f"{socket_dir}/s")
    with first.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        client.post("write", job=1, seq=2, outputs=slow)
        daemons.until(lambda: shard.stat().st_size > MIB, "some of it is written")
        first.kill()
    assert shard.stat().st_size < 60 * MIB  # of 68

    second = daemons.Daemon(first.socket, alone=False)
    with second.raw() as client:
        client.call("finalize", job="p", partial=True)
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n1\r\n"
    daemons.all_ended([second])


# ---- what jobs hold ----


def open_until_refused(client, directory, what, **more):
    """Jobs, each with a table; how many there could be, and why not more."""
    for number in range(300):
        try:
            client.open_csv(
                directory / f"{what}{number}.csv", job=f"{what}{number}", **more
            )
        except rawclient.Refused as refused:
            assert refused.code == "limit"
            return number, str(refused)
    pytest.fail("nothing was refused")


def test_memory_follows_the_ranks_that_come_and_not_those_that_are_said(
    daemon, tmp_path
):
    """65,536 ranks of each job would be gigabytes."""
    with daemon.raw() as client:
        client.open_csv(tmp_path / "first.csv", job="first", world_size=65536)
        before = daemon.anonymous_bytes()
        for n in range(100):
            more = dict(world_size=65536, rank=600 * n, job=str(n))
            client.open_csv(tmp_path / f"{n}.csv", **more)
        assert daemon.anonymous_bytes() - before < 100 * MIB  # sanitizers want some, too


def test_a_connection_has_a_bound_of_jobs(daemon, tmp_path):
    with daemon.raw() as client:
        n_jobs, why = open_until_refused(client, tmp_path, "j")
        assert n_jobs == 256 and "holds 256 jobs" in why
        daemon.check_serves(tmp_path)


def test_the_opens_of_a_connection_have_a_bound_together(daemon, tmp_path):
    keys = ["k%0200d" % number for number in range(10_000)]  # 2 MB
    with daemon.raw() as client:
        n_jobs, why = open_until_refused(client, tmp_path, "j", keys=keys)
        assert n_jobs == 8 and "16777216 bytes" in why
        client.call("end", job=1)
        client.open_csv(tmp_path / "again.csv", job="again", keys=keys)


def open_of(client, directory, n_keys, form="k%d"):
    """The bytes of a request that opens a table of so many columns."""
    writer = rawclient.csv_writer(directory / "t.csv", [form % k for k in range(n_keys)])
    return client.request("open", job="large", writers=[writer])


def longest_ping_beside(daemon, client, id, data):
    """Until the request is answered, in seconds; and the answer, or why there is none."""
    answers = []

    def ask():
        client.send(data)
        try:
            answers.append(client.answer(id))
        except rawclient.Refused as refused:
            answers.append(refused)

    thread = threading.Thread(target=ask)
    longest = 0
    with daemon.raw() as other:
        other.call("ping")
        thread.start()
        while thread.is_alive():
            begin = time.monotonic()
            other.call("ping")
            longest = max(longest, time.monotonic() - begin)
    thread.join()
    return longest, answers[0]


PAUSE_S = 0.02 * daemons.SLOWNESS
N_TRIES = 20  # the machine may be busy with other things: the best one counts


@pytest.fixture
def lean_daemon(start_daemon):
    """One whose sanitizer, where it has one, keeps little of what was freed."""
    options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
    return start_daemon(env={"ASAN_OPTIONS": options})


def test_an_open_of_many_keys_is_refused_and_holds_up_nobody(
    lean_daemon, tmp_path
):
    """1.9 million keys, 15 MiB."""
    longest = []
    with lean_daemon.raw() as client:
        id, data = open_of(client, tmp_path, 1_900_000)
        assert 11 * MIB < len(data) < 16 * MIB
        before = lean_daemon.anonymous_bytes()
        while len(longest) < N_TRIES and min(longest, default=1) > PAUSE_S:
            pause, refused = longest_ping_beside(lean_daemon, client, id, data)
            longest.append(pause)
            assert refused.code == "limit" and "the limit is 262144" in str(refused)
        assert lean_daemon.anonymous_bytes() - before < 64 * MIB
        client.call("ping")  # the connection goes on
    assert min(longest) < PAUSE_S


def test_the_largest_open_there_may_be_holds_up_nobody(
    lean_daemon, tmp_path
):
    longest, n_keys = [], 260_000
    with lean_daemon.raw() as client:
        before = lean_daemon.anonymous_bytes()
        while len(longest) < N_TRIES and min(longest, default=1) > PAUSE_S:
            id, data = open_of(client, tmp_path, n_keys, "a.longer.name.%d")
            pause, opened = longest_ping_beside(lean_daemon, client, id, data)
            longest.append(pause)
            held = lean_daemon.anonymous_bytes() - before
            client.call("abort", job=opened["handle"])
        assert held < 160 * MIB
    assert min(longest) < PAUSE_S


def test_what_comes_behind_an_open_that_is_being_read_waits_for_it(daemon, tmp_path):
    row = {f"k{k}": [k] for k in range(5_000)}  # 27 KB of keys
    with daemon.raw() as client:
        id, opens = open_of(client, tmp_path, len(row))
        early, writes = client.request("write", job=1, seq=1, outputs=row)
        ping, pings = client.request("ping")
        client.send(opens + writes + pings)
        with pytest.raises(rawclient.Refused, match="rank 0 of job 'large' is not open"):
            client.answer(early)  # as behind a small one: its handle is known
        client.answer(ping)
        assert client.answer(id)["handle"] == 1
        client.call("write", job=1, seq=1, outputs=row)
        client.call("end", job=1)
    _, written = (tmp_path / "t.csv").read_bytes().splitlines()
    assert written == b",".join(b"%d" % k for k in range(len(row)))


def test_a_client_that_goes_while_its_open_is_being_read_leaves_nothing(
    daemon, tmp_path
):
    for _ in range(3):
        with daemon.raw() as client:
            _, data = open_of(client, tmp_path, 200_000)
            client.send(data)
    daemons.until(lambda: not daemon.ask("status")["jobs"], "nothing is open")
    daemon.check_serves(tmp_path)


def test_the_opens_of_a_connection_have_a_bound_of_keys_together(daemon, tmp_path):
    with daemon.raw() as client:
        keys = ["k%d" % number for number in range(100_000)]
        n_jobs, why = open_until_refused(client, tmp_path, "j", keys=keys)
        assert n_jobs == 5 and "the limit is 524288" in why


def test_a_large_open_that_is_no_message_ends_the_connection(daemon, tmp_path):
    with daemon.raw() as client:
        _, data = open_of(client, tmp_path, 10_000)
        client.send(rawclient.framed(data[4:-20]))
        refused, id = client.last_words()
    assert (refused.code, id) == ("protocol", 0)
    with rawclient.RawClient(daemon.socket) as client:
        _, data = open_of(client, tmp_path, 10_000)
        client.send(data)
        refused, id = client.last_words()
    assert refused.code == "protocol" and "hello" in refused.message
    daemon.check_serves(tmp_path)


def test_one_clients_jobs_leave_open_files_to_others(start_daemon, tmp_path):
    daemon = start_daemon(prefix=("prlimit", "--nofile=296:296"))
    with daemon.raw() as greedy, daemon.raw() as other:
        n_jobs, why = open_until_refused(greedy, tmp_path, "a")
        assert n_jobs == 10 and "max_client_files" in why
        n_others, _ = open_until_refused(other, tmp_path, "b")
        assert n_others == n_jobs
        with daemon.raw() as third:
            n_thirds, why = open_until_refused(third, tmp_path, "c")
            assert n_thirds == 1 and "ulimit -n" in why
        for handle in range(1, n_jobs + 1):
            greedy.call("write", job=handle, seq=1, outputs={"x": [handle]})
            greedy.call("end", job=handle)
            other.call("end", job=handle)
        assert (tmp_path / "a9.csv").read_bytes() == b"x\r\n10\r\n"
        assert open_until_refused(greedy, tmp_path, "d")[0] == n_jobs


def test_opens_that_wait_are_counted_too(start_daemon, tmp_path):
    daemon = start_daemon("--max-client-files", "60")
    with daemon.raw() as client:
        ids = []
        for number in range(30):
            writer = rawclient.csv_writer(tmp_path / f"{number}.csv", ["x"])
            ids.append(client.post("open", job=str(number), writers=[writer]))
        n_open = 0
        for id in ids:
            with contextlib.suppress(rawclient.Refused):
                client.answer(id)
                n_open += 1
        assert n_open == 8


def test_how_many_files_a_client_may_have_open_is_a_setting(start_daemon, tmp_path):
    daemon = start_daemon("--max-client-files", "10")
    with daemon.raw() as client:
        n_jobs, why = open_until_refused(client, tmp_path, "j")
        assert n_jobs == 1 and "3 left" in why
