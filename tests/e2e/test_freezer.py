"""The Freezer: its arguments, checks, messages and phases, as lighter documents them."""

import copy
import json
import logging
import os
import subprocess
import sys
import types

import daemons
import pytest
import trainers
from trainers import by_hand

from lighterd.callbacks import Freezer
from lighterd.connection import Connection

torch = pytest.importorskip("torch")

ENCODER_0 = ["encoder.0.bias", "encoder.0.weight"]
ENCODER_1 = ["encoder.1.bias", "encoder.1.weight"]
ENCODER = ENCODER_0 + ENCODER_1
HEAD = ["head.bias", "head.weight"]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
        self.head = torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.head(self.encoder(x)).sum()


def frozen(model):
    return sorted(n for n, p in model.named_parameters() if not p.requires_grad)


def learn(model):
    """A forward and a backward pass: a gradient for what trains, none for the rest."""
    model.zero_grad(set_to_none=True)
    loss = model(torch.ones(2, 3))
    if loss.requires_grad:
        loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


class Run:
    """A training of one rank, driven by hand."""

    def __init__(self, daemon, *freezers, model=None, rank=0, world_size=1):
        self.model = model or Net()
        for freezer in freezers:
            freezer.socket = daemon.socket
        self.trainer = by_hand(
            rank, world_size, callbacks=list(freezers), global_step=0, current_epoch=0
        )

    def step(self, step, epoch=0):
        """One training step; what is frozen in it."""
        self.trainer.global_step, self.trainer.current_epoch = step, epoch
        for freezer in self.trainer.callbacks:
            freezer.on_train_batch_start(self.trainer, self.model, None, 0)
        learn(self.model)
        return frozen(self.model)

    def steps(self, *steps):
        return [self.step(step) for step in steps]

    def end(self):
        for freezer in self.trainer.callbacks:
            freezer.on_train_end(self.trainer, self.model)


@pytest.fixture
def run(daemon):
    """Start runs; they are ended when the test is over."""
    started = []

    def start(*freezers, **more):
        started.append(Run(daemon, *freezers, **more))
        return started[-1]

    yield start
    for each in started:
        each.end()


# ---- arguments ----


def test_names_freezes_the_parameters_of_these_names(run):
    assert run(Freezer(names=["head.bias", "encoder.0.bias"])).step(0) == [
        "encoder.0.bias",
        "head.bias",
    ]


def test_names_may_be_one_string(run):
    assert run(Freezer(names="head.bias")).step(0) == ["head.bias"]


def test_names_are_full_names(run):
    for name in ("head", "bias"):
        with pytest.raises(ValueError, match=f"no parameter is called '{name}'"):
            run(Freezer(names=["head.bias", name])).step(0)


def test_name_starts_with_freezes_by_prefix(run):
    assert run(Freezer(name_starts_with=["encoder.1", "head.b"])).step(0) == [
        *ENCODER_1,
        "head.bias",
    ]


def test_name_starts_with_may_be_one_string(run):
    assert run(Freezer(name_starts_with="encoder")).step(0) == ENCODER


def test_except_names_train_nevertheless(run):
    freezer = Freezer(name_starts_with="encoder", except_names="encoder.0.bias")

    assert run(freezer).step(0) == ["encoder.0.weight", *ENCODER_1]


def test_except_name_starts_with_trains_nevertheless(run):
    freezer = Freezer(names=ENCODER, except_name_starts_with=["encoder.1", "encoder.0.w"])

    assert run(freezer).step(0) == ["encoder.0.bias"]


def test_until_step_is_the_first_step_that_trains(run):
    seen = run(Freezer(name_starts_with="encoder", until_step=3)).steps(*range(6))

    assert seen == [ENCODER] * 3 + [[]] * 3


def test_until_epoch_is_the_first_epoch_that_trains(run):
    training = run(Freezer(name_starts_with="encoder", until_epoch=2))

    seen = [training.step(step, epoch=step // 2) for step in range(6)]

    assert seen == [ENCODER] * 4 + [[]] * 2


def test_without_a_limit_it_freezes_for_ever(run):
    seen = run(Freezer(name_starts_with="encoder")).steps(0, 1, 10**12)

    assert seen == [ENCODER] * 3


def test_others_train_are_made_trainable(run):
    model = Net()
    model.requires_grad_(False)

    assert run(Freezer(names=HEAD), model=model).step(0) == HEAD


def test_others_keep_are_left_as_they_are(run):
    model = Net()
    model.encoder[0].requires_grad_(False)
    training = run(Freezer(names=HEAD, until_step=1, others="keep"), model=model)

    assert training.steps(0, 1) == [ENCODER_0 + HEAD, ENCODER_0]


# ---- checks ----


def test_neither_names_nor_name_starts_with_is_a_value_error():
    with pytest.raises(ValueError) as raised:
        Freezer(except_names="head.bias", until_step=1)

    assert str(raised.value) == (
        "At least one of `names` or `name_starts_with` must be specified."
    )


def test_both_until_step_and_until_epoch_is_a_value_error():
    with pytest.raises(ValueError) as raised:
        Freezer("head.bias", until_step=0, until_epoch=0)

    assert str(raised.value) == (
        "Only one of `until_step` or `until_epoch` can be specified."
    )


def test_others_are_trained_or_kept():
    with pytest.raises(ValueError, match="`others` must be 'train' or 'keep', not 'freeze'"):
        Freezer("head.bias", others="freeze")


@pytest.mark.parametrize(
    "wrong, expected",
    [({"until_step": -1}, "until_step"), ({"until_step": "x"}, "until_step"),
     ({"names": [3]}, "names")],
)
def test_an_argument_that_cannot_be_is_an_error_at_the_first_step(run, wrong, expected):
    training = run(Freezer(**{"names": "head.bias", **wrong}))

    with pytest.raises(ValueError, match=expected):
        training.step(0)


# ---- phases ----


def test_nothing_is_done_before_the_first_step(run):
    model = Net()
    model.head.requires_grad_(False)
    run(Freezer(name_starts_with="encoder"), model=model)

    assert frozen(model) == HEAD


@pytest.mark.parametrize("limit", [{"until_step": 5}, {"until_epoch": 1}])
def test_nothing_is_done_when_the_training_starts_beyond_the_limit(run, limit):
    model = Net()
    model.head.requires_grad_(False)
    training = run(Freezer(name_starts_with="encoder", **limit), model=model)

    assert [training.step(step, epoch=1) for step in (5, 6)] == [HEAD, HEAD]


@pytest.mark.parametrize("limit", [{"until_step": 0}, {"until_epoch": 0}])
def test_a_limit_of_0_never_freezes(run, limit):
    assert run(Freezer(name_starts_with="encoder", **limit)).step(0) == []


class LightersFreezer:
    """What lighter's Freezer does at a step, as its documentation has it."""

    def __init__(self, names=(), name_starts_with=(), except_names=(),
                 except_name_starts_with=(), until_step=None, until_epoch=None):
        self.names, self.prefixes = names, tuple(name_starts_with)
        self.except_names, self.except_prefixes = except_names, tuple(except_name_starts_with)
        self.until_step, self.until_epoch = until_step, until_epoch
        self.is_frozen = False

    def step(self, model, step, epoch):
        is_past = (self.until_step is not None and step >= self.until_step) or (
            self.until_epoch is not None and epoch >= self.until_epoch
        )
        if is_past == self.is_frozen:
            self.set(model, is_past)
            self.is_frozen = not is_past

    def set(self, model, requires_grad):
        for name, parameter in model.named_parameters():
            is_named = name in self.names or name.startswith(self.prefixes)
            is_excepted = name in self.except_names or name.startswith(self.except_prefixes)
            parameter.requires_grad = requires_grad if is_named and not is_excepted else True


@pytest.mark.parametrize("first_step", [0, 2, 4])
@pytest.mark.parametrize(
    "arguments",
    [
        {"names": ENCODER_0},
        {"name_starts_with": ["encoder."], "until_step": 3},
        {"name_starts_with": ["encoder."], "except_names": ENCODER_1, "until_epoch": 2},
        {"names": HEAD, "name_starts_with": ["encoder.1"], "until_epoch": 1},
        {"names": HEAD, "except_name_starts_with": ["h", "encoder.0"], "until_step": 4},
        {"name_starts_with": [""], "until_step": 5},
    ],
)
def test_one_freezer_does_what_lighters_does_at_each_step(run, arguments, first_step):
    ours, theirs = Net(), None
    ours.encoder[1].requires_grad_(False)
    theirs = copy.deepcopy(ours)
    training, judge = run(Freezer(**arguments), model=ours), LightersFreezer(**arguments)

    for step in range(first_step, 8):
        judge.step(theirs, step, step // 2)
        assert training.step(step, step // 2) == frozen(theirs), step


def test_several_freezers_unfreeze_one_layer_after_another(run):
    freezers = [
        Freezer(name_starts_with="encoder.0", until_step=4),
        Freezer(name_starts_with="encoder.1", until_step=2),
    ]

    assert run(*freezers).steps(*range(6)) == [ENCODER] * 2 + [ENCODER_0] * 2 + [[]] * 2


def test_an_exception_of_one_freezer_is_frozen_by_another(run):
    freezers = [Freezer(name_starts_with="encoder", except_names=ENCODER_1),
                Freezer(names=ENCODER_1)]

    assert run(*freezers).step(0) == ENCODER


def test_freezers_of_two_jobs_are_two_trainings(run, daemon):
    freezers = [Freezer(names="head.bias", others="keep", job=name) for name in "ab"]
    training = run(*freezers)
    training.step(0)

    assert [daemon.job(name)["state"] for name in "ab"] == ["open", "open"]


# ---- names that name nothing, and names beside a parameter's own ----


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"names": ["head.bias", "enc.0.wieght"]},
            "Freezer: no parameter is called 'enc.0.wieght'; "
            "near it are 'encoder.0.weight'",
        ),
        (
            {"names": "encoder.0"},
            "no parameter is called 'encoder.0'; for all of it use `name_starts_with`",
        ),
        (
            {"name_starts_with": ["head", "encodr"]},
            "no parameter's name starts with 'encodr'; near it are 'encoder'",
        ),
        (
            {"names": "x", "name_starts_with": "y"},
            "is called 'x'; there are for example 'encoder.0.weight'.* starts with 'y'",
        ),
    ],
)
def test_a_name_of_no_parameter_is_a_value_error_with_the_nearest(run, arguments, message):
    training = run(Freezer(**arguments))

    with pytest.raises(ValueError, match=message):
        training.step(0)
    assert frozen(training.model) == []


def test_an_exception_of_no_parameter_is_warned_of(run, said):
    training = run(Freezer(name_starts_with="head", except_names="head.bais"))

    assert training.step(0) == HEAD
    assert said()[0].startswith(
        "Freezer excepts what is not there: no parameter is called 'head.bais'; "
        "near it are 'head.bias'"
    )


class Tied(torch.nn.Module):
    """Its decoder's weight is its encoder's."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(3, 3)
        self.decoder = torch.nn.Linear(3, 3)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(self.encoder(x)).sum()


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({"names": "decoder.weight"}, ["encoder.weight"]),
        ({"name_starts_with": "decoder"}, ["decoder.bias", "encoder.weight"]),
        (
            {"name_starts_with": "encoder", "except_names": "decoder.weight"},
            ["encoder.bias"],
        ),
    ],
)
def test_a_tied_parameter_is_found_by_each_of_its_names(run, arguments, expected):
    assert run(Freezer(**arguments), model=Tied()).step(0) == expected


@pytest.mark.parametrize("name", ["encoder.0.bias", "_orig_mod.encoder.0.bias"])
def test_a_parameter_of_a_compiled_model_is_found_by_both_of_its_names(run, name):
    class Compiled(torch.nn.Module):  # what torch.compile makes, without the compiler
        def __init__(self):
            super().__init__()
            self._orig_mod = Net()

        def forward(self, x):
            return self._orig_mod(x)

    assert run(Freezer(names=name), model=Compiled()).step(0) == [
        "_orig_mod.encoder.0.bias"
    ]
    starts = Freezer(name_starts_with=name.replace("0.bias", ""))
    assert len(run(starts, model=Compiled()).step(0)) == len(ENCODER)


# ---- as it was before ----


def test_kept_parameters_are_at_the_limit_as_they_were_before(run):
    model = Net()
    model.head.bias.requires_grad = model.encoder[0].bias.requires_grad = False
    training = run(Freezer(names=HEAD, until_step=2, others="keep"), model=model)

    before = ["encoder.0.bias", "head.bias"]
    assert training.steps(0, 1, 2, 3) == [["encoder.0.bias", *HEAD]] * 2 + [before] * 2


def test_people_unfreeze_also_what_did_not_train_before(run, daemon):
    model = Net()
    model.head.bias.requires_grad = False
    freezer = Freezer(names=HEAD, until_step=3, others="keep", job="fit-k")
    training = run(freezer, model=model)
    assert training.step(0) == HEAD

    ctl(daemon.socket, "unfreeze", "fit-k", "head.bias")

    assert training.steps(1, 2, 3) == [["head.weight"], ["head.weight"], []]


# ---- strategies ----

DDP = """
import sys
import lightning.pytorch as pl
import torch
from lighterd.callbacks import Freezer

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
        self.a.bias.requires_grad = False

    def training_step(self, batch, batch_idx):
        return self.b(self.a(batch)).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

trainer = pl.Trainer(
    accelerator="cpu", devices=1, strategy=sys.argv[1], logger=False,
    enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, max_epochs=1,
    callbacks=[Freezer(names="a.weight", others=sys.argv[2])],
)
trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(4, 2)))
"""


@pytest.mark.parametrize(
    "strategy, others, is_right",
    [
        ("ddp", "keep", False),
        ("ddp_find_unused_parameters_true", "keep", True),
        ("ddp_find_unused_parameters_true", "train", True),
    ],
)
def test_ddp_that_a_frozen_parameter_breaks_is_warned_of(
    daemon, tmp_path, strategy, others, is_right
):
    trainers.require("lightning.pytorch")
    script = tmp_path / "fit.py"
    script.write_text(DDP)
    done = subprocess.run(
        [sys.executable, str(script), strategy, others],
        env={
            **os.environ,
            "LIGHTERD_SOCKET": daemon.socket,
            "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH),
            "MASTER_ADDR": "127.0.0.1",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100 * daemons.SLOWNESS,
    )

    assert (done.returncode == 0) == is_right, done.stderr
    advice = "DDPStrategy fails at the step after the one in which a parameter has frozen"
    assert (advice in done.stderr) != is_right
    drift = "does not average the gradients of ['a.bias']"
    assert (drift in done.stderr) == (others == "train")


# ---- messages ----


@pytest.fixture
def said(caplog):
    """What was logged since the last look."""
    caplog.set_level(logging.INFO, "lighterd")

    def take():
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    return take


@pytest.mark.parametrize(
    "limit, until",
    [({}, ""), ({"until_step": 2}, " until step 2"), ({"until_epoch": 2}, " until epoch 2")],
)
def test_frozen_and_unfrozen_layers_are_logged(run, said, limit, until):
    training = run(Freezer(names=["head.weight", "head.bias"], **limit))

    training.step(0)
    assert said() == [f"Froze layers: ['head.weight', 'head.bias']{until}"]
    training.step(1, epoch=1)
    assert said() == []
    training.step(2, epoch=2)
    assert said() == (["Unfroze layers: ['head.weight', 'head.bias']"] if limit else [])


# ---- a LighterModule ----


@pytest.fixture
def lighter_module(monkeypatch):
    package = types.ModuleType("lighter")

    class LighterModule(torch.nn.Module):
        __module__ = "lighter.model"

        def __init__(self, network):
            super().__init__()
            self.network = network
            self.metric = torch.nn.Linear(1, 1)

        def forward(self, x):
            return self.network(x) + self.metric(torch.ones(1)).sum()

    package.LighterModule = LighterModule
    monkeypatch.setitem(sys.modules, "lighter", package)
    return LighterModule


def test_names_in_a_lighter_module_are_those_of_its_network(run, lighter_module):
    class Mine(lighter_module):
        pass

    training = run(Freezer(names=HEAD, until_step=1), model=Mine(Net()))

    assert training.steps(0, 1) == [["network.head.bias", "network.head.weight"], []]


def test_names_in_another_module_with_a_network_are_full_names(run):
    class Other(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = Net()

        def forward(self, x):
            return self.network(x)

    with pytest.raises(ValueError, match="'head.bias'.*near it are 'network.head.bias'"):
        run(Freezer(names=HEAD), model=Other()).step(0)


# ---- what a step costs ----


@pytest.fixture
def requests(monkeypatch):
    """The methods of all requests that are sent."""
    sent, post = [], Connection.post

    def count(self, method, *args, **more):
        sent.append(method)
        return post(self, method, *args, **more)

    monkeypatch.setattr(Connection, "post", count)
    return sent


def test_a_step_that_changes_nothing_makes_no_request(run, requests):
    training = run(
        Freezer(names=ENCODER_0, until_step=500), Freezer(names=ENCODER_1, until_epoch=3)
    )

    for step in range(1000):
        training.step(step, epoch=step // 300)

    # The first step, step 500, and step 900 with which epoch 3 begins.
    assert requests == ["hello", "open", "step", "step", "step"]


def test_a_step_without_limits_is_asked_once(run, requests):
    run(Freezer(names=HEAD)).steps(*range(50))

    assert requests.count("step") == 1


def test_a_training_that_goes_back_asks_again(run):
    training = run(Freezer(names=HEAD, until_step=5))

    assert training.steps(0, 5, 3) == [HEAD, [], HEAD]


# ---- lighterctl ----


def ctl(socket, *arguments, expect=0):
    done = subprocess.run(
        [daemons.LIGHTERCTL, "--socket", socket, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout if expect == 0 else done.stderr


@pytest.fixture
def named(run):
    """A training that has made its first step."""
    training = run(Freezer(names=HEAD, until_step=10, job="fit-1"))
    assert training.step(0) == HEAD
    return training


def test_lighterctl_freeze_takes_effect_at_the_next_step(named, daemon, said):
    assert ctl(daemon.socket, "freeze", "fit-1", "encoder.0.*") == "2 parameters\n"

    assert frozen(named.model) == HEAD
    assert named.step(1) == ENCODER_0 + HEAD
    assert named.steps(9, 10, 11) == [ENCODER_0 + HEAD, ENCODER_0, ENCODER_0]


def test_lighterctl_unfreeze_takes_effect_whatever_the_freezers_say(named, daemon):
    ctl(daemon.socket, "unfreeze", "fit-1", "head.bias")

    assert named.steps(1, 2) == [["head.weight"]] * 2


def test_what_was_asked_last_holds(named, daemon):
    ctl(daemon.socket, "freeze", "fit-1", "*")
    ctl(daemon.socket, "unfreeze", "fit-1", "*.bias", "encoder.*")

    assert named.step(1) == ["head.weight"]


def test_lighterctl_freeze_as_json(named, daemon):
    assert json.loads(ctl(daemon.socket, "--json", "freeze", "fit-1", "*")) == {"matched": 6}


def test_lighterctl_freeze_of_an_unknown_job_fails(named, daemon):
    for verb in ("freeze", "unfreeze"):
        assert "no live job 'other' has policies" in ctl(
            daemon.socket, verb, "other", "*", expect=1
        )


def test_lighterctl_freeze_of_a_training_that_has_ended_fails(named, daemon):
    named.end()
    daemon.until_state("fit-1", "published")

    ctl(daemon.socket, "freeze", "fit-1", "*", expect=1)


def test_lighterctl_freeze_with_a_pattern_that_matches_nothing_changes_nothing(
    named, daemon
):
    problem = ctl(daemon.socket, "freeze", "fit-1", "encoder.*", "decoder.*", expect=1)

    assert "no parameter of job 'fit-1' matches 'decoder.*'" in problem
    assert named.step(1) == HEAD


@pytest.mark.parametrize("arguments", [["freeze"], ["freeze", "fit-1"], ["unfreeze", "j"]])
def test_lighterctl_freeze_without_a_pattern_is_wrong_usage(tmp_path, arguments):
    ctl(str(tmp_path / "s"), *arguments, expect=2)


def test_lighterctl_freeze_without_a_daemon(tmp_path):
    ctl(str(tmp_path / "s"), "freeze", "fit-1", "*", expect=3)


# ---- ranks ----


def two_ranks(run):
    both = [
        run(Freezer(names=HEAD, job="fit-2"), rank=rank, world_size=2) for rank in (0, 1)
    ]
    assert [each.step(0) for each in both] == [HEAD, HEAD]
    return both


@pytest.mark.parametrize("n_ahead", [0, 1])
def test_both_ranks_change_at_the_same_step(run, daemon, n_ahead):
    """Also where one has begun the step, and the other has not, when people ask."""
    both = two_ranks(run)
    seen = [both[0].steps(*range(1, 1 + n_ahead)), []]

    ctl(daemon.socket, "freeze", "fit-2", "encoder.0.*")
    for step in range(1, 6):
        for rank in (1, 0):
            if step > len(seen[rank]):
                seen[rank].append(both[rank].step(step))

    # The first rank that asks is at step 1, so both change at step 3.
    assert seen[0] == seen[1] == [HEAD] * 2 + [ENCODER_0 + HEAD] * 3


def test_two_changes_in_a_row_take_effect_together_on_both_ranks(run, daemon):
    both = two_ranks(run)

    ctl(daemon.socket, "freeze", "fit-2", "encoder.0.*")
    seen = [[both[0].step(1)], []]
    ctl(daemon.socket, "freeze", "fit-2", "encoder.1.*")
    for step in range(1, 6):
        for rank in (0, 1):
            if step > len(seen[rank]):
                seen[rank].append(both[rank].step(step))

    assert seen[0] == seen[1] == [HEAD] * 2 + [ENCODER + HEAD] * 3


def test_ranks_with_other_freezers_are_refused(run):
    two_ranks(run)

    with pytest.raises(ValueError, match="policies"):
        run(Freezer(names=ENCODER, job="fit-3"), world_size=2).step(0)
        run(Freezer(names=HEAD, job="fit-3"), rank=1, world_size=2).step(0)


def test_ranks_that_cannot_agree_on_a_name_need_a_job(run):
    with pytest.raises(ValueError, match="need a `job`"):
        run(Freezer(names=HEAD), world_size=2).step(0)


# ---- in a trainer ----


def fit(package, directory, callbacks, n_epochs=3, on_step=lambda step: None):
    """Train, two steps an epoch; what was frozen at each, and had no gradient."""

    class Model(package.LightningModule):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = Net().encoder, Net().head

        def training_step(self, batch, batch_idx):
            on_step(self.global_step)
            return self.head(self.encoder(batch)).sum()

        def on_after_backward(self):
            seen.append(frozen(self))
            assert seen[-1] == sorted(
                name for name, each in self.named_parameters() if each.grad is None
            )

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    seen = []
    trainer = trainers.quiet(package, directory, callbacks, max_epochs=n_epochs)
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(4, 3), batch_size=2))
    return seen


@pytest.mark.parametrize("package", trainers.PACKAGES)
def test_a_trainer_fits_with_gradual_unfreezing(package, daemon, tmp_path):
    package = trainers.require(package)
    freezers = [
        Freezer(name_starts_with="encoder.0", until_epoch=2, job="f", socket=daemon.socket),
        Freezer(name_starts_with="encoder.1", until_step=3, job="f", socket=daemon.socket),
    ]

    seen = fit(package, tmp_path, freezers)

    assert seen == [ENCODER] * 3 + [ENCODER_0] + [[]] * 2
    assert daemon.until_state("f", "published")["stage"] == "fit"


@pytest.mark.parametrize("package", trainers.PACKAGES)
def test_lighterctl_changes_a_trainer_that_runs(package, daemon, tmp_path):
    package = trainers.require(package)
    freezer = Freezer(names=HEAD, job="f", socket=daemon.socket)

    def ask(step):
        if step == 1:
            ctl(daemon.socket, "freeze", "f", "encoder.0.*")
        if step == 3:
            ctl(daemon.socket, "unfreeze", "f", "*")

    seen = fit(package, tmp_path, [freezer], on_step=ask)

    assert seen == [HEAD] * 2 + [ENCODER_0 + HEAD] * 2 + [[]] * 2


def test_a_fit_that_fails_aborts_its_job(daemon, tmp_path):
    package = trainers.require("lightning.pytorch")
    freezer = Freezer(names=HEAD, job="f", socket=daemon.socket)

    def fail(step):
        raise RuntimeError("no gradient today")

    with pytest.raises(RuntimeError, match="no gradient today"):
        fit(package, tmp_path, [freezer], on_step=fail)

    assert "no gradient today" in daemon.until_state("f", "aborted")["error"]


def test_a_second_fit_freezes_again(daemon, tmp_path):
    package = trainers.require("lightning.pytorch")
    freezer = Freezer(names=HEAD, until_step=1, socket=daemon.socket)

    for _ in range(2):
        assert fit(package, tmp_path, [freezer], n_epochs=1) == [HEAD, []]

    names = [job["name"] for job in daemon.ask("jobs")["jobs"]]
    assert len(set(names)) == 2 and all(name.startswith("fit-") for name in names)
