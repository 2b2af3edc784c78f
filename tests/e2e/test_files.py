"""Files through the daemon hold what lighter's own functions would have written."""

import inspect
import logging
import os
from pathlib import Path

import judges
import pytest
import ranks
import rawclient

import lighterd

SHAPES = [(), (1,), (5,), (0,), (2, 3), (2, 0, 3), (1, 2, 1, 3), (3, 1000)]


def write(daemon, writer, batches, rank=0, world_size=1):
    with lighterd.run(
        writer, rank=rank, world_size=world_size, socket=daemon.socket
    ) as out:
        for outputs in batches:
            out.write(outputs)


def save(daemon, directory, writer_fn, values, names=None):
    """Write one batch; what files there are now."""
    writer = lighterd.file(directory, "v", writer_fn, names and "name")
    write(daemon, writer, [{"v": values, **({"name": names} if names else {})}])
    return judges.files(directory)


def any_tensor(torch, dtype, shape, seed=11):
    generator = torch.Generator().manual_seed(seed)
    return judges.random_tensor(torch, dtype, shape, generator)


def can_map(torch):
    """torch.load has it since 2.1."""
    return "mmap" in inspect.signature(torch.load).parameters


# ---- tensors ----


@pytest.mark.parametrize("dtype", judges.TORCH_DTYPES)
def test_torch_loads_the_very_tensor_that_was_written(daemon, tmp_path, torch, dtype):
    tensors = [any_tensor(torch, dtype, shape) for shape in SHAPES]
    names = ["x".join(map(str, shape)) or "scalar" for shape in SHAPES]

    save(daemon, tmp_path / "out", "tensor", tensors, names)

    for name, tensor in zip(names, tensors):
        path = tmp_path / "out" / f"{name}.pt"
        loaded = torch.load(path, weights_only=True)
        assert judges.same_bits(torch, loaded, tensor), name
        if can_map(torch):
            mapped = torch.load(path, weights_only=True, mmap=True)
            assert judges.same_bits(torch, mapped, tensor), name


def test_a_batch_is_split_along_its_first_dimension(daemon, tmp_path, torch):
    batch = torch.randn(7, 2, 3)

    save(daemon, tmp_path / "out", "tensor", batch)

    for i in range(7):
        loaded = torch.load(tmp_path / f"out/{i}.pt", weights_only=True)
        assert judges.same_bits(torch, loaded, batch[i])
    assert len(judges.files(tmp_path / "out")) == 7


def test_a_loaded_tensor_can_be_changed_and_saved_again(daemon, tmp_path, torch):
    save(daemon, tmp_path / "out", "tensor", [torch.arange(6.0).reshape(2, 3)])
    loaded = torch.load(tmp_path / "out/0.pt", weights_only=True)

    loaded += 1
    torch.save(loaded, tmp_path / "again.pt")

    assert torch.equal(
        torch.load(tmp_path / "again.pt"), torch.arange(1.0, 7).reshape(2, 3)
    )


def test_strided_and_gradient_bearing_tensors_are_written_by_value(
    daemon, tmp_path, torch
):
    values = [
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(10)[::3],
        torch.ones(3, requires_grad=True),
        torch.ones(1).expand(4),
    ]

    save(daemon, tmp_path / "out", "tensor", values)

    for i, value in enumerate(values):
        loaded = torch.load(tmp_path / f"out/{i}.pt", weights_only=True)
        assert torch.equal(loaded, value.detach()) and loaded.is_contiguous()


def test_a_batch_without_samples_makes_no_file(daemon, tmp_path, torch):
    assert save(daemon, tmp_path / "out", "tensor", torch.zeros(0, 3)) == {}


# ---- images ----


def any_image(torch, dtype, channels, height=13, width=200):
    if dtype in ("float16", "bfloat16", "float32", "float64"):
        image = torch.randn(channels, height, width, generator=torch.manual_seed(5))
        image[:, 0, :4] = torch.tensor([float("inf"), float("-inf"), 1.0, -0.0])
        return image.to(getattr(torch, dtype))
    return any_tensor(torch, dtype, (channels, height, width))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "dtype", [dtype for dtype in judges.TORCH_DTYPES if "complex" not in dtype]
)
def test_pixels_are_those_of_lighters_rule(
    shared_daemon, tmp_path, torch, dtype, channels
):
    np, image_module = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    image = any_image(torch, dtype, channels)

    unit = {"name": "image_2d", "scale": "unit"}
    save(shared_daemon, tmp_path / "out", unit if "int" in dtype else "image_2d", [image])

    with image_module.open(tmp_path / "out/0.png") as png:
        assert png.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        assert np.array_equal(np.asarray(png), judges.pixels(torch, image))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
def test_a_label_map_keeps_its_labels(daemon, tmp_path, torch, dtype):
    np, image_module = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    labels = torch.arange(5 * 7).remainder(5).view(1, 5, 7).to(getattr(torch, dtype))

    save(daemon, tmp_path / "out", "image_2d", [labels])

    with image_module.open(tmp_path / "out/0.png") as png:
        assert np.array_equal(np.asarray(png), labels[0].numpy())


@pytest.mark.parametrize("dtype, bits", [("uint16", None), ("int32", 16)])
def test_an_image_of_16_bits_keeps_its_values(daemon, tmp_path, dtype, bits):
    np, image_module = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    image = (np.arange(30 * 40) * 54).reshape(1, 30, 40).astype(dtype)
    options = {"bits": bits} if bits else {}

    save(daemon, tmp_path / "out", {"name": "image_2d", **options}, image[None])

    with image_module.open(tmp_path / "out/0.png") as png:
        assert png.mode.startswith("I")  # 16 bits, or what Pillow widens them to
        assert np.array_equal(np.asarray(png).astype(dtype), image[0])


def test_a_value_that_is_no_pixel_is_refused_by_its_sample(daemon, tmp_path, torch):
    with pytest.raises(ValueError, match="sample 1: .*0 to 255 .bits = 8., got 300"):
        save(daemon, tmp_path / "out", "image_2d", torch.tensor([[[[4]]], [[[300]]]]))

    assert judges.files(tmp_path / "out") == {}


@pytest.mark.parametrize("suffix", [".jpg", "_seg.nii", ".NPY"])
def test_a_suffix_that_promises_another_format_is_refused(daemon, tmp_path, suffix):
    with pytest.raises(ValueError, match=f"'{suffix}' promises the format"):
        save(daemon, tmp_path, {"name": "image_2d", "suffix": suffix}, [])


@pytest.mark.parametrize("size", [(1, 1), (1, 129), (300, 2), (128, 128), (257, 255)])
@pytest.mark.parametrize("compression", [0, 1, 6])
def test_images_of_any_size_and_compression(
    shared_daemon, tmp_path, torch, size, compression
):
    np, image_module = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    image = torch.rand(3, *size, generator=torch.manual_seed(1))
    writer_fn = {"name": "image_2d", "compression": compression}

    save(shared_daemon, tmp_path / "out", writer_fn, image[None])

    with image_module.open(tmp_path / "out/0.png") as png:
        png.load()
        assert np.array_equal(np.asarray(png), judges.pixels(torch, image))


def test_a_numpy_image_is_an_image_too(daemon, tmp_path):
    np, image_module = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")

    save(daemon, tmp_path / "out", "image_2d", [np.full((1, 2, 2), 0.5, "<f4")])

    with image_module.open(tmp_path / "out/0.png") as png:
        assert np.asarray(png).tolist() == [[127, 127], [127, 127]]


@pytest.mark.parametrize(
    "shape, expected",
    [
        ((4, 4), "3D tensor"),
        ((1, 3, 4, 4), "3D tensor"),
        ((2, 4, 4), "channels"),
        ((3, 0, 4), "height"),
    ],
)
def test_what_is_no_image_is_refused(daemon, tmp_path, torch, shape, expected):
    with pytest.raises(ValueError, match=expected):
        save(daemon, tmp_path / "out", "image_2d", [torch.zeros(shape)])

    assert not any((tmp_path / "out").glob("*.png"))


# ---- text ----


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a\r\nb\n",
        "ä日🎉",
        1,
        -0.0,
        1e-05,
        float("nan"),
        None,
        True,
        b"\x00'",
        [1, "x", [None]],
        {"a": [1.5], 2: b""},
        2**70,
    ],
)
def test_a_text_file_holds_what_str_gives(shared_daemon, tmp_path, value):
    assert save(shared_daemon, tmp_path / "out", "text", [value]) == {
        "0.txt": str(value).encode()
    }


def test_a_text_file_may_have_another_encoding(daemon, tmp_path):
    writer_fn = {"name": "text", "encoding": "latin-1"}

    assert save(daemon, tmp_path / "out", writer_fn, ["ä"]) == {"0.txt": b"\xe4"}


# ---- names ----


def test_numbers_go_on_from_batch_to_batch(daemon, tmp_path):
    writer = lighterd.file(tmp_path / "out", "v", "text")

    write(daemon, writer, [{"v": ["a", "b"]}, {"v": []}, {"v": "c"}, {"v": ("d", "e")}])

    assert judges.files(tmp_path / "out") == {
        f"{i}.txt": text.encode() for i, text in enumerate("abcde")
    }


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks_take_every_other_number(daemon, tmp_path, n_ranks):
    writer = lighterd.file(tmp_path / "out", "v", "text")

    def run(r):
        write(daemon, writer, [{"v": [f"{r}.{k}"]} for k in range(4)], r, n_ranks)

    ranks.in_threads(run, range(n_ranks))

    assert judges.files(tmp_path / "out") == {
        f"{r + k * n_ranks}.txt": f"{r}.{k}".encode()
        for r in range(n_ranks)
        for k in range(4)
    }


def test_a_refused_batch_takes_no_numbers(daemon, tmp_path):
    with daemon.raw() as client:
        client.call("open", job="p", writers=[rawclient.file_writer(tmp_path / "out")])
        client.call("write", job=1, seq=1, outputs={"v": ["a"]})
        client.refusal("write", job=1, seq=2, outputs={"w": ["b"]})
        client.call("write", job=1, seq=3, outputs={"v": ["c"]})
        client.call("end", job=1)

    assert judges.files(tmp_path / "out") == {"0.txt": b"a", "1.txt": b"c"}


def test_names_may_have_folders_dots_and_any_characters(daemon, tmp_path):
    names = [
        "1.2.55",
        "1.2.56",
        "a/b/c",
        "a/b.c/d",
        "...",
        ".hidden",
        "ä ö",
        "🎉",
        "x.png",
        "-",
        "a\\b",
        "n" * 251,
        "'\"$`*?",
    ]

    found = save(
        daemon, tmp_path / "out", "text", list(map(str, range(len(names)))), names
    )

    assert found == {f"{name}.txt": str(i).encode() for i, name in enumerate(names)}


def test_names_may_be_numbers_and_tensors(daemon, tmp_path, torch):
    writer = lighterd.file(tmp_path / "out", "v", "text", "name")
    names = [torch.tensor([7, 8]), [9, 1.5], (True, None)]

    write(daemon, writer, [{"v": ["a", "b"], "name": name} for name in names])

    assert sorted(judges.files(tmp_path / "out")) == sorted(
        f"{name}.txt" for name in (7, 8, 9, 1.5, True, None)
    )


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../x",
        "a/../../x",
        "/etc/x",
        "",
        ".",
        "a//b",
        "a/",
        "/",
        "a/./b",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "\x7f",
        "\x85",
        "\u202egnp.exe",
        "n" * 256,
        "n" * 256 + "/x",
        "/".join("n" * 65),
        "/".join(["n" * 200] * 21),
        "../" * 1000 + "etc/x",
        " /../..",
    ],
)
def test_a_name_that_leaves_the_directory_or_cannot_be_is_refused(
    shared_daemon, tmp_path, name
):
    writer = lighterd.file(tmp_path / "in" / "out", "v", "text", "name")

    with pytest.raises(ValueError, match="name") as raised:
        write(shared_daemon, writer, [{"v": ["x", "y"], "name": ["fine", name]}])

    assert raised.value.details["sample"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert [p for p in os.listdir(tmp_path / "in") if p[0] != "."] == ["out"]
    assert not os.listdir(tmp_path / "in" / "out")


def test_a_link_in_the_staging_directory_is_not_followed(daemon, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    with daemon.raw() as client:
        writers = [rawclient.file_writer(tmp_path / "out", name_key="n")]
        client.call("open", job="p", writers=writers)
        (judges.staging(tmp_path / "out") / "link").symlink_to(outside)
        refused = client.refusal(
            "write", job=1, seq=1, outputs={"v": ["x"], "n": ["link/x"]}
        )
        client.call("abort", job=1)

    assert refused.code == "os" and refused.details["errno_name"] in (
        "ELOOP",
        "ENOTDIR",
    )
    assert not any(outside.iterdir())


@pytest.mark.parametrize("batches", [[["a", "b", "a"]], [["a"], ["b", "a"]]])
def test_a_name_that_comes_twice_in_an_epoch_is_refused_by_name(
    daemon, tmp_path, batches
):
    writer = lighterd.file(tmp_path / "out", "v", "text", "name")

    with pytest.raises(ValueError, match="'a.txt'.*before"):
        write(daemon, writer, [{"v": names, "name": names} for names in batches])


def test_a_batch_with_a_bad_name_leaves_none_of_its_files(daemon, tmp_path):
    with daemon.raw() as client:
        writers = [rawclient.file_writer(tmp_path / "out", name_key="n")]
        client.call("open", job="p", writers=writers)
        names = [f"d/{i}" for i in range(50)] + [".."]
        client.refusal("write", job=1, seq=1, outputs={"v": names, "n": names})
        client.call("write", job=1, seq=2, outputs={"v": ["good"], "n": ["d/3"]})
        client.call("end", job=1)

    assert judges.files(tmp_path / "out") == {"d/3.txt": b"good"}


# ---- publication ----


def test_nothing_bears_its_final_name_before_the_end(daemon, tmp_path):
    with daemon.raw() as client:
        client.call("open", job="p", writers=[rawclient.file_writer(tmp_path / "out")])
        client.call("write", job=1, seq=1, outputs={"v": ["a", "b"]})

        before = judges.files(tmp_path)
        client.call("end", job=1)

    assert sorted(map(os.path.basename, before)) == ["0.txt", "1.txt"]
    assert all(name.startswith(".lighterd.") for name in before)
    assert os.listdir(tmp_path) == ["out"]
    assert judges.files(tmp_path / "out") == {"0.txt": b"a", "1.txt": b"b"}


def test_other_files_stay_and_those_of_the_same_name_are_replaced(
    daemon, tmp_path, caplog
):
    (tmp_path / "out" / "d").mkdir(parents=True)
    for name in ("other", "d/other", "0.txt"):
        (tmp_path / "out" / name).write_text("old")

    with caplog.at_level(logging.WARNING, "lighterd"):
        found = save(daemon, tmp_path / "out", "text", ["new"])

    assert found == {"other": b"old", "d/other": b"old", "0.txt": b"new"}
    assert f"{tmp_path}/out already exists" in caplog.text


def test_an_empty_directory_is_not_warned_of(daemon, tmp_path, caplog):
    (tmp_path / "out").mkdir()
    save(daemon, tmp_path / "out", "text", ["new"])

    assert not caplog.records


def test_a_table_and_two_kinds_of_files_of_one_hand_over(daemon, tmp_path, torch):
    images = torch.rand(3, 1, 4, 4)
    writers = [
        lighterd.csv(tmp_path / "t.csv", ["id"]),
        lighterd.file(tmp_path / "both", "image", "tensor", "id"),
        lighterd.file(tmp_path / "both", "image", "image_2d", "id"),
    ]

    with lighterd.run(*writers, socket=daemon.socket) as out:
        out.write({"id": ["a", "b", "c"], "image": images})

    assert sorted(judges.files(tmp_path)) == sorted(
        ["t.csv", *(f"both/{i}.{suffix}" for i in "abc" for suffix in ("pt", "png"))]
    )


# ---- encoders ----


def test_a_suffix_may_be_chosen_and_be_none(daemon, tmp_path):
    chosen = save(
        daemon, tmp_path / "a", {"name": "text", "suffix": ".md"}, ["x"], ["a.b"]
    )
    none = save(daemon, tmp_path / "b", {"name": "text", "suffix": ""}, ["x"], ["a.b"])

    assert list(chosen) == ["a.b.md"]
    assert list(none) == ["a.b"]


@pytest.mark.parametrize("suffix", ["/x", "a/../b", "s" * 65, "\n", "\0"])
def test_a_suffix_that_is_none_is_refused(daemon, tmp_path, suffix):
    with pytest.raises(ValueError, match="suffix"):
        save(daemon, tmp_path / "out", {"name": "text", "suffix": suffix}, ["x"])


def test_an_unknown_encoder_is_refused_with_a_list_of_those_there_are(daemon, tmp_path):
    with pytest.raises(ValueError) as raised:
        save(daemon, tmp_path / "out", "picture", ["x"])

    for name in ("picture", "image_2d", "tensor", "text"):
        assert name in str(raised.value)
    assert not Path(tmp_path / "out").exists()


def test_an_unknown_option_of_an_encoder_is_refused_with_a_list(daemon, tmp_path):
    with pytest.raises(ValueError, match="'quality'.*'suffix'"):
        save(daemon, tmp_path / "out", {"name": "image_2d", "quality": 3}, ["x"])


@pytest.mark.parametrize("writer_fn", ["tensor", "image_2d"])
def test_a_value_that_is_no_tensor_is_a_type_error(daemon, tmp_path, writer_fn):
    with pytest.raises(TypeError, match="expects a tensor"):
        save(daemon, tmp_path / "out", writer_fn, ["x"])
