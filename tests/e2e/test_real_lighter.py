"""The release 0.1.0 of lighter is the judge: a project of its own, run by its command
with its callbacks and with lighterd's, of which nothing but `_target_` is changed.

$LIGHTERD_LIGHTER_PYTHON is the Python of the environment that has it; see tools/test.
What differs on purpose is listed in doc/differences.md.
"""

import io
import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import daemons
import judges
import pytest

PYTHON = os.environ.get("LIGHTERD_LIGHTER_PYTHON")
PROJECT = Path(__file__).with_name("lighter_project")
OURS, THEIRS = "lighterd", "lighter"

if not PYTHON:
    if os.environ.get("LIGHTERD_REQUIRE_LIGHTNING") == "1":
        pytest.fail("LIGHTERD_REQUIRE_LIGHTNING is set, and there is no lighter", False)
    pytest.skip("$LIGHTERD_LIGHTER_PYTHON is not set", allow_module_level=True)

# What is said differently on purpose, or of the machine.
MEANT = re.compile(
    r"Freezing the model|Unfreezing the model|\(excepted from freeze\)|^Imported"
    r"|keeps all predictions in memory|[Tt]ip|litlogger|litmodels|_pytree|LeafSpec"
    r"|Master|distributed_backend|All distributed|^-+$|^Initializing|MEMBER"
    r"|num_workers|`Trainer.fit` stopped"
    # A rank of lighter may see the directory that rank 0 has just made.
    r"|already exists, existing predictions will be overwritten"
)


def command(directory, which, limit, socket, *arguments):
    """Run `lighter` in a copy of the project; what was said, a message a line."""
    shutil.copytree(PROJECT, directory)
    config = directory / "config.yaml"
    text = config.read_text().replace("lighter.callbacks", f"{which}.callbacks")
    config.write_text(text.replace("until_step: 2", limit))
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("LIGHTERD")},
        "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH),
        "LIGHTERD_SOCKET": socket,
        "COLUMNS": "1000",  # a message is not broken over lines
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
    }
    done = subprocess.run(
        [str(Path(PYTHON).with_name("lighter")), *arguments],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110 * daemons.SLOWNESS,
    )
    assert done.returncode == 0, done.stdout
    said = re.findall(r"\| +(?:\S+ +)?([A-Z]+) +\| +(.*?)  +\S+:\d+ *$", done.stdout, re.M)
    return [f"{level}: {text}" for level, text in said if not MEANT.search(text)]


def both(tmp_path, socket, *arguments, limit="until_step: 2"):
    """The two directories, and what was said in each; at once, for it takes its time."""
    with ThreadPoolExecutor(2) as pool:
        runs = {
            which: pool.submit(command, tmp_path / which, which, limit, socket, *arguments)
            for which in (OURS, THEIRS)
        }
    return {which: (tmp_path / which, run.result()) for which, run in runs.items()}


def as_pandas_spoils_it(table):
    """lighter reads the rows again by pandas, and writes them anew."""
    script = (
        "import pandas, sys; "
        "pandas.read_csv(sys.argv[1]).to_csv(sys.stdout, index=False)"
    )
    done = subprocess.run(
        [PYTHON, "-c", script, str(table)], stdout=subprocess.PIPE, check=True
    )
    return done.stdout


def pixels(data):
    with pytest.importorskip("PIL.Image").open(io.BytesIO(data)) as image:
        return image.mode, image.size, image.tobytes()


def same(torch, name, ours, theirs):
    if name.endswith(".png"):
        return pixels(ours) == pixels(theirs)
    if name.endswith(".pt"):
        loaded = (torch.load(io.BytesIO(data)) for data in (ours, theirs))
        return judges.same_bits(torch, *loaded)
    return ours == theirs


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_predict_writes_what_lighter_writes(daemon, tmp_path, torch, n_ranks):
    ranks = [f"trainer::devices={n_ranks}"]
    if n_ranks > 1:
        ranks.append("trainer::strategy=ddp")

    found = both(tmp_path, daemon.socket, "predict", "config.yaml", *ranks)

    (here, we_said), (there, they_said) = found[OURS], found[THEIRS]
    ours, theirs = judges.files(here / "out"), judges.files(there / "out")
    assert sorted(ours) == sorted(theirs) and len(ours) == 1 + 4 * 14
    assert as_pandas_spoils_it(here / "out/table.csv") == theirs.pop("table.csv")
    for name, data in theirs.items():
        assert same(torch, name, ours[name], data), name
    assert sorted(we_said) == sorted(they_said)
    assert daemon.ask("status")["jobs_published"] == 1


@pytest.mark.parametrize("limit", ["until_step: 2", "until_epoch: 1"])
def test_fit_freezes_what_lighter_freezes_and_says_so(daemon, tmp_path, limit):
    found = both(tmp_path, daemon.socket, "fit", "config.yaml", limit=limit)

    (here, we_said), (there, they_said) = found[OURS], found[THEIRS]
    ours, theirs = ((d / "requires_grad.0").read_text() for d in (here, there))
    steps = [json.loads(line) for line in theirs.splitlines()]
    assert ours == theirs and len(steps) == 6
    assert [bool(frozen) for _, frozen, _ in steps].count(True) in (2, 3)
    assert we_said == they_said
    assert [each.split(":")[1].strip() for each in we_said if "layers" in each] == [
        "Froze layers", "Unfroze layers",
    ]
