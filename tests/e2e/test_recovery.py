"""The daemon dies, or a plugin takes it away, and the Python clients go on by themselves.

test_resume.py tells the same of the protocol; tests/fault/ kills at any moment.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import daemons
import judges
import pytest
import trainers

import lighterd
from lighterd.job import Job
from lighterd.launch import connect

np = pytest.importorskip("numpy")


@pytest.fixture(autouse=True)
def patience_with_the_daemon(monkeypatch, tmp_path):
    """The test starts the daemons; a client that looks for one finds none to start."""
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "20")
    starter = tmp_path.parent / f"{tmp_path.name}-starter"
    starter.write_text("#!/bin/sh\nexit 3\n")
    starter.chmod(0o755)
    monkeypatch.setenv("LIGHTERD", str(starter))


class Background:
    """A call in a thread of its own, for what blocks until the test has gone on."""

    def __init__(self, function, *args, **more):
        self._result = None
        self._thread = threading.Thread(
            target=self._run, args=(function, args, more), daemon=True
        )
        self._thread.start()

    def _run(self, function, args, more):
        try:
            self._result = function(*args, **more), None
        except BaseException as error:
            self._result = None, error

    def is_running(self):
        return self._thread.is_alive()

    def result(self):
        self._thread.join(daemons.DEADLINE_S)
        assert not self._thread.is_alive()
        result, error = self._result
        if error is not None:
            raise error
        return result


def freeze_and_kill(daemon, meanwhile):
    """What `meanwhile` sends is on its way when the daemon dies."""
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        return meanwhile()
    finally:
        daemon.kill()


def by_sigterm(daemon):
    daemon.process.terminate()
    assert daemon.wait() == 0


def by_shutdown(daemon):
    subprocess.run([daemons.LIGHTERCTL, "--socket", daemon.socket, "shutdown"], check=True)
    assert daemon.wait() == 0


def by_kill(daemon):
    daemon.kill()


# ---- a loop of one's own ----


@pytest.mark.parametrize("death", [by_sigterm, by_shutdown, by_kill])
@pytest.mark.usefixtures("either_client")
def test_a_loop_goes_on_with_the_next_daemon(
    start_daemon, successor, tmp_path, caplog, death
):
    daemon = start_daemon()
    batches = [{"id": [f"{i}-{k}" for k in range(3)]} for i in range(9)]

    with lighterd.run(
        lighterd.csv(tmp_path / "t.csv", ["id"]),
        lighterd.file(tmp_path / "d", "id", "text", "id"),
        socket=daemon.socket,
    ) as out:
        for i, batch in enumerate(batches):
            if i in (3, 6):
                death(daemon)
                daemon = successor(daemon)
            out.write(batch)

    ids = [id for batch in batches for id in batch["id"]]
    assert judges.files(tmp_path) == {
        "t.csv": judges.table(["id"], batches),
        **{f"d/{id}.txt": id.encode() for id in ids},
    }
    assert caplog.text.count("lighterd is back") == 2


@pytest.mark.usefixtures("either_client")
def test_batches_on_their_way_are_written_once(start_daemon, successor, tmp_path):
    daemon = start_daemon()
    batches = [{"x": [i]} for i in range(60)]
    connection = connect(daemon.socket)
    job = Job(connection, [lighterd.csv(tmp_path / "t.csv", ["x"])])
    job.write(batches[0])

    freeze_and_kill(daemon, lambda: [job.write(batch) for batch in batches[1:15]])
    successor(daemon)
    for batch in batches[15:]:
        job.write(batch)
    assert job.end() == [str(tmp_path / "t.csv")]
    connection.close()

    assert (tmp_path / "t.csv").read_bytes() == judges.table(["x"], batches)


@pytest.mark.usefixtures("either_client")
def test_what_is_in_client_memory_at_the_death_is_sent_again(
    start_daemon, successor, tmp_path, torch
):
    daemon = start_daemon()
    tensors = [torch.full((2, 100_000), float(i)) for i in range(12)]
    connection = connect(daemon.socket)
    job = Job(connection, [lighterd.file(tmp_path / "d", "t", "tensor", "n")])

    def write(i):
        job.write({"t": tensors[i], "n": [f"{i}-0", f"{i}-1"]})

    write(0)
    freeze_and_kill(daemon, lambda: [write(i) for i in range(1, 5)])
    daemon = successor(daemon)
    for i in range(5, 8):
        write(i)
    freeze_and_kill(daemon, lambda: [write(i) for i in range(8, 11)])
    successor(daemon)
    write(11)
    assert connection._memory is not None, "the tensors have gone through the socket"
    job.end()
    connection.close()

    assert len(judges.files(tmp_path / "d")) == 24
    for i, tensor in enumerate(tensors):
        for k in range(2):
            loaded = torch.load(tmp_path / "d" / f"{i}-{k}.pt", weights_only=True)
            assert judges.same_bits(torch, loaded, tensor[k])


@pytest.mark.usefixtures("either_client")
def test_who_waits_for_the_next_daemon_is_blocked_meanwhile(
    start_daemon, successor, tmp_path
):
    daemon = start_daemon()
    with lighterd.run(
        lighterd.csv(tmp_path / "t.csv", ["x"]), socket=daemon.socket
    ) as out:
        out.write({"x": [1]})
        out.flush()
        blocked = out.blocked_seconds
        daemon.kill()
        writing = Background(out.flush)
        time.sleep(0.5)
        assert writing.is_running()
        successor(daemon)
        writing.result()
        assert out.blocked_seconds - blocked >= 0.5


@pytest.mark.usefixtures("either_client")
def test_who_has_waited_long_enough_is_told_so(start_daemon, tmp_path, monkeypatch):
    daemon = start_daemon()
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "0.3")
    monkeypatch.setattr("lighterd.launch.START_TIMEOUT_S", 0.1)
    connection = connect(daemon.socket)
    job = Job(connection, [lighterd.csv(tmp_path / "t.csv", ["x"])])
    job.write({"x": [1]})
    connection.flush()
    daemon.kill()

    since = time.monotonic()
    with pytest.raises(lighterd.ConnectionError, match="was not back within 0.3 s"):
        job.flush()
    assert time.monotonic() - since < 5
    with pytest.raises(lighterd.ConnectionError):
        job.write({"x": [2]})
    assert (tmp_path / "t.tmp_rank0.csv").read_bytes() == b"x\r\n1\r\n"


def test_who_does_not_want_to_wait_does_not(start_daemon, tmp_path, monkeypatch):
    daemon = start_daemon()
    monkeypatch.setenv("LIGHTERD_RECONNECT_SECONDS", "0")
    connection = connect(daemon.socket)
    job = Job(connection, [lighterd.csv(tmp_path / "t.csv", ["x"])])
    daemon.kill()

    with pytest.raises(lighterd.ConnectionError, match="closed the connection|broke"):
        job.write({"x": [1]})
        job.end()


@pytest.mark.usefixtures("either_client")
@pytest.mark.parametrize("heard", [True, False])
def test_a_batch_that_was_refused_is_told_once(
    start_daemon, successor, tmp_path, heard
):
    daemon = start_daemon()
    connection = connect(daemon.socket)
    job = Job(connection, [lighterd.file(tmp_path / "d", "x", "text", "n")])
    job.write({"x": ["a"], "n": ["a"]})
    job.write({"x": ["b"], "n": ["a"]})  # this name came before
    daemons.until(lambda: daemon.job(job.name)["batches"] == 1, "one is written")
    if heard:
        connection.flush()
    daemon.kill()
    successor(daemon)

    n_errors = 0
    for i in range(4):
        try:
            job.write({"x": [str(i)], "n": [str(i)]})
            connection.flush()
        except ValueError as error:
            assert "batch 1" in str(error) and "came before" in str(error)
            n_errors += 1
    job.end()
    connection.close()

    assert n_errors == 1
    assert len(judges.files(tmp_path / "d")) == 5  # also that of the `write` that raised


def test_an_end_that_was_not_answered_gets_its_paths(
    start_daemon, successor, tmp_path
):
    daemon = start_daemon()
    connections = [connect(daemon.socket) for _ in range(2)]
    path = tmp_path / "t.csv"
    jobs = [
        Job(each, [lighterd.csv(path, ["x"])], rank=rank, world_size=2)
        for rank, each in enumerate(connections)
    ]
    for rank, job in enumerate(jobs):
        job.write({"x": [rank]})
    name = jobs[0].name
    ending = Background(jobs[0].end)
    daemons.until(lambda: daemon.job(name)["ranks_ended"] == 1, "the first has ended")

    daemon.kill()
    daemon = successor(daemon)
    daemon.until_state(name, "open")
    assert ending.is_running()

    assert jobs[1].end() == ending.result() == [str(path)]
    assert path.read_bytes() == b"x\r\n0\r\n1\r\n"
    for connection in connections:
        connection.close()


def test_an_end_that_all_ranks_have_said_is_answered_by_the_next_daemon(
    start_daemon, successor, tmp_path
):
    daemon = start_daemon()
    connection = connect(daemon.socket)
    job = Job(connection, [lighterd.csv(tmp_path / "t.csv", ["x"])])
    job.write({"x": [1]})
    connection.flush()

    def end():
        ending = Background(job.end)
        time.sleep(0.1)  # it is on its way
        return ending

    ending = freeze_and_kill(daemon, end)
    successor(daemon)

    assert ending.result() == [str(tmp_path / "t.csv")]
    connection.close()


def test_nothing_is_published_under_a_rank_that_has_come_again(
    start_daemon, successor, tmp_path
):
    """Its end would find no job."""
    daemon = start_daemon()
    more = {"world_size": 2, "resume": True}
    with daemon.raw() as client:
        client.open_csv(tmp_path / "p.csv", **more)
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        client.call("end", job=1, wait=False)
    daemon.kill()
    daemon = successor(daemon)

    with daemon.raw() as first, daemon.raw() as second:
        second.open_csv(tmp_path / "p.csv", rank=1, **more)
        assert first.open_csv(tmp_path / "p.csv", **more)["ended"]
        second_end = second.post("end", job=1)
        daemons.until(lambda: daemon.job("p")["ranks_ended"] == 2, "both have ended")
        assert daemon.job("p")["state"] == "open"
        assert first.call("end", job=1) == second.answer(second_end)
    assert (tmp_path / "p.csv").read_bytes() == b"x\r\n1\r\n"


def test_several_jobs_of_several_clients_go_on(start_daemon, successor, tmp_path):
    daemon = start_daemon()
    n_clients, n_batches = 4, 40
    is_midway = [threading.Event() for _ in range(n_clients)]

    def run(number):
        connection = connect(daemon.socket)
        jobs = [
            Job(
                connection,
                [
                    lighterd.csv(tmp_path / f"{number}{name}.csv", ["id"]),
                    lighterd.file(tmp_path / f"{number}{name}", "id", "text", "id"),
                ],
            )
            for name in "ab"
        ]
        for i in range(n_batches):
            for job in jobs:
                job.write({"id": [f"{number}-{i}"]})
            if i == n_batches // 2:
                is_midway[number].set()
            time.sleep(0.002)
        for job in jobs:
            job.end()
        connection.close()

    running = [Background(run, number) for number in range(n_clients)]
    for event in is_midway:
        assert event.wait(daemons.DEADLINE_S)
    daemon.kill()
    successor(daemon)
    for each in running:
        each.result()

    for number in range(n_clients):
        ids = [f"{number}-{i}" for i in range(n_batches)]
        for name in "ab":
            table = tmp_path / f"{number}{name}.csv"
            assert table.read_bytes() == judges.table(["id"], [{"id": ids}])
            found = judges.files(tmp_path / f"{number}{name}")
            assert found == {f"{id}.txt": id.encode() for id in ids}


# ---- runs that are started again ----


def interrupt(daemon, tmp_path, n, **more):
    """A run that fails after n batches of one sample."""
    with pytest.raises(RuntimeError, match="enough"):
        with lighterd.run(
            lighterd.csv(tmp_path / "t.csv", ["x"]), socket=daemon.socket, **more
        ) as out:
            for i in range(n):
                out.write({"x": [i]})
            raise RuntimeError("enough")


def test_what_a_dead_daemon_has_written_becomes_durable(
    start_daemon, successor, tmp_path
):
    """Also where its process has no more batches for a while."""
    daemon = start_daemon("--sync-interval", "0")
    with lighterd.run(
        lighterd.csv(tmp_path / "t.csv", ["x"]), socket=daemon.socket, job="j"
    ) as out:
        out.write({"x": [1]})
        out._connection.flush()
        daemon.kill()
        daemon = successor(daemon, "--sync-interval", "1")
        out._connection.take_changed(0)  # looks, and so comes back
        daemons.until(
            lambda: daemon.ask("show", job="j")["ranks"][0]["durable"] == 1,
            "the batch is on the disk",
        )


@pytest.mark.usefixtures("either_client")
@pytest.mark.parametrize("daemon_dies", [False, True])
def test_an_interrupted_run_goes_on(start_daemon, successor, tmp_path, daemon_dies):
    daemon = start_daemon()
    interrupt(daemon, tmp_path, 5)
    if daemon_dies:
        daemon.kill()
        daemon = successor(daemon)
    made = []

    with lighterd.run(
        lighterd.csv(tmp_path / "t.csv", ["x"]), socket=daemon.socket, resume=True
    ) as out:
        assert (out.committed_batches, out.committed_samples) == (5, 5)
        for i in range(8):
            if not out.skip():
                made.append(i)
                out.write({"x": [i]})

    assert made == [5, 6, 7]
    expected = judges.table(["x"], [{"x": list(range(8))}])
    assert (tmp_path / "t.csv").read_bytes() == expected


def test_a_run_with_another_configuration_does_not_go_on(daemon, tmp_path):
    interrupt(daemon, tmp_path, 5, job="j")

    for writers, world_size in (
        ([lighterd.csv(tmp_path / "t.csv", ["x", "y"])], 1),
        ([lighterd.csv(tmp_path / "other.csv", ["x"])], 1),
        ([lighterd.csv(tmp_path / "t.csv", ["x"])], 2),
    ):
        with pytest.raises(ValueError, match="job 'j' has"):
            with lighterd.run(
                *writers,
                socket=daemon.socket,
                job="j",
                rank=0,
                world_size=world_size,
                resume=True,
            ):
                pass

    assert daemon.job("j")["batches"] == 5
    assert daemon.ask("finalize", job="j", partial=True) == {}
    expected = judges.table(["x"], [{"x": list(range(5))}])
    assert (tmp_path / "t.csv").read_bytes() == expected


def test_an_interrupted_run_can_be_discarded(daemon, tmp_path):
    interrupt(daemon, tmp_path, 5, job="j")
    daemon.until_state("j", "aborted")

    assert daemon.ask("discard", job="j") == {}
    assert os.listdir(tmp_path) == []
    with lighterd.run(
        lighterd.csv(tmp_path / "t.csv", ["x"]),
        socket=daemon.socket,
        job="j",
        resume=True,
    ) as out:
        assert out.committed_batches == 0
        out.write({"x": ["new"]})
    assert (tmp_path / "t.csv").read_bytes() == b"x\r\nnew\r\n"


# ---- the callbacks ----


class Deaths:
    """Kills the daemon, and starts the next, when `now` is called."""

    def __init__(self, daemon, successor):
        self.daemon, self._successor = daemon, successor

    def now(self):
        self.daemon.kill()
        self.daemon = self._successor(self.daemon)


@pytest.mark.parametrize("package", trainers.PACKAGES)
def test_a_trainer_predicts_over_the_daemons_death(
    start_daemon, successor, tmp_path, package
):
    package = trainers.require(package)
    import torch

    from lighterd.callbacks import CsvWriter, FileWriter

    deaths = Deaths(start_daemon(), successor)
    made = []

    class Model(package.LightningModule):
        def predict_step(self, batch, batch_idx):
            if batch_idx in (2, 5):
                deaths.now()
            ids = [f"s{int(x)}" for x in batch]
            made.append({"id": ids, "x": batch * 0.5})
            return made[-1]

    where = {"socket": deaths.daemon.socket}
    callbacks = [
        CsvWriter(tmp_path / "t.csv", ["id", "x"], **where),
        FileWriter(tmp_path / "d", "x", "tensor", "id", **where),
    ]
    trainer = trainers.quiet(package, tmp_path, callbacks)
    loader = torch.utils.data.DataLoader(torch.arange(16.0), batch_size=2)
    trainer.predict(Model(), loader)

    assert (tmp_path / "t.csv").read_bytes() == judges.table(["id", "x"], made)
    found = judges.files(tmp_path / "d")
    assert sorted(found) == sorted(f"s{i}.pt" for i in range(16))


@pytest.mark.parametrize("package", trainers.PACKAGES)
def test_a_trainer_that_was_interrupted_goes_on(daemon, tmp_path, package):
    package = trainers.require(package)
    import torch

    from lighterd.callbacks import CsvWriter

    class Model(package.LightningModule):
        fails_at = None

        def predict_step(self, batch, batch_idx):
            if batch_idx == self.fails_at:
                raise RuntimeError("predict_step failed")
            made.append({"id": [f"s{int(x)}" for x in batch], "x": batch * 0.5})
            return made[-1]

    def predict(model):
        callback = CsvWriter(
            tmp_path / "t.csv", ["id", "x"], socket=daemon.socket, resume=True
        )
        trainer = trainers.quiet(package, tmp_path, [callback])
        loader = torch.utils.data.DataLoader(torch.arange(16.0), batch_size=2)
        trainer.predict(model, loader)

    made = []
    model = Model()
    model.fails_at = 5
    with pytest.raises(RuntimeError, match="predict_step failed"):
        predict(model)
    (job,) = daemon.ask("jobs")["jobs"]
    assert (job["state"], job["batches"]) == ("aborted", 5)
    made.clear()
    predict(Model())

    assert (tmp_path / "t.csv").read_bytes() == judges.table(["id", "x"], made)
    (job,) = daemon.ask("jobs")["jobs"]
    assert (job["state"], job["batches"]) == ("published", 8)


DDP = """
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", MASTER_ADDR="127.0.0.1", OMP_NUM_THREADS="1"
    )
    import torch
    import lightning.pytorch as pl
    from lighterd.callbacks import CsvWriter, FileWriter

    class Model(pl.LightningModule):
        def predict_step(self, batch, batch_idx):
            if batch_idx == 2:
                say("midway")
                wait()
            return {"id": [f"s{int(x)}" for x in batch], "rank": rank}

    trainer = pl.Trainer(
        accelerator="cpu", devices=world_size, strategy="ddp", logger=False,
        enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            CsvWriter("t.csv", ["id", "rank"]), FileWriter("d", "id", "text", "id")
        ],
    )
    trainer.predict(
        Model(), torch.utils.data.DataLoader(torch.arange(20.0), batch_size=2)
    )
"""


def test_ddp_goes_on_over_the_daemons_death(
    start_daemon, successor, start_ranks, tmp_path
):
    trainers.require("lightning.pytorch")
    daemon = start_daemon()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment = {"MASTER_PORT": str(free.getsockname()[1])}
    started = start_ranks(
        DDP, 2, socket=daemon.socket, env=environment, cwd=tmp_path
    )
    for rank in started:
        assert rank.hear() == "midway"
    daemon.kill()
    successor(daemon)
    for rank in started:
        rank.go_on()
    for rank in started:
        rank.finish()

    rows = [{"id": f"s{i}", "rank": r} for r in (0, 1) for i in range(r, 20, 2)]
    expected = "id,rank\r\n" + "".join(f"{row['id']},{row['rank']}\r\n" for row in rows)
    assert (tmp_path / "t.csv").read_bytes() == expected.encode()
    assert judges.files(tmp_path / "d") == {
        f"s{i}.txt": f"s{i}".encode() for i in range(20)
    }


@pytest.mark.usefixtures("either_client")
def test_a_training_freezes_on_over_the_daemons_death(
    start_daemon, successor, monkeypatch, torch
):
    from lighterd.callbacks import Freezer

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)

    deaths = Deaths(start_daemon(), successor)
    model = Net()
    freezer = Freezer(
        name_starts_with="a.", until_step=4, job="fit", socket=deaths.daemon.socket
    )
    trainer = trainers.by_hand(
        callbacks=[freezer], global_step=0, current_epoch=0, strategy=None
    )

    def frozen_at(step):
        trainer.global_step = step
        freezer.on_train_batch_start(trainer, model, None, step)
        return [n for n, p in model.named_parameters() if not p.requires_grad]

    assert frozen_at(0) == frozen_at(1) == ["a.weight", "a.bias"]
    deaths.now()
    assert frozen_at(2) == ["a.weight", "a.bias"]
    deaths.now()
    assert frozen_at(4) == []  # the new daemon says that the time has come
    subprocess.run(
        [daemons.LIGHTERCTL, "--socket", deaths.daemon.socket, "freeze", "fit", "b.*"],
        check=True,
    )
    assert frozen_at(5) == ["b.weight", "b.bias"]
    deaths.now()
    assert frozen_at(6) == ["b.weight", "b.bias"]  # as people have asked
    freezer.on_train_end(trainer, model)


# ---- plugins that take the daemon with them ----

FRAGILE = """
#include <lighter/plugin.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int encode(const void *options, const struct lighter_value *sample,
                  struct lighter_sink *sink, const struct lighter_services *services,
                  struct lighter_error *err)
{
    const char *text = sample->as.string.data;
    size_t size = sample->as.string.size;

    (void)options;
    if (size == 5 && memcmp(text, "abort", size) == 0)
        abort();
    if (size == 4 && memcmp(text, "segv", size) == 0)
        *(volatile char *)8 = 1;
    if (size == 4 && memcmp(text, "hang", size) == 0)
        for (;;)
            pause();
    return lighter_put(services, sink, text, size, err);
}
static const struct lighter_option options[] = {
    {.name = "suffix", .type = LIGHTER_OPTION_SUFFIX, .fallback = ".txt"},
    {.name = NULL}};
static const struct lighter_encoder fragile = {
    .size = sizeof fragile, .name = "fragile", .options = options,
    .options_size = sizeof(char *), .encode = encode};
static const struct lighter_encoder *const encoders[] = {&fragile, NULL};
const struct lighter_plugin lighter_plugin = {
    .abi = LIGHTER_PLUGIN_ABI, .size = sizeof lighter_plugin, .name = "fragile",
    .encoders = encoders};
"""


@pytest.fixture(scope="module")
def fragile_plugins(tmp_path_factory):
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    directory = tmp_path_factory.mktemp("plugins")
    for path in Path(daemons.PLUGIN_DIR).glob("*.so"):
        shutil.copy(path, directory)
    command = [compiler, "-shared", "-fPIC", f"-I{daemons.ROOT}/include", "-x", "c", "-"]
    subprocess.run(
        [*command, "-o", directory / "fragile.so"], input=FRAGILE, text=True, check=True
    )
    return str(directory)


class Keeper:
    """Starts the next daemon whenever one has died, as systemd does."""

    def __init__(self, directory, *options, plugin_dir):
        self.socket, self.n_deaths = f"{directory}/s", 0
        self._command = [daemons.LIGHTERD, "--foreground", "--socket", self.socket]
        self._command += ["--plugin-dir", plugin_dir, *options]
        self._logs = []
        self._start()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _start(self):
        self._logs.append(f"{self.socket}.{len(self._logs)}.stderr")
        with open(self._logs[-1], "wb") as log:
            self._process = subprocess.Popen(self._command, stderr=log)

    def _keep(self):
        while not self._ends.wait(0.01):
            if self._process.poll() is not None:
                self.n_deaths += 1
                self._start()

    def logs(self):
        return [Path(path).read_text(errors="replace") for path in self._logs]

    def __enter__(self):
        daemons.until(lambda: os.path.exists(self.socket), "it listens")
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()
        self._process.terminate()
        assert self._process.wait(daemons.DEADLINE_S) == 0
        daemons.assert_clean_log(self.logs()[-1])


@pytest.mark.parametrize("how", ["abort", "segv", "hang"])
@pytest.mark.parametrize("n_samples", [1, 8])
def test_a_batch_that_the_daemon_dies_of_is_tried_twice_and_refused(
    socket_dir, fragile_plugins, tmp_path, how, n_samples
):
    options = ["--task-timeout", "1"] if how == "hang" else []
    batches = [[f"{i}-{k}" for k in range(n_samples)] for i in range(12)]
    values = [list(batch) for batch in batches]
    values[6][-1] = how
    errors = []

    with Keeper(socket_dir, *options, plugin_dir=fragile_plugins) as keeper:
        connection = connect(keeper.socket)
        job = Job(
            connection,
            [
                lighterd.file(tmp_path / "d", "v", "fragile", "n"),
                lighterd.csv(tmp_path / "t.csv", ["v"]),
            ],
        )

        def insist(function, *args):
            while True:
                try:
                    return function(*args)
                except lighterd.StateError as error:
                    errors.append(str(error))

        for names, of_batch in zip(batches, values):
            insist(job.write, {"n": names, "v": of_batch})
        insist(job.end)
        connection.close()
        logs = keeper.logs()

    (error,) = errors
    assert "batch 6" in error and "died 2 times of this batch" in error
    assert keeper.n_deaths == 2
    if how == "hang":
        assert ["a plugin hangs" in log for log in logs] == [True, True, False]
    written = [id for i, batch in enumerate(batches) if i != 6 for id in batch]
    assert judges.files(tmp_path / "d") == {f"{id}.txt": id.encode() for id in written}
    rows = [{"v": batch} for i, batch in enumerate(values) if i != 6]
    assert (tmp_path / "t.csv").read_bytes() == judges.table(["v"], rows)
