"""parameters - which parameters of a model a freezer means.

In: a model, and what a freezer names. Out: the names as the model itself has them. A
parameter that is tied to another has several names, and one of a compiled or wrapped
module has the wrapper's in its own; each of them finds it. What finds nothing is an
error that says what comes near. Any thread.
"""

from __future__ import annotations

import difflib
from typing import Any, Dict, Iterable, Iterator, List, Tuple

from .voice import logger

# What torch puts into names: torch.compile, FullyShardedDataParallel, checkpoints.
WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
N_NEAREST = 3


class Parameters:
    """Of a LighterModule the network's, so that names need no "network." before them."""

    def __init__(self, module: Any) -> None:
        classes = {
            (c.__module__.partition(".")[0], c.__name__) for c in type(module).__mro__
        }
        is_lighters = ("lighter", "LighterModule") in classes
        self._target = module.network if is_lighters else module
        self.names = [name for name, _ in self.items]
        self._own: Dict[str, str] = {name: name for name in self.names}
        for alias, name in self._aliases():
            self._own.setdefault(alias, name)

    @property
    def items(self) -> List[Tuple[str, Any]]:
        """As they are now: a model may get others of the same names."""
        return list(self._target.named_parameters())

    def _aliases(self) -> Iterator[Tuple[str, str]]:
        """Other names, and each parameter's own."""
        own = {id(parameter): name for name, parameter in self.items}
        for name, parameter in _with_ties(self._target):
            for alias in (name, _unwrapped(name)):
                yield alias, own[id(parameter)]

    def resolve(self, policy: Dict[str, Any]) -> Dict[str, Any]:
        """A freezer's options, in the names that the model has.

        ValueError where one that is to freeze names nothing; a warning where one that
        is to be excepted does.
        """
        names, unknown = self._resolve(policy["names"], policy["name_starts_with"])
        if unknown:
            raise ValueError(f"Freezer: {self._describe(unknown)}")
        excepted, unknown = self._resolve(
            policy["except_names"], policy["except_name_starts_with"]
        )
        if unknown:
            logger.warning("Freezer excepts what is not there: %s", self._describe(unknown))
        return {**policy, "names": names, "except_names": excepted}

    def _resolve(
        self, names: Iterable[Any], starts: Iterable[Any]
    ) -> Tuple[List[Any], List[Tuple[str, bool]]]:
        """Names with those that only an alias has; what is not there, and is a start.

        What is no string is the daemon's to refuse.
        """
        names = list(names)
        found = {self._own[n]: None for n in names if isinstance(n, str) and n in self._own}
        unknown = [(n, False) for n in names if isinstance(n, str) and n not in self._own]
        others = [n for n in names if not isinstance(n, str)]
        for start in (each for each in starts if isinstance(each, str)):
            matches = [alias for alias in self._own if alias.startswith(start)]
            if not matches:
                unknown.append((start, True))
            for own in (self._own[alias] for alias in matches):
                if not own.startswith(start):
                    found[own] = None
        return [*found, *others], unknown

    def _describe(self, unknown: List[Tuple[str, bool]]) -> str:
        return "; ".join(self._describe_one(*each) for each in unknown)

    def _describe_one(self, told: str, is_start: bool) -> str:
        candidates = list(self._own)
        if is_start:
            candidates = list(dict.fromkeys(_starts(candidates)))
        near = difflib.get_close_matches(told, candidates, N_NEAREST, cutoff=0.5)
        listed = ", ".join(map(repr, near or candidates[:N_NEAREST]))
        how = "near it are" if near else "there are for example"
        if not is_start and any(name.startswith(told) for name in candidates):
            how = "for all of it use `name_starts_with`; near it are"
        what = "parameter's name starts with" if is_start else "parameter is called"
        return f"no {what} {told!r}; {how} {listed or 'none at all'}"


def _with_ties(target: Any) -> Iterable[Tuple[str, Any]]:
    try:
        return target.named_parameters(remove_duplicate=False)
    except TypeError:  # torch 1
        return target.named_parameters()


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _starts(names: Iterable[str]) -> Iterator[str]:
    """The modules in which parameters are: "encoder", "encoder.0"."""
    for name in names:
        parts = name.split(".")
        for n in range(1, len(parts) + 1):
            yield ".".join(parts[:n])
