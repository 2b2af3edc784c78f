"""How far writing lags behind: for who asks, in Lightning's bar, at an epoch's end.

A daemon that is stopped (SIGSTOP) writes nothing, and all of it when it goes on.
"""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading

import daemons
import pytest
import trainers

import lighterd
from lighterd import connection

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")  # of Lightning's own


@pytest.fixture
def stopped(daemon):
    """Whoever writes is to find it stopped; it goes on at the end in any case."""
    yield daemon
    os.kill(daemon.pid, signal.SIGCONT)


def goes_on_after(daemon, seconds):
    timer = threading.Timer(seconds, os.kill, (daemon.pid, signal.SIGCONT))
    timer.start()
    return timer


def test_a_job_knows_what_is_written_and_what_waits(stopped, tmp_path):
    table = lighterd.csv(tmp_path / "p.csv", ["x"])
    with lighterd.run(table, socket=stopped.socket) as out:
        assert out.progress() == (0, 0, 0, 0.0)
        os.kill(stopped.pid, signal.SIGSTOP)
        for i in range(3):
            out.write({"x": [i] * 1000})

        behind = out.progress()
        os.kill(stopped.pid, signal.SIGCONT)
        out.flush()
        done = out.progress()

    assert (behind.handed_over, behind.written, behind.waiting) == (3, 0, 3)
    assert behind.waiting_bytes > 3000
    assert str(behind).startswith("3 to write, ")
    assert (done.handed_over, done.written, done.waiting_bytes) == (3, 3, 0)
    assert str(done) == "all written"


def test_batches_that_were_refused_do_not_wait(daemon, tmp_path):
    files = lighterd.file(tmp_path / "f", "v", "tensor")
    with pytest.raises(TypeError):
        with lighterd.run(files, socket=daemon.socket) as out:
            out.write({"v": ["no tensor"]})
            daemons.until(
                lambda: (out._connection.poll(), out.progress())[1].written, "it is"
            )
            assert out.progress()[:3] == (1, 1, 0)


def test_what_was_written_before_is_counted(daemon, tmp_path):
    table = lighterd.csv(tmp_path / "p.csv", ["x"])
    with pytest.raises(RuntimeError):
        with lighterd.run(table, socket=daemon.socket) as out:
            out.write({"x": [1]})
            out.flush()
            raise RuntimeError

    with lighterd.run(table, socket=daemon.socket, resume=True) as out:
        out.write({"x": [1]})
        assert out.progress()[:3] == (1, 1, 0)
        out.write({"x": [2]})


# ---- the end of an epoch ----

LOOP = """
import os, signal, sys, threading
import lighterd

socket, pid, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
table = lighterd.csv("p.csv", ["x"])
with lighterd.run(table, socket=socket, job="loop", rank=0, world_size=1) as out:
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(seconds, os.kill, (pid, signal.SIGCONT)).start()
    for i in range(20):
        out.write({"x": [i]})
"""


def on_a_terminal(daemon, directory, seconds, code=LOOP, **environment):
    """What a loop shows that has to wait so long at its end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", code, daemon.socket, str(daemon.pid), str(seconds)],
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH),
            **environment,
        },
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0, shown
    assert (directory / "p.csv").read_bytes().count(b"\n") == 21
    return shown.decode()


def test_a_bar_is_shown_while_the_rest_is_written(stopped, tmp_path):
    pytest.importorskip("tqdm")

    shown = on_a_terminal(stopped, tmp_path, 2.5)

    assert "loop: writing:   0%" in shown and "0/20" in shown


def test_nothing_is_shown_where_it_is_quick(stopped, tmp_path):
    assert on_a_terminal(stopped, tmp_path, 0.1) == ""


def test_without_tqdm_a_line_is_shown(stopped, tmp_path):
    without = "import sys; sys.modules['tqdm'] = None\n"

    shown = on_a_terminal(stopped, tmp_path, 2.5, without + LOOP)

    assert shown.splitlines() == ["lighterd: loop: waiting for 20 to write, 0 MB"]


def test_ranks_but_the_first_show_nothing(stopped, tmp_path):
    other = LOOP.replace("rank=0, world_size=1", "rank=1, world_size=2").replace(
        "with lighterd",
        "from lighterd.launch import connect\n"
        "first = lighterd.Job(connect(socket), [table], name='loop', world_size=2)\n"
        "first.end(wait=False)\n"
        "with lighterd",
    )
    assert on_a_terminal(stopped, tmp_path, 2.5, other) == ""


def test_where_there_is_no_terminal_a_log_has_the_line(stopped, tmp_path, caplog):
    caplog.set_level("INFO", "lighterd")
    table = lighterd.csv(tmp_path / "p.csv", ["x"])
    with lighterd.run(table, socket=stopped.socket, job="loop") as out:
        os.kill(stopped.pid, signal.SIGSTOP)
        timer = goes_on_after(stopped, 1.8)
        out.write({"x": [1]})
    timer.join()

    said = [r.getMessage() for r in caplog.records if r.levelname == "INFO"]
    assert said == ["lighterd: loop: waiting for 1 to write, 0 MB"]


# ---- Lightning's bar ----


@pytest.mark.parametrize("package", trainers.PACKAGES)
def test_lightnings_bar_says_how_far_writing_lags_behind(
    stopped, tmp_path, torch, package
):
    package = trainers.require(package)
    from lighterd.callbacks import CsvWriter

    class Model(package.LightningModule):
        def predict_step(self, batch, batch_idx):
            if batch_idx == 0:
                os.kill(stopped.pid, signal.SIGSTOP)
            return {"x": batch}

    class Watch(package.Callback):
        def on_predict_batch_end(self, trainer, *_):
            words.append(trainer.progress_bar_callback.predict_progress_bar.postfix)

        def on_predict_epoch_end(self, *_):
            os.kill(stopped.pid, signal.SIGCONT)

    words = []
    trainer = package.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=str(tmp_path),
        callbacks=[
            CsvWriter(tmp_path / "p.csv", ["x"], socket=stopped.socket),
            Watch(),
            package.callbacks.TQDMProgressBar(),
        ],
    )
    loader = torch.utils.data.DataLoader(torch.arange(3.0), batch_size=1)
    # the callbacks' ends come in their order: the daemon must go on before they wait
    trainer.callbacks.insert(0, trainer.callbacks.pop(1))

    trainer.predict(Model(), loader)

    assert words[-1] == "lighterd: 1 to write, 0 MB"


def test_a_trainer_without_a_bar_is_fine(daemon, tmp_path, torch):
    package = trainers.require("lightning.pytorch")
    from lighterd.callbacks import CsvWriter

    class Model(package.LightningModule):
        def predict_step(self, batch, batch_idx):
            return {"x": batch}

    writer = CsvWriter(tmp_path / "p.csv", ["x"], socket=daemon.socket)
    loader = torch.utils.data.DataLoader(torch.arange(2.0), batch_size=1)
    trainers.quiet(package, tmp_path, [writer]).predict(Model(), loader)

    assert (tmp_path / "p.csv").read_text().splitlines() == ["x", "0.0", "1.0"]


# ---- a model that waits ----


def test_output_that_slows_the_model_is_warned_of_once_with_the_numbers(
    start_daemon, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(connection, "SLOW_SECONDS", 0.5)
    daemon = start_daemon("--max-client-bytes", "4096")
    with lighterd.run(
        lighterd.csv(tmp_path / "t.csv", ["x"]), socket=daemon.socket
    ) as out:
        for _ in range(2):
            os.kill(daemon.pid, signal.SIGSTOP)
            timer = goes_on_after(daemon, 0.8)
            for i in range(100):  # 100 numbers are more than 1 of 4 KiB
                out.write({"x": [i + 0.5] * 100})
            timer.join()
        assert out.blocked_seconds > 1

    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert re.fullmatch(
        r"lighterd writes more slowly than this process predicts: \d\.\d of \d\.\d seconds "
        r"went by waiting for it, with 0 MB on their way",
        warnings[0],
    )
