"""Tensors on a GPU: what is written is what they hold, by memory that is pinned.

Runs where torch finds a GPU, and is skipped elsewhere.
"""

import judges
import lighterd
import pytest
from lighterd import memory as client_memory
from lighterd import pinned

pytestmark = pytest.mark.usefixtures("gpu")

MIB = 1 << 20


@pytest.fixture
def gpu(torch):
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    return torch.device("cuda")


def predictions(torch, device, n=4):
    """Of each kind, some not in order, one below what goes into memory."""
    generator = torch.Generator().manual_seed(5)
    outputs = {
        dtype: judges.random_tensor(torch, dtype, (n, 3, 64, 96), generator).to(device)
        for dtype in judges.TORCH_DTYPES
    }
    outputs["turned"] = outputs["float32"].transpose(2, 3)
    outputs["part"] = outputs["float32"][:, 1:, ::2]
    outputs["small"] = torch.arange(n, device=device)
    return outputs


def write(daemon, torch, directory, outputs, n_batches=3):
    """Returns whether the memory was pinned."""
    writers = [lighterd.file(directory / key, key, "tensor") for key in outputs]
    with lighterd.run(*writers, socket=daemon.socket) as out:
        for _ in range(n_batches):
            out.write(outputs)
        memory = out._connection._memory
        room = torch.frombuffer(memory._map, dtype=torch.uint8)
        return bool(memory._pinned) and room.is_pinned()


def test_files_are_those_of_the_same_tensors_on_the_cpu(daemon, torch, gpu, tmp_path):
    on_gpu = predictions(torch, gpu)
    assert write(daemon, torch, tmp_path / "gpu", on_gpu)
    write(daemon, torch, tmp_path / "cpu", {k: v.cpu() for k, v in on_gpu.items()})

    assert judges.files(tmp_path / "gpu") == judges.files(tmp_path / "cpu")


def test_a_batch_is_what_it_was_when_it_was_handed_over(daemon, torch, gpu, tmp_path):
    """The model goes on at once, and writes into the same memory of the GPU."""
    value = torch.empty(2, MIB, device=gpu)
    writer = lighterd.file(tmp_path, "value", "tensor")
    with lighterd.run(writer, socket=daemon.socket) as out:
        for i in range(20):
            value.fill_(i)
            out.write({"value": value})
            value.fill_(-1)

    files = [torch.load(path, weights_only=True) for path in tmp_path.glob("*.pt")]
    assert all((loaded == loaded[0]).all() for loaded in files)
    assert sorted(loaded[0].item() for loaded in files) == sorted(2 * list(range(20)))


def test_the_next_connection_pins_what_it_takes_over(
    daemon, torch, gpu, tmp_path, monkeypatch
):
    """Pages that were given back in between must not be those that a GPU writes to."""
    monkeypatch.setattr(client_memory, "KEPT_BYTES", MIB)
    for name in ("first", "second"):
        outputs = predictions(torch, gpu)
        assert write(daemon, torch, tmp_path / name, outputs)

    assert judges.files(tmp_path / "first") == judges.files(tmp_path / "second")


def test_what_can_not_be_pinned_leaves_no_error_behind(torch, gpu):
    room = client_memory.Memory(MIB)
    address = pinned.pin(room._map)
    assert address
    assert pinned.pin(room._map) == 0  # it is pinned already

    assert torch.ones(8, device=gpu).sum().item() == 8
    pinned.unpin(address)
    room.close()
