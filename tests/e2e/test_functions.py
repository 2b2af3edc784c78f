"""`lighterd.file` with a Python function: its files are written here, in this process."""

import json

import numpy as np
import pytest

import lighterd
from lighterd.registry import writer_registry


def write_json(path, value, *, indent=None):
    assert path.parent.is_dir()
    with open(path, "w") as file:
        json.dump(np.asarray(value).tolist(), file, indent=indent)


def read(directory):
    return {p.name: json.loads(p.read_text()) for p in directory.iterdir()}


@pytest.fixture
def registered():
    writer_registry.register(name="json")(write_json)
    yield
    del writer_registry.functions["json"]


def test_a_function_writes_beside_the_daemon(daemon, tmp_path, torch):
    table = lighterd.csv("t.csv", ["id", "x"])
    files = lighterd.file("d", "x", write_json, name_key="id")

    with lighterd.run(table, files, socket=daemon.socket, directory=tmp_path) as out:
        out.write({"id": ["a", "b"], "x": torch.tensor([[0.5], [1.5]])})
        assert read(tmp_path / "d") == {"a": [0.5], "b": [1.5]}
        out.write([{"id": np.int64(7), "x": 2}])

    assert read(tmp_path / "d") == {"a": [0.5], "b": [1.5], "7": 2}
    assert (tmp_path / "t.csv").read_text().split() == ["id,x", "a,[0.5]", "b,[1.5]", "7,2"]


@pytest.mark.parametrize("writer_fn", ["json", {"name": "json", "indent": 1}])
def test_a_registered_name_means_the_function(tmp_path, registered, writer_fn):
    """No daemon is met: there is none at this socket, nor may one be started."""
    files = lighterd.file(tmp_path, "x", writer_fn)

    with lighterd.run(files, rank=1, world_size=3, socket="/nowhere/at/all") as out:
        out.write({"x": [1, 2]})
        out.write({"x": [3]})
        assert out.progress().written == 2

    assert read(tmp_path) == {"1": 1, "4": 2, "7": 3}
    assert out.end() == [str(tmp_path)]


def test_what_a_function_raises_comes_before_its_batch_is_handed_over(daemon, tmp_path):
    def picky(path, value):
        if value < 0:
            raise RuntimeError("negative")

    table = lighterd.csv(tmp_path / "t.csv", ["x"])
    files = lighterd.file(tmp_path / "d", "x", picky)

    with lighterd.run(table, files, socket=daemon.socket) as out:
        out.write({"x": [1]})
        with pytest.raises(RuntimeError, match="negative"):
            out.write({"x": [-1]})
        with pytest.raises(KeyError):
            out.write({"y": [1]})
        out.write({"x": [2]})

    assert (tmp_path / "t.csv").read_text().split() == ["x", "1", "2"]


def test_a_job_that_is_over_calls_no_function(tmp_path):
    called = []
    files = lighterd.file(tmp_path, "x", lambda path, value: called.append(value))

    with lighterd.run(files) as out:
        out.write({"x": [1]})
        out.end()
        with pytest.raises(lighterd.StateError, match="is over"):
            out.write({"x": [2]})

    assert called == [1]


def test_after_resume_all_files_are_written_again(daemon, tmp_path):
    called = []
    writers = (
        lighterd.csv(tmp_path / "t.csv", ["x"]),
        lighterd.file(tmp_path / "d", "x", lambda path, value: called.append(path.name)),
    )

    def loop(fails):
        with lighterd.run(*writers, socket=daemon.socket, resume=True) as out:
            for i in range(3):
                if not out.skip():
                    out.write({"x": [i]})
                if fails and i == 1:
                    out.flush()
                    raise RuntimeError

    with pytest.raises(RuntimeError):
        loop(True)
    loop(False)

    assert called == ["0", "1", "0", "1", "2"]
    assert (tmp_path / "t.csv").read_text().split() == ["x", "0", "1", "2"]


def test_what_is_neither_name_nor_function_is_refused():
    with pytest.raises(TypeError, match="writer_fn must be a string or a callable"):
        lighterd.file("d", "x", 7)
