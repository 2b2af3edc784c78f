"""Each check of lighter: its exception, its message, and a daemon that serves the next.

The Python client looks at a batch before it sends it; other clients' batches are looked
at by the daemon alone. Both say the same.
"""

import daemons
import judges
import pytest
import rawclient

import lighterd

pytestmark = pytest.mark.usefixtures("either_client")


@pytest.fixture
def daemon(shared_daemon, tmp_path_factory):
    """One for all tests here: what one did must not show in the next."""
    yield shared_daemon
    shared_daemon.check_serves(tmp_path_factory.mktemp("next"))
    shared_daemon.check_descriptors()


CSV_ERRORS = {
    "none of the keys": (
        {"other": [1], "more": [2]},
        KeyError,
        "missing_key",
        "CsvWriter: none of the configured keys ['id', 'pred'] were found in outputs. "
        "Available keys in outputs: ['other', 'more']",
    ),
    "a missing key": (
        {"id": [1, 2]},
        KeyError,
        "missing_key",
        "CsvWriter expected key 'pred' in outputs but it was missing.",
    ),
    "inconsistent lengths": (
        {"id": [1, 2, 3], "pred": [1, 2]},
        ValueError,
        "bad_value",
        "CsvWriter found inconsistent lengths for keys: "
        "expected 3, but found 2 for key 'pred'.",
    ),
    "a scalar first": (
        {"id": "all", "pred": [1, 2], "other": 3},
        None,  # it stands in every row
        None,
        None,
    ),
    "a length that does not fit, and a missing key": (
        {"pred": []},
        None,  # no rows, no cells
        None,
        None,
    ),
}
FILE_ERRORS = {
    "a missing value": (
        {"name": ["a"]},
        KeyError,
        "missing_key",
        "FileWriter expected key 'v' in outputs but it was missing.",
    ),
    "a missing name": (
        {"v": ["a"]},
        KeyError,
        "missing_key",
        "FileWriter expected key 'name' in outputs but it was missing.",
    ),
    "fewer names": (
        {"v": ["a", "b", "c"], "name": ["a"]},
        ValueError,
        "bad_value",
        "Length mismatch between value key 'v' (3) and name key 'name' (1).",
    ),
    "a text is one name": (
        {"v": ["a", "b"], "name": "ab"},
        ValueError,
        "bad_value",
        "Length mismatch between value key 'v' (2) and name key 'name' (1).",
    ),
}


def table(directory):
    return lighterd.csv(directory / "t.csv", ["id", "pred"])


def texts(directory):
    return lighterd.file(directory / "files", "v", "text", "name")


def by_python(daemon, writer, outputs):
    """The exception of a batch, before which there was a good one."""
    with lighterd.run(writer, socket=daemon.socket) as out:
        out.write({"id": [0], "pred": [0], "v": ["0"], "name": ["0"]})
        out.write(outputs)


def by_raw(daemon, writer, outputs):
    """The daemon's answer to a batch; the job goes on after it, and is published."""
    with daemon.raw() as client:
        writers = [{"type": writer.type, "options": writer.options}]
        client.call("open", job="p", writers=writers)
        try:
            client.call("write", job=1, seq=1, outputs=outputs)
        except rawclient.Refused as refused:
            return refused
        finally:
            good = {"id": [7], "pred": [8], "v": ["9"], "name": ["7"]}
            client.call("write", job=1, seq=2, outputs=good)
            client.call("end", job=1)
    return None


CASES = [pytest.param(table, *case, id=name) for name, case in CSV_ERRORS.items()] + [
    pytest.param(texts, *case, id=name) for name, case in FILE_ERRORS.items()
]


@pytest.mark.parametrize("writer, outputs, exception, code, message", CASES)
def test_python_raises_where_the_batch_is_brought(
    daemon, tmp_path, writer, outputs, exception, code, message
):
    if exception is None:
        return by_python(daemon, writer(tmp_path), outputs)

    with pytest.raises(exception) as raised:
        by_python(daemon, writer(tmp_path), outputs)

    assert raised.value.args[0] == message
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("writer, outputs, exception, code, message", CASES)
def test_the_daemon_answers_the_same_and_the_job_goes_on(
    daemon, tmp_path, writer, outputs, exception, code, message
):
    refused = by_raw(daemon, writer(tmp_path), outputs)

    if code is None:
        assert refused is None
        return
    assert (refused.code, refused.message) == (code, message)
    assert refused.details["writer"] == writer(tmp_path).type
    assert list(judges.files(tmp_path).values()) in ([b"id,pred\r\n7,8\r\n"], [b"9"])


def test_the_daemon_checks_again_what_python_let_pass(daemon, tmp_path):
    """An error that only an encoder can see is raised later, and says which batch."""
    writer = lighterd.file(tmp_path / "files", "v", "tensor")

    with pytest.raises(TypeError, match="batch 0: .*expects a tensor") as raised:
        with lighterd.run(writer, socket=daemon.socket) as out:
            out.write({"v": ["no tensor"]})

    assert raised.value.details == {"sample": 0, "writer": "file"}


def test_the_sample_that_failed_is_told(daemon, tmp_path, torch):
    values = [torch.ones(1, 2, 2)] * 5 + [torch.ones(2, 2)]

    with pytest.raises(ValueError) as raised:
        with lighterd.run(
            lighterd.file(tmp_path / "files", "v", "image_2d"), socket=daemon.socket
        ) as out:
            out.write({"v": values})

    assert raised.value.details["sample"] == 5
    assert "write_image_2d expects a 3D tensor (CHW), got 2 dimensions." in str(
        raised.value
    )


def test_what_one_writer_cannot_write_no_other_writes(daemon, tmp_path):
    with daemon.raw() as client:
        writers = [
            rawclient.csv_writer(tmp_path / "t.csv", ["v"]),
            rawclient.file_writer(tmp_path / "files", "tensor"),
        ]
        number = rawclient.tensor("|u1", [1], b"\1")
        client.call("open", job="p", writers=writers)
        refused = client.refusal("write", job=1, seq=1, outputs={"v": ["x"]})
        client.call("write", job=1, seq=2, outputs={"v": number})
        client.call("end", job=1)

    assert refused.details["writer"] == "file"
    assert judges.files(tmp_path)["t.csv"] == b"v\r\n1\r\n"
    assert len(judges.files(tmp_path / "files")) == 1


# ---- what cannot be opened ----


@pytest.mark.parametrize("name", ["file", "file/below", "file/below/t.csv"])
def test_a_directory_that_is_a_file_is_an_os_error(daemon, tmp_path, name):
    (tmp_path / "file").write_text("a file")

    with pytest.raises(OSError) as raised:
        by_python(daemon, lighterd.file(tmp_path / name, "v", "text"), {})

    assert raised.value.errno == 20
    assert raised.value.details["errno_name"] == "ENOTDIR"
    assert isinstance(raised.value, NotADirectoryError)
    assert str(tmp_path / "file") in str(raised.value)
    assert (tmp_path / "file").read_text() == "a file"


def test_a_table_that_is_a_directory_is_an_os_error(daemon, tmp_path):
    (tmp_path / "t.csv").mkdir()

    with pytest.raises(IsADirectoryError, match="t.csv"):
        by_python(daemon, table(tmp_path), {})


def test_a_place_that_cannot_be_written_is_an_os_error(daemon):
    with pytest.raises(OSError, match="/proc/none"):
        by_python(daemon, lighterd.csv("/proc/none/t.csv", ["id"]), {})


def test_a_name_that_is_too_long_is_an_os_error(daemon, tmp_path):
    with pytest.raises(OSError) as raised:
        by_python(daemon, lighterd.csv(tmp_path / ("n" * 250), ["id"]), {})

    assert raised.value.details["errno_name"] == "ENAMETOOLONG"


@pytest.mark.parametrize(
    "writer, expected",
    [
        (
            lighterd.file("d", "v", "hologram"),
            "'hologram'.*'image_2d'.*'tensor', 'text'",
        ),
        (lighterd.Writer("cvs", "p", [], {}), "'cvs'.*'csv', 'file'"),
        (lighterd.Writer("csv", "p", [], {"keys": ["x"]}), "'path' is missing"),
        (lighterd.Writer("csv", "p", [], {"path": "p"}), "'keys' is missing"),
        (
            lighterd.csv("p", ["x"])._replace(options={"path": "p", "keys": []}),
            "'keys' expects one string or more",
        ),
        (lighterd.csv("p", ["a\0b"]), "'keys'"),
        (lighterd.csv("p\n", ["a"]), "'path' expects"),
        (lighterd.csv("p\0q", ["a"]), "'path' expects"),
        (lighterd.csv("/", ["a"]), "no target"),
        (
            lighterd.Writer("csv", "p", [], {"path": "p", "keys": ["x"], "sep": ";"}),
            "'csv' has no option 'sep'; there are: 'path', 'keys'",
        ),
        (
            lighterd.Writer("csv", "p", [], {"path": 1, "keys": ["x"]}),
            "'path' expects a string",
        ),
        (
            lighterd.Writer("csv", "p", [], {"path": "p", "keys": "x"}),
            "'keys' expects an array",
        ),
        (
            lighterd.file("d", "v", {"name": "image_2d", "compression": 11}),
            "'compression' expects an int from 0 to 9, got 11",
        ),
        (lighterd.file("d", "v", {"suffix": ".x"}), "'name' is missing"),
    ],
)
def test_a_writer_that_cannot_be_is_a_value_error(
    daemon, tmp_path, monkeypatch, writer, expected
):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ValueError, match=expected):
        by_python(daemon, writer, {})

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a/b", ".a", "a\nb", "n" * 101, "a\0"])
def test_a_job_that_cannot_be_called_so_is_a_value_error(daemon, tmp_path, name):
    with pytest.raises(ValueError, match="'job' expects"):
        with lighterd.run(table(tmp_path), job=name, socket=daemon.socket):
            pass


@pytest.mark.parametrize(
    "more, expected",
    [
        ({"rank": 2, "world_size": 2}, "'rank' expects an int from 0 to 1, got 2"),
        ({"rank": -1, "world_size": 1}, "'rank' expects"),
        ({"rank": 0, "world_size": 0}, "'world_size' expects"),
        ({"rank": 0, "world_size": 65537}, "'world_size' expects"),
        ({"stage": "train"}, "'stage' expects predict, validate, test or fit"),
    ],
)
def test_ranks_and_stages_that_there_are_not_are_value_errors(
    daemon, tmp_path, more, expected
):
    with pytest.raises(ValueError, match=expected):
        with lighterd.run(table(tmp_path), socket=daemon.socket, **more):
            pass


def test_a_batch_over_the_largest_frame_is_a_limit_error(start_daemon, tmp_path):
    small = start_daemon("--max-frame-bytes", "10000")

    with pytest.raises(lighterd.LimitError, match="10000.*smaller batches"):
        with lighterd.run(table(tmp_path), socket=small.socket) as out:
            out.write({"id": ["x" * 10_001], "pred": [1]})


def test_a_batch_of_too_many_values_is_a_limit_error_and_the_job_goes_on(
    start_daemon, tmp_path
):
    small = start_daemon("--max-frame-bytes", "10000")

    with lighterd.run(table(tmp_path), socket=small.socket) as out:
        with pytest.raises(lighterd.LimitError, match="2500: hand over smaller"):
            out.write({"id": [1] * 1_500, "pred": [2] * 1_500})
        out.write({"id": [1] * 1_000, "pred": [2] * 1_000})

    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines == ["id,pred"] + ["1,2"] * 1_000


def test_a_connection_over_the_limit_is_told_so_and_room_is_made_again(
    start_daemon, tmp_path
):
    small = start_daemon("--max-connections", "2")
    with small.raw(), small.raw():
        with pytest.raises(lighterd.LimitError, match="2 clients are connected"):
            by_python(small, table(tmp_path), {})

    daemons.until(small.is_alone, "the two have left")
    small.check_serves(tmp_path)


def test_every_error_of_the_client_is_an_error_of_lighterd(daemon):
    for name in ("ConnectionError", "LimitError", "ProtocolError", "StateError"):
        assert issubclass(getattr(lighterd, name), lighterd.Error)
    assert issubclass(lighterd.ConnectionError, ConnectionError)
