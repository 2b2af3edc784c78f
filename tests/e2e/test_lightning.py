"""The callbacks in Lightning's trainers, and driven by hand where there is none.

$LIGHTERD_REQUIRE_LIGHTNING=1 makes it an error that Lightning is missing.
"""

import importlib
import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import daemons
import judges
import pytest

import lighterd

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")  # of Lightning's own

PACKAGES = ["lightning.pytorch", "pytorch_lightning"]


def require(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if os.environ.get("LIGHTERD_REQUIRE_LIGHTNING") == "1":
            pytest.fail(
                f"LIGHTERD_REQUIRE_LIGHTNING is set, and {name} is missing: {error}"
            )
        pytest.skip(f"{name} is missing")


@pytest.fixture(params=PACKAGES)
def package(request):
    return require(request.param)


@pytest.fixture
def callbacks(package):
    return importlib.import_module("lighterd.callbacks")


def predict(package, callbacks, directory, *, n_batches=3, fail_at=None, trainer=None):
    """Predict with these callbacks; the trainer, and what its batches' outputs were."""
    import torch

    class Model(package.LightningModule):
        def predict_step(self, batch, batch_idx):
            if batch_idx == fail_at:
                raise RuntimeError("predict_step failed")
            ids = [f"case/{int(i)}.{batch_idx}" for i in batch[:, 0]]
            outputs = {
                "id": ids,
                "pred": batch * 0.1,
                "image": batch.reshape(-1, 1, 2, 2) / 9,
            }
            made.append(outputs)
            return outputs

    made = []
    data = torch.arange(n_batches * 8.0).reshape(-1, 4)
    loader = torch.utils.data.DataLoader(data, batch_size=2)
    trainer = trainer or package.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(directory),
        callbacks=callbacks,
    )
    result = trainer.predict(Model(), loader)
    return trainer, made, result


def check_outputs(torch, directory, made):
    """Every sample of the batches is in the table and the two directories."""
    expected = judges.table(["id", "pred"], made)
    assert (directory / "t.csv").read_bytes() == expected
    ids = [id for outputs in made for id in outputs["id"]]
    found = judges.files(directory)
    assert sorted(found) == sorted(
        ["t.csv"]
        + [f"logits/{id}.pt" for id in ids]
        + [f"images/{i}.png" for i in range(len(ids))]
    )
    preds = torch.cat([outputs["pred"] for outputs in made])
    for id, pred in zip(ids, preds):
        loaded = torch.load(directory / f"logits/{id}.pt", weights_only=True)
        assert judges.same_bits(torch, loaded, pred)
    image_module = pytest.importorskip("PIL.Image")
    np = pytest.importorskip("numpy")
    images = torch.cat([outputs["image"] for outputs in made])
    for i, image in enumerate(images):
        with image_module.open(directory / f"images/{i}.png") as png:
            assert np.array_equal(np.asarray(png), judges.pixels(torch, image))


def three_callbacks(module, directory, socket):
    return [
        module.CsvWriter(directory / "t.csv", ["id", "pred"], socket=socket),
        module.FileWriter(directory / "logits", "pred", "tensor", "id", socket=socket),
        module.FileWriter(directory / "images", "image", "image_2d", socket=socket),
    ]


# ---- in a trainer ----


def test_a_trainer_predicts_into_a_table_tensors_and_images(
    package, callbacks, daemon, tmp_path, torch
):
    trio = three_callbacks(callbacks, tmp_path, daemon.socket)

    _, made, kept = predict(package, trio, tmp_path)

    check_outputs(torch, tmp_path, made)
    assert len(kept) == len(made)
    status = daemon.ask("status")
    assert (status["jobs_published"], status["batches"], status["samples"]) == (1, 3, 6)


def test_a_second_predict_replaces_what_the_first_wrote(
    package, callbacks, daemon, tmp_path, torch, caplog
):
    trio = three_callbacks(callbacks, tmp_path, daemon.socket)
    trainer, _, _ = predict(package, trio, tmp_path)

    _, made, _ = predict(package, trio, tmp_path, trainer=trainer)

    check_outputs(torch, tmp_path, made)
    assert "t.csv already exists" in caplog.text
    assert daemon.ask("status")["jobs_published"] == 2


def test_a_predict_that_fails_publishes_nothing(package, callbacks, daemon, tmp_path):
    trio = three_callbacks(callbacks, tmp_path, daemon.socket)
    (tmp_path / "t.csv").write_text("old")

    with pytest.raises(RuntimeError, match="predict_step failed"):
        predict(package, trio, tmp_path, fail_at=1)

    (job,) = daemon.ask("jobs")["jobs"]
    assert job["state"] == "aborted"
    assert "predict_step failed" in job["error"]
    assert (tmp_path / "t.csv").read_text() == "old"
    names = [name for name in judges.files(tmp_path) if ".lighterd." not in name]
    assert sorted(names) == ["t.csv", "t.tmp_rank0.csv"]


def test_a_bad_batch_raises_in_the_trainer(package, callbacks, daemon, tmp_path):
    writer = callbacks.CsvWriter(tmp_path / "t.csv", ["nothing"], socket=daemon.socket)

    with pytest.raises(KeyError, match="none of the configured keys"):
        predict(package, [writer], tmp_path)

    assert daemon.ask("status")["jobs_published"] == 0


def test_a_callable_and_the_daemon_write_side_by_side(
    package, callbacks, daemon, tmp_path, torch
):
    both = [
        callbacks.CsvWriter(tmp_path / "t.csv", ["id"], socket=daemon.socket),
        callbacks.FileWriter(
            tmp_path / "own", "pred", lambda path, v: torch.save(v, path)
        ),
    ]

    _, made, _ = predict(package, both, tmp_path)

    assert (tmp_path / "t.csv").read_bytes() == judges.table(["id"], made)
    preds = torch.cat([outputs["pred"] for outputs in made])
    for i, pred in enumerate(preds):
        assert torch.equal(torch.load(tmp_path / f"own/{i}"), pred)


def test_a_relative_path_is_taken_from_where_the_trainer_runs(
    package, callbacks, daemon, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    writer = callbacks.CsvWriter("out/t.csv", ["id"], socket=daemon.socket)

    predict(package, [writer], tmp_path)

    assert (tmp_path / "out/t.csv").exists()


DDP = """
    import sys
    import torch
    from pathlib import Path
    import lightning.pytorch as pl
    from lighterd.callbacks import CsvWriter, FileWriter

    class Model(pl.LightningModule):
        def predict_step(self, batch, batch_idx):
            ids = batch[:, 0].long()
            return {"id": ids, "rank": self.global_rank, "pred": batch * 2}

    out = Path(sys.argv[1])
    data = torch.arange(48.0).reshape(12, 4)
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False,
        enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(out),
        callbacks=[
            CsvWriter(out / "t.csv", ["id", "rank", "pred"]),
            FileWriter(out / "named", "pred", "tensor", "id"),
            FileWriter(out / "numbered", "id", "text"),
        ],
    )
    for epoch in range(2):
        trainer.predict(Model(), torch.utils.data.DataLoader(data, batch_size=3))
"""


def test_two_processes_of_ddp_make_one_set_of_outputs(daemon, tmp_path, torch):
    require("lightning.pytorch")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(DDP))
    out = tmp_path / "out"
    out.mkdir()
    environment = {
        **os.environ,
        "LIGHTERD_SOCKET": daemon.socket,
        "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, str(script), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr

    # The sampler deals the samples out in turn; ranks are joined in their order.
    samples = torch.arange(48.0).reshape(12, 4)
    batches = [
        {"id": part[:, 0].long(), "rank": rank, "pred": part * 2}
        for rank in (0, 1)
        for part in samples[rank::2].split(3)
    ]
    assert (out / "t.csv").read_bytes() == judges.table(["id", "rank", "pred"], batches)
    numbered = {
        f"{r + 2 * k}.txt": samples[r::2][k, 0] for r in (0, 1) for k in range(6)
    }
    assert judges.files(out / "numbered") == {
        name: str(int(value)).encode() for name, value in numbered.items()
    }
    for sample in samples:
        loaded = torch.load(out / f"named/{int(sample[0])}.pt", weights_only=True)
        assert torch.equal(loaded, sample * 2)
    assert len(judges.files(out / "named")) == 12
    assert daemon.ask("status")["jobs_published"] == 2


# ---- by hand ----


def by_hand(rank=0, world_size=1):
    return SimpleNamespace(
        global_rank=rank, world_size=world_size, is_global_zero=rank == 0
    )


def drive(callbacks, trainer, batches, stage="predict"):
    trainer.callbacks = callbacks
    for callback in callbacks:
        callback.setup(trainer, None, stage)
    for batch_idx, outputs in enumerate(batches):
        for callback in callbacks:
            callback.on_predict_batch_end(trainer, None, outputs, None, batch_idx)
    for callback in callbacks:
        callback.on_predict_epoch_end(trainer, None)
    for callback in callbacks:
        callback.teardown(trainer, None, stage)


def test_hooks_by_hand_hand_each_batch_over_once(daemon, tmp_path):
    from lighterd.callbacks import CsvWriter, FileWriter

    batches = [{"id": ["a", "b"], "v": [1, 2]}, {"id": ["c"], "v": [3]}]
    pair = [
        CsvWriter(tmp_path / "t.csv", ["id", "v"], socket=daemon.socket),
        FileWriter(tmp_path / "files", "v", "text", "id", socket=daemon.socket),
    ]

    drive(pair, by_hand(), batches)

    assert judges.files(tmp_path) == {
        "t.csv": judges.table(["id", "v"], batches),
        "files/a.txt": b"1",
        "files/b.txt": b"2",
        "files/c.txt": b"3",
    }
    assert daemon.ask("status")["batches"] == 2


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_other_stages_are_left_alone(tmp_path, stage):
    from lighterd.callbacks import CsvWriter

    writer = CsvWriter(tmp_path / "t.csv", ["id"], socket=tmp_path / "nobody listens")
    writer.setup(by_hand(), None, stage)
    writer.on_predict_batch_end(by_hand(), None, {"id": [1]}, None, 0)
    writer.teardown(by_hand(), None, stage)

    assert not list(tmp_path.iterdir())


def test_an_unknown_writer_function_lists_those_there_are(daemon, tmp_path):
    from lighterd.callbacks import FileWriter

    writer = FileWriter(tmp_path / "out", "v", "picture", socket=daemon.socket)
    trainer = by_hand()

    with pytest.raises(ValueError, match="'picture'.*image_2d.*tensor, text") as raised:
        writer.setup(trainer, None, "predict")
    writer.on_exception(trainer, None, raised.value)


def test_a_directory_with_a_suffix_is_refused_as_lighter_does(daemon, tmp_path):
    from lighterd.callbacks import FileWriter

    writer = FileWriter(tmp_path / "out.csv", "v", "text", socket=daemon.socket)

    with pytest.raises(ValueError, match="directory path, not a file path"):
        writer.setup(by_hand(), None, "predict")


def test_epochs_without_a_teardown_between_them_follow_one_another(daemon, tmp_path):
    from lighterd.callbacks import CsvWriter

    writer, trainer = (
        CsvWriter(tmp_path / "t.csv", ["x"], socket=daemon.socket),
        by_hand(),
    )
    writer.setup(trainer, None, "predict")
    for epoch in (b"1", b"2", b"3"):
        writer.on_predict_batch_end(trainer, None, {"x": [int(epoch)]}, None, 0)
        writer.on_predict_epoch_end(trainer, None)
        assert (tmp_path / "t.csv").read_bytes() == b"x\r\n" + epoch + b"\r\n"
    writer.teardown(trainer, None, "predict")


def test_the_exception_of_the_trainer_is_why_the_job_was_aborted(daemon, tmp_path):
    from lighterd.callbacks import CsvWriter

    writer, trainer = (
        CsvWriter(tmp_path / "t.csv", ["x"], socket=daemon.socket),
        by_hand(),
    )
    writer.setup(trainer, None, "predict")
    writer.on_predict_batch_end(trainer, None, {"x": [1]}, None, 0)
    writer.on_exception(trainer, None, MemoryError("no room"))

    (job,) = daemon.ask("jobs")["jobs"]
    assert job["state"] == "aborted" and "MemoryError: no room" in job["error"]


def test_without_lightning_the_callbacks_are_plain_objects(
    tmp_path, daemon, start_ranks
):
    script = f"""
        sys.modules["lightning"] = sys.modules["pytorch_lightning"] = None
        sys.modules["torch"] = None
        from types import SimpleNamespace
        from lighterd.callbacks import BaseWriter, CsvWriter
        trainer = SimpleNamespace(global_rank=0, world_size=1)
        writer = CsvWriter({str(tmp_path / "t.csv")!r}, ["x"])
        writer.setup(trainer, None, "predict")
        writer.on_predict_batch_end(trainer, None, {{"x": [1]}}, None, 0)
        writer.on_predict_epoch_end(trainer, None)
        writer.teardown(trainer, None, "predict")
        say([each.__name__ for each in BaseWriter.__mro__[1:]])
    """
    (rank,) = start_ranks(script, 1, socket=daemon.socket)

    assert rank.finish() == ["['Callback', 'ABC', 'object']"]
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\n1\r\n"


def test_the_package_says_what_it_offers():
    for name in lighterd.__all__:
        assert hasattr(lighterd, name)
