"""From NanoEvents back to flat columns."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.errors import ConfigError, FunctorError
from intccms.skimming.flat import flat_columns, made_columns
from tests.reference import reference_data
from tests.skimming.linked import Linked, selecting, write_linked


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    return write_linked(tmp_path_factory.mktemp("linked") / "linked.root")


@pytest.fixture
def source(linked):
    return linked.open()


def events_of(source, branches=None):
    return source.events(source.branches if branches is None else branches, 0, source.entries, {})


def types_of(source):
    return lambda names: source.arrays(names, 0, 0)


def assert_same(columns, expected, mask):
    """Compare with the drawn numbers: values, order within events, and exact types."""
    assert set(columns) == set(expected)
    for name, values in expected.items():
        drawn = ak.Array(values)[mask]
        assert str(columns[name].type) == str(ak.Array(drawn).type), name
        assert columns[name].to_list() == drawn.to_list(), name


@pytest.fixture
def mask(linked):
    return linked.columns["MET_pt"] > 30


def test_every_branch_is_that_of_the_source_for_the_selected_events(linked, source, mask):
    columns = flat_columns(events_of(source)[mask], source.branches, selecting(source, mask))
    assert_same(columns, linked.columns, mask)


def test_only_what_nanoevents_do_not_show_is_read_again(source, mask):
    read = selecting(source, mask)
    flat_columns(events_of(source)[mask], source.branches, read)
    counters = {"nMuon", "nJet", "nGenJet", "nFatJet", "nGenPart", "nSubJet", "nLHEScaleWeight"}
    assert set(read.asked) == counters | {"Jet_charge"}


def test_only_planned_branches_are_written_and_nothing_that_the_schema_made(source, mask):
    planned = {"event", "nMuon", "Muon_pt", "Muon_jetIdx", "nJet"}
    columns = flat_columns(events_of(source, planned)[mask], planned, selecting(source, mask))
    assert set(columns) == planned


def test_a_collection_without_the_fields_of_its_behaviour_can_be_written(linked, source, mask):
    # coffea refuses `events.Muon` without a charge
    planned = {"nMuon", "Muon_pt"}
    columns = flat_columns(events_of(source, planned)[mask], planned, selecting(source, mask))
    assert columns["Muon_pt"].to_list() == linked.columns["Muon_pt"][mask].to_list()


def test_the_energy_that_the_schema_renames_keeps_its_name(tmp_path):
    from intccms.datasets import SourceFile, open_source
    from tests.analysis.toys import write_toy

    energy = ak.unflatten(np.arange(20, dtype=np.float32), np.full(10, 2))
    toy = write_toy(tmp_path / "a.root", 10, extra={"Photon_energy": energy})
    source = open_source(SourceFile("a", (str(toy.path),)), "Events")
    mask = np.arange(10) % 2 == 0
    planned = {"nPhoton", "Photon_energy"}
    columns = flat_columns(events_of(source, planned)[mask], planned, selecting(source, mask))
    assert columns["Photon_energy"].to_list() == energy[mask].to_list()


def read_columns(branches, read, n_events):
    """Columns of events that show none of their branches, so that all are read."""
    return flat_columns(ak.Array([{}] * n_events), branches, read)


def test_reading_everything_from_the_source_gives_the_same(linked, source, mask):
    columns = read_columns(source.branches, selecting(source, mask), int(mask.sum()))
    assert_same(columns, linked.columns, mask)


def test_columns_hold_their_own_buffers_only(source):
    mask = np.arange(source.entries) == 7
    columns = flat_columns(events_of(source)[mask], source.branches, selecting(source, mask))
    for name, array in columns.items():
        assert array.nbytes <= 16 + 8 * (1 + ak.count(array)), name
        assert not array.attrs, name


def test_no_event_gives_empty_columns_of_the_same_types(linked, source):
    mask = np.zeros(source.entries, dtype=bool)
    columns = flat_columns(events_of(source)[mask], source.branches, selecting(source, mask))
    assert_same(columns, linked.columns, mask)


def test_rows_that_do_not_belong_to_the_events_are_refused(source, mask):
    with pytest.raises(ValueError, match=r"was read for 60 events, expected the \d+ selected ones"):
        flat_columns(events_of(source)[mask], source.branches, selecting(source, slice(None)))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (ak.Array(["a", "b"]), r"column Muon_x has the type 'string'.*preprocess.branches\['Muon'\]"),
        (ak.Array([[[1]], [[2], []]]), r"column Muon_x has the type 'var \* var \* int64'.*list the fields"),
        (ak.Array(np.zeros((2, 3))), r"column Muon_x has the type '3 \* float64'"),
        (ak.Array(np.zeros(2, dtype=np.float16)), r"column Muon_x has the type 'float16'"),
        (ak.Array([1, None]), r"column Muon_x can have missing values \(it has 1 in this chunk\)"),
        (ak.Array([[1, None], []]), r"column Muon_x can have missing values \(it has 1 in this chunk\)"),
    ],
    ids=["text", "lists in lists", "fixed length", "half precision", "missing", "missing in lists"],
)
def test_types_that_a_skim_cannot_hold_are_named_with_the_remedy(column, words):
    with pytest.raises(ConfigError, match=words):
        read_columns({"Muon_x"}, lambda names: {"Muon_x": column}, 2)


def test_a_nullable_column_of_a_source_in_which_nothing_is_missing_is_written():
    column = ak.mask(ak.Array([1, 2]), [True, True])
    columns = read_columns({"Muon_x"}, lambda names: {"Muon_x": column}, 2)
    assert str(columns["Muon_x"].type) == "2 * int64"


def test_columns_with_other_counts_than_their_counter_are_named():
    arrays = {
        "nMuon": ak.Array(np.array([1, 2], dtype=np.uint32)),
        "Muon_pt": ak.Array([[1.0], [2.0, 3.0]]),
        "Muon_x": ak.Array([[1.0, 4.0], [2.0]]),
    }
    with pytest.raises(ConfigError, match=r"columns Muon_x do not have as many values per event.*\(nMuon\)"):
        read_columns(set(arrays), lambda names: arrays, 2)


class TestEventsOfAUser:
    """`made_columns`: what a bespoke skimmer returns."""

    def test_narrowed_collections_are_counted_anew_in_the_type_of_the_source(self, linked, source):
        events = events_of(source)
        events["Jet"] = events.Jet[events.Jet.pt > 30]
        columns = made_columns(events, source.branches, types_of(source))
        jets = [[pt for pt in pts if pt > 30] for pts in linked.columns["Jet_pt"].to_list()]
        assert columns["Jet_pt"].to_list() == jets
        assert columns["nJet"].to_list() == [len(pts) for pts in jets]
        assert columns["nJet"].type == columns["nMuon"].type == ak.Array(linked.columns["nJet"]).type
        assert columns["Muon_pt"].to_list() == linked.columns["Muon_pt"].to_list()

    def test_added_fields_and_collections_are_written_with_counters(self, linked, source):
        events = events_of(source)
        events["ht"] = ak.sum(events.Jet.pt, axis=1)
        events["Muon"] = ak.with_field(events.Muon, events.Muon.pt * 2, "twice")
        events["Lepton"] = ak.zip({"pt": events.Muon.pt, "isMuon": events.Muon.pt > 0})
        events["Scales"] = events.Muon.pt + 1
        events["Best"] = ak.zip({"mass": events.MET.pt})
        columns = made_columns(events, source.branches, types_of(source))
        pts = linked.columns["Muon_pt"]
        assert set(columns) - set(linked.columns) == {
            *("ht", "Muon_twice", "Lepton_pt", "Lepton_isMuon", "nLepton", "Scales", "nScales", "Best_mass"),
        }
        assert columns["Muon_twice"].to_list() == [[2 * pt for pt in one] for one in pts.to_list()]
        assert (
            columns["nLepton"].to_list()
            == columns["nScales"].to_list()
            == [len(one) for one in pts.to_list()]
        )
        assert str(columns["nLepton"].type).endswith("int32")
        assert columns["Best_mass"].to_list() == linked.columns["MET_pt"].tolist()

    def test_what_the_schema_sets_to_zero_is_left_out(self, linked, source):
        columns = made_columns(events_of(source), source.branches, types_of(source))
        assert set(linked.columns) - set(columns) == {"Jet_charge"}

    def test_fields_and_collections_taken_away_are_not_written(self, source):
        events = ak.without_field(events_of(source), "FatJet")
        events = ak.with_field(events, ak.without_field(events["Jet"], "jetId"), "Jet")
        columns = made_columns(events, source.branches, types_of(source))
        assert not [name for name in columns if name.startswith(("FatJet_", "nFatJet"))]
        assert "Jet_pt" in columns
        assert "Jet_jetId" not in columns

    @pytest.mark.parametrize(
        ("name", "make", "words"),
        [
            (
                "best",
                lambda events: ak.firsts(events.Jet.pt),
                r"column best can have missing values.*fill_none",
            ),
            (
                "best",
                lambda events: ak.mask(events.MET.pt, events.MET.pt > -1),
                r"column best can have missing",
            ),
            (
                "lead",
                lambda events: ak.zip({"jet": events.MET}, depth_limit=1),
                r"column lead_jet has the type .\{pt: float32, phi: float32",
            ),
            ("tag", lambda events: ak.Array(["a"] * 60), r"column tag has the type 'string'.*without_field"),
            (
                "Pair",
                lambda events: ak.zip({"x": events.Muon.pt, "y": events.Jet.pt}, depth_limit=1),
                r"columns Pair_y do not have as many values per event.*\(nPair\)",
            ),
        ],
    )
    def test_what_cannot_be_written_is_the_users_error(self, source, name, make, words):
        events = events_of(source)
        events[name] = make(events)
        with pytest.raises(FunctorError, match=words):
            made_columns(events, source.branches, types_of(source))


REAL = (
    "CROWN_nanoAOD_a.root",
    "DarkBottomLine_EGamma_2022E_v13.root",
    "PFNano_nano106X_2017_mc_NANO.root",
    "UnROOT_NanoAODv5_sample.root",
    "nano_dy.parquet",
    "nano_dy_empty.root",
    "nano_dy_rntuple.root",
    "nano_genmodel_with0.root",
    "nano_tt_v12.root",
    "nano_tt_v15.root",
    "scouting_nano.root",
)
"""One of each era, format and producer."""


@pytest.mark.parametrize("name", REAL)
def test_all_branches_of_real_files_are_equal_for_the_kept_events(name):
    # independent: uproot's or awkward's own reading of the branch, and a NumPy mask
    path = reference_data() / "nanoaod" / name
    source = Linked(path, {}).open()
    branches = {
        branch for branch in source.branches if not branch.startswith("_")
    }  # RNTuple has some of its own
    mask = np.arange(source.entries) % 3 != 1
    read = selecting(source, mask)
    columns = flat_columns(events_of(source, branches)[mask], branches, read)
    assert set(columns) == branches
    assert not {branch for branch in read.asked if branch[0] != "n"} - {"Photon_mass", "Photon_charge"}
    if path.suffix == ".parquet":
        whole = ak.from_parquet(path)
        expected = {branch: whole[branch] for branch in branches}
    else:
        with uproot.open(path) as file:
            expected = file["Events"].arrays(sorted(branches), how=dict)
    for branch in branches:
        assert_same_bits(columns[branch].layout, ak.to_packed(expected[branch][mask]).layout, branch)


def assert_same_bits(got, expected, where):
    if got.is_list:
        assert np.array_equal(got.offsets.data, expected.offsets.data), where
        got, expected = got.content, expected.content
    assert got.dtype == expected.dtype, where
    assert np.asarray(got.data).tobytes() == np.asarray(expected.data).tobytes(), where
