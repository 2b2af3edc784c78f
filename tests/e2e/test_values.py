"""What Python prints of a value, after tolist() and item() at every depth, is a cell."""

import collections
import csv
import dataclasses
import datetime
import decimal
import enum
import pathlib
import random
import uuid
import warnings

import judges
import numpy as np
import pytest
from test_csv import any_scalar, assert_same, write

import lighterd

pytestmark = pytest.mark.usefixtures("either_client")

Pair = collections.namedtuple("Pair", "left right")


@dataclasses.dataclass
class Box:
    corner: object
    label: object


class Colour(enum.Enum):
    RED = "r"


FOREIGN = [
    decimal.Decimal("1.10"),
    datetime.datetime(2020, 1, 2, 3, 4, 5),
    datetime.timedelta(1, 2),
    uuid.UUID(int=7),
    pathlib.PurePosixPath("/a/b, c"),
    Colour.RED,
    1 - 2j,
    2**70,
    bytearray(b"ab"),
    range(3),
    int,
]
NUMPY = "? b B h H i I q Q e f d F D".split()


def any_array(rng, shape=None):
    shape = rng.choice([(), (1,), (3,), (0,), (2, 2)]) if shape is None else shape
    bits = np.frombuffer(rng.randbytes(16 * max(1, int(np.prod(shape)))), np.uint8)
    dtype = np.dtype(rng.choice(NUMPY))
    if dtype.kind == "b":
        bits = bits % 2
    return bits.view(dtype)[: int(np.prod(shape))].reshape(shape)


def any_tensor(rng, torch):
    array = any_array(rng)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(array.dtype.str.replace("u", "i"))
    tensor = torch.from_numpy(array.copy())
    is_short = tensor.is_floating_point() and rng.random() < 0.5
    return tensor.to(torch.bfloat16) if is_short else tensor


def any_leaf(rng, torch):
    return rng.choice(
        (
            lambda: any_scalar(rng),
            lambda: rng.choice(FOREIGN),
            lambda: any_array(rng),
            lambda: any_array(rng, ())[()],
            lambda: any_tensor(rng, torch),
        )
    )()


def any_nested(rng, torch, depth):
    if depth == 0 or rng.random() < 0.3:
        return any_leaf(rng, torch)
    items = [any_nested(rng, torch, depth - 1) for _ in range(rng.randint(0, 3))]
    kind = rng.choice("list tuple dict ordered pair box deque".split())
    if kind in ("dict", "ordered"):
        keys = [rng.choice((str(i), i, np.float32(i), (i,))) for i in range(len(items))]
        pairs = list(zip(keys, items))
        return dict(pairs) if kind == "dict" else collections.OrderedDict(pairs)
    if kind in ("pair", "box"):
        both = [any_nested(rng, torch, depth - 1) for _ in range(2)]
        return Pair(*both) if kind == "pair" else Box(*both)
    return {"list": list, "tuple": tuple, "deque": collections.deque}[kind](items)


def python(value):
    """`value` after tolist() and item(), wherever they are."""
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Pair):
        return Pair(*map(python, value))
    if isinstance(value, Box):
        return Box(python(value.corner), python(value.label))
    if isinstance(value, dict):
        return type(value)((python(key), python(each)) for key, each in value.items())
    if isinstance(value, (list, tuple, collections.deque)):
        return type(value)(map(python, value))
    return value


def test_random_values_are_what_csv_writes_of_them_in_python(daemon, tmp_path, torch):
    rng = random.Random(20261130)
    batches = []
    for _ in range(40):
        n = rng.choice((1, 2, 7, 40))
        batches.append(
            {
                "nested": [any_nested(rng, torch, 4) for _ in range(n)],
                "leaf": [any_leaf(rng, torch) for _ in range(n)],
                "array": any_array(rng, (n, 2)),
            }
        )

    write(daemon, tmp_path / "t.csv", ["nested", "leaf", "array"], batches)

    in_python = [{key: python(value) for key, value in each.items()} for each in batches]
    expected = judges.table(["nested", "leaf", "array"], in_python)
    assert_same((tmp_path / "t.csv").read_bytes(), expected)


def column(daemon, path, value, n=2):
    """The cells that `value` becomes beside a column of `n`."""
    write(daemon, path, ["id", "x"], [{"id": list(range(n)), "x": value}])
    with open(path, newline="") as file:
        return [row["x"] for row in csv.DictReader(file)]


def test_columns_of_pandas_are_one_sample_an_item(daemon, tmp_path):
    pd = pytest.importorskip("pandas")
    path = tmp_path / "t.csv"
    dates = pd.Series(pd.to_datetime(["2020-01-02 03:04:05", None]))

    for value, cells in (
        (pd.Series([0.1, 0.2]), ["0.1", "0.2"]),
        (pd.Series([0.1, 0.5], dtype="float32"), ["0.10000000149011612", "0.5"]),
        (pd.Series([1, None], dtype="Int64"), ["1", ""]),
        (pd.Series([True, None], dtype="boolean"), ["True", ""]),
        (pd.Series(["0001", "b,c"]), ["0001", "b,c"]),
        (pd.Series([(1, 2), [np.float32(0.5)]]), ["(1, 2)", "[0.5]"]),
        (pd.Index(["a", "b"]), ["a", "b"]),
        (pd.RangeIndex(2), ["0", "1"]),
        (pd.Categorical([1, 2]), ["1", "2"]),
        (pd.Categorical(["a", "b"]), ["a", "b"]),
        (dates, ["2020-01-02 03:04:05", ""]),
        (dates.array, ["2020-01-02 03:04:05", ""]),
        ([pd.NA, pd.Timestamp("2020-01-02")], ["", "2020-01-02 00:00:00"]),
        ([[pd.NaT], pd.Series([1, 2])], ["[None]", "[1, 2]"]),
    ):
        assert column(daemon, path, value) == cells


def test_a_data_frame_is_no_column(daemon, tmp_path):
    pd = pytest.importorskip("pandas")

    with pytest.raises(TypeError, match="^key 'x': .*DataFrame is a table"):
        column(daemon, tmp_path / "t.csv", pd.DataFrame({"a": [1, 2]}))


def test_what_is_masked_is_empty(daemon, tmp_path):
    masked = np.ma.array([1.5, 2.5], mask=[True, False])
    rows = np.ma.array([[1, 2], [3, 4]], mask=[[False, True], [False, False]])

    assert column(daemon, tmp_path / "a.csv", masked) == ["", "2.5"]
    assert column(daemon, tmp_path / "b.csv", rows) == ["[1, None]", "[3, 4]"]
    assert column(daemon, tmp_path / "c.csv", np.ma.masked) == ["", ""]


def test_a_text_file_holds_what_a_cell_holds(daemon, tmp_path, torch):
    writer = lighterd.file(tmp_path / "d", "x", "text")
    with lighterd.run(writer, socket=daemon.socket) as out:
        out.write({"x": [{"a": [torch.tensor(0.5)]}, (np.float32(0.5),), np.int8(3)]})

    assert [(tmp_path / "d" / f"{i}.txt").read_text() for i in range(3)] == [
        "{'a': [0.5]}",
        "(0.5,)",
        "3",
    ]


def test_the_deepest_value_is_written_and_a_deeper_one_costs_its_batch_alone(
    daemon, tmp_path
):
    def nested(depth):
        return [nested(depth - 1)] if depth else 1

    path = tmp_path / "t.csv"
    with lighterd.run(lighterd.csv(path, ["x"]), socket=daemon.socket) as out:
        out.write({"x": [nested(27)]})
        with pytest.raises(ValueError, match="key 'x', sample 1"):
            out.write({"x": [1, nested(33)]})
        out.write({"x": [2]})

    assert path.read_text().split() == ["x", str(nested(27)), "2"]


def test_a_list_of_dicts_is_written_sample_by_sample(daemon, tmp_path, torch):
    path = tmp_path / "t.csv"
    with lighterd.run(lighterd.csv(path, ["id", "x"]), socket=daemon.socket) as out:
        out.write([{"id": "a", "x": torch.tensor(0.5)}, {"id": "b", "x": 1}])
        with pytest.raises(TypeError, match="outputs expects a dict"):
            out.write(torch.ones(2))
        with pytest.raises(KeyError, match="sample 1 of outputs"):
            out.write([{"id": "c", "x": 1}, {"id": "d"}])

    assert path.read_text().split() == ["id,x", "a,0.5", "b,1"]


def test_a_data_frame_is_written_by_its_columns(daemon, tmp_path):
    pd = pytest.importorskip("pandas")
    path = tmp_path / "t.csv"
    with lighterd.run(lighterd.csv(path, ["id", "x"]), socket=daemon.socket) as out:
        out.write(pd.DataFrame({"x": [0.5, 1.5], "id": ["a", "b"], "more": [0, 0]}))

    assert path.read_text().split() == ["id,x", "a,0.5", "b,1.5"]


def test_lines_end_as_they_were_told(daemon, tmp_path):
    batch = {"x": ["a\r\nb", "c"]}
    for line_end, expected in (
        ("crlf", b'x\r\n"a\r\nb"\r\nc\r\n'),
        ("lf", b'x\n"a\r\nb"\nc\n'),
    ):
        path = tmp_path / line_end
        writer = lighterd.csv(path, ["x"], line_end=line_end)
        with lighterd.run(writer, socket=daemon.socket) as out:
            out.write(batch)
        assert path.read_bytes() == expected


def test_a_home_is_put_in_and_no_folder_is_called_so(daemon, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    table = lighterd.csv("~/t.csv", ["x"])
    files = lighterd.file("~/d", "x", "text")

    with lighterd.run(table, files, socket=daemon.socket) as out:
        out.write({"x": ["a"]})
    with lighterd.run(
        lighterd.csv("u.csv", ["x"]), directory="~", socket=daemon.socket
    ) as out:
        out.write({"x": ["a"]})

    assert sorted(p.name for p in (tmp_path / "home").iterdir()) == ["d", "t.csv", "u.csv"]
    assert not (tmp_path / "~").exists()


def test_what_comes_where_a_tensor_is_expected_is_named(daemon, tmp_path, torch):
    image = pytest.importorskip("PIL.Image").new("RGB", (4, 4))
    masked = np.ma.array([[1, 2], [3, 4]], mask=[[False, True], [False, False]])

    for value, told in (
        ([{"a": 1}], "sample 0: image_2d expects a tensor, got a dict"),
        ([{"a": torch.ones(2)}], "sample 0: image_2d expects a tensor, got a dict"),
        ([[1, 2]], "sample 0: image_2d expects a tensor, got a list"),
        (["text"], "sample 0: image_2d expects a tensor, got a string"),
        ([image], "key 'x', sample 0: image_2d expects a tensor, got .* PIL.Image.Image"),
        (image, "key 'x': image_2d expects a tensor, got .* PIL.Image.Image"),
        ([torch.ones(2), (1, 2)], "key 'x', sample 1: image_2d expects .* type tuple"),
        ([masked], "key 'x', sample 0: image_2d expects .* masked"),
        (masked[None], "key 'x', sample 0: image_2d expects .* masked"),
    ):
        writer = lighterd.file(tmp_path / "d", "x", "image_2d")
        with pytest.raises(TypeError, match=told):
            with lighterd.run(writer, socket=daemon.socket) as out:
                out.write({"x": value})


def test_tensors_that_cannot_be_written_are_told_with_their_key_and_a_cure(tmp_path):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coarse = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)
    cases = {"dequantize": coarse, "to_dense": torch.eye(2).to_sparse()}
    writer = lighterd.file(tmp_path / "o", "v", "tensor")
    for cure, value in cases.items():
        with pytest.raises(TypeError, match=rf"key 'v'.*{cure}\(\)"):
            writer.check({"v": value})
