"""voice - what users must know is seen, also where nobody has configured `logging`.

In: records of the logger "lighterd". Out: where `logging` would show them, nothing is
added. Else they go through loguru, where the program has loaded it, or to stderr, so
that nothing is lost and nothing is said twice. Any thread.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

logger = logging.getLogger("lighterd")


def tell(message: str, *args: Any) -> None:
    """Log at INFO; seen as well where nobody has said what is to be seen."""
    if logger.isEnabledFor(logging.INFO):
        logger.info(message, *args, stacklevel=2)
    elif _is_undecided():
        where = sys._getframe(1)
        code = where.f_code
        record = logger.makeRecord(
            logger.name,
            logging.INFO,
            code.co_filename,
            where.f_lineno,
            message,
            args,
            None,
            code.co_name,
        )
        _show(record)


def _is_undecided() -> bool:
    """Whether the level that keeps INFO out is only what Python begins with.

    A program with loguru may have a handler at the root, which passes on to loguru what
    other libraries log, and may have left the root's level alone.
    """
    return (
        logger.level == logging.NOTSET
        and logging.root.level == logging.WARNING
        and logger.manager.disable < logging.INFO
        and not logger.disabled
        and ("loguru" in sys.modules or not _has_listeners())
    )


def _has_listeners() -> bool:
    """Whether records reach a handler that is not ours."""
    at: Any = logger
    while at is not None:
        if any(handler is not _voice for handler in at.handlers):
            return True
        at = at.parent if at.propagate else None
    return False


def _show(record: logging.LogRecord) -> None:
    loguru = sys.modules.get("loguru")
    text = record.getMessage()
    if loguru is not None:
        told = loguru.logger.opt(exception=record.exc_info).patch(
            lambda entry: entry.update(
                name=record.name, function=record.funcName, line=record.lineno
            )
        )
        told.log(record.levelname, text)
    elif sys.stderr is not None:
        start = "" if text.startswith("lighterd") else "lighterd: "
        print(f"{start}{text}", file=sys.stderr, flush=True)


class _Voice(logging.Handler):
    """Shows what nobody else would.

    It has no lock: an exception of a signal's handler behind `Handler.acquire` would
    leave it held for good, and other threads would wait for ever. A line is one write.
    """

    def createLock(self) -> None:
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        if _has_listeners():
            return
        try:
            _show(record)
        except Exception:
            self.handleError(record)


_voice = _Voice()
logger.addHandler(_voice)
