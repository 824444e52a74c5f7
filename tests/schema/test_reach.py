"""Which masks and ghosts reach a channel; the answers were found by hand, going through each small analysis."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from intccms.schema import Config, ObjVar
from intccms.schema.reach import columns_of, reach
from tests.configurations import analysis_of

MET, JET, MUON = ("MET", "pt"), ("Jet", None), ("Muon", None)
EVENT = ("event", None)


def function(*columns: Any) -> Any:
    """Take any columns."""
    return columns


def functor(*use: Any) -> dict[str, Any]:
    return {"function": function, "use": list(use)}


def mask(collection: str, *use: Any) -> dict[str, Any]:
    return {"collection": collection, **functor(*use)}


def ghost(names: Any, *use: Any, collection: str = "event") -> dict[str, Any]:
    return {"names": names, "collection": collection, **functor(*use)}


def analysis(
    *, masks=(), ghosts=(), baseline=None, skim=None, selection=None, observables=((MET,),)
) -> Config:
    """Return an analysis of one channel; `baseline`, `skim`, `selection` and each observable are columns."""
    data = analysis_of([{"name": "data", "files": ["x"], "is_data": True}])
    data["good_object_masks"], data["ghost_observables"] = list(masks), list(ghosts)
    if baseline is not None:
        data["baseline_selection"] = functor(*baseline)
    if skim is not None:
        data["preprocess"] = {"skimming": functor(*skim)}
    data["channels"] = [
        {
            "name": "SR",
            "selection": None if selection is None else functor(*selection),
            "observables": [
                {"name": f"o{index}", "binning": [0, 1], **functor(*use)}
                for index, use in enumerate(observables)
            ],
        }
    ]
    return Config(**data)


TWO_MASKS = (mask("Muon", MUON), mask("Jet", JET))

# name -> (analysis, masks that reach it, ghosts that reach it)
CASES: dict[str, tuple[Config, tuple[int, ...], tuple[int, ...]]] = {
    "nothing but MET": (analysis(masks=TWO_MASKS), (), ()),
    "a whole collection in the selection": (analysis(masks=TWO_MASKS, selection=[JET]), (1,), ()),
    "a field of a collection": (analysis(masks=TWO_MASKS, selection=[("Jet", "pt")]), (1,), ()),
    "an observable": (analysis(masks=TWO_MASKS, observables=[[MET], [("Muon", "eta")]]), (0,), ()),
    "the baseline": (analysis(masks=TWO_MASKS, baseline=[MUON]), (0,), ()),
    "the skim comes before the masks": (analysis(masks=TWO_MASKS, skim=[MUON, JET]), (), ()),
    "the whole event": (analysis(masks=TWO_MASKS, ghosts=[ghost("a", MET)], selection=[EVENT]), (0, 1), (0,)),
    "a counter is no collection": (analysis(masks=TWO_MASKS, selection=[("event", "nJet")]), (), ()),
    "a mask that looks at an earlier one's collection": (
        analysis(masks=[mask("Muon", MUON), mask("Jet", JET, MUON)], selection=[JET]),
        (0, 1),
        (),
    ),
    "a mask that looks at a later one's collection sees it as it was": (
        analysis(masks=[mask("Jet", JET, MUON), mask("Muon", MUON)], selection=[JET]),
        (0,),
        (),
    ),
    "two masks of one collection": (
        analysis(masks=[mask("Jet", JET), mask("Muon", MUON), mask("Jet", JET)], selection=[JET]),
        (0, 2),
        (),
    ),
    "a chain of three masks": (
        analysis(
            masks=[mask("Photon", MET), mask("Muon", ("Photon", "pt")), mask("Jet", ("Muon", "pt"))],
            selection=[JET],
        ),
        (0, 1, 2),
        (),
    ),
    "a mask that looks at the whole event": (
        analysis(
            masks=[mask("Muon", MUON), mask("Jet", EVENT), mask("Photon", ("Photon", None))], selection=[JET]
        ),
        (0, 1),
        (),
    ),
    "a ghost of the event": (
        analysis(ghosts=[ghost("ht", MET), ghost("st", MET)], selection=[("event", "st")]),
        (),
        (1,),
    ),
    "a ghost with an underscore": (
        analysis(ghosts=[ghost("m_tt", MET)], selection=[("event", "m_tt")]),
        (),
        (0,),
    ),
    "one of the names of a ghost": (
        analysis(ghosts=[ghost(["a", "b"], MET)], selection=[("event", "b")]),
        (),
        (0,),
    ),
    "the columns of a ghost": (
        analysis(masks=TWO_MASKS, ghosts=[ghost("ht", JET)], observables=[[("event", "ht")]]),
        (1,),
        (0,),
    ),
    "a ghost made of a ghost": (
        analysis(
            masks=TWO_MASKS,
            ghosts=[ghost("a", MUON), ghost("b", ("event", "a")), ghost("c", ("event", "a"))],
            selection=[("event", "b")],
        ),
        (0,),
        (0, 1),
    ),
    "a ghost made of a later ghost's name reads the input": (
        analysis(ghosts=[ghost("a", ("event", "b")), ghost("b", MET)], selection=[("event", "a")]),
        (),
        (0,),
    ),
    "a ghost in a collection of objects": (
        analysis(
            masks=TWO_MASKS,
            ghosts=[ghost("score", MET, collection="Jet")],
            selection=[("Jet", "score")],
        ),
        (1,),
        (0,),
    ),
    "another field of that collection": (
        analysis(masks=TWO_MASKS, ghosts=[ghost("score", MET, collection="Jet")], selection=[("Jet", "pt")]),
        (1,),
        (),
    ),
    "the whole of that collection": (
        analysis(masks=TWO_MASKS, ghosts=[ghost("score", MET, collection="Jet")], selection=[JET]),
        (1,),
        (0,),
    ),
    "a new collection": (
        analysis(ghosts=[ghost(["pt", "eta"], MET, collection="Top")], observables=[[("Top", None)]]),
        (),
        (0,),
    ),
    "a ghost is no input of the baseline": (
        analysis(ghosts=[ghost("ht", MET)], baseline=[("event", "ht")]),
        (),
        (),
    ),
    "a ghost that uses the whole event": (
        analysis(masks=TWO_MASKS, ghosts=[ghost("a", MET), ghost("b", EVENT)], selection=[("event", "b")]),
        (0, 1),
        (0, 1),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_masks_and_ghosts_reach_a_channel_through_the_columns_it_uses(case: str):
    config, masks, ghosts = CASES[case]
    found = reach(config, config.channels)
    assert (found.masks, found.ghosts) == (masks, ghosts)


def test_nothing_reaches_no_channel():
    config = analysis(masks=TWO_MASKS, baseline=[MUON], ghosts=[ghost("ht", JET)], selection=[EVENT])
    found = reach(config, [])
    assert (found.masks, found.ghosts) == ((), ())


def test_several_channels_are_reached_by_what_reaches_one_of_them():
    config = analysis(
        masks=[mask("Muon", MUON), mask("Jet", JET, MUON), mask("Photon", ("Photon", None))],
        ghosts=[ghost("a", JET), ghost("b", ("event", "a")), ghost("c", MET)],
    )
    columns = [[MET], [JET], [("event", "b")], [("event", "c")], [("Photon", "pt")]]
    channels = [analysis(selection=use).channels[0] for use in columns]
    for number in range(1, len(channels) + 1):
        for chosen in combinations(channels, number):
            single = [reach(config, [channel]) for channel in chosen]
            found = reach(config, chosen)
            assert set(found.masks) == {index for one in single for index in one.masks}
            assert set(found.ghosts) == {index for one in single for index in one.ghosts}


def test_the_columns_of_a_channel_are_those_of_all_that_reaches_it():
    config = analysis(
        masks=[mask("Muon", ("Muon", "pt")), mask("Jet", ("Jet", "pt"))],
        ghosts=[ghost("ht", ("Jet", "mass")), ghost("st", ("Muon", "phi"))],
        baseline=[("PV", "npvs")],
        skim=[("HLT", "IsoMu24")],
        selection=[("event", "ht")],
        observables=[[MET]],
    )
    texts = {"HLT_IsoMu24", "PV_npvs", "Jet_pt", "Jet_mass", "ht", "MET_pt"}
    assert set(map(str, columns_of(config, config.channels[0]))) == texts
    assert all(isinstance(one, ObjVar) for one in columns_of(config, config.channels[0]))
