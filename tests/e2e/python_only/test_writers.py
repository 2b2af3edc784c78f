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
