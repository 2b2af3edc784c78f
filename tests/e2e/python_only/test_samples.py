"""How values fall into samples: whatever is a sequence holds one an item."""

import array
import collections
import types

import numpy as np
import pytest

from lighterd import samples, wire, writers


class Items:
    """A sequence, and no more than that."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return "ab"[i]


class ByName(Items):
    def __getitem__(self, key):
        raise KeyError(key)


class Foreign:
    """An array of some library's: jax's and pandas' have a dtype of numpy's."""

    def __init__(self, values, dtype=None):
        self.values = np.array(values, dtype)
        self.dtype = self.values.dtype

    def __array__(self, *args, **more):
        return self.values


class Listed(Foreign):
    """One whose array says something else than its items, as integers with gaps do."""

    def __init__(self, values):
        self.list = values
        self.dtype = "Int64"

    def __array__(self, *args, **more):
        raise AssertionError

    def tolist(self):
        return self.list


class ByDlpack:
    def __init__(self, values):
        self.values = np.array(values)

    def __dlpack__(self, **more):
        return self.values.__dlpack__(**more)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


SEQUENCES = [
    ([1, 2], [1, 2]),
    ((1, 2), [1, 2]),
    (range(2), [0, 1]),
    (collections.deque("ab"), ["a", "b"]),
    (collections.UserList("ab"), ["a", "b"]),
    (array.array("i", [3, 4]), [3, 4]),
    (memoryview(b"ab"), [97, 98]),
    ({"a": 1, "b": 2}.values(), [1, 2]),
    ({"a": 1, "b": 2}.keys(), ["a", "b"]),
    (Items(), ["a", "b"]),
    (np.array(["a", "b"]), ["a", "b"]),
    (np.array([1, None], object), [1, None]),
    (np.ma.array([1, 2], mask=[0, 1]), [1, np.ma.masked]),
    (np.ma.array([1, 2]), [1, 2]),
    (Foreign([1.5, 2.5]), [1.5, 2.5]),
    (Listed([1, None]), [1, None]),
    (ByDlpack([1, 2]), [1, 2]),
]


@pytest.mark.parametrize("value, items", SEQUENCES, ids=lambda each: repr(each)[:40])
def test_a_sequence_holds_one_sample_an_item(value, items):
    assert samples.count(value) == 2
    assert list(samples.split(value)) == items


@pytest.mark.parametrize(
    "value",
    ["ab", b"ab", bytearray(b"ab"), collections.UserString("ab"), {"a": 1}, 1, None]
    + [types.MappingProxyType({"a": 1}), np.float32(1), np.str_("ab"), list, np.ndarray]
    + [collections.ChainMap({"a": 1})],
    ids=repr,
)
def test_anything_else_is_one_value(value):
    assert samples.count(value) is None
    assert samples.split(value) == [value]


def test_an_array_without_dimensions_is_one_value():
    for value in (np.array(1.0), Foreign(1.0), np.array("a")):
        assert samples.count(value) is None
        assert samples.split(value) == [value if type(value) is str else np.array(value)]


@pytest.mark.parametrize(
    "value, reason",
    [
        ({1, 2}, "set has no order: hand over a list"),
        (frozenset(), "frozenset has no order"),
        ((i for i in range(2)), "generator has no length: hand over a list"),
        (iter([1]), "list_iterator has no length"),
        (map(str, [1]), "map has no length"),
        (ByName(), "has items, but not by their numbers"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_what_has_no_order_or_no_length_is_refused_by_its_key(value, reason):
    for check in (
        writers.csv("t.csv", ["id", "pred"]).check,
        writers.file("d", "id", "text", name_key="pred").check,
    ):
        with pytest.raises(TypeError, match=rf"^key 'pred': .*{reason}"):
            check({"id": [1, 2], "pred": value})


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_torchs_ragged_tensors_hold_one_sample_each():
    torch = pytest.importorskip("torch")
    parts = [torch.ones(2), torch.zeros(3)]
    ragged = [torch.nn.utils.rnn.pack_sequence(parts, enforce_sorted=False)]
    for layout in (torch.strided, torch.jagged):
        ragged.append(torch.nested.nested_tensor(parts, layout=layout))

    for value in ragged:
        assert samples.count(value) == 2
        assert [each.tolist() for each in samples.split(value)] == [
            each.tolist() for each in parts
        ]


def test_a_tensor_that_cannot_be_read_says_why():
    torch = pytest.importorskip("torch")
    for value, reason in (
        (torch.ones(2).to_sparse(), "to_dense"),
        (torch.ones(2, device="meta"), "no elements"),
    ):
        for outputs, where in (({"pred": value}, ""), ({"pred": [value]}, ", sample 0")):
            with pytest.raises(TypeError, match=rf"^key 'pred'{where}: .*{reason}"):
                wire.pack_request(1, "write", {}, outputs)


def test_what_is_no_tensor_is_named_where_one_is_expected():
    check = writers.file("d", "pred", {"name": "image_2d"}).check

    with pytest.raises(
        TypeError, match="^key 'pred', sample 1: image_2d expects a tensor, got .*tuple$"
    ):
        check({"pred": [np.ones((1, 2, 2)), (1, 2)]})
