"""References between objects after correction, variation and re-ordering, against loops over events in plain Python.

The loops work on the numbers that were written, follow the stored indices in the order of the file, and know nothing of
the order in which objects stand after they were corrected.
"""

from __future__ import annotations

import re
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from intccms.errors import FunctorError
from intccms.schema import Config, ObjVar
from intccms.systematics.references import EventsView, declaring
from tests.systematics.following import OBSERVABLES, loop_pts, of
from tests.systematics.tiled import sums_of

EDGES = [float(edge) for edge in range(0, 401, 2)]
LINKS = {
    "Muon_jetIdx": "Jet",
    "Jet_muonIdx1": "Muon",
    "Jet_muonIdx2": "Muon",
    "Jet_genJetIdx": "GenJet",
    "FatJet_subJetIdx1": "SubJet",
    "FatJet_subJetIdx2": "SubJet",
}
COLLECTIONS = ("Muon", "Jet", "GenJet", "FatJet", "SubJet", "GenPart")
EVENTS = 240


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file whose indices are right, -1 or beyond the end, and its columns as lists, event by event."""
    rng = np.random.default_rng(8)
    counts = {name: rng.integers(0, 5, EVENTS) for name in COLLECTIONS}
    flat: dict[str, Any] = {
        "event": np.arange(EVENTS, dtype=np.uint64),
        "genWeight": rng.normal(1.0, 1.0, EVENTS).astype(np.float32),
        "vertices": rng.integers(0, 60, EVENTS).astype(np.int32),
    }
    jagged = {}
    for name in COLLECTIONS:
        total = int(counts[name].sum())
        values = {
            "pt": rng.exponential(60, total) + 5,
            "eta": rng.normal(0, 1.5, total),
            "phi": rng.uniform(-3, 3, total),
            "mass": np.ones(total),
        }
        if name == "Muon":
            values["charge"] = rng.choice([-1.0, 1.0], total)
        jagged |= {
            f"{name}_{field}": ak.unflatten(one.astype(np.float32), counts[name])
            for field, one in values.items()
        }
    for branch, target in LINKS.items():
        name = branch.partition("_")[0]
        limits = np.repeat(counts[target], counts[name])
        jagged[branch] = ak.unflatten(rng.integers(-1, limits + 2).astype(np.int32), counts[name])
    path = tmp_path_factory.mktemp("linked") / "linked.root"
    types = {name: one.dtype for name, one in flat.items()} | {n: a.type.content for n, a in jagged.items()}
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", types, counter_name=lambda branch: "n" + branch.split("_", 1)[0])
        tree.extend({**flat, **jagged})
    return path, {name: one.tolist() for name, one in {**flat, **jagged}.items()}


PLACES = "place_of_jet"
"""Where nothing is corrected, places are those of the file, out of range or not: as everywhere in NanoAOD."""

SITUATIONS: dict[str, dict[str, bool]] = {
    "jets vary": {"Jet": True},
    "jets vary, muons are corrected": {"Jet": True, "Muon": False},
    "muons vary, jets are corrected": {"Muon": True, "Jet": False},
    "muons vary": {"Muon": True},
    "both vary": {"Muon": True, "Jet": True},
    "both are corrected": {"Muon": False, "Jet": False},
    "subjets vary, large jets are corrected": {"SubJet": True, "FatJet": False},
    "large jets vary, subjets are corrected": {"FatJet": True, "SubJet": False},
    "large jets and subjets vary": {"FatJet": True, "SubJet": True},
    "generator jets vary beside jets": {"GenJet": True, "Jet": True},
    "something else varies": {"GenJet": True},
}


def hard(objects, least):
    return objects.pt > least


def some_vertices(npvs):
    return npvs > 20


def enough_momentum(jets):
    return ak.sum(jets.pt, axis=1) > 60


def cut(kind: str) -> dict[str, Any]:
    """Return masks and baseline of a selection; `passes` and `kept_by` are the same in the loop."""
    if kind == "nothing is cut":
        return {}
    masks = [
        {"collection": name, "function": hard, "use": [(name, None)], "static_kwargs": {"least": least}}
        for name, least in LEAST.items()
    ]
    if kind == "masks":
        return {"good_object_masks": masks}
    if kind == "events are cut before":
        return {
            "baseline_selection": {"function": some_vertices, "use": [("event", "vertices")]},
            "good_object_masks": masks,
        }
    return {"baseline_selection": {"function": enough_momentum, "use": [("Jet", None)]}}


LEAST = {"Muon": 30.0, "Jet": 40.0}
CUTS = ("nothing is cut", "masks", "events are cut before", "events are cut by jets")


def analysis(path: Any, corrections: dict[str, bool], kind: str, names: Any = None, **general: Any) -> Config:
    observables = [
        {"name": name, "function": OBSERVABLES[name][0], "use": OBSERVABLES[name][1], "binning": EDGES}
        for name in OBSERVABLES
        if names is None or name in names
    ]
    return Config(
        general={"lumi": 1.0, "executor": "iterative", **general},
        datasets={"datasets": [{"name": "tt", "files": [str(path)], "cross_sections": [1.0]}]},
        preprocess={"branches": {}, "skimming": {"function": loose, "use": [("event", "event")]}},
        corrections=[of(name, varied=varied) for name, varied in corrections.items()],
        channels=[{"name": "all", "observables": observables}],
        **cut(kind),
    )


def loose(event):
    """Cut some events of the chunk, so that global indices of the file are none of what is left."""
    return event % 5 != 3


def expected(
    columns: dict[str, Any], name: str, corrections: dict[str, bool], kind: str, variation: str, limits: range
) -> np.ndarray:
    """Return the sums of weights of an observable, flow bins included."""
    sums = np.zeros(len(EDGES) + 1)
    loop = OBSERVABLES[name][2]
    for number in limits:
        event = {branch: values[number] for branch, values in columns.items()}
        pts = {one: loop_pts(event, one, corrections, variation) for one in COLLECTIONS}
        if number % 5 == 3 or (kind == "events are cut before" and event["vertices"] <= 20):
            continue
        if kind == "events are cut by jets" and sum(pts["Jet"]) <= 60:
            continue
        masked = kind in ("masks", "events are cut before")

        def kept(collection: str, pts: Any = pts, masked: bool = masked) -> list[int]:
            least = LEAST.get(collection, 0.0) if masked else 0.0
            return [index for index, pt in enumerate(pts[collection]) if pt > least]

        for value in loop(event, pts, kept):
            sums[np.searchsorted(EDGES, value, side="right")] += event["genWeight"]
    return sums


def assert_as_loops(
    written: Any, config: Config, corrections: dict[str, bool], kind: str, *limits: int
) -> None:
    path, columns = written
    sums = sums_of(config, path, *limits)
    variations = [
        f"of{name}_{way}" for name, varied in corrections.items() if varied for way in ("up", "down")
    ]
    for (_, name), found in sums.histograms.items():
        for variation in ("nominal", *found.varied):
            mine = found.sumw if variation == "nominal" else found.varied[variation][0]
            other = expected(columns, name, corrections, kind, variation, range(*(limits or (0, EVENTS))))
            assert np.count_nonzero(other) > 3
            assert np.allclose(mine, other, rtol=0, atol=1e-9), (name, variation)
        assert set(found.varied) <= set(variations)


@pytest.mark.parametrize("kind", CUTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_references_lead_to_objects_as_they_are_in_each_variation(situation, kind, written):
    corrections = SITUATIONS[situation]
    names = [name for name in OBSERVABLES if name != PLACES or "Jet" in corrections]
    names = [name for name in names if name not in LOST_WAYS.get(situation, {})]
    config = analysis(written[0], corrections, kind, names)
    assert_as_loops(written, config, corrections, kind)


LOST_WAYS = {
    "muons vary": {"muon_of_jet_of_muon": "into Muon, which corrections change, is followed through Jet"},
    "muons vary, jets are corrected": {
        "muon_of_jet_of_muon": "another reference led to, take those of 'use'"
    },
    "muons are corrected": {
        "muon_of_jet_of_muon": "into Muon, which corrections change, is followed through Jet"
    },
    "something else varies": {
        "gen_of_jet_of_muon": "into GenJet, which corrections change, is followed through Jet"
    },
}
"""From an object that is the same in all variations, and was reached by a reference, no way leads to what varies."""


@pytest.mark.parametrize("situation", LOST_WAYS)
def test_a_way_that_would_lead_to_objects_of_no_variation_is_an_error(situation, written):
    corrections = SITUATIONS.get(situation, {"Muon": False})
    for name, words in LOST_WAYS[situation].items():
        with pytest.raises(FunctorError, match=re.escape(words)):
            sums_of(analysis(written[0], corrections, "masks", [name]), written[0])


@pytest.mark.parametrize("limits", [(60, 200), (1, 239)])
def test_a_part_of_the_file_in_small_tiles(limits, written):
    corrections = SITUATIONS["jets vary, muons are corrected"]
    config = analysis(written[0], corrections, "masks", tile_rows=100)
    assert_as_loops(written, config, corrections, "masks", *limits)


def test_without_variations(written):
    corrections = SITUATIONS["both vary"]
    config = analysis(written[0], corrections, "masks", run_systematics=False)
    assert_as_loops(written, config, dict.fromkeys(corrections, False), "masks")


def test_without_corrections_they_are_those_of_the_file(written):
    names = [name for name in OBSERVABLES if name != PLACES]
    assert_as_loops(written, analysis(written[0], {}, "masks", names), {}, "masks")


def undeclared(written, corrections, **general):
    config = analysis(written[0], corrections, "masks", ["jet_of_muon"], **general)
    one = config.channels[0].observables[0]
    alone = one.model_copy(update={"use": [ObjVar("Muon")], "function": lambda muons: muons.matched_jet.pt})
    return config.model_copy(
        update={"channels": [config.channels[0].model_copy(update={"observables": [alone]})]}
    )


def test_a_reference_into_what_varies_has_to_be_declared(written):
    with pytest.raises(
        FunctorError,
        match=re.escape(
            "a reference into Jet is followed, which corrections change: add ObjVar('Jet') to 'use'"
        ),
    ) as caught:
        sums_of(with_another_user(undeclared(written, {"Jet": True})), written[0])
    assert "channels.all.observables.jet_of_muon" in str(caught.value)


def test_a_correction_is_told_to_declare_it_in_its_arguments():
    view = EventsView({}, frozenset({"Jet"}), {})
    words = r"add ObjVar\('Jet'\) to 'args', .* take those of 'args' instead"
    with declaring([ObjVar("Muon")], "args"), pytest.raises(FunctorError, match=words):
        view["Jet"]
    with pytest.raises(FunctorError, match=r"add ObjVar\('Jet'\) to 'use', .* take those of 'use' instead"):
        view["Jet"]


def follows(muons):
    """A mask of muons, from their jets."""
    return ak.fill_none(muons.matched_jet.pt > 30, value=False)


@pytest.mark.parametrize("varies", [True, False])
@pytest.mark.parametrize("place", ["good_object_masks", "baseline_selection"])
def test_what_is_cut_before_corrections_follows_no_reference_into_them(written, place, varies):
    config = with_another_user(analysis(written[0], {"Jet": varies}, "masks", ["jet_of_muon"]))
    functor = {"function": follows, "use": [("Muon", None)]}
    if place == "good_object_masks":
        parts = {place: [{"collection": "Muon", **functor}]}
    else:
        parts = {place: {**functor, "function": lambda muons: ak.any(follows(muons), axis=1)}}
    fields = {name: getattr(config, name) for name in type(config).model_fields}
    with pytest.raises(
        FunctorError, match=rf"{place}.*a reference into Jet is followed.*add ObjVar\('Jet'\)"
    ):
        sums_of(Config(**fields | {"good_object_masks": []} | parts), written[0])


def test_object_corrections_take_objects_by_their_stored_index(written):
    # between two steps of the chain there are no corrected objects to refer to
    config = with_another_user(analysis(written[0], {"Jet": True}, "masks", ["jet_of_muon"]))
    more = {
        "name": "muons",
        "type": "object",
        "target": ("Muon", "pt"),
        "nominal_function": lambda muons: ak.fill_none(muons.matched_jet.pt, 1.0) / muons.pt,
        "args": [ObjVar("Muon")],
    }
    fields = {name: getattr(config, name) for name in type(config).model_fields}
    corrections = [*config.corrections, more]
    words = r"correction 'muons'.*a reference into Jet is followed.*jets\[muons.jetIdx\]"
    with pytest.raises(FunctorError, match=words):
        sums_of(Config(**fields | {"corrections": corrections}), written[0])


def with_another_user(config: Config) -> Config:
    """Add an observable of jets, without which they would not be corrected."""
    more = {"name": "jets", "function": lambda jets: jets.pt, "use": [("Jet", None)], "binning": EDGES}
    observables = [*config.channels[0].observables, more]
    return Config(
        **{
            **{name: getattr(config, name) for name in type(config).model_fields},
            "channels": [{"name": "all", "observables": observables}],
        }
    )


@pytest.mark.parametrize("beside", [True, False])
def test_so_has_one_into_what_is_only_corrected_whatever_is_computed_beside_it(written, beside):
    config = undeclared(written, {"Jet": False})
    words = r"jet_of_muon.*a reference into Jet is followed.*add ObjVar\('Jet'\)"
    with pytest.raises(FunctorError, match=words):
        sums_of(with_another_user(config) if beside else config, written[0])
