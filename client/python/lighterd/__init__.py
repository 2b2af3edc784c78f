"""lighterd - hand model predictions to a daemon that writes them.

    with lighterd.run(lighterd.csv("predictions.csv", keys=["id", "pred"])) as out:
        out.write({"id": ids, "pred": preds})

For Lightning trainers see `lighterd.callbacks`.
"""

__version__ = "0.1.0"

from .errors import ConnectionError, Error, LimitError, ProtocolError, StateError
from .job import Job
from .progress import Progress
from .registry import writer_registry
from .run import run
from .writers import Writer, csv, file

__all__ = [
    "ConnectionError",
    "Error",
    "Job",
    "LimitError",
    "Progress",
    "ProtocolError",
    "StateError",
    "Writer",
    "csv",
    "file",
    "run",
    "writer_registry",
]
