"""data - batches to write, and a model that makes the processor busy in between.

All values come from seeded generators: two runs write the same bytes.
"""

from __future__ import annotations

from itertools import cycle, islice
from time import perf_counter
from typing import Any, Dict, List

import torch
from torch.nn.functional import interpolate

KEYS = ("id", "pred", "target")
MODEL_S = 0.007  # 5 to 10 ms: a small network's batch on a GPU


def rows(n_rows: int, seed: int = 0) -> Dict[str, Any]:
    """A batch of a table: names, a float32 and an int64 tensor."""
    random = torch.Generator().manual_seed(seed)
    return {
        "id": [f"case-{seed:03d}-{i:06d}" for i in range(n_rows)],
        "pred": torch.rand(n_rows, generator=random),
        "target": torch.randint(0, 1000, (n_rows,), generator=random),
    }


def row_batches(n_rows: int, n_batches: int) -> List[Dict[str, Any]]:
    """Sixteen that differ, in turns: few objects, so that gc has little to do."""
    different = [rows(n_rows, seed) for seed in range(min(16, n_batches))]
    return list(islice(cycle(different), n_batches))


def images(kind: str, n: int, side: int = 224) -> torch.Tensor:
    """Natural ones are smooth with some noise; noise is noise; masks are blobs."""
    random = torch.Generator().manual_seed(7)
    if kind == "noise":
        return torch.rand(n, 3, side, side, generator=random)
    channels = 1 if kind == "mask" else 3
    coarse = torch.rand(n, channels, side // 16, side // 16, generator=random)
    smooth = interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    if kind == "mask":
        return (smooth > 0.5).float()
    noise = torch.randn(n, channels, side, side, generator=random)
    return (smooth + 0.01 * noise).clamp(0, 1)


class Work:
    """Convolutions that take MODEL_S here: the caches are the model's afterwards.

    One image at a time: what torch allocates for more, it gives back to the system, and
    page faults would be half of the work.
    """

    def __init__(self) -> None:
        self._conv = torch.nn.Conv2d(64, 64, 3, padding=1)
        self._image = torch.rand(1, 64, 56, 56)
        self._n = 20
        self()
        start = perf_counter()
        self()
        self._n = max(1, round(MODEL_S * self._n / (perf_counter() - start)))

    def __call__(self) -> torch.Tensor:
        with torch.inference_mode():
            image = self._image
            for _ in range(self._n):
                image = self._conv(image)
            return image


class Network(torch.nn.Module):
    """A small CNN that predicts an image and a number for each image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 64, 4, stride=4),
            torch.nn.ReLU(),
            torch.nn.Conv2d(64, 64, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(64, 64, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(64, 48, 1),
            torch.nn.PixelShuffle(4),
        )

    def forward(self, image: torch.Tensor) -> Dict[str, torch.Tensor]:
        made = torch.sigmoid(0.1 * self.body(image) + 4 * image - 2)
        return {"image": made, "pred": made.mean(dim=(1, 2, 3))}
