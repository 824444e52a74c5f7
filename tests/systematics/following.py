"""References between objects as functors follow them, and as loops over events do, with corrections to both.

The loops get one event of the file as lists, the momenta of each collection in the order of the file, and which objects
masks keep.
"""

from __future__ import annotations

import math
from typing import Any

import awkward as ak
import numpy as np

from intccms.schema import ObjVar


def calibrated(pt, eta):
    return 1.1 - 0.05 * abs(eta) + 0.0 * pt


def shift(pt, eta):
    return 0.4 * np.sin(7.0 * eta + 0.1 * pt)


def of(collection: str, *, varied: bool) -> dict[str, Any]:
    sources = [{"name": f"of{collection}", "is_delta": True, "up_function": shift}] if varied else []
    columns = [ObjVar(collection, "pt"), ObjVar(collection, "eta")]
    return {
        "name": collection, "type": "object", "target": columns[0], "args": columns, "nominal_function": calibrated,
        "uncertainty_sources": sources,
    }  # fmt: skip


def loop_pts(
    event: dict[str, Any], collection: str, corrections: dict[str, bool], variation: str
) -> list[float]:
    """Return the transverse momenta of a collection in a variation, in the order of the file."""
    found = []
    for pt, eta in zip(event[f"{collection}_pt"], event[f"{collection}_eta"], strict=True):
        value = pt
        if collection in corrections:
            value = pt * (1.1 - 0.05 * abs(eta))
            delta = 0.4 * math.sin(7.0 * eta + 0.1 * value)
            if variation == f"of{collection}_up":
                value *= 1.0 + delta
            elif variation == f"of{collection}_down":
                value *= 1.0 - delta
        found.append(value)
    return found


def follow(index: int, objects: list[float]) -> list[float]:
    return [objects[index]] if 0 <= index < len(objects) else []


# what functors find, and what the loops find; `pts` gives momenta by collection, in the order of the file


def jet_of_muon(muons, jets):
    return muons.matched_jet.pt


def loop_jet_of_muon(event, pts, kept):
    return [pt for index in kept("Muon") for pt in follow(event["Muon_jetIdx"][index], pts["Jet"])]


def muons_of_jet(muons, jets):
    return ak.flatten(jets.matched_muons.pt, axis=2)


def loop_muons_of_jet(event, pts, kept):
    branches = ("Jet_muonIdx1", "Jet_muonIdx2")
    return [
        pt for index in kept("Jet") for branch in branches for pt in follow(event[branch][index], pts["Muon"])
    ]


def place_of_jet(muons, jets):
    return 10.0 * muons.jetIdx + 15.0


def loop_place_of_jet(event, pts, kept):
    """The place in falling momentum; -1 where there is none."""
    found = []
    for index in kept("Muon"):
        target = event["Muon_jetIdx"][index]
        inside = 0 <= target < len(pts["Jet"])
        place = sorted(pts["Jet"], reverse=True).index(pts["Jet"][target]) if inside else -1
        found.append(10.0 * place + 15.0)
    return found


def muon_of_jet_of_muon(muons, jets):
    return ak.flatten(muons.matched_jet.matched_muons.pt, axis=2)


def loop_muon_of_jet_of_muon(event, pts, kept):
    found = []
    for index in kept("Muon"):
        jet = event["Muon_jetIdx"][index]
        if 0 <= jet < len(pts["Jet"]):
            for branch in ("Jet_muonIdx1", "Jet_muonIdx2"):
                found += follow(event[branch][jet], pts["Muon"])
    return found


def gen_of_jet(jets, gen, is_simulation):
    return jets.matched_gen.pt + jets.pt


def loop_gen_of_jet(event, pts, kept):
    return [
        pts["Jet"][index] + pt
        for index in kept("Jet")
        for pt in follow(event["Jet_genJetIdx"][index], pts["GenJet"])
    ]


def gen_of_jet_of_muon(muons, jets, gen, is_simulation):
    return muons.matched_jet.matched_gen.pt


def loop_gen_of_jet_of_muon(event, pts, kept):
    found = []
    for index in kept("Muon"):
        jet = event["Muon_jetIdx"][index]
        if 0 <= jet < len(pts["Jet"]):
            found += follow(event["Jet_genJetIdx"][jet], pts["GenJet"])
    return found


def subjets_of(fat, subjets):
    return ak.flatten(fat.subjets.pt, axis=2)


def loop_subjets_of(event, pts, kept):
    branches = ("FatJet_subJetIdx1", "FatJet_subJetIdx2")
    return [
        pt
        for index in kept("FatJet")
        for branch in branches
        for pt in follow(event[branch][index], pts["SubJet"])
    ]


def first_subjet(fat, subjets):
    """By the stored index itself."""
    return subjets.pt[fat.subJetIdx1[(fat.subJetIdx1 >= 0) & (fat.subJetIdx1 < ak.num(subjets))]]


def loop_first_subjet(event, pts, kept):
    return [pt for index in kept("FatJet") for pt in follow(event["FatJet_subJetIdx1"][index], pts["SubJet"])]


LEPTONIC = [("Muon", None), ("Jet", None)]
GENERATED = [("GenJet", None), ("GenPart", "pt")]
"""NanoEvents take a file without GenPart for data, and make no references to generated objects."""
HADRONIC = [("FatJet", None), ("SubJet", None)]
OBSERVABLES = {
    "jet_of_muon": (jet_of_muon, LEPTONIC, loop_jet_of_muon),
    "muons_of_jet": (muons_of_jet, LEPTONIC, loop_muons_of_jet),
    "place_of_jet": (place_of_jet, LEPTONIC, loop_place_of_jet),
    "muon_of_jet_of_muon": (muon_of_jet_of_muon, LEPTONIC, loop_muon_of_jet_of_muon),
    "gen_of_jet": (gen_of_jet, [("Jet", None), *GENERATED], loop_gen_of_jet),
    "gen_of_jet_of_muon": (gen_of_jet_of_muon, [*LEPTONIC, *GENERATED], loop_gen_of_jet_of_muon),
    "subjets_of": (subjets_of, HADRONIC, loop_subjets_of),
    "first_subjet": (first_subjet, HADRONIC, loop_first_subjet),
}
