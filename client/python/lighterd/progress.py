"""progress - how far writing lags behind, and who is shown it.

In: a job's counters, which are kept anyway. Out: a `Progress` for whoever asks; for
people a few words in the progress bar of Lightning, and at an epoch's end, where the
rest takes long, a bar of its own. Nothing here is on the way of a batch.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from time import monotonic
from typing import Any, Callable, NamedTuple, Optional

logger = logging.getLogger("lighterd")

# Who waits for less long is not told that, and nobody is told more often.
PATIENCE_SECONDS = 1.0
SHOWN_EVERY_SECONDS = 0.5


class Progress(NamedTuple):
    """Of one rank of a job, as far as answers have come."""

    handed_over: int  # batches, also those that an earlier process had written
    written: int  # of them; a batch that was refused counts as well
    waiting_bytes: int  # of batches on their way; of all jobs that share a connection
    blocked_seconds: float  # see `Job.blocked_seconds`

    @property
    def waiting(self) -> int:
        """Batches that are not written yet."""
        return self.handed_over - self.written

    def __str__(self) -> str:
        if not self.waiting:
            return "all written"
        return f"{self.waiting} to write, {self.waiting_bytes / 1e6:.0f} MB"


class Drain:
    """What is shown while the end of a job is waited for.

    On a terminal a bar, where there is tqdm; else one line. `update` may be called as
    often as one likes.
    """

    def __init__(self, name: str, progress: Callable[[], Progress]) -> None:
        self._name = name
        self._progress = progress
        self._total = progress().waiting
        self._since = monotonic()
        self._is_announced = False
        self._bar: Any = None

    def __enter__(self) -> Callable[[], None]:
        return self.update

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self) -> None:
        if monotonic() - self._since < PATIENCE_SECONDS:
            return
        waiting = self._progress().waiting
        if not self._is_announced:
            self._is_announced = True
            self._announce(waiting)
        if self._bar is not None:
            self._bar.n = self._total - waiting
            self._bar.set_postfix_str("" if waiting else "publishing", refresh=False)
            self._bar.refresh()

    def _announce(self, waiting: int) -> None:
        is_terminal = sys.stderr.isatty()
        tqdm = _tqdm() if is_terminal else None
        line = f"lighterd: {self._name}: waiting for {self._progress()}"
        if tqdm is not None:
            description = f"{self._name}: writing"
            self._bar = tqdm(
                total=self._total, desc=description, unit="batch", leave=False
            )
        elif is_terminal:
            print(line, file=sys.stderr)
        else:
            logger.info(line)


def _tqdm() -> Optional[Callable[..., Any]]:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


class Bar:
    """A few words in the bar that Lightning shows while it predicts.

    Its tqdm bar has room for them; other bars show nothing then.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def show(self, trainer: Any, progress: Callable[[], Optional[Progress]]) -> None:
        now = monotonic()
        if now < self._next:
            return
        self._next = now + SHOWN_EVERY_SECONDS
        bar = None
        with suppress(TypeError):  # of one that is disabled
            bars = getattr(trainer, "progress_bar_callback", None)
            bar = getattr(bars, "predict_progress_bar", None)
        set_words = getattr(bar, "set_postfix_str", None)
        current = progress() if set_words is not None else None
        if current is not None:
            set_words(f"lighterd: {current}", refresh=False)
