"""The examples do what they say."""

import csv
import os
import re
import subprocess
import sys

import daemons
import judges
import pytest
import trainers

EXAMPLES = daemons.ROOT / "examples"


def run_example(daemon, directory, script, *arguments, **environment):
    """What it prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH),
            "LIGHTERD_SOCKET": daemon.socket,
            **environment,
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_results(torch, results):
    """The table, the logits and the pictures are there, and agree."""
    image_module = pytest.importorskip("PIL.Image")
    with open(results / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [f"{row['pred']}/{row['id']}" for row in rows]
    assert len(rows) == 360
    assert sorted(judges.files(results)) == sorted(
        ["predictions.csv"]
        + [f"logits/{row['id']}.pt" for row in rows]
        + [f"digits/{name}.png" for name in names]
    )
    for row in rows:
        logits = torch.load(results / f"logits/{row['id']}.pt", weights_only=True)
        assert logits.argmax().item() == int(row["pred"])
    with image_module.open(results / f"digits/{names[0]}.png") as png:
        assert (png.mode, png.size) == ("L", (128, 128))


def test_the_lightning_project_trains_freezes_and_predicts(daemon, tmp_path, torch):
    trainers.require("lightning.pytorch")

    said = run_example(daemon, tmp_path, "lightning/main.py")

    first, second = (["features.%d.%s" % (n, s) for s in ("weight", "bias")] for n in (0, 2))
    layers = [line for line in said.splitlines() if "roze layers: " in line]
    assert layers == [
        f"Froze layers: {first + second} until epoch 1",
        f"Unfroze layers: {second}",
        f"Unfroze layers: {first}",
    ]
    assert int(re.search(r"(\d+) of 360 digits are right", said)[1]) > 300
    check_results(torch, tmp_path / "results")


@pytest.mark.skipif(not (EXAMPLES / "digits").is_dir(), reason="examples/digits is missing")
def test_the_plain_loop_trains_and_predicts(daemon, tmp_path, torch):
    pytest.importorskip("sklearn")

    run_example(daemon, tmp_path, "digits/train.py", "model.pt")
    run_example(daemon, tmp_path, "digits/predict.py", "model.pt", "results")
    said = run_example(daemon, tmp_path, "digits/accuracy.py", "results")

    assert "of 360 digits" in said
    check_results(torch, tmp_path / "results")
