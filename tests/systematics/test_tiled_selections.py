"""Masks, cuts, ghost observables and channels of the tiled engine against one variation at a time.

The expected numbers are those of the loop in `tests.systematics.one_by_one`.
"""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.demo.full import write_full_nanoaod
from intccms.schema import SYS, ObjVar
from tests.systematics import toy_corrections as toy
from tests.systematics.tiled import assert_as_one_by_one, assert_same_bits, chunk, sums_of
from tests.systematics.toy_corrections import (
    MET,
    MUON,
    analysis,
    b_tag,
    correction,
    delta,
    jec,
    keyed,
    met,
    muon_factor,
    observable,
)

WHOLE = ("event", None)
JETS, MUONS, FAT_JETS = ("Jet", None), ("Muon", None), ("FatJet", None)


def chain() -> list[dict[str, Any]]:
    """Jets and MET vary, muons are calibrated without sources, large jets stay as they are."""
    return [
        jec(delta("jes", toy.relative), delta("jes2", toy.reordering)),
        met(),
        correction("object", "mu", toy.scaled_up, [MUON["pt"], MUON["eta"]], target=[MUON["pt"]]),
        muon_factor(keyed("mu_sf", "u", "d")),
        b_tag(keyed("hf", "up_hf", "down_hf"), keyed("b", "up_jes", "down_jes", varies_with="jes")),
    ]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Generated events of the semileptonic channel; some weights are negative."""
    file = tmp_path_factory.mktemp("events") / "full.root"
    write_full_nanoaod(file, process="ttbar_semilep", year="2018", events=500, seed=12)
    return file


def mask(collection: str, function: Any, *use: Any, **constants: Any) -> dict[str, Any]:
    return {"collection": collection, "function": function, "use": list(use), "static_kwargs": constants}


def ghost(names: Any, function: Any, *use: Any, collection: str = "event") -> dict[str, Any]:
    return {"names": names, "function": function, "use": list(use), "collection": collection}


def cut(function: Any, *use: Any) -> dict[str, Any]:
    return {"function": function, "use": list(use)}


def with_more(*observables: dict[str, Any], **channel: Any) -> list[dict[str, Any]]:
    first, second = toy.channels()
    return [{**first, **channel, "observables": [*first["observables"], *observables]}, second]


def away(jets, muons):
    return toy.far_from_muons(jets, muons)


def few_vertices(npvs):
    return npvs < 40


def any_muon(muons):
    return ak.num(muons) >= 1


def never(npvs):
    return npvs < 0


def central(objects):
    return abs(objects.eta) < 1.2


def wide_jets(jets):
    return jets.pt > 25


def relative_to_ht(jets, ht):
    return jets.pt / ht


def minus_ht(muons, ht):
    return muons.pt - 0.1 * ht


def of_whole(events):
    return ak.sum(events.Jet.pt, axis=1) + ak.sum(events.Muon.pt, axis=1) + events.MET.pt


def whole_cut(events):
    return {"jets": ak.num(events.Jet) >= 2, "fat": ak.num(events.FatJet) >= 1}


def jets_by_whole(events):
    return events.Jet.pt > 0.2 * events.MET.pt


def pair(jets):
    return ak.firsts(jets.pt), ak.num(jets)


def count(objects):
    return ak.num(objects)


def none_if_few(jets):
    return ak.mask(jets.pt, ak.num(jets) > 3)


def keep(npvs):
    return {"few": npvs < 50, "some": npvs > 3}


def marked(events):
    return ak.with_field(events[events.PV.npvsGood < 50], 2.0, "mark")


def one_pt(pt):
    return pt[:, :1]


CUT_MUONS = mask("Muon", toy.good_muons, MUONS)
CUT_JETS = mask("Jet", toy.good_jets, JETS)

CASES: dict[str, dict[str, Any]] = {
    "as in most analyses": {},
    "no masks and no baseline": {"good_object_masks": [], "baseline_selection": None},
    "a mask of what varies by what does not": {
        "good_object_masks": [CUT_MUONS, mask("Jet", away, JETS, MUONS), CUT_JETS]
    },
    "the same before muons are cut": {
        "good_object_masks": [mask("Jet", away, JETS, MUONS), CUT_MUONS, CUT_JETS]
    },
    "the same with large jets, which no correction touches": {
        "good_object_masks": [mask("Jet", away, JETS, FAT_JETS), mask("FatJet", central, FAT_JETS), CUT_JETS]
    },
    "a mask by whole events before one that nothing touches": {
        "good_object_masks": [
            mask("Jet", lambda events: ak.any(events.FatJet.eta > 0, axis=1) & (events.Jet.pt > 0), WHOLE),
            mask("FatJet", central, FAT_JETS),
        ]
    },
    "a mask of what does not vary by what does": {
        "good_object_masks": [CUT_JETS, mask("Muon", toy.softer_than_jets, MUONS, JETS), CUT_MUONS]
    },
    "a mask of large jets by jets, which then vary": {
        "good_object_masks": [CUT_JETS, mask("FatJet", toy.softer_than_jets, FAT_JETS, JETS)]
    },
    "a mask twice": {"good_object_masks": [mask("Jet", wide_jets, JETS), CUT_JETS, mask("Jet", central, JETS)]},
    "a mask by whole events": {"good_object_masks": [CUT_MUONS, mask("Jet", jets_by_whole, WHOLE)]},
    "a baseline that no correction touches": {"baseline_selection": cut(few_vertices, ("PV", "npvsGood"))},
    "a baseline by what is only calibrated": {"baseline_selection": cut(any_muon, MUONS)},
    "a baseline by whole events": {"baseline_selection": cut(whole_cut, WHOLE)},
    "a baseline that leaves nothing": {"baseline_selection": cut(never, ("PV", "npvsGood"))},
    "a baseline that leaves nothing of varied events": {
        "baseline_selection": cut(lambda jets: ak.num(jets) > 99, JETS)
    },
    "a ghost per varied object": {
        "ghost_observables": [
            ghost("ht", toy.scalar_sum, JETS),
            ghost("share", relative_to_ht, JETS, ("event", "ht"), collection="Jet"),
        ],
        "channels": with_more(observable("share", toy.same, [("Jet", "share")], [0.0, 0.1, 0.3, 0.6, 1.0])),
    },
    "a ghost per object that only a ghost makes vary": {
        "ghost_observables": [
            ghost("ht", toy.scalar_sum, JETS),
            ghost("less", minus_ht, FAT_JETS, ("event", "ht"), collection="FatJet"),
        ],
        "channels": with_more(observable("less", toy.same, [("FatJet", "less")], [-100.0, 0.0, 100.0, 300.0])),
    },
    "a ghost per object that does not vary": {
        "ghost_observables": [
            ghost("ht", toy.scalar_sum, JETS),
            ghost("double", lambda fat: 2 * fat.pt, FAT_JETS, collection="FatJet"),
        ],
        "channels": with_more(observable("double", toy.same, [("FatJet", "double")])),
    },
    "a ghost per object that does not vary, then one that does": {
        "ghost_observables": [
            ghost("ht", toy.scalar_sum, JETS),
            ghost("a", lambda fat: 2 * fat.pt, FAT_JETS, collection="FatJet"),
            ghost("b", minus_ht, FAT_JETS, ("event", "ht"), collection="FatJet"),
        ],
        "channels": with_more(
            observable("ab", lambda fat: fat.a - fat.b, [FAT_JETS]), observable("a", toy.same, [("FatJet", "a")])
        ),
    },
    "a new collection": {
        "ghost_observables": [
            ghost("ht", toy.scalar_sum, JETS),
            ghost(["first", "number"], pair, JETS, collection="Lead"),
        ],
        "channels": with_more(
            observable("first", toy.same, [("Lead", "first")]),
            observable("both", lambda lead: lead.first * lead.number, [("Lead", None)]),
        ),
    },
    "a new collection that does not vary, then does": {
        "ghost_observables": [
            ghost("ht", toy.scalar_sum, JETS),
            ghost("fat", count, FAT_JETS, collection="Number"),
            ghost("jets", count, JETS, collection="Number"),
        ],
        "channels": with_more(
            observable("fat", toy.same, [("Number", "fat")], [0.0, 1.0, 2.0, 5.0]),
            observable("sum", lambda number: number.fat + number.jets, [("Number", None)], [0.0, 3.0, 5.0, 20.0]),
        ),
    },
    "a new collection that varies, then does not": {
        "ghost_observables": [
            ghost("ht", toy.scalar_sum, JETS),
            ghost("jets", count, JETS, collection="Number"),
            ghost("fat", count, FAT_JETS, collection="Number"),
        ],
        "channels": with_more(
            observable("fat", toy.same, [("Number", "fat")], [0.0, 1.0, 2.0, 5.0]),
            observable("sum", lambda number: number.fat + number.jets, [("Number", None)], [0.0, 3.0, 5.0, 20.0]),
        ),
    },
    "a new collection of objects": {
        "ghost_observables": [
            ghost("ht", toy.scalar_sum, JETS),
            ghost("pt", lambda fat: fat.pt, FAT_JETS, collection="Mine"),
            ghost("less", minus_ht, FAT_JETS, ("event", "ht"), collection="Mine"),
        ],
        "channels": with_more(observable("x", lambda mine: mine.less + mine.pt, [("Mine", None)])),
    },
    "ghosts of ghosts, of whole events, and in the weight": {
        "ghost_observables": [
            ghost("ht", toy.scalar_sum, JETS),
            ghost("all", of_whole, WHOLE),
            ghost("ratio", lambda ht, everything: ht / everything, ("event", "ht"), ("event", "all")),
        ],
        "corrections": [
            *chain(),
            correction("event", "by_ratio", lambda r: 1 + r, [ObjVar("event", "ratio")], delta("r", toy.half)),
        ],
        "channels": with_more(observable("ratio", toy.same, [("event", "ratio")], [0.0, 0.5, 0.8, 1.0])),
    },
    "channels by ghosts, and by what does not vary": {
        "channels": [
            {**toy.channels()[0], "selection": cut(lambda ht: ht > 300, ("event", "ht"))},
            {**toy.channels()[1], "selection": cut(few_vertices, ("PV", "npvsGood"))},
        ]
    },
    "channels by whole events": {
        "channels": [{**one, "selection": cut(whole_cut, WHOLE)} for one in toy.channels()]
    },
    "observables of whole events, of options and of lists of options": {
        "channels": with_more(
            observable("whole", of_whole, [WHOLE]),
            observable("event", lambda number: number % 100, [("event", "event")]),
            observable("few", none_if_few, [JETS]),
            observable("one", one_pt, [("Jet", "pt")]),
            observable("none", lambda jets: ak.mask(jets.pt, abs(jets.eta) < 1), [JETS]),
        )
    },
    "one channel that only what varies reaches": {
        "channels": [{"name": "MET", "observables": [observable("met", toy.same, [("MET", "pt")])]}]
    },
    "one channel that no correction of objects reaches": {
        "good_object_masks": [], "baseline_selection": None, "corrections": [muon_factor(keyed("mu_sf", "u", "d"))],
        "channels": [{"name": "PV", "observables": [observable("pv", toy.same, [("PV", "npvsGood")])]}],
    },
    "a channel that its selection empties": {"channels": with_more(selection=cut(never, ("PV", "npvsGood")))},
    "a channel that only variations reach": {
        "channels": with_more(selection=cut(lambda jets: ak.fill_none(ak.firsts(jets.pt), 0) > 500, JETS))
    },
    "a skim by named cuts": {"preprocess": {"skimming": cut(keep, ("PV", "npvsGood"))}},
    "a skim that returns events": {
        "preprocess": {"skimming": cut(marked, WHOLE)},
        "channels": with_more(observable("mark", toy.same, [("event", "mark")], [0.0, 1.0, 3.0])),
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_selections_are_those_of_one_by_one(case, path):
    parts = {"corrections": chain(), **CASES[case]}
    assert_as_one_by_one(analysis(parts.pop("corrections"), path, **parts), path)


@pytest.mark.parametrize("case", CASES)
def test_selections_of_corrected_objects_without_variations(case, path):
    parts = {"corrections": chain(), **CASES[case]}
    config = analysis(parts.pop("corrections"), path, {"run_systematics": False}, **parts)
    assert_as_one_by_one(config, path)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [1, 900])
def test_the_budget_of_rows_changes_no_bit(case, rows, path):
    parts = {"corrections": chain(), **CASES[case]}
    corrections = parts.pop("corrections")
    whole = sums_of(analysis(corrections, path, **parts), path, 0, 200)
    assert_same_bits(sums_of(analysis(corrections, path, {"tile_rows": rows}, **parts), path, 0, 200), whole)


@pytest.mark.parametrize("limits", [(0, 1), (7, 8), (3, 6)])
def test_very_few_events(limits, path):
    assert_as_one_by_one(analysis(chain(), path), path, *limits)


def test_weights_are_negative_in_the_file(path):
    assert (np.asarray(chunk(analysis(chain(), path), path).genWeight) < 0).any()


def test_met_follows_jets_where_a_channel_uses_met_alone(path):
    """The source that leads is of jets, which nothing else asks for."""
    shifted = correction(
        "object",
        "met",
        None,
        [MET["pt"], SYS],
        {
            "name": "m",
            "varies_with": "jes",
            "up_and_down_idx": [1.5, 0.5],
            "up_function": lambda pt, key: pt * key,
        },
        target=[MET["pt"]],
        op="replace",
    )
    channel = {"name": "MET", "observables": [observable("met", toy.same, [("MET", "pt")])]}
    parts = {
        "good_object_masks": [],
        "baseline_selection": None,
        "ghost_observables": [],
        "channels": [channel],
    }
    config = analysis([jec(delta("jes", toy.relative)), shifted], path, **parts)
    found = assert_as_one_by_one(config, path).histograms["MET", "met"]
    assert list(found.varied) == ["jes_up", "jes_down"]
    assert not np.array_equal(found.varied["jes_up"][0], found.sumw)


def test_corrections_that_a_file_lacks_columns_of_change_nothing(path):
    """MET finds jets as they were read, and what varies with a source that is not there varies without it."""
    absent = correction(
        "object", "jec", toy.calibrated, [toy.JET["pt"], ObjVar("Jet", "nowhere")],
        delta("jes", toy.relative), target=toy.BOTH, ignore_missing=True,
    )  # fmt: skip
    weight = muon_factor(keyed("mu_sf", "u", "d"), ignore_missing=True)
    weight["args"] = [ObjVar("Muon", "nowhere"), SYS]
    others = [
        met(),
        b_tag(keyed("hf", "up_hf", "down_hf"), keyed("b", "up_jes", "down_jes", varies_with="jes")),
    ]
    varied = correction(
        "object",
        "fat",
        None,
        [toy.FAT["pt"], toy.FAT["eta"]],
        delta("fj", toy.of_fat_jets),
        target=[toy.FAT["pt"]],
    )
    for corrections in ([absent, weight, *others], [absent, weight, varied, *others]):
        found = assert_as_one_by_one(analysis(corrections, path), path).histograms["SR", "ht"]
        for name in ("mu_sf_up", "mu_sf_down"):
            assert np.array_equal(found.varied[name][0], found.sumw)
        assert not np.array_equal(found.varied["jes_up"][0], found.sumw)
