"""training - what the freezers of one trainer decide, together, step by step.

In: training steps, and a model. Out: `requires_grad` of its parameters, as the daemon's
policies say. An answer says until when it holds, so most steps cost one look at the
socket: whether somebody has asked for a change meanwhile (`lighterctl freeze`). Lives on
the trainer, from the first step to the end of `fit`. All in the trainer's thread.
"""

from __future__ import annotations

import logging
import os
import uuid
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .address import PathLike
from .launch import connect

logger = logging.getLogger("lighterd")

ATTRIBUTE = "_lighterd_trainings"
TRAIN, FREEZE = 1, 2  # what the daemon answers for a parameter; 0 leaves it as it is


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
        self.name = job or _agree_on_name(trainer)
        self._connection = connect(socket)
        self._answer: Optional[Answer] = None
        opened = self._connection.open(
            {
                "job": self.name,
                "stage": "fit",
                "rank": getattr(trainer, "global_rank", 0),
                "world_size": getattr(trainer, "world_size", 1),
                "cwd": os.getcwd(),
                "writers": [],
                "policies": list(policies),
                "parameters": [name for name, _ in _parameters(module)],
            }
        )
        self._handle = opened["handle"]
        self._n_lives = self._connection.n_lives

    def step(self, trainer: Any, module: Any) -> None:
        """Freeze and unfreeze what this step asks for; mostly nothing."""
        step, epoch = trainer.global_step, trainer.current_epoch
        changed = self._connection.take_changed(self._handle)
        if not changed and self._answer and self._answer.holds(step, epoch):
            return
        self._answer = self._ask_as_before(step, epoch)
        _apply(self._answer, _parameters(module))

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


def _parameters(module: Any) -> List[Tuple[str, Any]]:
    """Of a LighterModule the network's, so that names need no "network." before them."""
    classes = {(c.__module__.partition(".")[0], c.__name__) for c in type(module).__mro__}
    target = module.network if ("lighter", "LighterModule") in classes else module
    return list(target.named_parameters())


def _apply(answer: Answer, parameters: List[Tuple[str, Any]]) -> None:
    frozen, unfrozen = [], []
    for (name, parameter), action in zip(parameters, answer.actions):
        if action == FREEZE and parameter.requires_grad:
            parameter.requires_grad = False
            frozen.append(name)
        elif action == TRAIN and not parameter.requires_grad:
            parameter.requires_grad = True
            unfrozen.append(name)
    if frozen:
        until = ""
        if answer.until_step is not None:
            until += f" until step {answer.until_step}"
        if answer.until_epoch is not None:
            until += f" until epoch {answer.until_epoch}"
        logger.info("Froze layers: %s%s", frozen, until)
    if unfrozen:
        logger.info("Unfroze layers: %s", unfrozen)
