"""Which branches a configuration reads of a file, and what is said of those that are not there."""

from __future__ import annotations

import pytest

from intccms.errors import MissingBranchError
from intccms.schema import Dataset, ObjVar, load_config
from intccms.skimming import ColumnPlan
from intccms.skimming.columns import event_column

IDS = {"run", "luminosityBlock", "event"}
COUNTERS = {"nMuon", "nJet", "nGenPart"}
FILE = {
    *IDS,
    *COUNTERS,
    "genWeight",
    "Generator_weight",
    "LHEPdfWeight",
    "nLHEPdfWeight",
    *(f"Muon_{name}" for name in ("pt", "eta", "phi", "mass", "charge", "tightId", "jetIdx")),
    *(f"Jet_{name}" for name in ("pt", "eta", "phi", "mass", "btagDeepB", "partonFlavour")),
    *(f"MET_{name}" for name in ("pt", "phi", "sumEt")),
    "Pileup_nTrueInt",
    "HLT_IsoMu24",
    "HLT_Mu50",
    "Flag_goodVertices",
}
ALWAYS = {*IDS, *COUNTERS, "nLHEPdfWeight", "genWeight"}
MUON_MOMENTUM = {f"Muon_{name}" for name in ("pt", "eta", "phi", "mass", "charge")}


def zero(*columns):
    return columns[0]


def plan(use, **parts) -> ColumnPlan:
    config = {
        "general": {"lumi": 1.0},
        "datasets": {"datasets": [{"name": "tt", "files": ["tt.root"], "cross_sections": [1.0]}]},
        "channels": [
            {"name": "SR", "observables": [{"name": "x", "function": zero, "use": use, "binning": [0, 1]}]}
        ],
        **parts,
    }
    return ColumnPlan(load_config(config))


def dataset(**changes) -> Dataset:
    values = {
        "name": "tt",
        "process": "tt",
        "is_data": False,
        "year": None,
        "cross_section": 1.0,
        "directory": None,
        "files": ("tt.root",),
        "tree_name": "Events",
        "weight_branch": "genWeight",
        "redirectors": (),
        "lumi_mask": None,
    }
    return Dataset(**{**values, **changes})


DATA = dataset(name="data", is_data=True, weight_branch=None)


def read(use, *, of=FILE, by=None, **parts) -> set[str]:
    found = plan(use, **parts).branches(of, by or dataset(), where="tt.root")
    return set(found.names)


USES = {
    "a field of a collection, with what its behaviour needs": (
        [("Muon", "tightId")],
        MUON_MOMENTUM | {"Muon_tightId"},
    ),
    "a field of one object per event": ([("MET", "sumEt")], {"MET_pt", "MET_phi", "MET_sumEt"}),
    "a whole collection": ([("Muon", None)], {one for one in FILE if one.startswith("Muon_")}),
    "an event-level branch": ([("event", "genWeight")], set()),
    "an event-level array with its counter": ([("event", "LHEPdfWeight")], {"LHEPdfWeight"}),
    "a collection without fields": ([("LHEPdfWeight", None)], {"LHEPdfWeight"}),
    "a trigger": ([("HLT", "IsoMu24")], {"HLT_IsoMu24"}),
    "a trigger by the name of its branch": ([("event", "HLT_IsoMu24")], {"HLT_IsoMu24"}),
    "an event-level branch with an underscore": ([("event", "Pileup_nTrueInt")], {"Pileup_nTrueInt"}),
    "all triggers": ([("HLT", None)], {"HLT_IsoMu24", "HLT_Mu50"}),
    "the charge of jets, which the schema makes up": (
        [("Jet", "charge")],
        {"Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass"},
    ),
    "the events as a whole": ([("event", None)], {"genWeight", "LHEPdfWeight"}),
}


@pytest.mark.parametrize("case", USES)
def test_what_is_declared_is_read_and_nothing_else(case: str):
    use, expected = USES[case]
    assert read(use) == ALWAYS | expected


def test_the_name_of_a_branch_and_its_collection_and_field_are_the_same_column():
    (one,) = plan([("event", "HLT_IsoMu24")]).uses
    assert one.column == ObjVar("HLT", "IsoMu24")
    assert str(one.column) == "HLT_IsoMu24"


@pytest.mark.parametrize(
    ("branch", "column"),
    [
        ("genWeight", ("event", "genWeight")),
        ("Generator_weight", ("Generator", "weight")),
        ("A_b_c", ("A", "b_c")),
    ],
)
def test_a_branch_is_looked_up_where_nanoevents_files_it(branch: str, column):
    assert event_column(branch) == column


def test_the_counters_of_all_collections_are_there_for_indices_into_them():
    assert read([("Muon", "jetIdx")]) >= COUNTERS


def test_every_functor_adds_its_columns_with_its_place_as_the_reason():
    made = plan(
        [("MET", "pt")],
        preprocess={"skimming": {"function": zero, "use": [("HLT", "Mu50")]}},
        good_object_masks=[{"collection": "Muon", "function": zero, "use": [("Muon", "tightId")]}],
        baseline_selection={"function": zero, "use": [("Flag", "goodVertices")]},
        ghost_observables=[{"names": "g", "function": zero, "use": [("Jet", "pt")]}],
    )
    assert {(str(one.column), one.reason) for one in made.uses} == {
        ("HLT_Mu50", "preprocess.skimming"),
        ("Muon_*", "good_object_masks.0"),
        ("Muon_tightId", "good_object_masks.0"),
        ("Flag_goodVertices", "baseline_selection"),
        ("Jet_pt", "ghost_observables.0"),
        ("MET_pt", "channels.SR.observables.x"),
    }


def test_filtered_channels_are_not_read():
    channels = [
        {"name": name, "selection": {"function": zero, "use": [use]}}
        for name, use in (("SR", ("Muon", "pt")), ("CR", ("Jet", "pt")))
    ]
    found = read([], channels=channels, general={"lumi": 1.0, "channels": ["CR"]})
    assert found == ALWAYS | {"Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass"}


# weights and lumi masks


def test_simulation_reads_the_weight_of_its_dataset():
    assert "Generator_weight" in read([], by=dataset(weight_branch="Generator_weight"))
    assert "genWeight" not in read([("MET", "pt")], by=dataset(weight_branch="Generator_weight"))


def test_data_neither_read_nor_need_generator_weights():
    without = FILE - {"genWeight"}
    assert "genWeight" not in read([("MET", "pt")], by=DATA)
    assert read([("MET", "pt")], of=without, by=DATA) == (ALWAYS - {"genWeight"}) | {"MET_pt", "MET_phi"}
    with pytest.raises(MissingBranchError, match=r"no branch genWeight \(read by weight_branch\)"):
        read([("MET", "pt")], of=without)


def test_a_lumi_mask_needs_runs_and_sections():
    masked = dataset(name="data", is_data=True, weight_branch=None, lumi_mask="golden.json")
    with pytest.raises(MissingBranchError, match=r"no branch luminosityBlock \(read by lumi_mask\)"):
        read([("MET", "pt")], of=FILE - {"luminosityBlock"}, by=masked)


# triggers


def test_a_trigger_that_a_file_lacks_is_listed_and_not_an_error():
    found = plan([("HLT", "Mu100"), ("L1", "SingleMu22"), ("HLT", "Mu50")]).branches(
        FILE, dataset(), where="f"
    )
    assert found.absent_triggers == ("HLT_Mu100", "L1_SingleMu22")
    assert "HLT_Mu50" in found.names


def test_a_trigger_used_twice_is_listed_once():
    found = plan([("HLT", "Mu100"), ("event", "HLT_Mu100")]).branches(FILE, dataset(), where="f")
    assert found.absent_triggers == ("HLT_Mu100",)


def test_all_triggers_of_a_file_without_any_are_an_error():
    with pytest.raises(MissingBranchError, match=r"no branch HLT_\*"):
        read([("HLT", None)], of={one for one in FILE if not one.startswith("HLT_")})


# missing branches


def test_a_missing_branch_is_an_error_with_dataset_file_functor_and_near_miss():
    with pytest.raises(MissingBranchError) as info:
        plan([("Jet", "btagDepB"), ("Muon", "pt")]).branches(
            FILE, dataset(), where="root://host//store/a.root"
        )
    text = str(info.value)
    assert text.startswith("dataset 'tt', file root://host//store/a.root: no branch Jet_btagDepB")
    assert "(read by channels.SR.observables.x)" in text
    assert "Did you mean 'Jet_btagDeepB'?" in text
    assert "Muon_pt" not in text


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (("Muom", None), r"no branch Muom_\* .*Did you mean 'Muon'\?"),
        (("event", "genWeigth"), r"no branch genWeigth .*Did you mean 'genWeight'\?"),
        (("Flag", "goodVertex"), "no branch Flag_goodVertex"),
    ],
)
def test_a_misspelt_name_is_found_whatever_it_names(use, words: str):
    with pytest.raises(MissingBranchError, match=words):
        read([use])


def test_all_missing_branches_are_named_at_once():
    with pytest.raises(MissingBranchError, match=r"no branch Jet_a .* no branch Jet_b "):
        read([("Jet", "a"), ("Jet", "b")])


# preprocess.branches


NARROW = {"branches": {"Muon": ["tightId"]}, "mc_branches": {"Muon": ["jetIdx"]}}


def test_listed_branches_narrow_a_whole_collection_to_them_and_its_behaviour():
    expected = MUON_MOMENTUM | {"Muon_tightId"}
    assert read([("Muon", None)], preprocess=NARROW, by=DATA) == ALWAYS - {"genWeight"} | expected
    assert read([("Muon", None)], preprocess=NARROW) == ALWAYS | expected | {"Muon_jetIdx"}
    assert read([("Jet", None)], preprocess=NARROW) >= {"Jet_partonFlavour"}


def test_listed_event_branches_narrow_the_events_as_a_whole():
    found = read([("event", None)], preprocess={"branches": {"event": ["LHEPdfWeight"]}}, by=DATA)
    assert found == ALWAYS - {"genWeight"} | {"LHEPdfWeight"}


def test_listed_branches_do_not_hide_what_a_functor_declares_itself():
    use = [("Muon", None), ("Muon", "jetIdx")]
    assert "Muon_jetIdx" in read(use, preprocess={"branches": {"Muon": ["tightId"]}})


def test_a_listed_branch_that_a_file_lacks_is_an_error_or_left_out():
    lists = {"branches": {"Muon": ["tightId", "looseld"]}}
    with pytest.raises(
        MissingBranchError, match=r"dataset 'tt', file tt.root: no branch Muon_looseld \(read by chan"
    ):
        read([("Muon", None)], preprocess=lists)
    found = read([("Muon", None)], preprocess={**lists, "ignore_missing": True})
    assert found == ALWAYS | MUON_MOMENTUM | {"Muon_tightId"}


def test_ignoring_listed_branches_does_not_excuse_what_a_functor_declares():
    with pytest.raises(MissingBranchError, match="Muon_looseId"):
        read([("Muon", "looseId")], preprocess={"ignore_missing": True})


# ghosts


def test_a_ghost_is_not_looked_for_in_the_file():
    ghosts = [{"names": ["a", "b"], "function": zero, "use": [("MET", "pt")]}]
    assert read([("event", "a"), ("event", "b")], ghost_observables=ghosts) == ALWAYS | {"MET_pt", "MET_phi"}


def test_a_new_collection_is_not_looked_for_in_the_file():
    ghosts = [{"names": "mass", "collection": "Top", "function": zero, "use": [("Jet", "pt")]}]
    found = read([("Top", "mass"), ("Top", None)], ghost_observables=ghosts)
    assert found == ALWAYS | {"Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass"}


def test_a_whole_collection_that_a_ghost_extends_is_still_read_from_the_file():
    ghosts = [{"names": "score", "collection": "Muon", "function": zero, "use": [("Muon", "pt")]}]
    assert "Muon_tightId" in read([("Muon", None), ("Muon", "score")], ghost_observables=ghosts)


def test_a_ghost_is_there_for_later_functors_only():
    ghosts = [
        {"names": "first", "function": zero, "use": [("event", "second")]},
        {"names": "second", "function": zero, "use": [("MET", "pt")]},
    ]
    with pytest.raises(MissingBranchError, match=r"no branch second \(read by ghost_observables.0\)"):
        read([("event", "first")], ghost_observables=ghosts)
    assert read([("event", "first")], ghost_observables=[ghosts[1], ghosts[0]])


def test_a_ghost_that_replaces_a_branch_may_be_made_of_it():
    ghosts = [{"names": "genWeight", "function": zero, "use": [("event", "genWeight")]}]
    assert "genWeight" in read([("event", "genWeight")], ghost_observables=ghosts, by=DATA)


# what no file can serve


def test_a_name_that_no_dataset_has_is_known_before_events_are_read():
    made = plan([("Jet", "btagDepB"), ("Muon", "tightId"), ("HLT", "Nothing")])
    samples = [(frozenset(FILE), False), (frozenset(FILE - {"Muon_tightId"}), False)]
    assert [(branch, use.reason) for branch, use in made.unknown_to(samples)] == [
        ("Jet_btagDepB", "channels.SR.observables.x")
    ]
    assert made.unknown_to([]) == []


def test_fields_of_simulation_are_not_asked_of_data():
    made = plan(
        [("Muon", None)], preprocess={"branches": {"Muon": ["pt"]}, "mc_branches": {"Muon": ["genIdx"]}}
    )
    assert made.unknown_to([(frozenset(FILE), True)]) == []
    assert [branch for branch, _ in made.unknown_to([(frozenset(FILE), False)])] == ["Muon_genIdx"]


def test_what_a_correction_reads_and_data_lack_says_how_to_restrict_it():
    pileup = {"name": "pileup", "type": "event", "args": [("Pileup", "nTrueInt")], "nominal_function": zero}
    entry = {"name": "data", "files": ["d.root"], "is_data": True}
    config = plan(
        [("MET", "pt")], corrections=[{**pileup, "applies_to": ["data"]}], datasets={"datasets": [entry]}
    )
    (data,) = config.config.selected_datasets()
    with pytest.raises(
        MissingBranchError,
        match=r"read by correction 'pileup'\).*restrict the correction with its applies_to \(without 'data', if only "
        r"simulation has that branch\), set its ignore_missing=True, or leave",
    ):
        config.branches(FILE - {"Pileup_nTrueInt"}, data, where="d.root")
