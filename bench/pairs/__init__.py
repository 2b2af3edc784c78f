"""pairs - what is compared: a module a subject, each a generator of experiments.

An experiment is made when its turn comes, so that what others need is not in memory.
"""

from . import blocking, files, growth, images, ranks, service, sweep, table, whole

ALL = {
    "blocking": blocking.experiments,
    "files": files.experiments,
    "table": table.experiments,
    "images": images.experiments,
    "whole": whole.experiments,
    "service": service.experiments,
    "ranks": ranks.experiments,
    "growth": growth.experiments,
    "sweep": sweep.experiments,
}
