"""Files of the full content: what is in them, and that it fits together. Expected numbers come from plain loops."""

from __future__ import annotations

import math

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from intccms.demo.full import FullSample, full_columns, write_full_nanoaod
from intccms.demo.full.conditions import YEARS
from intccms.demo.full.content import number_of_branches
from intccms.demo.production import CLUSTER_EVENTS
from intccms.errors import ConfigError

N = 2_000
TT, W, DATA = "ttbar_semilep", "wjets", "data"

BRANCHES = {
    "Jet": "pt eta phi mass area rawFactor muonSubtrFactor chEmEF neEmEF hadronFlavour partonFlavour btagDeepFlavB "
    "btagDeepB jetId puId genJetIdx muonIdx1 muonIdx2 electronIdx1 electronIdx2",
    "GenJet": "pt eta phi mass hadronFlavour",
    "GenJetAK8": "pt eta phi mass hadronFlavour",
    "FatJet": "pt eta phi mass area rawFactor msoftdrop tau1 tau2 tau3 tau4 particleNet_TvsQCD particleNet_mass "
    "deepTagMD_TvsQCD jetId subJetIdx1 subJetIdx2 genJetAK8Idx hadronFlavour",
    "SubJet": "pt eta phi mass rawFactor btagDeepB",
    "Muon": "pt eta phi mass charge tightId mediumId looseId highPtId tkIsoId pfIsoId miniIsoId pfRelIso04_all "
    "tkRelIso tunepRelPt dxy dz jetIdx genPartIdx",
    "Electron": "pt eta phi mass charge cutBased jetIdx mvaFall17V2noIso_WP90 genPartIdx",
    "GenPart": "pt eta phi mass pdgId status statusFlags genPartIdxMother",
    "MET": "pt phi sumEt MetUnclustEnUpDeltaX MetUnclustEnUpDeltaY",
    "RawMET": "pt phi",
    "PuppiMET": "pt phi ptJESUp ptJESDown phiJESUp phiJESDown ptJERUp ptJERDown phiJERUp phiJERDown ptUnclusteredUp "
    "ptUnclusteredDown phiUnclusteredUp phiUnclusteredDown",
    "CorrT1METJet": "rawPt eta phi area muonSubtrFactor",
    "Pileup": "nTrueInt nPU",
    "L1PreFiringWeight": "Nom Up Dn",
    "Flag": "goodVertices globalSuperTightHalo2016Filter HBHENoiseFilter HBHENoiseIsoFilter "
    "EcalDeadCellTriggerPrimitiveFilter BadPFMuonFilter BadPFMuonDzFilter eeBadScFilter",
}
EVENT_LEVEL = (
    "run luminosityBlock event genWeight fixedGridRhoFastjetAll PV_npvsGood HLT_Mu50 LHEScaleWeight LHEPdfWeight "
    "PSWeight nLHEScaleWeight nLHEPdfWeight nPSWeight"
)


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    """Hard t tbar events of 2018."""
    path = tmp_path_factory.mktemp("full") / "tt.root"
    write_full_nanoaod(path, process=TT, year="2018", events=N, seed=5)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Collisions of 2017, most of them soft."""
    path = tmp_path_factory.mktemp("full") / "data.root"
    write_full_nanoaod(
        path, process=DATA, year="2017", events=N, seed=6, is_data=True, first_event=701, efficiency=0.04
    )
    return path


def arrays(path, *names):
    return uproot.open(path)["Events"].arrays(list(names) or None)


def nano(path):
    return NanoEventsFactory.from_root(
        {str(path): "Events"}, schemaclass=NanoAODSchema, mode="virtual"
    ).events()


def passes_loose_skim(path):
    """Evaluate the loose skim of the muon channel event by event."""
    names = ("Muon_pt", "Muon_eta", "HLT_Mu50", "MET_pt", "FatJet_pt", "Jet_pt")
    return [
        any(pt > 55 and abs(eta) < 2.4 for pt, eta in zip(one["Muon_pt"], one["Muon_eta"], strict=True))
        and one["HLT_Mu50"]
        and one["MET_pt"] > 50
        and (len(one["FatJet_pt"]) > 0 or sum(pt > 50 for pt in one["Jet_pt"]) >= 2)
        for one in arrays(path, *names).to_list()
    ]


@pytest.mark.parametrize("collection", BRANCHES)
def test_a_collection_has_the_fields_that_analyses_read(simulation, collection):
    keys = set(uproot.open(simulation)["Events"].keys())
    assert {f"{collection}_{field}" for field in BRANCHES[collection].split()} <= keys


def test_event_level_branches_are_there(simulation):
    assert set(EVENT_LEVEL.split()) <= set(uproot.open(simulation)["Events"].keys())


@pytest.mark.parametrize(
    ("branch", "bits"),
    [("Jet_pt", 10), ("Jet_eta", 12), ("Jet_area", 10), ("Jet_rawFactor", 6), ("GenJet_pt", 10), ("GenPart_pt", 8),
     ("CorrT1METJet_rawPt", 10), ("SubJet_pt", 10), ("LHEPdfWeight", 14), ("MET_pt", 23), ("RawMET_pt", 23),
     ("Muon_pt", 23)],
)  # fmt: skip
def test_floats_carry_as_many_bits_as_nanoaod_keeps(simulation, branch, bits):
    values = ak.flatten(arrays(simulation, branch)[branch], axis=None).to_numpy()
    assert values.dtype == np.float32
    mantissas = np.bitwise_or.reduce(values.view(np.uint32)) & 0x7FFFFF
    assert mantissas % (1 << (24 - bits)) == 1 << (23 - bits)


@pytest.mark.parametrize("collection", ["Jet", "GenJet", "FatJet", "GenJetAK8", "Muon", "Electron"])
def test_objects_come_in_falling_pt_and_are_finite(simulation, collection):
    events = arrays(simulation)
    assert any(len(one) > 1 for one in events[f"{collection}_pt"])
    for one in events[f"{collection}_pt"].to_list():
        assert one == sorted(one, reverse=True)
    for name in events.fields:
        if name.startswith(f"{collection}_"):
            assert np.all(np.isfinite(ak.flatten(events[name]).to_numpy()))


@pytest.mark.parametrize(
    ("index", "target"),
    [
        ("Jet_genJetIdx", "GenJet"), ("Jet_muonIdx1", "Muon"), ("Jet_muonIdx2", "Muon"),
        ("Jet_electronIdx1", "Electron"), ("Jet_electronIdx2", "Electron"), ("FatJet_subJetIdx1", "SubJet"),
        ("FatJet_subJetIdx2", "SubJet"), ("FatJet_genJetAK8Idx", "GenJetAK8"), ("Muon_jetIdx", "Jet"),
        ("Electron_jetIdx", "Jet"), ("Muon_genPartIdx", "GenPart"), ("Electron_genPartIdx", "GenPart"),
        ("GenPart_genPartIdxMother", "GenPart"),
    ],
)  # fmt: skip
def test_indices_point_to_objects_of_the_same_event(simulation, index, target):
    events = arrays(simulation, index, f"n{target}")
    assert ak.all(events[index] >= -1)
    assert ak.all(events[index] < events[f"n{target}"])


@pytest.mark.parametrize(
    ("index", "collection", "field"),
    [("Muon_jetIdx", "Muon", "muonIdx"), ("Electron_jetIdx", "Electron", "electronIdx")],
)
def test_jets_and_leptons_point_to_each_other(simulation, index, collection, field):
    linked = 0
    for one in arrays(simulation, index, f"Jet_{field}1", f"Jet_{field}2").to_list():
        for jet, pair in enumerate(zip(one[f"Jet_{field}1"], one[f"Jet_{field}2"], strict=True)):
            inside = [lepton for lepton, owner in enumerate(one[index]) if owner == jet]
            linked += len(inside)
            assert list(pair) == [*inside, -1, -1][:2]
    assert linked > 5


def test_coffea_follows_the_links_to_objects_nearby(simulation):
    events = nano(simulation)
    for near, radius in (
        (events.Muon.delta_r(events.Muon.matched_jet), 0.4),
        (events.Jet.delta_r(events.Jet.matched_gen), 0.2),
        (events.FatJet.delta_r(events.FatJet.matched_gen), 0.2),
        (events.Muon.delta_r(events.Muon.matched_gen), 0.1),
    ):
        distances = ak.flatten(ak.drop_none(near)).to_numpy()
        assert distances.size > 10
        assert distances.max() < radius
    muons = events.Muon.matched_gen
    assert ak.all(ak.drop_none(abs(muons.pdgId)) == 13)


def test_the_leading_jets_have_a_generated_one_within_the_resolution(simulation):
    jets = nano(simulation).Jet
    hard = jets[jets.pt > 100]
    ratio = ak.flatten(ak.drop_none(hard.matched_gen.pt / hard.pt)).to_numpy()
    assert ratio.size == ak.sum(ak.num(hard)) > 1000
    assert abs(np.median(ratio) - 1) < 0.02
    assert 0.05 < np.std(ratio) < 0.15
    soft = jets[jets.pt < 25]
    share = ak.mean(ak.flatten(soft.genJetIdx) >= 0)
    assert 0.2 < share < 0.8


def test_two_subjets_add_up_to_their_fat_jet(simulation):
    fat_jets = nano(simulation).FatJet
    two = fat_jets[(fat_jets.subJetIdx2 >= 0) & (fat_jets.msoftdrop > 20)]
    first, second = two.subjets[:, :, 0], two.subjets[:, :, 1]
    assert ak.all(first.pt >= second.pt)
    total = first + second
    assert ak.sum(ak.num(two)) > 500
    assert ak.all(total.delta_r(two) < 0.1)
    assert 0.85 < ak.min(total.pt / two.pt) < ak.max(total.pt / two.pt) < 1.02
    # the mass that the opening angle gives, and a little of the subjets' own
    ratio = ak.flatten(ak.drop_none(total.mass / two.msoftdrop)).to_numpy()
    assert abs(np.median(ratio) - 1) < 0.25
    assert ak.all(fat_jets.subJetIdx1 >= 0)
    used = ak.num(fat_jets.subJetIdx1) + ak.sum(fat_jets.subJetIdx2 >= 0, axis=1)
    assert used.to_list() == ak.num(nano(simulation).SubJet).to_list()


def test_generated_tops_decay_to_what_points_to_them(simulation):
    particles = nano(simulation).GenPart
    tops = particles[abs(particles.pdgId) == 6]
    assert set(ak.num(tops).to_list()) == {2}
    assert ak.all(ak.sum(tops.pdgId, axis=1) == 0)
    assert ak.all(tops.hasFlags("isLastCopy", "fromHardProcess"))
    assert ak.all(ak.is_none(tops.parent, axis=1))
    assert ak.all(abs(tops.mass - 172.5) < 16)
    bosons = particles[abs(particles.pdgId) == 24]
    assert ak.all(bosons.parent.pdgId * 4 == bosons.pdgId)
    assert ak.all(ak.num(tops.children, axis=2) == 2)
    leptons = particles[(abs(particles.pdgId) == 13) | (abs(particles.pdgId) == 11)]
    assert ak.all(leptons.parent.pdgId * leptons.pdgId < 0)  # a W+ has a mu+, whose number is -13


def test_a_resonance_is_the_parent_of_both_tops_and_soft_events_have_none(tmp_path):
    path = tmp_path / "signal.root"
    write_full_nanoaod(path, process="signal", year="2018", events=500, seed=1, efficiency=0.12)
    particles = nano(path).GenPart
    resonances = particles[particles.pdgId == 6000047]
    share = ak.mean(ak.num(resonances))
    assert 0.35 < share < 0.7
    assert ak.all(abs(resonances.mass - 2000) < 220)
    resonant = particles[ak.num(resonances) == 1]
    assert ak.all(resonant[abs(resonant.pdgId) == 6].parent.pdgId == 6000047)


def test_jets_are_as_many_as_soft_and_as_forward_as_asked(simulation):
    events = arrays(simulation, "Jet_pt", "Jet_eta", "Jet_rawFactor", "nCorrT1METJet", "CorrT1METJet_rawPt")
    pt, eta = (ak.flatten(events[name]).to_numpy() for name in ("Jet_pt", "Jet_eta"))
    assert 5 < pt.size / N < 8
    assert pt.min() >= 15
    assert 0.2 < np.mean(pt < 30) < 0.5
    assert 0.03 < np.mean(np.abs(eta) > 3) < 0.2
    assert np.abs(eta).max() < 4.7
    factor = ak.flatten(events["Jet_rawFactor"]).to_numpy()
    assert 0 <= factor.min() < factor.max() <= 0.2
    assert 15 < ak.mean(events["nCorrT1METJet"]) < 20
    assert ak.max(events["CorrT1METJet_rawPt"]) < 15


def test_met_is_raw_met_with_the_type_1_correction_of_the_jets(simulation):
    names = [
        f"Jet_{name}"
        for name in ["pt", "eta", "phi", "area", "rawFactor", "muonSubtrFactor", "chEmEF", "neEmEF"]
    ]
    mets = ("MET_pt", "MET_phi", "RawMET_pt", "RawMET_phi", "fixedGridRhoFastjetAll")
    for one in arrays(simulation, *names, *mets)[:300].to_list():
        x = one["RawMET_pt"] * math.cos(one["RawMET_phi"])
        y = one["RawMET_pt"] * math.sin(one["RawMET_phi"])
        for pt, eta, phi, area, raw_factor, muons, charged, neutral in zip(
            *(one[name] for name in names), strict=True
        ):
            if pt * (1 - muons) <= 15 or charged + neutral >= 0.9:
                continue
            offset = (0.4 if abs(eta) < 2.5 else 0.8) * one["fixedGridRhoFastjetAll"] * area
            level1 = max(pt * (1 - raw_factor) * (1 - muons) - offset, 0)
            x -= (pt * (1 - muons) - level1) * math.cos(phi)
            y -= (pt * (1 - muons) - level1) * math.sin(phi)
        assert x == pytest.approx(one["MET_pt"] * math.cos(one["MET_phi"]), abs=2e-3)
        assert y == pytest.approx(one["MET_pt"] * math.sin(one["MET_phi"]), abs=2e-3)


def test_puppi_variations_lie_on_both_sides_of_the_nominal_vector(simulation):
    events = arrays(simulation)
    nominal = events["PuppiMET_pt"] * np.exp(1j * events["PuppiMET_phi"])
    for source in ("JES", "JER", "Unclustered"):
        up, down = (
            events[f"PuppiMET_pt{source}{way}"] * np.exp(1j * events[f"PuppiMET_phi{source}{way}"])
            for way in ("Up", "Down")
        )
        assert ak.max(abs(up + down - 2 * nominal)) < 5e-3
        assert 0.5 < np.median(abs(up - nominal)) < 30


def test_runs_carries_the_sums_over_the_events(tmp_path):
    path = tmp_path / "w.root"
    write_full_nanoaod(path, process=W, year="2017", events=300, seed=3, efficiency=0.04)
    events = arrays(path, "genWeight", "LHEScaleWeight", "LHEPdfWeight", "PSWeight").to_list()
    runs = uproot.open(path)["Runs"].arrays().to_list()
    assert len(runs) == 1
    weights = [one["genWeight"] for one in events]
    assert 0 < sum(weight < 0 for weight in weights) < 100
    sumw = math.fsum(weights)
    assert runs[0]["genEventCount"] == 300
    assert runs[0]["genEventSumw"] == pytest.approx(sumw, rel=1e-12)
    assert runs[0]["genEventSumw2"] == pytest.approx(math.fsum(w * w for w in weights), rel=1e-12)
    for name, members in (("LHEScale", 9), ("LHEPdf", 103), ("PS", 4)):
        assert runs[0][f"n{name}Sumw"] == members
        expected = [
            math.fsum(one["genWeight"] * one[f"{name}Weight"][k] for one in events) / sumw
            for k in range(members)
        ]
        assert runs[0][f"{name}Sumw"] == pytest.approx(expected, rel=1e-9)


def test_relative_weights_are_about_one(simulation):
    events = arrays(simulation, "LHEScaleWeight", "LHEPdfWeight", "PSWeight")
    assert np.all(events["LHEScaleWeight"].to_numpy()[:, 4] == 1)
    pdf = events["LHEPdfWeight"].to_numpy()
    assert np.all(pdf[:, 0] == 1)
    assert np.all((np.std(pdf[:, 1:], axis=0) > 0.003) & (np.std(pdf[:, 1:], axis=0) < 0.05))
    assert ak.min(events["LHEScaleWeight"]) > 0.4
    assert ak.max(events["PSWeight"]) < 1.5


def test_the_same_seed_makes_the_same_values_and_another_others(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_full_nanoaod(tmp_path / name, process=W, year="2017", events=50, seed=seed)
    first, same, other = (arrays(tmp_path / name) for name in "abc")
    assert first.fields == same.fields
    assert all(ak.array_equal(first[key], same[key]) for key in first.fields)
    assert not ak.array_equal(first["Jet_pt"], other["Jet_pt"])


def test_further_branches_reach_the_number_asked_for_and_change_no_other(simulation, tmp_path):
    path = tmp_path / "wide.root"
    write_full_nanoaod(path, process=TT, year="2018", events=N, seed=5, branches=300)
    wide, narrow = arrays(path), arrays(simulation)
    assert len(wide.fields) == 300
    assert set(narrow.fields) < set(wide.fields)
    assert all(ak.array_equal(wide[key], narrow[key]) for key in narrow.fields)


def test_the_second_cluster_made_alone_is_that_of_the_file(tmp_path):
    events = CLUSTER_EVENTS + 100
    sample = FullSample(W, "2016preVFP", events, 8, efficiency=0.04)
    path = tmp_path / "two.root"
    write_full_nanoaod(path, process=W, year="2016preVFP", events=events, seed=8, efficiency=0.04)
    columns, file = full_columns(sample, 1), arrays(path)[CLUSTER_EVENTS:]
    assert len(file) == len(columns) == 100
    for name, values in columns.flat.items():
        np.testing.assert_array_equal(values, file[name].to_numpy())
    for name, collection in columns.collections.items():
        assert collection.counts.tolist() == file[f"n{name}"].to_list()
        for key, values in collection.fields.items():
            np.testing.assert_array_equal(
                values, ak.flatten(file[f"{name}_{key}" if key else name]).to_numpy()
            )


@pytest.mark.parametrize("year", YEARS)
def test_triggers_and_filters_are_those_of_the_year(year):
    columns = full_columns(FullSample(W, year, 2_000, 1), 0)
    named = {name for name in columns.flat if name.startswith(("HLT_", "Flag_ecal"))}
    of_2016 = {"HLT_TkMu50"}
    of_later = {"HLT_OldMu100", "HLT_TkMu100", "Flag_ecalBadCalibFilter"}
    assert "HLT_Mu50" in named
    assert named & (of_2016 | of_later) == (of_2016 if year.startswith("2016") else of_later)
    for name in of_2016 | of_later:
        assert name not in named or np.any(columns.flat[name])
    muons = columns.collections["Muon"]
    for name, threshold in YEARS[year].extra_triggers.items():
        with_muon = set(muons.event_index()[muons.fields["pt"] > threshold].tolist())
        assert set(np.flatnonzero(columns.flat[name]).tolist()) <= with_muon


@pytest.mark.parametrize(("year", "mean"), [("2016preVFP", 23), ("2018", 32)])
def test_pileup_is_that_of_the_year(year, mean):
    flat = full_columns(FullSample(W, year, 2_000, 1), 0).flat
    assert np.mean(flat["Pileup_nTrueInt"]) == pytest.approx(mean, abs=0.8)
    assert np.corrcoef(flat["Pileup_nPU"], flat["PV_npvsGood"])[0, 1] > 0.8
    lost = 1 - flat["L1PreFiringWeight_Nom"]
    assert np.all(flat["L1PreFiringWeight_Up"] >= flat["L1PreFiringWeight_Nom"])
    assert np.mean(lost) == pytest.approx(YEARS[year].prefired, rel=0.1)


def test_data_have_no_generator_columns(simulation, data):
    keys = set(uproot.open(data)["Events"].keys())
    generated = {
        key
        for key in uproot.open(simulation)["Events"].keys()  # noqa: SIM118
        if key.startswith(("Gen", "nGen", "gen", "LHE", "nLHE", "PSW", "nPSW", "Pileup", "L1PreFiring"))
        or key.endswith(("Flavour", "genJetIdx", "genJetAK8Idx", "genPartIdx", "genPartFlav"))
    }
    assert len(generated) > 30
    assert not keys & generated
    of_2017 = set(uproot.open(simulation)["Events"].keys()) - generated
    assert keys == of_2017
    assert uproot.open(data)["Runs"].keys() == ["run"]


def test_data_are_recorded_by_a_muon_trigger_in_runs_of_their_year(data):
    events = arrays(data)
    muon_triggers = ["HLT_IsoMu24", "HLT_Mu50", "HLT_OldMu100", "HLT_TkMu100"]
    assert np.all(np.any([events[name] for name in muon_triggers], axis=0))
    assert events["event"].to_list() == list(range(701, 701 + N))
    # 500 events to a section, counted from event 1, and the first section of 2017 is 20
    assert events["run"].to_list() == [304797] * N
    assert events["luminosityBlock"].to_list() == [20 + (number - 1) // 500 for number in range(701, 701 + N)]
    sections = uproot.open(data)["LuminosityBlocks"].arrays().to_list()
    assert sections == [{"run": 304797, "luminosityBlock": lumi} for lumi in range(21, 26)]
    assert uproot.open(data)["Runs"]["run"].array().to_list() == [304797]


def test_files_that_follow_each_other_have_different_event_numbers(tmp_path):
    numbers = []
    for index in range(2):
        path = tmp_path / f"{index}.root"
        write_full_nanoaod(path, process=W, year="2018", events=30, seed=index, first_event=1 + 30 * index)
        numbers += arrays(path, "event")["event"].to_list()
    assert numbers == list(range(1, 61))


@pytest.mark.parametrize(
    ("process", "is_data"), [(TT, False), (W, False), ("single_top", False), (DATA, True)]
)
def test_the_loose_skim_keeps_the_share_asked_for_in_every_part_of_the_file(tmp_path, process, is_data):
    path, events, asked = tmp_path / "mixed.root", 5_000, 0.05
    write_full_nanoaod(
        path, process=process, year="2018", events=events, seed=4, is_data=is_data, efficiency=asked
    )
    passed = np.array(passes_loose_skim(path))
    for part in np.split(passed, 2):
        assert abs(part.sum() - asked * part.size) < 5 * math.sqrt(asked * part.size)
    # the others are events too
    assert ak.mean(arrays(path, "nJet")["nJet"][~passed]) > 3


def test_hard_events_keep_no_share_of_their_own_if_none_is_asked_for(simulation):
    # 16 % of hard t tbar events pass
    assert np.mean(passes_loose_skim(simulation)) == pytest.approx(0.16, abs=0.04)


def test_a_file_of_no_events_opens(tmp_path):
    path = tmp_path / "empty.root"
    write_full_nanoaod(path, process=DATA, year="2018", events=0, seed=1, is_data=True)
    assert uproot.open(path)["Events"].num_entries == 0
    assert len(nano(path).Jet.pt) == 0


def test_branches_are_counted_with_their_counters(simulation):
    columns = full_columns(FullSample(TT, "2018", 0, 0), 0)
    assert number_of_branches(columns) == len(uproot.open(simulation)["Events"].keys())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"process": "qcd"}, "no generator for process 'qcd'; expected data or one of signal"),
        ({"process": "data"}, "needs is_data=True"),
        ({"year": "2015"}, "no conditions for year '2015'; expected one of 2016preVFP"),
        ({"efficiency": 0.5}, r"efficiency of 0.5 of the loose skim: hard events alone have 0\.160"),
        ({"efficiency": -0.1}, "Choose 0 to"),
        ({"events": -1}, "events=-1; expected 0 or more"),
        ({"first_event": 0}, "first_event=0; expected 1 or more"),
        ({"branches": 10}, "more than branches=10"),
    ],
)
def test_arguments_that_cannot_be_are_refused_and_leave_no_file(tmp_path, change, words):
    good = {"process": TT, "year": "2018", "events": 1, "seed": 1}
    with pytest.raises(ConfigError, match=words):
        write_full_nanoaod(tmp_path / "no.root", **{**good, **change})
    assert list(tmp_path.iterdir()) == []
