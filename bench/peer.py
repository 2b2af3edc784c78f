"""peer - what writes predictions in the process today.

In: batches. Out: the same tables and files as lighterd's. These are loops written anew
that do, step for step, what lighter's published callbacks do with a batch: the release
of lighter on PyPI is another version than the one whose callbacks lighterd takes over,
so none is installed here. Where a loop is kinder than lighter's, it says so.
"""

from __future__ import annotations

import csv
import gc
import os
from typing import Any, Dict, List, Optional, Sequence

import torch
from PIL import Image

Batch = Dict[str, Any]


class CsvLoop:
    """A row a sample through csv.writer, each cell taken from its tensor by itself."""

    def __init__(self, path: str, keys: Sequence[str]) -> None:
        self._file = open(path, "w", newline="")
        self._writer = csv.writer(self._file)
        self._keys = keys
        self._writer.writerow(keys)

    def write(self, batch: Batch) -> None:
        lengths = {n for n in map(_count, batch.values()) if n is not None}
        if len(lengths) != 1:
            raise ValueError(f"the columns have {lengths} rows")
        for i in range(lengths.pop()):
            self._writer.writerow([_cell(batch[key], i) for key in self._keys])

    def close(self) -> None:
        self._file.close()


class CsvHook(CsvLoop):
    """All that lighter does at the end of a batch: it also collects garbage."""

    def __init__(self, path: str, keys: Sequence[str]) -> None:
        super().__init__(path, keys)
        self.predictions: List[Batch] = []

    def write(self, batch: Batch) -> None:
        super().write(batch)
        self.predictions = []
        gc.collect()


class CsvColumns(CsvLoop):
    """What a careful user writes: whole columns to lists, all rows in one call."""

    def write(self, batch: Batch) -> None:
        columns = [batch[key] for key in self._keys]
        columns = [c.tolist() if isinstance(c, torch.Tensor) else c for c in columns]
        self._writer.writerows(zip(*columns))


def _count(value: Any) -> Optional[int]:
    if isinstance(value, torch.Tensor):
        return 1 if value.ndim == 0 else len(value)
    return len(value) if isinstance(value, (list, tuple)) else None


def _cell(value: Any, i: int) -> Any:
    if isinstance(value, (list, tuple)):
        return value[i]
    if isinstance(value, torch.Tensor):
        item = value if value.ndim == 0 else value[i]
        return item.item() if item.ndim == 0 else item.tolist()
    return value


def join_by_csv(shards: Sequence[str], target: str) -> None:
    """The end of an epoch, without pandas: read every row, and write it again."""
    with open(target, "w", newline="") as file:
        writer = csv.writer(file)
        for i, shard in enumerate(shards):
            with open(shard, newline="") as rows:
                reader = csv.reader(rows)
                header = next(reader)
                if i == 0:
                    writer.writerow(header)
                writer.writerows(reader)


def join_by_pandas(shards: Sequence[str], target: str) -> None:
    import pandas

    frames = [pandas.read_csv(shard) for shard in shards]
    pandas.concat(frames, ignore_index=True).to_csv(target, index=False)


class Files:
    """A file a sample, numbered, by `save(path, sample)`."""

    def __init__(self, directory: str, save: Any) -> None:
        self._directory = directory
        self._save = save
        self._next = 0

    def write(self, values: torch.Tensor) -> None:
        for value in values:
            path = os.path.join(self._directory, str(self._next))
            self._save(path, value.detach().cpu())
            self._next += 1


def save_tensor(path: str, value: torch.Tensor) -> None:
    """lighter saves the row, a view, and with it the whole batch; a clone is kinder."""
    torch.save(value.clone(), path + ".pt")


def save_image(path: str, value: torch.Tensor) -> None:
    pixels = (value.clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0).numpy()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.save(path + ".png")
