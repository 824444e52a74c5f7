"""Columns for tests of functions of arrays, a payload made of a function, and the check that events are independent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import awkward as ak
import numpy as np

from intccms.systematics.locality import check_function


class Computed:
    """A payload that computes its value with a function; it keeps the arguments of its calls."""

    def __init__(self, function: Any, *names: str) -> None:
        self.inputs = tuple(SimpleNamespace(name=name) for name in names)
        self.function = function
        self.calls: list[tuple[Any, ...]] = []

    def evaluate(self, *args: Any) -> Any:
        assert len(args) == len(self.inputs)
        self.calls.append(args)
        return self.function(*args)


def some_jets(n_events: int = 400, seed: int = 1, mean: float = 3.0) -> tuple[Any, dict[str, Any]]:
    """Return the counts, and columns of jets, generated jets near them and events; some events are empty."""
    rng = np.random.default_rng(seed)
    sizes = rng.poisson(mean, n_events)
    gen_sizes = rng.poisson(mean, n_events)
    n, n_gen = int(sizes.sum()), int(gen_sizes.sum())

    def jets(values: Any) -> Any:
        return ak.unflatten(values, sizes)

    columns = {
        "pt": jets(rng.exponential(40, n).astype(np.float32) + np.float32(8)),
        "eta": jets(rng.uniform(-4.5, 4.5, n).astype(np.float32)),
        "phi": jets(rng.uniform(-np.pi, np.pi, n).astype(np.float32)),
        "raw_factor": jets(rng.uniform(-0.1, 0.3, n).astype(np.float32)),
        "area": jets(rng.uniform(0.4, 0.6, n).astype(np.float32)),
        "muon_factor": jets(np.where(rng.random(n) < 0.2, rng.uniform(0, 1, n), 0).astype(np.float32)),
        "charged_em": jets(rng.uniform(0, 0.6, n).astype(np.float32)),
        "neutral_em": jets(rng.uniform(0, 0.6, n).astype(np.float32)),
        "gen_index": jets(rng.integers(-1, 4, n).astype(np.int16)),
        "flavour": jets(rng.choice(np.array([0, 4, 5], dtype=np.uint8), n)),
        "discriminant": jets(np.where(rng.random(n) < 0.1, -1, rng.random(n)).astype(np.float32)),
        "gen_pt": ak.unflatten(rng.exponential(40, n_gen), gen_sizes),
        "gen_eta": ak.unflatten(rng.uniform(-4.5, 4.5, n_gen), gen_sizes),
        "gen_phi": ak.unflatten(rng.uniform(-np.pi, np.pi, n_gen), gen_sizes),
        "rho": ak.Array(rng.uniform(5, 40, n_events).astype(np.float32)),
        "run": ak.Array(np.full(n_events, 1, dtype=np.uint32)),
        "lumi": ak.Array(rng.integers(1, 1000, n_events).astype(np.uint32)),
        "event": ak.Array(rng.integers(1, 10**9, n_events).astype(np.uint64)),
        "met_pt": ak.Array(rng.exponential(50, n_events).astype(np.float32)),
        "met_phi": ak.Array(rng.uniform(-np.pi, np.pi, n_events).astype(np.float32)),
    }
    return sizes, columns


def assert_event_local(function: Any, *columns: Any) -> Any:
    """Assert that events may be permuted, split and repeated without any change, to the bit; return the whole."""

    def evaluated(index: Any) -> list[Any]:
        return _results(function, [column[index] for column in columns])

    found = check_function(evaluated, len(columns[0]), getattr(function, "__name__", "the function"))
    assert found is None, str(found)
    assert all(len(one) == 0 for one in evaluated(slice(0, 0)))
    whole = evaluated(slice(None))
    return whole[0] if len(whole) == 1 else tuple(whole)


def _results(function: Any, columns: Any) -> list[Any]:
    result = function(*columns)
    return list(result) if isinstance(result, tuple) else [result]
