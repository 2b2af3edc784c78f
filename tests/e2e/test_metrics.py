"""Metrics: what Prometheus reads, from lighterctl and by HTTP."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time

import daemons
import pytest
import rawclient
from lighterctl import as_json, built, ctl, on  # noqa: F401

parser = pytest.importorskip("prometheus_client.parser")

HISTOGRAM = "lighterd_batch_age_seconds"


def refused(socket, address):
    """What a daemon says that cannot serve metrics there."""
    done = subprocess.run(
        [
            *(daemons.LIGHTERD, "--foreground", "--socket", socket),
            *("--plugin-dir", daemons.PLUGIN_DIR, "--metrics-listen", address),
        ],
        capture_output=True,
        text=True,
        timeout=daemons.DEADLINE_S,
    )
    assert done.returncode == 1
    return done.stderr


@pytest.fixture(scope="module")
def built_with_http():
    with daemons.short_directory() as directory:
        said = refused(f"{directory}/s", "unix:/nonexistent/m")
    if "without libmicrohttpd" in said:
        pytest.skip("this lighterd serves no metrics by HTTP")
    assert "No such file or directory" in said


def families(text):
    """By name, as an independent reader of the format has them."""
    return {each.name: each for each in parser.text_string_to_metric_families(text)}


def value(text, name, **labels):
    """The one sample of this name with these labels, or None."""
    found = [
        sample.value
        for family in families(text).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) <= 1, found
    return found[0] if found else None


@pytest.fixture
def counted(start_daemon, tmp_path):
    """A daemon and a client with a job that has written, refused, and waited."""
    daemon = start_daemon()
    writers = [
        rawclient.csv_writer(tmp_path / "p.csv"),
        rawclient.file_writer(tmp_path / "texts", name_key="x"),
    ]
    with daemon.raw() as client:
        client.call("open", job='a "job"\\é', writers=writers, world_size=2)
        good = {"x": ["a", "b"], "v": ["1", "2"]}
        client.call("write", job=1, seq=1, outputs=good, blocked_ms=1234)
        client.refusal("write", job=1, seq=2, outputs={"x": ["c"]})
        yield daemon, client


def test_metrics_are_what_has_happened(counted):
    daemon, _ = counted

    text = on(daemon, "metrics")

    job = {"job": 'a "job"\\é', "stage": "predict"}
    for name, labels, expected in [
        ("lighterd_batches_total", {}, 1),
        ("lighterd_samples_total", {}, 2),
        ("lighterd_refused_batches_total", {}, 1),
        ("lighterd_blocked_seconds_total", {}, 1.234),
        ("lighterd_live_jobs", {}, 1),
        ("lighterd_waiting_bytes", {}, 0),
        ("lighterd_job_ranks", job, 2),
        ("lighterd_job_connected_ranks", job, 1),
        ("lighterd_job_samples_total", job, 2),
        ("lighterd_job_blocked_seconds_total", job, 1.234),
        ("lighterd_writer_samples_total", {**job, "output": "0", "writer": "csv"}, 2),
        ("lighterd_writer_samples_total", {**job, "output": "1", "writer": "file"}, 2),
        ("lighterd_writer_written_bytes_total", {**job, "output": "1"}, 2),
        ("lighterd_writer_refused_batches_total", {**job, "output": "0"}, 0),
        ("lighterd_writer_refused_batches_total", {**job, "output": "1"}, 1),
        (f"{HISTOGRAM}_count", {}, 4),
        (f"{HISTOGRAM}_bucket", {"le": "+Inf"}, 4),
    ]:
        assert value(text, name, **labels) == expected, (name, labels)
    assert time.time() - 600 < value(text, "process_start_time_seconds") <= time.time()
    assert value(text, "process_resident_memory_bytes") > 1 << 20
    assert value(text, "process_cpu_seconds_total") > 0


def test_metrics_are_sound(counted):
    daemon, _ = counted
    text = on(daemon, "metrics")

    found = families(text)

    assert len(found) == text.count("# TYPE ") == text.count("# HELP ")
    for family in found.values():
        assert family.documentation and family.type != "unknown"
        is_counter = any(each.name.endswith("_total") for each in family.samples)
        assert is_counter == (family.type == "counter"), family
    buckets = [
        sample.value
        for sample in found[HISTOGRAM].samples
        if sample.name.endswith("_bucket")
    ]
    assert buckets == sorted(buckets) and len(buckets) == 12


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")
def test_promtool_has_nothing_to_say(counted):
    daemon, _ = counted

    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=on(daemon, "metrics"),
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_metrics_in_json_are_the_same_text(counted):
    daemon, _ = counted

    text = as_json("--socket", daemon.socket, "metrics")["text"]

    def names(text):
        return [line.rpartition(" ")[0] for line in text.splitlines()]

    assert names(text) == names(on(daemon, "metrics"))


def test_a_job_that_is_over_has_no_series(counted):
    daemon, client = counted
    client.call("abort", job=1)
    daemons.until(lambda: not daemon.ask("status")["jobs"], "it is over")

    text = on(daemon, "metrics")

    assert "job=" not in text
    assert value(text, "lighterd_samples_total") == 2
    assert value(text, "lighterd_unfinished_jobs") == 1
    assert value(text, "lighterd_jobs_failed_total") == 1


# ---- by HTTP ----


def get(address, request="GET /metrics HTTP/1.1"):
    """The status, the headers and the body of one answer."""
    with contextlib.closing(knock(address)) as connected:
        lines = f"{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connected.sendall(lines.encode())
        data = b""
        while more := connected.recv(1 << 16):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    return int(status.split()[1]), headers, body.decode()


def knock(address):
    kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    connected = socket.socket(kind)
    connected.settimeout(daemons.DEADLINE_S)
    connected.connect(address)
    return connected


def port_of(daemon):
    return int(daemon.log().partition("metrics listen=")[2].split()[1][len("port=") :])


@pytest.fixture
def served(built_with_http, start_daemon):
    daemon = start_daemon("--metrics-listen", "127.0.0.1:0")
    return daemon, ("127.0.0.1", port_of(daemon))


def test_prometheus_gets_what_lighterctl_prints(served):
    daemon, address = served

    status, headers, body = get(address)

    assert status == 200
    assert "Content-Type: text/plain; version=0.0.4; charset=utf-8" in headers
    assert list(families(body)) == list(families(on(daemon, "metrics")))


@pytest.mark.parametrize(
    "request_line, expected",
    [
        ("GET / HTTP/1.1", 404),
        ("GET /metrics/ HTTP/1.1", 404),
        ("HEAD /metrics HTTP/1.1", 200),
        ("POST /metrics HTTP/1.1", 405),
        ("DELETE /metrics HTTP/1.1", 405),
        ("GET /metrics?x=y HTTP/1.1", 200),
    ],
)
def test_what_else_is_asked_by_http_is_answered(served, request_line, expected):
    status, _, body = get(served[1], request_line)

    assert status == expected
    assert bool(body) == (not request_line.startswith("HEAD"))


def test_it_is_served_on_a_unix_socket_of_the_owner_and_group(
    built_with_http, start_daemon, socket_dir
):
    path = f"{socket_dir}/metrics"
    daemon = start_daemon("--metrics-listen", f"unix:{path}")

    assert get(path)[0] == 200
    assert os.stat(path).st_mode & 0o777 == 0o660
    daemon.kill()
    with daemons.short_directory() as directory:  # what is left there is in nobody's way
        next_one = daemons.Daemon(
            f"{directory}/s", "--metrics-listen", f"unix:{path}", alone=False
        )
        assert get(path)[0] == 200
        next_one.end()
    assert not os.path.exists(path)


def test_an_address_that_is_taken_is_an_error(served, socket_dir):
    _, (host, port) = served

    said = refused(f"{socket_dir}/other", f"{host}:{port}")

    assert "Address already in use" in said


@pytest.mark.parametrize(
    "address",
    ["9100", "0.0.0.0:9100", "127.0.0.1", "127.0.0.1:65536", "localhost:1", "unix:m"],
)
def test_metrics_are_served_on_this_machine_only(address):
    done = subprocess.run(
        [daemons.LIGHTERD, "--check-config", "--metrics-listen", address],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    said = "'metrics_listen' expects 127.0.0.1:PORT, [::1]:PORT or unix:/PATH, got "
    assert said in done.stderr


def test_clients_that_send_nothing_or_read_nothing_stop_nobody(served, tmp_path):
    daemon, address = served
    with contextlib.ExitStack() as stack, daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv")
        for i in range(24):  # more than are served at once
            lazy = stack.enter_context(contextlib.closing(knock(address)))
            if i % 2:
                lazy.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        for seq in range(1, 50):
            client.call("write", job=1, seq=seq, outputs={"x": [seq]})
        assert daemon.ask("ping")["pid"] == daemon.pid
        client.call("end", job=1)
    daemons.until(lambda: get(address)[0] == 200, "it is served again")


def answer_to(address, host):
    with contextlib.closing(knock(address)) as connected:
        connected.sendall(f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return connected.recv(1 << 16).split()[1]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LocalHost", "[::1]", "127.0.0.1:9177"]
)
def test_names_of_this_machine_are_answered(served, host):
    assert answer_to(served[1], host) == b"200"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "[::2]"]
)
def test_a_web_page_that_has_its_own_name_lead_here_reads_nothing(served, host):
    assert answer_to(served[1], host) == b"421"


def test_slow_readers_do_not_hold_up_a_scrape(served):
    _, address = served
    with contextlib.ExitStack() as stack:
        for _ in range(40):  # more than are served at once
            slow = stack.enter_context(contextlib.closing(knock(address)))
            slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        since = time.monotonic()

        assert get(address)[0] == 200

        assert time.monotonic() - since < 2 * daemons.SLOWNESS  # and not their patience


def test_many_that_ask_at_once_are_all_answered_while_jobs_come_and_go(
    served, tmp_path
):
    daemon, address = served
    wrong = []
    over = threading.Event()

    def ask():
        while not over.is_set():
            status, _, body = get(address)
            if status != 200 or HISTOGRAM not in families(body):
                wrong.append((status, body))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    with daemon.raw() as client:
        for n in range(1, 30):
            client.open_csv(tmp_path / f"{n}.csv", job=f"job {n}")
            client.call("write", job=n, seq=1, outputs={"x": [n]})
            client.call("end", job=n)
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_daemon_ends_also_while_somebody_asks(served):
    daemon, address = served
    with contextlib.closing(knock(address)) as connected:
        connected.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n")

        on(daemon, "shutdown")

        assert daemon.wait() == 0
        with contextlib.suppress(ConnectionResetError):
            assert connected.recv(100) == b""
