"""judges - what lighter would have written, by Python's, torch's and numpy's own means.

None of this shares code with lighterd.
"""

import csv
import io

import pytest

TORCH_DTYPES = (
    "bool uint8 int8 int16 uint16 int32 uint32 int64 uint64 "
    "float16 bfloat16 float32 float64 complex64 complex128"
).split()


def is_tensor(value):
    return hasattr(value, "ndim")


def n_samples(outputs, keys):
    for key in keys:
        value = outputs[key]
        if isinstance(value, (list, tuple)) or is_tensor(value) and value.ndim:
            return len(value)
    return 1


def cell(value, index):
    """One sample of a column, as lighter's CsvWriter takes it."""
    if isinstance(value, (list, tuple)):
        return value[index]
    if is_tensor(value):
        if value.ndim == 0:
            return value.item()
        item = value[index]
        return item.item() if item.ndim == 0 else item.tolist()
    return value


def table(keys, batches, header=True):
    """The bytes that csv.writer makes of these batches."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if header:
        writer.writerow(keys)
    for outputs in batches:
        for i in range(n_samples(outputs, keys)):
            writer.writerow([cell(outputs[key], i) for key in keys])
    return text.getvalue().encode()


def random_tensor(torch, dtype, shape, generator):
    """Any bits that the dtype may have, NaN and infinities among them."""
    if not hasattr(torch, dtype):
        pytest.skip(f"torch {torch.__version__} has no {dtype}")
    dtype = getattr(torch, dtype)
    like = torch.empty(shape, dtype=dtype)
    n_bytes = like.numel() * like.element_size()
    high = 2 if dtype is torch.bool else 256
    bits = torch.randint(0, high, (n_bytes,), dtype=torch.uint8, generator=generator)
    return bits.view(dtype).reshape(shape)


def same_bits(torch, a, b):
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and torch.equal(
            a.contiguous().reshape(-1).view(torch.uint8),
            b.contiguous().reshape(-1).view(torch.uint8),
        )
    )


def pixels(torch, image):
    """lighter's rule for a CHW image, as rows of pixels (HWC, or HW where C is 1)."""
    values = (image.float().clamp(0, 1) * 255).to(torch.uint8)
    return (values[0] if len(values) == 1 else values.permute(1, 2, 0)).numpy()


def staging(directory):
    """Where a job that is not over stages the files of `directory`: in it, or beside."""
    (found,) = [*directory.glob(".lighterd.*"), *directory.parent.glob(".lighterd.*")]
    return found


def files(directory):
    """Relative name to bytes of all files below, hidden ones as well."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
