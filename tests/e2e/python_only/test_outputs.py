"""What may be handed over as a batch: a map, or a list with a map for each sample."""

import collections

import numpy as np
import pytest

from lighterd.outputs import normalize


def test_a_map_stays_what_it_is():
    for outputs in ({"a": [1]}, {}, collections.UserDict(a=[1])):
        assert normalize(outputs) is outputs


def test_a_list_of_dicts_has_one_sample_each():
    outputs = normalize([{"id": "a", "pred": 1.5}, {"pred": 2.5, "id": "b"}])

    assert outputs == {"id": ["a", "b"], "pred": [1.5, 2.5]}
    assert normalize([]) == {}


@pytest.mark.parametrize(
    "second, told",
    [
        ({"id": "b"}, r"sample 1 of outputs lacks \['pred'\]"),
        ({"id": "b", "pred": 1, "loss": 2}, r"sample 1 of outputs has \['loss'\] as well"),
    ],
)
def test_samples_with_other_keys_are_refused_by_their_number(second, told):
    with pytest.raises(KeyError, match=told):
        normalize([{"id": "a", "pred": 1}, second])


@pytest.mark.parametrize(
    "outputs, told",
    [
        (None, "got None"),
        ((1, 2), "got a value of type tuple"),
        (({"a": 1},), "got a value of type tuple"),
        (np.zeros(2), "got a value of type numpy.ndarray"),
        ([1, 2], "got a list with a value of type int"),
        ([{"a": 1}, None], "got a list with a value of type NoneType"),
        ("text", "got a value of type str"),
        (0.5, "got a value of type float"),
    ],
    ids=str,
)
def test_anything_else_says_what_is_to_be_returned(outputs, told):
    with pytest.raises(TypeError, match=rf"^outputs expects a dict.*{told}.*predict_step"):
        normalize(outputs)


def test_a_tensor_is_none_of_these():
    torch = pytest.importorskip("torch")

    with pytest.raises(TypeError, match="got a value of type torch.Tensor"):
        normalize(torch.ones(2))


def test_a_data_frame_has_its_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})

    outputs = normalize(frame)

    assert list(outputs) == ["a", "b"] and list(outputs["b"]) == ["x", "y"]
