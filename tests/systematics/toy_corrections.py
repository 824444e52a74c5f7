"""Corrections, cuts and observables without physics, simple to the eye and irregular in their numbers; and an analysis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from intccms.schema import SYS, Config, ObjVar

if TYPE_CHECKING:
    from pathlib import Path

JET = {name: ObjVar("Jet", name) for name in ("pt", "eta", "phi", "mass", "pt_as_read")}
FAT = {name: ObjVar("FatJet", name) for name in ("pt", "eta", "mass")}
MUON = {name: ObjVar("Muon", name) for name in ("pt", "eta", "phi")}
MET = {name: ObjVar("MET", name) for name in ("pt", "phi")}


def write_payload(folder: Path) -> str:
    """Write a payload with a relative uncertainty of jets, and a factor of muons with a systematic key."""

    def bins(name: str, edges: list[float], content: list[Any]) -> dict[str, Any]:
        return {"nodetype": "binning", "input": name, "edges": edges, "content": content, "flow": "clamp"}

    def simple(name: str, inputs: list[tuple[str, str]], data: Any) -> dict[str, Any]:
        variables = [{"name": one, "type": kind} for one, kind in inputs]
        return {
            "name": name,
            "version": 1,
            "inputs": variables,
            "output": {"name": "value", "type": "real"},
            "data": data,
        }

    by_eta = bins(
        "eta", [-5.0, -1.0, 0.0, 1.0, 5.0], [0.031, 0.0, bins("pt", [0.0, 50.0, 1e4], [0.052, 0.0]), 0.023]
    )
    keys = [
        {"key": key, "value": bins("pt", [0.0, 40.0, 1e5], [value, value + 0.01])}
        for key, value in (("nominal", 0.97), ("up", 1.03), ("down", 0.93))
    ]
    content = {
        "schema_version": 2,
        "corrections": [
            simple("jes", [("pt", "real"), ("eta", "real")], by_eta),
            simple(
                "muon",
                [("key", "string"), ("pt", "real")],
                {"nodetype": "category", "input": "key", "content": keys},
            ),
        ],
    }
    path = folder / "payload.json"
    path.write_text(json.dumps(content))
    return str(path)


# corrections of objects


def calibrated(pt: Any, eta: Any) -> Any:
    return 1.02 - 0.01 * abs(eta) + 0.0 * pt


def relative(pt: Any, eta: Any) -> Any:
    """Zero in the barrel, so that not every event is changed."""
    return 0.03 * (abs(eta) > 1.0) + 1e-4 * pt * (abs(eta) > 1.0)


def reordering(pt: Any, eta: Any) -> Any:
    return 0.4 * np.sin(7.0 * eta + pt)


def smeared(pt: Any, eta: Any, key: str) -> Any:
    return 1.0 + {"nom": 0.1, "up": 0.13, "down": 0.07}[key] * np.sin(1e3 * eta + pt)


def of_fat_jets(pt: Any, eta: Any) -> Any:
    return 0.02 * (abs(eta) > 0.5) + 0.0 * pt


def of_masses(mass: Any, key: str) -> Any:
    return {"nom": 1.0, "up": 1.05, "down": 0.98}[key] + 0.0 * mass


def propagated(pt: Any, phi: Any, jet_pt: Any, as_read: Any, jet_phi: Any) -> tuple[Any, Any]:
    shift = jet_pt - as_read
    x = pt * np.cos(phi) - ak.sum(shift * np.cos(jet_phi), axis=1)
    y = pt * np.sin(phi) - ak.sum(shift * np.sin(jet_phi), axis=1)
    return np.hypot(x, y), np.arctan2(y, x)


def unclustered(pt: Any, phi: Any, jet_pt: Any, as_read: Any, jet_phi: Any, key: float) -> tuple[Any, Any]:
    x, y = propagated(pt, phi, jet_pt, as_read, jet_phi)
    return x + key * (pt % 10.0), y


def scaled_up(pt: Any, eta: Any) -> Any:
    return 1.05 + 0.0 * pt + 0.0 * eta


def scaled_down(pt: Any, eta: Any) -> Any:
    return 0.97 + 0.0 * pt + 0.0 * eta


# corrections of weights


def of_muons(pt: Any, key: str) -> Any:
    return (1.0 + 1e-3 * pt) * {"n": 1.0, "u": 1.1, "d": 0.9}[key]


def of_jets(pt: Any, eta: Any, key: str) -> Any:
    factor = {"central": 1.0, "up_hf": 1.2, "down_hf": 0.7, "up_jes": 1.5, "down_jes": 0.6}[key]
    return 1.0 + 1e-3 * pt * factor * (abs(eta) < 2.4)


def of_event(rho: Any) -> Any:
    return 1.0 + 0.01 * rho


def half(rho: Any) -> Any:
    return 0.5 + 0.0 * rho


def twice(rho: Any) -> Any:
    return 2.0 + 0.0 * rho


def of_member(weights: Any, key: int) -> Any:
    return weights[:, key]


def first_of(*columns: Any) -> tuple[Any, ...]:
    return tuple(ak.firsts(one) for one in columns)


def squared(values: Any) -> Any:
    return values * values


# cuts and quantities


def good_muons(muons: Any) -> Any:
    return (muons.pt > 30) & (abs(muons.eta) < 2.4)


def good_jets(jets: Any) -> Any:
    return (jets.pt > 30) & (abs(jets.eta) < 2.4)


def far_from_muons(jets: Any, muons: Any) -> Any:
    return ak.all(abs(jets.phi[:, :, None] - muons.phi[:, None, :]) > 0.4, axis=2)


def softer_than_jets(muons: Any, jets: Any) -> Any:
    return muons.pt < ak.fill_none(ak.max(jets.pt, axis=1), 0.0)


def has_two_jets(jets: Any) -> Any:
    return {"any": ak.num(jets) >= 1, "two": ak.num(jets) >= 2}


def has_met(pt: Any) -> Any:
    return pt > 40


def scalar_sum(jets: Any) -> Any:
    return ak.sum(jets.pt, axis=1)


def same(values: Any) -> Any:
    return values


def pts(objects: Any) -> Any:
    return objects.pt


def leading_pt(objects: Any) -> Any:
    return ak.firsts(objects.pt)


def pt_and_eta(objects: Any) -> tuple[Any, Any]:
    return objects.pt, objects.eta


def pt_and_met(objects: Any, met: Any) -> tuple[Any, Any]:
    return objects.pt, met


def nan_if_low(values: Any) -> Any:
    return np.where(np.asarray(values) < 200, np.nan, np.asarray(values))


WIDE = {"bins": 40, "start": 0.0, "stop": 1000.0}
ETA = [-2.5, -1.0, 0.0, 0.7, 2.5]


def observable(name: str, function: Any, use: list[Any], binning: Any = None, **more: Any) -> dict[str, Any]:
    found = {"name": name, "function": function, "use": use, **more}
    return found if "axes" in more else {**found, "binning": binning or WIDE}


def channels() -> list[dict[str, Any]]:
    """Two channels, with observables of every kind."""
    jet, muon, met = ("Jet", None), ("Muon", None), ("MET", "pt")
    two = [{"name": "pt", "binning": [30.0, 50.0, 90.0, 400.0]}]
    return [
        {
            "name": "SR",
            "selection": {"function": has_met, "use": [met]},
            "observables": [
                observable("ht", same, [("event", "ht")]),
                observable("ht_or_nan", nan_if_low, [("event", "ht")]),
                observable("lead", leading_pt, [jet]),
                observable("jets", pts, [jet]),
                observable("pt_eta", pt_and_eta, [jet], axes=[*two, {"name": "eta", "binning": ETA}]),
                observable(
                    "pt_met",
                    pt_and_met,
                    [jet, met],
                    axes=[*two, {"name": "met", "binning": [0.0, 60.0, 300.0]}],
                ),
                observable("muon", leading_pt, [muon]),
                observable("met", same, [met], {"bins": 30, "start": 0.0, "stop": 300.0}),
            ],
        },
        {
            "name": "all",
            "observables": [
                observable("muons", pts, [muon]),
                observable("fat", pts, [("FatJet", None)]),
                observable("fat_mass", same, [("FatJet", "mass")], {"bins": 20, "start": 0.0, "stop": 300.0}),
                observable("pv", same, [("PV", "npvsGood")], {"bins": 10, "start": 0.0, "stop": 60.0}),
            ],
        },
    ]


def analysis(
    corrections: list[dict[str, Any]], path: Path, general: dict[str, Any] | None = None, **more: Any
) -> Config:
    """Return an analysis of one file with some corrections; `more` replaces parts of it."""
    config: dict[str, Any] = {
        "datasets": {"datasets": [{"name": "tt", "files": [str(path)], "cross_sections": [1.0]}]},
        "good_object_masks": [
            {"collection": "Muon", "function": good_muons, "use": [("Muon", None)]},
            {"collection": "Jet", "function": good_jets, "use": [("Jet", None)]},
        ],
        "baseline_selection": {"function": has_two_jets, "use": [("Jet", None)]},
        "ghost_observables": [{"names": "ht", "function": scalar_sum, "use": [("Jet", None)]}],
        "channels": channels(),
        **more,
    }
    return Config(
        general={"lumi": 1.0, "executor": "iterative", **(general or {})}, corrections=corrections, **config
    )


def correction(
    kind: str, name: str, function: Any, args: list[Any], *sources: Any, **more: Any
) -> dict[str, Any]:
    nominal = {} if function is None else {"nominal_function": function}
    return {"name": name, "type": kind, **nominal, "args": args, "uncertainty_sources": list(sources), **more}


JEC_ARGS = [JET["pt"], JET["eta"]]
BOTH = [JET["pt"], JET["mass"]]
MET_ARGS = [MET["pt"], MET["phi"], JET["pt"], JET["pt_as_read"], JET["phi"]]


def delta(name: str, function: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "is_delta": True, "up_function": function, **more}


def keyed(name: str, up: Any, down: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "up_and_down_idx": [up, down], **more}


def jec(*sources: Any, **more: Any) -> dict[str, Any]:
    return correction("object", "jec", calibrated, JEC_ARGS, *sources, **{"target": BOTH, **more})


def jer(*sources: Any) -> dict[str, Any]:
    return correction("object", "jer", smeared, [*JEC_ARGS, SYS], *sources, target=BOTH, nominal_idx="nom")


def met(*sources: Any, function: Any = propagated, **more: Any) -> dict[str, Any]:
    return correction(
        "object", "met", function, MET_ARGS, *sources, target=[MET["pt"], MET["phi"]], op="replace", **more
    )


def muon_factor(*sources: Any, **more: Any) -> dict[str, Any]:
    return correction(
        "event",
        "muon",
        of_muons,
        [MUON["pt"], SYS],
        *sources,
        **{"reduce": "prod", "nominal_idx": "n", **more},
    )


def b_tag(*sources: Any) -> dict[str, Any]:
    return correction(
        "event", "btag", of_jets, [*JEC_ARGS, SYS], *sources, reduce="prod", nominal_idx="central"
    )
