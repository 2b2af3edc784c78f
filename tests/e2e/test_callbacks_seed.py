"""CsvWriter and FileWriter: arguments, checks, messages and hooks, as lighter has them."""

import logging
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import daemons
import judges
import pytest
import trainers
from trainers import by_hand, predict

import lighterd
from lighterd.callbacks import CsvWriter, FileWriter


def save(path, value):
    path.write_text(str(value))


def published(directory):
    """What bears a final name: neither shards nor staged files."""
    return {
        name: data
        for name, data in judges.files(directory).items()
        if ".tmp_rank" not in name and ".lighterd." not in name
    }


@pytest.fixture
def pair(daemon, tmp_path):
    """A writer of each kind, for outputs of `id` and `v`."""
    return [
        CsvWriter(tmp_path / "t.csv", ["id", "v"], socket=daemon.socket),
        FileWriter(tmp_path / "files", "v", "text", "id", socket=daemon.socket),
    ]


BATCH = {"id": ["a", "b"], "v": [1, 2]}
MADE = {"t.csv": b"id,v\r\na,1\r\nb,2\r\n", "files/a.txt": b"1", "files/b.txt": b"2"}


class Strategy:
    """What Lightning's strategies offer: rank 0's value to all, and a meeting."""

    def __init__(self, n_ranks):
        self._barrier = threading.Barrier(n_ranks, timeout=daemons.DEADLINE_S)
        self._values, self._n_calls = {}, {}

    def of(self, rank):
        return SimpleNamespace(
            broadcast=lambda value, src: self._broadcast(rank, value, src),
            barrier=self._barrier.wait,
        )

    def _broadcast(self, rank, value, src):
        call = self._n_calls[rank] = self._n_calls.get(rank, 0) + 1
        if rank == src:
            self._values[call] = value
        self._barrier.wait()
        return self._values[call]


def run_ranks(n_ranks, writers_of, batches_of):
    """Predict with each rank in a thread of its own."""
    strategy = Strategy(n_ranks)

    def run(rank):
        trainer = by_hand(rank, n_ranks, strategy=strategy.of(rank))
        predict(writers_of(rank), trainer, batches_of(rank))

    with ThreadPoolExecutor(n_ranks) as pool:
        list(pool.map(run, range(n_ranks)))


# ---- arguments of CsvWriter ----


def test_path_may_be_a_string_or_a_path(daemon, tmp_path):
    for path in (tmp_path / "a.csv", str(tmp_path / "b.csv")):
        predict([CsvWriter(path, ["v"], socket=daemon.socket)], by_hand(), [BATCH])

    assert published(tmp_path) == {name: b"v\r\n1\r\n2\r\n" for name in ("a.csv", "b.csv")}


def test_keys_choose_the_columns_and_their_order(daemon, tmp_path, torch):
    outputs = {
        "id": ["0001", "NA"],
        "other": object(),
        "pred": torch.tensor([[0.5, 1.0], [1.5, -2.0]]),
        "flag": (True, None),
        "loss": torch.tensor(0.25),
        "fold": 3,
    }
    keys = ["pred", "id", "fold", "flag", "loss"]

    predict([CsvWriter(tmp_path / "t.csv", keys, socket=daemon.socket)], by_hand(), [outputs])

    assert (tmp_path / "t.csv").read_bytes() == (
        b"pred,id,fold,flag,loss\r\n"
        b'"[0.5, 1.0]",0001,3,True,0.25\r\n'
        b'"[1.5, -2.0]",NA,3,,0.25\r\n'
    )


# ---- arguments of FileWriter ----


def test_value_key_chooses_what_is_saved(daemon, tmp_path):
    predict([FileWriter(tmp_path, "v", "text", socket=daemon.socket)], by_hand(), [BATCH])

    assert published(tmp_path) == {"0.txt": b"1", "1.txt": b"2"}


def test_writer_fn_may_be_each_encoder_of_the_daemon(daemon, tmp_path, torch):
    values = {
        "tensor": torch.rand(2, 3),
        "image_2d": torch.rand(2, 3, 4, 4),
        "image_3d": torch.rand(2, 3, 2, 4, 4),
        "video": torch.rand(2, 3, 2, 16, 16),
        "text": ["a", "b"],
    }

    for name in lighterd.writer_registry.names(daemon.socket):
        writer = FileWriter(tmp_path / name, "v", name, socket=daemon.socket)
        predict([writer], by_hand(), [{"v": values[name]}])
        assert sorted(path.stem for path in (tmp_path / name).iterdir()) == ["0", "1"]


def test_writer_fn_may_be_a_callable_of_a_path_and_a_value(tmp_path):
    given = []
    writer = FileWriter(tmp_path / "d", "v", lambda path, value: given.append((path, value)))

    predict([writer], by_hand(), [BATCH, BATCH])

    assert given == [(tmp_path / "d" / str(i), v) for i, v in enumerate([1, 2, 1, 2])]


def test_writer_fn_of_another_type_is_a_type_error(tmp_path):
    for wrong in (None, 3, ["tensor"]):
        with pytest.raises(TypeError, match="^writer_fn must be a string or a callable$"):
            FileWriter(tmp_path, "v", wrong)


def test_name_key_names_the_files(pair, tmp_path):
    predict(pair[1:], by_hand(), [{"id": ["x/1.2", 7], "v": ["a", "b"]}])

    assert published(tmp_path) == {"files/x/1.2.txt": b"a", "files/7.txt": b"b"}


def test_without_a_name_key_ranks_take_every_other_number(daemon, tmp_path):
    def both_kinds(rank):
        return [
            FileWriter(tmp_path / "daemon", "v", "text", socket=daemon.socket),
            FileWriter(tmp_path / "here", "v", save),
        ]

    run_ranks(2, both_kinds, lambda rank: [{"v": [f"{rank}a", f"{rank}b"]}, {"v": f"{rank}c"}])

    expected = {"0": b"0a", "2": b"0b", "4": b"0c", "1": b"1a", "3": b"1b", "5": b"1c"}
    assert judges.files(tmp_path / "here") == expected
    assert judges.files(tmp_path / "daemon") == {
        f"{name}.txt": data for name, data in expected.items()
    }


# ---- checks of a batch ----

CSV_CHECKS = [
    (
        {"x": 1, "y": 2},
        KeyError,
        "CsvWriter: none of the configured keys ['id', 'v'] were found in outputs. "
        "Available keys in outputs: ['x', 'y']",
    ),
    ({"id": [1]}, KeyError, "CsvWriter expected key 'v' in outputs but it was missing."),
    (
        {"id": ["a", "b"], "v": (1, 2, 3)},
        ValueError,
        "CsvWriter found inconsistent lengths for keys: expected 2, but found 3 for key 'v'.",
    ),
]
FILE_CHECKS = [
    ({"id": [1]}, KeyError, "FileWriter expected key 'v' in outputs but it was missing."),
    ({"v": [1]}, KeyError, "FileWriter expected key 'id' in outputs but it was missing."),
    (
        {"v": [1, 2], "id": "a"},
        ValueError,
        "Length mismatch between value key 'v' (2) and name key 'id' (1).",
    ),
]


@pytest.mark.parametrize("outputs, kind, message", CSV_CHECKS)
def test_csv_writer_checks_its_batch(pair, outputs, kind, message):
    check(pair[0], outputs, kind, message)


@pytest.mark.parametrize("outputs, kind, message", FILE_CHECKS)
def test_file_writer_checks_its_batch(pair, outputs, kind, message):
    check(pair[1], outputs, kind, message)


@pytest.mark.parametrize("outputs, kind, message", FILE_CHECKS)
def test_file_writer_with_a_callable_checks_its_batch(tmp_path, outputs, kind, message):
    check(FileWriter(tmp_path / "d", "v", save, "id"), outputs, kind, message)
    assert published(tmp_path) == {}


def check(writer, outputs, kind, message):
    trainer = by_hand()
    with pytest.raises(kind) as raised:
        predict([writer], trainer, [outputs])
    writer.on_exception(trainer, None, raised.value)

    assert raised.value.args == (message,)


# ---- setup ----


def test_setup_takes_the_path_of_rank_0_on_every_rank(daemon, tmp_path):
    def writers(rank):
        return [
            CsvWriter(tmp_path / f"of-{rank}/t.csv", ["v"], job="j", socket=daemon.socket),
            FileWriter(tmp_path / f"of-{rank}/d", "v", "text", job="j", socket=daemon.socket),
        ]

    run_ranks(2, writers, lambda rank: [{"v": [rank]}])

    assert published(tmp_path) == {
        "of-0/t.csv": b"v\r\n0\r\n1\r\n",
        "of-0/d/0.txt": b"0",
        "of-0/d/1.txt": b"1",
    }


def test_setup_makes_the_directories(daemon, tmp_path):
    writers = [
        CsvWriter(tmp_path / "a/b/t.csv", ["v"], socket=daemon.socket),
        FileWriter(tmp_path / "c/d", "v", "text", socket=daemon.socket),
    ]
    for writer in writers:
        writer.setup(by_hand(), None, "predict")

    assert (tmp_path / "a/b").is_dir() and (tmp_path / "c/d").is_dir()


def test_an_existing_output_is_warned_of(pair, tmp_path, caplog):
    predict(pair, by_hand(), [BATCH])
    assert not caplog.records

    predict(pair, by_hand(), [BATCH])

    messages = [record.getMessage() for record in caplog.records]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    for path, message in zip((tmp_path / "t.csv", tmp_path / "files"), messages):
        assert message.startswith(f"{path} already exists")


@pytest.mark.parametrize("kind", ["csv", "file"])
def test_a_rank_that_does_not_share_storage_is_a_runtime_error(tmp_path, kind):
    directory = tmp_path / "made by rank 0, elsewhere"
    writer = (
        CsvWriter(directory / "t.csv", ["v"])
        if kind == "csv"
        else FileWriter(directory, "v", "tensor")
    )

    with pytest.raises(RuntimeError) as raised:
        writer.setup(by_hand(3, 4), None, "predict")

    assert str(raised.value) == (
        "Rank 3 does not share storage with rank 0. "
        "Ensure nodes have common storage access."
    )


def test_a_directory_that_looks_like_a_file_is_a_value_error(tmp_path):
    with pytest.raises(ValueError) as raised:
        FileWriter(tmp_path / "d.pt", "v", "tensor").setup(by_hand(), None, "predict")

    assert str(raised.value) == (
        "FileWriter expects 'directory' to be a directory path, not a file path"
    )


@pytest.mark.parametrize("package", trainers.PACKAGES)
@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_other_stages_of_a_trainer_do_nothing(package, stage, tmp_path, torch):
    package = trainers.require(package)

    class Model(package.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def validation_step(self, batch, batch_idx):
            return self.layer(batch).sum()

        training_step = test_step = validation_step

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters())

    nobody = tmp_path / "nobody listens"
    writers = [
        CsvWriter(tmp_path / "a/t.csv", ["v"], socket=nobody),
        FileWriter(tmp_path / "b", "v", "text", socket=nobody),
        FileWriter(tmp_path / "c", "v", save),
    ]
    trainer = trainers.quiet(package, tmp_path, writers, max_epochs=1)
    loader = torch.utils.data.DataLoader(torch.ones(2, 2))

    getattr(trainer, stage)(Model(), loader)

    assert not list(tmp_path.iterdir())


# ---- batches ----


def test_a_write_before_setup_is_skipped(tmp_path):
    for writer in (
        CsvWriter(tmp_path / "t.csv", ["v"], socket=tmp_path / "nobody"),
        FileWriter(tmp_path / "d", "v", "text", socket=tmp_path / "nobody"),
        FileWriter(tmp_path / "d", "v", save),
    ):
        writer.write(BATCH, None, 0, 0)
        writer.on_predict_batch_end(by_hand(), None, BATCH, None, 0)
        writer.on_predict_epoch_end(by_hand(), None)

    assert not list(tmp_path.iterdir())


def test_empty_outputs_are_skipped(pair, daemon, tmp_path):
    predict(pair, by_hand(), [None, {}, BATCH, None])

    assert published(tmp_path) == MADE
    assert daemon.ask("status")["batches"] == 1


def test_a_value_without_samples_is_skipped(daemon, tmp_path, torch):
    for writer_fn in ("text", save):
        writer = FileWriter(tmp_path / "d", "v", writer_fn, "id", socket=daemon.socket)
        predict([writer], by_hand(), [{"v": []}, {"v": torch.zeros(0, 3), "id": ["a"]}])

    assert published(tmp_path) == {}


def test_an_epoch_without_batches_is_a_table_without_rows(pair, tmp_path):
    predict(pair, by_hand(), [])

    assert published(tmp_path) == {"t.csv": b"id,v\r\n"}


@pytest.mark.parametrize("writer_fn", ["tensor", lambda path, value: None])
def test_a_batch_that_was_handed_over_is_let_go(daemon, tmp_path, torch, writer_fn):
    writer, trainer = FileWriter(tmp_path, "v", writer_fn, socket=daemon.socket), by_hand()
    writer.setup(trainer, None, "predict")
    values = torch.zeros(100, 1000)
    alive = weakref.ref(values)

    writer.on_predict_batch_end(trainer, None, {"v": values}, None, 0)
    del values

    assert alive() is None
    writer.on_predict_epoch_end(trainer, None)
    writer.teardown(trainer, None, "predict")


# ---- the end ----


def begun(pair):
    """A trainer that has made one batch and not ended its epoch."""
    trainer = by_hand(callbacks=pair)
    for writer in pair:
        writer.setup(trainer, None, "predict")
    for writer in pair:
        writer.on_predict_batch_end(trainer, None, BATCH, None, 0)
    return trainer


def test_nothing_is_published_before_the_epoch_ends(pair, tmp_path):
    trainer = begun(pair)

    assert published(tmp_path) == {}
    for writer in pair:
        writer.on_predict_epoch_end(trainer, None)
    assert published(tmp_path) == MADE
    for writer in pair:
        writer.teardown(trainer, None, "predict")
    assert judges.files(tmp_path) == MADE


def leave_by_exception(writer, trainer):
    writer.on_exception(trainer, None, RuntimeError("no more memory"))


def leave_by_teardown(writer, trainer):
    writer.teardown(trainer, None, "predict")


@pytest.mark.parametrize("leave", [leave_by_exception, leave_by_teardown])
def test_an_epoch_that_did_not_end_leaves_its_shards_and_publishes_nothing(
    pair, daemon, tmp_path, leave
):
    (tmp_path / "t.csv").write_text("of the epoch before")
    trainer = begun(pair)

    for writer in pair:
        leave(writer, trainer)
    for writer in pair:  # as Lightning does, also after an exception
        writer.teardown(trainer, None, "predict")

    assert published(tmp_path) == {"t.csv": b"of the epoch before"}
    assert (tmp_path / "t.tmp_rank0.csv").read_bytes() == MADE["t.csv"]
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == [
        "a.txt",
        "b.txt",
    ]
    (job,) = daemon.ask("jobs")["jobs"]
    assert job["state"] == "aborted"


def test_a_rank_that_fails_in_its_first_batch_aborts_the_job(pair, daemon):
    trainer = by_hand(0, 2)
    for writer in pair:
        writer.setup(trainer, None, "predict")
    for writer in pair:
        writer.on_predict_epoch_start(trainer, None)

    leave_by_exception(pair[0], trainer)

    (job,) = daemon.ask("jobs")["jobs"]
    assert job["state"] == "aborted" and "rank 0" in job["error"]


def test_after_an_exception_batches_are_skipped(pair, tmp_path):
    trainer = begun(pair)
    leave_by_exception(pair[0], trainer)

    pair[0].on_predict_batch_end(trainer, None, BATCH, None, 1)
    pair[0].on_predict_epoch_end(trainer, None)

    assert published(tmp_path) == {}


def test_a_trainer_that_failed_may_predict_again(pair, tmp_path):
    trainer = begun(pair)
    for writer in pair:
        leave_by_exception(writer, trainer)

    predict(pair, trainer, [BATCH])

    assert judges.files(tmp_path) == MADE


# ---- the registry ----


@pytest.fixture
def registry(monkeypatch):
    """As it is in a process that has just begun."""
    monkeypatch.setattr(lighterd.writer_registry, "functions", {})
    monkeypatch.setattr(lighterd.writer_registry, "_encoders", set())
    return lighterd.writer_registry


def test_a_registered_function_is_a_writer_fn(registry, tmp_path):
    @registry.register(name="shout")
    def shout(path, value):
        path.with_suffix(".shout").write_text(value.upper())

    writer = FileWriter(tmp_path, "v", "shout", "id", socket=tmp_path / "nobody listens")
    predict([writer], by_hand(), [{"v": ["x", "y"], "id": ["a", "b"]}])

    assert judges.files(tmp_path) == {"a.shout": b"X", "b.shout": b"Y"}
    assert registry.get("shout") is shout


def test_a_registered_function_may_have_options_as_an_encoder_has(registry, tmp_path):
    @registry.register(name="repeat")
    def repeat(path, value, times=1):
        path.write_text(value * times)

    writer = FileWriter(tmp_path, "v", {"name": "repeat", "times": 3})
    predict([writer], by_hand(), [{"v": "x"}])

    assert judges.files(tmp_path) == {"0": b"xxx"}


def test_a_name_is_registered_once(registry):
    registry.register(name="mine")(save)

    with pytest.raises(ValueError, match="^Writer with name 'mine' is already registered.$"):
        registry.register(name="mine")(save)


def test_the_name_of_an_encoder_that_is_known_is_taken(registry, daemon):
    assert "tensor" in registry.names(daemon.socket)

    with pytest.raises(ValueError, match="^Writer with name 'tensor' is already registered.$"):
        registry.register(name="tensor")(save)


def test_a_function_of_the_registry_writes_one_file_at_once(registry, tmp_path, torch):
    registry.get("tensor")(tmp_path / "a", torch.arange(3)[1:])
    registry.get("text")(tmp_path / "1.2", "words")
    image = torch.tensor([[[0.0, 0.5, 2.0]]])
    registry.get("image_2d")(tmp_path / "b.png", image)
    registry.get("image_3d")(tmp_path / "c", image.expand(3, 1, 3).unsqueeze(1))

    assert torch.equal(torch.load(tmp_path / "a.pt"), torch.tensor([1, 2]))
    assert (tmp_path / "1.2.txt").read_bytes() == b"words"
    PIL = pytest.importorskip("PIL.Image")
    with PIL.open(tmp_path / "b.png") as grey, PIL.open(tmp_path / "c.png") as colour:
        assert list(grey.tobytes()) == [0, 127, 255]
        assert colour.mode == "RGB" and list(colour.tobytes()) == [
            *(0, 0, 0), *(127, 127, 127), *(255, 255, 255),
        ]


@pytest.mark.parametrize("name", ["tensor", "image_2d", "image_3d", "text"])
def test_a_function_of_the_registry_writes_what_the_encoder_writes(
    registry, daemon, tmp_path, torch, name
):
    shape = {"image_2d": (3, 4, 5), "image_3d": (1, 2, 3, 4)}.get(name, (2,))
    value = torch.rand(shape) * 1.2 - 0.1
    writer = FileWriter(tmp_path / "daemon", "v", registry.get(name), socket=daemon.socket)
    predict([writer], by_hand(), [{"v": value.unsqueeze(0)}])

    (tmp_path / "here").mkdir()
    registry.get(name)(tmp_path / "here/0", value)

    (by_daemon,), (here,) = ((tmp_path / at).iterdir() for at in ("daemon", "here"))
    assert by_daemon.name == here.name
    assert daemon.ask("status")["jobs_published"] == 1  # the daemon's encoder wrote it
    if name == "tensor":
        assert torch.equal(torch.load(by_daemon), torch.load(here))
    elif name == "text":
        assert by_daemon.read_bytes() == here.read_bytes()
    else:
        PIL = pytest.importorskip("PIL.Image")
        with PIL.open(by_daemon) as a, PIL.open(here) as b:
            assert (a.mode, a.size, a.tobytes()) == (b.mode, b.size, b.tobytes())


def test_an_encoder_that_the_daemon_alone_has_can_be_given_and_not_called(
    registry, daemon, tmp_path, torch
):
    video = registry.get("video", daemon.socket)
    writer = FileWriter(tmp_path, "v", video, socket=daemon.socket)
    predict([writer], by_hand(), [{"v": torch.rand(1, 3, 2, 16, 16)}])

    assert list(published(tmp_path)) == ["0.mp4"]
    with pytest.raises(TypeError, match="'video' runs in lighterd alone"):
        video(tmp_path / "x", torch.rand(3, 2, 16, 16))


def test_what_lighter_has_is_where_lighter_has_it():
    from lighterd.callbacks.base_writer import BaseWriter
    from lighterd.callbacks.csv_writer import CsvWriter as csv_writer
    from lighterd.callbacks.file_writer import (  # noqa: F401
        FileWriter as file_writer,
        WriterRegistry,
        write_image_2d,
        write_image_3d,
        write_tensor,
        write_text,
        writer_registry,
    )
    from lighterd.callbacks.freezer import Freezer

    assert issubclass(csv_writer, BaseWriter) and file_writer is FileWriter
    assert writer_registry.get("tensor") is write_tensor and Freezer


def test_a_name_that_is_not_registered_is_a_value_error_with_a_list(
    registry, daemon, tmp_path
):
    registry.register(name="mine")(save)
    writer, trainer = FileWriter(tmp_path, "v", "his", socket=daemon.socket), by_hand()

    for look in (
        lambda: registry.get("his", daemon.socket),
        lambda: writer.setup(trainer, None, "predict"),
    ):
        with pytest.raises(ValueError) as raised:
            look()
        message = str(raised.value)
        assert message.startswith("Writer with name 'his' is not registered.")
        assert all(name in message for name in ("image_2d", "mine", "tensor", "text"))
    writer.on_exception(trainer, None, raised.value)


def test_the_registry_lists_functions_and_encoders(registry, daemon, monkeypatch):
    monkeypatch.setenv("LIGHTERD_SOCKET", daemon.socket)
    registry.register(name="mine")(save)
    encoders = [each["name"] for each in daemon.ask("plugins")["encoders"]]

    assert list(registry) == registry.names() == sorted(["mine", *encoders])


def test_importing_and_registering_start_no_daemon(tmp_path):
    script = """
import lighterd, lighterd.callbacks
lighterd.writer_registry.register(name="mine")(print)
lighterd.callbacks.FileWriter("d", "v", "mine")
lighterd.callbacks.FileWriter("d", "v", "tensor")
"""
    started = tmp_path / "started"
    binary = tmp_path / "lighterd"
    binary.write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
    binary.chmod(0o755)
    environment = {
        "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH),
        "LIGHTERD": str(binary),
        "LIGHTERD_SOCKET": str(tmp_path / "s"),
    }

    subprocess.run([sys.executable, "-c", script], env=environment, check=True)

    assert not started.exists()


# ---- trainers beside one another ----


def test_two_trainers_at_once_do_not_disturb_each_other(daemon, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "lighterd")
    both = []
    for name in ("one", "two"):
        writer = CsvWriter(tmp_path / name / "t.csv", ["v"], socket=daemon.socket)
        both.append((writer, by_hand()))
        writer.setup(both[-1][1], None, "predict")
    for batch_idx in range(3):
        for number, (writer, trainer) in enumerate(both):
            outputs = {"v": [10 * number + batch_idx]}
            writer.on_predict_batch_end(trainer, None, outputs, None, batch_idx)

    both[0][0].on_exception(both[0][1], None, RuntimeError("the first fails"))
    both[1][0].on_predict_epoch_end(both[1][1], None)
    both[1][0].teardown(both[1][1], None, "predict")

    assert published(tmp_path) == {"two/t.csv": b"v\r\n10\r\n11\r\n12\r\n"}


def test_dataloaders_follow_one_another_in_one_table(daemon, tmp_path):
    writer, trainer = CsvWriter(tmp_path / "t.csv", ["v"], socket=daemon.socket), by_hand()
    writer.setup(trainer, None, "predict")
    for dataloader_idx in (0, 1):
        for batch_idx in (0, 1):
            outputs = {"v": [f"{dataloader_idx}.{batch_idx}"]}
            writer.on_predict_batch_end(
                trainer, None, outputs, None, batch_idx, dataloader_idx
            )
    writer.on_predict_epoch_end(trainer, None)
    writer.teardown(trainer, None, "predict")

    assert (tmp_path / "t.csv").read_bytes() == b"v\r\n0.0\r\n0.1\r\n1.0\r\n1.1\r\n"


def test_stages_under_one_name_are_jobs_of_their_own(daemon, tmp_path):
    def start(stage):
        writer = lighterd.csv(tmp_path / f"{stage}.csv", ["v"])
        return lighterd.run(writer, job="run-7", stage=stage, socket=daemon.socket)

    with start("predict") as a, start("validate") as b, start("test") as c, start("fit") as d:
        for number, out in enumerate((a, b, c, d)):
            out.write({"v": [number]})

    assert judges.files(tmp_path) == {
        f"{stage}.csv": b"v\r\n%d\r\n" % number
        for number, stage in enumerate(("predict", "validate", "test", "fit"))
    }
    jobs = daemon.ask("jobs")["jobs"]
    assert {job["name"] for job in jobs} == {"run-7"}
    assert sorted(job["stage"] for job in jobs) == ["fit", "predict", "test", "validate"]


def test_epochs_follow_one_another_in_one_process(daemon, tmp_path):
    for epoch in range(20):
        writer = lighterd.csv(tmp_path / "t.csv", ["v"])
        with lighterd.run(writer, job="j", stage="validate", socket=daemon.socket) as out:
            out.write({"v": [epoch]})
        assert (tmp_path / "t.csv").read_bytes() == b"v\r\n%d\r\n" % epoch
