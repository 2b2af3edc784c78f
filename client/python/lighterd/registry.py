"""registry - what can stand as `writer_fn` by its name.

In: Python functions, registered by name, and the encoders that a daemon has. Out: a
function for each name, which writes one file in this process; of those of the daemon's
encoders `FileWriter` knows which they stand for. A daemon is asked only where somebody
asks for what there is. Any thread.
"""

from __future__ import annotations

from contextlib import closing
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Set

from . import encoders
from .address import PathLike
from .launch import connect
from .local import WriterFn


class WriterRegistry:
    """There is one: `lighterd.writer_registry`.

        @lighterd.writer_registry.register(name="npy")
        def write_npy(path, value):
            numpy.save(path, value)

        FileWriter("predictions", value_key="pred", writer_fn="npy")

    A function runs in the process that writes, an encoder in the daemon. A function
    that was registered before any daemon was met comes before an encoder of its name,
    but for those that there are here as well: `tensor`, `image_2d`, `image_3d`, `text`.
    """

    def __init__(self) -> None:
        self.functions: Dict[str, WriterFn] = {}
        self._encoders: Set[str] = set(encoders.HERE)  # and of all daemons that were met

    def register(self, name: str) -> Callable[[WriterFn], WriterFn]:
        """Decorate a function that is given a path and a value."""

        def add(function: WriterFn) -> WriterFn:
            if name in self.functions or name in self._encoders:
                raise ValueError(f"Writer with name '{name}' is already registered.")
            self.functions[name] = function
            return function

        return add

    def get(self, name: str, socket: Optional[PathLike] = None) -> WriterFn:
        """A function that writes one file, at once, in this process.

        `FileWriter` takes it as well, and has the daemon's encoder do that of its name.
        An encoder that only the daemon has can be given to `FileWriter`, not called.
        """
        found = self.find(name)
        if isinstance(found, encoders.Encoder):
            self.check(name, self._ask(socket))
        return found

    def find(self, name: str) -> WriterFn:
        """`get`, where nobody asks a daemon whether it has such an encoder."""
        found = self.functions.get(name) or encoders.HERE.get(name)
        return found or encoders.Encoder(name)

    def names(self, socket: Optional[PathLike] = None) -> List[str]:
        """Those of the functions, and of the daemon's encoders."""
        return sorted({*self.functions, *self._ask(socket)})

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def check(self, name: str, encoders: Iterable[str]) -> None:
        """ValueError where `name` is none of the encoders, those of one daemon."""
        self._encoders.update(encoders)
        if name not in encoders:
            raise ValueError(
                f"Writer with name '{name}' is not registered. "
                f"Available: {', '.join(sorted({*self.functions, *encoders}))}"
            )

    def _ask(self, socket: Optional[PathLike]) -> List[str]:
        with closing(connect(socket)) as connection:
            self._encoders.update(connection.encoders)
            return connection.encoders


writer_registry = WriterRegistry()
