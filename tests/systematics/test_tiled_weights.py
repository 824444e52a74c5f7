"""Every variation of weights, alone and beside those of objects, against one variation at a time in plain awkward.

The expected numbers are those of the loop in `tests.systematics.one_by_one`.
"""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from intccms.demo.full import write_full_nanoaod
from intccms.errors import FunctorError
from intccms.schema import SYS, ObjVar
from tests.systematics import toy_corrections as toy
from tests.systematics.tiled import assert_as_one_by_one, sums_of
from tests.systematics.toy_corrections import (
    JEC_ARGS,
    MUON,
    analysis,
    b_tag,
    correction,
    delta,
    jec,
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
    write_full_nanoaod(file, process="ttbar_semilep", year="2018", events=700, seed=11)
    return file


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    return toy.write_payload(tmp_path_factory.mktemp("payload"))


def nothing(pt, eta):
    return 0.0 * pt * eta


WEIGHTS = {
    "keys": lambda p: [muon_factor(keyed("mu", "u", "d"))],
    "keys, of which nominal is another correction's": lambda p: [
        jec(JES),
        muon_factor(keyed("mu", "u", "d")),
        b_tag(keyed("hf", "up_hf", "down_hf")),
    ],
    "a payload for the leading muon, None without": lambda p: [
        {
            "name": "sf",
            "type": "event",
            "file": p,
            "key": "muon",
            "args": [SYS, MUON["pt"]],
            "nominal_idx": "nominal",
            "transform_in": ak.firsts,
            "uncertainty_sources": [keyed("mu", "up", "down")],
        },
    ],
    "a function of the leading muon, None without": lambda p: [
        muon_factor(keyed("mu", "u", "d"), transform_in=ak.firsts, reduce=None)
    ],
    "a shift of the leading muon, None without": lambda p: [
        correction(
            "event",
            "mu",
            None,
            [MUON["pt"], MUON["eta"]],
            delta("mu", toy.relative, transform_in=toy.first_of),
        ),
        correction(
            "event",
            "other",
            toy.relative,
            [MUON["pt"], MUON["eta"]],
            {"name": "mu2", "is_delta": True, "transform_out": lambda x: 0.1 * x},
            transform_in=toy.first_of,
        ),
    ],
    "reduced to a sum": lambda p: [muon_factor(keyed("mu", "u", "d"), reduce="sum")],
    "shifts reduced to a sum": lambda p: [
        correction("event", "jets", toy.calibrated, JEC_ARGS, delta("j", toy.relative), reduce="sum"),
        jec(JES),
    ],
    "added": lambda p: [muon_factor(keyed("mu", "u", "d"), op="add", reduce="sum")],
    "subtracted": lambda p: [muon_factor(keyed("mu", "u", "d"), op="subtract", reduce="sum")],
    "a shift that is added": lambda p: [
        correction("event", "x", toy.of_event, [RHO], delta("x", toy.half), op="add"),
        muon_factor(),
    ],
    "a shift of what is subtracted": lambda p: [
        correction("event", "x", toy.of_event, [RHO], delta("x", toy.half), op="subtract"),
        muon_factor(),
    ],
    "arguments, function and transform of its own": lambda p: [
        muon_factor(
            {
                "name": "own",
                "args": [RHO],
                "up_function": toy.half,
                "down_function": toy.twice,
                "transform_out": toy.squared,
            },
            keyed("mu", "u", "d"),
        ),
    ],
    "a payload of its own": lambda p: [
        muon_factor(
            keyed("pl", "up", "down", file=p, key="muon", args=[SYS, MUON["pt"]]), keyed("mu", "u", "d")
        ),
    ],
    "two sources with the same keys": lambda p: [
        muon_factor(keyed("stat", "u", "d"), keyed("syst", "u", "d"))
    ],
    "no nominal value": lambda p: [
        correction(
            "event",
            "x",
            None,
            [RHO],
            {"name": "x", "up_function": toy.half, "down_function": toy.twice},
            delta("y", toy.half),
        ),
    ],
    "nominal only": lambda p: [muon_factor(), jec(JES)],
    "b tags that follow jets": lambda p: [
        jec(JES, delta("jes2", toy.reordering)),
        met(),
        b_tag(keyed("hf", "up_hf", "down_hf"), keyed("b", "up_jes", "down_jes", varies_with="jes")),
    ],
    "b tags that follow jets, before them in the list": lambda p: [
        b_tag(keyed("b", "up_jes", "down_jes", varies_with="jes")),
        jec(JES),
    ],
    "a factor that no variation touches follows jets": lambda p: [
        jec(JES),
        muon_factor(keyed("m", "u", "d", varies_with="jes")),
        b_tag(),
    ],
    "a shift that follows a variation without effect": lambda p: [
        jec(delta("none", nothing)),
        correction("event", "x", toy.of_event, [RHO], delta("x", toy.half, varies_with="none")),
    ],
    "a shift that follows": lambda p: [
        jec(JES),
        correction("event", "x", toy.of_event, [RHO], delta("x", toy.half, varies_with="jes")),
    ],
    "a factor that follows a factor": lambda p: [
        muon_factor(keyed("mu", "u", "d")),
        b_tag(keyed("b", "up_hf", "down_hf", varies_with="mu")),
        jec(JES),
    ],
    "members": lambda p: [
        correction(
            "event",
            "scale",
            None,
            [ObjVar("LHEScaleWeight"), SYS],
            {"name": "scale", "members": [0, 1, 3, 5, 7, 8], "up_function": toy.of_member},
        ),
        jec(JES),
    ],
    "members of the nominal function": lambda p: [
        correction(
            "event",
            "pdf",
            toy.of_member,
            [ObjVar("LHEPdfWeight"), SYS],
            {"name": "pdf", "members": [1, 2, 3]},
            keyed("as", 4, 5),
            nominal_idx=0,
        ),
        muon_factor(keyed("mu", "u", "d")),
    ],
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_vary_as_one_by_one(case, path, payload):
    assert_as_one_by_one(analysis(WEIGHTS[case](payload), path), path)


NO_NUMBERS = {
    "factors that are not finite": (
        correction("event", "w", lambda rho: rho * np.nan, [RHO]),
        r"correction 'w': \d+ of \d+ factors are not finite",
    ),
    "factors of objects": (
        correction("event", "w", toy.calibrated, JEC_ARGS),
        r"correction 'w' gives one number per object .*; expected one per event. Set reduce='prod'",
    ),
    "shifts of objects in a product": (
        muon_factor(delta("d", toy.relative, args=[MUON["pt"], MUON["eta"]])),
        r"correction 'muon', source 'd' \(up\) gives one shift per object, and the shift of a product",
    ),
    "one number": (correction("event", "w", lambda rho: 1.1, [RHO]), r"correction 'w' returned float; expected an array"),
    "words": (correction("event", "w", lambda rho: "x", [RHO]), r"correction 'w' returned str"),
    "too few": (correction("event", "w", lambda rho: rho[:3], [RHO]), r"'w' gives 3 numbers for \d+ events"),
    "objects with too few": (
        jec(delta("jes", lambda pt, eta: pt[:, :1][1:])),
        r"correction 'jec', source 'jes' \(up\) gives \d+ numbers for the \d+ objects of Jet; expected one per object",
    ),
    "one number per event for objects": (
        jec(delta("jes", lambda pt, eta: ak.num(pt))),
        r"gives as many numbers as there are events \(700\); expected one per object of Jet \(4728\)",
    ),
    "None for events": (
        correction("event", "w", lambda rho: ak.mask(rho, rho > np.median(rho)), [RHO]),
        r"correction 'w': \d+ of \d+ factors are None, although no argument is, and would count as 1. Fill them"
    ),
    "None for objects": (
        muon_factor(nominal_function=lambda pt, key: ak.mask(pt / pt, pt > 60)),
        r"correction 'muon': \d+ of \d+ factors are None, although no argument is",
    ),
    "None for a relative shift": (
        correction("event", "w", None, [RHO], delta("d", lambda rho: ak.mask(0.1 + 0 * rho, rho > np.median(rho)))),
        r"source 'd' \(up\): \d+ of \d+ factors are None.*would count as 0. Fill them, ak.fill_none\(factors, 0\)",
    ),
    "a function that raises": (jec(delta("jes", lambda pt, eta: 1 / 0)), r"source 'jes' \(up\): .*raised ZeroDivisionError"),
    "two results for three targets": (
        jec(target=[*toy.BOTH, toy.JET["eta"]], nominal_function=lambda pt, eta: (pt, eta)),
        r"returned 2 arrays for the targets \['Jet_pt', 'Jet_mass', 'Jet_eta'\]; expected one each",
    ),
    "two columns of one": (
        jec(transform_in=lambda pt, eta: pt), r"transform_in returned 1 arrays for 2 columns; expected as many"
    ),
    "whole events": (
        correction("object", "w", toy.same, [ObjVar("event")], target=[toy.JET["pt"]]),
        r"correction 'w': a correction cannot use whole events. Name the columns",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_what_is_no_factor_is_told_with_correction_and_source(case, path):
    made, words = NO_NUMBERS[case]
    with pytest.raises(FunctorError, match=words):
        sums_of(analysis([made], path), path)
