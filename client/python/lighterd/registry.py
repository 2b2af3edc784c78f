"""registry - the encoders of one daemon.

In: the names that its hello gave. Out: a name that is among them, or an error that lists
those there are. Any thread.
"""

from __future__ import annotations

from typing import Any, Iterable


class WriterRegistry:
    """What can stand as `writer_fn`."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)

    def get(self, name: Any) -> str:
        if name not in self.names:
            raise ValueError(
                f"Writer function {name!r} is not known. "
                f"Available: {', '.join(self.names)}"
            )
        return name
