"""encoders - files like those of the daemon's encoders, written by this process, at once.

In: a path and a value. Out: one file. These are for code of one's own, such as a writer
that overrides `write`; given to `FileWriter` as its `writer_fn` each stands for the
daemon's encoder. PNGs need nothing but numpy and zlib. Any thread.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import numpy as np

from . import tensor as tensors
from .address import PathLike

COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # of a PNG: grey, RGB, RGBA


def write_tensor(path: PathLike, tensor: Any, *, suffix: str = ".pt") -> None:
    """What `torch.load` reads: this tensor, without the batch that it is a view of."""
    import torch

    if isinstance(tensor, np.ndarray):
        tensor = torch.from_numpy(np.ascontiguousarray(tensor))
    if isinstance(tensor, torch.Tensor):
        tensor = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    torch.save(tensor, _with(path, suffix))


def write_image_2d(path: PathLike, tensor: Any, *, suffix: str = ".png", **how: Any) -> None:
    """A PNG of a tensor of shape (channels, height, width).

    `how` has `compression`, `bits` and `scale`; see doc/outputs.md.
    """
    pixels = _pixels("write_image_2d", tensor, "CHW", how)
    _write_png(_with(path, suffix), pixels, **how)


def write_image_3d(path: PathLike, tensor: Any, *, suffix: str = ".png", **how: Any) -> None:
    """A PNG of a tensor of shape (channels, depth, height, width): slice below slice."""
    pixels = _pixels("write_image_3d", tensor, "CDHW", how)
    channels, depth, height, width = pixels.shape
    pixels = pixels.reshape(channels, depth * height, width)
    _write_png(_with(path, suffix), pixels, **how)


def write_text(
    path: PathLike, value: Any, *, suffix: str = ".txt", encoding: str = "utf-8"
) -> None:
    """`str(value)`; of a tensor its values."""
    if tensors.is_tensor(value):
        value = value.tolist()
    _with(path, suffix).write_bytes(str(value).encode(encoding))


def _with(path: PathLike, suffix: str) -> Path:
    """Appended, for `1.2.840` is an id, unless it is there already."""
    path = Path(path)
    return path if path.name.endswith(suffix) else path.with_name(path.name + suffix)


def _pixels(who: str, tensor: Any, axes: str, how: Dict[str, Any]) -> np.ndarray:
    """Whole numbers of 8 or 16 bits; takes `bits` and `scale` out of `how`."""
    bits, scale = how.pop("bits", None), how.pop("scale", None)
    values = _as_array(tensor)
    if values.ndim != len(axes):
        raise ValueError(
            f"{who} expects a {len(axes)}D tensor ({axes}), got {values.ndim} dimensions."
        )
    if values.shape[0] not in COLOUR_TYPES:
        raise ValueError(f"{who} expects 1, 3 or 4 channels, got {values.shape[0]}.")
    if bits not in (None, 8, 16):
        raise ValueError(f"{who}: `bits` must be 8 or 16, not {bits!r}.")
    bits = bits or (16 if values.dtype == np.uint16 and scale != "unit" else 8)
    top = (1 << bits) - 1
    if values.dtype.kind in "iu" and scale != "unit":
        if values.size and not 0 <= values.min() <= values.max() <= top:
            raise ValueError(
                f"{who}: pixels from {values.min()} to {values.max()} do not fit into "
                f"`bits` = {bits}; divide them, or use bits=16 or scale='unit'."
            )
    else:
        values = np.nan_to_num(values.astype(np.float32), nan=0.0)
        values = np.clip(values, 0, 1) * np.float32(top)
    return values.astype(">u2" if bits == 16 else np.uint8)


def _as_array(value: Any) -> np.ndarray:
    if tensors.is_torch(value):
        value = value.detach().cpu()
        if value.dtype is sys.modules["torch"].bfloat16:
            value = value.float()
        value = value.numpy()
    return np.asarray(value)


def _write_png(path: Path, pixels: np.ndarray, compression: int = 1) -> None:
    """`pixels`: channels, height and width."""
    channels, height, width = pixels.shape
    bits = 8 * pixels.itemsize
    rows = np.moveaxis(pixels, 0, -1).reshape(height, -1)
    raw = np.zeros((height, 1 + rows.shape[1] * pixels.itemsize), np.uint8)
    raw[:, 1:] = np.ascontiguousarray(rows).view(np.uint8)  # 0 before each: no filter
    header = struct.pack(
        ">IIBBBBB", width, height, bits, COLOUR_TYPES[channels], 0, 0, 0
    )
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, data in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(raw.tobytes(), compression)),
            (b"IEND", b""),
        ):
            check = zlib.crc32(name + data)
            file.write(struct.pack(">I", len(data)) + name + data)
            file.write(struct.pack(">I", check))


class Encoder:
    """One that only the daemon has: `FileWriter` takes it, and nobody can call it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, path: PathLike, value: Any) -> None:
        raise TypeError(
            f"the encoder '{self.name}' runs in lighterd alone: give it to FileWriter "
            f"or lighterd.file as writer_fn; here there are {', '.join(HERE)}"
        )

    def __repr__(self) -> str:
        return f"Encoder({self.name!r})"


HERE: Dict[str, Callable[..., None]] = {
    "tensor": write_tensor,
    "image_2d": write_image_2d,
    "image_3d": write_image_3d,
    "text": write_text,
}


def name_of(writer_fn: Any) -> Optional[str]:
    """The daemon's encoder that `writer_fn` stands for, where it does."""
    if isinstance(writer_fn, Encoder):
        return writer_fn.name
    for name, function in HERE.items():
        if writer_fn is function:
            return name
    return None
