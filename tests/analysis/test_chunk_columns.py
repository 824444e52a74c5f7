"""What functors get to see of a chunk: the input, narrowed collections, ghosts, absent triggers, constants."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from intccms.analysis.columns import Columns
from intccms.datasets import SourceFile, open_source
from intccms.errors import FunctorError
from intccms.schema import Functor, ObjVar, WorkerEval
from tests.analysis.toys import write_toy

WHERE = "ghost_observables.0"


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("columns") / "toy.root", 60, 21)


@pytest.fixture
def columns(toy) -> Columns:
    source = open_source(SourceFile(toy.path.name, (str(toy.path),)), "Events")
    events = source.events(source.branches, 0, len(toy), {})
    return Columns(events, absent=frozenset({"HLT_Mu50"}))


def same(*values):
    return values[0] if len(values) == 1 else values


def test_columns_are_the_branches_that_were_written(columns, toy):
    assert len(columns) == 60
    assert columns[ObjVar("event", "genWeight")].tolist() == toy.columns["genWeight"].tolist()
    assert columns[ObjVar("MET", "pt")].tolist() == toy.columns["MET_pt"].tolist()
    assert columns[ObjVar("Jet", "pt")].tolist() == toy.columns["Jet_pt"].tolist()
    assert columns[ObjVar("Jet")].eta.tolist() == toy.columns["Jet_eta"].tolist()
    assert columns[ObjVar("HLT", "IsoMu24")].tolist() == toy.columns["HLT_IsoMu24"].tolist()


def test_an_absent_trigger_is_false_for_every_event_left(columns):
    assert columns[ObjVar("HLT", "Mu50")].tolist() == [False] * 60
    few = columns.select(np.arange(60) < 7)
    assert few[ObjVar("HLT", "Mu50")].tolist() == [False] * 7


def test_a_column_under_the_name_of_a_branch_is_read_where_its_collection_has_no_such_field(columns, toy):
    events = ak.with_field(columns.events, np.arange(60), "Muon_rank")
    made = columns.of_events(ak.with_field(events, np.arange(60), "Muon_pt"))
    assert made[ObjVar("Muon", "rank")].tolist() == list(range(60))
    # what a skim keeps under this name, too
    assert made[ObjVar("Muon", "pt")].tolist() == toy.columns["Muon_pt"].tolist()


def test_a_trigger_that_a_function_has_made_is_not_absent(columns):
    fired = np.arange(60) % 2 == 0
    made = columns.of_events(ak.with_field(columns.events, fired, "HLT_Mu50"))
    assert made.absent == frozenset()
    assert made[ObjVar("HLT", "Mu50")].tolist() == fired.tolist()


def test_a_narrowed_collection_is_what_all_ways_of_asking_give(columns, toy):
    jets = columns[ObjVar("Jet")]
    columns.replace("Jet", jets[jets.pt > 50])
    by_hand = [[pt for pt in event if pt > 50] for event in toy.columns["Jet_pt"].tolist()]
    assert columns[ObjVar("Jet")].pt.tolist() == by_hand
    assert columns[ObjVar("Jet", "pt")].tolist() == by_hand
    assert columns[ObjVar("event")].Jet.pt.tolist() == by_hand
    assert ak.num(columns[ObjVar("event")].Muon).tolist() == ak.num(toy.columns["Muon_pt"]).tolist()


def test_masks_in_order_each_see_what_the_one_before_left(columns, toy):
    for low in (40.0, 80.0):
        jets = columns[ObjVar("Jet")]
        columns.replace("Jet", jets[jets.pt > low][:, :1])
    by_hand = []
    for event in toy.columns["Jet_pt"].tolist():
        first = [pt for pt in event if pt > 40][:1]
        by_hand.append([pt for pt in first if pt > 80])
    assert columns[ObjVar("Jet", "pt")].tolist() == by_hand


def test_an_event_level_ghost_is_a_column_of_event(columns):
    columns.add("event", ["a", "b"], [np.arange(60), ak.Array([[1.0]] * 60)], WHERE)
    assert columns[ObjVar("event", "a")].tolist() == list(range(60))
    assert columns[ObjVar("event", "b")].tolist() == [[1.0]] * 60
    assert columns[ObjVar("event")].a.tolist() == list(range(60))


def test_a_ghost_on_an_existing_collection_is_a_field_of_its_objects(columns, toy):
    columns.add("Jet", ["double"], [columns[ObjVar("Jet", "pt")] * 2], WHERE)
    assert columns[ObjVar("Jet", "double")].tolist() == (toy.columns["Jet_pt"] * 2).tolist()
    jets = columns[ObjVar("Jet")]
    assert jets[jets.double > 100].pt.tolist() == [
        [p for p in e if p > 50] for e in toy.columns["Jet_pt"].tolist()
    ]


def test_a_ghost_on_a_narrowed_collection_has_the_narrowed_counts(columns):
    jets = columns[ObjVar("Jet")]
    columns.replace("Jet", jets[jets.pt > 50])
    with pytest.raises(FunctorError, match=r"ghost_observables.0: 'copy' is .* needs one value per object"):
        columns.add("Jet", ["copy"], [jets.pt], WHERE)
    columns.add("Jet", ["copy"], [columns[ObjVar("Jet", "pt")]], WHERE)
    assert columns[ObjVar("Jet", "copy")].tolist() == columns[ObjVar("Jet", "pt")].tolist()


def test_a_ghost_on_a_collection_of_one_object_per_event(columns):
    columns.add("MET", ["half"], [columns[ObjVar("MET", "pt")] / 2], WHERE)
    met = columns[ObjVar("MET")]
    assert (met.half * 2).tolist() == met.pt.tolist()


def test_a_new_collection_of_jagged_quantities_behaves_like_any_other(columns, toy):
    pt, eta = columns[ObjVar("Jet", "pt")], columns[ObjVar("Jet", "eta")]
    columns.add("Top", ["pt", "eta"], [pt * 3, eta], WHERE)
    tops = columns[ObjVar("Top")]
    assert ak.num(tops).tolist() == ak.num(toy.columns["Jet_pt"]).tolist()
    assert tops[tops.pt > 150].eta.tolist() == eta[pt * 3 > 150].tolist()
    assert columns[ObjVar("Top", "eta")].tolist() == toy.columns["Jet_eta"].tolist()


def test_a_new_collection_may_hold_flat_and_jagged_quantities_from_several_ghosts(columns):
    columns.add("Pair", ["mass"], [np.arange(60.0)], WHERE)
    columns.add("Pair", ["all"], [ak.Array([[1, 2]] * 60)], WHERE)
    assert columns[ObjVar("Pair", "mass")].tolist() == list(range(60))
    assert columns[ObjVar("Pair")].all.tolist() == [[1, 2]] * 60
    assert columns[ObjVar("event")].Pair.mass.tolist() == list(range(60))


def test_a_selection_keeps_everything_in_step(columns, toy):
    jets = columns[ObjVar("Jet")]
    columns.replace("Jet", jets[jets.pt > 50])
    columns.add("event", ["n"], [np.arange(60)], WHERE)
    columns.add("Pair", ["m"], [np.arange(60) * 2.0], WHERE)
    mask = np.arange(60) % 3 == 0
    some = columns.select(mask).select(np.arange(20) % 2 == 1)
    kept = np.arange(60)[mask][1::2]
    assert len(some) == 10
    assert some[ObjVar("event", "n")].tolist() == kept.tolist()
    assert some[ObjVar("Pair", "m")].tolist() == (kept * 2.0).tolist()
    assert some[ObjVar("event", "event")].tolist() == toy.columns["event"][kept].tolist()
    assert some[ObjVar("Jet", "pt")].tolist() == [
        [pt for pt in toy.columns["Jet_pt"][int(index)].tolist() if pt > 50] for index in kept
    ]
    assert len(columns) == 60, "the columns it came from are as they were"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3.0, "'x' is float; expected an array with one element per event"),
        (None, "'x' is NoneType; expected an array"),
        (np.zeros(59), "'x' has 59 elements for 60 events"),
    ],
)
def test_a_ghost_that_is_not_one_value_per_event_is_an_error(value, words, columns):
    with pytest.raises(FunctorError, match=f"^{WHERE}: {words}"):
        columns.add("event", ["x"], [value], WHERE)


def test_a_flat_ghost_on_a_collection_of_objects_is_an_error(columns):
    with pytest.raises(
        FunctorError, match=r"'x' is 60 \* float64; its collection needs one value per object"
    ):
        columns.add("Jet", ["x"], [np.zeros(60)], WHERE)


def test_a_ghost_whose_name_means_a_coordinate_to_the_collection_is_an_error_that_says_so(columns):
    with pytest.raises(
        FunctorError, match=r"^ghost_observables.0: 'x' cannot be a field .*conflicting azimuthal"
    ):
        columns.add("Jet", ["x"], [columns[ObjVar("Jet", "pt")]], WHERE)


def test_a_functor_gets_its_columns_in_order_and_its_constants_by_name(columns):
    def weighted(first, second, *, factor):
        return first * factor + second

    functor = Functor(function=weighted, use=[("MET", "pt"), ("event", "run")], static_kwargs={"factor": 2})
    result = columns.call(functor, "here")
    assert result.tolist() == (columns[ObjVar("MET", "pt")] * 2 + columns[ObjVar("event", "run")]).tolist()


def test_values_for_workers_are_computed_at_each_call_also_inside_containers(columns, monkeypatch):
    evaluated = WorkerEval(lambda: os.environ["INTCCMS_TEST_PLACE"])
    arguments = {"a": evaluated, "b": {"x": [evaluated, 1]}, "c": (evaluated,), "d": 4}
    functor = Functor(function=lambda a, b, c, d: (a, b, c, d), static_kwargs=arguments)
    for place in ("here", "there"):
        monkeypatch.setenv("INTCCMS_TEST_PLACE", place)
        assert columns.call(functor, "f") == (place, {"x": [place, 1]}, (place,), 4)
    assert functor.static_kwargs["a"] is evaluated


def test_no_error_shows_what_was_computed_for_the_worker(columns):
    def quoting(values, token, more):
        message = f"cannot log in with {token} and {more['key']}"
        raise RuntimeError(message)

    arguments = {
        "token": WorkerEval(lambda: "tok" + "en-4711"),
        "more": WorkerEval(lambda: {"key": "k" + "ey-0815"}),
    }
    functor = Functor(function=quoting, use=[("MET", "pt")], static_kwargs=arguments)
    with pytest.raises(FunctorError) as info:
        columns.call(functor, "channels.SR.selection")
    text = "".join(traceback.format_exception(info.value))
    line = quoting.__code__.co_firstlineno + 2
    assert str(info.value) == (
        f"channels.SR.selection: {quoting.__qualname__} (test_chunk_columns.py:{line}) raised RuntimeError (its text is "
        "withheld, because the function has WorkerEval arguments)"
    )
    assert "in quoting" in text
    assert "token-4711" not in text
    assert "key-0815" not in text


@pytest.mark.parametrize(
    "secret", [b"tok-4711", Path("tok-4711"), {"tok-4711"}, 4711, ("a", ["tok-4711"])], ids=repr
)
def test_no_error_shows_a_computed_value_of_any_type(columns, secret):
    def failing(values, token):
        message = f"cannot log in with {token!r}, {str(token).upper()}"
        raise RuntimeError(message)

    functor = Functor(
        function=failing, use=[("MET", "pt")], static_kwargs={"token": WorkerEval(lambda: secret)}
    )
    with pytest.raises(FunctorError) as info:
        columns.call(functor, "channels.SR.selection")
    text = "".join(traceback.format_exception(info.value))
    assert "RuntimeError" in text
    assert "4711" not in text


def test_a_variable_that_the_worker_lacks_is_named_with_the_argument(columns, monkeypatch):
    monkeypatch.delenv("INTCCMS_TEST_PLACE", raising=False)
    arguments = {"good": 1, "password": WorkerEval(lambda: os.environ["INTCCMS_TEST_PLACE"])}
    functor = Functor(
        function=lambda values, good, password: values, use=[("MET", "pt")], static_kwargs=arguments
    )
    said = "the WorkerEval for static_kwargs.password of .* needs the environment variable INTCCMS_TEST_PLACE, which"
    with pytest.raises(FunctorError, match=f"channels.SR: {said} is not set on {platform.node()}"):
        columns.call(functor, "channels.SR")


def test_leaving_python_with_a_computed_value_shows_it_as_little(columns):
    def leaving(values, token):
        sys.exit(token)

    functor = Functor(
        function=leaving, use=[("MET", "pt")], static_kwargs={"token": WorkerEval(lambda: "tok" + "en-4711")}
    )
    with pytest.raises(FunctorError, match="raised SystemExit") as info:
        columns.call(functor, "channels.SR.selection")
    assert "token-4711" not in "".join(traceback.format_exception(info.value))


def test_an_error_of_the_computation_itself_is_withheld_too(columns):
    def cannot():
        message = "no file for tok" + "en-4711"
        raise OSError(message)

    functor = Functor(
        function=lambda values, token: values,
        use=[("MET", "pt")],
        static_kwargs={"token": WorkerEval(cannot)},
    )
    with pytest.raises(FunctorError) as info:
        columns.call(functor, "channels.SR.selection")
    text = "".join(traceback.format_exception(info.value))
    assert "raised OSError" in text
    assert "token-4711" not in text


def test_a_computation_that_leaves_python_is_an_error_like_any_other(columns):
    functor = Functor(
        function=lambda values, token: values,
        use=[("MET", "pt")],
        static_kwargs={"token": WorkerEval(lambda: sys.exit(3))},
    )
    with pytest.raises(FunctorError, match="static_kwargs.token of .* raised SystemExit"):
        columns.call(functor, "channels.SR.selection")


def test_an_exception_names_the_functor_and_keeps_its_cause(columns):
    def broken(values):
        return values.no_such_field

    with pytest.raises(
        FunctorError,
        match=r"^channels.SR.selection: .*broken \(test_chunk_columns.py:\d+\) raised AttributeError: ",
    ) as info:
        columns.call(Functor(function=broken, use=[("Jet", None)]), "channels.SR.selection")
    assert isinstance(info.value.__cause__, AttributeError)


def test_a_collection_that_lacks_what_its_behaviour_needs_names_the_functor(toy):
    source = open_source(SourceFile(toy.path.name, (str(toy.path),)), "Events")
    bare = Columns(source.events({"nMuon", "Muon_pt"}, 0, 60, {}))
    with pytest.raises(FunctorError, match=r"^channels.SR.selection: cannot have \('Muon', 'pt'\): .*charge"):
        bare.call(Functor(function=same, use=[("Muon", "pt")]), "channels.SR.selection")
