"""training - what the freezers of one trainer decide, together, step by step.

In: training steps, and a model. Out: `requires_grad` of its parameters, as the daemon's
policies say. An answer says until when it holds, so most steps cost one look at the
socket: whether somebody has asked for a change meanwhile (`lighterctl freeze`). Lives on
the trainer, from the first step to the end of `fit`. All in the trainer's thread.
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import world
from .address import PathLike
from .launch import connect
from .parameters import Parameters
from .voice import logger, tell

ATTRIBUTE = "_lighterd_trainings"
TRAIN, FREEZE = 1, 2  # what the daemon answers for a parameter; 0 is as it was before


class Answer(NamedTuple):
    """What to do with each parameter, in [step, until_step) and [epoch, until_epoch)."""

    step: int
    epoch: int
    actions: bytes
    until_step: Optional[int]
    until_epoch: Optional[int]

    def holds(self, step: int, epoch: int) -> bool:
        return (
            self.step <= step
            and self.epoch <= epoch
            and (self.until_step is None or step < self.until_step)
            and (self.until_epoch is None or epoch < self.until_epoch)
        )


class Training:
    """An open job of policies."""

    def __init__(
        self,
        trainer: Any,
        module: Any,
        policies: Sequence[Dict[str, Any]],
        job: Optional[str],
        socket: Optional[PathLike],
    ) -> None:
        self._parameters = Parameters(module)
        policies = [
            {**each, "options": self._parameters.resolve(each["options"])}
            for each in policies
        ]
        self._world = world.of_trainer(trainer)
        self.name = job or _agree_on_name(trainer)
        self._flags = Flags(trainer, self._parameters.items)
        self._connection = connect(socket)
        self._answer: Optional[Answer] = None
        try:
            self._open(policies)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, policies: List[Dict[str, Any]]) -> None:
        if "restore" in self._connection.features:
            for each in policies:
                if each["options"]["others"] == "keep":
                    each["options"]["others"] = "restore"
        params = {
            "job": self.name,
            "stage": "fit",
            "rank": self._world.rank,
            "world_size": self._world.size,
            "cwd": os.getcwd(),
            "writers": [],
            "policies": policies,
            "parameters": self._parameters.names,
        }
        if "attempt" in self._connection.features:
            attempt = self._world.attempt(self.name)
            if attempt is not None:
                params["attempt"] = attempt
        opened = self._connection.open(params)
        world.opened(self.name)
        self._handle = opened["handle"]
        self._n_lives = self._connection.n_lives

    def step(self, trainer: Any) -> None:
        """Freeze and unfreeze what this step asks for; mostly nothing."""
        step, epoch = trainer.global_step, trainer.current_epoch
        changed = self._connection.take_changed(self._handle)
        if not changed and self._answer and self._answer.holds(step, epoch):
            return
        self._answer = self._ask_as_before(step, epoch)
        self._flags.apply(self._answer, self._parameters.items)

    def _ask_as_before(self, step: int, epoch: int) -> Answer:
        """The policies of a new daemon have seen no step, and what they do at this one
        may depend on what they did at the last.
        """
        while True:
            is_new = self._n_lives != self._connection.n_lives
            self._n_lives = self._connection.n_lives
            if is_new and self._answer:
                self._ask(self._answer.step, self._answer.epoch)
            answer = self._ask(step, epoch)
            if self._n_lives == self._connection.n_lives:
                return answer

    def _ask(self, step: int, epoch: int) -> Answer:
        params = {"job": self._handle, "global_step": step, "epoch": epoch}
        answer = self._connection.call("step", params, handle=self._handle)
        return Answer(
            step,
            epoch,
            answer["actions"],
            answer["until_step"],
            answer["until_epoch"],
        )

    def close(self, reason: Optional[str]) -> None:
        """End the job; with a reason, abort it."""
        try:
            if reason is None:
                self._connection.leave(self._handle, "end", {"wait": False})
            else:
                self._connection.stay_away()
                self._connection.leave(self._handle, "abort", {"reason": reason})
        finally:
            self._connection.close()


def of(trainer: Any) -> Dict[Any, Training]:
    """The trainings of this trainer, by what tells them apart."""
    return vars(trainer).setdefault(ATTRIBUTE, {})


def close_all(trainer: Any, reason: Optional[str] = None) -> None:
    for training in vars(trainer).pop(ATTRIBUTE, {}).values():
        training.close(reason)


def _agree_on_name(trainer: Any) -> str:
    """A new name, the same on all ranks."""
    name = f"fit-{uuid.uuid4().hex[:8]}"
    if getattr(trainer, "world_size", 1) == 1:
        return name
    strategy = getattr(trainer, "strategy", None)
    if not hasattr(strategy, "broadcast"):
        raise ValueError("several ranks need a `job`: they cannot agree on a name")
    return strategy.broadcast(name, src=0)


class Flags:
    """`requires_grad` of a model's parameters."""

    def __init__(self, trainer: Any, parameters: List[Tuple[str, Any]]) -> None:
        self._before: Dict[str, bool] = {}  # of those that an answer has decided
        self._strategy = _Strategy(trainer, parameters)

    def apply(self, answer: Answer, parameters: List[Tuple[str, Any]]) -> None:
        frozen, unfrozen = [], []
        for (name, parameter), action in zip(parameters, answer.actions):
            wanted = self._decide(name, parameter.requires_grad, action)
            if wanted != parameter.requires_grad:
                parameter.requires_grad = wanted
                (unfrozen if wanted else frozen).append(name)
        self._strategy.look(frozen, unfrozen)
        if frozen:
            until = ""
            if answer.until_step is not None:
                until += f" until step {answer.until_step}"
            if answer.until_epoch is not None:
                until += f" until epoch {answer.until_epoch}"
            tell("Froze layers: %s%s", frozen, until)
        if unfrozen:
            tell("Unfroze layers: %s", unfrozen)

    def _decide(self, name: str, current: bool, action: int) -> bool:
        if action not in (TRAIN, FREEZE):
            return self._before.pop(name, current)
        self._before.setdefault(name, current)
        return action == TRAIN


class _Strategy:
    """What DistributedDataParallel does not like, said before it goes wrong.

    It has looked once at which parameters train, when it wrapped the model.
    """

    def __init__(self, trainer: Any, parameters: List[Tuple[str, Any]]) -> None:
        torch = sys.modules.get("torch")
        wrapped = getattr(trainer, "model", None)
        kind = getattr(getattr(torch, "nn", None), "parallel", None)
        kind = getattr(kind, "DistributedDataParallel", ())
        self._is_ddp = isinstance(wrapped, kind)
        self._finds_unused = getattr(wrapped, "find_unused_parameters", False)
        self._did_not_train = {
            name for name, parameter in parameters if not parameter.requires_grad
        }
        self._name = type(getattr(trainer, "strategy", None)).__name__
        self._is_quiet = getattr(trainer, "global_rank", 0) != 0
        self._has_warned = False

    def look(self, frozen: List[str], unfrozen: List[str]) -> None:
        if not self._is_ddp or self._is_quiet:
            return
        if frozen and not self._finds_unused and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s fails at the step after the one in which a parameter has "
                "frozen, for it waits for a gradient of each: use "
                "strategy='ddp_find_unused_parameters_true' with a Freezer",
                self._name,
            )
        apart = sorted(self._did_not_train.intersection(unfrozen))
        if apart:
            logger.warning(
                "%s does not average the gradients of %s: they did not train "
                "when it wrapped the model, so ranks drift apart: let them train at the "
                "start and freeze them by a Freezer, or leave them out of it with "
                "others='keep'",
                *(self._name, apart),
            )
