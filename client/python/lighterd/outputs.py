"""outputs - what may be handed over as a batch.

In: what `predict_step` returns, or `write` is given. Out: a map of keys and values: the
same, or one made of a list that has a map for each sample. Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, List

from .errors import named


def normalize(outputs: Any) -> Mapping[str, Any]:
    """TypeError where it is neither, KeyError where the samples have different keys."""
    if isinstance(outputs, Mapping):
        return outputs
    if _is_map(outputs):
        return {key: outputs[key] for key in outputs.keys()}
    if isinstance(outputs, list) and all(isinstance(each, Mapping) for each in outputs):
        return _transposed(outputs)
    what = "None" if outputs is None else named(outputs)
    if isinstance(outputs, list):
        what = f"a list with {next(named(x) for x in outputs if not isinstance(x, Mapping))}"
    raise TypeError(
        f"outputs expects a dict of keys and values, as in {{'id': ids, 'pred': preds}}, "
        f"or a list of such dicts, one a sample, got {what}: that is what predict_step "
        "must return, and write be given"
    )


def _is_map(outputs: Any) -> bool:
    """A DataFrame or a TensorDict can be asked like one."""
    kind = type(outputs)
    return all(hasattr(kind, name) for name in ("keys", "__getitem__", "__contains__"))


def _transposed(samples: List[Mapping[str, Any]]) -> Dict[str, List[Any]]:
    if not samples:
        return {}
    keys = samples[0].keys()
    for i, sample in enumerate(samples):
        if sample.keys() != keys:
            missing = [key for key in keys if key not in sample]
            other = [key for key in sample if key not in keys]
            found = f"lacks {missing}" if missing else f"has {other} as well"
            raise KeyError(
                f"sample {i} of outputs {found}, unlike sample 0: all need the same keys"
            )
    return {key: [sample[key] for sample in samples] for key in keys}
