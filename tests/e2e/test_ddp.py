"""Ranks that are processes: Lightning's ddp (gloo), and plain loops.

The judge of a table is what lighter's own rule makes of the outputs that each rank had:
every rank pickles them, beside what the callbacks hand over.
"""

import json
import os
import pickle
import signal
import socket

import daemons
import judges
import pytest
import trainers

PRELUDE = """
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", MASTER_ADDR="127.0.0.1", OMP_NUM_THREADS="1"
    )
    import json, pickle, signal
    from functools import partial
    from pathlib import Path
    import torch
    import lightning.pytorch as pl
    from lighterd.callbacks import CsvWriter, FileWriter, Freezer

    def make_trainer(strategy="ddp", **more):
        return pl.Trainer(
            accelerator="cpu", devices=world_size, strategy=strategy, logger=False,
            enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, **more,
        )

    class Numbers(torch.utils.data.Dataset):
        def __init__(self, name, n): self.name, self.n = name, n
        def __len__(self): return self.n
        def __getitem__(self, i): return f"{self.name}{i}", torch.tensor([i, i / 3])

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.made = []
        def predict_step(self, batch, batch_idx, dataloader_idx=0):
            ids, x = batch
            outputs = {"id": ids, "pred": x, "rank": rank, "loader": dataloader_idx}
            self.made.append(outputs)
            return outputs

    def predict(trainer, loaders, name):
        model = Model()
        trainer.predict(model, loaders)
        Path(f"{name}.rank{rank}").write_bytes(pickle.dumps(model.made))
"""

KEYS = ["id", "pred", "rank", "loader"]

PREDICT = (
    PRELUDE
    + """
    def predict_into(name, loaders, **more):
        writers = [
            CsvWriter(f"{name}.csv", ["id", "pred", "rank", "loader"]),
            FileWriter(name, "pred", "text", "id"),
        ]
        predict(make_trainer(callbacks=writers, **more), loaders, name)

    Loader = partial(torch.utils.data.DataLoader, batch_size=2)

    # 11 samples: Lightning gives each once, some ranks have more batches.
    predict_into("once", Loader(Numbers("a", 11)))

    # A sampler of the user's own pads: some samples come twice.
    class Padding(torch.utils.data.DistributedSampler):
        def __init__(self, data):
            super().__init__(data, world_size, rank, shuffle=False)

    data = Numbers("b", 4 * world_size + 1)
    writer = CsvWriter("padded.csv", ["id", "pred", "rank", "loader"])
    trainer = make_trainer(callbacks=[writer], use_distributed_sampler=False)
    predict(trainer, Loader(data, sampler=Padding(data)), "padded")

    # Two loaders, and the same trainer once more.
    for _ in range(2):
        loaders = [Loader(Numbers("c", 8)), Loader(Numbers("d", 5))]
        predict_into("loaders", loaders)
"""
)


@pytest.fixture
def start_ddp(daemon, start_ranks, tmp_path):
    """Start ranks as torchrun does: each finds the others by the environment."""
    trainers.require("lightning.pytorch")

    def start(script, world_size):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            environment = {"MASTER_PORT": str(free.getsockname()[1])}
        return start_ranks(
            script, world_size, socket=daemon.socket, env=environment, cwd=tmp_path
        )

    return start


def lighters_table(directory, name, n_ranks):
    """What lighter would write: the rows of each rank, in the order of the ranks."""
    batches = []
    for rank in range(n_ranks):
        batches += pickle.loads((directory / f"{name}.rank{rank}").read_bytes())
    return judges.table(KEYS, batches), batches


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_ddp_makes_the_table_that_lighter_makes(start_ddp, daemon, tmp_path, n_ranks):
    for rank in start_ddp(PREDICT, n_ranks):
        rank.finish()

    for name in ("once", "padded", "loaders"):
        expected, batches = lighters_table(tmp_path, name, n_ranks)
        assert (tmp_path / f"{name}.csv").read_bytes() == expected, name
        ids = [id for outputs in batches for id in outputs["id"]]
        if name == "padded":
            assert len(ids) == 5 * n_ranks > len(set(ids)) == 4 * n_ranks + 1
        else:
            assert len(ids) == len(set(ids))
            assert sorted(judges.files(tmp_path / name)) == sorted(f"{id}.txt" for id in ids)
    assert daemon.ask("status")["jobs_published"] == 4
    assert not list(tmp_path.rglob("*tmp_rank*")) + list(tmp_path.rglob(".lighterd.*"))


DIES = (
    PRELUDE
    + """
    class Mortal(Model):
        def predict_step(self, batch, batch_idx):
            if rank == 1 and batch_idx == 1:
                say("dies")
                wait()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().predict_step(batch, batch_idx)

    trainer = make_trainer(callbacks=[CsvWriter("t.csv", ["id"], job="mortal")])
    try:
        trainer.predict(Mortal(), torch.utils.data.DataLoader(Numbers("a", 8), batch_size=2))
    except BaseException as error:
        say(f"{type(error).__name__}: {error}")
        os._exit(3)  # a process group that lost a member may not end by itself
"""
)


def test_when_a_rank_dies_the_others_end_with_an_error(start_ddp, daemon, tmp_path):
    survivor, mortal = start_ddp(DIES, 2)
    assert mortal.hear() == "dies"
    # The other has handed over all it has.
    daemons.until(lambda: daemon.job("mortal")["ranks_ended"], "the other waits")

    mortal.go_on()

    (said,) = survivor.finish(expect=3)
    mortal.finish(expect=-signal.SIGKILL)
    assert said.startswith("StateError: ") and "rank 1" in said
    assert daemon.job("mortal")["state"] == "interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "t.tmp_rank0.csv",
        "t.tmp_rank1.csv",
    ]


FIT = (
    PRELUDE
    + """
    import subprocess

    def ctl(*arguments):
        return subprocess.check_output([os.environ["CTL"], *arguments])

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
        def training_step(self, batch, batch_idx):
            if rank == 1 and self.global_step == 4:
                (job,) = json.loads(ctl("--json", "jobs"))["jobs"]
                ctl("freeze", job["name"], "b.*")
            return self.b(self.a(batch)).sum()
        def on_after_backward(self):
            seen.append([n for n, p in self.named_parameters() if not p.requires_grad])
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    seen = []
    freezer = Freezer(name_starts_with="a.", until_step=2)
    trainer = make_trainer(
        "ddp_find_unused_parameters_true", max_epochs=1, callbacks=[freezer]
    )
    trainer.fit(Net(), torch.utils.data.DataLoader(torch.ones(20, 2), batch_size=1))
    say(json.dumps(seen))
"""
)


def test_ranks_that_fit_freeze_and_unfreeze_at_the_same_step(
    start_ddp, daemon, monkeypatch
):
    monkeypatch.setenv("CTL", daemons.LIGHTERCTL)

    seen = [json.loads(rank.finish()[0]) for rank in start_ddp(FIT, 2)]

    a, b = ["a.weight", "a.bias"], ["b.weight", "b.bias"]
    assert seen[0] == seen[1]
    # Somebody asks in step 4: the first rank that looks is at step 4 or 5.
    n_before = seen[0].index(b)
    assert n_before in (6, 7)
    assert seen[0] == [a] * 2 + [[]] * (n_before - 2) + [b] * (10 - n_before)


# ---- plain loops ----


LOOP = """
    mine = range(3)[rank::world_size]
    with lighterd.run(lighterd.csv("t.csv", ["id"]), lighterd.file("d", "id", "text")) as out:
        for i in mine:
            out.write({"id": [f"s{i}"]})
"""


def test_ranks_without_samples_take_part(daemon, start_ranks, tmp_path):
    for rank in start_ranks(LOOP, 5, socket=daemon.socket, cwd=tmp_path):
        rank.finish()

    assert judges.files(tmp_path) == {
        "t.csv": b"id\r\ns0\r\ns1\r\ns2\r\n",
        **{f"d/{i}.txt": f"s{i}".encode() for i in range(3)},
    }


TWO_JOBS = """
    name = os.environ["NAME"]
    for epoch in range(5):
        with lighterd.run(lighterd.csv(f"{name}.csv", ["id"]), job=name) as out:
            for i in range(40):
                out.write({"id": [f"{name}-{epoch}-{rank}-{i}"]})
"""


def test_two_runs_of_two_ranks_at_once_keep_apart(daemon, start_ranks, tmp_path):
    started = []
    for name in ("one", "two"):
        started += start_ranks(
            TWO_JOBS, 2, socket=daemon.socket, cwd=tmp_path, env={"NAME": name}
        )
    for rank in started:
        rank.finish()

    for name in ("one", "two"):
        batches = [{"id": [f"{name}-4-{r}-{i}" for r in (0, 1) for i in range(40)]}]
        assert (tmp_path / f"{name}.csv").read_bytes() == judges.table(["id"], batches)
    assert sorted(os.listdir(tmp_path)) == ["one.csv", "two.csv"]
    assert daemon.ask("status")["jobs_published"] == 10
