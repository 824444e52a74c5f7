"""Which columns skims hold, in each format, seen by coffea alone; and that a skim needs nothing beside itself."""

from __future__ import annotations

import shutil

import awkward as ak
import numpy as np
import pytest
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from intccms.analysis import AnalysisRunner
from intccms.datasets.nanoevents import quiet_schema
from intccms.schema import load_config
from tests.analysis.breaking import assert_same_bits, bits, report_of
from tests.analysis.modes import ON_SKIMS, ON_THE_FLY, SKIM_ONLY, Analysis
from tests.skimming.linked import VECTOR, write_linked

FORMATS = ["parquet", "ttree", "rntuple"]


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    return write_linked(tmp_path_factory.mktemp("linked") / "linked.root", n_events=80)


def above_30(met):
    return {"MET": met > 30}


def none_of_them(objects):
    return objects.pt > 1e9


def muons(objects, _jets):
    return ak.num(objects)


class Written:
    """The skims of one file, as simulation and as data, with their columns declared by whole collections."""

    def __init__(self, linked, folder, form, **preprocess):
        self.linked, self.folder = linked, folder
        file = {"files": [str(linked.path)]}
        use = [("Muon", None), ("Jet", None)]
        more = [("GenJet", "pt"), ("FatJet", None), ("SubJet", "pt")]
        observables = [
            {"name": "n", "function": muons, "use": use, "binning": [0, 5, 10]},
            *(
                {"name": f"n{index}", "function": ak.num, "use": [column], "binning": [0, 5, 10]}
                for index, column in enumerate(more)
            ),
        ]
        self.config = load_config(
            {
                "general": {
                    "lumi": 1.0,
                    "executor": "iterative",
                    "output_dir": str(folder / "run"),
                    **SKIM_ONLY,
                },
                "datasets": {
                    "datasets": [
                        {"name": "mc", **file, "cross_sections": [1.0]},
                        {"name": "data", **file, "is_data": True},
                    ]
                },
                "preprocess": {
                    "skimming": {"function": above_30, "use": [("MET", "pt")], "output": {"format": form}},
                    **preprocess,
                },
                # a skim drops events and never objects
                "good_object_masks": [
                    {"collection": "Muon", "function": none_of_them, "use": [("Muon", None)]}
                ],
                "channels": [{"name": "SR", "observables": observables}],
            }
        )
        self.runner = AnalysisRunner(self.config, progress=False)

    def events(self, name):
        """Return the events of a dataset as coffea reads them."""
        self.result = self.runner.skim()
        (path,) = [*(self.folder / "run" / "skimmed" / name).rglob("part_*")]
        with quiet_schema():
            if path.suffix == ".parquet":
                factory = NanoEventsFactory.from_parquet(str(path), schemaclass=NanoAODSchema)
            else:
                factory = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema)
            return factory.events()

    def drawn(self, branch):
        """Return a branch of the selected events, as it was drawn."""
        return ak.Array(self.linked.columns[branch])[self.linked.columns["MET_pt"] > 30].to_list()


@pytest.mark.parametrize("form", FORMATS)
def test_a_skim_is_nanoaod_with_its_references_and_all_its_objects(linked, tmp_path, form):
    """Independent: indices followed in plain Python, through the numbers that were drawn."""
    written = Written(linked, tmp_path, form)
    events = written.events("mc")
    for name in ("run", "luminosityBlock", "event", "genWeight"):
        assert events[name].to_list() == written.drawn(name)
    assert ak.num(events.Muon).to_list() == written.drawn("nMuon")
    for fields, collection in ((events.Muon, "Muon"), (events.Jet, "Jet"), (events.FatJet, "FatJet")):
        for field in VECTOR:
            assert fields[field].to_list() == written.drawn(f"{collection}_{field}")

    def followed(index, target):
        return [
            [None if one < 0 else values[one] for one in indices]
            for indices, values in zip(written.drawn(index), written.drawn(target), strict=True)
        ]

    assert events.Muon.matched_jet.pt.to_list() == followed("Muon_jetIdx", "Jet_pt")
    assert events.Jet.matched_gen.pt.to_list() == followed("Jet_genJetIdx", "GenJet_pt")
    assert events.FatJet.subjets.pt[:, :, 0].to_list() == followed("FatJet_subJetIdx1", "SubJet_pt")
    assert ak.all(abs(events.Muon.px - events.Muon.pt * np.cos(events.Muon.phi)) < 1e-3)


def columns_of(events):
    layout = ak.to_layout(
        events
    )  # collections that are there for an index only need not have all of a behaviour
    return {
        f"{name}_{field}" if field else name
        for name in layout.fields
        for field in layout[name].fields or [""]
    }


@pytest.mark.parametrize("form", FORMATS)
def test_listed_branches_narrow_and_those_of_simulation_are_not_asked_of_data(linked, tmp_path, form):
    lists = {
        "branches": {"Muon": ["tightId"], "Jet": ["jetId"]},
        "mc_branches": {"Jet": ["genJetIdx"]},
    }
    written = Written(linked, tmp_path, form, **lists)
    simulation, data = columns_of(written.events("mc")), columns_of(written.events("data"))
    assert {"Muon_tightId", "Muon_pt", "Muon_charge", "Jet_jetId", "Jet_mass", "genWeight"} <= simulation
    assert "Muon_jetIdx" not in simulation
    assert "Jet_genJetIdx" in simulation
    assert not {"Jet_genJetIdx", "genWeight", "Muon_jetIdx"} & data
    # a field that a functor declares stays, and nothing that nobody declared comes along
    assert "SubJet_pt" in data
    assert not {"PV_npvs", "Generator_x1", "HLT_IsoMu24"} & (simulation | data)


def test_a_listed_field_that_is_absent_is_an_error_or_left_out(linked, tmp_path):
    lists = {"branches": {"Muon": ["tightId", "looseld"]}}
    result = Written(linked, tmp_path / "strict", "parquet", **lists)
    with pytest.raises(ValueError, match=r"Muon_looseld"):
        result.runner.skim()
    written = Written(linked, tmp_path / "lenient", "parquet", **lists, ignore_missing=True)
    assert "Muon_tightId" in columns_of(written.events("mc"))
    assert written.result.succeeded


def test_the_plan_says_how_many_columns_whole_collections_stand_for(linked, tmp_path):
    """Counted by hand in `write_linked`."""
    total = len(linked.columns)
    counters = sum(name.startswith("n") for name in linked.columns)
    fatjet, muon, jet = len(VECTOR) + 2, len(VECTOR) + 3, len(VECTOR) + 3
    others = 3 + 2 + 2 * len(VECTOR) + 1  # ids, MET, momenta of GenJet and SubJet, GenPart_pdgId
    everything = counters + others + fatjet + muon + jet
    notes = Written(linked, tmp_path, "parquet").runner.plan().notes
    listed = f"among them {muon} Muon_*, {jet} Jet_*, {fatjet} FatJet_* read and written to skims"
    assert notes == (
        f"mc: {everything + 1} of {total} columns, {listed}",
        f"data: {everything} of {total} columns, {listed}",
    )
    lists = {"branches": {"Muon": ["tightId"], "FatJet": [], "Jet": []}}
    narrowed = Written(linked, tmp_path / "narrow", "parquet", **lists).runner.plan()
    assert f"among them {len(VECTOR) + 2} Muon_*, {len(VECTOR) + 1} Jet_*, 4 FatJet_*" in narrowed.notes[0]
    assert narrowed.lines()[-1] == narrowed.notes[-1]


@pytest.mark.parametrize("form", FORMATS)
def test_the_folder_of_a_skim_is_all_that_an_analysis_of_it_needs(toys, tmp_path, form):
    """Source, metadata and ledger are gone, and the skims lie elsewhere: weights, lumi sections, sums are in them."""
    source = tmp_path / "source"
    source.mkdir()
    analysis = Analysis(toys, tmp_path)
    analysis.config["preprocess"]["skimming"]["output"] = {"format": form}
    for one in analysis.config["datasets"]["datasets"]:
        one["files"] = [str(shutil.copy(path, source)) for path in one["files"]]
    analysis.run(ON_THE_FLY, "direct")
    analysis.run(SKIM_ONLY, "skim")
    expected, report = bits(tmp_path / "direct"), report_of(tmp_path / "direct")
    for folder in (source, tmp_path / "direct", tmp_path / "skim"):
        shutil.rmtree(folder)
    shutil.move(analysis.skims, tmp_path / "moved")
    result, calls = analysis.run(ON_SKIMS, "after", skimmed_dir=str(tmp_path / "moved"))
    assert (result.succeeded, calls) == (True, 0)
    assert_same_bits(bits(tmp_path / "after"), expected)
    assert report_of(tmp_path / "after")["datasets"][0]["sumw"] == report["datasets"][0]["sumw"]
    # independent: what was drawn; `Runs` says more than the events in the files
    assert report["datasets"][0]["sumw"] == pytest.approx(
        sum(toy.generated_sumw for toy in toys["tt"]), rel=1e-12
    )
    after, before = report_of(tmp_path / "after")["datasets"][2], report["datasets"][2]
    for name in ("lumi_sections", "processed_lumi_sections"):
        assert after[name] == before[name] == 13, name  # 260 events, 20 in each
