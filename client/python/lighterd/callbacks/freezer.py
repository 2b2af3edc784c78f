"""freezer - parameters that do not train for a while, for Lightning's trainers.

In: training steps. Out: parameters that freeze and unfreeze; all freezers of one trainer
share their decision. All in the trainer's thread.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

from .. import training
from ..address import PathLike
from .base_writer import Callback


class Freezer(Callback):
    """Freeze parameters, by their names, for ever or until a step or an epoch.

    What several freezers of one trainer say is decided together: a parameter is frozen
    while one of them freezes it, so that layers can be unfrozen one after another.

    Args:
        names: Full names of parameters that freeze.
        name_starts_with: Starts of names of parameters that freeze.
        except_names: Full names of parameters that train nevertheless.
        except_name_starts_with: Starts of names of those.
        until_step: The global step from which they train again.
        until_epoch: The epoch from which they train again.
        others: "train" makes parameters that are not named trainable. "keep" leaves
            them as they are, and those that are named are again as they were before,
            when the limit is reached.
        job: What the job is called, for `lighterctl freeze` and `unfreeze`.
        socket: The daemon's socket; see `lighterd.address`.
    """

    def __init__(
        self,
        names: Union[str, List[str], None] = None,
        name_starts_with: Union[str, List[str], None] = None,
        except_names: Union[str, List[str], None] = None,
        except_name_starts_with: Union[str, List[str], None] = None,
        until_step: Optional[int] = None,
        until_epoch: Optional[int] = None,
        *,
        others: str = "train",
        job: Optional[str] = None,
        socket: Optional[PathLike] = None,
    ) -> None:
        super().__init__()
        if names is None and name_starts_with is None:
            raise ValueError(
                "At least one of `names` or `name_starts_with` must be specified."
            )
        if until_step is not None and until_epoch is not None:
            raise ValueError(
                "Only one of `until_step` or `until_epoch` can be specified."
            )
        if others not in ("train", "keep"):
            raise ValueError(f"`others` must be 'train' or 'keep', not {others!r}.")
        self.names = _as_list(names)
        self.name_starts_with = _as_list(name_starts_with)
        self.except_names = _as_list(except_names)
        self.except_name_starts_with = _as_list(except_name_starts_with)
        self.until_step = until_step
        self.until_epoch = until_epoch
        self.others = others
        self.job = job
        self.socket = socket

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        trainings = training.of(trainer)
        key = (self.job, self.socket)
        if key not in trainings:
            policies = [each._policy() for each in self._companions(trainer)]
            trainings[key] = training.Training(trainer, pl_module, policies, *key)
        trainings[key].step(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        training.close_all(trainer)

    def on_exception(
        self, trainer: Any, pl_module: Any, exception: BaseException
    ) -> None:
        training.close_all(trainer, f"{type(exception).__name__}: {exception}")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "fit":
            training.close_all(trainer, "the trainer ended before the training did")

    def _companions(self, trainer: Any) -> List[Freezer]:
        """The freezers of the trainer that decide with this one, itself among them."""
        callbacks = getattr(trainer, "callbacks", None)
        found = [
            each
            for each in (callbacks if isinstance(callbacks, list) else [])
            if isinstance(each, Freezer)
            and (each.job, each.socket) == (self.job, self.socket)
        ]
        return found if self in found else [self]

    def _policy(self) -> Dict[str, Any]:
        """This freezer, as `open` has it."""
        options = {
            "names": self.names,
            "name_starts_with": self.name_starts_with,
            "except_names": self.except_names,
            "except_name_starts_with": self.except_name_starts_with,
            "until_step": self.until_step,
            "until_epoch": self.until_epoch,
            "others": self.others,
        }
        return {"type": "freezer", "options": options}


def _as_list(value: Union[str, List[str], None]) -> List[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
