"""Tables through the daemon are, byte for byte, what Python's csv.writer makes."""

import logging
import math
import random
import string
import struct

import judges
import pytest
import ranks
import rawclient

import lighterd

pytestmark = pytest.mark.usefixtures("either_client")

np = pytest.importorskip("numpy")

CHARACTERS = (
    string.ascii_letters + string.digits + ' \t,,""\'\n\r;|\\#=+-_.:/'
    "\0\x01\x7f\x85\xa0\xad\u200b\u2028\u3000\ufeffäöüßéñ日本語אב🎉👩\u0301\U0010ffff"
)
FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    1 / 3,
    1e-4,
    1e-05,
    9.999e-05,
    1e15,
    1e16,
    1e17,
    1e22,
    1e23,
    123456789012345.6,
    9007199254740993.0,
    5e-324,
    2.2250738585072014e-308,
    2.225073858507201e-308,
    1.7976931348623157e308,
    math.inf,
    -math.inf,
    math.nan,
    1e100,
]
INTS = [0, -1, 255, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1]
BIG_INTS = [2**64, -(2**63) - 1, 10**40, -(10**40)]


def any_text(rng):
    return "".join(rng.choices(CHARACTERS, k=rng.choice((0, 1, 3, 8, 40))))


def any_float(rng):
    if rng.random() < 0.3:
        return rng.choice(FLOATS)
    if rng.random() < 0.5:
        return rng.uniform(-1, 1) * 10 ** rng.randint(-30, 30)
    return struct.unpack("<d", rng.randbytes(8))[0]


def any_int(rng):
    if rng.random() < 0.2:
        return rng.choice(INTS + BIG_INTS)
    return rng.getrandbits(rng.randint(1, 64)) * rng.choice((1, 1, -1)) // 2


def any_bytes(rng):
    return rng.randbytes(rng.choice((0, 1, 5, 20)))


def any_nested(rng, depth=3):
    kind = rng.choice("lltdss" if depth else "s")
    n = rng.randint(0, 4)
    if kind == "l":
        return [any_nested(rng, depth - 1) for _ in range(n)]
    if kind == "t":
        return tuple(any_nested(rng, depth - 1) for _ in range(n))
    if kind == "d":
        keys = (
            rng.choice((any_text, any_int, any_float, any_bytes))(rng) for _ in range(n)
        )
        return {key: any_nested(rng, depth - 1) for key in keys}
    return any_scalar(rng)


def any_scalar(rng):
    make = rng.choice((any_text, any_float, any_int, any_bytes))
    return rng.choice((None, True, False, make(rng), make(rng), make(rng)))


def any_value(rng):
    return any_nested(rng) if rng.random() < 0.3 else any_scalar(rng)


def write(daemon, path, keys, batches, rank=0, world_size=1):
    writer = lighterd.csv(path, keys)
    with lighterd.run(
        writer, rank=rank, world_size=world_size, socket=daemon.socket
    ) as out:
        for outputs in batches:
            out.write(outputs)


def assert_same(found, expected):
    """Says where two tables differ, and not all that they hold."""
    if found != expected:
        at = next((i for i, (a, b) in enumerate(zip(found, expected)) if a != b), None)
        at = min(len(found), len(expected)) if at is None else at
        here = slice(max(0, at - 60), at + 60)
        pytest.fail(f"differ at byte {at}:\n {found[here]!r}\n {expected[here]!r}")


def check(daemon, path, keys, batches):
    write(daemon, path, keys, batches)
    assert_same(path.read_bytes(), judges.table(keys, batches))


def test_a_hundred_thousand_random_values_of_all_kinds(daemon, tmp_path):
    rng = random.Random(20240229)
    makers = {
        "text": any_text,
        "float": any_float,
        "int": any_int,
        "bytes": any_bytes,
        "nested": any_nested,
        "any": any_value,
        "other": any_value,
        "bool": lambda rng: rng.random() < 0.5,
    }
    keys = [*makers, "f8", "i8"]
    batches, n = [], 0
    while n < 10_000:
        size = rng.choice((1, 1, 2, 7, 64, 300))
        outputs = {
            key: [make(rng) for _ in range(size)] for key, make in makers.items()
        }
        outputs["f8"] = np.frombuffer(rng.randbytes(8 * size), "<f8")
        outputs["i8"] = np.frombuffer(rng.randbytes(8 * size), "<i8")
        batches.append(outputs)
        n += size

    check(daemon, tmp_path / "t.csv", keys, batches)


@pytest.mark.parametrize("value", [*FLOATS, *INTS, *BIG_INTS, None, True, False, ""])
def test_a_value_alone_is_the_cell_that_csv_makes(shared_daemon, tmp_path, value):
    check(shared_daemon, tmp_path / "t.csv", ["a", "b"], [{"a": [value], "b": value}])


@pytest.mark.parametrize("dtype", judges.TORCH_DTYPES)
def test_tensors_of_every_dtype_and_shape(shared_daemon, tmp_path, torch, dtype):
    generator = torch.Generator().manual_seed(7)
    keys = ["vector", "matrix", "cube", "hollow", "strided"]

    def make(*shape):
        return judges.random_tensor(torch, dtype, shape, generator)

    batches = [
        {
            "vector": make(n),
            "matrix": make(n, 3),
            "cube": make(n, 2, 2),
            "hollow": make(n, 0),
            "strided": make(3, n).t(),
        }
        for n in (1, 40, 0, 200)
    ]
    batches.append({key: make() for key in keys})  # 0-d: a single sample

    check(shared_daemon, tmp_path / "t.csv", keys, batches)


def test_a_scalar_and_a_0d_tensor_stand_in_every_row(daemon, tmp_path, torch):
    keys = ["id", "epoch", "loss", "note"]
    batch = {
        "id": ["a", "b", "c"],
        "epoch": 3,
        "loss": torch.tensor(0.1),
        "note": "x,y",
    }

    check(daemon, tmp_path / "t.csv", keys, [batch])


def test_scalars_alone_are_one_sample(daemon, tmp_path):
    check(
        daemon,
        tmp_path / "t.csv",
        ["a", "b"],
        [{"a": 1, "b": "x"}, {"a": None, "b": b"q"}],
    )


def test_tuples_are_columns_as_lists_are(daemon, tmp_path):
    check(
        daemon,
        tmp_path / "t.csv",
        ["a", "b"],
        [{"a": (1, 2), "b": [(1, 2), ("x", None)]}],
    )


def test_texts_that_look_like_numbers_stay_as_they_are(daemon, tmp_path):
    ids = ["0001", "NA", "nan", "1e5", "", " 7", "True", "1.10", "null"]

    check(
        daemon,
        tmp_path / "t.csv",
        ["id", "n"],
        [{"id": ids, "n": list(range(len(ids)))}],
    )


def test_keys_that_are_not_columns_are_not_written(daemon, tmp_path):
    batch = {"x": [1], "image": np.zeros((1, 64, 64)), "y": [2]}

    write(daemon, tmp_path / "t.csv", ["y"], [batch])

    assert (tmp_path / "t.csv").read_bytes() == b"y\r\n2\r\n"


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_ranks_are_joined_in_their_order(daemon, tmp_path, n_ranks):
    path, keys = tmp_path / "t.csv", ["id", "v"]
    batches = [
        [{"id": [f"{r}-{b}-{i}" for i in range(r + 1)], "v": b} for b in range(5)]
        for r in range(n_ranks)
    ]

    ranks.in_threads(
        lambda r: write(daemon, path, keys, batches[r], r, n_ranks),
        reversed(range(n_ranks)),
    )

    assert path.read_bytes() == judges.table(keys, sum(batches, []))


def test_a_rank_without_a_batch_adds_nothing(daemon, tmp_path):
    path, keys = tmp_path / "t.csv", ["x"]

    ranks.in_threads(
        lambda r: write(daemon, path, keys, [{"x": [1, 2]}] * r, r, 2), range(2)
    )

    assert path.read_bytes() == b"x\r\n1\r\n2\r\n"


def test_an_empty_epoch_is_a_header(daemon, tmp_path):
    check(daemon, tmp_path / "t.csv", ["id", "pred"], [])


def test_a_batch_of_no_rows_writes_none(daemon, tmp_path):
    check(
        daemon,
        tmp_path / "t.csv",
        ["x"],
        [{"x": []}, {"x": [1]}, {"x": np.zeros((0, 3))}],
    )


def test_a_batch_of_no_rows_lacks_no_key(daemon, tmp_path):
    write(daemon, tmp_path / "t.csv", ["x", "y"], [{"x": []}, {"x": [1], "y": [2]}])

    assert (tmp_path / "t.csv").read_bytes() == b"x,y\r\n1,2\r\n"


@pytest.mark.parametrize(
    "keys", [['a"b', "c,d", "e\nf"], [""], ["", ""], ["ä", "日本"], [" x "], ["a", "a"]]
)
def test_headers_are_quoted_as_csv_does(daemon, tmp_path, keys):
    check(daemon, tmp_path / "t.csv", keys, [dict.fromkeys(keys, [1, 2])])


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_cell_that_is_alone_in_its_row_is_quoted(daemon, tmp_path, value):
    check(daemon, tmp_path / "t.csv", ["x"], [{"x": [value, "a", value]}, {"x": value}])


@pytest.mark.parametrize(
    "name", ["predictions", "a.b.csv", ".csv", "sub/dir/t.txt", "ä ö.csv"]
)
def test_any_path_is_a_table(daemon, tmp_path, name):
    check(daemon, tmp_path / name, ["x"], [{"x": [1]}])


@pytest.mark.parametrize("name", ["t.parquet", "t.tsv", "t.xlsx", "t.zip", "t.CSV.bz2"])
def test_a_name_that_promises_another_format_is_refused(daemon, tmp_path, name):
    with pytest.raises(ValueError, match="promises the format"):
        write(daemon, tmp_path / name, ["x"], [{"x": [1]}])

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path", ["s3://bucket/t.csv", "{epoch}.csv", "{rank}/t.csv", "{stage}/t.csv"]
)
def test_a_path_that_asks_for_what_nobody_does_is_refused(
    daemon, tmp_path, monkeypatch, path
):
    monkeypatch.chdir(tmp_path)
    writer = {"type": "csv", "options": {"path": path, "keys": ["x"]}}
    with daemon.raw() as client:
        refused = client.refusal("open", job="p", cwd=str(tmp_path), writers=[writer])

    assert refused.code == "bad_params" and path.split("/")[0] in refused.message
    assert not list(tmp_path.iterdir())


def test_lines_end_in_lf_where_that_is_chosen(daemon, tmp_path):
    options = {"path": str(tmp_path / "t.csv"), "keys": ["x", "y"], "line_end": "lf"}
    with daemon.raw() as client:
        client.call("open", job="p", writers=[{"type": "csv", "options": options}])
        client.call("write", job=1, seq=1, outputs={"x": [1, "a\r\nb"], "y": [2, 3]})
        client.call("end", job=1)

    assert (tmp_path / "t.csv").read_bytes() == b'x,y\n1,2\n"a\r\nb",3\n'


def test_a_relative_path_is_taken_from_where_the_client_works(
    daemon, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write(daemon, "out/t.csv", ["x"], [{"x": [1]}])

    assert (tmp_path / "out/t.csv").read_bytes() == b"x\r\n1\r\n"


def test_what_was_there_is_warned_of_and_kept_until_the_end(daemon, tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_bytes(b"old")

    with caplog.at_level(logging.WARNING, "lighterd"):
        with lighterd.run(lighterd.csv(path, ["x"]), socket=daemon.socket) as out:
            out.write({"x": [1]})
            out._connection.flush()
            before = path.read_bytes()

    assert before == b"old"
    assert path.read_bytes() == b"x\r\n1\r\n"
    assert f"{path} already exists" in caplog.text


def test_without_anything_there_nothing_is_warned_of(daemon, tmp_path, caplog):
    write(daemon, tmp_path / "t.csv", ["x"], [{"x": [1]}])

    assert not caplog.records


def test_a_large_batch_is_one_hand_over(daemon, tmp_path):
    values = np.random.default_rng(3).standard_normal((2000, 256)).astype("<f4")

    check(daemon, tmp_path / "t.csv", ["v"], [{"v": values}])


def test_shards_stand_beside_the_table_until_it_is_published(daemon, tmp_path):
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        client.call("write", job=1, seq=1, outputs={"x": [1]})

        assert judges.files(tmp_path) == {"t.tmp_rank0.csv": b"x\r\n1\r\n"}

        client.call("end", job=1)
    assert judges.files(tmp_path) == {"t.csv": b"x\r\n1\r\n"}


def test_what_is_published_is_for_whom_the_umask_says(start_daemon, tmp_path):
    daemon = start_daemon(prefix=("sh", "-c", 'umask 027; exec "$@"', "sh"))
    write(daemon, tmp_path / "t.csv", ["x"], [{"x": [1]}])

    assert (tmp_path / "t.csv").stat().st_mode & 0o777 == 0o640


def test_a_float32_on_the_wire_is_a_double_in_the_table(daemon, tmp_path):
    """Clients in other languages send float 32."""
    with daemon.raw() as client:
        client.open_csv(tmp_path / "t.csv")
        body = rawclient.msgpack.packb(
            [0, 99, "write", {"job": 1, "seq": 1, "outputs": {"x": [0.1]}}],
            use_single_float=True,
        )
        client.send(rawclient.framed(body))
        client.answer(99)
        client.call("end", job=1)

    assert (tmp_path / "t.csv").read_text().split() == ["x", "0.10000000149011612"]
