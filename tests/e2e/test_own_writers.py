"""Writers of one's own, and callbacks between writers: each writes what it was given."""


import pytest
import trainers
from trainers import by_hand, predict

import lighterd
from lighterd.callbacks import BaseWriter, CsvWriter, FileWriter, PipelineWriter

BATCHES = [{"p": [1, 2]}, {"p": [3]}]


class Times(CsvWriter):
    """Writes other values than it is given."""

    def __init__(self, path, factor, **more):
        super().__init__(path, ["p"], **more)
        self.factor = factor

    def write(self, outputs, *rest):
        super().write({"p": [self.factor * p for p in outputs["p"]]}, *rest)


class Twice(CsvWriter):
    def write(self, *given):
        super().write(*given)
        super().write(*given)


class Odd(CsvWriter):
    """Writes nothing of most batches."""

    def write(self, outputs, batch, batch_idx, dataloader_idx):
        if batch_idx % 2:
            super().write(outputs, batch, batch_idx, dataloader_idx)


class AtTheEnd(CsvWriter):
    """Writes all of it when the epoch ends."""

    def write(self, outputs, *rest):
        self.all = [*getattr(self, "all", []), *outputs["p"]]

    def on_predict_epoch_end(self, trainer, module):
        super().write({"p": self.all[::-1]}, None, 0, 0)
        super().on_predict_epoch_end(trainer, module)


class Adds(BaseWriter):
    """Changes outputs in place, on their way from one callback to the next."""

    def write(self, outputs, *rest):
        outputs["p"] = [p + 1000 for p in outputs["p"]]


class Ends:
    def on_predict_batch_end(self, *_):
        pass


def rows(path):
    return [int(row) for row in path.read_text().split()[1:]]


def copies(batches):
    return [dict(batch) for batch in batches]


@pytest.fixture
def table(daemon, tmp_path):
    def make(name, kind=CsvWriter, *more):
        arguments = more or (["p"],)
        return kind(tmp_path / f"{name}.csv", *arguments, socket=daemon.socket)

    return make


def test_each_writer_writes_what_its_own_write_was_given(table, tmp_path):
    writers = [
        table("plain"),
        table("ten", Times, 10),
        table("hundred", Times, 100),
        table("twice", Twice),
        table("odd", Odd),
        table("late", AtTheEnd),
        table("last"),
    ]

    predict(writers, by_hand(), BATCHES)

    assert {path.stem: rows(path) for path in tmp_path.glob("*.csv")} == {
        "plain": [1, 2, 3],
        "ten": [10, 20, 30],
        "hundred": [100, 200, 300],
        "twice": [1, 2, 1, 2, 3, 3],
        "odd": [3],
        "late": [3, 2, 1],
        "last": [1, 2, 3],
    }


def test_outputs_that_change_between_writers_are_written_as_each_was_given_them(
    table, tmp_path
):
    writers = [table("a"), table("b"), Adds(tmp_path / "d"), table("c"), table("d")]

    predict(writers, by_hand(), copies(BATCHES))

    found = {path.stem: rows(path) for path in tmp_path.glob("*.csv")}
    assert found == {
        "a": [1, 2, 3], "b": [1, 2, 3], "c": [1001, 1002, 1003], "d": [1001, 1002, 1003],
    }


def test_a_function_that_changes_its_value_does_not_change_the_next_writers(
    daemon, tmp_path, torch
):
    def spoil(path, value):
        value += 1000

    batches = [{"p": torch.tensor([1, 2])}]
    writers = [
        CsvWriter(tmp_path / "a.csv", ["p"], socket=daemon.socket),
        FileWriter(tmp_path / "spoilt", "p", spoil),
        CsvWriter(tmp_path / "b.csv", ["p"], socket=daemon.socket),
    ]

    predict(writers, by_hand(), batches)

    assert rows(tmp_path / "a.csv") == [1, 2]
    assert rows(tmp_path / "b.csv") == [1001, 1002]  # as without the daemon


@pytest.mark.parametrize("between", [[], [Ends()]])
def test_equal_outputs_go_in_one_hand_over(table, daemon, between):
    writers = [table("a"), table("b")]
    trainer = by_hand(callbacks=[writers[0], *between, writers[1]])
    for writer in writers:
        writer.setup(trainer, None, "predict")
    for writer in writers:
        writer.on_predict_batch_end(trainer, None, BATCHES[0], None, 0)
    for writer in writers:
        writer.on_predict_epoch_end(trainer, None)
        writer.teardown(trainer, None, "predict")

    assert daemon.ask("status")["batches"] == 1 + len(between)


def test_who_does_not_say_what_follows_hands_over_for_each_writer(table, tmp_path):
    trainer = by_hand()
    writers = [table("a"), table("b")]
    for writer in writers:
        writer.setup(trainer, None, "predict")
    for number, writer in enumerate(writers):
        writer.on_predict_batch_end(trainer, None, {"p": [number]}, None, 0)
    for writer in writers:
        writer.on_predict_epoch_end(trainer, None)
        writer.teardown(trainer, None, "predict")

    assert [rows(tmp_path / f"{name}.csv") for name in "ab"] == [[0], [1]]


def test_a_batch_that_is_bad_for_one_writer_is_written_by_none_before_it(table, tmp_path):
    writers = [table("a"), table("b", CsvWriter, ["p", "q"])]

    trainer = by_hand()
    with pytest.raises(KeyError, match="expected key 'q'"):
        predict(writers, trainer, BATCHES)
    writers[0].on_exception(trainer, None, KeyError())

    assert not list(tmp_path.iterdir())


def test_two_writers_of_one_pipeline_are_refused(start_daemon, tmp_path):
    config = tmp_path / "lighterd.json"
    config.write_text(
        '{"pipelines": {"p": {"writers": [{"type": "csv", "options": {"path": "t.csv", "keys": ["p"]}}]}}}'
    )
    daemon = start_daemon("--config", config)
    writers = [PipelineWriter("p", tmp_path, socket=daemon.socket) for _ in range(2)]
    trainer = by_hand()

    writers[0].setup(trainer, None, "predict")
    with pytest.raises(ValueError, match="two writers of the pipeline 'p'"):
        writers[1].setup(trainer, None, "predict")
    writers[0].on_exception(trainer, None, ValueError())


# ---- BaseWriter, lighter's way to write as one likes ----


class Lines(BaseWriter):
    def write(self, outputs, batch, batch_idx, dataloader_idx):
        with open(self.path, "a") as file:
            print(batch, batch_idx, dataloader_idx, outputs["p"], file=file)


def test_a_subclass_of_base_writer_needs_no_daemon(tmp_path):
    writer = Lines(tmp_path / "d/lines.txt")

    predict([writer], by_hand(), [BATCHES[0], None, BATCHES[1]])

    assert (tmp_path / "d/lines.txt").read_text() == "None 0 0 [1, 2]\nNone 2 0 [3]\n"


def test_a_base_writer_takes_rank_0s_path_and_says_that_it_is_there(tmp_path, caplog):
    strategy = trainers.SimpleNamespace(broadcast=lambda path, src: tmp_path)
    writer = Lines("elsewhere")

    writer.setup(by_hand(strategy=strategy), None, "predict")

    assert writer.path == tmp_path
    assert "already exists" in caplog.text


def test_a_base_writer_without_write_cannot_be_made(tmp_path):
    with pytest.raises(TypeError, match="abstract.*write"):
        BaseWriter(tmp_path)


def test_outputs_that_are_a_tensor_are_not_asked_whether_they_are_true(
    table, tmp_path, torch
):
    writer, trainer = table("a"), by_hand()

    with pytest.raises(TypeError):
        predict([writer], trainer, [torch.zeros(2, 2)])
    writer.on_exception(trainer, None, TypeError())


# ---- what writers of one job want of it ----


def test_another_fingerprint_is_refused_at_resume(table, daemon, tmp_path):
    def start(fingerprint):
        wishes = {"resume": True, "fingerprint": fingerprint, "rank_wait": 5}
        writer = CsvWriter(tmp_path / "a.csv", ["p"], socket=daemon.socket, **wishes)
        trainer = by_hand()
        writer.setup(trainer, None, "predict")
        return writer, trainer

    writer, trainer = start("model 1")
    writer.on_predict_batch_end(trainer, None, BATCHES[0], None, 0)
    writer.on_exception(trainer, None, MemoryError())

    writer, trainer = start("model 2")
    with pytest.raises(lighterd.StateError, match="fingerprint"):
        writer.on_predict_epoch_start(trainer, None)
    writer.on_exception(trainer, None, ValueError())


def test_writers_of_one_job_that_want_different_things_are_refused(daemon, tmp_path):
    trainer = by_hand()
    a, b = (
        CsvWriter(tmp_path / f"{wait}.csv", ["p"], rank_wait=wait, socket=daemon.socket)
        for wait in (2, 3)
    )
    a.setup(trainer, None, "predict")

    with pytest.raises(ValueError, match="writers that share a job have rank_wait 2 and 3"):
        b.setup(trainer, None, "predict")
    a.on_exception(trainer, None, ValueError())


def test_a_trainer_of_several_nodes_is_refused_before_anything_is_opened(table, tmp_path):
    with pytest.raises(ValueError, match="several nodes are not supported yet"):
        table("a").setup(by_hand(0, 2, num_nodes=2), None, "predict")

    assert not list(tmp_path.iterdir())


# ---- several trainers, several stages ----


def test_the_end_of_another_stage_does_not_end_the_prediction(table, tmp_path):
    writer, trainer = table("a"), by_hand()
    writer.setup(trainer, None, "predict")
    writer.on_predict_batch_end(trainer, None, BATCHES[0], None, 0)
    for stage in ("fit", "validate", "test"):
        for other in (trainer, by_hand()):
            writer.setup(other, None, stage)
            writer.teardown(other, None, stage)
    writer.on_predict_batch_end(trainer, None, BATCHES[1], None, 1)
    writer.on_predict_epoch_end(trainer, None)
    writer.teardown(trainer, None, "predict")

    assert rows(tmp_path / "a.csv") == [1, 2, 3]


def test_a_prediction_within_a_prediction_does_not_end_it(table, daemon, tmp_path):
    """By another trainer that has the same writer, for another directory."""
    writer, outer, inner = table("a"), by_hand(), by_hand()
    path = writer.path
    writer.setup(outer, None, "predict")
    writer.on_predict_batch_end(outer, None, BATCHES[0], None, 0)
    writer.path = tmp_path / "inner.csv"
    predict([writer], inner, [{"p": [7]}])
    writer.path = path
    writer.on_predict_batch_end(outer, None, BATCHES[1], None, 1)
    writer.on_predict_epoch_end(outer, None)
    writer.teardown(outer, None, "predict")

    assert rows(tmp_path / "a.csv") == [1, 2, 3]
    assert rows(tmp_path / "inner.csv") == [7]


def test_what_was_not_published_is_said(table, tmp_path, caplog):
    writer, trainer = table("a"), by_hand()
    writer.setup(trainer, None, "predict")
    writer.on_predict_batch_end(trainer, None, BATCHES[0], None, 0)
    writer.teardown(trainer, None, "predict")

    assert "is not published: the trainer ended before the epoch did" in caplog.text


# ---- in a trainer ----


@pytest.fixture(params=trainers.PACKAGES)
def package(request):
    return trainers.require(request.param)


def model(package):
    class Model(package.LightningModule):
        def predict_step(self, batch, batch_idx):
            return {"p": batch}

    return Model()


def loader(torch, n=3):
    return torch.utils.data.DataLoader(torch.arange(n), batch_size=2)


def test_overridden_writes_in_a_trainer(package, daemon, tmp_path, torch):
    class Tensors(Times):
        def write(self, outputs, *rest):
            CsvWriter.write(self, {"p": outputs["p"] * self.factor}, *rest)

    writers = [
        Tensors(tmp_path / "a.csv", 10, socket=daemon.socket),
        Tensors(tmp_path / "b.csv", 100, socket=daemon.socket),
    ]
    trainer = trainers.quiet(package, tmp_path, writers)

    trainer.predict(model(package), loader(torch), return_predictions=False)

    assert rows(tmp_path / "a.csv") == [0, 10, 20]
    assert rows(tmp_path / "b.csv") == [0, 100, 200]


def test_predict_returns_all_and_says_what_that_costs(
    package, daemon, tmp_path, torch, caplog
):
    writer = CsvWriter(tmp_path / "a.csv", ["p"], socket=daemon.socket)
    trainer = trainers.quiet(package, tmp_path, [writer])

    returned = trainer.predict(model(package), loader(torch))

    assert torch.cat([each["p"] for each in returned]).tolist() == [0, 1, 2]
    assert caplog.text.count("return_predictions=False") == 1

    caplog.clear()
    trainer.predict(model(package), loader(torch), return_predictions=False)
    assert "return_predictions" not in caplog.text


def test_a_prediction_writer_beside_ours_gets_all_batches(
    package, daemon, tmp_path, torch
):
    class Keeps(package.callbacks.BasePredictionWriter):
        def write_on_epoch_end(self, trainer, module, predictions, batch_indices):
            seen.extend([p["p"].tolist(), i] for p, i in zip(predictions, batch_indices[0]))

    seen = []
    writer = CsvWriter(tmp_path / "a.csv", ["p"], socket=daemon.socket)
    trainer = trainers.quiet(package, tmp_path, [writer, Keeps("epoch")])

    trainer.predict(model(package), loader(torch), return_predictions=False)

    assert seen == [[[0, 1], [0, 1]], [[2], [2]]]
