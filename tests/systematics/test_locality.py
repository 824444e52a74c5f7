"""Functions that look at other events are found, by name and event; those of the examples are none of them."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
from click.testing import CliRunner

from intccms import load_config
from intccms.analysis.locality import check_locality
from intccms.cli import main
from intccms.datasets import open_source
from intccms.demo.full import write_full_nanoaod
from intccms.errors import ConfigError, FunctorError
from intccms.schema import SYS
from intccms.systematics.locality import LocalityReport, check_function, first_difference
from tests.analysis.toys import dataset, toy_config, write_toy
from tests.examples import example_on_reference_payloads
from tests.reference import reference_data

RNG = np.random.default_rng(1)


def checked(function, *columns):
    return check_function(lambda index: [function(*(one[index] for one in columns))], len(columns[0]), "f")


PT = ak.Array([[50.0, 20.0], [], [30.0], [70.0, 60.0, 10.0], [25.0], [40.0, np.nan]] * 5)
EVENT = np.arange(30) + 100.0


@pytest.mark.parametrize(
    "function",
    [
        lambda pt, event: pt / 2,
        lambda pt, event: ak.sum(pt, axis=1) + event,
        lambda pt, event: ak.firsts(pt),
        lambda pt, event: ak.argsort(pt, axis=1),
        lambda pt, event: ak.zip({"pt": pt, "event": event}),
    ],
    ids=["scaled", "sum", "option", "argsort", "records"],
)
def test_functions_of_one_event_are_local(function):
    assert checked(function, PT, EVENT) is None


@pytest.mark.parametrize(
    "function",
    [
        lambda pt, event: event - event.mean(),
        lambda pt, event: np.cumsum(event),
        lambda pt, event: np.arange(len(event)),
        lambda pt, event: RNG.random(len(event)),
        lambda pt, event: np.sort(event)[::-1],
        lambda pt, event: ak.unflatten(np.roll(ak.flatten(pt), 1), ak.num(pt)),
        lambda pt, event: event * (1 + 1e-16 * len(event)) + np.spacing(event) * (len(event) < 15),
    ],
    ids=["mean", "cumulative", "position", "random", "sorted", "other event's jet", "last bit"],
)
def test_functions_of_other_events_are_found_to_the_last_bit(function):
    found = checked(function, PT, EVENT)
    assert found is not None
    assert 0 <= found.event < 30


def test_a_difference_names_the_first_event_and_both_results():
    found = checked(lambda event: event == event[0], EVENT)
    assert (found.where, found.how) == ("f", "in another order")
    order = np.random.default_rng(20).permutation(30)
    assert found.event == order[0]
    assert (found.alone, found.then) == ("False", "True")
    assert str(found) == (
        f"f depends on other events: with the events in another order it gives True for event {order[0]}, False otherwise"
    )


@pytest.mark.parametrize(
    ("one", "other", "position"),
    [
        ([1.0, np.nan], [1.0, np.nan], None),
        ([1.0, None], [1.0, None], None),
        (np.array([1, 2]), np.array([1, 2], dtype=np.int8), None),
        ([0.0, 1.0], [0.0, np.nextafter(1.0, 2.0)], 1),
        ([[1.0], []], [[1.0], [2.0]], 1),
        ([1.0, 2.0], [1.0], 1),
        ([1.0, None], [1.0, 0.0], 1),
    ],
)
def test_arrays_are_compared_bit_for_bit(one, other, position):
    found = first_difference(ak.Array(one), ak.Array(other))
    assert (None if found is None else found[0]) == position


def leading_of_chunk(jets):
    return ak.sum(jets.pt, axis=1) / max(1.0, float(ak.max(jets.pt)))


def above_the_mean(met):
    return met > np.mean(met)


def harder_than_half(objects):
    return objects.pt > ak.mean(objects.pt)


def mean_weight(met, key):
    return np.asarray(met) / np.mean(np.asarray(met)) * {"nominal": 1.0, "up": 1.1, "down": 0.9}[key]


def local_up(met, key):
    """Local nominally only."""
    return np.ones(len(met)) if key == "nominal" else mean_weight(met, key)


def jet_scale(pt):
    return ak.ones_like(pt) * 1.1


def jet_scale_of_position(pt):
    return ak.ones_like(pt) * (1.0 + 0.01 * np.arange(len(pt)))


def even_events(events):
    return events[events.event % 2 == 0]


def first_half(events):
    return events[: len(events) // 2]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy") / "tt_0.root", 300)


class TestConfigurations:
    @pytest.fixture
    def report(self, toy, tmp_path):
        def checked(change=None, *, corrections=(), **more):
            config = toy_config([dataset("tt", toy)], tmp_path)
            if change is not None:
                change(config)
            return check_locality(load_config({**config, "corrections": list(corrections)}), toy.path, **more)

        return checked

    def test_a_configuration_of_local_functions_passes(self, report):
        found = report()
        found.raise_if_not()
        assert found.is_local
        assert found.events == 300
        assert set(found.checked) >= {
            "preprocess.skimming",
            "good_object_masks.0",
            "good_object_masks.1",
            "baseline_selection",
            "ghost_observables.0",
            "channels.SR.selection",
            "channels.SR.observables.jet_met",
        }

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            (lambda c: c["preprocess"]["skimming"].update(function=above_the_mean), "preprocess.skimming"),
            (
                lambda c: c["good_object_masks"][1].update(function=harder_than_half, static_kwargs={}),
                "good_object_masks.1",
            ),
            (
                lambda c: c.update(baseline_selection={"function": above_the_mean, "use": [("MET", "pt")]}),
                "baseline_selection",
            ),
            (lambda c: c["ghost_observables"][0].update(function=leading_of_chunk), "ghost_observables.0"),
            (
                lambda c: c["channels"][0].update(
                    selection={"function": above_the_mean, "use": [("MET", "pt")]}
                ),
                "channels.SR.selection",
            ),
            (
                lambda c: c["preprocess"].update(skimming={"function": first_half, "use": [("event", None)]}),
                "preprocess.skimming",
            ),
        ],
        ids=["skim", "mask", "baseline", "ghost", "selection", "skim of events"],
    )
    def test_each_functor_that_looks_at_others_is_named(self, report, change, name):
        found = report(change)
        assert [one.where for one in found.differences][:1] == [name]
        with pytest.raises(FunctorError, match=rf"^{name} depends on other events"):
            found.raise_if_not()

    def test_a_skim_that_returns_events_may_be_local(self, report):
        found = report(
            lambda c: c["preprocess"].update(skimming={"function": even_events, "use": [("event", None)]})
        )
        assert found.is_local

    def test_corrections_are_checked_for_every_source(self, report):
        def weight(name, function):
            return {
                "name": name,
                "type": "event",
                "nominal_function": function,
                "args": [("MET", "pt"), SYS],
                "nominal_idx": "nominal",
                "uncertainty_sources": [{"name": name, "up_and_down_idx": ["up", "down"]}],
            }

        found = report(corrections=[weight("w", mean_weight), weight("v", local_up)])
        assert [one.where for one in found.differences] == [
            "correction 'w'",
            "correction 'w', source 'w' (up)",
            "correction 'w', source 'w' (down)",
            "correction 'v', source 'v' (up)",
            "correction 'v', source 'v' (down)",
        ]
        assert "correction 'v'" in found.checked

    def test_object_corrections_are_checked_step_by_step(self, report):
        def scale(name, function):
            args = [("Jet", "pt")]
            return {
                "name": name,
                "type": "object",
                "target": ("Jet", "pt"),
                "nominal_function": function,
                "args": args,
            }

        chain = [scale("one", jet_scale), scale("two", jet_scale_of_position), scale("three", jet_scale)]
        found = report(corrections=chain)
        # the third one is given what the second one made, and depends on nothing else
        assert [one.where for one in found.differences] == ["correction 'two'"]

    def test_what_no_event_reaches_is_said(self, report):
        found = report(lambda c: c["preprocess"]["skimming"].update(function=above_all, use=[("MET", "pt")]))
        assert found.is_local
        assert "channels.SR.selection" in found.unchecked
        assert "not checked, because cuts left less than two" in "\n".join(found.lines())
        everything = report(
            lambda c: c["preprocess"]["skimming"].update(function=above_all, use=[("MET", "pt")]), cuts=False
        )
        assert everything.unchecked == ()

    def test_events_that_are_open_already_are_taken_as_they_are(self, toy, tmp_path):
        config = load_config(toy_config([dataset("tt", toy)], tmp_path))
        source = open_source(_file(toy.path), "Events")
        found = check_locality(config, source.events(source.branches, 0, 50, {"dataset": "tt"}))
        assert (found.events, found.is_local) == (50, True)

    def test_an_unknown_dataset_is_named(self, report):
        with pytest.raises(ConfigError, match="no dataset 'ttt' is selected. Did you mean 'tt'?"):
            report(dataset="ttt")

    def test_the_command_looks_at_the_first_file_of_each_process(self, toy, tmp_path):
        path = tmp_path / "local_config.py"
        path.write_text(
            "from pathlib import Path\nfrom tests.analysis.toys import toy_config\n"
            "from tests.systematics.test_locality import leading_of_chunk\n"
            f"entry = {{'name': 'tt', 'files': [{str(toy.path)!r}], 'cross_sections': [1.0]}}\n"
            "config = toy_config([entry, {**entry, 'name': 'dy'}], Path('out'))\n"
        )
        good = CliRunner().invoke(main, ["systematics", str(path), "--check-locality", "--events", "100"])
        assert good.exit_code == 0, good.output
        assert [line for line in good.output.splitlines() if not line.startswith(" ")] == [
            f"tt: {toy.path}",
            f"dy: {toy.path}",
        ]
        assert "on 100 events: none of them depends on other events" in good.output
        path.write_text(path.read_text() + "config['ghost_observables'][0]['function'] = leading_of_chunk\n")
        bad = CliRunner().invoke(main, ["systematics", str(path), "--check-locality", "--json"])
        assert bad.exit_code == 1
        assert json.loads(bad.stdout)["tt"]["differences"][0]["where"] == "ghost_observables.0"


def above_all(met):
    return met > 1e9


def _file(path):
    from intccms.datasets import SourceFile

    return SourceFile(str(path), (str(path),))


def test_reports_show_themselves():
    report = LocalityReport(10, ("a",), (), ())
    assert (
        report._repr_html_()
        == "<p>1 functions and corrections on 10 events: none of them depends on other events</p>"
    )
    assert report.to_json()["events"] == 10


def test_everything_in_the_run_two_example_is_local(tmp_path):
    config = example_on_reference_payloads("example_cms", ["general.processes=signal"])
    path = tmp_path / "signal_2018_0.root"
    write_full_nanoaod(path, process="signal", year="2018", events=400, seed=3)
    report = check_locality(config, path, dataset="signal_2018")
    report.raise_if_not()
    assert report.unchecked == ()
    assert len(report.checked) > 150


def test_everything_in_the_open_data_example_is_local():
    file = reference_data() / "opendata2016" / "ttbar_lep_0.root"
    config = load_config("example_opendata", ["general.processes=ttbar_lep"])
    report = check_locality(config, file, dataset="ttbar_lep")
    report.raise_if_not()
    assert report.unchecked == ()
