"""Volumes and videos, looked at by Pillow, ffprobe and ffmpeg."""

import json
import shutil
import subprocess

import judges
import pytest

import lighterd

needs_ffmpeg = pytest.mark.skipif(
    not shutil.which("ffprobe"), reason="ffmpeg is not installed"
)


def save(daemon, directory, writer_fn, values):
    writer = lighterd.file(directory, "v", writer_fn)
    with lighterd.run(writer, socket=daemon.socket) as out:
        out.write({"v": values})


def has_video(daemon):
    return "video" in daemon.ask("hello", protocol=1)["encoders"]


@pytest.fixture
def video_daemon(daemon):
    if not has_video(daemon):
        pytest.skip("this lighterd was built without video")
    return daemon


def probe(path):
    said = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", path],
        check=True,
        capture_output=True,
    ).stdout
    (stream,) = json.loads(said)["streams"]
    return stream


def frames(torch, path, height, width):
    """The frames of a video as ffmpeg decodes them: T, H, W, RGB."""
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        check=True,
        capture_output=True,
    ).stdout
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(-1, height, width, 3)


def smooth(torch, *shape):
    """Values from 0 to 1 that change slowly, as pictures do."""
    axes = torch.meshgrid(*[torch.linspace(0, 2, n) for n in shape], indexing="ij")
    return (torch.sin(sum((i + 1) * axis for i, axis in enumerate(axes))) + 1) / 2


# ---- image_3d ----


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "bool"])
def test_slices_stand_below_one_another(daemon, tmp_path, torch, channels, dtype):
    image_module = pytest.importorskip("PIL.Image")
    volume = (torch.rand(channels, 4, 5, 7) * 1.4 - 0.2).to(getattr(torch, dtype))

    writer_fn = {"name": "image_3d", "scale": "unit"} if dtype == "uint8" else "image_3d"
    save(daemon, tmp_path, writer_fn, [volume])

    stacked = volume.reshape(channels, 4 * 5, 7)
    expected = (stacked.float().clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0)
    with image_module.open(tmp_path / "0.png") as image:
        assert image.size == (7, 20)
        found = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    assert torch.equal(found, expected.reshape(-1))


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (1, 2, 3, 4, 5)])
def test_a_volume_has_four_dimensions(daemon, tmp_path, torch, shape):
    with pytest.raises(ValueError) as raised:
        save(daemon, tmp_path, "image_3d", [torch.zeros(1, 1, 2, 2), torch.zeros(shape)])

    assert "batch 0: sample 1: " in str(raised.value)
    assert (
        f"write_image_3d expects a 4D tensor (CDHW), got {len(shape)} dimensions."
        in str(raised.value)
    )
    assert judges.files(tmp_path) == {}


# ---- video ----


@needs_ffmpeg
@pytest.mark.parametrize("fps", [None, 10, 30])
def test_a_video_is_h264_with_all_frames_at_24_a_second(
    video_daemon, tmp_path, torch, fps
):
    writer_fn = {"name": "video", "fps": fps} if fps else "video"

    save(video_daemon, tmp_path, writer_fn, [smooth(torch, 3, 11, 32, 48)])

    stream = probe(tmp_path / "0.mp4")
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["width"], stream["height"]) == (48, 32)
    assert int(stream["nb_read_frames"]) == int(stream["nb_frames"]) == 11
    assert stream["r_frame_rate"] == stream["avg_frame_rate"] == f"{fps or 24}/1"


# A colour is stored for each two by two pixels, so strong ones lose more than grey.
@needs_ffmpeg
@pytest.mark.parametrize("channels, most", [(1, 3), (3, 6)])
def test_decoded_frames_are_the_tensors(video_daemon, tmp_path, torch, channels, most):
    video = smooth(torch, channels, 6, 64, 64)

    save(video_daemon, tmp_path, "video", [video])

    expected = (video * 255).to(torch.uint8).expand(3, -1, -1, -1).permute(1, 2, 3, 0)
    found = frames(torch, tmp_path / "0.mp4", 64, 64)
    assert found.shape == expected.shape
    assert (found.int() - expected.int()).abs().float().mean() < most


@needs_ffmpeg
def test_odd_sides_are_padded_with_the_minimum(video_daemon, tmp_path, torch):
    save(video_daemon, tmp_path, "video", [torch.full((1, 3, 15, 17), 0.5) + 0.4])

    found = frames(torch, tmp_path / "0.mp4", 16, 18)
    assert (found.float().mean() - 0.9 * 255).abs() < 3  # the minimum is 0.9 as well


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 3, 2, 4, 5)])
def test_a_video_has_four_dimensions(video_daemon, tmp_path, torch, shape):
    with pytest.raises(ValueError) as raised:
        save(video_daemon, tmp_path, "video", [torch.zeros(shape)])

    assert "sample 0: " in str(raised.value)
    assert (
        f"write_video expects a 4D tensor (CTHW), got {len(shape)} dimensions."
        in str(raised.value)
    )
