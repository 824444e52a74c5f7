"""The configurations with variations: the search of `example_cms`, and two jets with shifts that are functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import awkward as ak
import numpy as np

from intccms.schema import ObjVar, load_config

if TYPE_CHECKING:
    from pathlib import Path

    from intccms.schema import Config

__all__ = ["DATASET", "YEAR", "Part", "search", "two_jets"]

DATASET, YEAR = "ttbar_semilep", "2018"
Part = Literal["all", "objects", "weights", "nominal"]


def search(path: Path, part: Part = "all", *, theory: bool = True, unit_weights: bool = False) -> Config:
    """Return the analysis of `example_cms` of one simulated dataset of 2018, with some of its variations.

    Parameters
    ----------
    path
        The file.
    part
        ``objects``: object corrections with all their sources, and of event corrections the sources that follow them.
        ``weights``: event corrections with all other sources, objects nominal.
    theory
        Include scales, PDF and parton shower.
    unit_weights
        All events have weight 1, so that histograms hold counts.
    """
    if theory:
        from example_cms.with_theory import config as whole
    else:
        from example_cms import config as whole
    corrections = [_applying(one) for one in whole["corrections"][YEAR] if _applies(one)]
    if unit_weights:
        corrections = [one for one in corrections if one["type"] == "object"]
    changed = {
        "channels": [_with_edges(one) for one in whole["channels"]],
        "corrections": {YEAR: _with_sources(corrections, part)},
        "plotting": {},
    }
    return load_config(whole | _on(path, part, unit_weights=unit_weights) | changed)


def two_jets(
    path: Path,
    *,
    object_sources: int = 27,
    weight_sources: int = 0,
    met: str = "MET",
    unit_weights: bool = False,
) -> Config:
    """Return an analysis of about 30 array operations: a muon, missing momentum, two jets; four histograms.

    The same in ROOT is in `rdataframe_vary`.

    Parameters
    ----------
    path
        The file.
    object_sources
        Sources of the momentum of jets, relative shifts of up to about 1 %; two thirds of them concern jets in a part
        of the detector only.
    weight_sources
        Sources of an event weight.
    met
        Collection of the missing momentum.
    unit_weights
        All events have weight 1.
    """
    jet_pt, missing = ObjVar("Jet", "pt"), ObjVar(met, "pt")
    part: Part = "all" if object_sources or weight_sources else "nominal"
    use = [ObjVar("Muon", "pt"), ObjVar("Muon", "eta"), missing]
    observables = [
        _observable("leading_pt", ak.max, jet_pt, (50, 0, 1500), axis=1),
        _observable("ht", ak.sum, jet_pt, (50, 0, 3000), axis=1),
        _observable("mjj", _same, ObjVar("event", "mjj"), (50, 0, 3000)),
        _observable("met", _same, missing, (40, 50, 850)),
    ]
    return load_config(
        {
            **_on(path, part, unit_weights=unit_weights),
            "preprocess": {
                "skimming": {"function": _one_muon, "use": use},
                "branches": {"Jet": ["pt", "eta", "phi", "mass"]},
            },
            "corrections": {YEAR: [*_shifts(object_sources), *_factors(weight_sources)]},
            "good_object_masks": [{"collection": "Jet", "function": _good_jets, "use": [ObjVar("Jet")]}],
            "baseline_selection": {"function": _two_jets, "use": [jet_pt]},
            "ghost_observables": [{"names": "mjj", "function": _mass_of_two, "use": [ObjVar("Jet")]}],
            "channels": [{"name": "all", "observables": observables}],
        }
    )


def _on(path: Path, part: Part, *, unit_weights: bool) -> dict[str, Any]:
    dataset = {"name": DATASET, "files": [str(path)], "cross_sections": [364.31], "years": [YEAR]}
    if unit_weights:
        dataset["weight_branch"] = "run"  # 1 in simulation
    general = {"lumi": {YEAR: 59_830.0}, "executor": "iterative", "run_systematics": part != "nominal"}
    return {"general": general, "datasets": {"datasets": [dataset]}}


def _applies(correction: dict[str, Any]) -> bool:
    return bool({"simulation", DATASET} & set(correction.get("applies_to", ["simulation"])))


def _applying(correction: dict[str, Any]) -> dict[str, Any]:
    """Return the correction without names of processes that are not read here."""
    return {**correction, "applies_to": ["simulation"]}


def _with_sources(corrections: list[dict[str, Any]], part: Part) -> list[dict[str, Any]]:
    if part in ("all", "nominal"):
        return corrections
    objects = {
        source["name"]
        for one in corrections
        if one["type"] == "object"
        for source in one.get("uncertainty_sources", [])
    }
    kept = []
    for one in corrections:
        sources = one.get("uncertainty_sources", [])
        of_objects = [x for x in sources if one["type"] == "object" or x.get("varies_with") in objects]
        wanted = of_objects if part == "objects" else [x for x in sources if x not in of_objects]
        if one["type"] != "normalisation":
            kept.append({**one, "uncertainty_sources": wanted})
    return kept


def _with_edges(channel: dict[str, Any]) -> dict[str, Any]:
    """Return the channel with edges for eta that do not depend on how they are computed.

    Some muons are exactly on an edge, because eta is stored with 12 bits.
    """
    edges = [number / 5 for number in range(-12, 13)]
    observables = [
        {**one, "binning": edges} if one["name"] == "muon_eta" else one for one in channel["observables"]
    ]
    return {**channel, "observables": observables}


def _shifts(sources: int) -> list[dict[str, Any]]:
    if not sources:
        return []
    return [
        {
            "name": "jes",
            "type": "object",
            "target": ObjVar("Jet", "pt"),
            "uncertainty_sources": [
                {
                    "name": f"jes_{source}",
                    "up_function": relative_shift,
                    "args": [ObjVar("Jet", "pt"), ObjVar("Jet", "eta"), source, sources],
                    "is_delta": True,
                }
                for source in range(sources)
            ],
        }
    ]


def _factors(sources: int) -> list[dict[str, Any]]:
    if not sources:
        return []
    return [
        {
            "name": "weight",
            "type": "event",
            "uncertainty_sources": [
                {
                    "name": f"weight_{source}",
                    "up_function": _relative_weight,
                    "args": [ObjVar("Pileup", "nTrueInt"), source],
                    "is_delta": True,
                }
                for source in range(sources)
            ],
        }
    ]


def relative_shift(pt: Any, eta: Any, source: int, sources: int) -> Any:
    """Return the relative shift of the momentum of jets by one of several sources, ``n_events * var * float64``."""
    size = 0.01 * (source + 1) / sources * (1.0 + 30.0 / ak.values_astype(pt, np.float64))
    if source % 3 == 0:
        return size
    return size * ((abs(ak.values_astype(eta, np.float64)) < 1.3) == (source % 3 == 1))


def _relative_weight(interactions: Any, source: int) -> Any:
    return 0.0001 * (source + 1) * (interactions - 30.0)


def _one_muon(pt: Any, eta: Any, met_pt: Any) -> dict[str, Any]:
    return {
        "one muon": ak.sum((pt > 55) & (abs(eta) < 2.4), axis=1) == 1,
        "MET > 50 GeV": met_pt > 50,
    }


def _good_jets(jets: Any) -> Any:
    return (jets.pt > 30) & (abs(jets.eta) < 2.4)


def _two_jets(pt: Any) -> dict[str, Any]:
    return {
        "two jets": ak.num(pt, axis=1) >= 2,
        "leading jet > 150 GeV": ak.fill_none(ak.max(pt, axis=1) > 150, value=False),
        "second jet > 50 GeV": ak.sum(pt > 50, axis=1) >= 2,
    }


def _mass_of_two(jets: Any) -> Any:
    eta, phi = (ak.values_astype(jets[name], np.float64) for name in ("eta", "phi"))
    angles = np.cosh(eta[:, 0] - eta[:, 1]) - np.cos(phi[:, 0] - phi[:, 1])
    return np.sqrt(2.0 * jets.pt[:, 0] * jets.pt[:, 1] * angles)


def _same(values: Any) -> Any:
    return values


def _observable(
    name: str, function: Any, column: ObjVar, binning: tuple[int, float, float], **constants: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "function": function,
        "use": [column],
        "static_kwargs": constants,
        "binning": dict(zip(("bins", "start", "stop"), binning, strict=True)),
    }
