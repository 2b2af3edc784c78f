"""What the callbacks do without a daemon."""

from types import SimpleNamespace

import numpy as np
import pytest

from lighterd.callbacks import CsvWriter, FileWriter


def trainer(rank=0, world_size=1, **more):
    return SimpleNamespace(
        global_rank=rank, world_size=world_size, is_global_zero=rank == 0, **more
    )


def predict(writer, batches, who):
    writer.setup(who, None, "predict")
    for batch_idx, outputs in enumerate(batches):
        writer.on_predict_batch_end(who, None, outputs, None, batch_idx)
    writer.on_predict_epoch_end(who, None)
    writer.teardown(who, None, "predict")


def save(path, value):
    path.write_text(str(value))


def read(directory):
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_a_callable_writes_files_numbered_by_rank(tmp_path):
    batches = [{"v": ["a", "b"]}, {"v": ("c",)}]

    for rank in (0, 1):
        writer = FileWriter(tmp_path, "v", save)
        predict(writer, batches, trainer(rank, world_size=2))

    assert read(tmp_path) == {
        "0": "a", "2": "b", "4": "c", "1": "a", "3": "b", "5": "c",
    }


def test_a_callable_writes_files_by_name_and_in_folders(tmp_path):
    writer = FileWriter(tmp_path / "out", "v", save, name_key="id")

    predict(writer, [{"v": [1, 2], "id": ["x/a", "b"]}, {"v": 3, "id": 7}], trainer())

    assert read(tmp_path / "out") == {"x/a": "1", "b": "2", "7": "3"}


def test_a_callable_is_given_tensors_on_the_cpu_without_gradient(tmp_path):
    torch = pytest.importorskip("torch")
    given = []
    writer = FileWriter(
        tmp_path, "v", lambda path, value: given.append((path, value)), "id"
    )
    values = torch.ones(2, 3, requires_grad=True)

    predict(writer, [{"v": values, "id": torch.tensor([5, 6])}], trainer())

    assert [path.name for path, _ in given] == ["5", "6"]
    assert all(v.shape == (3,) and not v.requires_grad for _, v in given)


def test_a_bad_batch_raises_before_any_file(tmp_path):
    writer = FileWriter(tmp_path, "v", save, "id")

    with pytest.raises(ValueError, match="Length mismatch"):
        predict(writer, [{"v": [1, 2], "id": ["a"]}], trainer())

    assert read(tmp_path) == {}


def test_a_directory_with_files_in_it_is_warned_of_once(tmp_path, caplog):
    (tmp_path / "old").touch()

    for rank in (0, 1):
        predict(FileWriter(tmp_path, "v", save), [], trainer(rank, 2))

    assert [record.name for record in caplog.records] == ["lighterd"]
    assert "already exists" in caplog.text


@pytest.mark.parametrize("bad", [None, 3, ["tensor"]])
def test_writer_fn_is_a_name_a_map_or_a_callable(bad):
    with pytest.raises(TypeError, match="writer_fn must be a string or a callable"):
        FileWriter("d", "v", bad)

    FileWriter("d", "v", {"name": "image_2d", "suffix": ".png"})


def test_a_directory_with_a_suffix_is_refused(tmp_path):
    writer = FileWriter(tmp_path / "out.csv", "v", "tensor")

    with pytest.raises(ValueError, match="to be a directory path, not a file path"):
        writer.setup(trainer(), None, "predict")

    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_other_stages_do_nothing(tmp_path, stage):
    who = trainer()
    for writer in (CsvWriter(tmp_path / "a/p.csv", ["x"]), FileWriter("d", "v", save)):
        writer.setup(who, None, stage)
        writer.on_predict_batch_end(who, None, {"x": [1]}, None, 0)
        writer.on_predict_epoch_end(who, None)
        writer.teardown(who, None, stage)

    assert list(tmp_path.iterdir()) == []


def test_the_path_is_that_of_rank_0(tmp_path):
    strategy = SimpleNamespace(broadcast=lambda path, src: tmp_path / "of_rank_0")
    writer = FileWriter("mine", "v", save)

    writer.setup(trainer(strategy=strategy), None, "predict")

    assert writer.path == tmp_path / "of_rank_0"


def test_a_rank_without_the_directory_is_told_so(tmp_path):
    strategy = SimpleNamespace(barrier=lambda: None)
    writer = FileWriter(tmp_path / "missing", "v", save)

    with pytest.raises(RuntimeError) as excinfo:
        writer.setup(trainer(1, 2, strategy=strategy), None, "predict")

    assert str(excinfo.value) == (
        "Rank 1 does not share storage with rank 0. "
        "Ensure nodes have common storage access."
    )


def test_predictions_are_left_to_the_trainer(tmp_path, caplog):
    loop = SimpleNamespace(_predictions=[[1, 2], [3]], return_predictions=True)
    writer = FileWriter(tmp_path, "v", save)
    who = trainer(predict_loop=loop)

    predict(writer, [{"v": np.arange(2)}, None, {}, {"v": np.arange(2)}], who)

    assert loop._predictions == [[1, 2], [3]]
    assert read(tmp_path) == {"0": "0", "1": "1", "2": "0", "3": "1"}
    (record,) = caplog.records  # told once
    assert "return_predictions=False" in record.getMessage()


def test_a_writer_can_have_the_trainer_keep_no_predictions(tmp_path, caplog):
    loop = SimpleNamespace(return_predictions=True)
    writer = FileWriter(tmp_path, "v", save, return_predictions=False)

    predict(writer, [{"v": np.arange(2)}], trainer(predict_loop=loop))

    assert loop.return_predictions is False and not caplog.records


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_each_lightning_takes_a_callback_alone_and_several(package, tmp_path):
    lightning = pytest.importorskip(package)
    writers = [FileWriter(tmp_path, "v", save), FileWriter(tmp_path, "w", save)]

    for given in (writers[0], writers):
        made = lightning.Trainer(
            callbacks=given, logger=False, enable_checkpointing=False, accelerator="cpu"
        )
        assert writers[0] in made.callbacks
