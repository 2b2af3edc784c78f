"""The cheap checks, with lighter's words."""

import numpy as np
import pytest

import lighterd

TABLE = lighterd.csv("p.csv", ["id", "pred"])
MASKS = lighterd.file("masks", "mask", "tensor", name_key="id")


def message(excinfo):
    return excinfo.value.args[0]


@pytest.mark.parametrize(
    "outputs",
    [
        {"id": ["a", "b"], "pred": np.zeros((2, 3))},
        {"id": ("a", "b"), "pred": 0.5, "more": [1]},
        {"id": "one", "pred": np.float32(1)},
        {"id": ["a"], "pred": np.array(1.0)},
        {"id": [], "pred": []},
    ],
)
def test_csv_accepts_one_value_a_sample_or_one_for_all(outputs):
    TABLE.check(outputs)


def test_csv_without_any_key_says_which_there_are():
    with pytest.raises(KeyError) as excinfo:
        TABLE.check({"x": [1], "y": [2]})

    assert message(excinfo) == (
        "CsvWriter: none of the configured keys ['id', 'pred'] were found in outputs. "
        "Available keys in outputs: ['x', 'y']"
    )


def test_csv_without_one_key_names_it():
    with pytest.raises(KeyError) as excinfo:
        TABLE.check({"id": [1]})

    assert message(excinfo) == (
        "CsvWriter expected key 'pred' in outputs but it was missing."
    )


@pytest.mark.parametrize("pred", [[1.0], np.zeros(1)])
def test_csv_with_lengths_that_differ_names_the_key(pred):
    with pytest.raises(ValueError) as excinfo:
        TABLE.check({"id": ["a", "b"], "pred": pred})

    assert message(excinfo) == (
        "CsvWriter found inconsistent lengths for keys: "
        "expected 2, but found 1 for key 'pred'."
    )


def test_file_accepts_as_many_names_as_values():
    MASKS.check({"mask": np.zeros((2, 4, 4)), "id": ["a", "b"]})
    MASKS.check({"mask": "one text", "id": "one name"})
    MASKS.check({"mask": np.array(1.0), "id": np.array(7)})


def test_file_without_values_asks_for_no_names():
    MASKS.check({"mask": []})


@pytest.mark.parametrize("outputs, key", [({"id": [1]}, "mask"), ({"mask": [1]}, "id")])
def test_file_without_a_key_names_it(outputs, key):
    with pytest.raises(KeyError) as excinfo:
        MASKS.check(outputs)

    assert message(excinfo) == (
        f"FileWriter expected key '{key}' in outputs but it was missing."
    )


def test_file_with_another_number_of_names_says_both():
    with pytest.raises(ValueError) as excinfo:
        MASKS.check({"mask": np.zeros((3, 4, 4)), "id": ["a", "b"]})

    assert message(excinfo) == (
        "Length mismatch between value key 'mask' (3) and name key 'id' (2)."
    )


def test_torch_tensors_count_like_arrays():
    torch = pytest.importorskip("torch")
    TABLE.check({"id": ["a", "b"], "pred": torch.zeros(2, 5)})

    with pytest.raises(ValueError, match="found 3 for key 'pred'"):
        TABLE.check({"id": ["a", "b"], "pred": torch.zeros(3)})


def test_a_scalar_stands_in_every_row():
    TABLE.check({"id": ["a", "b"], "pred": np.array(1.0)})
    TABLE.check({"id": np.array(7), "pred": 1.0})


def test_options_are_those_of_the_document():
    writer = lighterd.file(
        "masks", "mask", {"name": "image_2d", "suffix": ".png"}, name_key="id"
    )

    assert writer.options == {
        "directory": "masks",
        "value_key": "mask",
        "writer_fn": {"name": "image_2d", "suffix": ".png"},
        "name_key": "id",
    }
    assert TABLE.options == {"path": "p.csv", "keys": ["id", "pred"]}


@pytest.mark.parametrize(
    "keys, told",
    [
        ("pred", "list of strings.*got 'pred'"),
        (b"pred", "list of strings"),
        ({"id", "pred"}, "list of strings"),
        ({"id": 1}, "list of strings"),
        (None, "list of strings"),
        (7, "list of strings"),
        ([], "at least one key"),
        (["id", 1], "strings, got a value of type int"),
        ([["id"]], "strings, got a value of type list"),
    ],
)
def test_keys_that_are_no_list_of_strings_are_refused(keys, told):
    with pytest.raises(ValueError, match=f"^keys expects .*{told}"):
        lighterd.csv("t.csv", keys)


def test_keys_may_be_any_sequence_of_strings():
    for keys in (("a", "b"), {"a": 1, "b": 2}.keys(), iter("ab"), ["a", "b"]):
        assert lighterd.csv("t.csv", keys).keys == ["a", "b"]


def test_line_ends_are_those_of_the_csv_module_or_lf():
    assert "line_end" not in lighterd.csv("t.csv", ["a"], line_end="crlf").options
    assert lighterd.csv("t.csv", ["a"], line_end="lf").options["line_end"] == "lf"

    with pytest.raises(ValueError, match="line_end expects 'crlf' or 'lf', got '.n'"):
        lighterd.csv("t.csv", ["a"], line_end="\n")


def test_a_home_is_put_in_where_a_path_begins_with_it(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")

    assert lighterd.csv("~/t.csv", ["a"]).options["path"] == "/home/me/t.csv"
    assert lighterd.csv("./~/t.csv", ["a"]).path == "./~/t.csv"
    assert lighterd.file("~/masks", "a", "text").options["directory"] == "/home/me/masks"
    with pytest.raises(ValueError, match="no home of '~nobody-is-called-so/t.csv'"):
        lighterd.csv("~nobody-is-called-so/t.csv", ["a"])


@pytest.mark.parametrize("name", ["stage", "epoch", "dataloader", "rank", "index"])
def test_a_placeholder_in_a_path_is_refused_by_its_name(name):
    for make in (
        lambda path: lighterd.csv(path, ["a"]),
        lambda path: lighterd.file(path, "a", "text"),
    ):
        with pytest.raises(ValueError, match=rf"has {{{name}}}, which lighterd does not"):
            make(f"out/{{{name}}}/t")


@pytest.mark.parametrize("path", ["s3://bucket/t.csv", "gs:/bucket", "file:///tmp/t.csv"])
def test_another_storage_is_refused(path):
    with pytest.raises(ValueError, match="names another storage"):
        lighterd.csv(path, ["a"])


def test_names_that_only_look_alike_are_paths():
    for path in ("a{b}/{}.csv", "12:30.csv", "a:b/c", "x/s3:/t"):
        assert lighterd.csv(path, ["a"]).path == path
