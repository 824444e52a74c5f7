"""Functors: how columns are written, signatures that do not fit, and values that stay on the worker."""

from __future__ import annotations

import functools
import json
import operator
from typing import Any

import cloudpickle
import numpy as np
import pytest

from intccms.errors import ConfigError
from intccms.schema import Config, Functor, ObjVar, WorkerEval
from tests.configurations import above, add, same

SECRET = "correct-horse-battery-staple"


@pytest.mark.parametrize(
    ("written", "column", "branch"),
    [
        (ObjVar("Muon", "pt"), ("Muon", "pt"), "Muon_pt"),
        (("Muon", "pt"), ("Muon", "pt"), "Muon_pt"),
        (["Muon", "pt"], ("Muon", "pt"), "Muon_pt"),
        (ObjVar("Muon"), ("Muon", None), "Muon_*"),
        (("Muon", None), ("Muon", None), "Muon_*"),
        (("Muon",), ("Muon", None), "Muon_*"),
        (("event", "genWeight"), ("event", "genWeight"), "genWeight"),
        (("event", "HLT_Mu50"), ("HLT", "Mu50"), "HLT_Mu50"),
        (("event", "Flag_HBHENoiseIsoFilter"), ("Flag", "HBHENoiseIsoFilter"), "Flag_HBHENoiseIsoFilter"),
        (("event", None), ("event", None), "event"),
    ],
    ids=repr,
)
def test_a_column_may_be_written_as_an_objvar_or_as_a_tuple(written, column, branch):
    (found,) = Functor(function=same, use=[written]).use
    assert isinstance(found, ObjVar)
    assert found == column
    assert str(found) == branch


@pytest.mark.parametrize(
    "wrong", ["Muon", 3, ("Muon", "pt", "x"), (), ("Muon", 1), None, {"Muon": "pt"}], ids=repr
)
def test_a_column_written_in_another_way_is_refused_with_the_right_way(wrong):
    with pytest.raises(ConfigError, match=r"use: expected ObjVar\(collection, field\) or a tuple") as caught:
        Functor(function=same, use=[wrong])
    assert f"not {wrong!r}" in str(caught.value)


def test_a_single_tuple_instead_of_a_list_of_tuples_is_refused():
    with pytest.raises(ConfigError, match=r"use: expected ObjVar.* not 'Muon'"):
        Functor(function=add, use=("Muon", "pt"))


def with_default(met, cut=1):
    return met > cut


def keyword_only(met, *, cut):
    return met > cut


def anything(*columns, **constants):
    return columns[0]


class Threshold:
    def __init__(self, cut):
        self.cut = cut

    def __call__(self, values):
        return values > self.cut


@pytest.mark.parametrize(
    ("function", "n_columns", "constants"),
    [
        (same, 1, {}),
        (with_default, 1, {}),
        (with_default, 1, {"cut": 2}),
        (with_default, 2, {}),
        (keyword_only, 1, {"cut": 2}),
        (anything, 5, {"a": 1}),
        (lambda values: values, 1, {}),
        (functools.partial(add, 1), 1, {}),
        (Threshold(3), 1, {}),
        (np.sqrt, 1, {}),
        (operator.and_, 2, {}),
        (max, 2, {}),
    ],
)
def test_functions_that_can_be_called_with_the_columns_are_accepted(function, n_columns, constants):
    functor = Functor(function=function, use=[("MET", "pt")] * n_columns, static_kwargs=constants)
    assert functor.function is function


@pytest.mark.parametrize(
    ("function", "n_columns", "constants", "why"),
    [
        (same, 0, {}, "missing a required argument: 'values'"),
        (same, 2, {}, "too many positional arguments"),
        (same, 1, {"cut": 1}, "unexpected keyword argument 'cut'"),
        (add, 1, {}, "missing a required argument: 'second'"),
        (with_default, 2, {"cut": 1}, "multiple values for argument 'cut'"),
        (keyword_only, 1, {}, "missing a required keyword-only argument: 'cut'"),
        (keyword_only, 2, {"cut": 1}, "too many positional arguments"),
        (functools.partial(add, 1), 2, {}, "too many positional arguments"),
        (Threshold(3), 2, {}, "too many positional arguments"),
    ],
)
def test_a_signature_that_does_not_fit_names_function_columns_constants_and_reason(
    function, n_columns, constants, why
):
    with pytest.raises(ConfigError) as caught:
        Functor(function=function, use=[("MET", "pt")] * n_columns, static_kwargs=constants)
    message = str(caught.value)
    assert getattr(function, "__name__", type(function).__name__) in message
    assert (", ".join(["MET_pt"] * n_columns) or "no columns") in message
    assert repr(sorted(constants)) in message
    assert why in message


def test_the_error_of_a_signature_carries_the_path_of_the_functor(configuration):
    configuration["channels"][0]["observables"][0]["use"] = [("MET", "pt"), ("MET", "phi")]
    with pytest.raises(
        ConfigError, match=r"^channels\[SR\].observables\[met\]: tests.configurations:same\("
    ) as caught:
        Config(**configuration)
    assert "(MET_pt, MET_phi)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tests.configurations:add", add),
        ("math:hypot", __import__("math").hypot),
        ("builtins:str.upper", str.upper),
    ],
)
def test_a_function_may_be_named_as_module_and_name(text, expected):
    assert Functor(function=text, use=[("a", "b")] * (1 if expected is str.upper else 2)).function is expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("above", "must read 'module:name', not 'above'"),
        ("no_such_module:x", "cannot import 'no_such_module:x': No module named"),
        ("tests.configurations:abve", "cannot import .* has no attribute 'abve'"),
        ("tests.configurations:__doc__", "function: should be callable"),
    ],
)
def test_a_function_that_cannot_be_imported_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        Functor(function=text, use=[("a", "b")])


def test_an_event_level_ghost_with_an_underscore_in_its_name_is_found_by_that_name(configuration):
    configuration["ghost_observables"][0]["names"] = ["m_tt"]
    observable = configuration["channels"][0]["observables"][0]
    observable["use"] = [("event", "m_tt")]
    assert Config(**configuration).channels[0].observables[0].use == [ObjVar("event", "m_tt")]


def password(_values: Any, *, key: Any) -> Any:
    return key


def secret() -> str:
    return SECRET


@pytest.fixture
def with_secret(configuration):
    configuration["channels"][0]["selection"] = {
        "function": password,
        "use": [("MET", "pt")],
        "static_kwargs": {"key": [{"deep": WorkerEval(lambda: SECRET)}]},
    }
    return configuration


def test_a_worker_value_is_computed_when_it_is_called():
    calls = []
    value = WorkerEval(lambda: calls.append(1) or len(calls))
    assert calls == []
    assert (value(), value()) == (1, 2)


def test_a_worker_value_shows_in_no_dump_text_or_error(with_secret):
    config = Config(**with_secret)
    with pytest.raises(ConfigError) as caught:
        Config(**{**with_secret, "channels": [{**with_secret["channels"][0], "selectoin": 1}]})
    with pytest.raises(ConfigError) as unfit:
        Functor(function=same, use=[], static_kwargs={"key": WorkerEval(lambda: SECRET)})
    texts = [repr(config), str(config), json.dumps(config.to_json()), str(caught.value), str(unfit.value)]
    assert [text for text in texts if SECRET in text] == []
    assert config.to_json()["channels"][0]["selection"]["static_kwargs"] == {
        "key": [{"deep": "WorkerEval(...)"}]
    }
    assert repr(WorkerEval(functools.partial(str.lower, SECRET))) == "WorkerEval(...)"


def test_a_worker_value_pickled_by_reference_carries_no_value():
    assert SECRET.encode() not in cloudpickle.dumps(WorkerEval(secret))
    assert cloudpickle.loads(cloudpickle.dumps(WorkerEval(secret)))() == SECRET


def test_a_worker_value_does_not_change_the_digest(configuration):
    def digest_with(value: str) -> str:
        configuration["channels"][0]["selection"] = {
            "function": password,
            "use": [("MET", "pt")],
            "static_kwargs": {"key": WorkerEval(lambda: value)},
        }
        return Config(**configuration).digest("channels.SR.selection")

    assert digest_with(SECRET) == digest_with("another")
    configuration["channels"][0]["selection"] = {
        "function": above,
        "use": [("MET", "pt")],
    }
    assert Config(**configuration).digest("channels.SR.selection") != digest_with(SECRET)


@pytest.mark.parametrize("value", [SECRET, 3, None])
def test_a_worker_value_that_is_no_callable_is_refused_without_showing_it(value):
    with pytest.raises(
        ConfigError, match=r"takes a callable, not \w+. Wrap the value: lambda: ..."
    ) as caught:
        WorkerEval(value)
    assert SECRET not in str(caught.value)
