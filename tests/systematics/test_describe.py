"""The variation plan before a run: counts by hand, what is hoisted and why, warnings, and how it looks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from intccms import AnalysisRunner, load_config
from intccms.analysis.processor import AnalysisProcessor
from intccms.cli import main
from intccms.datasets import SourceFile, open_source
from intccms.demo.full import write_full_nanoaod
from intccms.errors import ConfigError
from intccms.schema import SYS
from intccms.skimming import ColumnPlan
from intccms.systematics import chain, weights
from intccms.systematics.describe import describe_plan
from intccms.systematics.plan import SystematicsPlan
from tests.configurations import analysis_of
from tests.examples import example_on_reference_payloads

YEARS = ["2016preVFP", "2016postVFP", "2017", "2018"]


def some(values, *_others):
    return values


def cut(values, *_others):
    return values > 30


def number(*_columns):
    return np.ones(1)


def correction(name, kind="event", sources=(), **more):
    target = {"target": ("Jet", "pt")} if kind == "object" else {}
    keyed = {
        "type": kind,
        "nominal_function": number,
        "args": [("Jet", "pt"), SYS],
        "uncertainty_sources": [
            {"name": source, "up_and_down_idx": ["up", "down"]} if isinstance(source, str) else source
            for source in sources
        ],
    }
    return {"name": name, **keyed, **target, **more}


def config_of(corrections, *, years=("2017", "2018"), use=(("Jet", "pt"),), data=False, **more):
    """An analysis with one mask of jets, one of muons, a ghost, and a channel with two observables."""
    datasets = [
        {"name": "tt", "files": ["x"], "cross_sections": [1.0], "years": [year]} for year in years
    ] or [{"name": "tt", "files": ["x"], "cross_sections": [1.0]}]
    for entry in datasets:
        entry["name"] = f"tt{entry.get('years', [''])[0]}"
        entry["process"] = "tt"
    if data:
        datasets.append({"name": "data", "files": ["y"], "is_data": True, "years": [years[0]]})
    source = analysis_of(datasets)
    source["general"]["lumi"] = dict.fromkeys(years, 1.0) if years else 1.0
    source["good_object_masks"] = [
        {"collection": "Muon", "function": cut, "use": [("Muon", "pt")]},
        {"collection": "Jet", "function": cut, "use": [("Jet", "pt")]},
    ]
    source["ghost_observables"] = [{"names": "ht", "function": some, "use": [("Jet", "pt")]}]
    axes = {"binning": [0.0, 1.0]}
    source["channels"] = [
        {
            "name": "SR",
            "selection": {"function": cut, "use": [("event", "ht")]},
            "observables": [
                {"name": "jets", "function": some, "use": list(use), **axes},
                {"name": "muons", "function": some, "use": [("Muon", "pt")], **axes},
            ],
        }
    ]
    return load_config({**source, "corrections": corrections, **more})


def rendered(plan, width=160):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(plan)
    return console.export_text()


@pytest.fixture(scope="module")
def cms():
    return load_config("example_cms")


@pytest.fixture(scope="module")
def plan(cms):
    return describe_plan(cms)


class TestTheRunTwoExample:
    def test_it_has_41_nuisances_82_variations_a_year_and_184_names(self, plan):
        assert [(one.year, one.nuisances, one.variations) for one in plan.years] == [
            (year, 41, 82) for year in YEARS
        ]
        # 27 of the scale, 1 resolution, 1 unclustered: 58; 3 muon, pileup, 8 b tag: 24
        assert {tuple(one.by_kind.items()) for one in plan.years} == {(("object", 58), ("weight", 24))}
        # 3 muon + 17 scale + 4 b tag for all years; pileup, 10 scale, resolution, unclustered, 4 b tag for each
        assert (plan.names, plan.nuisances) == (184, 24 + 4 * 17)

    def test_sources_say_what_they_vary_with_and_in_which_years(self, plan):
        by_name = {one.name: one for one in plan.sources}
        flavour, stat = by_name["jes_FlavorQCD"], by_name["jes_AbsoluteStat_{year}"]
        assert (flavour.kind, flavour.correction, flavour.decorrelated) == ("object", "jec", False)
        assert flavour.moves == stat.moves == ("fat_jec", "met_type1", "b_tag")
        assert flavour.columns == ("Jet_eta", "Jet_pt")
        assert stat.decorrelated
        assert stat.is_everywhere
        assert stat.years == tuple(YEARS)
        assert by_name["muon_id"].kind == "weight"
        assert by_name["jer_{year}"].moves == ("fat_jer",)

    def test_what_is_hoisted_is_what_the_plan_says(self, cms, plan):
        group = plan.groups[0]
        dataset = next(one for one in cms.selected_datasets() if one.name == group.datasets[0])
        touched = SystematicsPlan(cms, dataset, cms.selected_channels()).touched
        steps = {step.name: step for step in group.steps}
        varying = {name for name, step in steps.items() if step.varies and step.kind == "weight"}
        assert varying == touched.weights == {"muon_id", "muon_iso", "muon_trigger", "b_tag"}
        masks = {
            int(name.split(".")[1].split()[0])
            for name, one in steps.items()
            if one.kind == "object mask" and one.varies
        }
        assert masks == touched.masks
        assert steps["baseline_selection"].varies == touched.baseline
        observables = sum(step.varies for step in steps.values() if step.kind == "observable")
        assert observables == len(touched.observables)
        assert steps["pileup"].reason == "nothing that it reads varies"
        assert steps["good_object_masks.1 (Muon)"].reason == "reads Jet, which jec, jer vary"

    def test_evaluations_are_counted(self, plan):
        steps = {step.name: (step.states, step.keys) for step in plan.groups[0].steps}
        # relative shifts serve both directions; the resolution is evaluated on what 54 variations of the scale left
        assert steps["jec"] == (0, 27)
        assert steps["jer"] == (54, 2)
        assert steps["fat_jec"] == (0, 27)
        assert steps["fat_jer"] == (54, 2)
        assert steps["met_type1"] == (2, 54)
        assert steps["met_unclustered"] == (56, 2)
        assert steps["b_tag"] == (0, 16 + 54)

    def test_data_are_nominal(self, plan):
        data = [one for one in plan.groups if one.is_data]
        assert {one.variations for one in data} == {0}
        assert not any(step.varies or step.keys for one in data for step in one.steps)

    def test_rows_are_bounded_by_the_budget(self, cms):
        def memory(events, **general):
            config = load_config("example_cms", [f"general.{key}={value}" for key, value in general.items()])
            return describe_plan(config, year="2018", events=events).groups[0].memory

        small = memory(1000)
        assert (small.rows, small.batches) == (1000 * 59, 1)
        # 200,000 rows hold nominal and 49 variations of 4,000 events
        assert (memory(4000).rows, memory(4000).batches) == (200_000, 2)
        # one variation at least
        assert (memory(4000, tile_rows=10).rows, memory(4000, tile_rows=10).batches) == (8000, 58)
        assert small.total == small.rows * small.bytes_per_row + small.state_bytes

    @pytest.mark.parametrize("width", [80, 100, 160])
    def test_it_fits_and_is_short(self, plan, width):
        lines = rendered(plan, width).splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) < {80: 160, 100: 130, 160: 90}[width]
        assert (
            "41 nuisances and 82 variations a year; over 4 years 92 nuisances, 184 variations by name"
            in " ".join(lines)
        )

    def test_in_full_every_source_is_listed(self, plan):
        text = rendered(plan.in_full(), 240)
        assert all(one.name in text for one in plan.sources)
        assert "One chunk of data" in text

    def test_the_html_says_the_same_and_escapes(self, plan):
        text = plan._repr_html_()
        assert "41 nuisances and 82 variations a year" in text
        assert "<script" not in text
        assert text.count("<table>") == text.count("</table>") >= 3

    def test_json_holds_everything(self, plan):
        found = json.loads(json.dumps(plan.to_json()))
        assert (found["names"], found["nuisances"], len(found["sources"])) == (184, 92, 41)
        assert found["groups"][0]["memory"]["total"] > 0
        assert "full" not in found


def test_runners_describe_their_plan():
    config = config_of([correction("jec", "object", ["jes"])], years=())
    described = AnalysisRunner(config, progress=False).systematics(events=100)
    assert (described.nuisances, described.names) == (1, 2)
    assert described.groups[0].memory.rows == 300
    config.general.run_systematics = False
    assert AnalysisRunner(config, progress=False).systematics().names == 0
    assert "nominal only" in rendered(AnalysisRunner(config, progress=False).systematics())


def test_members_and_normalisations_are_kinds_of_their_own():
    members = {"name": "pdf", "members": [1, 2, 3], "combine": "hessian"}
    lumi = {
        "name": "lumi",
        "type": "normalisation",
        "uncertainty_sources": [{"name": "lumi", "up_and_down_idx": [1.1, 0.9]}],
    }
    described = describe_plan(config_of([correction("theory", sources=[members]), lumi], years=()))
    assert {(one.name, one.kind, one.variations) for one in described.sources} == {
        ("pdf", "member set", 3),
        ("lumi", "normalisation", 2),
    }
    assert described.years[0].by_kind == {"member set": 3, "normalisation": 2}


def test_reasons_follow_masks_and_ghost_observables():
    (group,) = describe_plan(config_of([correction("jec", "object", ["jes"])], years=())).groups
    steps = {one.name: (one.varies, one.reason) for one in group.steps if one.kind != "object correction"}
    assert steps == {
        "good_object_masks.0 (Muon)": (False, "nothing that it reads varies"),
        "good_object_masks.1 (Jet)": (True, "reads Jet, which jec varies"),
        "ghost_observables.0 (ht)": (True, "reads Jet, which jec varies"),
        "channels.SR.selection": (True, "reads ht, which ghost_observables.0 varies"),
        "channels.SR.observables.jets": (True, "reads Jet, which jec varies"),
        "channels.SR.observables.muons": (False, "nothing that it reads varies"),
    }


def test_what_is_corrected_alike_in_all_variations_waits_and_is_evaluated_once():
    muons = correction("roccor", "object", target=("Muon", "pt"), args=[("Muon", "pt")])
    (group,) = describe_plan(config_of([muons], years=())).groups
    (step,) = [one for one in group.steps if one.name == "channels.SR.observables.muons"]
    assert (step.varies, step.reason) == (False, "reads Muon, which roccor corrects alike in all variations")


class TestWarnings:
    def warnings(self, *args, **more):
        return describe_plan(config_of(*args, **more)).warnings

    def test_a_source_with_the_nominal_key(self):
        one_sided = {"name": "sf", "up_and_down_idx": ["up", "nominal"]}
        (text,) = self.warnings([correction("w", sources=[one_sided], nominal_idx="nominal")], years=())
        assert text == (
            "source 'sf' of w has the nominal key 'nominal' in up_and_down_idx: that direction varies nothing."
        )
        assert self.warnings([correction("w", sources=["sf"], nominal_idx="nominal")], years=()) == ()

    def test_a_source_that_is_named_like_a_variation(self):
        (text,) = self.warnings([correction("w", sources=["pv_up"])], years=())
        assert text.startswith(
            "source 'pv_up' of w is named like a variation: it makes pv_up_up and pv_up_down."
        )

    def test_a_payload_that_gets_what_is_made_of_a_whole_collection(self):
        more = {"file": "w.json", "key": "w", "nominal_function": None, "transform_in": some}
        (text,) = self.warnings([correction("w", args=[("Muon", None), SYS], **more)], years=())
        assert text == (
            "w: its payload gets what transform_in makes of the whole collection Muon, which has to be a field of it, such "
            "as pt: abs(muon) is the mass."
        )

    def test_met_that_does_not_follow_the_jets(self):
        jec = correction("jec", "object", ["jes"])
        (text,) = self.warnings([jec], use=[("PuppiMET", "pt")], years=())
        assert text.startswith(
            "channels.SR.observables.jets reads PuppiMET, which stays as it was read while jec changes Jet."
        )
        assert "met.stored_met" in text
        met = correction("met", "object", target=("PuppiMET", "pt"), args=[("PuppiMET", "pt")])
        assert self.warnings([jec, met], use=[("PuppiMET", "pt")], years=()) == ()

    def test_one_kind_of_jets_that_does_not_move_with_the_scale(self):
        jec = correction("jec", "object", ["jes_total"])
        (text,) = self.warnings([jec], use=[("FatJet", "pt")], years=())
        assert text.startswith(
            "channels.SR.observables.jets reads FatJet, but the sources of the jet energy scale vary Jet only."
        )

    def test_a_correction_of_what_nothing_uses(self):
        tau = correction("tau", "object", ["tes"], target=("Tau", "pt"), args=[("Tau", "pt"), SYS])
        (text,) = self.warnings([tau], years=())
        assert (
            text
            == "correction 'tau' changes Tau_pt, which no channel uses: it is not evaluated, and the sources tes are left out."
        )

    def test_a_source_of_some_years(self):
        corrections = {
            "2017": [correction("w", sources=["pu", "stat_2017"])],
            "2018": [correction("w", sources=["stat_2018"])],
        }
        (text,) = self.warnings(corrections)
        assert text.startswith("pu: in 2017, not in 2018")

    def test_a_source_of_two_years_that_names_both_is_correlated(self):
        names = ["lumi_2017_2018"]
        corrections = {year: [correction("w", sources=names)] for year in ("2017", "2018")}
        described = describe_plan(config_of(corrections))
        assert described.warnings == ()
        assert [(one.name, one.decorrelated, one.years) for one in described.sources] == [
            ("lumi_2017_2018", False, ("2017", "2018"))
        ]
        assert described.names == 2

    def test_corrections_that_may_change_nothing(self):
        (text,) = self.warnings({"2017": [correction("w", ignore_missing=True)], "2018": []})
        assert text == "w changes nothing where a file lacks a column of its own (ignore_missing)."


class TestTheCommand:
    def call(self, *args):
        return CliRunner().invoke(main, ["systematics", *args], env={"COLUMNS": "160"})

    def test_it_needs_neither_events_nor_payloads(self, monkeypatch):
        monkeypatch.setenv("INTCCMS_PAYLOADS", "/nowhere")
        result = self.call("example_cms", "--year", "2018")
        assert result.exit_code == 0, result.output
        assert "41 nuisances, 82 variations" in result.output
        assert "2017" not in result.output

    def test_json_and_overrides(self):
        found = json.loads(
            self.call("example_cms", "--json", "general.processes=signal", "general.tile_rows=1000").stdout
        )
        assert found["names"] == 184
        assert found["groups"][0]["memory"]["rows"] == 8000

    def test_all_lists_every_source(self):
        assert "jes_TimePtEta" in self.call("example_cms", "--all", "--year", "2017").output.replace("\n", "")

    def test_an_unknown_year_is_an_error_that_names_the_nearest(self, cms):
        result = self.call("example_cms", "--year", "2016")
        assert result.exit_code == 2
        assert "there are 2016preVFP, 2016postVFP, 2017, 2018." in result.stderr
        with pytest.raises(ConfigError, match="has the year '2016'"):
            describe_plan(cms, year="2016")

    def test_its_help_says_what_it_shows(self):
        result = self.call("--help")
        assert result.exit_code == 0
        assert all(
            word in result.output
            for word in ("--year", "--json", "--all", "--check-locality", "CONFIG", "nuisances")
        )

    def test_help_imports_nothing_heavy(self):
        code = (
            "import sys\nfrom intccms.cli import main\n"
            "try:\n    main(['systematics', '--help'])\n"
            "except SystemExit:\n    print([n for n in ('pydantic', 'numpy', 'awkward', 'rich') if n in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] in {"[]", "['rich']"}


def test_keys_are_evaluated_as_often_as_is_said(tmp_path, monkeypatch):
    config = example_on_reference_payloads("example_cms", ["general.processes=signal"])
    counted = Counter()

    def counting(module, name):
        original = getattr(module, name)

        def evaluated(correction, shift, *args):
            counted[correction.name] += shift is not None
            return original(correction, shift, *args)

        monkeypatch.setattr(module, name, evaluated)

    counting(chain, "object_values")
    counting(weights, "event_factors")
    path = tmp_path / "signal_2018_0.root"
    write_full_nanoaod(path, process="signal", year="2018", events=100, seed=3)
    signal = next(one for one in config.selected_datasets() if one.year == "2018")
    source = open_source(SourceFile(str(path), (str(path),)), "Events")
    branches = ColumnPlan(config).branches(source.branches, signal, where=source.url)
    metadata = {"dataset": signal.name, "absent_triggers": branches.absent_triggers}
    AnalysisProcessor(config).sums(source.events(branches.names, 0, 100, metadata))
    (group,) = describe_plan(config, year="2018").groups
    said = {step.name: step.keys for step in group.steps if step.kind in {"object correction", "weight"}}
    assert dict(counted) == said
