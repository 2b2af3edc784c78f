"""callbacks - the writers and the freezer of lighter, for Lightning's trainers.

In: a trainer's hooks. Out: its predictions, handed to the daemon, and parameters that
freeze and unfreeze. All writers of one trainer share a connection and a job, and where
they are given the same outputs, one hand-over of each batch; all freezers share their
decision. Either trainer takes them, `lightning.pytorch`'s and `pytorch_lightning`'s, and
so does anything that calls the hooks with a trainer's `global_rank` and `world_size`,
and its `callbacks`, in their order, where there are several writers.

Modules and names are those of `lighter.callbacks`.
"""

from .base_writer import BaseWriter
from .csv_writer import CsvWriter
from .file_writer import FileWriter
from .freezer import Freezer
from .pipeline_writer import PipelineWriter

__all__ = ["BaseWriter", "CsvWriter", "FileWriter", "Freezer", "PipelineWriter"]
