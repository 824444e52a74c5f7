"""Inputs of lepton payloads."""

from __future__ import annotations

import pickle
from typing import Any

import awkward as ak
import numpy as np
import pytest

from intccms.schema.base import Payload
from intccms.schema.digest import digest
from intccms.systematics.leptons import ClampedAbsEtaPt, abseta_pt, leading_abseta_pt
from intccms.systematics.payloads import open_payload
from tests.reference import reference_data
from tests.systematics.locality import assert_event_local, some_jets

ETA = ak.Array([[-2.0, 1.0], [], [2.4]])
PT = ak.Array([[60.0, 20.0], [], [10.0]])


def lists(pair: tuple[Any, Any]) -> list[Any]:
    return [one.to_list() for one in pair]


def test_eta_of_all_objects_becomes_positive() -> None:
    assert lists(abseta_pt(ETA, PT)) == [[[2.0, 1.0], [], [2.4]], PT.to_list()]


def test_the_first_object_stands_for_its_event_and_none_for_an_empty_one() -> None:
    assert lists(leading_abseta_pt(ETA, PT)) == [[2.0, None, 2.4], [60.0, None, 10.0]]


def test_values_outside_are_moved_to_the_edge() -> None:
    inside = ClampedAbsEtaPt(max_abseta=2.4, min_pt=15.0, max_pt=60.0)
    below_eta, below_pt = np.nextafter(2.4, 0), np.nextafter(60.0, 0)
    assert lists(inside(ETA, PT)) == [[[2.0, 1.0], [], [below_eta]], [[below_pt, 20.0], [], [15.0]]]
    leading = ClampedAbsEtaPt(max_abseta=2.4, min_pt=15.0, leading=True)
    assert lists(leading(ETA, PT)) == [[2.0, None, below_eta], [60.0, None, 15.0]]
    assert lists(ClampedAbsEtaPt()(ETA, PT)) == lists(abseta_pt(ETA, PT))


def test_single_precision_does_not_reach_the_edge_again() -> None:
    eta, pt = ak.values_astype(ETA, np.float32), ak.values_astype(PT, np.float32)
    abseta, _ = ClampedAbsEtaPt(max_abseta=2.4)(eta, pt)
    assert ak.max(abseta) < 2.4  # 2.4 in single precision is 2.4000001


@pytest.mark.parametrize("leading", [False, True])
def test_no_objects_and_no_events_are_taken(leading: bool) -> None:
    clamped = ClampedAbsEtaPt(max_abseta=2.4, min_pt=15.0, max_pt=200.0, leading=leading)
    assert [len(one) for one in clamped(ETA[:0], PT[:0])] == [0, 0]
    assert lists(clamped(ETA[1:2], PT[1:2])) == [[None if leading else []]] * 2


def test_limits_travel_to_workers_and_reach_the_digest() -> None:
    clamped = ClampedAbsEtaPt(max_abseta=2.4, min_pt=52.0, leading=True)
    assert pickle.loads(pickle.dumps(clamped)) == clamped
    assert digest(clamped) == digest(ClampedAbsEtaPt(max_abseta=2.4, min_pt=52.0, leading=True))
    assert digest(clamped) != digest(ClampedAbsEtaPt(max_abseta=2.4, min_pt=26.0, leading=True))


def test_clamped_values_are_taken_by_a_real_payload() -> None:
    file = reference_data() / "corrections" / "POG" / "MUO" / "2018_UL" / "muon_Z.json.gz"
    payload = open_payload(Payload(str(file), "NUM_TightID_DEN_TrackerMuons"))
    columns = some_jets()[1]
    args = ClampedAbsEtaPt(max_abseta=2.4, min_pt=15.0)(columns["eta"], columns["pt"])
    factors = payload.evaluate("2018_UL", *args, "sf")
    assert ak.all((factors > 0.8) & (factors < 1.2))
    edge = payload.evaluate("2018_UL", 2.39, 15.0, "sf")
    assert edge in ak.flatten(factors[(abs(columns["eta"]) > 2.4) & (columns["pt"] < 15)]).to_list()


@pytest.mark.parametrize("transform", [abseta_pt, leading_abseta_pt, ClampedAbsEtaPt(2.4, 15.0), ClampedAbsEtaPt(2.4, 15.0, leading=True)])  # fmt: skip
def test_transforms_are_functions_of_the_event_alone(transform: Any) -> None:
    columns = some_jets()[1]
    assert_event_local(transform, columns["eta"], columns["pt"])
