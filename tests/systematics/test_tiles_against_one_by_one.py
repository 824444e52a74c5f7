"""Every variation of the tiled engine against one variation at a time, in plain awkward, on generated events.

The expected numbers are those of the loop in `tests.systematics.one_by_one`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.demo.full import write_full_nanoaod
from intccms.schema import SYS, ObjVar
from tests.systematics import toy_corrections as toy
from tests.systematics.one_by_one import one_variation
from tests.systematics.tiled import assert_as_one_by_one, assert_same_bits, chunk, sums_of
from tests.systematics.toy_corrections import (
    FAT,
    JEC_ARGS,
    JET,
    MET_ARGS,
    MUON,
    analysis,
    b_tag,
    correction,
    delta,
    jec,
    jer,
    keyed,
    met,
    muon_factor,
)

JES = delta("jes", toy.relative)
RHO = ObjVar("event", "fixedGridRhoFastjetAll")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Generated events of the semileptonic channel; some weights are negative."""
    file = tmp_path_factory.mktemp("events") / "full.root"
    write_full_nanoaod(file, process="ttbar_semilep", year="2018", events=1500, seed=11)
    return file


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    return toy.write_payload(tmp_path_factory.mktemp("payload"))


def fat_jets(*sources: Any, **more: Any) -> Any:
    args = [FAT["pt"], FAT["eta"]]
    return correction("object", "fat", toy.calibrated, args, *sources, target=[FAT["pt"]], **more)


def broken_down(pt, eta):
    return 0.5 + 0.0 * pt


def leading_muon(pt, jet_pt):
    """As many numbers as jets; None where there is no muon."""
    return ak.broadcast_arrays(1.0 + 1e-3 * pt, jet_pt)[0]


def met_by_muon(met, muon):
    """None where there is no muon."""
    return met + ak.firsts(muon)


def nothing(pt, eta):
    return 0.0 * pt * eta


def everything_away(met, key):
    return met * key


OBJECTS = {
    "relative shift by a function": lambda p: [jec(JES)],
    "relative shift by a payload": lambda p: [
        jec({"name": "jes", "is_delta": True, "file": p, "key": "jes"})
    ],
    "relative shift by two functions": lambda p: [
        jec({**JES, "down_function": broken_down}),
        met(),
    ],
    "shifts that put jets in another order": lambda p: [jec(delta("jes", toy.reordering))],
    "functions for up and down": lambda p: [
        jec({"name": "scale", "up_function": toy.scaled_up, "down_function": toy.scaled_down})
    ],
    "a payload for the nominal value too": lambda p: [
        {
            "name": "muon",
            "type": "object",
            "target": MUON["pt"],
            "file": p,
            "key": "muon",
            "nominal_idx": "nominal",
            "args": [SYS, MUON["pt"]],
            "uncertainty_sources": [keyed("mu", "up", "down")],
        }
    ],
    "keys as in smearing": lambda p: [jer(keyed("jer", "up", "down"))],
    "smearing before calibration": lambda p: [jer(keyed("jer", "up", "down")), jec(JES)],
    "a chain up to MET": lambda p: [jec(JES), jer(keyed("jer", "up", "down")), met()],
    "MET with sources of its own": lambda p: [
        jec(JES),
        met(
            {
                "name": "uncl",
                "args": [*MET_ARGS, SYS],
                "up_and_down_idx": [1.0, -1.0],
                "up_function": toy.unclustered,
            }
        ),
    ],
    "MET that varies with jets by its own key": lambda p: [
        jec(JES),
        met(
            {
                "name": "mj",
                "varies_with": "jes",
                "args": [*MET_ARGS, SYS],
                "up_and_down_idx": [2.0, -1.0],
                "up_function": toy.unclustered,
            }
        ),
    ],
    "large jets that follow jets": lambda p: [
        jec(JES),
        fat_jets(delta("fj", toy.of_fat_jets, varies_with="jes")),
    ],
    "large jets that follow, and their masses after": lambda p: [
        jec(JES),
        fat_jets(delta("fj", toy.of_fat_jets, varies_with="jes")),
        correction(
            "object",
            "mass",
            toy.of_masses,
            [FAT["mass"], SYS],
            keyed("jms", "up", "down"),
            target=[FAT["mass"]],
            nominal_idx="nom",
        ),
    ],
    "a follower without nominal value": lambda p: [
        jec(JES),
        correction(
            "object",
            "fat",
            None,
            [FAT["pt"], FAT["eta"]],
            delta("fj", toy.of_fat_jets, varies_with="jes"),
            target=[FAT["pt"]],
        ),
    ],
    "a follower on the same collection": lambda p: [
        jec(JES),
        correction(
            "object",
            "more",
            toy.scaled_up,
            JEC_ARGS,
            delta("m", toy.reordering, varies_with="jes"),
            target=[JET["pt"]],
        ),
    ],
    "sources only": lambda p: [correction("object", "jes", None, JEC_ARGS, JES, target=[JET["pt"]])],
    "nominal only": lambda p: [jec(), jer(), met()],
    "nominal only, beside a varied one": lambda p: [jec(), fat_jets(delta("fj", toy.of_fat_jets))],
    "added": lambda p: [jec(JES, op="add")],
    "subtracted": lambda p: [jec(JES, op="subtract")],
    "subtracted, with functions": lambda p: [
        jec({"name": "s", "up_function": toy.scaled_up, "down_function": toy.scaled_down}, op="subtract")
    ],
    "replaced": lambda p: [jec(JES, op="replace", target=[JET["mass"]])],
    "arguments of its own": lambda p: [
        jec({"name": "own", "args": [JET["mass"], JET["eta"]], "is_delta": True, "up_function": toy.relative})
    ],
    "transforms": lambda p: [
        jec(JES, transform_in=lambda pt, eta: (pt + 1.0, eta), transform_out=toy.squared)
    ],
    "a transform that the source inherits, and one of its own": lambda p: [
        jec(
            {"name": "a", "is_delta": True, "transform_out": lambda x: 0.01 * x},
            {
                "name": "b",
                "is_delta": True,
                "up_function": toy.relative,
                "transform_in": lambda pt, eta: (2 * pt, eta),
            },
            transform_in=lambda pt, eta: (pt, 2 * eta),
        ),
    ],
    "None for events without muons": lambda p: [
        correction(
            "object",
            "jec",
            leading_muon,
            [MUON["pt"], JET["pt"]],
            {"name": "x", "is_delta": True, "transform_out": lambda x: 0.1 * x},
            target=[JET["pt"]],
            transform_in=lambda mu, jet: (ak.firsts(mu), jet),
        ),
    ],
    "a shift that is None for events without muons": lambda p: [
        jec(
            {
                "name": "x",
                "args": [MUON["pt"], JET["pt"]],
                "is_delta": True,
                "up_function": leading_muon,
                "transform_in": lambda mu, jet: (ak.firsts(mu), jet),
                "transform_out": lambda x: 0.1 * x,
            }
        ),
    ],
    "None in the place of MET": lambda p: [
        correction(
            "object", "met", met_by_muon, [toy.MET["pt"], MUON["pt"]], target=[toy.MET["pt"]], op="replace"
        ),
        jec(JES),
    ],
    "a variation that changes nothing": lambda p: [jec(delta("none", nothing), JES), met()],
    "only a variation that changes nothing": lambda p: [jec(delta("none", nothing))],
    "a variation that empties all events": lambda p: [
        jec(delta("gone", lambda pt, eta: -0.99 + 0.0 * pt)),
        met(),
    ],
    "a variation of MET that empties a channel": lambda p: [
        correction(
            "object",
            "met",
            everything_away,
            [toy.MET["pt"], SYS],
            keyed("m", 0.0, 3.0),
            target=[toy.MET["pt"]],
            op="replace",
            nominal_idx=1.0,
        ),
    ],
}


@pytest.mark.parametrize("case", OBJECTS)
def test_objects_vary_as_one_by_one(case, path, payload):
    assert_as_one_by_one(analysis(OBJECTS[case](payload), path), path, 0, 700)


FULL = [
    jec(JES, delta("jes2", toy.reordering)),
    jer(keyed("jer", "up", "down")),
    met(
        {
            "name": "uncl",
            "args": [*MET_ARGS, SYS],
            "up_and_down_idx": [1.0, -1.0],
            "up_function": toy.unclustered,
        }
    ),
    fat_jets(delta("fj", toy.of_fat_jets, varies_with="jes")),
    muon_factor(keyed("mu", "u", "d")),
    b_tag(keyed("hf", "up_hf", "down_hf"), keyed("b", "up_jes", "down_jes", varies_with="jes2")),
]


@pytest.fixture(scope="module")
def reference(path):
    """The sums of the whole file, in tiles as large as may be."""
    return assert_as_one_by_one(analysis(FULL, path), path)


@pytest.mark.parametrize("rows", [1, 1000, 1501, 3000, 7777])
def test_the_budget_of_rows_changes_no_bit(rows, reference, path):
    assert_same_bits(sums_of(analysis(FULL, path, {"tile_rows": rows}), path), reference)


def test_nominal_bits_do_not_depend_on_variations(reference, path):
    nominal = sums_of(analysis(FULL, path, {"run_systematics": False}), path)
    assert nominal.common == reference.common
    assert nominal.channels == reference.channels
    for key, found in nominal.histograms.items():
        other = reference.histograms[key]
        assert found.varied == {}
        assert found.sumw.tobytes() == other.sumw.tobytes()
        assert found.sumw2.tobytes() == other.sumw2.tobytes()
        assert np.array_equal(found.entries, other.entries)
        assert found.nan == other.nan


@pytest.mark.parametrize("channel", ["SR", "all"])
def test_a_channel_does_not_depend_on_those_beside_it(channel, reference, path):
    found = sums_of(analysis(FULL, path, {"channels": [channel]}), path)
    assert found.channels[channel] == reference.channels[channel]
    assert_same_bits(found, reference, list(found.histograms))


@pytest.mark.parametrize("edges", [[0, 1, 2, 700, 1500], [0, 512, 1024, 1500]])
def test_chunks_add_up_to_the_whole(edges, reference, path):
    total: Any = None
    for limits in pairwise(edges):
        one = sums_of(analysis(FULL, path), path, *limits)
        if total is None:
            total = one.histograms
        for key, found in one.histograms.items():
            if found is not total[key]:
                total[key].add(found)
    for key, whole in reference.histograms.items():
        found = total[key]
        assert np.array_equal(found.entries, whole.entries)
        for name, (sumw, sumw2) in {"nominal": (whole.sumw, whole.sumw2), **whole.varied}.items():
            mine = (found.sumw, found.sumw2) if name == "nominal" else found.varied[name]
            bound = np.sqrt(len(whole.varied) * 1500 * sumw2)
            assert np.all(np.abs(mine[0] - sumw) <= 1e-12 * bound), (key, name)
            assert np.all(np.abs(mine[1] - sumw2) <= 1e-12 * sumw2), (key, name)


MUONS, JETS = ("Muon", None), ("Jet", None)
MANY = [
    *FULL,
    correction(
        "object", "mu", None, [MUON["pt"], MUON["eta"]], delta("mus", toy.reordering), target=[MUON["pt"]]
    ),
]


def triggered(trigger, jets):
    return {"not": ~trigger, "jets": ak.num(jets) > 1}


def three(jets, met):
    return jets.pt, jets.eta, met


def pairs(jets):
    return ak.cartesian([jets.pt, jets.pt], axis=1, nested=True)["0"]


ENTANGLED: dict[str, Any] = {
    "masks of two varied collections by each other": {
        "good_object_masks": [
            {"collection": "Muon", "function": toy.softer_than_jets, "use": [MUONS, JETS]},
            {"collection": "Jet", "function": toy.far_from_muons, "use": [JETS, MUONS]},
        ]
    },
    "triggers, of which the file lacks one": {
        "channels": [
            {
                "name": "none", "selection": {"function": triggered, "use": [("HLT", "Nowhere"), JETS]},
                "observables": [toy.observable("jets", toy.pts, [JETS])],
            },
            {
                "name": "muon", "selection": {"function": toy.same, "use": [("HLT", "IsoMu24")]},
                "observables": [toy.observable("muons", toy.pts, [MUONS])],
            },
        ]
    },
    "three dimensions, and lists of lists": {
        "channels": [
            {
                "name": "all",
                "observables": [
                    toy.observable(
                        "three", three, [JETS, ("MET", "pt")],
                        axes=[{"name": name, "binning": [-1.0, 1.0, 50.0, 100.0]} for name in "abc"],
                    ),
                    toy.observable("pairs", pairs, [JETS]),
                ],
            },
            {"name": "counted", "selection": {"function": toy.has_two_jets, "use": [JETS]}},
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("case", ENTANGLED)
def test_muons_vary_beside_jets(case, path):
    assert_as_one_by_one(analysis(MANY, path, **ENTANGLED[case]), path, 0, 400)


@pytest.mark.parametrize("limits", [(5, 5), (1499, 1500), (0, 3)])
def test_no_events_and_few(limits, path):
    assert_as_one_by_one(analysis(MANY, path), path, *limits)


def test_data_are_corrected_and_vary_in_nothing(tmp_path):
    path = tmp_path / "data.root"
    write_full_nanoaod(path, process="data", year="2018", events=400, seed=14, is_data=True)
    corrections = [{**one, "applies_to": ["simulation", "data"]} for one in MANY]
    datasets = {"datasets": [{"name": "data", "files": [str(path)], "is_data": True}]}
    for one in (corrections, MANY):
        sums = sums_of(config := analysis(one, path, datasets=datasets), path)
        expected = one_variation(config, config.selected_datasets()[0], chunk(config, path))
        for key, (sumw, _, entries) in expected.items():
            assert np.array_equal(sums.histograms[key].entries, entries)
            assert np.allclose(sums.histograms[key].sumw, sumw, rtol=1e-12)
            assert sums.histograms[key].varied == {}
